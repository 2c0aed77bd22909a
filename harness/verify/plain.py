"""Comparing answers without a computer algebra system: by text, then as exact rational numbers."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

LONGEST_NUMBER = 100  # characters; a longer one is compared as text only

_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)?(\.\d*)?")
_LATEX_FRACTION = re.compile(r"([+-]?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_DECORATION = re.compile(r"\\left|\\right|\\!|\\,|\\;|\\ |\\\$|\$|(?<!\d)\s+|\s+(?!\d)")


def normalize(answer: str) -> str:
    """`answer` without spaces, dollar signs, LaTeX spacing or a final full stop, minus signs in ASCII.

    A space between two digits stays: "7 2" is not 72. Compatible characters stay too: 5² is not 52.

    >>> normalize(" $1,200$. ")
    '1,200'
    """
    text = _DECORATION.sub("", unicodedata.normalize("NFC", answer).replace("\u2212", "-")).strip()
    return text[:-1] if text.endswith(".") else text


def number(answer: str) -> Fraction | None:
    """The exact value of a plain number (integer, decimal, with thousands commas, a/b or LaTeX fraction), else None.

    >>> number("1,200.50"), number("-3/4"), number("x")
    (Fraction(2401, 2), Fraction(-3, 4), None)
    """
    text = normalize(answer)
    if not text or len(text) > LONGEST_NUMBER:
        return None
    if fraction := _LATEX_FRACTION.fullmatch(text):
        text = f"{fraction[1]}{fraction[2]}/{fraction[3]}"
    top, slash, bottom = text.partition("/")
    parts = [_decimal(top), _decimal(bottom) if slash else Fraction(1)]
    if parts[0] is None or not parts[1]:  # not a number, or a zero denominator
        return None
    return parts[0] / parts[1]


def _decimal(text: str) -> Fraction | None:
    if not _NUMBER.fullmatch(text) or not any(c.isdecimal() for c in text):
        return None
    return Fraction(text.replace(",", "").rstrip("."))
