r"""Answers that are plain numbers: the exact value, the decimals that were written, the unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from .spelling import MONTH, tidy
from .units import Unit, unit

LONGEST = 400  # characters; a longer number is compared as text only
DIGITS = 6  # of a decimal that may stand for an exact value: 0.333333 for 1/3

_UNSIGNED = r"(?:\d{1,3}(?:[ ,]\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)"
_SIGNED = rf"-?\s*{_UNSIGNED}"
_CURRENCY = "[\u20ac\u00a3\u00a5\u20b9]?"
_WORD = (
    r"\\text\s*\{[^{}\d]*\}|(?<=[\d ])(?:km|mi|m|ft)/(?:h|hr|s)\b|"
    r"(?<![A-Za-z\\])[A-Za-z]{2,}\.?|(?<=[\d ])[mgs](?![A-Za-z(])"
)
_QUANTITY = re.compile(
    rf"""\(?{_CURRENCY}\s*(?P<sign>-?)\s*{_CURRENCY}\s*(?:
        (?P<whole>\d+)?\s*\\frac\{{\s*(?P<top>{_SIGNED})\s*\}}\s*\{{\s*(?P<bottom>{_SIGNED})\s*\}}
      | (?P<units>\d+)\s+(?P<up>\d+)\s*/\s*(?P<down>\d+)
      | (?P<comma>(?!\d{{1,3}}(?:,\d{{3}})+(?!\d))\d+,\d{{2,}}|0,\d{{2,}})
      | (?P<number>{_UNSIGNED})(?:
            \s*/\s*\(?(?P<divisor>{_SIGNED})\)?
          | (?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{{?|[eE])(?P<power>[+-]?\d{{1,3}})\}}?
          | (?P<period>\\overline\{{\d+\}}))?
    )\)?(?P<percent>\s*\\%)?(?P<unit>\s*\^\{{\\circ\}}|(?:\s*(?:{_WORD}|[/\u20ac])(?:\s*\^\s*\{{?[23]\}}?)?)+)?\s*""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"(-?[0-9]{1,30})(?:\.([0-9]{1,30}))?")
_NO_UNIT = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|dozen|half|third|pi|sqrt|sin|cos|tan|log|ln|exp|mod|inf|to)\b"
)


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


@lru_cache(maxsize=65536)
def quantity(text: str) -> Quantity | None:
    r"""The number that `text` is, with or without a unit, or None where it is anything else.

    >>> quantity("-1,200.50").value, quantity(r"2\frac{1}{2}").value, quantity(r"72\text{ clips}").value, quantity("2x")
    (Fraction(-2401, 2), Fraction(5, 2), Fraction(72, 1), None)
    """
    text = tidy(text)
    found = _QUANTITY.fullmatch(text) if len(text) <= LONGEST else None
    value = _value(found) if found and _may_be_unit(found["unit"] or "") else None
    if found is None or value is None:
        return None
    written = found["number"] if not (found["divisor"] or found["period"]) else None
    decimals = len(written.partition(".")[2]) - int(found["power"] or 0) if written else None
    digits = len(re.sub(r"\D", "", written or "").lstrip("0"))
    named = unit(found["unit"]) if found["unit"] else None
    signed = -value if found["sign"] else value
    return Quantity(signed, decimals, digits, bool(found["percent"]), named, bool(found["comma"]))


def same_integer(gold: str, answer: str) -> bool | None:
    """Whether two plain numbers agree, of which one is whole, in the least time; None where one is anything else."""
    whole, other = _PLAIN.fullmatch(gold), _PLAIN.fullmatch(answer)
    if not whole or not other or (whole[2] and other[2]):
        return None
    return int(whole[1]) == int(other[1]) and not (whole[2] or other[2] or "").strip("0")


def same_number(gold: Quantity, answer: Quantity) -> bool:
    """Whether two numbers agree: exactly, or as a value and its decimal of at least `DIGITS` digits and decimals.

    A number in per cent agrees with its value and with the number before the sign; units count where both have one.
    """
    if gold.unit and answer.unit:
        if not gold.unit.in_common(answer.unit):
            return False
        return gold.value * gold.unit.size == answer.value * answer.unit.size
    ratios = [Fraction(1)] if gold.percent == answer.percent else [Fraction(1), Fraction(1, 100)]
    readings = [(q.value * (r if q.percent else 1)) for q in (gold, answer) for r in ratios]
    half = len(ratios)
    if any(a == b for a in readings[:half] for b in readings[half:]):
        return True
    if (gold.decimals is None) == (answer.decimals is None):
        return False
    return rounds_to(gold.value, answer) if gold.decimals is None else rounds_to(answer.value, gold)


def rounds_to(exact: Fraction, written: Quantity) -> bool:
    """Whether a decimal of enough digits is `exact`, rounded to as many decimals."""
    if written.decimals is None or min(written.decimals, written.digits) < DIGITS:
        return False
    return abs(exact - written.value) * 2 * 10**written.decimals <= 1


def _may_be_unit(text: str) -> bool:
    """Whether words behind a number leave it as it is: no `million`, no month, and letters that touch it are a unit."""
    if _NO_UNIT.search(text) or MONTH.search(text):
        return False
    return not text[:1].isalpha() or unit(text) is not None


def _value(found: re.Match[str]) -> Fraction | None:
    """The absolute value of a match; None for a zero denominator and for a mixed number that is none."""
    if found["top"]:
        top, bottom = _plain(found["top"]), _plain(found["bottom"])
        return _mixed(found["whole"], top, bottom)
    if found["units"]:
        return _mixed(found["units"], Fraction(found["up"]), Fraction(found["down"]))
    if found["comma"]:
        return Fraction(found["comma"].replace(",", "."))
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
