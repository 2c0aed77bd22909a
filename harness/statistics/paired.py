"""The difference of two objectives over the seeds that both have, and whether it is more than the noise of seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from scipy import special

from .intervals import FEWEST_SEEDS, ROUNDING, UNKNOWN, Estimate, seed_interval

LEVEL = 0.05
MOST_FLIPPED = 30  # seeds; the 2 ** 30 ways to flip them are counted in milliseconds


@dataclass(frozen=True)
class Paired:
    """First minus second, over seeds, with two p-values for "no difference"; nan where none can be had.

    `p` is that of the paired t test, which goes into families. `p_exact` is a second opinion that assumes no normal
    distribution, and `exact` names its test: "sign flips", "label permutation", or empty where there is none.
    """

    estimate: Estimate
    p: float
    p_exact: float
    exact: str


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Seed-paired difference of two objectives: scores [S] of each in the same order of seeds, nan for a missing one.

    Over the seeds that both have. With fewer than three there is no p and no interval. Where all differences are the
    same (within `ROUNDING`) and not 0, the interval is nan, for nothing is known about the spread.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(f"scores of {first.shape} and {second.shape} seeds cannot be paired; expected [S] of each")
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    differences = first - second
    seeds = len(differences)
    if seeds == 0:
        return Paired(UNKNOWN, float("nan"), float("nan"), "")
    estimate = seed_interval(differences, -1.0, 1.0)
    if float(np.ptp(differences)) <= ROUNDING < abs(estimate.mean):
        estimate = Estimate(estimate.mean, float("nan"), float("nan"))
    p_exact, exact = _exact(first, second)
    return Paired(estimate, float(t_test(differences)), p_exact, exact)


def t_test(differences: np.ndarray, error: np.ndarray | float = 0.0) -> np.ndarray:
    """Two-sided p [...] of "the mean is 0", of paired differences [..., S]; nan with fewer than three seeds.

    `error` is that of the mean which all seeds share; it counts with the quantiles of t, on the safe side. Where all
    differences are the same (within `ROUNDING`), t has nothing to divide by: if they are 0, p = 1; else p is
    2 ** (1 - S), the chance that S symmetric differences share a sign. That claims nothing below six seeds, where t
    would claim everything.
    """
    seeds, mean = differences.shape[-1], np.abs(differences.mean(-1))
    if seeds < FEWEST_SEEDS:
        return np.full(mean.shape, np.nan)
    total = np.sqrt(differences.var(-1, ddof=1) / seeds + np.square(error))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * special.stdtr(seeds - 1, -mean / total)
    same = np.ptp(differences, axis=-1) <= ROUNDING
    return np.where(same, np.where(mean <= ROUNDING, 1.0, 2.0 ** (1 - seeds)), p)


def _exact(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
    """The test that flips seeds where it can reach the level at all, else the one that permutes labels, else none."""
    seeds = len(first)
    if seeds > MOST_FLIPPED:  # where t needs no second opinion any more
        return float("nan"), ""
    if seeds > 1 and 2.0 ** (1 - seeds) <= LEVEL:
        return sign_flips(first - second), "sign flips"
    if seeds > 1 and 2 / comb(2 * seeds, seeds) <= LEVEL:
        return label_permutation(first, second), "label permutation"
    return float("nan"), ""


def sign_flips(differences: np.ndarray) -> float:
    """Exact two-sided p of the mean of paired differences [S]: share of the 2 ** S sign flips at least as far from 0.

    Exact where a difference is as likely as its negative, which holds under the null hypothesis whatever seeds share.
    Flips are counted, not listed: the sums of one half of the seeds are looked up among the sorted ones of the other.
    """
    half = len(differences) // 2
    ones, others = _signed_sums(differences[:half]), np.sort(_signed_sums(differences[half:]))
    limit = abs(float(differences.sum())) - _slack(differences)
    above = len(others) - np.searchsorted(others, limit - ones, side="left")
    below = np.searchsorted(others, -limit - ones, side="right")
    far = int(above.sum() + below.sum()) if limit > 0 else len(ones) * len(others)
    return far / (len(ones) * len(others))


def label_permutation(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided p of a difference of means [S] - [S]: share of the C(2 S, S) relabelings at least as far from 0.

    Exact where all 2 S scores are exchangeable. Noise that both objectives of a seed share makes it conservative: it
    cannot use the pairs.
    """
    pooled = np.concatenate([first, second])
    found = np.abs(2 * pooled[_splits(len(first))].sum(axis=1) - pooled.sum())
    differences = first - second
    return float(np.mean(found >= abs(float(differences.sum())) - _slack(differences)))


def _signed_sums(differences: np.ndarray) -> np.ndarray:
    """Sums [2 ** S] of differences [S] under every choice of their signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _slack(differences: np.ndarray) -> float:
    """How far apart by rounding two sums may be that are the same."""
    return ROUNDING * max(1.0, float(np.abs(differences).sum()))


@cache
def _splits(seeds: int) -> np.ndarray:
    """Every way to choose S of 2 S scores: indices [C(2 S, S), S]."""
    return np.array(list(combinations(range(2 * seeds), seeds)))
