"""Means and their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEW = 5  # problems; with fewer on either side the t interval covers 62 to 88 % (tests/test_metrics_intervals.py)
ROUNDING = 1e-12  # scores that differ by less are the same


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the interval is nan where nothing can be said."""

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray) -> Estimate:
    """Mean of independent values and its Student t interval: width 0 where all are equal, nan where there is one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def score_interval(values: np.ndarray) -> Estimate:
    """Mean score of M problems and where that of their whole population may lie: [M] scores in [0, 1].

    Student t over problems, cut to [0, 1]. Where the problems solved, or those not solved, come to fewer than `FEW`,
    and where all scores are equal, t is too narrow; there it is the interval of Clopper and Pearson (1934) with the sum
    of the scores as the number of successes. It is theirs where scores are 0 and 1 (0 of 30 problems: 0 to 0.116), and
    conservative for scores in between, whose variance is smaller.
    """
    mean, solved, unsolved = float(np.mean(values)), float(np.sum(values)), float(np.sum(1 - values))
    if min(solved, unsolved) < FEW or np.ptp(values) < ROUNDING:
        tail = 0.5 - CONFIDENCE / 2
        low = stats.beta.ppf(tail, solved, unsolved + 1) if solved > 0 else 0.0
        high = stats.beta.ppf(1 - tail, solved + 1, unsolved) if unsolved > 0 else 1.0
        return Estimate(mean, float(low), float(high))
    found = mean_interval(values)
    return Estimate(mean, max(found.low, 0.0), min(found.high, 1.0))
