"""The leaderboard: one standing for each objective under each mismatch, ranked by lag tolerance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from ..config import NO_MISMATCH
from ..statistics.aggregates import iqm, optimality_gap, performance_profile, probability_of_improvement
from ..statistics.intervals import UNKNOWN, Estimate
from ..statistics.lag_numbers import lag_tolerance, largest_lag, tolerance_weights
from ..statistics.paired import LEVEL
from ..statistics.ranks import Rank, duels, rank_intervals
from ..statistics.survival import collapse_rate, median_collapse, survival
from . import document as doc
from .groups import Group, Table, constant_lag
from .numbers import difference, interval, interval_or_none
from .results import Cell
from .rows import cost, over_seeds, retained

BEHAVIOR_FIELDS = ("behavior_logprobs", "proximal_logprobs")  # what a current-policy-only objective does without
NEVER_RUN: dict[str, Any] = {"reads": [], "hyperparameters": {}, "paper": {}, "updates": 0}  # all its cells are missing
THRESHOLDS = tuple(np.round(np.arange(-1, 1.51, 0.05), 2).tolist())  # of retained gain, for performance profiles


@dataclass(frozen=True)
class Contender:
    """An objective under one mismatch, with its runs as arrays over the seeds that have all of what is needed."""

    objective: str
    mismatch: str
    table: Table
    own: Mapping[str, Group]  # by schedule

    @classmethod
    def of(cls, objective: str, mismatch: str, table: Table) -> Self:
        """With the groups that the table has of it."""
        keys = ((objective, mismatch, lag) for lag in table.schedules)
        return cls(objective, mismatch, table, {key[2]: table.groups[key] for key in keys if key in table.groups})

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(self.own.values())

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for group in self.groups for cell in group.cells)

    @cached_property
    def constant(self) -> tuple[Group, ...]:
        empty = Group(self.objective, "", self.mismatch, ())
        return tuple(self.own.get(lag, empty) for lag in self.table.constant)

    @cached_property
    def lags(self) -> np.ndarray:
        return np.array([constant_lag(lag) for lag in self.table.constant], float)

    @cached_property
    def seeds(self) -> list[int]:
        """That have ended at every constant lag, and of which there is a reference."""
        return [seed for seed in self.table.reference.ended if all(seed in group.ended for group in self.constant)]

    @cached_property
    def by_lag(self) -> np.ndarray | None:
        """pass@1 [S, L] of `seeds` at the constant lags; None where tolerance cannot be computed."""
        if self.table.base_score is None or len(self.lags) < 2 or not self.seeds:
            return None
        return np.stack([group.scores(self.seeds) for group in self.constant], 1)

    @cached_property
    def tolerance(self) -> Estimate:
        """Lag tolerance; nan where it cannot be computed."""
        if self.by_lag is None:
            return UNKNOWN
        reference = self.table.reference.scores(self.seeds)
        return lag_tolerance(self.by_lag, self.lags, self.table.base_score or 0.0, reference)

    @cached_property
    def areas(self) -> dict[int, float]:
        """By seed, the area under its gain: the numerator of lag tolerance."""
        if self.by_lag is None:
            return {}
        gains = (self.by_lag - (self.table.base_score or 0.0)) @ tolerance_weights(self.lags)
        return dict(zip(self.seeds, gains.tolist(), strict=True))

    @cached_property
    def retained_runs(self) -> np.ndarray:
        """Retained gain of every run that has ended, under all schedules; the reference's mean gain is the unit."""
        if self.table.base_score is None or not (unit := reference_gain(self.table)):
            return np.zeros(0)
        scores = [group.scores(list(group.ended)) for group in self.groups]
        return (np.concatenate([*scores, []]) - self.table.base_score) / unit

    def over_tasks(self, lags: Sequence[str]) -> np.ndarray:
        """pass@1 [S, T] over evaluation tasks and these schedules, of the seeds that have ended under all of them."""
        groups = [self.own[lag] for lag in lags]
        seeds = [s for s in groups[0].ended if all(s in group.ended for group in groups)] if groups else []
        exams = next((_final_exams(cell) for group in groups for cell in group.cells if cell.scores), [])
        scores = [[_final(group.ended[seed], exam) for group in groups for exam in exams] for seed in seeds]
        return np.array(scores).reshape(len(seeds), len(groups) * len(exams))


def reference_gain(table: Table) -> float:
    """Mean gain of the reference over the base model, in pass@1; 0 where it is not known, or is not positive."""
    seeds = list(table.reference.ended)
    if table.base_score is None or not seeds:
        return 0.0
    return max(float(table.reference.scores(seeds).mean() - table.base_score), 0.0)


def _final_exams(cell: Cell) -> list[str]:
    return [found["exam"] for found in cell.evaluations if found["version"] == cell.run["updates"]]


def _final(cell: Cell, exam: str) -> float:
    """pass@1 of the final version on an exam; 0 of a run that ended non-finite."""
    if not cell.scores:
        return 0.0
    final = (f for f in cell.evaluations if f["version"] == cell.run["updates"] and f["exam"] == exam)
    return next(final)["scores"]["pass@1"]["mean"]


