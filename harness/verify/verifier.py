"""Verdicts on responses: the answer extracted, the cheap comparisons first, workers for what they leave open."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import cast

from ..types import Problem, Task, Verdict
from .bare import bare_answer, is_prose
from .clusters import clusters
from .compare import decide
from .decision import Decision
from .extract import LONGEST_ANSWER, after_thinking, final_answer
from .pool import Workers
from .spelling import key, plain

LONGEST_PROSE = 20_000  # characters
DEEPEST = 12  # brackets in one another; parsing takes exponential time in them
REMEMBERED = 1 << 16  # decisions of workers

_UNPARSED, _TIMEOUT = Decision(False, "unparsed"), Decision(False, "timeout")
_BRACKET = re.compile(r"[({\[]|[)}\]]")


class Verifier:
    """Grades responses to the problems of one task. A context manager, because it may hold worker processes.

    Threads may share it; processes may not.
    """

    def __init__(self, task: Task, workers: int = 1):
        self.task = task
        self._workers = Workers(workers)
        self._known: dict[tuple[str, str], Decision] = {}

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()

    def grade(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        """A verdict for every response to its problem, in order."""
        answers = [self.answer(response) for response in responses]
        if check := self.task.check:
            return [_checked(check, problem, answer) for problem, answer in zip(problems, answers, strict=True)]
        return self.compare([problem.answer for problem in problems], answers)

    def answer(self, response: str) -> str | None:
        """The final answer in a response, by the task's rule or the shared one; None if there is none.

        None, too, where a task's own rule raises or gives something else than text; `lagbench check` says so.
        """
        extract = self.task.extract
        try:
            answer = extract(after_thinking(response)) if extract else final_answer(response)
        except Exception:
            return None
        return answer if isinstance(answer, str) and answer.strip() else None

    def compare(self, golds: Sequence[str], answers: Sequence[str | None]) -> list[Verdict]:
        """A verdict for every extracted answer to its gold answer, in order."""
        made = []
        for gold, answer in zip(golds, answers, strict=True):
            start = time.perf_counter()
            decision = self._decision(gold, answer) if answer and not answer.isspace() else _UNPARSED
            made.append((decision, 1000 * (time.perf_counter() - start)))
        open_ = [(g, a) for g, a, (decision, _) in zip(golds, answers, made, strict=True) if a and decision is None]
        found = self._ask(list(dict.fromkeys(open_)))
        verdicts = []
        for gold, answer, (decision, ms) in zip(golds, answers, made, strict=True):
            decision, more = (decision, 0.0) if decision else found[gold, answer or ""]
            kept = answer if answer and (decision.same or len(answer) <= LONGEST_ANSWER) else None
            verdicts.append(Verdict(decision.same, kept, decision.method, ms + more))
        return verdicts

    def clusters(self, answers: Sequence[Sequence[str | None]]) -> list[list[int]]:
        """The class of each answer of each problem, numbered by first appearance; -1 where there is no answer.

        Answers that get the same verdict from each other are one class. What `check` decides has its text compared.
        """
        if self.task.check:
            return clusters(answers, lambda one, other: Decision(key(one) == key(other), "exact"), lambda pairs: {})
        return clusters(answers, self._decision, lambda pairs: {p: found for p, (found, _) in self._ask(pairs).items()})

    def bare(self, texts: Sequence[str]) -> list[str]:
        """The answers in texts that may be an answer, a sentence or a whole solution, as math-verify finds them."""
        found = [bare_answer(text)[-LONGEST_PROSE:] for text in texts]
        rows = [i for i, text in enumerate(found) if is_prose(text)]
        replies = self._workers.ask([("extract", (plain(found[i]),)) for i in rows])
        for i, reply in zip(rows, replies, strict=True):
            found[i] = str(reply.value or found[i])
        return found

    def second_opinions(self, golds: Sequence[str], answers: Sequence[str | None]) -> list[bool | None]:
        """What a comparer of another kind says of each answer; None where it cannot read one of the two."""
        rows = [
            i for i, (gold, answer) in enumerate(zip(golds, answers, strict=True)) if answer and _readable(gold, answer)
        ]
        replies = self._workers.ask([("second_opinion", (golds[i], str(answers[i]))) for i in rows])
        given = {i: cast("bool | None", reply.value) for i, reply in zip(rows, replies, strict=True)}
        return [given.get(i) for i in range(len(answers))]

    def _decision(self, gold: str, answer: str) -> Decision | None:
        """What is known without a worker, None if a worker has to be asked."""
        if gold == answer:
            return Decision(True, "exact")
        if not _readable(gold, answer):
            return _UNPARSED
        decision = _cheap(gold, answer)
        if decision is None and self.task.answers == "number":
            return Decision(False, "number")
        return decision or self._known.get((gold, answer))

    def _ask(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[Decision, float]]:
        """The workers' decision on each pair, remembered unless it took too long, and its milliseconds."""
        replies = self._workers.ask([("compare", pair) for pair in pairs])
        found = {
            pair: (cast(Decision, reply.value) if reply.in_time else _TIMEOUT, reply.ms)
            for pair, reply in zip(pairs, replies, strict=True)
        }
        if len(self._known) + len(found) > REMEMBERED:
            self._known.clear()
        self._known |= {pair: decision for pair, (decision, _) in found.items() if decision is not _TIMEOUT}
        return found


_cheap = lru_cache(maxsize=1 << 16)(decide)


def _checked(check: Callable[[Problem, str], bool], problem: Problem, answer: str | None) -> Verdict:
    """The verdict of a task's own check; one that raises has been given no right answer."""
    if answer is None:
        return Verdict(False, None, "unparsed")
    start = time.perf_counter()
    try:
        correct = bool(check(problem, answer))
    except Exception:
        correct = False
    return Verdict(correct, answer, "task", 1000 * (time.perf_counter() - start))


def _readable(gold: str, answer: str) -> bool:
    """Whether both are short and flat enough to be read."""
    return all(len(text) <= LONGEST_ANSWER and _depth(text) <= DEEPEST for text in (gold, answer))


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "({[" else -1
        deepest = max(deepest, depth)
    return deepest
