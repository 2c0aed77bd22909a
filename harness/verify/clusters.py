"""Which of a problem's answers mean the same, for a vote among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from .decision import Decision

MOST_CLASSES = 32  # of a problem; an answer that would have to be told from more by algebra is a class of its own
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
Pair = tuple[str, str]


def clusters(
    answers: Sequence[Sequence[str | None]],
    decision: Callable[[str, str], Decision | None],
    ask: Callable[[list[Pair]], Mapping[Pair, Decision]],
) -> list[list[int]]:
    """Numbers by first appearance, -1 for None; which answers are together does not depend on their order.

    An answer joins the first class whose first answer equals it, plain numbers before all others, bare lists last:
    50% is 50 and 0.5, which are not the same. `decision` gives None where a pair has to be asked for; all problems'
    questions go out together, one answer of each problem at a time.
    """
    problems = [_Problem(row) for row in answers]
    asked: dict[Pair, Decision] = {}

    def known(one: str, other: str) -> Decision | None:
        return asked.get((one, other)) or decision(one, other)

    while questions := list(dict.fromkeys(pair for problem in problems for pair in problem.advance(known))):
        asked |= ask(questions)
    return [problem.numbers() for problem in problems]


class _Problem:
    """The answers to one problem on their way into classes."""

    def __init__(self, answers: Sequence[str | None]) -> None:
        self._answers = answers
        self._known: dict[str, int] = {}  # class of each text
        self._first: list[str] = []  # text that began each class
        self._waiting = sorted({answer for answer in answers if answer is not None}, key=_place, reverse=True)

    def advance(self, decision: Callable[[str, str], Decision | None]) -> Iterator[Pair]:
        """Classify answers until one needs to be asked about; its pairs."""
        while self._waiting:
            answer = self._waiting[-1]
            decisions = [decision(first, answer) for first in self._first]
            same = next((i for i, found in enumerate(decisions) if found and found.same), None)
            before = decisions[:same]
            if None in before and len(decisions) <= MOST_CLASSES:
                yield from ((first, answer) for first, found in zip(self._first, before, strict=False) if not found)
                return
            if same is None:
                same = len(self._first)
                self._first.append(answer)
            self._known[answer] = same
            self._waiting.pop()

    def numbers(self) -> list[int]:
        """The class of each answer once all are classified."""
        places: dict[int, int] = {}
        return [
            -1 if answer is None else places.setdefault(self._known[answer], len(places)) for answer in self._answers
        ]


def _place(answer: str) -> tuple[bool, bool, int, str]:
    return not _PLAIN.fullmatch(answer), answer[:1].isalnum() and "," in answer, len(answer), answer
