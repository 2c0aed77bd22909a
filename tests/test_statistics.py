"""The comparison's numbers: worked by hand, by brute force, against scipy, and what must hold for any scores."""

import csv
from itertools import combinations, permutations, product
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from lagbench.harness.statistics.aggregates import iqm, optimality_gap, performance_profile, probability_of_improvement
from lagbench.harness.statistics.charged import Runs, charged_p, charged_retention_p, filled
from lagbench.harness.statistics.families import holm
from lagbench.harness.statistics.fieller import fieller
from lagbench.harness.statistics.intervals import (
    Estimate,
    clustered_share,
    highest_share,
    mean_interval,
    proportion_interval,
    score_interval,
    seed_interval,
)
from lagbench.harness.statistics.lag_numbers import (
    Base,
    Held,
    base_of,
    gain_under_lag,
    held_and_lost,
    lag_weights,
    own_retention,
    ratio_interval,
    retained_gain,
)
from lagbench.harness.statistics.paired import Paired, label_permutation, paired, sign_flips, t_test
from lagbench.harness.statistics.power import detectable, pooled_sd, seeds_needed
from lagbench.harness.statistics.ranks import Rank, rank_intervals
from lagbench.harness.statistics.retention import Gains, difference_of_retention
from lagbench.harness.statistics.survival import Step, collapse_rate, collapse_rate_by_seed, median_collapse, survival

A = np.array([0.30, 0.34, 0.29, 0.33, 0.36])
B = np.array([0.27, 0.33, 0.28, 0.30, 0.31])
REFERENCE = np.array([0.55, 0.61, 0.58, 0.60, 0.56])
LAGS = np.array([0, 4, 16, 64])
KNOWN = Base(0.1, 0.0)  # a base model that is known without error
scores = st.floats(0, 1).map(lambda x: round(x, 3))


def values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.mean, estimate.low, estimate.high


# Intervals


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 5), (3, 7), (12, 12), (250, 1000)])
def test_shares_have_clopper_and_pearsons_interval(successes: int, trials: int) -> None:
    peer = stats.binomtest(successes, trials).proportion_ci(method="exact")
    found = proportion_interval(successes, trials)
    assert values(found) == pytest.approx((successes / trials, peer.low, peer.high), abs=1e-12)
    of_scores = score_interval((np.arange(trials) < successes).astype(float))
    if min(successes, trials - successes) < 5:
        assert values(of_scores) == pytest.approx(values(found), abs=1e-12)


def test_shares_of_nothing_and_of_too_few() -> None:
    assert all(map(isnan, values(proportion_interval(0, 0))))
    assert values(proportion_interval(0, 5)) == pytest.approx((0, 0, 1 - 0.025**0.2))
    with pytest.raises(ValueError, match="6 successes in 5 trials"):
        proportion_interval(6, 5)


@given(hnp.arrays(float, st.integers(2, 30), elements=scores))
def test_the_mean_has_scipys_t_interval(sample: np.ndarray) -> None:
    assume(np.ptp(sample) > 1e-6)
    peer = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert values(mean_interval(sample)) == pytest.approx((sample.mean(), peer.low, peer.high), abs=1e-9)


def test_intervals_over_seeds_end_where_scores_do() -> None:
    """.02 .30 .04: mean .12, sd .156205, error .090185, half 4.302653 * .090185 = .388035; a score is not below 0."""
    found = seed_interval(np.array([0.02, 0.30, 0.04]), 0.0, 1.0)
    assert values(found) == pytest.approx((0.12, 0.0, 0.508035), abs=1e-6)
    assert seed_interval(np.array([0.02, 0.30, 0.04])).low == pytest.approx(-0.268035, abs=1e-6)
    assert seed_interval(np.array([0.98, 0.7, 0.96]), 0.0, 1.0).high == 1.0
    two = seed_interval(np.array([0.3, 0.5]), 0.0, 1.0)
    assert two.mean == pytest.approx(0.4) and isnan(two.low) and isnan(two.high)


def test_the_highest_share_is_clopper_and_pearsons() -> None:
    assert highest_share(0, 30) == pytest.approx(1 - 0.05 ** (1 / 30))  # 0.095
    for successes, trials in ((1, 30), (9, 30), (4, 5)):
        peer = stats.binomtest(successes, trials, alternative="less").proportion_ci(0.95, "exact")
        assert highest_share(successes, trials) == pytest.approx(peer.high, abs=1e-12)
    assert highest_share(5, 5) == 1 and highest_share(0, 0) == 1
    assert highest_share(np.array([0, 5]), 5).tolist() == pytest.approx([1 - 0.05**0.2, 1])


def wilson(share: float, trials: float) -> tuple[float, float]:
    k = stats.norm.ppf(0.975) ** 2 / trials
    half = (k * (share * (1 - share) + k / 4)) ** 0.5
    return (share + k / 2 - half) / (1 + k), (share + k / 2 + half) / (1 + k)


