r"""Countdown: reach a target from three or four numbers; any expression that does is right (made-up example).

    {"nums": [3, 5, 20], "target": 100}

An answer is read by this file's own parser and worked out in exact fractions; it may use each given number at most
once, as the question says, and no other number. (TinyZero also asks for every number to be used.) The target may stand
on the other side of an equals sign. No gold answer is needed: problems of the hub id state none.

From a hub id the first 32 768 rows are trained on and TinyZero's test (the 1024 rows from 327 680 on) is held out; from
a folder `countdown_test.jsonl` (and `countdown_train.jsonl` if there is one), with nums and target in the row or in its
`meta`.

Source: github.com/Jiayi-Pan/TinyZero
Licence: Apache-2.0
Rows: test 1024 (the hub id has 490364 in all)
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from lagbench import InputError, Problem, Row, Task, read_rows, task

QUESTION = (
    "Using the numbers {nums}, create an equation that equals {target}. You can use basic arithmetic operations "
    "(+, -, *, /) and each number can only be used once."
)
LONGEST, DEEPEST = 200, 20  # characters of an answer; brackets and signs within one another
_SPELLINGS = {
    "*": ("\\times", "\\cdot", "\u00d7", "\u00b7"),
    "/": ("\\div", "\u00f7"),
    "-": ("\u2212",),
    "\\frac": ("\\dfrac", "\\tfrac"),
    " ": ("\\left", "\\right", "\\(", "\\)", "\\[", "\\]", "$"),
    "(": ("[",),
    ")": ("]",),
}
_PRODUCT = re.compile(r"(?<=[0-9)}])\s*(?=\()")  # 5(20); worked out from left to right, as any product
_TOKENS = re.compile(r"[0-9]+|[-+*/(){}]|\\frac")


@task
def countdown(*, data: str = "Jiayi-Pan/Countdown-Tasks-3to4") -> Task:
    """Reach a target from given numbers; `data` is a local folder or a hub id."""
    local = Path(data).expanduser().exists()
    train = read_rows(
        data, "countdown", "train", rows=None if local else 32768, hub_split="train[:32768]", optional=True
    )
    test = read_rows(data, "countdown", "test", rows=1024, hub_split="train[327680:328704]")
    return Task(train=[_problem(row) for row in train], test=[_problem(row) for row in test], check=reaches_target)


def _problem(row: Row) -> Problem:
    facts = row.fields.get("meta") or row.fields
    if not isinstance(facts, Mapping):
        raise InputError(f"{row.where}: expected an object with nums and target as meta, got {str(facts)[:60]!r}")
    nums, target = facts.get("nums"), facts.get("target")
    if not isinstance(nums, list) or not all(type(number) is int for number in [*nums, target]):
        got = f"{str(nums)[:60]} and {str(target)[:60]}"
        raise InputError(f"{row.where}: expected whole numbers as nums and target, got {got}")
    return Problem(
        id=row.get("id") or f"countdown-{row.split}-{row.index:05}",
        question=row.get("problem") or QUESTION.format(nums=nums, target=target),
        answer=row.get("answer"),
        task="countdown",
        facts={"nums": nums, "target": target},
    )


def reaches_target(problem: Problem, answer: str) -> bool:
    """Whether the answer is arithmetic on the given numbers, each used at most once, that comes to the target."""
    if len(answer) > LONGEST:
        return False
    target, nums = problem.facts["target"], problem.facts["nums"]
    left, *rest = (side.strip() for side in _in_ascii(answer).strip(" .").split("="))
    sides = [(left, *rest), (*rest, left)] if rest else [(left, str(target))]
    return any(others == [str(target)] and _reaches(side, target, nums) for side, *others in sides)


def _reaches(expression: str, target: int, nums: Sequence[int]) -> bool:
    try:
        value, used = worked_out(expression)
    except (ValueError, ZeroDivisionError):
        return False
    return value == target and Counter(used) <= Counter(nums)


def _in_ascii(text: str) -> str:
    """Signs and brackets as the parser knows them."""
    for meaning, spellings in _SPELLINGS.items():
        for spelling in spellings:
            text = text.replace(spelling, meaning)
    return text


def worked_out(expression: str) -> tuple[Fraction, list[int]]:
    r"""The value of an expression and the numbers in it; a ValueError for anything but arithmetic on whole numbers.

    >>> worked_out(r"2 \times (7 - \frac{1}{2})")
    (Fraction(13, 1), [2, 7, 1, 2])
    """
    expression = _PRODUCT.sub("*", _in_ascii(expression))
    if _TOKENS.sub("", expression).strip():
        raise ValueError("not arithmetic")
    reader = _Reader(_TOKENS.findall(expression))
    value = reader.sum()
    if reader.tokens:
        raise ValueError("something follows")
    return value, reader.numbers


class _Reader:
    """Reads sums of products of numbers from tokens, the next one last."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.numbers, self.depth = tokens[::-1], list[int](), 0

    def sum(self) -> Fraction:
        value = self.product()
        while self.next_in("+-"):
            value = value + self.product() if self.tokens.pop() == "+" else value - self.product()
        return value

    def product(self) -> Fraction:
        value = self.factor()
        while self.next_in("*/"):
            value = value * self.factor() if self.tokens.pop() == "*" else value / self.factor()
        return value

    def factor(self) -> Fraction:
        """A number, or what a sign, brackets or a fraction are around."""
        self.depth += 1
        if self.depth > DEEPEST or not self.tokens:
            raise ValueError("too deep, or cut off")
        first = self.tokens[-1]
        value = self.group("(", ")") if first == "(" else self.after(self.tokens.pop())
        self.depth -= 1
        return value

    def after(self, first: str) -> Fraction:
        if first in "+-":
            return self.factor() if first == "+" else -self.factor()
        if first == "\\frac":
            return self.group("{", "}") / self.group("{", "}")
        self.numbers.append(int(first))  # a ValueError for any other token
        return Fraction(self.numbers[-1])

    def group(self, opening: str, closing: str) -> Fraction:
        self.expect(opening)
        value = self.sum()
        self.expect(closing)
        return value

    def expect(self, token: str) -> None:
        if not self.tokens or self.tokens.pop() != token:
            raise ValueError(f"expected {token}")

    def next_in(self, signs: str) -> bool:
        return bool(self.tokens) and self.tokens[-1] in signs
