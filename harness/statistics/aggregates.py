"""Many tasks in one number, after Agarwal et al., "Deep RL at the edge of the statistical precipice" (2108.13264)."""

from __future__ import annotations

import numpy as np

from .intervals import Estimate, seed_interval


def iqm(scores: np.ndarray) -> Estimate:
    """Interquartile mean over tasks, averaged over seeds, with a t interval over seeds: scores [S, T].

    Within each seed the int(T / 4) lowest and as many highest tasks are left out (scipy's `trim_mean`); with fewer than
    four tasks it is the mean. Tasks are benchmarks, not problems: over problems, whose scores are mostly 0 or 1, it
    would hide the easy and the hard ones.

    rliable trims over all runs of all tasks at once and bootstraps seeds within tasks. At the seed counts of a suite
    that bootstrap is too narrow (docs/statistics.md has the false alarms), and seeds that all tasks share are one
    source of noise, not one for each task; therefore t over the S values of seeds.
    """
    ordered = np.sort(scores, axis=1)
    tasks = ordered.shape[1]
    cut = tasks // 4
    return seed_interval(ordered[:, cut : tasks - cut].mean(axis=1), 0.0, 1.0)


def probability_of_improvement(first: np.ndarray, second: np.ndarray) -> float:
    """Chance that a run of the first is better than one of the second on the same task: scores [S1, T] and [S2, T].

    Mean over tasks of the share of pairs of runs that the first wins, ties half (2108.13264, section 4.3). Runs are not
    paired by seed here: it asks about any two runs. A description, not a test.
    """
    first, second = first[:, None, :], second[None, :, :]  # [S1, 1, T], [1, S2, T]
    return float(np.mean((first > second) + 0.5 * (first == second)))


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of runs whose score is strictly above each threshold: scores of any shape, thresholds [K]; [K]."""
    return np.mean(scores.ravel() > thresholds[:, None], axis=1)


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> float:
    """Mean of what runs lack to the target; what they have above it does not count (2108.13264, section 4.3)."""
    return float(np.mean(np.maximum(target - scores, 0.0)))