def test_a_share_of_runs_that_come_by_seed() -> None:
    """6 of 12 from three seeds, 4 2 0: residuals 2 0 -2, variance 3/2 * 8 / 144 = .0833; of 12 alone .25 / 12 = .0208.

    A design effect of 4: three trials. With 2 2 2 there is none, and more than 12 there cannot be.
    """
    together = clustered_share(np.array([4, 2, 0]), np.array([4, 4, 4]))
    assert together == pytest.approx((0.5, *wilson(0.5, 3)))
    apart = clustered_share(np.array([2, 2, 2]), np.array([4, 4, 4]))
    assert apart == pytest.approx((0.5, *wilson(0.5, 12)))
    for count in (0, 30):  # nothing is known of how runs of a seed hang together: five seeds are five trials
        found = clustered_share(np.full(5, count / 5), np.full(5, 6))
        assert found == pytest.approx((count / 30, *wilson(count / 30, 5)), abs=1e-12)
    assert clustered_share(np.array([1]), np.array([2])) == pytest.approx((0.5, *wilson(0.5, 1)))
    both = clustered_share(np.array([[4, 2, 0], [2, 2, 2]]), np.array([[4, 4, 4], [4, 4, 4]]))
    assert np.array(both) == pytest.approx(np.array([together, apart]).T)
    assert all(map(isnan, values(collapse_rate_by_seed({}))))


# Differences


def test_the_paired_difference_by_hand() -> None:
    """Differences .03 .01 .01 .03 .05: mean .026, sd .016733, error .0074833, t(4) = 3.4744, quantile 2.77645."""
    found = paired(A, B)
    assert values(found.estimate) == pytest.approx((0.026, 0.026 - 2.776445 * 0.0074833, 0.046777), abs=1e-6)
    assert found.p == pytest.approx(stats.ttest_rel(A, B).pvalue, abs=1e-12)
    assert found.p == pytest.approx(0.0255, abs=1e-4)
    assert found.exact == "label permutation"


@given(st.integers(4, 5).flatmap(lambda s: hnp.arrays(float, (2, s), elements=scores)))
def test_label_permutation_is_every_split(both: np.ndarray) -> None:
    first, second = both
    pooled, seeds = both.ravel(), both.shape[1]
    far = [
        abs(sum(pooled[list(taken)]) - (pooled.sum() - sum(pooled[list(taken)]))) >= abs(sum(first - second)) - 1e-9
        for taken in combinations(range(2 * seeds), seeds)
    ]
    assert label_permutation(first, second) == pytest.approx(np.mean(far), abs=1e-12)
    assert paired(first, second).p_exact == label_permutation(first, second)


@given(st.integers(1, 9).flatmap(lambda s: hnp.arrays(float, s, elements=st.floats(-1, 1).map(lambda x: round(x, 2)))))
def test_sign_flips_are_all_of_them(differences: np.ndarray) -> None:
    """Values on a coarse grid, so that many sums are the same up to rounding."""
    far = [
        abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-9
        for signs in product([1, -1], repeat=len(differences))
    ]
    assert sign_flips(differences) == np.mean(far)


def test_exact_tests_agree_with_scipys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.1, 0.1, 9), rng.normal(0, 0.1, 9)
    peer = stats.permutation_test(
        (first, second), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=inf
    )
    assert paired(first, second).p_exact == pytest.approx(peer.pvalue, abs=1e-12)
    peer = stats.permutation_test((A, B), lambda x, y: np.mean(x) - np.mean(y), n_resamples=inf)
    assert paired(A, B).p_exact == pytest.approx(peer.pvalue, abs=1e-12)


@pytest.mark.parametrize(
    ("seeds", "exact", "smallest"),
    [
        (1, "", nan),
        (2, "", nan),
        (3, "", nan),  # 2 / C(6, 3) = 0.1 and 2 / 8 = 0.25
        (4, "label permutation", 2 / 70),
        (5, "label permutation", 2 / 252),
        (6, "sign flips", 2 / 64),
        (20, "sign flips", 2 / 2**20),
        (30, "sign flips", 2 / 2**30),
        (31, "", nan),
    ],
)
def test_the_exact_test_is_the_one_that_can_reach_the_level(seeds: int, exact: str, smallest: float) -> None:
    rng = np.random.default_rng(seeds)
    found = paired(1 + rng.uniform(size=seeds), -rng.uniform(size=seeds))  # no overlap, no two differences the same
    assert found.exact == exact
    assert found.p_exact == pytest.approx(smallest, rel=1e-9, nan_ok=True)
    assert isnan(found.p) == (seeds < 3)


def test_equal_objectives_and_constant_differences() -> None:
    same = paired(A, A)
    assert same == Paired(Estimate(0, 0, 0), 1.0, 1.0, "label permutation")
    rounded = paired(A + 0.1 - 0.1, A)
    assert rounded.p == 1.0
    for seeds in (3, 5, 8):  # t would divide by nothing, or by rounding, and call this certain
        first = np.linspace(0.3, 0.4, seeds)
        found = paired(first + 0.1, first)
        assert found.p == 2.0 ** (1 - seeds)
        assert found.estimate.mean == pytest.approx(0.1) and isnan(found.estimate.low) and isnan(found.estimate.high)
    two = paired(np.array([0.5, 0.6]), np.array([0.4, 0.5]))
    assert isnan(two.p) and isnan(two.estimate.low)


