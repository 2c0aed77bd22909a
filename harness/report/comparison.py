"""The comparison of a suite: one row for each objective under each lag, from the files of its cells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..evaluate.passk import Estimate, mean_interval
from ..types import InputError

COLLAPSE_FRACTION = 0.5  # of the base model's pass@1: a seed that ends below has collapsed
BEHAVIOR_FIELDS = ("behavior_logprobs", "proximal_logprobs")  # what a current-policy-only objective does without


@dataclass(frozen=True)
class Cell:
    """One cell as its folder tells it. `scores` by metric; None until it has finished."""

    objective: str | None  # None: the base model
    lag: str
    seed: int
    scores: dict[str, Estimate] | None
    reads: tuple[str, ...]
    failure: str | None

    @property
    def status(self) -> str:
        return "finished" if self.scores else "failed" if self.failure else "unfinished"


@dataclass(frozen=True)
class Row:
    """An objective under one lag, over its seeds. Cells that have no score are counted, never dropped in silence."""

    objective: str
    lag: str
    pass_at_1: Estimate
    largest: tuple[str, float]  # pass@k of the largest k: its name and its mean
    interval_over: str  # problems (one seed) or seeds
    seeds: int
    failed: int
    unfinished: int
    change_from_lag_0: float | None
    collapsed_seeds: int
    behavior_fields: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """At least half of the seeds ended below half of the base model's pass@1."""
        return self.seeds > 0 and 2 * self.collapsed_seeds >= self.seeds


@dataclass(frozen=True)
class Comparison:
    """What a leaderboard shows."""

    name: str
    base: dict[str, Estimate]
    rows: tuple[Row, ...]


def steps(lag: str) -> int | None:
    """Updates of lag of a constant schedule; None for any other."""
    name, _, argument = lag.partition(":")
    return 0 if name == "sync" else int(argument) if name == "constant" else None


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a results folder; one that is not a results folder is an InputError."""
    runs = sorted(folder.glob(f"*/{store.RUN}"))
    if not runs:
        raise InputError(f"{folder} holds no cells (*/{store.RUN}); expected the folder that `lagbench run` printed")
    return [_read_cell(path.parent) for path in runs]


def _read_cell(folder: Path) -> Cell:
    run = store.read_json(folder / store.RUN)
    result, failed = store.read_json(folder / store.RESULT), store.read_json(folder / store.FAILED)
    scores = {name: Estimate(**value) for name, value in result["scores"].items()} if result else None
    reads = tuple(result["reads"]) if result else ()
    return Cell(run["objective"], run["lag"], run["seed"], scores, reads, failed["reason"] if failed else None)


def compare(folder: Path) -> Comparison:
    """The comparison of everything that a results folder holds."""
    cells = read_cells(folder)
    base = next((cell.scores for cell in cells if cell.objective is None and cell.scores), None)
    if base is None:
        raise InputError(f"{folder}: the base model has not been evaluated yet; run the suite again, it goes on")
    by_row: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.objective is not None:
            by_row[cell.objective, cell.lag].append(cell)
    at_zero = {objective: _mean(group) for (objective, lag), group in by_row.items() if steps(lag) == 0}
    rows = [_row(*key, group, base, at_zero.get(key[0])) for key, group in by_row.items()]
    return Comparison(folder.name, base, tuple(sorted(rows, key=_order)))


def _order(row: Row) -> tuple[Any, ...]:
    lag = steps(row.lag)
    return (row.objective, lag is None, lag or 0, row.lag)


def _values(group: list[Cell], metric: str = "pass@1") -> np.ndarray:
    return np.array([cell.scores[metric].mean for cell in group if cell.scores])


def _mean(group: list[Cell]) -> float | None:
    values = _values(group)
    return float(values.mean()) if len(values) else None


def _row(objective: str, lag: str, group: list[Cell], base: dict[str, Estimate], at_zero: float | None) -> Row:
    finished = [cell for cell in group if cell.scores]
    values = _values(group)
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    one_seed = finished[0].scores["pass@1"] if len(finished) == 1 and finished[0].scores else None
    largest = max(base, key=lambda name: int(name.partition("@")[2]))
    estimate = one_seed or (mean_interval(values) if finished else nothing)
    return Row(
        objective=objective,
        lag=lag,
        pass_at_1=estimate,
        largest=(largest, float(_values(group, largest).mean()) if finished else float("nan")),
        interval_over="problems" if one_seed else "seeds",
        seeds=len(finished),
        failed=sum(cell.status == "failed" for cell in group),
        unfinished=sum(cell.status == "unfinished" for cell in group),
        change_from_lag_0=estimate.mean - at_zero if finished and at_zero is not None else None,
        collapsed_seeds=int((values < COLLAPSE_FRACTION * base["pass@1"].mean).sum()),
        behavior_fields=tuple(name for name in BEHAVIOR_FIELDS if any(name in cell.reads for cell in finished)),
        reasons=tuple(sorted({cell.failure for cell in group if cell.failure})),
    )
