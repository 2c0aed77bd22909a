"""Drawing and grading attempts at held-out problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..noise import EVALUATION, Noise
from ..rollout import Sampler
from ..rollout.text import Codec
from ..types import Problem, Verdict
from ..verify import Verifier

NOISE_SEED = 0  # the same for every run: checkpoints and objectives are compared on the same draws


@dataclass(frozen=True)
class Attempt:
    """One response to a held-out problem. `stopped` is False where it was cut at the token limit."""

    text: str
    tokens: int
    stopped: bool
    verdict: Verdict


def attempts(
    problems: Sequence[Problem], samples: int, rows: int, sampler: Sampler, codec: Codec, verifier: Verifier
) -> Iterator[tuple[Problem, list[Attempt]]]:
    """`samples` graded attempts at each problem, about `rows` responses at a time."""
    width = max(1, rows // samples)
    for start in range(0, len(problems), width):
        part = problems[start : start + width]
        noise = Noise(EVALUATION, NOISE_SEED, 0, tuple(range(start, start + len(part))), samples)
        rollouts = sampler.sample([codec.encode(p) for p in part], noise)
        texts = codec.decode(rollouts)
        verdicts = verifier.grade([p for p in part for _ in range(samples)], texts)
        made = [
            Attempt(text, int(length), bool(stopped), verdict)
            for text, length, stopped, verdict in zip(
                texts, rollouts.mask.sum(1), rollouts.stopped, verdicts, strict=True
            )
        ]
        for i, problem in enumerate(part):
            yield problem, made[i * samples : (i + 1) * samples]