def test_seeds_that_one_of_them_lacks_are_left_out() -> None:
    first, second = np.append(A, [0.9, nan]), np.append(B, [nan, 0.1])
    assert paired(first, second) == paired(A, B)
    nothing = paired(np.array([nan, 0.5]), np.array([0.5, nan]))
    assert all(map(isnan, (*values(nothing.estimate), nothing.p, nothing.p_exact))) and nothing.exact == ""
    with pytest.raises(ValueError, match="cannot be paired"):
        paired(A, B[:4])


@given(st.integers(3, 8).flatmap(lambda s: hnp.arrays(float, (2, s), elements=scores)))
def test_the_other_way_round_changes_the_sign_only(both: np.ndarray) -> None:
    forward, backward = paired(*both), paired(*both[::-1])
    mirrored = (-backward.estimate.mean, -backward.estimate.high, -backward.estimate.low)
    assert values(forward.estimate) == pytest.approx(mirrored, abs=1e-9, nan_ok=True)
    assert forward.p == pytest.approx(backward.p, abs=1e-9)
    assert forward.p_exact == pytest.approx(backward.p_exact, abs=1e-12, nan_ok=True)


def test_the_t_test_of_many_is_that_of_each() -> None:
    many = np.random.default_rng(0).normal(0.01, 0.02, (3, 4, 5))
    found = t_test(many)
    assert found.shape == (3, 4) and found[1, 2] == pytest.approx(stats.ttest_1samp(many[1, 2], 0).pvalue)
    assert np.isnan(t_test(many[..., :2])).all()
    # .026 over an error of .0074833 as above, and one of .01 beside it: t(4) = .026 / .0124901 = 2.08165
    assert t_test(A - B, 0.01) == pytest.approx(2 * stats.t.sf(2.08165, 4), abs=1e-5)


# Families


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005]), 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.01, 0.04]), 4) == pytest.approx([0.04, 0.12])  # two of the family are not there yet
    found = holm(np.array([0.03, nan, 0.001]), 3)
    assert found == pytest.approx([0.06, nan, 0.003], nan_ok=True)
    assert holm(np.array([0.6, 0.7]), 2) == pytest.approx([1, 1])
    assert holm(np.array([]), 3).shape == (0,)
    assert holm(np.array([[0.01, 0.04, 0.03], [0.5, nan, 0.001]]), 3) == pytest.approx(
        np.array([[0.03, 0.06, 0.06], [1, nan, 0.003]]), nan_ok=True
    )
    with pytest.raises(ValueError, match="3 p-values of a family of 2"):
        holm(np.full(3, 0.5), 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 3), st.floats(0.001, 0.5))
def test_holm_is_the_closure_of_bonferroni(p: list[float], missing: int, level: float) -> None:
    """A test is flagged if and only if Bonferroni flags every set of tests that holds it; missing ones have p = 1."""
    everything = [*p, *[1.0] * missing]
    tests = range(len(everything))
    subsets = [list(chosen) for size in tests for chosen in combinations(tests, size + 1)]
    for test, adjusted in enumerate(holm(np.array(p), len(everything))):
        closure = max(min(1.0, len(s) * min(everything[i] for i in s)) for s in subsets if test in s)
        assert adjusted == pytest.approx(closure, abs=1e-12)


# Aggregates


def test_interquartile_mean_within_seeds_then_t_over_them() -> None:
    tasks = np.array([[0.0, 0.2, 0.4, 0.9], [0.1, 0.3, 0.6, 1.0], [0.2, 0.3, 0.5, 0.8]])  # two in the middle: .3 .45 .4
    assert values(iqm(tasks)) == pytest.approx(values(mean_interval(np.array([0.3, 0.45, 0.4]))))
    many = np.random.default_rng(0).uniform(size=(5, 11))
    assert iqm(many).mean == pytest.approx(stats.trim_mean(many, 0.25, axis=1).mean())
    assert iqm(many[:, :3]).mean == pytest.approx(many[:, :3].mean())  # nothing to leave out
    assert isnan(iqm(many[:1]).low)


def test_probability_of_improvement_by_hand() -> None:
    first, second = np.array([[0.5, 0.1], [0.7, 0.3]]), np.array([[0.6, 0.3]])
    assert probability_of_improvement(first, second) == pytest.approx(
        (1 / 2 + 1 / 4) / 2
    )  # .7 beats; .3 ties, .1 loses
    assert probability_of_improvement(second, first) == pytest.approx(1 - 3 / 8)


@given(hnp.arrays(float, (2, 4, 3), elements=scores))
def test_probability_of_improvement_is_mann_whitneys(both: np.ndarray) -> None:
    first, second = both
    peer = [stats.mannwhitneyu(x, y).statistic / 16 for x, y in zip(first.T, second.T, strict=True)]
    assert probability_of_improvement(first, second) == pytest.approx(np.mean(peer))


def test_profile_and_gap_by_hand() -> None:
    runs = np.array([[0.2, 0.5], [0.5, 1.2]])
    assert performance_profile(runs, np.array([0.0, 0.2, 0.5, 2.0])) == pytest.approx([1, 0.75, 0.25, 0])  # strictly
    assert optimality_gap(runs) == pytest.approx((0.8 + 0.5 + 0.5 + 0) / 4)
    assert optimality_gap(runs, target=0.4) == pytest.approx(0.2 / 4)


