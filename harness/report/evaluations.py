"""Every evaluation of every cell, by version and exam, as one table: what learning curves are drawn from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import store

AXES = ("objective", "lag", "mismatch", "seed")


def evaluations(folder: Path) -> Iterator[dict[str, Any]]:
    """One flat record for each finished cell, version and exam of a results folder; the base model has no objective."""
    for path in sorted(folder.glob(f"*/{store.RESULT}")):
        run = store.read_json(path.with_name(store.RUN))
        for found in store.read_json(path)["evaluations"]:
            facts = {key: value for key, value in found.items() if not isinstance(value, dict)}
            yield {axis: run[axis] for axis in AXES} | facts | _columns(found["scores"])


def _columns(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """A score's mean under its name, the bounds of its interval over problems beside it."""
    found: dict[str, float] = {}
    for name, estimate in scores.items():
        found |= {name: estimate["mean"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}
    return found


def to_csv(folder: Path) -> str:
    rows = list(evaluations(folder))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or AXES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
