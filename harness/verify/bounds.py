"""How large an expression would get if it were evaluated, estimated on the unevaluated tree of sympy."""

from __future__ import annotations

import math
from typing import Any

import sympy  # type: ignore[import-untyped]

MOST_DIGITS = 10_000  # of a number, and terms of a sum or product
LARGEST_DEGREE = 100  # of a power or product of sums


def too_large(expression: Any) -> bool:
    """Whether evaluation would meet more digits or terms than the bounds; what cannot be estimated is too large."""
    nodes = list(sympy.preorder_traversal(expression))
    terms = math.prod(_terms(node) for node in nodes if isinstance(node, (sympy.Sum, sympy.Product)))
    return not terms <= MOST_DIGITS or any(
        not _digits(node) <= MOST_DIGITS or not _expanded_degree(node) <= LARGEST_DEGREE for node in nodes
    )


def _terms(node: Any) -> float:
    """Terms of a sum or product, at most; over a range without an end there is a formula or none."""
    ranges = [limit for limit in node.limits if len(limit) == 3 and limit[2] is not sympy.oo]
    return math.prod(1 + _size(low) + _size(high) for _, low, high in ranges)


def _digits(node: Any) -> float:
    """About how many digits the exact value of a node has beyond those of its arguments."""
    if isinstance(node, sympy.Pow):
        return _size(node.exp) * math.log10(_size(node.base) + 10)
    if isinstance(node, (sympy.factorial, sympy.gamma)):
        return _size(node.args[0]) * math.log10(_size(node.args[0]) + 2)
    if isinstance(node, sympy.binomial):
        top, bottom = map(_size, node.args)
        return min(bottom, abs(top - bottom)) * math.log10(top + 2)
    return 0


def _expanded_degree(node: Any) -> float:
    """The degree of a power or product that has a sum with symbols in it, 0 of anything else."""
    if not isinstance(node, (sympy.Pow, sympy.Mul)) or not any(add.free_symbols for add in node.atoms(sympy.Add)):
        return 0
    return _degree(node)


def _degree(node: Any) -> float:
    if isinstance(node, sympy.Pow):
        return _degree(node.base) * _size(node.exp)
    degrees = [_degree(argument) for argument in node.args]
    if isinstance(node, sympy.Mul):
        return math.fsum(degrees)
    return max(degrees, default=float(isinstance(node, sympy.Symbol)))


def _size(node: Any) -> float:
    """About the absolute value of a node: symbols count as one, functions as their largest argument."""
    try:
        if isinstance(node, (sympy.Number, sympy.NumberSymbol)):
            return abs(float(node))
        sizes = [_size(argument) for argument in node.args]
        if isinstance(node, sympy.Pow):
            return math.pow(sizes[0], -sizes[1] if node.exp.could_extract_minus_sign() else sizes[1])
        if isinstance(node, sympy.binomial):
            return math.pow(sizes[0], min(sizes[1], abs(sizes[0] - sizes[1])))
        if isinstance(node, (sympy.exp, sympy.factorial, sympy.gamma)):
            return math.exp(sizes[0] * max(1.0, math.log(sizes[0] + 2) - 1))
        if isinstance(node, sympy.Mul):
            return math.prod(sizes)
        return math.fsum(sizes) if isinstance(node, sympy.Add) else max(sizes, default=1.0)
    except (OverflowError, ZeroDivisionError, ValueError):
        return math.inf