def standings_and_pairs(table: Table) -> tuple[tuple[doc.Standing, ...], tuple[doc.Pair, ...]]:
    """Those of each mismatch, the most tolerant first, and their differences."""
    standings: list[doc.Standing] = []
    pairs: list[doc.Pair] = []
    for mismatch in table.mismatches:
        present = sorted({objective for objective, found, _ in table.groups if found == mismatch})
        present = [objective for objective in present if table.competes(objective, mismatch)]
        contenders = [Contender.of(name, mismatch, table) for name in present]
        ranked = by_tolerance([contender for contender in contenders if not np.isnan(contender.tolerance.mean)])
        others = [contender for contender in contenders if np.isnan(contender.tolerance.mean)]
        found, ranks = _duels(ranked, table)
        pairs += found
        for place, (contender, rank) in enumerate(zip(ranked, ranks, strict=True), 1):
            open_rank = Rank(rank.best, rank.worst + len(others))  # any of the others may turn out better
            standings.append(_standing(contender, place, open_rank))
        standings += [_standing(contender, None, Rank(1, len(contenders))) for contender in others]
    return tuple(standings), tuple(pairs)


def by_tolerance(contenders: Sequence[Contender]) -> list[Contender]:
    """The best first: by mean area over the seeds that all have, or else by tolerance, each over its own."""
    common = [seed for seed in contenders[0].areas if all(seed in c.areas for c in contenders)] if contenders else []
    if not common:
        return sorted(contenders, key=lambda contender: -contender.tolerance.mean)
    return sorted(contenders, key=lambda contender: -np.mean([contender.areas[seed] for seed in common]))


def _duels(ranked: Sequence[Contender], table: Table) -> tuple[list[doc.Pair], list[Rank]]:
    """Differences in lag tolerance of all pairs, and the ranks that they leave open."""
    unit, seeds = reference_gain(table), list(table.reference.ended)
    if not unit or len(ranked) < 2:
        return [], [Rank(1, len(ranked))] * len(ranked)
    areas = np.array([[contender.areas.get(seed, np.nan) for seed in seeds] for contender in ranked])  # [N, S]
    fought = duels(areas)
    pairs = [
        doc.Pair(
            first=ranked[duel.first].objective,
            second=ranked[duel.second].objective,
            mismatch=ranked[duel.first].mismatch,
            difference=difference(duel.paired, duel.p_adjusted, unit),
            probability_of_improvement=_improvement(ranked[duel.first], ranked[duel.second]),
        )
        for duel in fought
    ]
    return pairs, rank_intervals(fought, len(ranked), LEVEL)


def _improvement(first: Contender, second: Contender) -> float | None:
    """Over the schedules that both have."""
    lags = [lag for lag in first.own if lag in second.own]
    ours, theirs = first.over_tasks(lags), second.over_tasks(lags)
    if not ours.size or not theirs.size or ours.shape[1] != theirs.shape[1]:
        return None
    return probability_of_improvement(ours, theirs)


def _standing(contender: Contender, place: int | None, rank: Rank) -> doc.Standing:
    table = contender.table
    run = next((cell.run for cell in contender.cells if cell.run), NEVER_RUN)
    ended = [(group, seed) for group in contender.groups for seed in group.ended]
    collapsed_at = [c.update if (c := group.ended[seed].collapse(table.base_score)) else None for group, seed in ended]
    collapsed = sum(update is not None for update in collapsed_at)
    tolerance, largest = _lag_numbers(contender)
    runs = contender.retained_runs
    return doc.Standing(
        objective=contender.objective,
        mismatch=contender.mismatch,
        reads=tuple(name for name in BEHAVIOR_FIELDS if name in run["reads"]),
        hyperparameters=run["hyperparameters"],
        conventions={key: run[key] for key in run["paper"]},
        paper=run["paper"],
        place=place if tolerance else None,
        best_rank=rank.best,
        worst_rank=rank.worst,
        tolerance=tolerance,
        largest_lag=largest,
        gain_at_lag_0=retained(table.at_lag_0(contender.objective, contender.mismatch), table),
        iqm=_iqm(contender),
        optimality_gap=optimality_gap(runs) if len(runs) else None,
        profile=tuple(performance_profile(runs, np.array(THRESHOLDS)).tolist()) if len(runs) else (),
        collapsed=collapsed,
        runs=len(ended),
        collapse_rate=interval(collapse_rate(collapsed, len(ended))) if ended else None,
        median_collapse=median_collapse(collapsed_at, run["updates"]),
        survival=tuple(
            doc.Step(update=step.update, alive=step.alive, low=step.low, high=step.high)
            for step in (survival(collapsed_at, run["updates"]) if ended else ())
        ),
        cost=cost(contender.cells),
        tuned=_tuned(contender),
    )


def _iqm(contender: Contender) -> doc.Interval | None:
    """None where it was not run under all schedules of the table: means over unlike ones would not compare."""
    if len(contender.own) < len(contender.table.schedules):
        return None
    scores = contender.over_tasks(contender.table.schedules)
    return interval(iqm(scores)) if scores.size else None


def _lag_numbers(contender: Contender) -> tuple[doc.Interval | None, doc.Interval | None]:
    """Lag tolerance and largest lag."""
    if contender.by_lag is None:
        return None, None
    tolerance = interval_or_none(contender.tolerance)
    if 0 not in contender.lags:
        return tolerance, None
    return tolerance, interval_or_none(largest_lag(contender.by_lag, contender.lags, contender.table.base_score or 0.0))


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
    tolerance, largest = _lag_numbers(contender)
    return doc.Tuned(
        learning_rate=choice.learning_rate,
        search=dict(choice.scores),
        scores={
            lag: over_seeds(group, contender.table.base)["pass@1"]
            for lag, group in contender.own.items()
            if group.ended
        },
        tolerance=tolerance,
        largest_lag=largest,
    )
