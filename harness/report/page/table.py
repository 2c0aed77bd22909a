"""A table of the page: texts, and the numbers they are sorted by; HTML or, where it is long, data for the script."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from markupsafe import Markup

from ..document import Interval, Report
from ..text import Write, bounds, estimate, plain, schedule_name, share, visible

MOST_LINES = 200  # written out as HTML; a longer table is data that the script shows page by page


@dataclass(frozen=True)
class Column:
    """`meaning` explains the title below the table; one with `select` is offered as a filter."""

    title: str
    kind: Literal["text", "number", "long", "command", "bar"] = "text"
    meaning: str = ""
    select: bool = False


@dataclass(frozen=True)
class Entry:
    """What stands where a line and a column meet: a text, something smaller behind it, and what it is sorted by.

    `tone` names a color or a weight: best, good, bad, weak. `bar` is an interval drawn on the scale of its column.
    """

    text: str = ""
    small: str = ""
    value: float | None = None
    tone: str = ""
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Table:
    """Lines of entries; the first column names the line."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Entry, ...], ...]
    page: int = 50
    """Lines shown at once where there are more than can be written out."""
    note: str = ""
    sortable: bool = True

    @property
    def paged(self) -> bool:
        return len(self.lines) > min(MOST_LINES, 4 * self.page)

    @property
    def shown(self) -> tuple[tuple[Entry, ...], ...]:
        """Lines written out as HTML."""
        return self.lines[: self.page] if self.paged else self.lines

    @property
    def meanings(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.meaning)

    @property
    def scale(self) -> tuple[float, float]:
        """Least and greatest value that the bars have to reach."""
        ends = [value for line in self.lines for entry in line if entry.bar for value in entry.bar]
        return min([0.0, *ends]), max([1.0, *ends])

    @cached_property
    def data(self) -> Markup:
        """All lines as JSON, safe inside a script element: [text, small, value, tone], its empty end left out."""
        return safe_json([[_packed(entry) for entry in line] for line in self.lines])


def safe_json(value: Any) -> Markup:
    """JSON without the characters that could end a script element or begin a comment; every text visible."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _packed(entry: Entry) -> Any:
    value = None if entry.value is None else float(f"{entry.value:.6g}")
    packed: list[Any] = [visible(entry.text), visible(entry.small), value, entry.tone]
    while len(packed) > 1 and packed[-1] in ("", None):
        packed.pop()
    return packed[0] if len(packed) == 1 else packed


def number(value: float | None, write: Write = plain, small: str = "", tone: str = "") -> Entry:
    """An entry for a number; one that is not finite is sorted as if there were none."""
    finite = value is not None and math.isfinite(value)
    return Entry(write(value), small, value if finite else None, tone if value is not None else "weak")


def interval(value: Interval | None, write: Write = share, tone: str = "") -> Entry:
    """An entry for a mean with its interval; with too few seeds for that the values of each."""
    if value and value.values:
        return Entry(estimate(value, write), "by seed", value.mean, tone)
    return number(value.mean if value else None, write, bounds(value, write), tone)


class Naming:
    """Which columns name a row of this report: the mismatch only where there is one."""

    def __init__(self, report: Report) -> None:
        self.mismatches = tuple(dict.fromkeys(row.mismatch for row in report.rows)) or ("none",)
        self.several = self.mismatches != ("none",)
        self.order = {schedule: float(i) for i, schedule in enumerate(report.schedules)}

    def columns(self) -> tuple[Column, ...]:
        named = (Column("objective", select=True), Column("schedule", select=True))
        return (*named, Column("mismatch", select=True)) if self.several else named

    def entries(self, objective: str | None, lag: str, mismatch: str) -> tuple[Entry, ...]:
        named = (Entry(objective or "base model"), Entry(schedule_name(lag), value=self.order.get(lag)))
        return (*named, Entry(mismatch)) if self.several else named


def metrics_of(scores: Iterable[dict[str, Interval]]) -> list[str]:
    """Every metric that anything was scored with: pass@k by k, then the others."""
    names = dict.fromkeys(name for each in scores for name in each)
    return sorted(names, key=lambda name: (_k(name) is None, _k(name) or 0))


def _k(metric: str) -> int | None:
    name, _, k = metric.partition("@")
    return int(k) if name == "pass" and k.isascii() and k.isdigit() else None


def pass_at(metrics: Iterable[str]) -> list[tuple[int, str]]:
    """Every k and the name of its pass@k among them, by k."""
    return sorted((k, name) for name in metrics if (k := _k(name)) is not None)
