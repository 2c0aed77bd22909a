"""Numbers and sizes that are written as words, and the words that make something else of the number before them."""

from __future__ import annotations

import re
from fractions import Fraction

from .spelling import untexted

_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBERS = {name: Fraction(i) for i, name in enumerate(_NAMES.split())} | dict.fromkeys(
    ("half", "a half", "one half", "one-half"), Fraction(1, 2)
)
_SIZES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SIZE = re.compile(rf"\s*(?:\\text\s*\{{\s*)?({'|'.join(_SIZES)})\b")
_OTHERWISE = re.compile(
    r"\b(?:dozen|hundred|thousand|million|billion|trillion|half|third|pi|sqrt|sin|cos|tan|log|ln|exp|mod|modulo|inf|to|"
    r"squared|cubed|factorial|choose|plus|minus|divided|not|no|than|least|most|except|but|is|are|was|isn|wrong|between)\b"
)


def number_word(text: str) -> Fraction | None:
    r"""The number that is written as a word, up to twenty.

    >>> number_word(r"\text{Three}"), number_word("one half"), number_word("apples")
    (Fraction(3, 1), Fraction(1, 2), None)
    """
    return _NUMBERS.get(untexted(text).strip().lower())


def sized(text: str) -> tuple[int, str]:
    """How many times the number the words behind it say, and the words behind those.

    >>> sized(" million dollars"), sized(" apples")
    ((1000000, ' dollars'), (1, ' apples'))
    """
    size = _SIZE.match(text)
    return (_SIZES[size[1]], text[size.end() :].removeprefix("}")) if size else (1, text)


def changes_number(text: str) -> bool:
    """Whether words behind a number are no unit and nothing counted: 5 squared, 5 is wrong."""
    return bool(_OTHERWISE.search(text))
