"""Which of a problem's answers mean the same, for a vote among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .decision import Decision

MOST_CLASSES = 32  # of a problem; an answer that would have to be told from more by algebra is a class of its own
Pair = tuple[str, str]


def clusters(
    answers: Sequence[Sequence[str | None]],
    decision: Callable[[str, str], Decision | None],
    ask: Callable[[list[Pair]], object],
) -> list[list[int]]:
    """Numbers by first appearance, -1 for None; an answer joins the first class whose first answer equals it.

    `decision` gives None where a pair has to be asked for; all problems' questions go out together, one answer of each
    problem at a time, and `decision` knows them afterwards.
    """
    problems = [_Problem(row) for row in answers]
    while questions := list(dict.fromkeys(pair for problem in problems for pair in problem.advance(decision))):
        ask(questions)
    return [[-1 if answer is None else problem.known[answer] for answer in problem.answers] for problem in problems]


class _Problem:
    """The answers to one problem on their way into classes."""

    def __init__(self, answers: Sequence[str | None]) -> None:
        self.answers = answers
        self.known: dict[str, int] = {}  # class of each text
        self._first: list[str] = []  # text that began each class
        self._waiting = list(dict.fromkeys(answer for answer in answers if answer is not None))

    def advance(self, decision: Callable[[str, str], Decision | None]) -> Iterator[Pair]:
        """Classify answers until one needs to be asked about; its pairs."""
        while self._waiting:
            answer = self._waiting[0]
            decisions = [decision(first, answer) for first in self._first]
            same = next((i for i, found in enumerate(decisions) if found and found.same), None)
            if same is None and None in decisions and len(decisions) <= MOST_CLASSES:
                yield from ((first, answer) for first, found in zip(self._first, decisions, strict=True) if not found)
                return
            if same is None:
                same = len(self._first)
                self._first.append(answer)
            self.known[answer] = same
            self._waiting.pop(0)
