"""How many runs collapse, and when. A run that collapsed stays counted for ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .intervals import Estimate, proportion_interval


@dataclass(frozen=True)
class Step:
    """From this update to the next step, the share of runs that have not collapsed, with its 95 % interval."""

    update: int
    alive: float
    low: float
    high: float


def collapse_rate(collapsed: int, runs: int) -> Estimate:
    """Share of runs that collapsed, with the interval of Clopper and Pearson: 0 of 5 is 0 to 0.522."""
    return proportion_interval(collapsed, runs)


def survival(updates: Sequence[int | None], end: int) -> list[Step]:
    """Steps of the survival curve of runs that collapsed at these updates (None: not at all) and were watched to `end`.

    All runs are watched equally long, so the estimate of Kaplan and Meier is the plain share of runs still alive, and
    its interval that of Clopper and Pearson, for each update by itself. The first step is at update 0 with all alive (a
    collapse at update 0 is a second step there), the last one at `end`. No runs, no steps. ValueError where a collapse
    lies outside 0 to `end`.
    """
    collapses = sorted(update for update in updates if update is not None)
    if collapses and not 0 <= collapses[0] <= collapses[-1] <= end:
        raise ValueError(f"collapses at updates {collapses} of runs watched from 0 to {end}")
    runs = len(updates)
    if not runs:
        return []
    alive = [(0, runs)]
    alive += [(update, runs - sum(at <= update for at in collapses)) for update in sorted(set(collapses))]
    if alive[-1][0] != end:
        alive.append((end, alive[-1][1]))
    found = [(update, proportion_interval(left, runs)) for update, left in alive]
    return [Step(update, share.mean, share.low, share.high) for update, share in found]


def median_collapse(updates: Sequence[int | None], end: int) -> int | None:
    """First update from which at most half of the runs are alive; None where more than half are at the end."""
    return next((step.update for step in survival(updates, end) if step.alive <= 0.5), None)
