"""The comparison of a suite: one row for each objective under each lag, from the files of its cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..config import NO_MISMATCH, CollapseRules
from ..evaluate.collapse import Collapse, find_collapse
from ..evaluate.intervals import Estimate, mean_interval
from ..gate import Gate
from ..types import Conventions, InputError
from .gates import gates

BEHAVIOR_FIELDS = ("behavior_logprobs", "proximal_logprobs")  # what a current-policy-only objective does without


@dataclass(frozen=True)
class Cell:
    """One cell as its folder tells it. Without scores it has failed, or has not finished."""

    objective: str | None  # None: the base model
    lag: str
    mismatch: str
    seed: int
    reads: tuple[str, ...]
    scores: Mapping[str, Estimate]  # by metric
    exam: str  # what they are of, in words
    failure: str | None
    updates: int
    conventions: Mapping[str, str]  # advantage, aggregate and denominator that it was trained with
    paper: Mapping[str, str]  # those that its objective declares
    rules: CollapseRules
    realized_lag: tuple[float, float] | None  # mean and largest of the tokens trained on, in updates
    collapse_in_training: Collapse | None

    def collapse(self, base: float | None) -> Collapse | None:
        """That of the training, or else that the final score is too far below the base model's pass@1."""
        if self.collapse_in_training or not self.scores or base is None:
            return self.collapse_in_training
        score, limit = self.scores["pass@1"].mean, self.rules.score_of_base * base
        return Collapse("score", self.updates, score, limit) if score < limit else None


@dataclass(frozen=True)
class Row:
    """An objective under one lag, over its seeds. Cells without a score are counted, never dropped in silence."""

    objective: str
    lag: str
    mismatch: str
    scores: Mapping[str, Estimate]  # empty where no seed has finished
    interval_over: str  # problems (one seed) or seeds
    seeds: int
    failed: int
    unfinished: int
    change_from_lag_0: Estimate | None  # over the seeds that both lags have
    collapses: Mapping[int, Collapse]  # by seed
    behavior_fields: tuple[str, ...]
    reasons: tuple[str, ...]
    conventions: Mapping[str, str]
    paper: Mapping[str, str]
    realized_lag: tuple[float, float] | None  # mean over seeds and largest, of tokens, in updates

    @property
    def collapsed(self) -> bool:
        """At least half of the seeds that came to an end have collapsed."""
        return bool(self.collapses) and 2 * len(self.collapses) >= self.seeds + self.failed


@dataclass(frozen=True)
class Comparison:
    """What a leaderboard shows. `base_scores` is empty until the base model has been evaluated."""

    name: str
    exam: str  # what the scores are of; empty until a cell has finished
    base_scores: Mapping[str, Estimate]
    base_failure: str | None
    rows: tuple[Row, ...]
    gates: tuple[Gate, ...]

    @property
    def valid(self) -> bool:
        """No gate has failed."""
        return all(gate.passed is not False for gate in self.gates)


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
    base = next((cell for cell in cells if cell.objective is None), None)
    by_row: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.objective is not None:
            by_row[cell.objective, cell.mismatch, cell.lag].append(cell)
    at_zero = {tuple(axes): group for (*axes, lag), group in by_row.items() if constant_lag(lag) == 0}
    base_scores = base.scores if base else {}
    rows = [_row(group, at_zero.get(tuple(axes), []), base_scores) for (*axes, _), group in by_row.items()]
    failure = base.failure if base else None
    exam = next((cell.exam for cell in cells if cell.exam), "")
    ordered = tuple(sorted(rows, key=_order))
    return Comparison(folder.resolve().name, exam, base_scores, failure, ordered, gates(folder))


def _read_cell(folder: Path) -> Cell:
    run, result = store.read_json(folder / store.RUN), store.read_json(folder / store.RESULT)
    failed = None if result else store.read_json(folder / store.FAILED)
    try:
        rules = CollapseRules(**run["collapse"])
        ended = result is not None or failed is not None
        collapse = find_collapse(store.read_lines(folder / store.METRICS), rules) if ended else None
        if collapse is None and failed and failed.get("non_finite_update") is not None:
            collapse = Collapse("non_finite", failed["non_finite_update"])
        return Cell(
            objective=run["objective"],
            lag=run["lag"],
            mismatch=run["mismatch"],
            seed=run["seed"],
            reads=tuple(run["reads"]),
            scores={name: Estimate(**value) for name, value in result["scores"].items()} if result else {},
            exam=_exam(result["evaluations"], run["updates"]) if result else "",
            failure=failed["reason"] if failed else None,
            updates=run["updates"],
            conventions={key: run[key] for key in Conventions().names},
            paper=run["paper"],
            rules=rules,
            realized_lag=(result["lag_mean"], result["lag_max"]) if result else None,
            collapse_in_training=collapse,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder} is not of this version of lagbench ({error!r}); run the suite again") from None


def _exam(evaluations: list[dict[str, Any]], updates: int) -> str:
    """The first exam of the final version; the others stand in the table of evaluations."""
    final = next(found for found in evaluations if found["version"] == updates)
    others = "; other evaluations are in evaluations.csv" if len(evaluations) > 1 else ""
    return f"{final['exam']}: {final['problems']} problems, {final['samples']} samples of each{others}"


def _order(row: Row) -> tuple[Any, ...]:
    lag = constant_lag(row.lag)
    return (row.objective, row.mismatch != NO_MISMATCH, row.mismatch, lag is None, lag or 0, row.lag)


def _row(group: list[Cell], at_zero: list[Cell], base_scores: Mapping[str, Estimate]) -> Row:
    finished = [cell for cell in group if cell.scores]
    failed = sum(cell.failure is not None for cell in group)
    base_score = base_scores["pass@1"].mean if base_scores else None
    collapses = {cell.seed: found for cell in group if (found := cell.collapse(base_score))}
    return Row(
        objective=group[0].objective or "",
        lag=group[0].lag,
        mismatch=group[0].mismatch,
        realized_lag=_mean_lag(finished),
        scores=_over_seeds(finished),
        interval_over="problems" if len(finished) == 1 else "seeds",
        seeds=len(finished),
        failed=failed,
        unfinished=len(group) - len(finished) - failed,
        change_from_lag_0=_paired_change(finished, at_zero),
        collapses=dict(sorted(collapses.items())),
        behavior_fields=tuple(name for name in BEHAVIOR_FIELDS if name in group[0].reads),
        reasons=tuple(sorted({cell.failure for cell in group if cell.failure})),
        conventions=group[0].conventions,
        paper=group[0].paper,
    )


def _mean_lag(finished: list[Cell]) -> tuple[float, float] | None:
    found = [cell.realized_lag for cell in finished if cell.realized_lag]
    return (float(np.mean([mean for mean, _ in found])), max(largest for _, largest in found)) if found else None


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
