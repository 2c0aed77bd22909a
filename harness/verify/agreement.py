"""Whether two numbers agree, exactly or as far as they are written."""

from __future__ import annotations

import re
from fractions import Fraction

from .number import Quantity

DIGITS = 6  # of a decimal that may stand for an exact value: 0.333333 for 1/3
_PLAIN = re.compile(r"(-?[0-9]{1,30})(?:\.([0-9]{1,30}))?")


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
    if gold.doubtful or answer.doubtful:
        return gold.value == answer.value and _same_comma(gold, answer)
    if (gold.unit and answer.percent) or (gold.percent and answer.unit):
        return False
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


def _same_comma(gold: Quantity, answer: Quantity) -> bool:
    """Whether a comma that may be a list's is a decimal one beside the other number: 2,74 for a gold answer 2.74.

    Of the gold answer only with the same digits and one of them before the comma: 10,20 may be two numbers.
    """
    if not gold.doubtful:
        return bool(gold.decimals)
    return not answer.doubtful and gold.decimals == answer.decimals and gold.value < 10


def rounds_to(exact: Fraction, written: Quantity) -> bool:
    """Whether a decimal of enough digits is `exact`, rounded to as many decimals."""
    if written.decimals is None or min(written.decimals, written.digits) < DIGITS:
        return False
    return abs(exact - written.value) * 2 * 10**written.decimals <= 1
