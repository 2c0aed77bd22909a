"""From lines to charts: all in one panel while they can be told apart, a small panel for each objective beyond that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from markupsafe import Markup

from ..document import Interval, Report
from ..text import Write, estimate, one_line, share
from .charts import BASELINE, STYLES, WIDTHS, Line, Panel, draw, range_of, spans_orders
from .table import Column, Entry, Table

T = TypeVar("T")
MOST_DESCRIBED = 12  # lines of a chart that its description puts into words


@dataclass(frozen=True)
class Chart:
    """A drawing, the key to its lines, and its data."""

    id: str
    title: str
    text: str
    svg: Markup
    key: tuple[tuple[int, str], ...]
    """Style and name of every line, where one panel holds several."""
    tables: tuple[Table, ...]
    size: str
    """half, middle or full width."""


@dataclass(frozen=True)
class Plot:
    """What one panel would hold if all objectives fitted in it."""

    label: str
    x_label: str
    keys: str
    """What its points are told apart by, as the first column of its table."""
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    guides: tuple[tuple[float, str], ...] = ()
    bottom: float | None = None
    top: float | None = None
    spans: bool = False
    """Values may lie orders of magnitude apart, and then the axis is logarithmic."""
    own_styles: tuple[str, ...] = ()
    """What the styles of one objective's lines stand for, where it has several."""

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        return self.spans and spans_orders(self.lines)

    def panel(self, name: str = "", behind: Sequence[Line] = ()) -> Panel:
        """All its lines in one panel, or those of one objective, with the range of all."""
        low, high = range_of(self.lines, [value for value, _ in self.guides], self.bottom, self.top, self.log)
        if name:
            lines = (*behind, *(line for line in self.lines if line.name == name))
            guides = tuple((value, "") for value, _ in self.guides)
            return Panel(
                name, self.x_label, lines, low, high, self.log, self.ticks, guides, own_title=True, marked=False
            )
        title = f"{self.label}, log scale" if self.log else self.label
        return Panel(title, self.x_label, self.lines, low, high, self.log, self.ticks, self.guides)


class Cast:
    """Objectives in the order of the leaderboard, each with the style that it has in every chart."""

    def __init__(self, report: Report) -> None:
        names = [standing.objective for standing in report.standings] + [row.objective for row in report.rows]
        self.names = list(dict.fromkeys(names))
        self.baseline = report.family.baseline
        self.small = len(self.names) > STYLES
        """Whether every objective needs a panel of its own."""

    def style(self, name: str) -> int:
        return 0 if self.small else self.names.index(name)

    def some(self, most: int) -> list[str]:
        """The best placed, the baseline among them."""
        first = self.names[:most]
        missing = self.baseline in self.names and self.baseline not in first
        return [*first[:-1], self.baseline] if missing else first

    def line(
        self,
        name: str,
        keys: Iterable[str],
        x: Iterable[float],
        values: Iterable[Interval | None],
        write: Write = share,
    ) -> Line:
        """An objective's points, each said as its key and its estimate."""
        keys, values = tuple(keys), tuple(values)
        known = [value or Interval(mean=math.nan) for value in values]
        return Line(
            name=name,
            style=self.style(name),
            x=tuple(x),
            y=tuple(value.mean if value else None for value in values),
            keys=keys,
            says=tuple(f"{key}: {estimate(value, write)}" for key, value in zip(keys, values, strict=True)),
            low=tuple(value.low for value in known),
            high=tuple(value.high for value in known),
        )

    def charts(
        self, id: str, title: str, text: str, plots: Sequence[Plot], names: Sequence[str], size: str = "half"
    ) -> tuple[Chart, ...]:
        """One chart with a panel a plot, or, of many objectives, one chart a plot with a panel an objective.

        No chart for a plot without lines; `names` are in the order of the key and of the small panels.
        """
        held = [(i, plot) for i, plot in enumerate(plots) if plot.lines]
        if self.small:
            return tuple(self._small(f"{id}-{i}", title, text, plot, names, len(plots) > 1) for i, plot in held)
        return (self._whole(id, title, text, [plot for _, plot in held], names, size),) if held else ()

    def _whole(self, id: str, title: str, text: str, plots: Sequence[Plot], names: Sequence[str], size: str) -> Chart:
        size = "full" if len(plots) > 1 else size
        panels = [plot.panel() for plot in plots]
        drawn = [name for name in names if any(line.name == name for plot in plots for line in plot.lines)]
        svg = draw(f"chart-{id}", title, described(plots), panels, len(panels), WIDTHS[size], 230, alike=False)
        key = tuple((self.style(name), name) for name in drawn)
        tables = tuple(data(f"{id}-{i}", plot, drawn) for i, plot in enumerate(plots))
        return Chart(f"chart-{id}", title, text, svg, key, tables, size)

    def _small(self, id: str, title: str, text: str, plot: Plot, names: Sequence[str], several: bool) -> Chart:
        drawn = [name for name in names if any(line.name == name for line in plot.lines)]
        of_baseline = [line for line in plot.lines if line.name == self.baseline and line.form != "points"]
        gray = [] if plot.own_styles else [replace(line, style=BASELINE, low=(), high=()) for line in of_baseline]
        panels = [plot.panel(name, () if name == self.baseline else gray) for name in drawn]
        title = f"{title}: {plot.label} against {plot.x_label}" if several else title
        title += ", log scale" if plot.log else ""
        text += f" Dashed gray: {one_line(self.baseline, 60)}, the baseline." if gray else ""
        columns = min((5, 4), key=lambda many: -len(panels) % many) if len(panels) > 4 else 3
        svg = draw(f"chart-{id}", title, described([plot]), panels, columns, WIDTHS["full"], 92, alike=True)
        return Chart(f"chart-{id}", title, text.strip(), svg, (), (data(id, plot, drawn),), "full")


def described(plots: Sequence[Plot]) -> str:
    """The chart in words: what is drawn, and where every line begins and ends."""
    parts = []
    for plot in plots:
        ends = []
        for line in plot.lines[:MOST_DESCRIBED]:
            known = [says for says, value in zip(line.says, line.y, strict=True) if value is not None]
            last = f" to {known[-1]}" if len(known) > 1 else ""
            ends += [f"{one_line(line.name, 60)} {known[0]}{last}"] if known else []
        parts.append(f"{plot.label} by {plot.x_label}. {'; '.join(ends)}.")
    return " ".join([*parts, "The table below holds all points."])


def data(id: str, plot: Plot, names: Sequence[str]) -> Table:
    """The plot's points: a line for every place along x, a column for every objective, or for each of its lines."""
    places: dict[str, float] = {}
    said: dict[tuple[str, str, int], str] = {}
    for line in plot.lines:
        kind = line.style if plot.own_styles else 0
        for x, key, says in zip(line.x, line.keys, line.says, strict=True):
            places[key] = min(places.get(key, math.inf), x)
            said[key, line.name, kind] = says.removeprefix(key).lstrip(":, ")
    columns = [(name, kind, words) for name in names for kind, words in enumerate(plot.own_styles or ("",))]
    lines = tuple(
        (Entry(key), *(Entry(said.get((key, name, kind), "")) for name, kind, _ in columns))
        for key in sorted(places, key=lambda key: places[key])
    )
    titles = (Column(f"{name}, {words}" if words else name, "number") for name, _, words in columns)
    return Table(f"data-{id}", f"{plot.label} by {plot.x_label}", (Column(plot.keys), *titles), lines, sortable=False)


def thinned(values: Sequence[T], most: int) -> list[T]:
    """At most so many of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
