"""The cells of a suite's results by row, and what they are measured against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..config import NO_MISMATCH
from ..record import folded
from ..statistics.charged import Runs, filled
from ..statistics.intervals import Estimate, highest_share
from ..statistics.lag_numbers import Base, base_of
from .results import Cell, Results


def constant_lag(lag: str) -> int | None:
    """Updates of lag of a constant schedule; None for any other."""
    name, _, argument = lag.partition(":")
    return 0 if name == "sync" else int(argument) if name == "constant" else None


@dataclass(frozen=True)
class Group:
    """The cells of one row: an objective under one schedule and one mismatch."""

    objective: str
    lag: str
    mismatch: str
    cells: tuple[Cell, ...]

    @cached_property
    def ended(self) -> dict[int, Cell]:
        """By seed, in order: those that count, finished or ended non-finite."""
        counted = [cell for cell in self.cells if cell.scores or cell.non_finite]
        return {cell.axes.seed: cell for cell in sorted(counted, key=lambda cell: cell.axes.seed)}

    @property
    def run(self) -> Mapping[str, Any]:
        """The configuration of one of its cells, for what they share; empty where all are missing."""
        return next((cell.run for cell in self.cells if cell.run), {})

    def score(self, seed: int, metric: str = "pass@1") -> float:
        """0 of a run that ended non-finite."""
        found = self.ended[seed].scores
        return found[metric].mean if found else 0.0

    def scores(self, seeds: Sequence[int], metric: str = "pass@1") -> np.ndarray:
        """[S], of seeds that have ended."""
        return np.array([self.score(seed, metric) for seed in seeds])

    def collapsed(self, seeds: Sequence[int], base: float | None) -> np.ndarray:
        """[S], of seeds that have ended: which of them collapsed."""
        return np.array([self.ended[seed].collapse(base) is not None for seed in seeds], bool)


@dataclass(frozen=True)
class Table:
    """All groups of a suite's results, and what they are measured against."""

    results: Results
    groups: Mapping[tuple[str, str, str], Group]  # by objective, mismatch, lag

    @cached_property
    def base(self) -> Mapping[str, Estimate]:
        """Scores of the base model; empty until it has been evaluated."""
        return self.results.base.scores if self.results.base else {}

    @cached_property
    def base_score(self) -> float | None:
        return self.base["pass@1"].mean if self.base else None

    @cached_property
    def measured_base(self) -> Base | None:
        """The base model's pass@1 with its error as a measurement; None until it has been evaluated."""
        cell = self.results.base
        if cell is None or not cell.scores:
            return None
        exam = next(found for found in cell.evaluations if found["version"] == cell.run["updates"])
        pass_2 = cell.scores["pass@2"].mean if "pass@2" in cell.scores else None
        return base_of(cell.scores["pass@1"].mean, pass_2, exam["problems"], exam["samples"])

    @cached_property
    def schedules(self) -> tuple[str, ...]:
        """Constant lags in order, then the others as the suite names them."""
        named = list(dict.fromkeys([*map(folded, self.results.suite.lags), *(lag for *_, lag in self.groups)]))
        present = {lag for *_, lag in self.groups}
        return tuple(sorted((lag for lag in named if lag in present), key=_constant_first))

    @cached_property
    def mismatches(self) -> tuple[str, ...]:
        return tuple(sorted({mismatch for _, mismatch, _ in self.groups}, key=lambda name: (name != NO_MISMATCH, name)))

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        return tuple(sorted({objective for objective, *_ in self.groups}))

    @cached_property
    def constant(self) -> tuple[str, ...]:
        """The constant schedules, by lag."""
        return tuple(lag for lag in self.schedules if constant_lag(lag) is not None)

    @property
    def baseline(self) -> str:
        return self.results.suite.baseline

    def get(self, objective: str, mismatch: str, lag: str) -> Group:
        """An empty group where the suite has no such cells."""
        return self.groups.get((objective, mismatch, lag), Group(objective, lag, mismatch, ()))

    def at_lag_0(self, objective: str, mismatch: str) -> Group:
        return self.get(objective, mismatch, next((lag for lag in self.constant if constant_lag(lag) == 0), "sync"))

    def competes(self, objective: str, mismatch: str) -> bool:
        """Whether an objective has a standing: a baseline that was run at lag 0 alone is but the unit of gains."""
        lags = {lag for name, found, lag in self.groups if (name, found) == (objective, mismatch)}
        return objective != self.baseline or lags == set(self.schedules) or any(constant_lag(lag) != 0 for lag in lags)

    @cached_property
    def highest_rates(self) -> Mapping[tuple[str, str], float]:
        """By objective and mismatch, the collapse rate that all its runs under all schedules leave open."""
        ended: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for (objective, mismatch, _), group in self.groups.items():
            ended[objective, mismatch] += group.collapsed(list(group.ended), self.base_score).tolist()
        return {key: float(highest_share(sum(runs), len(runs))) for key, runs in ended.items()}

    @cached_property
    def healthy_scores(self) -> Mapping[tuple[str, str], float]:
        """By objective and mismatch, mean pass@1 of its runs under all schedules that have not collapsed, if any."""
        kept: dict[tuple[str, str], list[float]] = defaultdict(list)
        for (objective, mismatch, _), group in self.groups.items():
            seeds = list(group.ended)
            kept[objective, mismatch] += group.scores(seeds)[~group.collapsed(seeds, self.base_score)].tolist()
        return {key: float(np.mean(scores)) for key, scores in kept.items() if scores}

    def runs(self, group: Group, seeds: Sequence[int]) -> Runs:
        """pass@1 [S] of seeds that have ended, as a test that is charged for collapses takes them."""
        scores = group.scores(seeds)
        rate = np.array(self.highest_rates.get((group.objective, group.mismatch), 1.0))
        healthy = np.array(self.healthy_scores.get((group.objective, group.mismatch), 1.0))
        return Runs(scores, filled(scores, group.collapsed(seeds, self.base_score), healthy), rate)

    @cached_property
    def reference(self) -> Group:
        """The baseline at lag 0: its gain over the base model is the unit of retained gain."""
        return self.at_lag_0(self.baseline, self.mismatches[0] if self.mismatches else NO_MISMATCH)


def _constant_first(lag: str) -> tuple[bool, int]:
    steps = constant_lag(lag)
    return (steps is None, steps or 0)


def table_of(results: Results) -> Table:
    """The cells of results, by row."""
    by_row: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in results.trained:
        by_row[cell.axes.objective or "", cell.axes.mismatch, cell.axes.lag].append(cell)
    return Table(results, {key: Group(key[0], key[2], key[1], tuple(cells)) for key, cells in by_row.items()})


def shared_seeds(first: Group, second: Group) -> list[int]:
    """Seeds that both have."""
    return [seed for seed in first.ended if seed in second.ended]
