r"""A second opinion of another kind: both answers read by a small strict parser, and evaluated at a few points.

It knows numbers, variables, the four operations, powers, roots, factorials, common functions, and tuples of them in
order. It abstains from everything else: units, lists and sets, equations, words, matrices, mixed numbers. No algebra
and no tolerance for rounding, so that where it disagrees with a verdict one of them is worth a look.
"""

from __future__ import annotations

import re
from typing import Any

import mpmath  # type: ignore[import-untyped]

from .spelling import tidy
from .units import unit

DIGITS, AGREE = 40, mpmath.mpf(10) ** -30  # of the arithmetic; of two values, relative
LARGEST = 10_000  # of an exponent or a factorial
POINTS = (("0.73", "1.91", "2.37", "0.41"), ("-2.13", "-0.57", "-1.29", "-3.11"), ("1.17", "-2.83", "0.89", "-1.61"))

_TOKEN = re.compile(r"\d+(?:\.\d*)?|\.\d+|\\[A-Za-z]+|[A-Za-z](?:_(?:\{\w+\}|\w))?|[-+*/^!|(){}\[\],]")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_FUNCTIONS = {f"\\{name}": getattr(mpmath, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "ln", "exp")}
_CONSTANTS = {"\\pi": mpmath.pi, "e": mpmath.e, "i": mpmath.mpc(0, 1)}
_CLOSING = {"(": ")", "{": "}", "[": "]"}


class Unreadable(Exception):
    """Text beyond the parser, or a value beyond its limits."""


def same(gold: str, answer: str) -> bool | None:
    r"""Whether two answers have the same values, None where one of them cannot be read.

    >>> same(r"\frac{1}{2}", "0.5"), same("x(x+1)", "x^2+x"), same("(1,2)", "(2,1)"), same("5 cm", "5 m")
    (True, True, False, None)
    """
    try:
        tokens = [_tokens(text) for text in (gold, answer)]
        names = sorted({token for text in tokens for token in text if token[0].isalpha()} - set(_CONSTANTS))
        with mpmath.workdps(DIGITS):
            return all(_agree(*(_Parser(text, names, point).all() for text in tokens)) for point in POINTS)
    except (Unreadable, ArithmeticError, ValueError, RecursionError):
        return None


def _tokens(text: str) -> list[str]:
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), tidy(text))
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", "") or any(len(word) > 2 or unit(word) for word in _WORD.findall(text)):
        raise Unreadable(text)
    return tokens


def _agree(gold: list[Any], answer: list[Any]) -> bool:
    pairs = zip(gold, answer, strict=False)
    return len(gold) == len(answer) and all(a == b or abs(a - b) <= AGREE * max(abs(a), abs(b)) for a, b in pairs)


class _Parser:
    """Recursive descent over tokens, to the values that they have where the variables have theirs."""

    def __init__(self, tokens: list[str], names: list[str], point: tuple[str, ...]) -> None:
        if len(names) > len(point):
            raise Unreadable(names)
        self.tokens = tokens[::-1]  # the next one is the last
        self.values = dict(zip(names, map(mpmath.mpf, point), strict=False)) | _CONSTANTS

    def all(self) -> list[Any]:
        """The value of a whole text; of a tuple its values and a number for each bracket."""
        brackets: list[Any] = []
        if "," in self.tokens and self.peek() in ("(", "[") and self.tokens[0] in (")", "]"):
            brackets = ["([".index(self.tokens.pop()), ")]".index(self.tokens.pop(0))]
        found = [self.sum()]
        while brackets and self.take(","):
            found.append(self.sum())
        if self.tokens:
            raise Unreadable(self.tokens)
        return found + brackets

    def sum(self) -> Any:
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take("+") else value - (self.take("-") and self.product())
        return value

    def product(self) -> Any:
        if self.take("-"):
            return -self.product()
        value = self.power()
        while self.peek() not in ("", "+", "-", ")", "]", "}", ",", "|"):
            if self.take("/"):
                value = value / (-self.power() if self.take("-") else self.power())
            else:
                times = self.take("*") or self.take("\\cdot") or self.take("\\times")
                value = value * (-self.power() if times and self.take("-") else self.power())
        return value

    def power(self) -> Any:
        base = self.atom()
        while self.take("!"):
            base = mpmath.factorial(_bounded(base))
        return base ** _bounded(self.atom()) if self.take("^") else base

    def atom(self) -> Any:
        token = self.tokens.pop() if self.tokens else ""
        if token in self.values:
            return self.values[token]
        if token[:1] in set("0123456789.") and self.peek() != "\\frac":
            return mpmath.mpf(token)
        if token in _CLOSING or token == "|":
            value = self.sum()
            if not self.take(_CLOSING.get(token, "|")):
                raise Unreadable(token)
            return abs(value) if token == "|" else value
        if token == "\\frac":
            return self.atom() / self.atom()
        if token == "\\sqrt":
            degree = self.atom() if self.peek() == "[" else 2
            return mpmath.root(self.atom(), int(degree))
        if token in _FUNCTIONS and self.peek() != "^":
            return _FUNCTIONS[token](self.power())
        raise Unreadable(token)

    def peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def take(self, token: str) -> bool:
        found = self.peek() == token
        if found:
            self.tokens.pop()
        return found


def _bounded(value: Any) -> Any:
    if not abs(value) <= LARGEST:
        raise Unreadable(value)
    return value
