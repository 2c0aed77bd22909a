"""Numbers and foreign text as reports write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from .document import Interval, Row

Write = Callable[[float | None], str]

MINUS = "\u2212"
NOTHING = "\u2013"  # where there is no number

# Controls but tab and line feed, line and paragraph separators, direction marks, invisible spaces, surrogates, tags
# and noncharacters. The joiners U+200C and U+200D stay: emoji and several scripts are spelled with them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with every character that a browser would hide, obey or refuse written out, as in [U+202E]."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def one_line(text: str, most: int) -> str:
    """The text, visible and on one line, shortened in its middle to at most `most` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= most else f"{line[: most // 2]}\u2026{line[len(line) - (most - 1) // 2 :]}"


def excerpt(text: str, most: int) -> str:
    """The text if it has at most `most` characters, else its beginning, its end, and how much is left out."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[\u2026 {len(text) - 2 * half:,} characters left out \u2026]\n{text[-half:]}"


def share(value: float | None, digits: int = 3) -> str:
    """0.512, with a real minus; a dash for None."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _not_finite(value)
    return f"{value:.{digits}f}".replace("-", MINUS) if round(value, digits) else f"{0:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """+0.012 and its like; no sign for zero."""
    if value is None or not math.isfinite(value):
        return share(value)
    return ("+" if round(value, digits) > 0 else "") + share(value, digits)


def bounds(interval: Interval | None, write: Write = share) -> str:
    """[0.498, 0.526]; empty where there is no interval."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"[{write(interval.low)}, {write(interval.high)}]"


def estimate(interval: Interval | None, write: Write = share) -> str:
    """0.512 [0.498, 0.526]; with too few seeds for that the values of each, 0.512, 0.526."""
    if interval and interval.values:
        return ", ".join(map(write, interval.values))
    return f"{write(interval.mean if interval else None)} {bounds(interval, write)}".strip()


def probability(p: float | None) -> str:
    """Three decimals, <0.001 below them, and four near 0.05, where the third decides."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.4f}" if 0.045 <= p < 0.055 else f"{p:.3f}"


def plain(value: float | None) -> str:
    """Four significant digits, whatever the size: 0.003112, 12.35, 1.2e+08."""
    if value is None:
        return NOTHING
    return f"{value:.4g}".replace("-", MINUS) if math.isfinite(value) else _not_finite(value)


def count(value: float | None) -> str:
    """12,345 up to a million, then 1.23 M, 4.56 G."""
    if value is None:
        return NOTHING
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """36 s, 12.3 min, 4.5 h."""
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def number_list(numbers: list[int]) -> str:
    """0-4, 7: runs of neighbors by their ends; of sorted whole numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}\u2013{run[-1]}" for run in runs)


def schedule_name(schedule: str) -> str:
    """A constant schedule as its lag, any other as it is written."""
    kind, _, lag = schedule.partition(":")
    return f"lag {lag}" if kind == "constant" and lag.isdigit() else "lag 0" if schedule == "sync" else schedule


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{'' if value > 0 else MINUS}\u221e"


def what_lacks(row: Row) -> list[str]:
    """How many seeds of a row are not all that they should be, by what they are instead."""
    counts = {
        "failed": row.failed,
        "unfinished": row.unfinished,
        "stale": row.stale,
        "missing": row.missing,
        "of other code": row.kept,
    }
    return [f"{many} {what}" for what, many in counts.items() if many]
