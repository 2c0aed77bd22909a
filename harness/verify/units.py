"""Units of measurement behind a number: 5 cm is 0.05 m and not 5 m; apples and students are no units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_SIZES: dict[str, dict[str, str]] = {
    "length": {
        "nm": "1/1000000", "um": "1/1000", "mm": "1", "cm": "10", "dm": "100", "m": "1000", "km": "1000000",
        "in": "25.4", "ft": "304.8", "yd": "914.4", "mi": "1609344",
    },
    "mass": {"mg": "1", "g": "1000", "kg": "1000000", "t": "1000000000", "oz": "28349.523125", "lb": "453592.37"},
    "time": {"s": "1", "min": "60", "h": "3600", "day": "86400", "week": "604800"},
    "calendar": {"month": "1", "year": "12"},
    "volume": {"ml": "1", "cl": "10", "dl": "100", "l": "1000"},
    "gallons": {"cup": "1", "pint": "2", "quart": "4", "gallon": "16"},
    "area": {"acre": "1"},
    "hectares": {"hectare": "1"},
    "money": {"cent": "1", "dollar": "100"},
    "euros": {"euro": "1"},
    "yen": {"yen": "1"},
    "rupees": {"rupee": "1"},
    "frequency": {"Hz": "1", "kHz": "1000", "MHz": "1000000", "GHz": "1000000000"},
    "memory": {"kB": "1", "MB": "1000", "GB": "1000000", "TB": "1000000000"},
    "charges": {"eV": "1", "keV": "1000", "MeV": "1000000", "GeV": "1000000000"},
    "pressure": {"Pa": "1", "kPa": "1000", "MPa": "1000000"},
    "amount": {"mmol": "1", "mol": "1000"},
    "angle": {"degree": "1"},
    "arc": {"radian": "1"},
    "morning": {"am": "1"},
    "afternoon": {"pm": "1"},
}  # fmt: skip
_UNITS = {name: (kind, Fraction(size)) for kind, sizes in _SIZES.items() for name, size in sizes.items()}
_NAMES = {
    "millimeter": "mm", "centimeter": "cm", "meter": "m", "metre": "m", "kilometer": "km", "inch": "in", "inche": "in",
    "foot": "ft", "feet": "ft", "yard": "yd", "mile": "mi", "milligram": "mg", "gram": "g", "kilogram": "kg",
    "ounce": "oz", "pound": "lb", "sec": "s", "second": "s", "minute": "min", "hr": "h", "hour": "h", "liter": "l",
    "litre": "l", "milliliter": "ml", "deg": "degree", "circ": "degree", "rad": "radian", "USD": "dollar",
    "mph": "mi/h", "kph": "km/h", "kmph": "km/h", "ton": "t", "tonne": "t", "\u20ac": "euro", "EUR": "euro",
    "\u00a3": "lb", "GBP": "lb", "\u00a5": "yen", "\u20b9": "rupee", "KB": "kB", "hertz": "Hz", "gal": "gallon",
    "qt": "quart", "pt": "pint", "micrometer": "um", "nanometer": "nm", "pascal": "Pa", "mole": "mol",
}  # fmt: skip
_WORD = re.compile(r"(?<!\\)[A-Za-z]+|circ|[23/\u20ac\u00a3\u00a5\u20b9]")
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
    (True, None, 'length/time')
    """
    named = " ".join(map(_name, _WORD.findall(text.replace("a.m", "am").replace("p.m", "pm"))))
    words = re.findall("[A-Za-z]+|[23/]", named)
    power = max((_POWERS.get(word, 1) for word in words), default=1)
    known = [word for word in words if word in _UNITS]
    if ("/" in words or "per" in words) and len(known) == 2:
        (above, size), (below, divisor) = map(_UNITS.__getitem__, known)
        return Unit(f"{above}/{below}", size / divisor, power)
    if len(known) == 2 and "in" in known:  # 72 dollars in all
        known.remove("in")
    if len(known) != 1 or (known == ["in"] and len(words) > 1 and power == 1):
        return None
    kind, size = _UNITS[known[0]]
    return Unit(kind, size**power, power)


def _name(word: str) -> str:
    """The name in the table of a word in any number and, unless it is a sign, in any case; else the word."""
    forms = [word, word.removesuffix("s"), *([word.lower(), word.lower().removesuffix("s")] if len(word) > 1 else [])]
    found = next((form for form in forms if form in _UNITS or form in _NAMES), word)
    return _NAMES.get(found, found)
