"""A few responses of every objective to the same held-out problems, as the model wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .. import store
from . import document as doc
from .results import Cell, Results, plain

PROBLEMS = 3
LONGEST = 4000  # characters of a response


def samples(results: Results) -> Iterator[doc.Sample]:
    """The first attempt at the first problems: the base model's, and each objective's at its least and greatest lag."""
    if results.base and results.base.scores:
        yield from _of_cell(results.base, results)
    finished = [cell for cell in results.trained if cell.scores]
    for objective in sorted({cell.axes.objective or "" for cell in finished}):
        mine = [cell for cell in finished if cell.axes.objective == objective]
        mine.sort(key=lambda cell: (cell.realized_lag or (0, 0), cell.axes.seed))
        for cell in dict.fromkeys((mine[0].name, mine[-1].name)):
            yield from _of_cell(next(found for found in mine if found.name == cell), results)


def _of_cell(cell: Cell, results: Results) -> Iterator[doc.Sample]:
    folder = results.folders[cell.source] / cell.name
    for line in _first_lines(folder / store.attempts_file(cell.run["updates"])):
        attempt = line["attempts"][0]
        yield doc.Sample(
            objective=cell.axes.objective,
            lag=cell.axes.lag,
            mismatch=cell.axes.mismatch,
            seed=cell.axes.seed,
            question=_cut(line["question"]),
            answer=_cut(line["answer"]),
            response=_cut(attempt["text"]),
            correct=attempt["verdict"]["correct"],
        )


def _first_lines(path: Path) -> list[dict[str, Any]]:
    """None where somebody made room and removed the attempts."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return [json.loads(line) for line in islice(file, PROBLEMS)]


def _cut(text: str) -> str:
    text = plain(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text) - LONGEST} more characters)"