# Lag numbers


@given(st.integers(3, 8).flatmap(lambda s: hnp.arrays(float, (2, s), elements=scores)))
def test_fiellers_bounds_are_where_the_paired_t_test_turns(both: np.ndarray) -> None:
    numerators, denominators = both[0], both[1] + 1
    found = ratio_interval(numerators, denominators)
    assert found.mean == pytest.approx(numerators.mean() / denominators.mean())
    assume(not isnan(found.low) and found.high - found.low > 1e-3)
    for bound in (found.low, found.high):
        assert stats.ttest_1samp(numerators - bound * denominators, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert found.low <= found.mean <= found.high


def test_fiellers_interval_by_its_textbook_formula() -> None:
    x, y, t = A - 0.1, REFERENCE - 0.1, 2.7764451
    covariance = np.cov(x, y) / 5
    g = t**2 * covariance[1, 1] / y.mean() ** 2
    ratio = x.mean() / y.mean()
    center = ratio - g * covariance[0, 1] / covariance[1, 1]
    residual = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    inner = residual - g * (covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1])
    half = t / y.mean() * inner**0.5
    expected = (ratio, (center - half) / (1 - g), (center + half) / (1 - g))
    assert values(retained_gain(A, KNOWN, REFERENCE)) == pytest.approx(expected, abs=1e-7)


@given(
    hnp.arrays(float, (2, 5), elements=scores), st.tuples(st.floats(0, 0.1), st.floats(0, 0.1)), st.floats(0.8, 0.99)
)
def test_a_shared_error_reaches_as_far_as_a_known_one_does(both, shared, confidence) -> None:
    """At either end (mean of d)^2 = t^2 var(d) / S + z^2 (a - r b)^2, where d = numerators - r denominators."""
    numerators, denominators = both[0], both[1] + 1
    ratio, low, high = fieller(numerators, denominators, shared, confidence)
    assume(np.isfinite(low) and high - low > 1e-3)
    t, z = stats.t.ppf(0.5 + confidence / 2, 4), stats.norm.ppf(0.5 + confidence / 2)
    for r in (low, high):
        d = numerators - r * denominators
        reach = t**2 * d.var(ddof=1) / 5 + z**2 * (shared[0] - r * shared[1]) ** 2
        assert d.mean() ** 2 == pytest.approx(reach, rel=1e-6, abs=1e-12)
    assert low <= ratio <= high


def test_the_base_models_error_cancels_where_nothing_is_lost() -> None:
    """An error in the base moves gain and reference alike: at a ratio of 1 it does nothing, at .5 half of itself."""
    base, gain = Base(0.1, 0.02), np.full(4, 0.4)
    assert values(ratio_interval(gain, gain, base.error)) == pytest.approx((1, 1, 1))
    found = ratio_interval(gain / 2, gain, base.error)
    # (.2 - .4 r)^2 = (1.96 * .02 (1 - r))^2: .2 - .4 r = +-.0392 (1 - r)
    z = stats.norm.ppf(0.975) * 0.02
    assert values(found) == pytest.approx((0.5, (0.2 - z) / (0.4 - z), (0.2 + z) / (0.4 + z)))


def test_the_base_models_error_is_that_of_its_samples() -> None:
    """Two problems, four samples, 1 and 2 right: p (1 - p) is 1 * 3 / 12 and 2 * 2 / 12, mean .291667, of 8."""
    pass_1, pass_2 = (0.25 + 0.5) / 2, (0.5 + 5 / 6) / 2  # 1 - C(3, 2) / C(4, 2), 1 - C(2, 2) / C(4, 2)
    assert base_of(pass_1, pass_2, 2, 4) == Base(0.375, pytest.approx((0.291667 / 8) ** 0.5, abs=1e-6))
    assert base_of(0.4, None, 6, 1).error == pytest.approx(0.2)  # .4 * .6 / 6 = .04
    assert base_of(0.4, 0.4, 6, 8).error == 0  # every problem is always or never solved


def test_ratios_of_which_nothing_can_be_said() -> None:
    around_0 = np.array([-0.2, 0.3, 0.1, -0.1, 0.05])
    unclear = ratio_interval(A, around_0)
    assert unclear.mean == pytest.approx(A.mean() / 0.03) and isnan(unclear.low) and isnan(unclear.high)
    assert isnan(ratio_interval(A, around_0 - 0.03).mean)
    for seeds in (1, 2):
        few = ratio_interval(A[:seeds], B[:seeds])
        assert few.mean == pytest.approx(A[:seeds].sum() / B[:seeds].sum()) and isnan(few.low)
    assert isnan(ratio_interval(A[:0], B[:0]).mean)
    assert isnan(retained_gain(A, Base(0.7, 0.0), REFERENCE).mean)  # loss over loss is no gain
    assert values(ratio_interval(np.append(A, nan), np.append(B, 0.4))) == values(ratio_interval(A, B))
    assert isnan(ratio_interval(A, np.full(5, 0.1), error=0.06).low)  # .1 is within 1.96 errors of 0


