"""Verdicts on extracted answers: the cheap comparisons first, the symbolic one for what they leave open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType

from ..types import Problem, Task, Verdict
from .plain import normalize, number
from .symbolic import LONGEST_ANSWER, SymbolicWorkers


class Verifier:
    """Grades responses to the problems of one task. A context manager, because it may hold worker processes."""

    def __init__(self, task: Task):
        self.task = task
        self._workers = SymbolicWorkers()

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.close()

    def grade(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        """A verdict for every response to its problem, in order."""
        golds = [problem.answer for problem in problems]
        answers = [self.task.extract(response) for response in responses]
        verdicts = [without_algebra(g, a, self.task.answers) for g, a in zip(golds, answers, strict=True)]
        open_rows = [i for i, verdict in enumerate(verdicts) if verdict is None]
        pairs = [(golds[i], answers[i] or "") for i in open_rows]
        decided = dict(zip(open_rows, self._workers.compare(pairs), strict=True))
        return [v if v is not None else _symbolic(decided[i], answers[i]) for i, v in enumerate(verdicts)]


@lru_cache(maxsize=65536)
def without_algebra(gold: str, answer: str | None, answers: str) -> Verdict | None:
    """The verdict that text and numbers can give on an extracted answer, or None where algebra has to decide."""
    if answer is None or len(answer) > LONGEST_ANSWER:
        return Verdict(False, None, "unparsed")
    if normalize(gold) == normalize(answer):
        return Verdict(True, answer, "exact")
    expected, given = number(gold), number(answer)
    if expected is not None and given is not None:
        return Verdict(expected == given, answer, "number")
    return Verdict(False, answer, "number") if answers == "number" else None


def _symbolic(equal: bool | None, answer: str | None) -> Verdict:
    return Verdict(False, answer, "timeout") if equal is None else Verdict(equal, answer, "symbolic")
