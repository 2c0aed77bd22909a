"""Objective by schedule and objective by objective: tables whose cells are colored by their number.

The colors diverge from the page's own background, blue above and orange below the value that divides good from bad, at
most so strong that the text stays readable; `contrast` is what the tests hold them to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..document import Difference, Interval, Report, Row
from ..text import MINUS, NOTHING, estimate, probability, schedule_name, share, signed
from .plots import Cast
from .table import Naming
from .tables import BETTER, WORSE, troubles

LEVELS = 10  # of each color
MOST_COMPARED = 30  # objectives in a win matrix
INK, PAPER = ("#1d2127", "#e4e6e9"), ("#ffffff", "#15181c")  # in light and in dark
Known = tuple[Difference, float | None]  # of two objectives, and the probability of improvement
ABOVE, BELOW = ("#7fb6e3", "#2563a0"), ("#f2ad76", "#96520f")


@dataclass(frozen=True)
class Field:
    """One colored cell; `level` is from -LEVELS to LEVELS."""

    text: str
    level: int = 0
    small: str = ""
    title: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """Named rows of fields below named columns, both for one mismatch."""

    id: str
    caption: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Field, ...]], ...]
    scale: tuple[tuple[int, str], ...]
    """Levels and what they stand for."""


def palette() -> str:
    """CSS: the background of every level, in light and in dark."""
    return "\n".join(
        f".grid .h{level}{{background:light-dark({color(level, 0)},{color(level, 1)})}}"
        for level in range(-LEVELS, LEVELS + 1)
        if level
    )


def color(level: int, theme: int) -> str:
    """The background of a level, theme 0 light and 1 dark, as #rrggbb."""
    paper, end = PAPER[theme], (ABOVE if level > 0 else BELOW)[theme]
    part = abs(level) / LEVELS
    return "#" + "".join(
        f"{round(a + (b - a) * part):02x}" for a, b in zip(_channels(paper), _channels(end), strict=True)
    )


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colors #rrggbb, 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in _channels(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def heat_maps(report: Report) -> tuple[Grid, ...]:
    """Retained gain by objective and schedule, one grid a mismatch; pass@1 where nothing is retained of anything."""
    retained = any(row.retained for row in report.rows)
    cast, base = Cast(report), report.base.get("pass@1")
    values = [value.mean for row in report.rows if (value := _shown(row, retained))]
    middle = 0.0 if retained else base.mean if base else min(values, default=0.0)
    reach = 1.0 if retained else max([abs(value - middle) for value in values], default=0.0) or 1.0
    scale = (
        ((-LEVELS, f"{MINUS}1 or less"), (0, "0: the base model"), (LEVELS, "1 or more: the reference's gain at lag 0"))
        if retained
        else _pass_at_1_scale(middle, reach, base)
        if values
        else ()
    )
    grids: list[Grid] = []
    for mismatch in Naming(report).mismatches:
        rows = {(row.objective, row.lag): row for row in report.rows if row.mismatch == mismatch}
        names = [name for name in cast.names if any(objective == name for objective, _ in rows)]
        fields = tuple(
            (name, tuple(_field(rows.get((name, lag)), retained, middle, reach) for lag in report.schedules))
            for name in names
        )
        caption = ("Retained gain" if retained else "pass@1") + (
            f", mismatch {mismatch}" if len(Naming(report).mismatches) > 1 else ""
        )
        if fields:
            grids.append(
                Grid(
                    f"heat-{len(grids)}",
                    caption,
                    "objective",
                    tuple(map(schedule_name, report.schedules)),
                    fields,
                    scale,
                )
            )
    return tuple(grids)


def _pass_at_1_scale(middle: float, reach: float, base: Interval | None) -> tuple[tuple[int, str], ...]:
    if base is None:
        return (0, share(middle)), (LEVELS, share(middle + reach))
    return (-LEVELS, share(middle - reach)), (0, f"{share(middle)}: the base model"), (LEVELS, share(middle + reach))