def test_an_objective_that_is_its_own_reference_retains_exactly_everything() -> None:
    base = Base(0.1, 0.01)
    assert values(retained_gain(REFERENCE, base, REFERENCE)) == pytest.approx((1, 1, 1), abs=1e-12)
    assert values(retained_gain(0.1 + (REFERENCE - 0.1) / 2, KNOWN, REFERENCE)) == pytest.approx([0.5] * 3, abs=1e-12)


def test_lag_weights_by_hand() -> None:
    assert lag_weights(np.array([0, 1, 7])) == pytest.approx([1 / 6, 3 / 6, 2 / 6])  # x = 0, 1, 3
    assert lag_weights(np.array([7, 0, 1])) == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    for lags in ([0], [4, 4], [-1, 2]):
        with pytest.raises(ValueError, match="span no area"):
            lag_weights(np.array(lags))


@given(st.lists(st.integers(0, 500), min_size=2, max_size=7, unique=True), st.randoms())
def test_lag_weights_are_numpys_trapezoids(lags: list[int], random) -> None:
    curve = {lag: random.random() for lag in lags}
    x = np.log2(1 + np.array(sorted(lags)))
    peer = np.trapezoid([curve[lag] for lag in sorted(lags)], x) / (x[-1] - x[0])
    weights = lag_weights(np.array(lags))
    assert weights @ [curve[lag] for lag in lags] == pytest.approx(peer)
    assert weights.sum() == pytest.approx(1) and (weights > 0).all()


def test_gain_under_lag_by_hand() -> None:
    """Gains of .2 at lags 0 and 1 and 0 at lag 7, with the reference's .4: (.2 / 6 + .2 * 3 / 6 + 0) / .4 = 1 / 3."""
    own = np.tile([0.3, 0.3, 0.1], (3, 1))
    found = gain_under_lag(own, np.array([0, 1, 7]), KNOWN, np.full(3, 0.5))
    assert values(found) == pytest.approx([1 / 3] * 3)
    noisy = own + np.array([0.01, -0.02, 0.01])[:, None]
    shared = gain_under_lag(noisy, np.array([0, 1, 7]), KNOWN, np.array([0.53, 0.44, 0.53]))  # 3 x: noise cancels
    assert values(shared) == pytest.approx([1 / 3] * 3)
    missing = np.vstack([own, [0.3, nan, 0.1]])
    assert values(gain_under_lag(missing, np.array([0, 1, 7]), KNOWN, np.full(4, 0.5))) == pytest.approx([1 / 3] * 3)


def test_own_retention_by_hand() -> None:
    """The same gains, with the own .2 at lag 0 as the unit: 2 / 3, whatever a reference has gained."""
    own = np.tile([0.3, 0.3, 0.1], (3, 1))
    assert values(own_retention(own, np.array([0, 1, 7]), KNOWN)) == pytest.approx([2 / 3] * 3)
    assert values(own_retention(own[:, ::-1], np.array([7, 1, 0]), KNOWN)) == pytest.approx([2 / 3] * 3)
    assert all(map(isnan, values(own_retention(own - 0.3, np.array([0, 1, 7]), KNOWN))))  # no gain to keep
    with pytest.raises(ValueError, match="hold no 0"):
        own_retention(own, np.array([1, 2, 7]), KNOWN)


def test_the_published_tables_measures() -> None:
    """The figures of the audit, from the published cells: ASymPO is first by one measure and behind by the other."""
    folder = Path(__file__).parents[1] / "results" / "published" / "tiny-v1"
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        cells = {(cell["objective"], cell["lag"], cell["seed"]): float(cell["pass@1"]) for cell in csv.DictReader(file)}
    base = Base(cells["", "constant:0", "0"], 0.0047366)  # of 512 problems, 16 samples of each; pass@2 is 0.430127

    def by_lag(name: str) -> np.ndarray:
        return np.array([[cells[name, f"constant:{lag}", str(seed)] for lag in LAGS] for seed in range(5)])

    names = sorted({name for name, *_ in cells if name})
    reference = by_lag("policy_gradient")[:, 0]
    gains = {name: gain_under_lag(by_lag(name), LAGS, base, reference) for name in names}
    kept = {name: own_retention(by_lag(name), LAGS, base) for name in names}
    assert max(gains, key=lambda name: gains[name].mean) == "asympo" and gains["asympo"].mean == pytest.approx(
        1.09, abs=0.005
    )
    assert values(kept["asympo"]) == pytest.approx((0.856, 0.83, 0.89), abs=0.005)
    for name, expected in {"topr": 0.964, "m2po": 0.928, "grpo": 0.878, "cispo": 0.822, "spo": 0.805}.items():
        assert kept[name].mean == pytest.approx(expected, abs=0.0005), name
    difference = by_lag("asympo") @ lag_weights(LAGS) - by_lag("gspo") @ lag_weights(LAGS)
    _, low, high = fieller(difference, reference - base.score, (0.0, 0.0))
    assert (low, high) == pytest.approx((0.459, 0.614), abs=0.0005)  # with the reference's gain as noisy as it is
    assert held_and_lost(by_lag("asympo"), LAGS, base) == Held(0, 4, 64)
    assert held_and_lost(by_lag("grpo"), LAGS, base) == Held(4, 16, 64)


