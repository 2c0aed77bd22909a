"""A table of texts, and its forms: for a terminal of any width, and in Markdown.

Names, reasons and settings may hold anything; here they become text that is shown and never acted on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .text import visible

DASH = "\u2013"  # between the ends of an interval
NOTHING = DASH  # in the place of a number that there is none of
LONGEST_NAME = 32  # characters of a name before it folds; a schedule may be the path of a trace
MARKDOWN = re.compile(r"[\\`|*\[\]~$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside of a word is no markup
LIST_MARK = re.compile(r"^(?:[-+#>=]|\d+(?=[.)]))")


@dataclass(frozen=True)
class Column:
    """A column's head, and what happens to it where there is little room.

    `drop`: 0 stays; of the others the highest is left out first. `key` columns say which row it is, and stand in every
    part of a table that has to be parted. What `wraps` may take several lines.
    """

    name: str
    side: Literal["left", "right"] = "right"
    drop: int = 0
    key: bool = False
    wraps: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: rows of one text per column; `red` rows are alarming, before those of `sections` there is a gap."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    red: frozenset[int] = frozenset()
    sections: frozenset[int] = frozenset()

    def only(self, indices: Sequence[int]) -> Grid:
        """The same with these columns, in this order."""
        rows = tuple(tuple(row[i] for i in indices) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in indices), rows=rows)


def without_empty_columns(grid: Grid) -> Grid:
    """The grid without the columns in which no row says anything."""
    return grid.only([i for i in range(len(grid.columns)) if any(row[i] for row in grid.rows)])


def without_dashes(grid: Grid) -> Grid:
    """The grid without the columns in which every row has a dash; a note says why there is no number."""
    return grid.only([i for i in range(len(grid.columns)) if any(row[i] != NOTHING for row in grid.rows)])


def in_one_line(text: str) -> str:
    """The text in one line of characters that can be seen; any white space is one space."""
    return " ".join(visible(text).split())


# ---- Markdown


def markdown_text(text: str) -> str:
    """The text for a place inside a line of Markdown: what would be markup is escaped."""
    entities = in_one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN.sub(r"\\\g<0>", entities)


def markdown_list(texts: Iterable[str]) -> list[str]:
    """A line of a list for each text."""
    return [f"- {LIST_MARK.sub(_harmless, markdown_text(text))}" for text in texts]


def _harmless(mark: re.Match[str]) -> str:
    """A digit cannot be escaped, the dot behind it can; here a joiner of no width is enough for both."""
    return f"\\{mark[0]}" if not mark[0].isdigit() else f"&#{ord(mark[0][0])};{mark[0][1:]}"


def to_markdown(grid: Grid) -> list[str]:
    """The lines of a Markdown table; its title is not among them."""
    heads = [markdown_text(column.name) for column in grid.columns]
    rule = ["---" if column.side == "left" else "--:" for column in grid.columns]
    rows = [[markdown_text(text) for text in row] for row in grid.rows]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *rows)]


# ---- terminals


def to_terminal(grid: Grid, width: int) -> list[RenderableType]:
    """Title and table, no wider than `width`: columns are left out, which is told, then the table is parted.

    No number is cut. Where not even the key columns and one more have room, texts fold.
    """
    grid = replace(grid, rows=tuple(tuple(map(in_one_line, row)) for row in grid.rows))
    kept = _kept(grid, width)
    left_out = [column.name for i, column in enumerate(grid.columns) if i not in kept]
    shown: list[RenderableType] = [Text(in_one_line(grid.title), style="bold")]
    shown += [_table(grid.only(part), width) for part in _parts(grid, kept, width)]
    if left_out:
        shown.append(Text(f"Left out for want of room: {', '.join(left_out)}.", style="dim"))
    return shown


def _narrowest(grid: Grid, i: int) -> int:
    """The least width of a column: no cell is broken but at a space, or where it is a very long name."""
    column, cells = grid.columns[i], [row[i] for row in grid.rows]
    unbroken = [word for cell in cells for word in cell.split()] if column.wraps else cells
    longest = max(map(cell_len, unbroken), default=1)
    return max(min(longest, LONGEST_NAME) if column.key or column.wraps else longest, _in_two_lines(column.name))


def _in_two_lines(head: str) -> int:
    """The least width in which a head takes no more than two lines."""
    words = head.split()
    breaks = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(len(words))]
    return min(max(map(cell_len, lines)) for lines in breaks)


def _total(grid: Grid, columns: Sequence[int], gap: int = 1) -> int:
    return sum(_narrowest(grid, i) for i in columns) + gap * (len(columns) - 1)


def _kept(grid: Grid, width: int) -> list[int]:
    kept = list(range(len(grid.columns)))
    while _total(grid, kept) > width and (droppable := [i for i in kept if grid.columns[i].drop]):
        kept.remove(max(droppable, key=lambda i: grid.columns[i].drop))
    return kept


def _parts(grid: Grid, kept: Sequence[int], width: int) -> list[list[int]]:
    """The columns of each part, the key columns in all of them."""
    keys = [i for i in kept if grid.columns[i].key]
    parts = [keys]
    for i in kept:
        if i in keys:
            continue
        if len(parts[-1]) > len(keys) and _total(grid, [*parts[-1], i]) > width:
            parts.append(keys)
        parts[-1] = sorted([*parts[-1], i])
    return parts


def _table(grid: Grid, width: int) -> Table:
    columns = range(len(grid.columns))
    gap = 2 if _total(grid, columns, gap=2) <= width else 1
    widths = _widths(grid, width - gap * (len(grid.columns) - 1))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap - 1, 0, 0), pad_edge=False)
    for column, cells in zip(grid.columns, widths, strict=True):
        table.add_column(Text(column.name), justify=column.side, width=cells, overflow="fold")
    for i, row in enumerate(grid.rows):
        if i in grid.sections:
            table.add_section()
        table.add_row(*map(Text, row), style="red" if i in grid.red else None)
    return table


def _widths(grid: Grid, room: int) -> list[int]:
    """Of every column: the least, and where there is room, what its texts take, then what its head takes."""
    columns = range(len(grid.columns))
    widths = [_narrowest(grid, i) for i in columns]
    cells = [max((cell_len(row[i]) for row in grid.rows), default=0) for i in columns]
    heads = [cell_len(column.name) for column in grid.columns]
    for wanted in (cells, heads):
        for i in columns:
            widths[i] += max(0, min(wanted[i] - widths[i], room - sum(widths)))
    texts = [i for i, column in enumerate(grid.columns) if column.key or column.wraps]
    for shrinking in (texts, columns):  # numbers last
        while sum(widths) > room and shrinking and max(widths[i] for i in shrinking) > 1:
            widths[max(shrinking, key=lambda i: widths[i])] -= 1
    return widths
