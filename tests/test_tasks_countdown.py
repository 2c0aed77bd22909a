"""Countdown's own arithmetic: exact, each number once, and never Python."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench import Problem
from lagbench.tasks.countdown import DEEPEST, LONGEST, reaches_target, worked_out


def problem(target: int) -> Problem:
    return Problem("c", "?", "", "countdown", facts={"nums": [3, 5, 5, 20], "target": target})


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("5 * 20", 100),
        ("((5)*(20))", 100),
        ("5*20 = 100", 100),
        (r"$20 \times 5 = 100$", 100),
        ("20\u00d75", 100),
        (r"\left(20 \cdot 5\right) \div 5", 20),
        ("5 - 20 \u2212 -3", -12),
        ("20 - 5 - 5", 10),
        ("-(5 - 20)", 15),
        (r"\frac{20}{5} \cdot 3", 12),
        ("20 / (5 / 3) * 5", 60),
        ("100=5*20", 100),
        ("100 = 5 * 20.", 100),
        ("5*20 = 100.", 100),
        ("5*20.", 100),
        ("5 \u2212 20 = \u221215", -15),
        ("[5*20]", 100),
        (r"\[5 \times 20\]", 100),
        ("+5*20", 100),
        ("5*+20", 100),
        ("5(20)", 100),
        ("(5)(20)", 100),
        ("20/5(3)", 12),
        (r"\frac{20}{5} (3)", 12),
        ("20 = 20", 20),
    ],
)
def test_right(answer: str, target: int) -> None:
    assert reaches_target(problem(target), answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "100",
        "99 + 1",
        "20 * 20 / 20 * 5",
        "5 * 20 = 99",
        "5 * 20 = 5 * 20",
        "100 = 100",
        "99 = 5 * 20",
        "100 = 5 * 21",
        "100 =",
        "= 100",
        "5 * 20 = 100 = 100",
        "5 * 20 = 100.0",
        "(5)20",
        "5()",
        "5 20",
        "2 0 * 5",
        "5 * 20)",
        "(5 * 20",
        "5 * * 20",
        "5 ** 20",
        "5 // 20",
        "20 * 5.0",
        "20 * 5 / (5 - 5)",
        r"\frac{20}",
        r"\frac{20}{3",
        "{5} * 20",
        "x * 20",
        "__import__('os').getcwd()",
        "(lambda: 100)()",
        "5 * 20 # 100",
        "\u0665 * 20",
        "-" * (LONGEST - 6) + "5 * 20",
        "(" * 60 + "5 * 20" + ")" * 60,
        "9" * (LONGEST + 1),
    ],
)
def test_wrong(answer: str) -> None:
    assert not reaches_target(problem(100), answer)


def test_brackets_have_a_limit() -> None:
    for levels, readable in ((DEEPEST - 1, True), (DEEPEST, False)):
        assert reaches_target(problem(3), "(" * levels + "3" + ")" * levels) == readable


EXPRESSIONS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda text: f"-{text}"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_as_python_counts(expression: str) -> None:
    """Against Python's own arithmetic, on text made here."""
    exact = "".join(f"Fraction({part})" if part.isdecimal() else part for part in _parts(expression))
    try:
        expected = eval(exact, {"Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            worked_out(expression)
        return
    assert worked_out(expression) == (expected, [int(part) for part in _parts(expression) if part.isdecimal()])


def _parts(expression: str) -> list[str]:
    return "".join(c if c.isdecimal() else f"\0{c}\0" for c in expression).split("\0")


@given(st.text(alphabet="0123456789+-*/(){}= \\frac", max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    assert reaches_target(problem(100), text) in (True, False)