def _shown(row: Row, retained: bool) -> Interval | None:
    return row.retained if retained else row.scores.get("pass@1")


def _field(row: Row | None, retained: bool, middle: float, reach: float) -> Field:
    if row is None:
        return Field(NOTHING, title="not in the suite")
    value = _shown(row, retained)
    if value is None:
        return Field(NOTHING, small=_state(row), title=troubles(row))
    collapsed = f"{len(row.collapses)}\u2020" if row.collapses else ""
    title = f"{estimate(value)}, {len(row.seeds)} seeds; {troubles(row)}".rstrip("; ")
    return Field(share(value.mean, 2), _level(value.mean - middle, reach), collapsed, title)


def _state(row: Row) -> str:
    return next((state for state in ("failed", "unfinished", "stale", "missing") if getattr(row, state)), "")


def _level(value: float, reach: float) -> int:
    return round(LEVELS * max(-1.0, min(1.0, value / reach))) if value == value else 0


def win_matrices(report: Report) -> tuple[Grid, ...]:
    """Differences, the row's objective minus the column's, of the best placed; a grid for each measure and mismatch."""
    mismatches = dict.fromkeys(pair.mismatch for pair in report.pairs)
    measures = {"gain under lag": "gain_under_lag", "own retention": "own_retention"}
    found = (
        _wins(report, mismatch, name, measure, len(mismatches) > 1)
        for mismatch in mismatches
        for name, measure in measures.items()
    )
    return tuple(replace(grid, id=f"wins-{i}") for i, grid in enumerate(grid for grid in found if grid))


def _wins(report: Report, mismatch: str, name: str, measure: str, several: bool) -> Grid | None:
    known = {
        (pair.first, pair.second): (difference, pair.probability_of_improvement)
        for pair in report.pairs
        if pair.mismatch == mismatch and (difference := getattr(pair, measure))
    }
    present = {objective for both in known for objective in both}
    names = [objective for objective in Cast(report).names if objective in present][:MOST_COMPARED]
    reach = max([abs(difference.value.mean) for difference, _ in known.values()], default=0.0) or 1.0
    scale = ((-LEVELS, f"{MINUS}{share(reach)}: the column's is more"), (LEVELS, f"+{share(reach)}: the row's is more"))
    rows = tuple((one, tuple(_win(known, one, other, reach) for other in names)) for one in names)
    caption = f"Difference in {name}, row minus column" + (f", mismatch {mismatch}" if several else "")
    return Grid("", caption, "objective", tuple(names), rows, scale) if known else None


def _win(known: Mapping[tuple[str, str], Known], name: str, other: str, reach: float) -> Field:
    if name == other:
        return Field("")
    sign = 1 if (name, other) in known else -1
    difference, chance = known.get((name, other)) or known.get((other, name)) or (None, None)
    if difference is None:
        return Field(NOTHING)
    value = sign * difference.value.mean
    chance = 1 - chance if chance is not None and sign < 0 else chance
    mark = (" \u25b2" if value > 0 else " \u25bc") if difference.significant else ""
    said = "" if not mark else f", surely {(BETTER if value > 0 else WORSE)[2:]}"
    p = f"adjusted p {probability(difference.p_adjusted)}, charged {probability(difference.p_charged)}"
    return Field(
        f"{signed(value, 2)}{mark}",
        _level(value, reach),
        f"P {share(chance, 2)}" if chance is not None else "",
        f"{name} minus {other}: {signed(value)}, {p}{said}",
        bool(mark),
    )


def compared(grids: Sequence[Grid], report: Report) -> str:
    """A sentence on objectives that the win matrices leave out; empty where they hold all."""
    left = max([len({s.objective for s in report.standings}) - len(grid.columns) for grid in grids], default=0)
    return f"The {MOST_COMPARED} best placed objectives; {left} more are in the list of all pairs." if left > 0 else ""
