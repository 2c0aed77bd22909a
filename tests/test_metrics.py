"""Metrics of a matrix of attempts: against all subsets, by hand, against scorio, and for thousands of attempts."""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import ceil, comb

import numpy as np
import pytest
import scorio.aggregate
import scorio.eval
from hypothesis import given
from hypothesis import strategies as st

from lagbench.harness.evaluate.majority import maj_at_k
from lagbench.harness.evaluate.metrics import by_group, scores
from lagbench.harness.evaluate.passk import avg_at_n, g_pass_at_k, mg_pass_at_k, pass_at_k, pass_hat_k
from lagbench.harness.statistics.intervals import score_interval

CORRECT = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
KS_OF_4 = pytest.mark.parametrize("k", [0, 5])


@st.composite
def rows(draw) -> tuple[np.ndarray, np.ndarray]:
    """One problem's attempts, bool [1, n] and int [1, n]; members of a class may differ in their verdicts."""
    clusters = draw(st.lists(st.integers(-1, 4), min_size=1, max_size=8))
    correct = [name >= 0 and draw(st.booleans()) for name in clusters]
    return np.array([correct]), np.array([clusters])


def mean_over_subsets(correct: np.ndarray, k: int, score) -> float:
    return np.mean([score(sum(drawn)) for drawn in combinations(correct[0].tolist(), k)])


@given(rows(), st.data())
def test_pass_family_is_the_mean_over_all_subsets(row, data) -> None:
    correct, _ = row
    k, tau = data.draw(st.integers(1, correct.shape[1])), data.draw(st.sampled_from([0.2, 0.25, 0.5, 0.75, 0.9, 1.0]))
    near = pytest.approx
    assert pass_hat_k(correct, k)[0] == near(mean_over_subsets(correct, k, lambda right: right == k), abs=1e-12)
    assert g_pass_at_k(correct, k, tau)[0] == near(mean_over_subsets(correct, k, lambda r: r >= tau * k), abs=1e-12)
    thresholds = range(ceil(k / 2) + 1, k + 1)
    by_definition = 2 / k * sum(g_pass_at_k(correct, k, i / k)[0] for i in thresholds)
    assert mg_pass_at_k(correct, k)[0] == near(by_definition, abs=1e-12)


def majority_of_subset(correct: list[bool], clusters: list[int], drawn: tuple[int, ...]) -> Fraction:
    votes = Counter(clusters[i] for i in drawn if clusters[i] >= 0)
    winners = [name for name, count in votes.items() if count == max(votes.values())]
    members = {name: [right for right, c in zip(correct, clusters, strict=True) if c == name] for name in winners}
    return sum((Fraction(sum(m), len(m) * len(winners)) for m in members.values()), Fraction())


@given(rows(), st.data())
def test_majority_is_the_mean_over_all_subsets_and_ties(row, data) -> None:
    correct, clusters = row
    k = data.draw(st.integers(1, correct.shape[1]))
    subsets = list(combinations(range(correct.shape[1]), k))
    brute = sum(majority_of_subset(*correct.tolist(), *clusters.tolist(), drawn) for drawn in subsets) / len(subsets)
    assert maj_at_k(correct, clusters, k)[0] == pytest.approx(float(brute), abs=1e-12)


@given(rows(), st.integers(1, 8))
def test_names_and_order_of_classes_do_not_matter(row, k) -> None:
    correct, clusters = row
    k = min(k, correct.shape[1])
    renamed = np.where(clusters < 0, -1, 1000 - 7 * clusters)
    assert maj_at_k(correct[:, ::-1], renamed[:, ::-1], k) == maj_at_k(correct, clusters, k)


def test_pass_family_by_value() -> None:
    assert avg_at_n(CORRECT).tolist() == [1 / 4, 1 / 2, 3 / 4, 0, 1]
    # k = 2 of n = 4, C(4, 2) = 6: C(c, 2) / 6 with c = 1, 2, 3, 0, 4
    assert pass_hat_k(CORRECT, 2) == pytest.approx([0, 1 / 6, 3 / 6, 0, 1])
    # k = 4 draws all: half of them right from c = 2, three quarters from c = 3
    assert g_pass_at_k(CORRECT, 4, 0.5).tolist() == pytest.approx([0, 1, 1, 0, 1])
    assert g_pass_at_k(CORRECT, 4, 0.75).tolist() == pytest.approx([0, 0, 1, 0, 1])
    # k = 3, tau = 1/2: at least 2 of 3. c = 2: C(2, 2) C(2, 1) / 4 = 1/2; c = 3: (C(3, 2) C(1, 1) + C(3, 3)) / 4 = 1
    assert g_pass_at_k(CORRECT, 3, 0.5) == pytest.approx([0, 1 / 2, 1, 0, 1])
    # k = 4: 2/4 (G_{3/4} + G_{4/4}); k = 3: 2/3 G_{3/3} = 2/3 C(c, 3) / 4; k = 1: an empty sum
    assert mg_pass_at_k(CORRECT, 4) == pytest.approx([0, 0, 1 / 2, 0, 1])
    assert mg_pass_at_k(CORRECT, 3) == pytest.approx([0, 0, 1 / 6, 0, 2 / 3])
    assert mg_pass_at_k(CORRECT, 1).tolist() == [0] * 5


