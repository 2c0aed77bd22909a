"""The comparison of a suite: one row for each objective under each lag, from the files of its cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
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
    """One cell as its folder tells it. Without scores it has failed, or has not finished."""

    objective: str | None  # None: the base model
    lag: str
    seed: int
    reads: tuple[str, ...]
    scores: Mapping[str, Estimate]  # by metric
    failure: str | None


@dataclass(frozen=True)
class Row:
    """An objective under one lag, over its seeds. Cells without a score are counted, never dropped in silence."""

    objective: str
    lag: str
    scores: Mapping[str, Estimate]  # empty where no seed has finished
    interval_over: str  # problems (one seed) or seeds
    seeds: int
    failed: int
    unfinished: int
    change_from_lag_0: Estimate | None  # over the seeds that both lags have
    collapsed_seeds: int
    behavior_fields: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """At least half of the seeds ended below half of the base model's pass@1."""
        return self.seeds > 0 and 2 * self.collapsed_seeds >= self.seeds


@dataclass(frozen=True)
class Comparison:
    """What a leaderboard shows. `base` has no scores until the base model has been evaluated."""

    name: str
    base: Cell
    rows: tuple[Row, ...]


def constant_lag(lag: str) -> int | None:
    """Updates of lag of a constant schedule; None for any other."""
    name, _, argument = lag.partition(":")
    return 0 if name == "sync" else int(argument) if name == "constant" else None


def compare(folder: Path) -> Comparison:
    """The comparison of everything that a results folder holds; an InputError if it is none."""
    runs = sorted(folder.glob(f"*/{store.RUN}"))
    if not runs:
        raise InputError(f"{folder} holds no cells (*/{store.RUN}); expected the folder that `lagbench run` printed")
    cells = [_read_cell(path.parent) for path in runs]
    base = next((cell for cell in cells if cell.objective is None), Cell(None, "sync", 0, (), {}, None))
    by_row: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.objective is not None:
            by_row[cell.objective, cell.lag].append(cell)
    at_zero = {objective: group for (objective, lag), group in by_row.items() if constant_lag(lag) == 0}
    rows = [_row(group, at_zero.get(objective, []), base) for (objective, _), group in by_row.items()]
    return Comparison(folder.resolve().name, base, tuple(sorted(rows, key=_order)))


def _read_cell(folder: Path) -> Cell:
    run, result = store.read_json(folder / store.RUN), store.read_json(folder / store.RESULT)
    failed = None if result else store.read_json(folder / store.FAILED)
    try:
        return Cell(
            objective=run["objective"],
            lag=run["lag"],
            seed=run["seed"],
            reads=tuple(run["reads"]),
            scores={name: Estimate(**value) for name, value in result["scores"].items()} if result else {},
            failure=failed["reason"] if failed else None,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder} is not of this version of lagbench ({error!r}); run the suite again") from None


def _order(row: Row) -> tuple[Any, ...]:
    lag = constant_lag(row.lag)
    return (row.objective, lag is None, lag or 0, row.lag)


def _row(group: list[Cell], at_zero: list[Cell], base: Cell) -> Row:
    finished = [cell for cell in group if cell.scores]
    failed = sum(cell.failure is not None for cell in group)
    collapse_below = COLLAPSE_FRACTION * base.scores["pass@1"].mean if base.scores else 0.0
    return Row(
        objective=group[0].objective or "",
        lag=group[0].lag,
        scores=_over_seeds(finished),
        interval_over="problems" if len(finished) == 1 else "seeds",
        seeds=len(finished),
        failed=failed,
        unfinished=len(group) - len(finished) - failed,
        change_from_lag_0=_paired_change(finished, at_zero),
        collapsed_seeds=sum(cell.scores["pass@1"].mean < collapse_below for cell in finished),
        behavior_fields=tuple(name for name in BEHAVIOR_FIELDS if name in group[0].reads),
        reasons=tuple(sorted({cell.failure for cell in group if cell.failure})),
    )


def _over_seeds(finished: list[Cell]) -> Mapping[str, Estimate]:
    """Every metric's mean with its interval over seeds; one seed's own, over problems, where there is but one."""
    if len(finished) == 1:
        return finished[0].scores
    metrics = finished[0].scores if finished else {}
    return {metric: mean_interval(np.array([cell.scores[metric].mean for cell in finished])) for metric in metrics}


def _paired_change(finished: list[Cell], at_zero: list[Cell]) -> Estimate | None:
    """pass@1 minus that at lag 0, seed by seed; None where no seed has both."""
    zero = {cell.seed: cell.scores["pass@1"].mean for cell in at_zero if cell.scores}
    changes = [cell.scores["pass@1"].mean - zero[cell.seed] for cell in finished if cell.seed in zero]
    return mean_interval(np.array(changes)) if changes else None
