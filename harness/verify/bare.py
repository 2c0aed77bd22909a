"""Texts that may be an answer, a sentence or a whole solution: where in them the answer is."""

from __future__ import annotations

import re

from .extract import LONGEST_ANSWER, after_thinking, boxes, listed
from .number import quantity
from .spelling import DATE, tidy, untexted
from .structure import split
from .units import unit

_STATED = re.compile(r"final answer is", re.IGNORECASE)
_SEPARATOR = re.compile(r"\b(?:and|or)\b|[,;]")
_MATH = re.compile(r"\d|\$|\\\(|\\\[")
_FORMULA = re.compile(
    r"\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\(?:text[a-z]*|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+", re.DOTALL
)
_WORD = re.compile(r"[^\W\d_]{3,}|\b(?:[Ss]o|is|we|it|of)\b|[\u3040-\u9fff]")
_NUMBER = r"-?\d[\d.,/]*"
_HEDGED = re.compile(
    rf"""(?: ^\D*\bnot\ (?:equal\ to\ )?{_NUMBER}
           | \b(?:except|least|most|than|divisible\ by|multiples?\ of|could\ be)\ (?:equal\ to\ )?{_NUMBER}
           | \b(?:between|maybe|perhaps)\ {_NUMBER}\ (?:and|or|to)\ {_NUMBER}
           | {_NUMBER}\ (?:or\ (?:more|less|fewer|greater)|and\ (?:above|below)|is\ (?:not|wrong)|mod|million|billion)
         )\b\D*$""",
    re.VERBOSE | re.IGNORECASE,
)
SHORT = 60  # characters
_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc|log|exp|sqrt|inf|infinity|max|min|mod|gcd|lcm")
NEAR, SAME_SENTENCE = 10, 70  # of them between two boxes that give one answer together


def bare_answer(text: str) -> str:
    r"""The answer in a text that may be no more than an answer: its last boxes, else all of it.

    As math-verify reads them, boxes that follow each other as a list are one answer, and a "final answer is" after
    them counts instead.

    >>> bare_answer(r"\boxed{1} and \boxed{2}"), bare_answer("$x=1$")
    ('1, 2', '$x=1$')
    """
    text = after_thinking(text).strip()
    found = boxes(text)
    if not found:
        return text
    if stated := _STATED.search(text, found[-1].end):
        return text[stated.start() :]
    closed = [box for box in found if box.closed] or found
    return listed(text, closed, lambda between: len(between) < NEAR or _one_sentence(between))


def is_prose(text: str) -> bool:
    """Whether an answer stands somewhere in sentences, so that it has to be found in them.

    Words alone are an answer, as are a date, and numbers with units or things that are counted.

    >>> [is_prose(text) for text in ("So $x$ is 5", "5 apples", "no solution", "June 20", "x=1 or x=2")]
    [True, False, False, False, False]
    """
    if len(text) > LONGEST_ANSWER or not _MATH.search(text) or DATE.search(text):
        return len(text) > LONGEST_ANSWER
    if _hedged(text):
        return False
    items = split(tidy(text), ",")
    words = _WORD.findall(tidy(_FORMULA.sub(" ", text)))
    return any(not unit(word) and not _FUNCTION.fullmatch(word) for word in words) and not all(map(quantity, items))


def _hedged(text: str) -> bool:
    """Whether a short text says that its last number is not the answer by itself."""
    words = untexted(text)
    return len(words) <= SHORT and "$" not in words and bool(_HEDGED.search(words))


def _one_sentence(between: str) -> bool:
    return len(between) < SAME_SENTENCE and bool(_SEPARATOR.search(between))
