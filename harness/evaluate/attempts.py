"""Drawing and grading attempts at held-out problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..noise import EVALUATION, Noise
from ..rollout import Sampler
from ..rollout.text import Codec
from ..types import Problem, Verdict
from ..verify import Verifier

NOISE_SEED = 0  # the same for every run: checkpoints and objectives are compared on the same draws


@dataclass(frozen=True)
class Exam:
    """Held-out problems of a task, and all it takes to have a policy answer them. `name` is the task as it was given.

    The noise behind an attempt is addressed by its problem's position in the test set and its number, so the same for
    every policy, whatever else is evaluated.
    """

    name: str
    problems: Sequence[Problem]  # the first of the task's test set
    sampler: Sampler
    codec: Codec
    verifier: Verifier


@dataclass(frozen=True)
class Attempt:
    """One response to a held-out problem. `stopped` is False where it was cut at the token limit.

    Attempts at a problem whose answers mean the same are of one `cluster`, numbered from 0; -1 without an answer.
    """

    text: str
    tokens: int
    stopped: bool
    verdict: Verdict
    cluster: int


def attempts(exam: Exam, samples: int, rows: int) -> Iterator[tuple[Problem, list[Attempt]]]:
    """`samples` graded attempts at each problem of an exam, about `rows` responses at a time."""
    width = max(1, rows // samples)
    for start in range(0, len(exam.problems), width):
        part = exam.problems[start : start + width]
        noise = Noise(EVALUATION, NOISE_SEED, 0, tuple(range(start, start + len(part))), samples)
        rollouts = exam.sampler.sample([exam.codec.encode(p) for p in part], noise)
        texts = exam.codec.decode(rollouts)
        verdicts = exam.verifier.grade([problem for problem in part for _ in range(samples)], texts)
        answers = [verdict.answer for verdict in verdicts]
        mine = [slice(i * samples, (i + 1) * samples) for i in range(len(part))]
        clusters = [c for found in exam.verifier.clusters([answers[these] for these in mine]) for c in found]
        lengths, stopped = rollouts.mask.sum(1).tolist(), rollouts.stopped.tolist()
        made = list(map(Attempt, texts, lengths, stopped, verdicts, clusters))
        yield from zip(part, [made[these] for these in mine], strict=True)


def line(exam: Exam, problem: Problem, made: Sequence[Attempt]) -> dict[str, Any]:
    """A problem and its attempts as they are kept. Without the verdicts' milliseconds: the same run, the same file."""
    tried = [dataclasses.asdict(attempt) for attempt in made]
    for attempt in tried:
        del attempt["verdict"]["ms"]
    return {"exam": exam.name, **dataclasses.asdict(problem), "attempts": tried}
