r"""Two expressions inside a worker: their values at a few points, then math-verify.

Values come first because they tell most unequal answers apart in less time than algebra takes, and because
math-verify takes differences below 1e-15 and decimals that agree to six places for equal.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy  # type: ignore[import-untyped]
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from .agreement import rounds_to
from .bare import is_prose
from .bounds import too_large
from .decision import UNLIKE, Decision
from .letters import told_apart
from .number import quantity

TOLERANCE = 1e-9  # of two values, relative to the larger
POINTS = (("7/3", "11/5", "5/7"), ("19/13", "3/11", "23/9"))  # positive, so that roots and logarithms are real
_EAGER = re.compile(r"\\d?binom\s*\{\s*\d{5,}")  # evaluated while it is parsed
_I = re.compile(r"(?<=\d)i(?![A-Za-z])")  # math-verify takes 2i for twice a real variable
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\{\\circ\}")  # which it drops, also from the argument of a sine
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_LATEX = [LatexExtractionConfig(boxed_match_priority=0)]
_TEXT = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]


def equivalent(gold: str, answer: str) -> Decision:
    """Whether two expressions are the same; what is too large to be evaluated is not."""
    if _EAGER.search(gold + answer):
        return UNLIKE
    if (told := told_apart(gold, answer)) is None:
        return UNLIKE
    mine, given = map(_parsed, told)
    if any(too_large(read) for read in (*mine[:1], *given[:1]) if isinstance(read, (sympy.Basic, sympy.MatrixBase))):
        return UNLIKE
    mine, given = [_exact(read) for read in mine], [_exact(read) for read in given]
    if not mine or not given:
        return Decision(False, "symbolic")
    if _rounds(mine[0], answer) or _rounds(given[0], gold):
        return Decision(True, "symbolic")
    same = _values_agree(mine[0], given[0])
    if same and all(isinstance(side[0], sympy.Expr) for side in (mine, given)) and _one_symbol(mine[0], given[0]):
        same = sympy.simplify(mine[0] - given[0]) == 0
    else:
        same = same and verify(mine, given, allow_set_relation_comp=True, timeout_seconds=None)
    return Decision(bool(same), "symbolic")


def extract(text: str) -> str | None:
    """The answer that math-verify finds in prose: behind "answer is", else the last formula or number."""
    found = parse(text, _TEXT, parsing_timeout=None)
    if not found or not isinstance(found[-1], str):
        return None
    return str(found[0]) if isinstance(found[0], sympy.Number) and is_prose(found[-1]) else found[-1]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> list[Any]:
    """What math-verify reads: an expression if it can, and the text."""
    text = _I.sub(" i", text)
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"\\frac{\1\\pi}{180}", text)
    return list(parse(rf"\boxed{{{text}}}", _LATEX, parsing_timeout=None))


def _exact(read: Any) -> Any:
    """An expression with its decimals as fractions, so that no comparison rounds, and i as the imaginary unit."""
    if not isinstance(read, (sympy.Basic, sympy.MatrixBase)):
        return read
    exact = {number: sympy.Rational(str(number)) for number in read.atoms(sympy.Float)}
    if not read.has(sympy.Sum, sympy.Product):
        exact |= {symbol: sympy.I for symbol in read.atoms(sympy.Symbol) if symbol.name == "i" and not symbol.is_real}
    return read.xreplace(exact) if exact else read


def _one_symbol(mine: Any, given: Any) -> bool:
    """Whether one of two expressions is a variable, which math-verify takes for nothing but itself."""
    return bool(mine.is_Symbol != given.is_Symbol)


def _rounds(exact: Any, text: str) -> bool:
    """Whether `text` is a decimal of enough digits that rounds a constant."""
    written = quantity(text)
    if not written or not written.decimals or not isinstance(exact, sympy.Expr) or not exact.is_number:
        return False
    value = exact.evalf(written.digits + 20)
    return bool(value.is_Float) and rounds_to(Fraction(str(value)), written)


def _values_agree(mine: Any, given: Any) -> bool:
    """False where two expressions in the same variables, or one in none, have different values; else True."""
    if isinstance(mine, sympy.MatrixBase) and isinstance(given, sympy.MatrixBase) and mine.shape == given.shape:
        return all(_values_agree(a, b) for a, b in zip(mine.flat(), given.flat(), strict=True))
    if not isinstance(mine, sympy.Expr) or not isinstance(given, sympy.Expr):
        return True
    names = sorted(mine.free_symbols | given.free_symbols, key=str)
    if mine.free_symbols and given.free_symbols and mine.free_symbols != given.free_symbols:
        return True
    for point in POINTS if names else POINTS[:1]:
        at = dict(zip(names, map(sympy.Rational, point * len(names)), strict=False))
        parts = [side.subs(at).evalf(20).as_real_imag() for side in (mine, given)]
        if not all(part.is_Number and part.is_finite for side in parts for part in side):
            return True
        (a, b), (c, d) = parts
        if max(abs(a - c), abs(b - d)) > TOLERANCE * max(map(abs, (a, b, c, d))):
            return False
    return True
