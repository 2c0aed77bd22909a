r"""What an answer is made of: a list, set, tuple or interval, an equation, two values behind a \pm, or one expression.

All of it reads text as `spelling.tidy` leaves it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PIECE = re.compile(r"\\[{}]|\\[lr]angle|\\[A-Za-z]+|.", re.DOTALL)
_OPENING = {"(": "(", "[": "[", r"\{": "{", r"\langle": "<", "{": ""}
_CLOSING = {")": ")", "]": "]", r"\}": "}", r"\rangle": ">", "}": ""}
_COLUMN = re.compile(r"\\begin\{[pb]?matrix\}((?:(?!&|\\begin).)*)\\end\{[pb]?matrix\}", re.DOTALL)
_RELATION = re.compile(r"[<>]|!=|\\(?:le|ge|ne|in|equiv|sim|subset|to|mid)(?![A-Za-z])")
_MEMBER = re.compile(r"\\in(?![A-Za-z])")
_SUBSCRIPT = re.compile(r"_\s*(?:\{[^{}]*\}|\\?\w)|'")
_ARGUMENTS = re.compile(r"(?<=[A-Za-z'])\s*\([^()]*\)")
_NAME = re.compile(r"[A-Za-z\\{}|:(), ]*[A-Za-z][A-Za-z\\{}|:(), ]*")
_NAMED_THOUSANDS = re.compile(r"[^,=]*=\s*-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SPACED_THOUSANDS = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+, |, -?\d{1,3}(?:,\d{3})+(?![,\d])")  # 1,000, 2,000
_OPERATION = re.compile(r"\\(?:sqrt|binom|sum|prod|int|lim|log|ln|sin|cos|tan|begin)(?![a-z])")


class Group(NamedTuple):
    """Several answers in one: `brackets` are "" of a list, "{}", "()", "[)" and so on, "<>" of a vector."""

    brackets: str
    items: tuple[str, ...]


class Equation(NamedTuple):
    """A chain of equations: what it names, else its first side, and its last; an approximation leaves `left` empty."""

    left: str
    right: str


def read(text: str) -> Group | Equation | str:
    r"""The outermost structure of an answer; text in brackets or braces around a single expression is that expression.

    >>> read("x=1;2"), read("[0,a)"), read(r"k=1/3 \approx 0.33")
    (Group(brackets='', items=('x=1', '2')), Group(brackets='[)', items=('0', 'a')), Equation(left='k', right='1/3'))
    """
    for separator in (";",) if _NAMED_THOUSANDS.fullmatch(text) else (";", ","):
        if len(parts := split(text, separator)) > 1:
            return Group("", tuple(parts))
    if equation := _equation(text):
        return equation
    if column := _COLUMN.fullmatch(text):
        return Group("<>", tuple(row.strip() for row in column[1].split(r"\\") if row.strip()))
    pieces = _PIECE.findall(text)
    if len(pieces) > 2 and pieces[0] in _OPENING and pieces[-1] in _CLOSING and _closes_at_end(pieces):
        inner = text[len(pieces[0]) : len(text) - len(pieces[-1])].strip()
        brackets = _OPENING[pieces[0]] + _CLOSING[pieces[-1]]
        if brackets in ("", "()") and not any(len(split(inner, separator)) > 1 for separator in ";,"):
            return read(inner)
        inside = read(inner)
        return Group(brackets, inside.items if isinstance(inside, Group) and not inside.brackets else (inner,))
    return text


def split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators that stand outside of all brackets, without empty ones."""
    if separator not in text:
        return [text]
    parts, depth = [""], 0
    pieces = _PIECE.findall(text)
    spaced = separator == "," and bool(_SPACED_THOUSANDS.search(text))
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        depth += (piece in _OPENING) - (piece in _CLOSING)
        if piece == separator and depth <= 0 and (not spaced or not following.isdigit()):
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts if part.strip()]


def alternatives(text: str) -> Group | None:
    r"""Both values of an expression with one \pm (and a \mp that goes along) or one \mp, None of any other.

    >>> alternatives(r"1 \pm x")
    Group(brackets='', items=('1 + x', '1 - x'))
    """
    if max(text.count(r"\pm"), text.count(r"\mp")) != 1:
        return None
    upper = text.replace(r"\pm", "+").replace(r"\mp", "-").removeprefix("+").strip()
    return Group("", (upper, text.replace(r"\pm", "-").replace(r"\mp", "+")))


def is_name(text: str, sums: bool = False) -> bool:
    r"""Whether `text` only names a value: x, a_{1}, f(2), |AB|, P:Q, (p,q), \frac{AB}{CD}; with `sums` also m+n.

    Numbers outside of subscripts and arguments make it an expression: 2x is none.
    """
    text = _ARGUMENTS.sub("", _SUBSCRIPT.sub("", text))
    text = re.sub(r"[+-]", " ", text) if sums else text
    return bool(_NAME.fullmatch(text)) and not _OPERATION.search(text)


def is_relation(text: str) -> bool:
    """Whether a text has an inequality or the like in it."""
    return bool(_RELATION.search(text))


def _equation(text: str) -> Equation | None:
    exact, approximately, rest = text.partition(r"\approx")
    if _RELATION.search(exact):
        left, *members = _MEMBER.split(exact)
        of_a_set = len(members) == 1 and is_name(left) and not _RELATION.search(members[0])
        return Equation(left, members[0].strip()) if of_a_set else None
    parts = split(exact.replace(":=", "="), "=")
    if approximately and len(parts) == 1:
        return Equation(exact, rest.strip()) if is_name(exact) else Equation("", exact.strip())
    if len(parts) < 2:
        return None
    return Equation(next(filter(is_name, parts[:-1]), parts[0]), parts[-1])


def _closes_at_end(pieces: list[str]) -> bool:
    depth = 0
    for i, piece in enumerate(pieces):
        depth += (piece in _OPENING) - (piece in _CLOSING)
        if depth == 0:
            return i == len(pieces) - 1
    return False
