"""Verdicts by value, and workers that survive what models write."""

import time
from fractions import Fraction
from threading import Thread

import pytest

from lagbench.harness.types import Problem, Task
from lagbench.harness.verify import Verifier
from lagbench.harness.verify.plain import normalize, number
from lagbench.tasks.chain import final_answer as chain_answer
from lagbench.tasks.gsm8k import final_answer as gsm8k_answer


def a_task(answers: str = "math") -> Task:
    problem = Problem("1", "?", "5", "made-up")
    return Task([problem], [problem], lambda question: question, lambda response: response or None, answers)


@pytest.fixture(scope="module")
def math():
    with Verifier(a_task()) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        ("-7", Fraction(-7)),
        ("+7", Fraction(7)),
        ("\u22127", Fraction(-7)),  # Unicode minus
        ("1,234.50", Fraction(2469, 2)),
        ("$18$.", Fraction(18)),
        ("\\$3.00", Fraction(3)),
        (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("-\\frac{3}{4}", Fraction(-3, 4)),
        ("\\dfrac{6}{8}", Fraction(3, 4)),
        ("1/0", None),
        ("", None),
        ("-", None),
        (".", None),
        ("1,23", None),
        ("12 apples", None),
        ("7 2", None),
        ("2\\frac{1}{2}", None),  # a mixed number, not 21/2
        ("2 1/2", None),
        ("5\u00b2", None),
        ("2x", None),
        ("9" * 200, None),
    ],
)
def test_number(text: str, value: Fraction | None) -> None:
    assert number(text) == value


def test_normalize() -> None:
    assert normalize(" \\left( 1 ,\\, 2 \\right). ") == "(1,2)"


@pytest.mark.parametrize(
    ("gold", "answer", "correct", "method"),
    [
        ("72", "72", True, "exact"),
        ("72", "72.0", True, "number"),
        ("1000", "1,000", True, "number"),
        ("0.75", "\\frac{3}{4}", True, "number"),
        ("10", "100", False, "number"),
        ("0.1", "0.1000001", False, "number"),  # math-verify rounds these together
        ("72", "72\\text{ clips}", True, "symbolic"),
        ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}", True, "symbolic"),
        ("x^2+1", "1+x^2", True, "symbolic"),
        ("x^2+1", "x^2", False, "symbolic"),
        ("12\\%", "0.12", True, "symbolic"),  # needs the 4.13 antlr runtime
        ("\\frac{5}{2}", "2\\frac{1}{2}", True, "symbolic"),
        ("\\frac{21}{2}", "2\\frac{1}{2}", False, "symbolic"),
        ("72", "7 2", False, "symbolic"),
        ("5", "", False, "unparsed"),
        ("5", "1" * 5000, False, "unparsed"),
    ],
)
def test_verdicts(math: Verifier, gold: str, answer: str, correct: bool, method: str) -> None:
    (verdict,) = math.grade([gold], [answer])
    assert (verdict.correct, verdict.method) == (correct, method)


def test_number_tasks_ask_no_algebra() -> None:
    with Verifier(a_task("number")) as verifier:
        verdicts = verifier.grade(["6", "6", "6"], ["6", "6+0", "seven"])
        assert [v.correct for v in verdicts] == [True, False, False]
        assert {v.method for v in verdicts} == {"exact", "number"}


def test_batch_keeps_its_order(math: Verifier) -> None:
    golds = ["5", "x+y", "3", "2"]
    verdicts = math.grade(golds, ["5", "y+x", "", "\\sqrt{4}"])
    assert [(v.correct, v.method) for v in verdicts] == [
        (True, "exact"),
        (True, "symbolic"),
        (False, "unparsed"),
        (True, "symbolic"),
    ]


def test_worst_answers_end_in_time_and_spare_the_next(math: Verifier) -> None:
    """Towers, nested braces and deep parentheses: a verdict each, and the workers are as good as new."""
    for answer in ("9^{9^9}", "10^{10^{10}}", "(" * 60 + "1" + ")" * 60, "{" * 20 + "1" + "}" * 20, "\\frac{1}{" * 50):
        start = time.monotonic()
        (verdict,) = math.grade(["5"], [answer])
        assert not verdict.correct
        assert time.monotonic() - start < 9  # two soft limits of parsing and one of comparing, or the hard one
    assert math.grade(["x+1"], ["1+x"])[0].correct


def test_grading_works_from_a_thread(math: Verifier) -> None:
    """Library time limits by signals fail outside of a main thread; workers have their own."""
    found = []
    thread = Thread(target=lambda: found.extend(math.grade(["x+2"], ["2+x"])))
    thread.start()
    thread.join()
    assert found[0].correct


@pytest.mark.parametrize(
    ("response", "answer"),
    [("8;6#6", "6"), ("8;6#-6", "-6"), ("1#2#3", "3"), ("8;6", None), ("8;6#", None), ("", None)],
)
def test_chain_answers(response: str, answer: str | None) -> None:
    assert chain_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("48 / 2 = 24\n#### 72", "72"),
        ("#### 72\nThat is all.", "72"),
        ("#### 1\nno:\n#### 2", "2"),
        ("so \\boxed{7} it is", "7"),
        ("the answer is 7", None),
        ("####", None),
        ("#### $1,200.50 in all", "1,200.50"),
        ("#### -3.", "-3"),
        ("#### x", "x"),
        ("#### 72\n\nProblem: Bob has 2.\nSolution: 5\n#### 5", "72"),
        ("####\n\n5 more", "5 more"),
        ("#### 3/4 cup", "3/4"),
    ],
)
def test_gsm8k_answers(response: str, answer: str | None) -> None:
    assert gsm8k_answer(response) == answer
