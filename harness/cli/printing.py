"""Tables and lists on a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

WIDTH = 120  # columns, where there is no terminal


def print_all(pieces: Callable[[int], Iterable[RenderableType]]) -> None:
    """Print what `pieces` makes for the terminal's width; 120 columns where there is no terminal."""
    console = _console()
    for piece in pieces(console.width):
        console.print(piece)


def print_table(table: RenderableType, notes: Iterable[str], folder: Path) -> None:
    """Print a table, what a reader has to know, and where the files are."""
    _console().print(table)
    for line in notes:
        print(line)
    print(f"Report: {folder}")


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A block for each row: its name and what it is on the first line, the rest below."""
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(wrapped(f"{row['name']:{width}} {row['description']}".rstrip(), width + 1))
        for key, value in row.items():
            if key not in ("name", "description", "page") and value not in ("", {}, []):
                print(wrapped(f"{'':{width}} {key}: {_text(value)}", width + 3))


def wrapped(text: str, indent: int = 0) -> str:
    """Lines as wide as the terminal, or 120 columns where there is none; all but the first are indented."""
    columns = shutil.get_terminal_size((WIDTH, 24)).columns
    return textwrap.fill(text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={default}" for key, default in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
