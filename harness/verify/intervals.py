"""Inequalities that "or" joins, as the union of intervals that they are."""

from __future__ import annotations

import re

from .spelling import tidy

_OR = re.compile(r"\\text\s*\{\s*or\s*\}|\\(?:lor|vee)(?![A-Za-z])|\bor\b")
_SIGN = r"\s*(?P<{}>[<>]|\\[lg]e(?![A-Za-z]))\s*"
_ONE = re.compile(rf"(?P<name>[a-z]){_SIGN.format('sign')}(?P<bound>[^<>=,]+)")
_TWO = re.compile(rf"(?P<low>[^<>=,]+){_SIGN.format('left')}(?P<name>[a-z]){_SIGN.format('right')}(?P<high>[^<>=,]+)")


def as_union(text: str) -> str:
    r"""Inequalities in one variable as intervals; any other text as it is.

    >>> as_union("x<-1 or x \\ge 1"), as_union("x=1 or x=2")
    ('(-\\infty,-1) \\cup [1,\\infty)', 'x=1 or x=2')
    """
    parts = [tidy(part) for part in _OR.split(text)]
    found = [_ONE.fullmatch(part) or _TWO.fullmatch(part) for part in parts] if len(parts) > 1 else []
    if not found or not all(found) or len({match["name"] for match in found if match}) > 1:
        return text
    return r" \cup ".join(_interval(match.groupdict()) for match in found if match)


def _interval(part: dict[str, str]) -> str:
    if "sign" in part:
        closed = "\\" in part["sign"]
        if part["sign"] in (">", r"\ge"):
            return f"{'[' if closed else '('}{part['bound'].strip()},\\infty)"
        return f"(-\\infty,{part['bound'].strip()}{']' if closed else ')'}"
    ends = [part["low"].strip(), part["high"].strip()]
    signs = [part["left"], part["right"]]
    if ">" in signs[0] or "g" in signs[0]:
        ends, signs = ends[::-1], signs[::-1]
    return f"{'[' if len(signs[0]) > 1 else '('}{ends[0]},{ends[1]}{']' if len(signs[1]) > 1 else ')'}"
