"""LagBench's sampler as a model of lm-eval.

All samples of a problem are drawn in one call, with the noise of a run's own evaluation: what is behind a token is
addressed by the problem's position in its test set, which its document holds as `index` (lm-eval renumbers documents
where only some of them are asked). So neither the batch nor what else is evaluated decides what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, NoReturn

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from ..config import digest_of
from ..noise import EVALUATION, Noise
from ..rollout import Sampler
from ..rollout.stopping import StopStrings
from ..rollout.text import Codec, decoded
from ..types import InputError
from .attempts import NOISE_SEED
from .responses import ResponseFile, Responses

NEUTRAL = {"do_sample": True, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}  # the sampler knows nothing else


@dataclass(frozen=True)
class Sampling:
    """How a request wants its responses drawn."""

    max_tokens: int
    temperature: float
    stops: tuple[str, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Sampling:
        """From lm-eval's generation_kwargs; one that the sampler cannot follow is an InputError."""
        for name, value in given.items():
            if name not in ("max_gen_toks", "temperature", "until") and NEUTRAL.get(name) != value:
                raise InputError(f"generation_kwargs: {name}={value!r} is not something that LagBench's sampler does")
        return cls(given["max_gen_toks"], given["temperature"], tuple(given["until"]))


@dataclass(frozen=True)
class Question:
    """A prompt that is to get `samples` responses."""

    key: str  # of everything that the responses depend on
    task: str
    problem: str
    index: int  # of the problem in its test set
    prompt: Sequence[int]  # token ids
    samples: int
    sampling: Sampling


@dataclass(eq=False)
class SamplerLM(LM):
    """Draws responses about `rows` at a time, except those that `file` holds; likelihoods are not offered."""

    make_sampler: Callable[[Sampling], Sampler]
    policy: str  # digest of the model that these samplers draw from
    numerics: str  # device and precision, as other ones round differently
    codec: Codec  # of any of the tasks: their tokenizer and prompt form
    context: int | None  # tokens that prompt and response may have together
    rows: int
    file: ResponseFile
    on_known: Callable[[int, int], object]  # is told how many responses there are of how many
    answers: dict[str, list[Responses]] = field(default_factory=dict)  # to all questions asked so far, by task

    def __post_init__(self) -> None:
        super().__init__()

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """A text for every request; one that is to be sampled n times comes n times in a row."""
        questions = [self._question(list(same)) for _, same in groupby(requests, key=id)]
        missing = [asked for asked in questions if asked.key not in self.file.found]
        known = len(requests) - sum(asked.samples for asked in missing)
        self.on_known(known, len(requests))
        for batch in _batches(missing, self.rows):
            self.file.add(self._draw(batch))
            known += sum(asked.samples for asked in batch)
            self.on_known(known, len(requests))
        answers = [self.file.found[asked.key] for asked in questions]
        for found in answers:
            self.answers.setdefault(found.task, []).append(found)
        return [text for found in answers for text in found.texts]

    def _question(self, same: Sequence[Instance]) -> Question:
        request, samples = same[0], len(same)
        text, given = request.args
        sampling = Sampling.of(given)
        prompt = self.codec.tokenizer(
            text, add_special_tokens=not self.codec.form.chat
        ).input_ids  # a template has its own
        if self.context is not None and len(prompt) > self.context - sampling.max_tokens:
            raise InputError(
                f"the prompt of {request.doc['id']} has {len(prompt)} tokens, but the model's context leaves "
                f"{self.context - sampling.max_tokens} beside {sampling.max_tokens}; lower --max-tokens"
            )
        task, problem, index = request.task_name, request.doc["id"], request.doc["index"]
        key = digest_of([self.policy, self.numerics, task, index, text, samples, asdict(sampling)])
        return Question(key, task, problem, index, prompt, samples, sampling)

    def _draw(self, batch: Sequence[Question]) -> Iterator[Responses]:
        """The responses to each question of a batch that wants all drawn in the same way."""
        samples, sampling = batch[0].samples, batch[0].sampling
        noise = Noise(EVALUATION, NOISE_SEED, 0, tuple(asked.index for asked in batch), samples)
        rollouts = self.make_sampler(sampling).sample([asked.prompt for asked in batch], noise)
        texts = decoded(rollouts, StopStrings(sampling.stops, self.codec.tokenizer))
        lengths = rollouts.mask.sum(1).tolist()
        stopped = rollouts.stopped.tolist()
        for i, asked in enumerate(batch):
            mine = slice(i * samples, (i + 1) * samples)
            yield Responses(asked.key, asked.task, asked.problem, texts[mine], lengths[mine], stopped[mine])

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages in the model's chat template."""
        return self.codec.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )

    @property
    def tokenizer_name(self) -> str:
        """For the key of a cache that lm-eval keeps, which is never used here."""
        return self.policy

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Not offered."""
        raise NotImplementedError("LagBench's sampler draws responses; for likelihoods use lm_eval --model hf")

    loglikelihood_rolling = loglikelihood


def _batches(questions: Sequence[Question], rows: int) -> Iterator[list[Question]]:
    """Neighbors that want their responses drawn in the same way, about `rows` responses at a time."""
    for (_, samples), alike in groupby(questions, key=lambda asked: (asked.sampling, asked.samples)):
        left, width = list(alike), max(1, rows // samples)
        yield from (left[start : start + width] for start in range(0, len(left), width))