def test_lags_that_are_held_and_lost_by_hand() -> None:
    """Own retained gain 1, .95, .75, 0, the same of every seed: intervals of no width."""
    own = 0.1 + 0.4 * np.tile([1, 0.95, 0.75, 0], (4, 1))
    assert held_and_lost(own, LAGS, KNOWN) == Held(4, 16, 64)
    assert held_and_lost(own[:, ::-1], LAGS[::-1], KNOWN) == Held(4, 16, 64)
    assert held_and_lost(own, LAGS, KNOWN, lost=0.05) == Held(4, 16, 64)  # exactly so much is not more
    assert held_and_lost(own, LAGS, KNOWN, lost=0.04) == Held(0, 4, 64)
    assert held_and_lost(own, LAGS, KNOWN, lost=1.0) == Held(64, None, 64)
    assert held_and_lost(own[:2], LAGS, KNOWN) is None  # two seeds
    assert held_and_lost(own, LAGS, Base(0.5, 0.0)) is None  # no gain, nothing to lose
    assert held_and_lost(np.vstack([own, [0.5, nan, 0.4, 0.1]]), LAGS, KNOWN) == Held(4, 16, 64)
    with pytest.raises(ValueError, match="hold no 0"):
        held_and_lost(own, LAGS + 1, KNOWN)


def test_a_curve_that_recovers_has_lost_it_where_it_first_fell() -> None:
    own = np.tile([1.0, 0.5, 1.0, 1.0], (3, 1))
    assert held_and_lost(own, LAGS, Base(0.0, 0.0)) == Held(0, 4, 64)


def test_what_is_between_held_and_lost_is_open() -> None:
    """.92 at lag 4 with noise on it: neither surely above .9 nor below."""
    rng = np.random.default_rng(0)
    own = np.array([1.0, 0.92, 0.7, 0.5]) + 0.02 * rng.standard_normal((5, 4))
    assert held_and_lost(own, LAGS, Base(0.0, 0.0)) == Held(0, 16, 64)
    assert held_and_lost(own, LAGS, Base(0.5, 0.4)) is None  # the base model is not measured well enough


# Own retention of two objectives


def test_a_difference_in_retention_with_one_unit_is_nearly_that_of_the_numerators() -> None:
    """Both gain the same at lag 0, seed by seed: Fieller's own interval of (A - B) over it to first order."""
    unit = REFERENCE - 0.1
    found = difference_of_retention(Gains(A, unit), Gains(B, unit), 0.0)
    assert found.p == pytest.approx(stats.ttest_rel(A, B).pvalue, abs=0.005)
    value, low, high = found.interval
    _, narrow, wide = fieller(A - B, unit)
    assert value == pytest.approx((A - B).mean() / unit.mean())
    assert (low, high) == pytest.approx((narrow, wide), abs=3e-3)


@given(hnp.arrays(float, (4, 5), elements=scores))
def test_a_difference_in_retention_has_the_same_sign_as_that_of_the_ratios(found: np.ndarray) -> None:
    first, second = Gains(found[0], found[1] + 1), Gains(found[2], found[3] + 1)
    forward, backward = difference_of_retention(first, second, 0.01), difference_of_retention(second, first, 0.01)
    expected = found[0].mean() / (found[1] + 1).mean() - found[2].mean() / (found[3] + 1).mean()
    assert forward.numerators.mean() == pytest.approx(expected, abs=1e-12)
    assert forward.denominators.mean() == pytest.approx(1)
    assert forward.p == pytest.approx(backward.p, abs=1e-9)
    assert forward.interval[1] == pytest.approx(-backward.interval[2], abs=1e-9, nan_ok=True)


def test_a_difference_in_retention_by_simulation() -> None:
    """Retentions .9 and .6 of gains .2 and .3: the interval holds .3 in 95 %; of equal ones p is below .05 in 5 %."""
    rng, boards, error = np.random.default_rng(0), 4000, 0.005

    def gains(under_lag: float, at_lag_0: float) -> Gains:
        noise = 0.01 * rng.standard_normal((2, boards, 5))
        return Gains(under_lag + noise[0] + base, at_lag_0 + noise[1] + base)

    base = error * rng.standard_normal((boards, 1))
    _, low, high = difference_of_retention(gains(0.18, 0.2), gains(0.18, 0.3), error).interval
    assert np.mean((low <= 0.3) & (high >= 0.3)) == pytest.approx(0.95, abs=0.015)
    assert np.mean(difference_of_retention(gains(0.18, 0.2), gains(0.27, 0.3), error).p <= 0.05) == pytest.approx(
        0.045, abs=0.015
    )


# Charged for collapses


def runs(scores: list[float], collapsed: list[bool], of: int = 30, healthy: float = 1.0) -> Runs:
    raw, gone = np.array(scores), np.array(collapsed)
    return Runs(raw, filled(raw, gone, np.array(healthy)), highest_share(int(gone.sum()), of))


FINE = [False] * 5


def test_collapsed_runs_are_filled_with_the_mean_of_the_others() -> None:
    scores = np.array([[0.4, 0.0, 0.5], [0.1, 0.2, 0.3]])
    found = filled(scores, np.array([[False, True, False], [True, True, True]]), np.array([0.9, 0.6]))
    assert found[0].tolist() == pytest.approx([0.4, 0.45, 0.5])
    lowest = 0.05 ** (1 / 3)  # 3 of 3 leave a rate of .368 at least
    assert found[1].tolist() == pytest.approx([lowest * score + (1 - lowest) * 0.6 for score in (0.1, 0.2, 0.3)])


