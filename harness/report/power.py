"""What a suite can find at each of its schedules, from the spread of the differences that were measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..config import NO_MISMATCH
from ..statistics.intervals import FEWEST_SEEDS, ROUNDING, highest_share
from ..statistics.paired import LEVEL
from ..statistics.power import detectable, pooled_sd, seeds_needed
from . import document as doc
from .family import compared
from .groups import Table, shared_seeds
from .numbers import known
from .text import schedule_name

EFFECTS = (0.01, 0.02, 0.05)  # in pass@1, for advice on seeds


def power_of(table: Table, family: doc.Family) -> doc.Power | None:
    """None without two seeds of anything that differs from the baseline."""
    seeds = len(table.results.suite.seeds)
    differences: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for (_, mismatch, lag), group, other in compared(table):
        both = shared_seeds(group, other)
        if len(both) > 1:
            differences[mismatch, lag].append(group.scores(both) - other.scores(both))
    order = [(mismatch, lag) for mismatch in table.mismatches for lag in table.schedules]
    sds = {key: sd for key in order if (sd := pooled_sd(differences[key])) > ROUNDING}
    finds = tuple(_finds(*key, sd, seeds, table, family) for key, sd in sds.items())
    return doc.Power(seeds=seeds, finds=finds, text=_text(seeds, finds, family)) if finds else None


def _finds(mismatch: str, lag: str, sd: float, seeds: int, table: Table, family: doc.Family) -> doc.Finds:
    baseline = table.get(table.baseline, mismatch, lag)
    score = float(np.mean(baseline.scores(list(baseline.ended))))
    rate = float(highest_share(0, seeds * len(table.schedules)))
    first_step = detectable(sd, seeds, LEVEL / max(family.tests, 1))
    wanted: dict[str, int | None] = {f"{effect:g}": seeds_needed(sd, effect) for effect in EFFECTS}
    return doc.Finds(
        lag=lag,
        mismatch=mismatch,
        sd=sd,
        detectable=known(detectable(sd, seeds)),
        marked=known((first_step + rate * score) / (1 - rate)),  # (1 - rate) (score + this) - score = first_step
        seeds_for=wanted,
    )


def _text(seeds: int, finds: Sequence[doc.Finds], family: doc.Family) -> str:
    if seeds < FEWEST_SEEDS:
        return ""
    each = ", ".join(f"{_where(found)} {found.detectable:.3f} ({found.marked:.3f})" for found in finds)
    return (
        f"With {seeds} seeds one test finds, four times out of five, differences in pass@1 of (in brackets: a mark as "
        f"the first of {family.tests}, where no run of the better one collapses): {each}."
    )


def _where(found: doc.Finds) -> str:
    at = schedule_name(found.lag)
    return at if found.mismatch == NO_MISMATCH else f"{at} under {found.mismatch}"
