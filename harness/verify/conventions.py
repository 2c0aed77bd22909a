r"""Rules of writing that neither numbers nor algebra know: bases, clock times, ratios, the letter of a choice.

Each takes text as `spelling.tidy` leaves it and says whether two answers are the same, or None where it has no say.
"""

from __future__ import annotations

import re

from .number import quantity
from .spelling import key, untexted
from .structure import is_relation, split
from .units import unit

HALF_A_DAY_S = 12 * 3600
_BASED = re.compile(r"\(?(?P<digits>\d[\dA-F]*)\)?_(?:\{(?P<long>\d+)\}|(?P<short>\d))")
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?|(?=[ap]))(?P<half>[ap]\.?m\.?)?",
    re.IGNORECASE,
)
_TEXT = re.compile(r"\\text\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_UNSURE = re.compile(r"\\(?:sum|prod|int|lim|sin|cos|tan|cot|sec|csc|cup|cap)(?![a-z])")
_VALUE = re.compile(r"\d|\\[a-z]|\b(?:e|i|pi)\b")
_PRIMED = re.compile(r"[A-Za-z]'+|[A-Z]\s*\^\s*\{?\s*(?:T|\\top)(?![A-Za-z])")
_HEDGE = re.compile(r"\b(?:not|except|least|most|more|less|greater|fewer|than|between|divisible|multiples?)\b")
_CHOICE = re.compile(r"\(?([A-J])(?:\)(?!\S)|[.:)](?=\s)|$)|\(?([a-d])\)?$")


def bases(gold: str, answer: str) -> bool | None:
    """Whether digits and number base agree: 12_5 is neither 12_6 nor 12, which is 12_{10}."""
    if "_" not in gold and "_" not in answer:
        return None
    read = [_BASED.fullmatch(key(text)) for text in (gold, answer)]
    if not any(read):
        return None
    written = [_digits(match, text) for match, text in zip(read, (gold, answer), strict=True)]
    return written[0] == written[1]


def clocks(gold: str, answer: str) -> bool | None:
    """Whether two times of day agree, 20:34 and 8:34 PM too; as ratios 3:45 and 1:15 would be the same."""
    read = [_CLOCK.fullmatch(key(text)) for text in (gold, answer)]
    if not read[0] or not read[1]:
        return None
    times = [_seconds(match) for match in read if match]
    halves = [bool(match["half"]) or int(match["hour"]) > 12 for match in read if match]
    return times[0] == times[1] or (not all(halves) and (times[0] - times[1]) % HALF_A_DAY_S == 0)


def choices(gold: str, answer: str) -> bool | None:
    """True where both name the same choice: C, (C), "C. x = 4"; otherwise None, because C may be a variable too."""
    read = [_CHOICE.match(untexted(text)) for text in (gold, answer)]
    return True if read[0] and read[1] and _letter(read[0]) == _letter(read[1]) else None


def ellipses(gold: str, answer: str) -> bool | None:
    """False where something is left out: nobody can say what 1, 3, ... goes on with."""
    return False if r"\ldots" in gold + answer else None


def ratios(gold: str, answer: str) -> bool | None:
    """Whether 1:2:3 and 2:4:6 are in proportion, for numbers; a division would take 1:2:3 for 1:3:2."""
    parts = [split(text, ":") for text in (gold, answer)]
    lengths = {len(part) for part in parts}
    if lengths == {1}:
        return None
    if len(lengths) > 1:
        return False if max(lengths) > 2 else None
    values = [[found.value for text in part if (found := quantity(text))] for part in parts]
    if {len(found) for found in values} != lengths:
        return None
    (a, *_), (b, *_) = values
    return all(x * b == y * a for x, y in zip(*values, strict=True)) and bool(a) == bool(b)


def hedges(gold: str, answer: str) -> bool | None:
    """False where one is at least, at most or not what the other is: the algebra drops words."""
    if is_relation(gold) or is_relation(answer):
        return None
    return None if set(_HEDGE.findall(gold.lower())) == set(_HEDGE.findall(answer.lower())) else False


def primes(gold: str, answer: str) -> bool | None:
    """False where letters carry other primes or are not transposed alike: math-verify takes f' for f and A^T for A."""
    marks = [[re.sub(r"[\s{]", "", mark) for mark in _PRIMED.findall(text)] for text in (gold, answer)]
    return None if marks[0] == marks[1] else False


def kinds(gold: str, answer: str) -> bool | None:
    """False of a number against something with a variable in it, a word or a matrix; units are none of these.

    No say where a variable is bound or may cancel, nor on inequalities and unions, which may be intervals.
    """
    if _UNSURE.search(gold + answer) or is_relation(gold) or is_relation(answer):
        return None
    return False if (_kind(gold) == "number") != (_kind(answer) == "number") else None


def _kind(text: str) -> str:
    if text.startswith(r"\begin"):
        return "matrix"
    written = _TEXT.sub(" ", text)
    if not written.strip():
        return "word"
    words = re.findall("[A-Za-z]+", _COMMAND.sub(" ", written))
    variables = [w for w in words if len(w) < 3 and w not in ("e", "i", "pi", "ln") and (len(w) == 1 or not unit(w))]
    return "variable" if variables else "number" if _VALUE.search(written) else "word"


def _letter(choice: re.Match[str]) -> str:
    return (choice[1] or choice[2]).upper()


def _seconds(clock: re.Match[str]) -> int:
    hour = int(clock["hour"]) % 12 if clock["half"] else int(clock["hour"])
    later = HALF_A_DAY_S if (clock["half"] or "").lower().startswith("p") else 0
    return 3600 * hour + 60 * int(clock["minute"] or 0) + int(clock["second"] or 0) + later


def _digits(match: re.Match[str] | None, text: str) -> tuple[str, int]:
    """Digits and base, which is ten where none is written."""
    return (match["digits"], int(match["long"] or match["short"])) if match else (key(text), 10)
