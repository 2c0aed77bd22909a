"""Upper and lower case told apart for a parser that takes R for r."""

from __future__ import annotations

import re
from string import ascii_lowercase

_LETTER = re.compile(r"\\(?:text|mathbb|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+|([A-Za-z])")
_CONSTANTS = frozenset("dei")  # which mean something of their own in lower case


def told_apart(gold: str, answer: str) -> tuple[str, str] | None:
    r"""Both with other lower-case letters for the upper-case ones that occur in lower case, too, or would be constants.

    None where no letters are left.

    >>> told_apart(r"\pi Rr", "R^2"), told_apart("AB", r"\text{AB}")
    (('\\pi ar', 'a^2'), ('AB', '\\text{AB}'))
    """
    letters = {match[1] for text in (gold, answer) for match in _LETTER.finditer(text) if match[1]}
    clashing = sorted(a for a in letters if a.isupper() and (a.lower() in letters or a.lower() in _CONSTANTS))
    free = [a for a in ascii_lowercase if a not in _CONSTANTS and not {a, a.upper()} & letters]
    if len(free) < len(clashing):
        return None
    names = dict(zip(clashing, free, strict=False))
    gold, answer = (_LETTER.sub(lambda m: names.get(m[0], m[0]), text) for text in (gold, answer))
    return gold, answer