def majority(correct: str, clusters: list[int], k: int) -> float:
    return maj_at_k(np.array([[letter == "+" for letter in correct]]), np.array([clusters]), k)[0]


def test_majority_by_value() -> None:
    # a a b c, a right: of 6 pairs aa wins (1), ab and ac, twice each, tie (1/2), bc loses: (1 + 4/2) / 6
    assert majority("++--", [0, 0, 1, 2], 2) == pytest.approx(1 / 2)
    # k = 3: aab, aac win, abc twice ties three ways: (2 + 2/3) / 4; k = 4: a has most votes
    assert majority("++--", [0, 0, 1, 2], 3) == pytest.approx(2 / 3)
    assert majority("++--", [0, 0, 1, 2], 4) == 1
    # a right answer outvoted: a b b never wins all three
    assert majority("+--", [0, 1, 1], 3) == 0
    # attempts without an answer do not vote: of a - -, pairs a- twice win and -- has no majority
    assert majority("+--", [0, -1, -1], 2) == pytest.approx(2 / 3)
    assert majority("--", [-1, -1], 1) == 0
    # two right classes (the equivalence did not join them) both count; b b against them: of a a' b b, k = 4, b wins
    assert majority("++--", [0, 1, 2, 2], 4) == 0
    assert majority("++--", [0, 1, 2, 2], 1) == 1 / 2
    # verdicts of one class that differ: right as often as its members are
    assert majority("+--", [0, 0, 0], 3) == pytest.approx(1 / 3)


def test_majority_of_one_is_the_average_and_distinct_answers_stay_at_chance() -> None:
    rng = np.random.default_rng(1)
    clusters = rng.integers(-1, 5, (20, 16))
    correct = clusters == 0
    assert maj_at_k(correct, clusters, 1) == pytest.approx(avg_at_n(correct))
    distinct = np.arange(64)[None]
    assert [maj_at_k(distinct == 0, distinct, k)[0] for k in (1, 7, 64)] == pytest.approx([1 / 64] * 3)


@KS_OF_4
def test_more_draws_than_attempts_are_refused(k: int) -> None:
    for name, metric in (("pass^", pass_hat_k), ("mG-Pass@", mg_pass_at_k)):
        with pytest.raises(ValueError, match=rf"^{name.replace('^', '.')}{k} needs k from 1 to the 4 attempts"):
            metric(CORRECT, k)
    with pytest.raises(ValueError, match=rf"^G-Pass@{k} needs k from 1 to the 4 attempts"):
        g_pass_at_k(CORRECT, k, 0.5)
    with pytest.raises(ValueError, match=rf"^maj@{k} needs k from 1 to the 4 attempts"):
        maj_at_k(CORRECT, CORRECT.astype(int), k)


@pytest.mark.parametrize("tau", [0.0, -0.5, 1.01, float("nan")])
def test_thresholds_outside_are_refused(tau: float) -> None:
    with pytest.raises(ValueError, match=rf"G-Pass@4 needs tau above 0 and at most 1, not {tau}"):
        g_pass_at_k(CORRECT, 4, tau)


def test_majorities_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"without an answer \(cluster -1\) cannot be right"):
        maj_at_k(np.array([[True, False]]), np.array([[-1, 0]]), 1)
    with pytest.raises(ValueError, match="at most 1000 attempts at a problem, not 1001"):
        maj_at_k(np.zeros((1, 1001), bool), np.zeros((1, 1001), int), 1)


def test_threshold_is_not_moved_by_rounding() -> None:
    seven = np.arange(100)[None] < 7
    assert 0.07 * 100 > 7 and g_pass_at_k(seven, 100, 0.07)[0] == pytest.approx(1)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 16])
