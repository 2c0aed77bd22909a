r"""Answers per second of the verifier with two workers, and of math-verify alone in one process, one after the other.

    python benchmarks/verification.py

Two mixes, all answers in \boxed{}: GSM8K (its test answers; every answer right, right with decimals, off by one, and
the next problem's) and MATH-500 (every answer right, and the next problem's). Where ../shared/data is absent the
answers are generated, and the table says so. Both sides get whole responses. Each of `ROUNDS` is a process of its own
for either side, interleaved, that has graded `WARM_UP` other answers before the clock starts, because math-verify's
parser is ten times slower on what it has not met before; the best round counts.
"""

import json
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from math_verify import parse, verify

from lagbench.harness.types import Problem, Task
from lagbench.harness.verify import Verifier

DATA = Path(__file__).parents[2] / "shared" / "data"
ROUNDS, WORKERS, WARM_UP = 3, 2, 200
FORMS = (r"{a}", r"{a}", r"\frac{{{a}}}{{{b}}}", r"{a}\sqrt{{{b}}}", r"x^2+{a}x-{b}", r"({a},{b})", r"[{a},\infty)")
Answers = list[tuple[str, list[str]]]  # of each problem its gold answer and the responses to it
Graded = tuple[list[bool], float]  # what is right, and seconds


def gsm8k() -> tuple[str, Answers]:
    """Whole numbers, with the answers that a model might give."""
    source, golds = _golds("gsm8k_test.jsonl", lambda rng: str(rng.randrange(1, 5000)))
    return f"GSM8K ({source})", [
        (gold, [_boxed(a) for a in (gold, f"{gold}.00", str(int(gold.replace(",", "")) + 1), other)])
        for gold, other in zip(golds, golds[1:] + golds[:1], strict=True)
    ]


def math500() -> tuple[str, Answers]:
    """Numbers, fractions, surds, polynomials, tuples and intervals, right and the next problem's."""
    source, golds = _golds("math500_test.jsonl", _made_up)
    return f"MATH-500 ({source})", _right_and_next(golds)


def by_math_verify(answers: Answers) -> Graded:
    """The library's defaults, without limits of time; a gold answer is parsed once."""
    logging.disable(logging.CRITICAL)
    _one_after_the_other(_warm_up())
    start = time.perf_counter()
    return _one_after_the_other(answers), time.perf_counter() - start


def by_verifier(answers: Answers) -> Graded:
    """One call for all answers, as a training step makes it."""
    with Verifier(Task((), ()), WORKERS) as verifier:
        verifier.grade(*_rows(_warm_up()))
        problems, responses = _rows(answers)
        start = time.perf_counter()
        verdicts = verifier.grade(problems, responses)
        return [verdict.correct for verdict in verdicts], time.perf_counter() - start


def in_new_process(grade: Callable[[Answers], Graded], answers: Answers) -> Graded:
    """So that nothing is remembered from an earlier round."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(grade, answers).result()


def _one_after_the_other(answers: Answers) -> list[bool]:
    found = []
    for gold, responses in answers:
        expected = parse(_boxed(gold), parsing_timeout=None)
        found += [verify(expected, parse(text, parsing_timeout=None), timeout_seconds=None) for text in responses]
    return found


def _rows(answers: Answers) -> tuple[list[Problem], list[str]]:
    problems = [Problem(str(i), "", gold, "") for i, (gold, responses) in enumerate(answers) for _ in responses]
    return problems, [response for _, responses in answers for response in responses]


def _warm_up() -> Answers:
    rng = random.Random(1)
    return _right_and_next([_made_up(rng) for _ in range(WARM_UP // 2)])


def _right_and_next(golds: list[str]) -> Answers:
    return [(gold, [_boxed(gold), _boxed(other)]) for gold, other in zip(golds, golds[1:] + golds[:1], strict=True)]


def _made_up(rng: random.Random) -> str:
    return rng.choice(FORMS).format(a=rng.randrange(99), b=rng.randrange(2, 99))


def _golds(file: str, generated: Callable[[random.Random], str]) -> tuple[str, list[str]]:
    if (DATA / file).is_file():
        with (DATA / file).open(encoding="utf-8") as lines:
            return "real answers", [str(json.loads(line)["answer"]) for line in lines]
    rng = random.Random(0)
    return "generated answers", [generated(rng) for _ in range(500)]


def _boxed(answer: str) -> str:
    return rf"So the answer is $\boxed{{{answer}}}$."


def main() -> None:
    """Print the table."""
    print("| answers | math-verify, 1 process | verifier, 2 workers | ratio | verdicts that differ |")
    print("|---|--:|--:|--:|--:|")
    for name, answers in (gsm8k(), math500()):
        rounds = [[in_new_process(grade, answers) for grade in (by_math_verify, by_verifier)] for _ in range(ROUNDS)]
        theirs, ours = (min(sides[i][1] for sides in rounds) for i in range(2))
        expected, found = (rounds[0][i][0] for i in range(2))
        n, differ = len(expected), sum(a != b for a, b in zip(expected, found, strict=True))
        print(f"| {name}, {n} | {n / theirs:.0f}/s | {n / ours:.0f}/s | {theirs / ours:.1f} | {differ} |")


if __name__ == "__main__":
    main()
