"""Units of measurement behind a number: 5 cm is 0.05 m and not 5 m; apples and students are no units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_SIZES: dict[str, dict[str, str]] = {
    "length": {"mm": "1", "cm": "10", "dm": "100", "m": "1000", "km": "1000000"},
    "inches": {"in": "1", "ft": "12", "yd": "36", "mi": "63360"},
    "mass": {"mg": "1", "g": "1000", "kg": "1000000"},
    "pounds": {"oz": "1", "lb": "16"},
    "time": {"s": "1", "min": "60", "h": "3600", "day": "86400", "week": "604800"},
    "calendar": {"month": "1", "year": "12"},
    "volume": {"ml": "1", "l": "1000"},
    "money": {"cent": "1", "dollar": "100"},
    "angle": {"degree": "1"},
    "arc": {"radian": "1"},
    "morning": {"am": "1"},
    "afternoon": {"pm": "1"},
}
_UNITS = {name: (kind, Fraction(size)) for kind, sizes in _SIZES.items() for name, size in sizes.items()}
_NAMES = {
    "millimeter": "mm", "centimeter": "cm", "meter": "m", "metre": "m", "kilometer": "km", "inch": "in", "inche": "in",
    "foot": "ft", "feet": "ft", "yard": "yd", "mile": "mi", "milligram": "mg", "gram": "g", "kilogram": "kg",
    "ounce": "oz", "pound": "lb", "sec": "s", "second": "s", "minute": "min", "hr": "h", "hour": "h", "liter": "l",
    "litre": "l", "milliliter": "ml", "deg": "degree", "circ": "degree", "rad": "radian", "USD": "dollar",
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "2": 2, "cubic": 3, "cu": 3, "3": 3}


@dataclass(frozen=True)
class Unit:
    """So many of the smallest unit of its kind, to a power; two kinds or powers have nothing in common."""

    kind: str
    size: Fraction
    power: int

    def in_common(self, other: Unit) -> bool:
        """Whether values in the two units can be compared after conversion."""
        return (self.kind, self.power) == (other.kind, other.power)


def unit(text: str) -> Unit | None:
    r"""The one unit that `text` names, or None.

    >>> unit(r"\text{ square feet}") == unit("ft^2"), unit("apples"), unit("km/h").kind
    (True, None, 'km/h')
    """
    words = re.findall(r"(?<!\\)[A-Za-z]+|circ|[23/]", text.replace("a.m", "am").replace("p.m", "pm"))
    power = max((_POWERS.get(word, 1) for word in words), default=1)
    known = [name for word in words if (name := _name(word)) in _UNITS]
    if "/" in words or "per" in words:
        return Unit("/".join(known), Fraction(1), power) if len(known) == 2 else None
    if len(known) != 1:
        return None
    kind, size = _UNITS[known[0]]
    return Unit(kind, size**power, power)


def _name(word: str) -> str:
    word = word if len(word) == 1 or word == "USD" else word.lower()
    singular = word if word in _UNITS or word in _NAMES else word.removesuffix("s")
    return _NAMES.get(singular, singular)
