"""Text to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..prompts import PromptForm
from ..types import InputError, Problem, Rollouts, Task
from .stopping import StopStrings, cut

AROUND = 1000  # bytes that a chat template may add to a prompt


@dataclass(frozen=True)
class Codec:
    """A tokenizer with the prompt form of a run."""

    tokenizer: PreTrainedTokenizerBase
    task: Task
    form: PromptForm

    def __post_init__(self) -> None:
        if self.form.chat and not self.tokenizer.chat_template:
            raise InputError("prompt=chat, but the model has no chat template; use prompt=boxed")
        if self.tokenizer.eos_token_id is None:
            raise InputError("the model's tokenizer has no end-of-sequence token; no response could end")

    @property
    def pad_id(self) -> int:
        """Of the padding token, or of the end of sequence where a tokenizer has none: padding is masked everywhere."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else self.tokenizer.eos_token_id

    def encode(self, problem: Problem) -> list[int]:
        """The prompt's token ids."""
        text = self.form.text(self.task, problem.question)
        if not self.form.chat:
            return self.tokenizer(text).input_ids
        message = [{"role": "user", "content": text}]
        return self.tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)

    def check(self, problems: Sequence[Problem], room: int | None) -> None:
        """Refuse prompts that the tokenizer cannot spell (tries the longest), or any longer than `room` tokens."""
        texts = {problem.id: self.form.text(self.task, problem.question) for problem in problems}
        for prompt in sorted(texts.values(), key=len)[-20:]:
            read = self.tokenizer.decode(self.tokenizer(prompt).input_ids, skip_special_tokens=True)
            if len("".join(read.split())) < 0.9 * len("".join(prompt.split())):
                raise InputError(f"the model's tokenizer reads {prompt[:40]!r} as {read[:40]!r}; choose another model")
        if room is None:
            return
        for problem in problems:
            possibly = len(texts[problem.id].encode()) + AROUND > room  # a token is a byte at least
            if possibly and (tokens := len(self.encode(problem))) > room:
                raise InputError(
                    f"the prompt of {problem.id} has {tokens} tokens, but the model's context "
                    f"leaves {room} beside max_tokens; lower max_tokens or choose another model"
                )

    def decode(self, rollouts: Rollouts) -> list[str]:
        """Every response's text up to a stop string, special tokens left out."""
        return decoded(rollouts, self.stops)

    @property
    def stops(self) -> StopStrings:
        """What ends a response besides an end-of-sequence token."""
        return StopStrings(self.form.stops(self.task), self.tokenizer)


def decoded(rollouts: Rollouts, stops: StopStrings) -> list[str]:
    """Every response's text up to one of the strings, special tokens left out."""
    rows = [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]
    texts = stops.tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [cut(text, stops.strings) for text in texts]


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that end a response: the model's and the tokenizer's ends of sequence."""
    return ends(model.generation_config.eos_token_id, tokenizer)


def ends(configured: int | list[int] | None, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The same from what a model's generation configuration says."""
    ids = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({i for i in (*ids, tokenizer.eos_token_id) if i is not None}))
