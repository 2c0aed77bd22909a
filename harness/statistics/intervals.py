"""Means and their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
FEW = 5  # problems; with fewer on either side the t interval covers 62 to 88 % (tests/test_metrics_intervals.py)
ROUNDING = 1e-12  # scores that differ by less are the same


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the interval is nan where nothing can be said."""

    mean: float
    low: float
    high: float


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def t_quantile(values: int) -> float:
    """How many standard errors of a mean of so many values (2 or more) its interval reaches to either side."""
    return float(special.stdtrit(values - 1, 0.5 + CONFIDENCE / 2))


def mean_interval(values: np.ndarray) -> Estimate:
    """Mean of independent values and its Student t interval: width 0 where all are equal, nan where there is one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = t_quantile(len(values)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
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
        return Estimate(mean, *_clopper_pearson(solved, unsolved))
    found = mean_interval(values)
    return Estimate(mean, max(found.low, 0.0), min(found.high, 1.0))


def proportion_interval(successes: int, trials: int) -> Estimate:
    """Share of successes in independent trials with the interval of Clopper and Pearson (1934); nan without trials.

    It covers at least 95 % whatever the true share, usually more: 0 of 5 is 0 to 0.522. ValueError where successes are
    not among the trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials; expected 0 to {trials}")
    if trials == 0:
        return UNKNOWN
    return Estimate(successes / trials, *_clopper_pearson(successes, trials - successes))


def _clopper_pearson(successes: float, failures: float) -> tuple[float, float]:
    """Shares at which so few, or so many, successes have the chance of one tail; fractions interpolate."""
    tail = 0.5 - CONFIDENCE / 2
    low = special.betaincinv(successes, failures + 1, tail) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, failures, 1 - tail) if failures > 0 else 1.0
    return float(low), float(high)
