"""Every evaluation of every cell, by version and exam, as one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from .results import Axes, Cell


def evaluations(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """One flat record for each finished cell, version and exam; the base model has no objective."""
    for cell in cells:
        for found in cell.evaluations:
            facts = {key: value for key, value in found.items() if not isinstance(value, dict)}
            yield asdict(cell.axes) | facts | _columns(found["scores"])


def _columns(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """A score's mean under its name, the bounds of its interval over problems beside it."""
    found: dict[str, float] = {}
    for name, estimate in scores.items():
        found |= {name: estimate["mean"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}
    return found


def to_csv(cells: Sequence[Cell]) -> str:
    rows = list(evaluations(cells))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(Axes.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
