"""pass@k and its interval from the matrix of attempts. M problems, n attempts each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the interval is nan where there are fewer than two values."""

    mean: float
    low: float
    high: float


def pass_at_k(correct: np.ndarray, k: int) -> np.ndarray:
    """Unbiased estimate of the chance that one of k attempts is right, per problem: [M] from bool [M, n].

    1 - C(n - c, k) / C(n, k) with c right of n, as a product (Chen et al. 2021, arXiv 2107.03374, equation 1).
    k > n is a ValueError: the formula would return 1.
    """
    attempts = correct.shape[1]
    if not 1 <= k <= attempts:
        raise ValueError(f"pass@{k} needs k from 1 to the {attempts} attempts that were made")
    wrong = attempts - correct.sum(1)  # [M]
    drawn = np.arange(k)  # [k]
    miss = np.clip(wrong[:, None] - drawn, 0, None) / (attempts - drawn)  # [M, k], chance that draw j misses too
    return 1.0 - miss.prod(1)


def mean_interval(values: np.ndarray) -> Estimate:
    """Mean of independent values and its Student t interval (of width 0 where all values are equal)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def scores(correct: np.ndarray) -> dict[str, Estimate]:
    """pass@k for k = 1, 2, 4, ... up to n, each with the t interval over problems (never over redrawn attempts)."""
    ks = [2**i for i in range(correct.shape[1].bit_length())]
    return {f"pass@{k}": mean_interval(pass_at_k(correct, k)) for k in ks}