def test_scorio_finds_the_same(k: int) -> None:
    rng = np.random.default_rng(k)
    correct = rng.random((40, 16)) < rng.beta(0.4, 0.9, (40, 1))
    other, given = scorio.eval, correct.astype(int)
    near = pytest.approx
    assert avg_at_n(correct).mean() == near(other.avg(given)[0], abs=1e-12)
    assert pass_at_k(correct, k).mean() == near(other.pass_at_k(given, k), abs=1e-12)
    assert pass_hat_k(correct, k).mean() == near(other.pass_hat_k(given, k), abs=1e-12)
    assert mg_pass_at_k(correct, k).mean() == near(other.mg_pass_at_k(given, k), abs=1e-12)
    for tau in (0.25, 0.5, 0.6, 0.75, 1.0):
        assert g_pass_at_k(correct, k, tau).mean() == near(other.g_pass_at_k_tau(given, k, tau), abs=1e-12)
    if k % 2:  # scorio's maj_at_k knows right and wrong only and counts a tie as wrong: two classes, no ties
        assert maj_at_k(correct, given, k).mean() == near(other.maj_at_k(given, k), abs=1e-12)


def test_scorio_s_vote_finds_the_same_majorities() -> None:
    rng = np.random.default_rng(0)
    clusters = np.minimum(rng.geometric(0.3, (200, 15)) - 2, 5)  # [M, n]; a quarter without an answer
    counts = [sorted(Counter(row[row >= 0].tolist()).values()) for row in clusters]
    clusters = clusters[[len(c) == 1 or c[-1] > c[-2] for c in counts]]  # it gives a tie to the earliest
    votes = scorio.aggregate.majority_vote(np.where(clusters < 0, "", clusters.astype(str)))
    assert len(clusters) > 100
    assert maj_at_k(clusters == 0, clusters, 15) == pytest.approx((votes == "0").astype(float))


@pytest.mark.parametrize("k", [1, 64, 1024, 4096])
@pytest.mark.parametrize("right", [1, 400, 2048, 4095])
def test_thousands_of_attempts_stay_exact(k: int, right: int) -> None:
    correct = np.arange(4096)[None] < right

    def exact(least: int) -> float:
        return float(1 - Fraction(sum(comb(right, j) * comb(4096 - right, k - j) for j in range(least)), comb(4096, k)))

    assert pass_at_k(correct, k)[0] == pytest.approx(exact(1), abs=1e-12)
    assert pass_hat_k(correct, k)[0] == pytest.approx(comb(right, k) / comb(4096, k), abs=1e-12)
    assert g_pass_at_k(correct, k, 0.5)[0] == pytest.approx(exact(ceil(k / 2)), abs=1e-11)


def test_majority_of_hundreds_of_attempts_stays_exact() -> None:
    clusters = np.repeat([0, 1], [300, 700])[None]
    for k in (3, 101, 999):
        ways = sum(comb(300, j) * comb(700, k - j) for j in range(k // 2 + 1, k + 1))
        assert maj_at_k(clusters == 0, clusters, k)[0] == pytest.approx(ways / comb(1000, k), abs=1e-12)
    pairs = np.arange(128)[None] // 2  # 64 classes of two
    assert maj_at_k(pairs == 0, pairs, 48)[0] == pytest.approx(1 / 64, rel=1e-12)


def test_all_scores_are_named_in_order() -> None:
    clusters = np.where(CORRECT, 0, 1)
    found = scores(CORRECT[:, [0, 1, 2, 3, 0]], clusters[:, [0, 1, 2, 3, 0]])  # n = 5
    names = "avg@5 pass@1 pass@2 pass@4 pass^1 pass^2 pass^4 maj@1 maj@2 maj@4"
    assert list(found) == [*names.split(), "G-Pass@4_0.5", "G-Pass@4_0.75", "G-Pass@4_1.0", "mG-Pass@4"]
    assert [found[name].mean for name in ("avg@5", "pass@1", "pass^1", "maj@1")] == pytest.approx([14 / 25] * 4)
    assert found["G-Pass@4_1.0"].mean == pytest.approx(found["pass^4"].mean)
    assert found["pass@4"] == score_interval(pass_at_k(CORRECT[:, [0, 1, 2, 3, 0]], 4))


def test_groups_are_scored_by_themselves() -> None:
    clusters = np.where(CORRECT, 0, 1)
    found = by_group(["b", "a", "b", "", "b"], CORRECT, clusters)
    assert {name: group.problems for name, group in found.items()} == {"": 1, "a": 1, "b": 3}
    assert list(found) == ["", "a", "b"]
    assert found["b"].scores == scores(CORRECT[[0, 2, 4]], clusters[[0, 2, 4]])
