"""How many runs collapse, and when. A run that collapsed stays counted for ever after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .intervals import UNKNOWN, Estimate, clustered_share, proportion_interval


@dataclass(frozen=True)
class Step:
    """From this update to the next step, the share of runs that have not collapsed, with its 95 % interval."""

    update: int
    alive: float
    low: float
    high: float


def collapse_rate(collapsed: int, runs: int) -> Estimate:
    """Share of runs that collapsed, one of each seed; interval of Clopper and Pearson: 0 of 5 is 0 to 0.522."""
    return proportion_interval(collapsed, runs)


def collapse_rate_by_seed(collapsed: Mapping[int, Sequence[bool]]) -> Estimate:
    """Share of runs that collapsed, several of each seed, whose runs may collapse together."""
    if not any(collapsed.values()):
        return UNKNOWN
    counts = np.array([[sum(runs), len(runs)] for runs in collapsed.values()], float).T  # [2, S]
    return Estimate(*map(float, clustered_share(*counts)))


def survival(updates: Mapping[int, Sequence[int | None]], end: int) -> list[Step]:
    """Steps of the survival curve of runs, by seed: the updates at which they collapsed, None of one that did not.

    All runs are watched to `end`, equally long, so the estimate of Kaplan and Meier is the plain share of runs still
    alive. Its interval takes runs by seed, for each update by itself. The first step is at update 0 with all alive (a
    collapse at update 0 is a second step there), the last one at `end`. No runs, no steps. ValueError where a collapse
    lies outside 0 to `end`.
    """
    collapses = sorted(update for runs in updates.values() for update in runs if update is not None)
    if collapses and not 0 <= collapses[0] <= collapses[-1] <= end:
        raise ValueError(f"collapses at updates {collapses} of runs watched from 0 to {end}")
    if not any(updates.values()):
        return []
    times = [-1, *sorted(set(collapses))]
    shares = [_alive(updates, time) for time in times]
    steps = [Step(max(time, 0), share.mean, share.low, share.high) for time, share in zip(times, shares, strict=True)]
    return steps if times[-1] == end else [*steps, replace(steps[-1], update=end)]


def _alive(updates: Mapping[int, Sequence[int | None]], time: int) -> Estimate:
    """Share of runs that have not collapsed by this update."""
    return collapse_rate_by_seed({seed: [at is None or at > time for at in runs] for seed, runs in updates.items()})


def median_collapse(updates: Sequence[int | None]) -> int | None:
    """First update from which at most half of the runs are alive; None where more than half are at the end."""
    collapses = sorted(update for update in updates if update is not None)
    half = (len(updates) + 1) // 2
    return collapses[half - 1] if len(collapses) >= half > 0 else None
