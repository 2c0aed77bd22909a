"""An objective under one mismatch, with its runs as arrays over the seeds that have all of what is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from ..statistics.charged import Runs
from ..statistics.intervals import UNKNOWN, Estimate
from ..statistics.lag_numbers import Base, Held, gain_under_lag, held_and_lost, lag_0, lag_weights, own_retention
from .groups import Group, Table, constant_lag
from .results import Cell


@dataclass(frozen=True)
class Contender:
    """An objective under one mismatch, and the groups that the table has of it."""

    objective: str
    mismatch: str
    table: Table
    own: Mapping[str, Group]  # by schedule

    @classmethod
    def of(cls, objective: str, mismatch: str, table: Table) -> Self:
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
        """That have ended at every constant lag; none where there are no two lags or no base model to measure by."""
        if self.table.measured_base is None or len(self.lags) < 2:
            return []
        return [seed for seed in self.constant[0].ended if all(seed in group.ended for group in self.constant)]

    @cached_property
    def seeds_with_reference(self) -> list[int]:
        return [seed for seed in self.seeds if seed in self.table.reference.ended]

    @property
    def base(self) -> Base:
        """The base model's score; known wherever there are `seeds`."""
        return self.table.measured_base or Base(0.0, 0.0)

    def by_lag(self, seeds: Sequence[int]) -> np.ndarray:
        """pass@1 [S, L] at the constant lags."""
        return np.stack([group.scores(seeds) for group in self.constant], 1)

    def under_lag(self, seeds: Sequence[int]) -> Runs:
        """Mean pass@1 over constant lags [S]."""
        runs = [self.table.runs(group, seeds) for group in self.constant]
        weights = lag_weights(self.lags)
        scores, filled = (weights @ np.stack([getattr(of, name) for of in runs]) for name in ("scores", "filled"))
        return Runs(scores, filled, runs[0].rate)

    @property
    def at_lag_0(self) -> Group:
        """Of one that `keeps` something."""
        return self.constant[lag_0(self.lags)]

    @cached_property
    def gain_under_lag(self) -> Estimate:
        seeds = self.seeds_with_reference
        if not seeds:
            return UNKNOWN
        return gain_under_lag(self.by_lag(seeds), self.lags, self.base, self.table.reference.scores(seeds))

    @cached_property
    def own_retention(self) -> Estimate:
        return own_retention(self.by_lag(self.seeds), self.lags, self.base) if self.keeps else UNKNOWN

    @cached_property
    def held(self) -> Held | None:
        return held_and_lost(self.by_lag(self.seeds), self.lags, self.base) if self.keeps else None

    @property
    def keeps(self) -> bool:
        """Whether there is anything to keep: lag 0 is among the lags."""
        return bool(self.seeds) and 0 in self.lags

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