def test_a_difference_is_charged_for_collapses_that_nobody_has_seen() -> None:
    """0 of 30 leave a rate of .095 open: .5 becomes .4525, which is not above .46; .6 becomes .543."""
    second = [0.46, 0.455, 0.465, 0.46, 0.46]
    near, far = (runs([top, top + 0.01, top - 0.01, top, top], FINE) for top in (0.5, 0.6))
    assert charged_p(near, runs(second, FINE)) == 1.0
    expected = stats.ttest_rel(0.05 ** (1 / 30) * far.scores, second).pvalue
    for found in (charged_p(far, runs(second, FINE)), charged_p(runs(second, FINE), far)):
        assert found == pytest.approx(expected)
    assert charged_p(runs(near.scores.tolist(), FINE, of=3000), runs(second, FINE)) < 0.01  # of 3000 runs: .001


def test_a_worse_one_that_collapsed_counts_as_its_other_runs() -> None:
    """Where its others are as good as the better one, nothing is left; where they are worse too, it is surer."""
    better = runs([0.5, 0.51, 0.49, 0.5, 0.5], FINE)
    unlucky = runs([0.0, 0.0, 0.01, 0.0, 0.5], [True] * 4 + [False])
    assert t_test(better.scores - unlucky.scores) < 0.02 and charged_p(better, unlucky) == 1.0
    bad = runs([0.1, 0.0, 0.2, 0.15, 0.05], [False, True, False, False, True])
    assert charged_p(better, bad) < t_test(better.scores - bad.scores)
    # all of five leave a rate of .549: .451 of a run counts as its healthy ones, .451 * 1 against .905 * .5, or .135
    assert charged_p(better, runs([0.0] * 5, [True] * 5)) > 0.5
    assert charged_p(better, runs([0.0] * 5, [True] * 5, healthy=0.3)) < 1e-4
    few = slice(2)
    assert isnan(charged_p(*(Runs(one.scores[few], one.filled[few], one.rate) for one in (better, bad))))


def test_a_better_one_that_collapsed_is_charged_for_it() -> None:
    """2 of 30: up to .195 may collapse."""
    once = runs([0.6, 0.61, 0.59, 0.6, 0.6], [False, True, True, False, False])
    assert once.rate == pytest.approx(0.195, abs=0.001)
    assert once.charged == pytest.approx((1 - once.rate) * once.scores)


def test_retention_is_charged_under_lag() -> None:
    """Gain under lag .45 - .2 of .5 - .2, charged .4073 - .2: retention .691, above .6 and not above .7."""
    base, zero = Base(0.2, 0.0), runs([0.5, 0.51, 0.49, 0.5, 0.5], FINE)
    kept = runs([0.45, 0.451, 0.449, 0.45, 0.45], FINE)
    lower, higher = (runs([0.2 + share * (s - 0.2) for s in zero.scores], FINE) for share in (0.6, 0.7))
    assert charged_retention_p((kept, higher), (zero, zero), base) == 1.0
    expected = difference_of_retention(
        Gains(0.05 ** (1 / 30) * kept.scores - 0.2, zero.scores - 0.2),
        Gains(lower.scores - 0.2, zero.scores - 0.2),
        0.0,
    ).p
    assert expected < 0.01
    for pair in ((kept, lower), (lower, kept)):
        assert charged_retention_p(pair, (zero, zero), base) == pytest.approx(expected)


# Collapse


def by_seed(*updates: int | None) -> dict[int, list[int | None]]:
    """One run of each seed."""
    return {seed: [update] for seed, update in enumerate(updates)}


def test_survival_by_hand() -> None:
    found = survival(by_seed(None, 30, 50, 50, None), end=200)
    assert [(step.update, step.alive) for step in found] == [(0, 1), (30, 0.8), (50, 0.4), (200, 0.4)]
    low, high = wilson(0.4, 4)  # 2 of 5, one of each seed: a design effect of 5 / 4
    assert (found[2].low, found[2].high) == pytest.approx((low, high))
    assert median_collapse([None, 30, 50, 50, None]) == 50
    assert median_collapse([None, 30, 50, None, None]) is None
    assert median_collapse([30, None]) == 30 and median_collapse([]) is None
    assert collapse_rate(3, 5) == proportion_interval(3, 5)


def test_survival_of_runs_that_collapse_by_seed() -> None:
    """Two seeds, one of which loses all: 4 of 8 are as sure as 1 of 2 would be, less a degree of freedom."""
    found = survival({0: [10, 10, 10, 10], 1: [None] * 4}, end=20)
    low, high = wilson(0.5, 1)
    assert (found[1].update, found[1].alive) == (10, 0.5) and (found[1].low, found[1].high) == pytest.approx(
        (low, high)
    )


