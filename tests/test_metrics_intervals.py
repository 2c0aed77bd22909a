"""Intervals of scores: where they are known, and by simulation how often they hold the truth."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from lagbench.harness.evaluate.majority import maj_at_k
from lagbench.harness.evaluate.passk import pass_at_k, pass_hat_k
from lagbench.harness.statistics.intervals import mean_interval, score_interval

N, K, BENCHMARKS = 16, 8, 2000
DIFFICULTY = 0.4, 0.9  # Beta: many problems never or always solved, mean 0.308
EVERY_COUNT = np.tri(N + 1, N, -1, dtype=bool)  # [N + 1, N], row c: c right; the wrong ones agree with each other


@cache
def draws(problems: int) -> np.ndarray:
    """Right attempts of benchmarks drawn from one population of problems: [BENCHMARKS, M]."""
    rng = np.random.default_rng(problems)
    return rng.binomial(N, rng.beta(*DIFFICULTY, (BENCHMARKS, problems)))


@cache
def scores_of(metric: str, k: int) -> tuple[np.ndarray, float]:
    """Score by number of right attempts [N + 1], and its mean over the population: right attempts are beta-binomial."""
    right = np.arange(k + 1)
    chance = stats.betabinom.pmf(right, k, *DIFFICULTY)
    if metric == "pass@":
        return pass_at_k(EVERY_COUNT, k), chance @ (right > 0)
    if metric == "pass^":
        return pass_hat_k(EVERY_COUNT, k), chance @ (right == k)
    return maj_at_k(EVERY_COUNT, EVERY_COUNT.astype(int), k), chance @ ((2 * right > k) + (2 * right == k) / 2)


def coverage(metric: str, k: int, problems: int, interval) -> float:
    by_count, truth = scores_of(metric, k)
    found = [interval(by_count[right]) for right in draws(problems)]
    return np.mean([estimate.low <= truth <= estimate.high for estimate in found])


@pytest.mark.parametrize("problems", [30, 200])
@pytest.mark.parametrize(("metric", "k"), [("pass@", 1), ("pass@", K), ("maj@", K)])
def test_intervals_over_problems_cover(metric: str, k: int, problems: int) -> None:
    assert 0.93 <= coverage(metric, k, problems, score_interval) <= 0.975


@pytest.mark.parametrize(("k", "problems", "t"), [(K, 30, 0.82), (N, 30, 0.63), (N, 200, 0.89)])
def test_they_cover_where_few_problems_are_solved_and_t_does_not(k: int, problems: int, t: float) -> None:
    """pass^8 is 0.060 and pass^16 is 0.033: the scores of 2 and 1 of 30 problems, of 7 of 200."""
    assert coverage("pass^", k, problems, mean_interval) < t
    assert coverage("pass^", k, problems, score_interval) >= 0.93


@pytest.mark.parametrize(("metric", "k"), [("pass@", 1), ("pass@", K), ("maj@", K), ("pass^", K)])
def test_bootstrap_over_problems_covers_no_better(metric: str, k: int) -> None:
    """Percentiles of 1000 resampled benchmarks: not above these by more than this simulation's noise."""
    by_count, truth = scores_of(metric, k)
    values = by_count[draws(30)]  # [BENCHMARKS, 30]
    weights = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=1000) / 30  # [1000, 30]
    low, high = np.percentile(weights @ values.T, [2.5, 97.5], axis=0)
    assert np.mean((low <= truth) & (truth <= high)) <= coverage(metric, k, 30, score_interval) + 0.02


def test_it_is_t_where_five_problems_are_on_either_side() -> None:
    values = np.tile([0.3, 0.4, 0.35, 0.6], 8)  # their sum is 13.2 of 32
    assert score_interval(values) == mean_interval(values)


@pytest.mark.parametrize("solved", [0, 1, 4, 26, 30])
def test_few_solved_or_unsolved_is_clopper_and_pearson_s(solved: int) -> None:
    found = score_interval(np.arange(30) < solved)
    expected = stats.binomtest(solved, 30).proportion_ci(0.95, "exact")
    assert (found.mean, found.low, found.high) == pytest.approx((solved / 30, expected.low, expected.high))


def test_shares_of_a_problem_count_as_shares() -> None:
    # two halves are one of two: beta(1, 2) has its 2.5 % at 1 - sqrt(0.975), beta(2, 1) its 97.5 % at sqrt(0.975)
    found = score_interval(np.array([0.5, 0.5]))
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 1 - 0.975**0.5, 0.975**0.5))
    found = score_interval(np.array([0.0]))  # one problem, not solved: beta(1, 1) has its 97.5 % there
    assert (found.mean, found.low, found.high) == pytest.approx((0, 0, 0.975))
    found = score_interval(np.full(40, 0.5))  # equal scores: t has no width
    assert found.low < 0.36 and found.high > 0.64
    nearly = score_interval(np.where(np.arange(40) % 2, 0.5, 0.5 + 1e-15))  # equal up to rounding
    assert (nearly.low, nearly.high) == pytest.approx((found.low, found.high))
