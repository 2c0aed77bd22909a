"""The leaderboard: one standing for each objective under each mismatch, ranked by gain under lag and own retention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np

from ..config import NO_MISMATCH
from ..statistics.aggregates import iqm, optimality_gap, performance_profile, probability_of_improvement
from ..statistics.intervals import highest_share
from ..statistics.survival import collapse_rate_by_seed, median_collapse, survival
from . import document as doc
from .contenders import Contender
from .groups import Group, Table
from .measures import GAIN_UNDER_LAG, OWN_RETENTION, Pairs, measured
from .numbers import interval
from .results import Cell
from .rows import cost, over_seeds, retained

BEHAVIOR_FIELDS = ("behavior_logprobs", "proximal_logprobs")  # what a current-policy-only objective does without
NEVER_RUN: dict[str, Any] = {"reads": [], "hyperparameters": {}, "paper": {}, "updates": 0}  # all its cells are missing
THRESHOLDS = tuple(np.round(np.arange(-1, 1.51, 0.05), 2).tolist())  # of retained gain, for performance profiles


def standings_and_pairs(table: Table) -> tuple[tuple[doc.Standing, ...], tuple[doc.Pair, ...]]:
    """Those of each mismatch, the greatest gain under lag first, and the differences of every two."""
    standings: list[doc.Standing] = []
    pairs: list[doc.Pair] = []
    for mismatch in table.mismatches:
        present = sorted({objective for objective, found, _ in table.groups if found == mismatch})
        present = [objective for objective in present if table.competes(objective, mismatch)]
        contenders = [Contender.of(name, mismatch, table) for name in present]
        gains, gain_pairs = measured(GAIN_UNDER_LAG, contenders)
        kept, kept_pairs = measured(OWN_RETENTION, contenders)
        contenders.sort(key=lambda one: _order(gains[one.objective]))
        standings += [_standing(one, gains[one.objective], kept[one.objective]) for one in contenders]
        pairs += _all_pairs(contenders, gain_pairs, kept_pairs)
    return tuple(standings), tuple(pairs)


def _order(measure: doc.Measure) -> tuple[bool, float]:
    """By place, then by value, then what has none."""
    value = measure.value
    return measure.place is None, measure.place or (float("inf") if value is None else -value.mean)


def _all_pairs(contenders: Sequence[Contender], gains: Pairs, kept: Pairs) -> list[doc.Pair]:
    """Every two of which anything can be said."""
    found = [
        doc.Pair(
            first=first.objective,
            second=second.objective,
            mismatch=first.mismatch,
            gain_under_lag=_either_way(gains, first, second),
            own_retention=_either_way(kept, first, second),
            probability_of_improvement=_improvement(first, second),
        )
        for first, second in combinations(contenders, 2)
    ]
    return [p for p in found if p.gain_under_lag or p.own_retention or p.probability_of_improvement is not None]


def _either_way(pairs: Pairs, first: Contender, second: Contender) -> doc.Difference | None:
    """First minus second, in whichever order it was tested."""
    if found := pairs.get((first.objective, second.objective)):
        return found
    found = pairs.get((second.objective, first.objective))
    return found.model_copy(update={"value": _negated(found.value)}) if found else None


def _negated(value: doc.Interval) -> doc.Interval:
    ends = [None if end is None else -end for end in (value.high, value.low)]
    return doc.Interval(mean=-value.mean, low=ends[0], high=ends[1], values=tuple(-one for one in value.values))


def _improvement(first: Contender, second: Contender) -> float | None:
    """Over the schedules that both have."""
    lags = [lag for lag in first.own if lag in second.own]
    ours, theirs = first.over_tasks(lags), second.over_tasks(lags)
    if not ours.size or not theirs.size or ours.shape[1] != theirs.shape[1]:
        return None
    return probability_of_improvement(ours, theirs)


def _standing(contender: Contender, gain: doc.Measure, kept: doc.Measure) -> doc.Standing:
    table = contender.table
    run = next((cell.run for cell in contender.cells if cell.run), NEVER_RUN)
    collapsed_at = _collapses(contender)
    every = [update for runs in collapsed_at.values() for update in runs]
    collapsed = sum(update is not None for update in every)
    retained_runs = contender.retained_runs
    return doc.Standing(
        objective=contender.objective,
        mismatch=contender.mismatch,
        reads=tuple(name for name in BEHAVIOR_FIELDS if name in run["reads"]),
        hyperparameters=run["hyperparameters"],
        conventions={key: run[key] for key in run["paper"]},
        paper=run["paper"],
        gain_under_lag=gain,
        own_retention=kept,
        held=_held(contender),
        gain_at_lag_0=retained(table.at_lag_0(contender.objective, contender.mismatch), table),
        iqm=_iqm(contender),
        optimality_gap=optimality_gap(retained_runs) if len(retained_runs) else None,
        profile=tuple(performance_profile(retained_runs, np.array(THRESHOLDS)).tolist()) if len(retained_runs) else (),
        collapsed=collapsed,
        runs=len(every),
        collapse_rate=interval(collapse_rate_by_seed(_are_collapsed(collapsed_at))) if every else None,
        highest_rate=float(highest_share(collapsed, len(every))),
        median_collapse=median_collapse(every),
        survival=tuple(
            doc.Step(update=step.update, alive=step.alive, low=step.low, high=step.high)
            for step in survival(collapsed_at, run["updates"])
        ),
        cost=cost(contender.cells),
        tuned=_tuned(contender),
    )


def _collapses(contender: Contender) -> dict[int, list[int | None]]:
    """By seed, the update at which each run that has ended collapsed."""
    found: dict[int, list[int | None]] = defaultdict(list)
    for group in contender.groups:
        for seed, cell in group.ended.items():
            collapse = cell.collapse(contender.table.base_score)
            found[seed].append(collapse.update if collapse else None)
    return found


def _are_collapsed(updates: Mapping[int, Sequence[int | None]]) -> dict[int, list[bool]]:
    return {seed: [update is not None for update in runs] for seed, runs in updates.items()}


def _held(contender: Contender) -> doc.Held | None:
    found = contender.held
    return doc.Held(**asdict(found)) if found else None


def _iqm(contender: Contender) -> doc.Interval | None:
    """None where it was not run under all schedules of the table: means over unlike ones would not compare."""
    if len(contender.own) < len(contender.table.schedules):
        return None
    scores = contender.over_tasks(contender.table.schedules)
    return interval(iqm(scores), np.array([iqm(seed[None]).mean for seed in scores])) if scores.size else None


def _tuned(contender: Contender) -> doc.Tuned | None:
    """The same at the learning rate that the search found; None where it chose none, or under a mismatch."""
    tuning = contender.table.results.tuning
    choice = tuning.chosen.get(contender.objective) if tuning else None
    if choice is None or contender.mismatch != NO_MISMATCH:
        return None
    if choice.cells is not None:
        by_lag: dict[str, list[Cell]] = defaultdict(list)
        for cell in choice.cells:
            by_lag[cell.axes.lag].append(cell)
        own = {lag: Group(contender.objective, lag, NO_MISMATCH, tuple(cells)) for lag, cells in by_lag.items()}
        contender = replace(contender, own=own)
    return doc.Tuned(
        learning_rate=choice.learning_rate,
        search=dict(choice.scores),
        scores={
            lag: over_seeds(group, contender.table.base)["pass@1"]
            for lag, group in contender.own.items()
            if group.ended
        },
        gain_under_lag=GAIN_UNDER_LAG.value(contender),
        own_retention=OWN_RETENTION.value(contender),
        held=_held(contender),
    )
