r"""Answers that are plain numbers: the exact value, the decimals that were written, the unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from .spelling import DATE, tidy
from .units import Unit, unit
from .words import changes_number, number_word, sized

LONGEST = 400  # characters; a longer number is compared as text only

_UNSIGNED = r"(?:\d{1,3}(?:[ ,]\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)"
_SIGNED = rf"-?\s*{_UNSIGNED}"
_CURRENCY = "[\u20ac\u00a3\u00a5\u20b9]"
_WORD = (
    r"\\text\s*\{[^{}\d,]*\}|(?<=[\d ])(?:km|mi|m|ft)/(?:h|hr|s)\b|"
    r"(?<![A-Za-z\\])[A-Za-z]{2,}\.?|(?<=[\d ])[mgs](?![A-Za-z(])"
)
_QUANTITY = re.compile(
    rf"""(?P<bracket>\()?(?P<before>{_CURRENCY})?\s*(?P<sign>-?)\s*(?P<currency>{_CURRENCY})?\s*(?:
        (?P<whole>\d+)?\s*\\frac\{{\s*(?P<top>{_SIGNED})\s*\}}\s*\{{\s*(?P<bottom>{_SIGNED})\s*\}}
      | (?P<units>\d+)\s+(?P<up>\d+)\s*/\s*(?P<down>\d+)
      | (?P<comma>(?!\d{{1,3}}(?:,\d{{3}})+(?!\d))\d+,\d{{2,}}|0,\d{{2,}}|\d{{1,3}}(?:[. ]\d{{3}})+,\d+)
      | (?P<number>{_UNSIGNED})(?:
            \s*/\s*\(?(?P<divisor>{_SIGNED})\)?
          | (?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{{?|[eE])(?P<power>[+-]?\d{{1,3}})\}}?
          | (?P<period>\\overline\{{\d+\}}))?
    )(?P<close>\))?(?P<percent>\s*\\%)?(?P<unit>\s*\^\{{\\circ\}}|(?:\s*(?:{_WORD}|[/\u20ac])(?:\s*\^\s*\{{?[23]\}}?)?)+)?\s*""",
    re.VERBOSE,
)
_POINT = re.compile(r",(?!0)")  # (1,234), where (1,000) can only be a number
_DOLLARS = re.compile(r"\$?[^$\d]*(?:\\\$|(?<!\\)\$(?=[^$]*$))\s*-?\s*[.\d][^$]*\$?")


@dataclass(frozen=True)
class Quantity:
    """A number as it was written.

    `decimals` behind its point, None of a fraction; `digits` that count; `doubtful` where a comma may separate two
    numbers instead.
    """

    value: Fraction
    decimals: int | None = None
    digits: int = 0
    percent: bool = False
    unit: Unit | None = None
    doubtful: bool = False


@lru_cache(maxsize=1 << 14)
def quantity(text: str) -> Quantity | None:
    r"""The number that `text` is, with or without a unit, or None where it is anything else.

    >>> quantity("-1,200.50").value, quantity(r"2\frac{1}{2}").value, quantity(r"72\text{ clips}").value, quantity("2x")
    (Fraction(-2401, 2), Fraction(5, 2), Fraction(72, 1), None)
    """
    dollars, text = _DOLLARS.fullmatch(text), tidy(text)
    found = _QUANTITY.fullmatch(text) if len(text) <= LONGEST and not DATE.match(text) else None
    if not found or (found["bracket"] and (not found["close"] or _POINT.search(text))):
        word = number_word(text)
        return None if word is None else Quantity(word)
    size, words = sized(found["unit"] or "")
    value = _value(found) if _may_be_unit(words) else None
    if value is None:
        return None
    written = found["number"] if not (found["divisor"] or found["period"] or size > 1) else None
    decimals = len(written.partition(".")[2]) - int(found["power"] or 0) if written else None
    if found["comma"]:
        decimals = len(found["comma"].partition(",")[2])
    digits = len(re.sub(r"\D", "", written or "").lstrip("0"))
    currency = "USD" if dollars else found["before"] or found["currency"] or ""
    named = (unit(f"{currency} {words}") or unit(currency)) if currency or words else None
    signed = size * (-value if found["sign"] else value)
    return Quantity(signed, decimals, digits, bool(found["percent"]), named, _doubtful(found["comma"] or ""))


def _doubtful(comma: str) -> bool:
    """Whether a comma may separate two numbers instead of decimals; not in 1.234,50."""
    return bool(comma) and not re.search("[. ]", comma)


def _may_be_unit(text: str) -> bool:
    """Whether words behind a number leave it as it is; letters that touch it have to be a unit."""
    return not changes_number(text) and (not text[:1].isalpha() or unit(text) is not None)


def _value(found: re.Match[str]) -> Fraction | None:
    """The absolute value of a match; None for a zero denominator and for a mixed number that is none."""
    if found["top"]:
        top, bottom = _plain(found["top"]), _plain(found["bottom"])
        return _mixed(found["whole"], top, bottom)
    if found["units"]:
        return _mixed(found["units"], Fraction(found["up"]), Fraction(found["down"]))
    if found["comma"]:
        return Fraction(re.sub("[. ]", "", found["comma"]).replace(",", "."))
    value = _plain(found["number"])
    if found["divisor"]:
        return _mixed(None, value, _plain(found["divisor"]))
    if found["period"]:
        repeated = found["period"][len(r"\overline{") : -1]
        place = 10 ** len(found["number"].partition(".")[2])
        return value + Fraction(int(repeated), (10 ** len(repeated) - 1) * place)
    return value * Fraction(10) ** int(found["power"] or 0)


def _mixed(whole: str | None, top: Fraction, bottom: Fraction) -> Fraction | None:
    if not bottom or (whole and not 0 < top < bottom):
        return None
    return int(whole or 0) + top / bottom


def _plain(text: str) -> Fraction:
    return Fraction(re.sub(r"[ ,]", "", text).removesuffix("."))