def test_survival_at_its_edges() -> None:
    assert survival({}, 200) == [] and survival({0: []}, 200) == []
    alone = survival(by_seed(None), 200)
    low = pytest.approx(wilson(1.0, 1)[0])
    assert alone == [Step(0, 1.0, low, 1.0), Step(200, 1.0, low, 1.0)]
    assert [(step.update, step.alive) for step in survival(by_seed(0, 200), 200)] == [(0, 1), (0, 0.5), (200, 0)]
    for outside in (-1, 201):
        with pytest.raises(ValueError, match="watched from 0 to 200"):
            survival(by_seed(outside), 200)


@given(st.lists(st.none() | st.integers(0, 50), min_size=1, max_size=12))
def test_survival_is_kaplan_and_meiers(updates: list[int | None]) -> None:
    peer = stats.ecdf(stats.CensoredData.right_censored(
        [50.5 if update is None else update for update in updates], [update is None for update in updates]
    )).sf  # fmt: skip
    found = survival(by_seed(*updates), 50)
    for step in found[1:]:
        assert step.alive == pytest.approx(peer.evaluate(step.update))
        assert step.low <= step.alive <= step.high
    assert found[0].alive == 1 and found[-1].update == 50
    half = next((step.update for step in found if step.alive <= 0.5), None)
    assert median_collapse(updates) == half


# Power


@pytest.mark.parametrize(
    ("seeds", "level", "power", "expected"),
    # statsmodels 0.15.0: TTestPower().solve_power(nobs=seeds, alpha=level, power=power), in standard deviations
    [
        (5, 0.05, 0.8, 1.681997),
        (10, 0.05, 0.8, 0.996002),
        (34, 0.05, 0.8, 0.495029),
        (8, 0.05 / 36, 0.778193, 2.189685),  # its answer for 0.8, but its power() there is 0.7782: it met a nan
    ],
)
def test_the_detectable_difference_is_the_textbooks(seeds: int, level: float, power: float, expected: float) -> None:
    assert detectable(1.0, seeds, level, power) == pytest.approx(expected, abs=1e-5)
    assert detectable(0.02, seeds, level, power) == pytest.approx(0.02 * expected, abs=1e-6)


@pytest.mark.parametrize(("seeds", "effect"), [(3, 1.0), (5, 0.5), (5, 1.5), (12, 0.7), (100, 0.2)])
def test_power_is_the_noncentral_ts(seeds: int, effect: float) -> None:
    critical, center = stats.t.ppf(0.975, seeds - 1), effect * seeds**0.5
    power = stats.nct.sf(critical, seeds - 1, center) + stats.nct.cdf(-critical, seeds - 1, center)
    assert detectable(1.0, seeds, power=power) == pytest.approx(effect, abs=1e-3)


@pytest.mark.parametrize("seeds", [3, 5, 17, 200])
def test_seeds_needed_is_the_other_way_round(seeds: int) -> None:
    effect = detectable(0.03, seeds)
    assert seeds_needed(0.03, effect * 1.0001) == seeds
    assert seeds_needed(0.03, -effect * 1.0001) == seeds
    assert seeds_needed(0.03, effect * 0.999) == seeds + 1


def test_power_at_its_edges() -> None:
    assert isnan(detectable(0.1, 2)) and detectable(0.0, 5) == 0
    assert seeds_needed(0.1, 0.0) is None and seeds_needed(0.0, 0.1) == 3 and seeds_needed(0.0, 0.0) is None
    assert seeds_needed(0.1, 0.001) is None and seeds_needed(0.1, 0.02, most=50) is None
    assert detectable(0.01, 5, level=0.05 / 780) == pytest.approx(0.01 * detectable(1.0, 5, level=0.05 / 780))
    assert all(np.diff([detectable(1.0, seeds, 0.05 / 36) for seeds in range(3, 40)]) < 0)


def test_the_pooled_sd_by_hand() -> None:
    one, other = np.array([0.0, 2.0]), np.array([1.0, 2.0, 3.0, nan])  # variances 2 and 1 with 1 and 2 degrees
    assert pooled_sd([one, other, np.array([5.0])]) == pytest.approx((4 / 3) ** 0.5)
    assert isnan(pooled_sd([np.array([1.0])])) and isnan(pooled_sd([]))


# Ranks


def test_rank_intervals_by_hand() -> None:
    sure = [(2, 0), (2, 3), (1, 3)]  # 2 is surely better than 0 and 3, 1 than 3; the rest is open
    assert rank_intervals(sure, 4) == [Rank(2, 4), Rank(1, 3), Rank(1, 2), Rank(3, 4)]
    assert rank_intervals([], 3) == [Rank(1, 3)] * 3


@given(hnp.arrays(float, 4, elements=scores, unique=True), st.sets(st.integers(0, 5)), st.permutations(range(4)))
def test_ranks_do_not_depend_on_the_order_of_objectives(found: np.ndarray, sure: set[int], order: list[int]) -> None:
    pairs = [pair for i, pair in enumerate(combinations(range(4), 2)) if i in sure]
    pairs = [(a, b) if found[a] > found[b] else (b, a) for a, b in pairs]
    ranks = rank_intervals(pairs, 4)
    assert rank_intervals([(order.index(a), order.index(b)) for a, b in pairs], 4) == [ranks[index] for index in order]
    places = list(permutations(range(1, 5)))  # some total order fits all intervals at once
    assert any(all(r.best <= place <= r.worst for r, place in zip(ranks, tried, strict=True)) for tried in places)
