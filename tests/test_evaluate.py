"""pass@k against brute force over all draws, intervals against scipy and by simulation."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lagbench.harness.evaluate.passk import pass_at_k
from lagbench.harness.statistics.intervals import mean_interval


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(attempts: list[bool], data) -> None:
    k = data.draw(st.integers(1, len(attempts)))
    brute = np.mean([any(drawn) for drawn in combinations(attempts, k)])
    assert pass_at_k(np.array([attempts]), k)[0] == pytest.approx(brute, abs=1e-12)


def test_pass_at_k_by_value() -> None:
    correct = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    # k = 2 of n = 4: 1 - C(3, 2) / C(4, 2) = 1/2, 1 - C(2, 2) / 6 = 5/6, 0, 1
    assert pass_at_k(correct, 2) == pytest.approx([1 / 2, 5 / 6, 0, 1])
    assert pass_at_k(correct, 1) == pytest.approx([1 / 4, 1 / 2, 0, 1])
    assert pass_at_k(correct, 4) == pytest.approx([1, 1, 0, 1])


def test_pass_at_k_stays_exact_for_many_attempts() -> None:
    correct = np.zeros((1, 4096), bool)
    correct[0, 0] = True
    assert pass_at_k(correct, 1024)[0] == pytest.approx(1024 / 4096, abs=1e-12)


@pytest.mark.parametrize("k", [0, 5])
def test_more_draws_than_attempts_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} needs k from 1 to the 4 attempts"):
        pass_at_k(np.zeros((2, 4), bool), k)


def test_interval_is_scipy_s() -> None:
    values = np.array([0.1, 0.4, 0.35, 0.8])
    found = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(values.mean())


def test_one_value_has_no_interval() -> None:
    found = mean_interval(np.array([0.3]))
    assert found.mean == 0.3 and np.isnan(found.low) and np.isnan(found.high)


def test_interval_over_problems_covers() -> None:
    """Benchmarks of 100 problems drawn from one population: the 95 % interval holds its mean in 93 to 97 % of them."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(2000):
        chance = rng.beta(0.8, 1.2, size=100)  # its mean is 0.4
        found = mean_interval(pass_at_k(rng.random((100, 8)) < chance[:, None], 1))
        hits.append(found.low <= 0.4 <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.97
