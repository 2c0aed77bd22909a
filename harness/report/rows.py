"""One row for each objective under each schedule, over its seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluate.collapse import Collapse
from ..statistics.intervals import Estimate
from ..statistics.lag_numbers import retained_gain
from ..statistics.survival import collapse_rate
from . import document as doc
from .curves import diagnostics
from .groups import Group, Table, constant_lag, shared_seeds
from .numbers import interval, of_seeds, ratio
from .results import Cell

OF_ROUNDING = 0.01  # a balance that float32, and a response at the floor of its scale, may leave


def row(group: Group, table: Table, against_baseline: doc.Difference | None) -> doc.Row:
    seeds, cells = list(group.ended), group.cells
    states = [cell.state for cell in cells if not cell.non_finite]
    found = _collapses(group, table.base_score)
    lags = [cell.realized_lag for cell in cells if cell.realized_lag]
    zero = table.at_lag_0(group.objective, group.mismatch)
    both = shared_seeds(group, zero)
    means = diagnostics(cells)
    return doc.Row(
        objective=group.objective,
        lag=group.lag,
        constant_lag=constant_lag(group.lag),
        mismatch=group.mismatch,
        lag_mean=float(np.mean([mean for mean, _ in lags])) if lags else None,
        lag_max=max((largest for _, largest in lags), default=None),
        seeds=tuple(seeds),
        failed=states.count("failed"),
        unfinished=states.count("unfinished"),
        missing=states.count("missing"),
        stale=states.count("stale"),
        kept=sum(bool(cell.changed and cell.scores) for cell in cells),
        reasons=tuple(sorted({cell.failure for cell in cells if cell.failure})),
        scores=over_seeds(group, table.base),
        interval_over="problems" if len(seeds) == 1 else "seeds",
        by_seed={seed: group.score(seed) for seed in seeds},
        retained=retained(group, table),
        change_from_lag_0=of_seeds(group.scores(both) - zero.scores(both), -1.0, 1.0) if both else None,
        against_baseline=against_baseline,
        collapses=tuple(
            doc.Collapse(seed=seed, reason=c.reason, update=c.update, value=c.value, limit=c.limit)
            for seed, c in found.items()
            if c
        ),
        collapse_rate=interval(collapse_rate(sum(map(bool, found.values())), len(found))) if found else None,
        cost=cost(cells),
        diagnostics=means,
        broken_balance=broken_balance(group.run, means),
    )


def broken_balance(run: Mapping[str, Any], means: Mapping[str, float]) -> float | None:
    """How far from 0 the loss of an objective is that promises 0; None where it keeps that, or promises nothing."""
    found = means.get("balance", 0.0)
    return found if run.get("balanced") and found > OF_ROUNDING else None


def retained(group: Group, table: Table) -> doc.Interval | None:
    """Retained gain over the seeds that the reference has too; None where it cannot be computed."""
    seeds, base = shared_seeds(group, table.reference), table.measured_base
    if base is None or not seeds:
        return None
    scores, reference = group.scores(seeds), table.reference.scores(seeds)
    return ratio(retained_gain(scores, base, reference), scores - base.score, reference - base.score)


def over_seeds(group: Group, base: Mapping[str, Estimate]) -> dict[str, doc.Interval]:
    """Every metric's mean with its interval over seeds; one seed's own, over problems, where there is but one.

    Where all runs ended non-finite, the metrics are those that the base model was scored by.
    """
    cells = list(group.ended.values())
    metrics = next((list(cell.scores) for cell in cells if cell.scores), (list(base) or ["pass@1"]) if cells else [])
    if len(cells) == 1 and cells[0].scores:
        return {metric: interval(found) for metric, found in cells[0].scores.items()}
    return {metric: of_seeds(group.scores(list(group.ended), metric), 0.0, 1.0) for metric in metrics}


def _collapses(group: Group, base_score: float | None) -> dict[int, Collapse | None]:
    """By seed that has ended."""
    return {seed: cell.collapse(base_score) for seed, cell in group.ended.items()}


def cost(cells: Sequence[Cell]) -> doc.Cost:
    """What cells took together."""
    tokens, seconds = int(sum(cell.tokens.sum() for cell in cells)), sum(cell.seconds for cell in cells)
    updates = sum(len(cell.tokens) for cell in cells)
    return doc.Cost(
        tokens_generated=tokens,
        tokens_trained=tokens,  # a plan trains on every group that it has drawn
        seconds=seconds,
        updates_per_second=updates / seconds if seconds else None,
    )


def evaluations(table: Table) -> list[doc.Evaluation]:
    """Every version and exam of every row, over seeds, and of the base model; none where cells were evaluated once."""
    if not any(len(cell.evaluations) > 1 for cell in table.results.cells):
        return []
    rows = [(group.objective, group.lag, group.mismatch, group.cells) for group in table.groups.values()]
    base = table.results.base
    found = [(None, base.axes.lag, base.axes.mismatch, (base,))] if base else []
    return [evaluation for row in [*found, *rows] for evaluation in _evaluations_of(*row)]


def _evaluations_of(objective: str | None, lag: str, mismatch: str, cells: Sequence[Cell]) -> list[doc.Evaluation]:
    by_sitting: dict[tuple[int, str], list[tuple[Cell, Mapping[str, Any]]]] = defaultdict(list)
    for cell in cells:
        for found in cell.evaluations:
            by_sitting[found["version"], found["exam"]].append((cell, found["scores"]))
    return [
        doc.Evaluation(
            objective=objective,
            lag=lag,
            mismatch=mismatch,
            version=at,
            exam=exam,
            tokens=float(np.mean([cell.tokens[:at].sum() for cell, _ in sat])),
            scores={
                metric: doc.Interval(**sat[0][1][metric])
                if len(sat) == 1
                else of_seeds(np.array([scores[metric]["mean"] for _, scores in sat]), 0.0, 1.0)
                for metric in sat[0][1]
            },
        )
        for (at, exam), sat in sorted(by_sitting.items())
    ]
