"""The difference of two objectives in own retention: of two ratios with different denominators, over the same seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fieller import Shared, fieller
from .paired import t_test


@dataclass(frozen=True)
class Gains:
    """Gains over the base model [..., S] of one objective by seed: under lag (mean over lags), and at lag 0."""

    under_lag: np.ndarray
    at_lag_0: np.ndarray


@dataclass(frozen=True)
class Retentions:
    """What Fieller's interval of a difference in own retention is made of, and the p of "no difference" [...]."""

    numerators: np.ndarray  # [..., S]
    denominators: np.ndarray
    shared: Shared
    p: np.ndarray

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First minus second, low and high, each [...]."""
        return fieller(self.numerators, self.denominators, self.shared)


def difference_of_retention(first: Gains, second: Gains, error: float) -> Retentions:
    """First minus second; `error` is the base model's, which stands in all four means.

    Retentions A / a and B / b differ by d where A b - B a - d a b = 0. Expanded around the means to first order, each
    seed adds A_s / a + (A / a) b_s / b - B_s / b - (B / b) a_s / a - (A / a - B / b) to the numerator and
    a_s / a + b_s / b - 1 to the denominator of d, whose means are A / a - B / b and 1. p is of the t test at d = 0.
    """
    a, b = (gains.at_lag_0.mean(-1, keepdims=True) for gains in (first, second))
    kept, other = first.under_lag.mean(-1, keepdims=True) / a, second.under_lag.mean(-1, keepdims=True) / b
    numerators = (
        first.under_lag / a + kept * second.at_lag_0 / b
        - second.under_lag / b - other * first.at_lag_0 / a - (kept - other)
    )  # fmt: skip
    denominators = first.at_lag_0 / a + second.at_lag_0 / b - 1
    shared = (error * ((1 - other) / a - (1 - kept) / b)[..., 0], error * (1 / a + 1 / b)[..., 0])
    return Retentions(numerators, denominators, shared, t_test(numerators, shared[0]))
