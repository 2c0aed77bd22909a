"""Means and their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
NORMAL = float(special.ndtri(0.5 + CONFIDENCE / 2))  # standard errors that a known noise reaches to either side
FEW = 5  # problems; with fewer on either side the t interval covers 62 to 88 % (tests/test_metrics_intervals.py)
FEWEST_SEEDS = 3  # no interval over seeds and no claim below: two seeds would reach from -0.7 to 1.1
ROUNDING = 1e-12  # scores that differ by less are the same


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the interval is nan where nothing can be said."""

    mean: float
    low: float
    high: float


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def student(
    values: np.ndarray, least: float = -np.inf, most: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of independent values [..., N], N at least 2, with Student's t intervals, cut to what a mean can be.

    The true mean lies in that range, so the cut costs no coverage.
    """
    mean, n = values.mean(-1), values.shape[-1]
    half = special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * values.std(-1, ddof=1) / n**0.5
    return mean, np.maximum(mean - half, least), np.minimum(mean + half, most)


def mean_interval(values: np.ndarray) -> Estimate:
    """Mean of independent values and its Student t interval: width 0 where all are equal, nan where there is one."""
    if len(values) < 2:
        return Estimate(float(np.mean(values)), float("nan"), float("nan"))
    return Estimate(*map(float, student(np.asarray(values, float))))


def seed_interval(values: np.ndarray, least: float = -np.inf, most: float = np.inf) -> Estimate:
    """Mean over training seeds and its t interval, cut to that range; nan with fewer than three: show their values."""
    if len(values) < FEWEST_SEEDS:
        return Estimate(float(np.mean(values)), float("nan"), float("nan"))
    return Estimate(*map(float, student(np.asarray(values, float), least, most)))


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


def highest_share(successes: np.ndarray | float, trials: np.ndarray | float) -> np.ndarray:
    """Upper end of Clopper and Pearson's one-sided 95 % interval: 0 of 30 may be 0.095 in truth; 1 without trials."""
    failures = np.maximum(np.asarray(trials, float) - successes, 0)
    return np.where(failures > 0, special.betaincinv(np.add(successes, 1), np.maximum(failures, 1), CONFIDENCE), 1.0)


def lowest_of_all(trials: int) -> float:
    """Lower end of Clopper and Pearson's one-sided 95 % interval where all trials succeed: 5 of 5 is 0.549 at least."""
    return float((1 - CONFIDENCE) ** (1 / trials)) if trials else 0.0


def clustered_share(successes: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of successes, low and high, of trials that come by seed: both [..., S], counts of every seed.

    Trials of one seed may succeed together, so they count as fewer: Wilson's score interval (1927) with the number of
    trials divided by the design effect, the variance that the seeds show over that of independent trials, at least 1.
    Where all trials end alike the seeds show nothing, and each counts as one trial: 0 of 30 from 5 seeds is 0 to 0.434.
    nan without trials.
    """
    seeds, n = np.sum(np.greater(trials, 0), -1), np.sum(trials, -1)
    total = np.sum(successes, -1)
    alike = (total == 0) | (total == n) | (seeds < 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(total / n)
        apart = np.sum((successes - share[..., None] * trials) ** 2, -1) * seeds / (seeds - 1)
        effect = np.maximum(apart / (n * share * (1 - share)), 1.0)
        width = NORMAL**2 / np.where(alike, seeds, n / effect)
    half = np.sqrt(width * (share * (1 - share) + width / 4))
    center = share + width / 2
    return share, np.maximum((center - half) / (1 + width), 0.0), np.minimum((center + half) / (1 + width), 1.0)


def _clopper_pearson(successes: float, failures: float) -> tuple[float, float]:
    """Shares at which so few, or so many, successes have the chance of one tail; fractions interpolate."""
    tail = 0.5 - CONFIDENCE / 2
    low = special.betaincinv(successes, failures + 1, tail) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, failures, 1 - tail) if failures > 0 else 1.0
    return float(low), float(high)
