"""A task run against itself: its golds, its ids, and what is asked twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from ..data import SPLITS, by_question, data_digest, plain_number, question_key
from ..rollout.stopping import cut
from ..types import Problem, Task, Verdict
from ..verify import Verifier
from .findings import Finding, State

CHUNK = 64  # problems verified between two movements of a progress bar
ACCEPTED = 0.01  # of the next problems' golds: beyond this a verifier does not tell answers apart (measured: 1 in 2900)
Found = tuple[State, str]
Advance = Callable[[int], None]


def check_task(name: str, task: Task, advance: Advance) -> Iterator[Finding]:
    """What every check finds. `advance` is told how many verdicts have been given: two for each problem in all."""
    for check in (rows, ids, questions, disjoint):
        yield Finding(name, check.__name__, *check(task))
    if task.extract or task.check:
        finding = Finding(name, own_code.__name__, *own_code(task))
        yield finding
        if finding.state == "FAILED":
            return  # no verdict means anything
    with Verifier(task) as verifier:
        for verified in (golds, next_golds):
            yield Finding(name, verified.__name__, *verified(verifier, advance))


def rows(task: Task) -> Found:
    """How many problems, and which."""
    if not _all(task):
        return "FAILED", "no problems"
    return "ok", f"train {len(task.train)}, test {len(task.test)}, sha256 {data_digest(task)[:16]}"


def ids(task: Task) -> Found:
    """Every id names one problem."""
    twice = [id for id, count in Counter(problem.id for problem in _all(task)).items() if count > 1]
    return ("FAILED", f"{len(twice)} ids name several problems, as {twice[0]}") if twice else ("ok", "each names one")


def questions(task: Task) -> Found:
    """What is asked twice within a split counts twice; with two answers it is broken."""
    repeated = [pair for split in SPLITS for pair in _repeated(getattr(task, split))]
    if task.check is None:  # which may accept many answers, of which two problems state two
        for one, other in repeated:
            if not _equal(one.answer, other.answer):
                return "FAILED", f"one question, two answers: {_gold(one)} and {_gold(other)}"
    if repeated:
        one, other = repeated[0]
        return "note", f"{len(repeated)} are asked twice, as {one.id} and {other.id}; they count twice"
    return "ok", "none is asked twice"


def disjoint(task: Task) -> Found:
    """No question of the test is trained on."""
    trained, tested = by_question(task.train), by_question(task.test)
    both = [question for question in tested if question in trained]
    if both:
        example = f"{tested[both[0]].id}, which is {trained[both[0]].id}"
        return "FAILED", f"{len(both)} test questions are trained on, as {example}"
    return "ok", "no test question is trained on"


def own_code(task: Task) -> Found:
    """The task's `extract` gives text or None for a response of any kind, and its `check` takes every gold answer."""
    for problem in _all(task):
        stated = task.answer_form.replace("{answer}", problem.answer)
        try:
            for response in (stated, problem.question, ""):
                called = f"extract({response[:60]!r})"
                if task.extract and not isinstance(found := task.extract(response), str | None):
                    return "FAILED", f"{called} gave {found!r}; expected text, or None where there is no answer"
            called = f"check of {_gold(problem)}"
            if task.check and problem.answer:
                task.check(problem, problem.answer)
        except Exception as error:
            text = " ".join(str(error).split())
            return "FAILED", f"{called} raised {type(error).__name__}: {text}"
    return "ok", "extract and check take whatever comes"


def golds(verifier: Verifier, advance: Advance) -> Found:
    """Every gold answer, stated as the task's `answer_form` says and cut at its `stops`, is right."""
    problems = _all(verifier.task)
    stated = [problem for problem in problems if problem.answer]
    verdicts = _graded(verifier, stated, [problem.answer for problem in stated], advance)
    wrong = [(problem, verdict) for problem, verdict in zip(stated, verdicts, strict=True) if not verdict.correct]
    if wrong:
        problem, verdict = wrong[0]
        read = "no answer was found" if verdict.answer is None else f"read as {verdict.answer!r}"
        return "FAILED", f"{len(wrong)} of {len(stated)} are wrong, as {_gold(problem)}: {read} ({verdict.method})"
    if len(stated) < len(problems):
        return "note", f"{len(problems) - len(stated)} problems state none; the other {len(stated)} are right"
    return "ok", f"all {len(stated)} are right"


def next_golds(verifier: Verifier, advance: Advance) -> Found:
    """The gold answer of the next problem is wrong.

    Where both are the same text or number nothing is asked. Two different numbers must not pass for each other. What
    else passes may mean the same (x=5 and 5) and is shown; more than a few say that the verifier tells nothing apart.
    """
    problems = [problem for problem in _all(verifier.task) if problem.answer]
    pairs = [(one, other) for one, other in pairwise(problems) if not _equal(one.answer, other.answer)]
    verdicts = _graded(verifier, [one for one, _ in pairs], [other.answer for _, other in pairs], advance)
    passed = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct]
    if not passed:
        return "ok", f"all {len(pairs)} that differ are wrong"
    numbers = [pair for pair in passed if all(isinstance(_value(problem.answer), Fraction) for problem in pair)]
    one, other = (numbers or passed)[0]
    broken = numbers or len(passed) > ACCEPTED * len(pairs)
    return (
        "FAILED" if broken else "note",
        f"{len(passed)} of {len(pairs)} that differ pass for right, as {other.answer!r} for {_gold(one)}",
    )


def _graded(verifier: Verifier, problems: Sequence[Problem], answers: Sequence[str], advance: Advance) -> list[Verdict]:
    """The verdicts on responses that state these answers, cut where sampling would end them."""
    task, verdicts = verifier.task, list[Verdict]()
    stated = [cut(task.answer_form.replace("{answer}", answer), task.stops) for answer in answers]
    for start in range(0, len(problems), CHUNK):
        part = slice(start, start + CHUNK)
        verdicts += verifier.grade(problems[part], stated[part])
        advance(len(problems[part]))
    return verdicts


def _repeated(problems: Sequence[Problem]) -> list[tuple[Problem, Problem]]:
    """Every problem whose question was asked before, after the one that did."""
    first = by_question(problems)
    pairs = [(first[question_key(problem.question)], problem) for problem in problems]
    return [(one, other) for one, other in pairs if one is not other]


def _all(task: Task) -> list[Problem]:
    return [*task.train, *task.test]


def _gold(problem: Problem) -> str:
    return f"{problem.id}'s {problem.answer!r}"


def _equal(one: str, other: str) -> bool:
    return _value(one) == _value(other)


def _value(answer: str) -> Fraction | str:
    """The number that an answer is, else its text without spaces."""
    try:
        return Fraction(plain_number(answer))
    except (ValueError, ZeroDivisionError):
        return "".join(answer.split())
