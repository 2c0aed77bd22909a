"""Reports by value, from results made up for the purpose; and folders that are no results, told in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from made_up_results import NON_FINITE, made_up
from scipy import stats

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.checksums import seal, write_manifest
from lagbench.harness.config import CollapseRules, Run
from lagbench.harness.report.comparison import compare
from lagbench.harness.report.copies import same_formula
from lagbench.harness.report.document import Report, Row, Standing
from lagbench.harness.report.gather import gather
from lagbench.harness.report.groups import constant_lag
from lagbench.harness.report.latex import to_latex
from lagbench.harness.report.manifest import command
from lagbench.harness.report.results import Axes, Cell
from lagbench.harness.report.tables import leaderboard
from lagbench.harness.statistics.intervals import clustered_share
from lagbench.harness.statistics.power import detectable

BASE = 0.2
ASYMPO = {("constant:0", seed): score for seed, score in enumerate((0.60, 0.62, 0.64))} | {
    ("constant:8", seed): score for seed, score in enumerate((0.55, 0.58, 0.58))
}
NAIVE = {("constant:0", seed): score for seed, score in enumerate((0.60, 0.61, 0.62))} | {
    ("constant:8", seed): score for seed, score in enumerate((0.20, 0.10, 0.05))
}
SMALL = ("objectives=asympo,grpo,policy_gradient", "lags=0,8", "baseline=policy_gradient")


def trouble(run: Run) -> float | str | None:
    """ASymPO and the naive policy gradient with three seeds; GRPO with everything that can go wrong."""
    if run.objective is None:
        return BASE
    if run.objective == "grpo":
        return {0: 0.5, 1: NON_FINITE, 2: "OSError: disk full"}.get(run.seed) if run.lag == "constant:8" else None
    return (ASYMPO if run.objective == "asympo" else NAIVE)[run.lag, run.seed]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "out"
    made_up(folder, trouble, [*SMALL, "seeds=0,1,2"])
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture(scope="module")
def report(finished: Path) -> Report:
    return compare(gather([finished]))


def row(report: Report, objective: str, lag: int, mismatch: str = "none") -> Row:
    return next(r for r in report.rows if (r.objective, r.constant_lag, r.mismatch) == (objective, lag, mismatch))


def standing(report: Report, objective: str) -> Standing:
    return next(s for s in report.standings if s.objective == objective)


def t_interval(values: list[float]) -> tuple[float, float, float]:
    mean, half = np.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return (mean, mean - half, mean + half)


def ends(interval) -> tuple[float, float, float]:
    return (interval.mean, interval.low, interval.high)


def test_several_seeds(report: Report) -> None:
    found = row(report, "asympo", 8)
    assert ends(found.scores["pass@1"]) == pytest.approx(t_interval([0.55, 0.58, 0.58]))
    assert found.interval_over == "seeds" and found.by_seed == pytest.approx({0: 0.55, 1: 0.58, 2: 0.58})
    assert ends(found.change_from_lag_0) == pytest.approx(t_interval([-0.05, -0.04, -0.06]))


def test_the_difference_to_the_baseline_is_paired_by_seed(report: Report) -> None:
    test = row(report, "asympo", 8).against_baseline
    assert ends(test.value) == pytest.approx(t_interval([0.35, 0.48, 0.53]))
    assert test.p == pytest.approx(stats.ttest_rel([0.55, 0.58, 0.58], [0.20, 0.10, 0.05]).pvalue)
    assert (test.p_exact, test.exact) == (None, "")  # three seeds cannot reach 0.05
    assert row(report, "policy_gradient", 8).against_baseline is None


def test_the_family_is_what_the_suite_planned(report: Report) -> None:
    """ASymPO at two lags and GRPO at lag 8, of which nothing can be tested; at lag 0 GRPO is the baseline's formula."""
    assert (report.family.tests, report.family.same_formula, report.family.claims) == (3, 1, True)
    tests = {lag: row(report, "asympo", lag).against_baseline for lag in (0, 8)}
    assert tests[8].p < tests[0].p
    assert tests[8].p_adjusted == pytest.approx(3 * tests[8].p)
    assert tests[0].p_adjusted == pytest.approx(2 * tests[0].p)
    assert tests[0].significant is False
    grpo = row(report, "grpo", 8).against_baseline  # of the two seeds that have ended
    assert (grpo.p, grpo.p_adjusted, grpo.significant) == (None, None, None)


def test_a_mark_needs_both_p_values(report: Report) -> None:
    """Six runs of ASymPO leave a collapse rate of 1 - .05^(1/6) = .393 open; the baseline's collapsed run is filled."""
    test = row(report, "asympo", 8).against_baseline
    charged = 0.05 ** (1 / 6) * np.array([0.55, 0.58, 0.58]) - [0.20, 0.10, 0.15]
    assert test.p_charged == pytest.approx(3 * stats.ttest_1samp(charged, 0).pvalue)
    assert test.p_adjusted < 0.05 < test.p_charged and test.significant is False
    assert row(report, "asympo", 0).against_baseline.p_charged == 1.0  # .62 * .607 is less than .61
    assert standing(report, "asympo").highest_rate == pytest.approx(1 - 0.05 ** (1 / 6))
    assert standing(report, "policy_gradient").highest_rate == pytest.approx(
        stats.binomtest(1, 6, alternative="less").proportion_ci(0.95, "exact").high
    )
    assert report.family.mark in report.notes


def test_one_formula_at_lag_0_is_not_tested(tmp_path: Path) -> None:
    """Whatever the scores say: GRPO's and the policy gradient's gradient is A grad log pi there, ASymPO's is not."""
    overrides = ["objectives=policy_gradient,asympo,grpo", "lags=0,8", "seeds=0,1,2"]
    made_up(tmp_path / "out", lambda run: 0.2 if run.objective is None else 0.4 + 0.01 * run.seed, overrides)
    found = compare(gather([tmp_path / "out"]))
    same = {(r.objective, r.constant_lag): r.against_baseline.same_formula for r in found.rows if r.against_baseline}
    assert same == {("asympo", 0): False, ("asympo", 8): False, ("grpo", 0): True, ("grpo", 8): False}
    left_out = row(found, "grpo", 0).against_baseline
    assert (left_out.value.mean, left_out.p, left_out.p_adjusted, left_out.significant) == (0, None, None, None)
    assert "1 comparison at lag 0 is left out" in found.family.text
    other = tmp_path / "other"
    made_up(other, constant, [*overrides, "baseline=asympo"])
    assert compare(gather([other])).family.same_formula == 0  # ASymPO weighs its gradient


def test_one_formula_needs_fresh_and_undisturbed_responses(finished: Path) -> None:
    suite = gather([finished]).suite
    assert same_formula(suite, "grpo", "none", "constant:0")
    assert not same_formula(suite, "asympo", "none", "constant:0")
    assert not same_formula(suite, "grpo", "none", "constant:8")
    assert not same_formula(suite, "grpo", "bf16", "constant:0")
    assert not same_formula(suite, "not_installed_here", "none", "constant:0")
    by_vllm = suite.model_copy(update={"settings": suite.settings | {"sampler": "vllm"}})
    assert not same_formula(by_vllm, "grpo", "none", "constant:0")  # its log-probabilities are not the learner's


def test_conventions_of_papers_decide_what_is_one_formula(tmp_path: Path) -> None:
    """TIS's paper averages over tokens: under the papers' own conventions it is no policy gradient at lag 0."""
    for aggregate, same in (("paper", 0), ("token_mean", 1)):
        overrides = ["objectives=policy_gradient,tis", "lags=0,8", "seeds=0,1,2", f"aggregate={aggregate}"]
        made_up(tmp_path / aggregate, constant, overrides)
        assert compare(gather([tmp_path / aggregate])).family.same_formula == same


def test_what_ended_non_finite_counts_and_what_failed_does_not(report: Report) -> None:
    found = row(report, "grpo", 8)
    assert found.by_seed == pytest.approx({0: 0.5, 1: 0.0}) and found.scores["pass@1"].mean == pytest.approx(0.25)
    assert (found.failed, found.unfinished, found.missing) == (1, 0, 0)
    assert found.reasons == (NON_FINITE, "OSError: disk full")
    (collapse,) = found.collapses
    assert (collapse.seed, collapse.reason, collapse.update) == (1, "non_finite", 3)
    assert "A run that ended non-finite counts with scores of 0." in report.notes
    assert f"grpo at constant:8: {NON_FINITE}" in report.notes
    never = row(report, "grpo", 0)
    assert (never.seeds, never.unfinished, never.scores) == ((), 3, {})
    assert {cell.state for cell in report.cells} == {"finished", "failed", "unfinished"}


def test_a_cell_that_is_gone_is_missing(folder: Path) -> None:
    shutil.rmtree(folder / "asympo-constant-8-seed1")
    (folder / store.CHECKSUMS).unlink()
    found = compare(gather([folder]))
    assert row(found, "asympo", 8).missing == 1 and row(found, "asympo", 8).seeds == (0, 2)
    gone = next(cell for cell in found.cells if cell.state == "missing")
    assert gone.name == "asympo-constant-8-seed1" and gone.pass_at_1 is None
    kept = standing(found, "asympo").gain_under_lag  # over the two seeds that have all lags: their values and no rank
    assert kept.value.values == pytest.approx([(0.40 + 0.35) / 2 / 0.40, (0.44 + 0.38) / 2 / 0.42])
    assert (kept.value.low, kept.place, kept.best_rank, kept.worst_rank) == (None, None, 1, 3)


def test_collapse_by_score(report: Report) -> None:
    """Below half of the base model's 0.2: 0.10 is not, 0.05 is."""
    found = row(report, "policy_gradient", 8)
    (collapse,) = found.collapses
    assert (collapse.seed, collapse.reason, collapse.update) == (2, "score", 12)
    assert (collapse.value, collapse.limit) == pytest.approx((0.05, 0.1))
    low, high = stats.binomtest(1, 3).proportion_ci(method="exact")
    assert ends(found.collapse_rate) == pytest.approx((1 / 3, low, high))
    whole = standing(report, "policy_gradient")
    assert (whole.collapsed, whole.runs, whole.median_collapse) == (1, 6, None)
    assert [(step.update, step.alive) for step in whole.survival] == [(0, 1.0), (12, pytest.approx(5 / 6))]
    found = clustered_share(np.array([0, 0, 1]), np.array([2, 2, 2]))  # two runs of each seed
    assert ends(whole.collapse_rate) == pytest.approx(tuple(map(float, found)))


def test_lag_numbers_by_hand(report: Report) -> None:
    """The reference gains 0.41; at lag 8 ASymPO retains 0.37 of 0.42, the naive policy gradient loses all and more."""
    assert row(report, "asympo", 0).retained.mean == pytest.approx(0.42 / 0.41)
    assert row(report, "asympo", 8).retained.mean == pytest.approx(0.37 / 0.41)
    whole = standing(report, "asympo")
    assert whole.gain_under_lag.value.mean == pytest.approx((0.42 + 0.37) / 2 / 0.41)
    assert whole.own_retention.value.mean == pytest.approx((0.42 + 0.37) / 2 / 0.42)
    assert whole.gain_at_lag_0.mean == pytest.approx(0.42 / 0.41)
    for bound in (whole.own_retention.value.low, whole.own_retention.value.high):
        under_lag, own = np.array([0.375, 0.40, 0.41]), np.array([0.40, 0.42, 0.44])
        assert stats.ttest_1samp(under_lag - bound * own, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert whole.held.held == 0 and whole.held.lost is None  # .88 of three seeds is not surely below .9
    assert standing(report, "policy_gradient").held.lost == 8
    assert ends(row(report, "policy_gradient", 0).retained) == pytest.approx((1, 1, 1))
    grpo = standing(report, "grpo")
    assert grpo.gain_under_lag.value is None and grpo.own_retention.place is None and grpo.held is None


def test_ranks_leave_open_what_differences_do(report: Report) -> None:
    """ASymPO is ahead on all three seeds; so few runs cannot show that it does not collapse."""
    by_gain = [(s.objective, s.gain_under_lag) for s in report.standings]
    assert [(name, found.place, found.best_rank, found.worst_rank) for name, found in by_gain] == [
        ("asympo", 1, 1, 3), ("policy_gradient", 2, 1, 3), ("grpo", None, 1, 3)
    ]  # fmt: skip
    pair = next(pair for pair in report.pairs if {pair.first, pair.second} == {"asympo", "policy_gradient"})
    areas = (np.array([0.60 + 0.55, 1.20, 1.22]) - np.array([0.80, 0.71, 0.67])) / 2
    unit = np.array([0.40, 0.41, 0.42])
    for bound in (pair.gain_under_lag.value.low, pair.gain_under_lag.value.high):
        assert stats.ttest_1samp(areas - bound * unit, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert pair.gain_under_lag.value.mean == pytest.approx(areas.mean() / 0.41)
    assert pair.gain_under_lag.p_adjusted == pytest.approx(3 * stats.ttest_1samp(areas, 0).pvalue)  # of three pairs
    assert pair.own_retention.value.mean == pytest.approx(0.395 / 0.42 - (0.41 - 0.0833333) / 2 / 0.41)
    assert pair.gain_under_lag.significant is False
    assert pair.probability_of_improvement == pytest.approx((6 / 9 + 1) / 2)


def test_a_large_gain_at_lag_0_is_no_retention(tmp_path: Path) -> None:
    """ASymPO gains twice as much and keeps half, GRPO gains as much and keeps nine tenths: each is first by one."""
    gains = {"policy_gradient": (0.2, 0.0), "asympo": (0.4, 0.2), "grpo": (0.2, 0.18)}

    def score(run: Run) -> float:
        if run.objective is None:
            return BASE
        return BASE + gains[run.objective][run.lag == "constant:8"] + 0.002 * run.seed * (-1) ** run.seed

    seeds = ",".join(map(str, range(20)))  # forty runs of each: up to .072 may collapse
    made_up(tmp_path / "out", score, ["objectives=policy_gradient,asympo,grpo", "lags=0,8", f"seeds={seeds}"])
    found = {s.objective: s for s in compare(gather([tmp_path / "out"])).standings}
    assert list(found) == ["asympo", "grpo", "policy_gradient"]
    places = {name: (s.gain_under_lag.place, s.own_retention.place) for name, s in found.items()}
    assert places == {"asympo": (1, 2), "grpo": (2, 1), "policy_gradient": (3, 3)}
    ranks = {name: (s.own_retention.best_rank, s.own_retention.worst_rank) for name, s in found.items()}
    assert ranks == {"asympo": (2, 2), "grpo": (1, 1), "policy_gradient": (3, 3)}
    assert found["asympo"].gain_under_lag.best_rank == found["asympo"].gain_under_lag.worst_rank == 1


def test_the_base_models_error_is_in_every_gain(folder: Path) -> None:
    """With pass@2 above pass@1 the base model's own attempts differ: 20 problems, 8 of each."""
    exact = compare(gather([folder]))
    result = store.read_json(folder / "base" / store.RESULT)
    for scores in (result["scores"], result["evaluations"][0]["scores"]):
        scores["pass@2"]["mean"] = 0.34
    result.pop("digest")
    store.write_json(folder / "base" / store.RESULT, seal(result, folder / "base"))
    write_manifest(folder)
    found = compare(gather([folder]))
    assert exact.base_error == 0 and found.base_error == pytest.approx((0.14 / 160) ** 0.5)
    for values in (
        (s.gain_under_lag.value, s.own_retention.value) for s in (standing(found, "asympo"), standing(exact, "asympo"))
    ):
        assert all(value.low < value.mean < value.high for value in values)
    wide, narrow = (row(r, "policy_gradient", 8).retained for r in (found, exact))
    assert wide.mean == narrow.mean and wide.high - wide.low > narrow.high - narrow.low
    assert any("own error (0.0296 on these problems)" in note for note in found.notes)


def test_aggregates(report: Report) -> None:
    whole = standing(report, "asympo")
    per_seed = [stats.trim_mean([ASYMPO[lag, seed] for lag in ("constant:0", "constant:8")], 0.25) for seed in range(3)]
    assert ends(whole.iqm) == pytest.approx(t_interval(per_seed))
    gains = (np.array(list(NAIVE.values())) - BASE) / 0.41
    naive = standing(report, "policy_gradient")
    assert naive.optimality_gap == pytest.approx(np.maximum(1 - gains, 0).mean())
    assert naive.profile[report.thresholds.index(0.5)] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("lagbench run tiny", "lagbench run tiny objectives=grpo lags=constant:8 seeds=3"),
        (
            "lagbench run quick lags=0,8 seeds=3,4 updates=7 --results /somewhere/else --workers=4 --tracker wandb",
            "lagbench run quick updates=7 objectives=grpo lags=constant:8 seeds=3",
        ),
        ("lagbench run 'my suite.toml'", "lagbench run 'my suite.toml' objectives=grpo lags=constant:8 seeds=3"),
    ],
)
def test_every_cell_has_the_command_that_makes_it_again(given: str, expected: str) -> None:
    axes = Axes("grpo", "constant:8", "none", 3)
    assert command(Cell("", "", axes, {}, CollapseRules(), environment={"command": given})) == expected


def test_power_is_told_by_schedule(report: Report) -> None:
    """At lag 0 of ASymPO alone, for GRPO is the same formula there; at lag 8 of both."""
    (lag_0, lag_8) = report.power.finds
    assert (lag_0.lag, lag_8.lag, report.power.seeds) == ("constant:0", "constant:8", 3)
    assert lag_0.sd == pytest.approx(0.01)
    grpo = np.array([0.5, 0.0]) - [0.20, 0.10]
    variance = (2 * np.var([0.35, 0.48, 0.53], ddof=1) + np.var(grpo, ddof=1)) / 3
    assert lag_8.sd == pytest.approx(np.sqrt(variance))
    assert lag_8.detectable == pytest.approx(detectable(lag_8.sd, 3))
    rate, score = 1 - 0.05 ** (1 / 6), np.mean([0.20, 0.10, 0.05])  # three seeds under two schedules
    assert (1 - rate) * (score + lag_8.marked) - score == pytest.approx(detectable(lag_8.sd, 3, 0.05 / 3))
    assert report.power.text in report.notes and "lag 8 " in report.power.text


def test_where_nothing_spreads_nothing_is_said_to_be_found(tmp_path: Path) -> None:
    made_up(tmp_path / "out", lambda run: 0.4 if run.objective else 0.2, [*TWO, "seeds=0,1,2"])
    assert compare(gather([tmp_path / "out"])).power is None


@pytest.mark.parametrize(("seeds", "claims"), [("0", False), ("0,1", False), ("0,1,2", True)])
def test_no_claim_with_one_or_two_seeds(tmp_path: Path, seeds: str, claims: bool) -> None:
    """However large the difference: 0.6 against 0.1 on every seed."""
    scores = {None: 0.2, "policy_gradient": 0.1, "asympo": 0.6}
    overrides = ["objectives=policy_gradient,asympo", "lags=0,8", f"seeds={seeds}"]
    made_up(
        tmp_path / "out",
        lambda run: scores[run.objective] + 1e-3 * run.seed * (run.objective == "asympo"),
        overrides,
    )
    report = compare(gather([tmp_path / "out"]))
    found = [r.against_baseline.significant for r in report.rows if r.against_baseline]
    assert found == ([True, True] if claims else [None, None]) and report.family.claims is claims
    values = row(report, "asympo", 8).against_baseline.value.values
    assert values == (() if claims else pytest.approx([0.5, 0.501][: len(seeds.split(","))]))
    assert any(note.startswith("No significance is claimed") for note in report.notes) is not claims
    ranks = [
        (rank.best_rank, rank.worst_rank) for s in report.standings for rank in (s.gain_under_lag, s.own_retention)
    ]
    assert ranks == [(1, 2)] * 4  # the baseline gains nothing: no measure, no rank
    if seeds == "0":
        assert row(report, "asympo", 8).interval_over == "problems"
        assert row(report, "asympo", 8).scores["pass@1"].low < 0.6 < row(report, "asympo", 8).scores["pass@1"].high


@pytest.mark.parametrize(("seeds", "asympo"), [("0", "1.17"), ("0,1", "1.17, 1.16")])
def test_a_leaderboard_of_few_seeds_shows_their_values(tmp_path: Path, seeds: str, asympo: str) -> None:
    """Gains of .4 and .3 at lags 0 and 8 in units of .3, then .41 and .31 in units of .31: no ranks, and no dashes."""

    def score(run: Run) -> float:
        own = {"asympo": 0.6, "policy_gradient": 0.5}.get(run.objective, BASE)
        return own if run.objective is None else own - 0.1 * (run.lag == "constant:8") + 0.01 * run.seed

    made_up(tmp_path / "out", score, [*TWO, f"seeds={seeds}"])
    found = compare(gather([tmp_path / "out"]))
    board = leaderboard(found)
    assert [column.name for column in board.columns] == [
        "objective", "gain under lag", "own retention", "gain at lag 0", "collapsed", "reads"
    ]  # fmt: skip
    assert board.rows[0][:2] == ("asympo", asympo) and "\u2013" not in "".join(map("".join, board.rows))
    assert any(note.startswith("Ratios and differences of one or two seeds") for note in found.notes)
    assert ("Of two seeds both values." in to_latex(found)) == (seeds == "0,1")


def test_the_verdict_over_the_updates_is_made_when_reporting(folder: Path) -> None:
    """A fall before a run turned non-finite is what is told, under the thresholds that the folder was last run with."""
    failed = folder / "grpo-constant-8-seed1"
    first = store.read_lines(folder / "grpo-constant-8-seed0" / store.METRICS)[0]
    store.write_lines(failed / store.METRICS, (first | {"reward": 0.6 if u < 5 else 0.0} for u in range(12)))
    write_manifest(folder)
    (collapse,) = row(compare(gather([folder])), "grpo", 8).collapses
    assert collapse.reason == "reward_of_start"
    suite = store.read_json(folder / store.SUITE)
    lenient = suite["collapse"] | {"reward_of_start": 0, "reward_of_best": 0}
    store.write_json(folder / store.SUITE, suite | {"collapse": lenient})
    write_manifest(folder)
    (collapse,) = row(compare(gather([folder])), "grpo", 8).collapses
    assert (collapse.reason, collapse.update) == ("non_finite", 3)


def test_conventions_and_exam_are_told(report: Report) -> None:
    told = "Advantage of all objectives: group_mean_std; their papers use group_mean ("
    assert any(note.startswith(told) for note in report.notes)
    assert report.exam == "chain: 20 problems, 8 samples of each"
    assert any(note.startswith("Held-out pass@1 of the base model: 0.200 (95 %") for note in report.notes)


def test_curves_are_means_over_seeds(report: Report, finished: Path) -> None:
    curve = next(c for c in report.curves if (c.objective, c.lag) == ("asympo", "constant:8"))
    lines = [store.read_lines(finished / f"asympo-constant-8-seed{seed}" / store.METRICS) for seed in range(3)]
    assert curve.updates == tuple(range(12)) and curve.tokens == tuple(8.0 * 4 * 8 * (u + 1) for u in range(12))
    rewards = [[line["reward"] for line in seed] for seed in lines]
    assert curve.measures["reward"] == pytest.approx(np.mean(rewards, 0), rel=1e-3)
    _, low, high = t_interval([seed[5] for seed in rewards])
    assert (curve.reward_low[5], curve.reward_high[5]) == pytest.approx((low, high), rel=1e-3)
    ess = row(report, "asympo", 8).diagnostics["ess_token"]
    assert ess == pytest.approx(np.mean([line["ess_token"] for seed in lines for line in seed[6:]]))


def test_mismatch_is_an_axis_of_its_own(tmp_path: Path) -> None:
    scores = {None: 0.2, "policy_gradient": 0.5, "asympo": 0.6}
    overrides = ["objectives=policy_gradient,asympo", "lags=0", "mismatch=bf16,none", "seeds=0,1,2"]
    made_up(tmp_path / "out", lambda run: scores[run.objective] - 0.1 * (run.mismatch == "bf16"), overrides)
    report = compare(gather([tmp_path / "out"]))
    assert [(r.objective, r.mismatch) for r in report.rows] == [
        (name, mismatch) for name in ("asympo", "policy_gradient") for mismatch in ("none", "bf16")
    ]
    assert row(report, "asympo", 0, "bf16").scores["pass@1"].mean == pytest.approx(0.5)
    assert row(report, "asympo", 0, "bf16").against_baseline.value.mean == pytest.approx(0.1)  # disturbed alike
    assert report.family.tests == 2


def test_the_document_keeps_its_schema(report: Report, lagbench_here) -> None:
    schema = json.loads(lagbench_here("report", "--schema").stdout)
    jsonschema.validate(json.loads(report.model_dump_json()), schema)
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_files_and_tables_of_a_report(folder: Path, lagbench_here, tmp_path: Path) -> None:
    ran = lagbench_here("report", str(folder), "--out", "paper")
    assert ran.returncode == 2 and ran.stderr.startswith("incomplete: 5 of 19 cells without result")
    names = {path.name for path in (tmp_path / "paper").iterdir()}
    assert names >= {f"report.{form}" for form in ("html", "json", "md", "csv", "tex")} | {"pass1_against_lag.png"}
    assert ran.stdout.startswith("ok: files:") and "Report: paper/report.html" in ran.stdout
    assert (tmp_path / "paper" / "pass1_against_lag.png").read_bytes().startswith(b"\x89PNG")


# ---- several folders


def constant(run: Run) -> float:
    return {None: 0.2, "policy_gradient": 0.5}.get(run.objective, 0.6) + (0.01 * run.seed if run.objective else 0)


TWO = ("objectives=policy_gradient,asympo", "lags=0,8")


def test_folders_of_one_suite_are_merged(tmp_path: Path) -> None:
    made_up(tmp_path / "mine" / "run", constant, [*TWO, "seeds=0,1"])
    made_up(tmp_path / "theirs" / "run", constant, [*TWO, "seeds=1,2,3"])
    merged = compare(gather([tmp_path / "mine" / "run", tmp_path / "theirs" / "run"]))
    assert row(merged, "asympo", 8).seeds == (0, 1, 2, 3)
    assert [(s.name, s.cells) for s in merged.sources] == [("run (1)", 9), ("run (2)", 8)]
    assert merged.sources[1].remark == "5 cells are in an earlier folder too, 5 with the same weights"
    assert len({s.digest for s in merged.sources}) == 2 and merged.valid


def changed(path: Path) -> None:
    path.write_text(path.read_text().replace("0", "1", 1))


def remade(folder: Path, *overrides: str) -> Path:
    made_up(folder, constant, [*TWO, "seeds=0", *overrides])
    return folder


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda folder: shutil.rmtree(folder) or folder.mkdir(), "holds no cells"),
    "absent": (shutil.rmtree, "is not a folder"),
    "foreign": (
        lambda folder: shutil.rmtree(folder) or store.write_json(folder / "x" / store.RUN, {"model": "x"}),
        "holds no suite.json",
    ),
    "corrupted": (lambda folder: changed(folder / "base" / store.RESULT), "base/result.json"),
    "torn": (lambda folder: (folder / "base" / store.RESULT).write_text("{"), "base/result.json"),
    "tampered": (lambda folder: changed(folder / "asympo-constant-8-seed0" / store.RUN), "run.json: not what"),
    "added": (
        lambda folder: shutil.copytree(folder / "base", folder / "asympo-constant-8-seed9"),
        "asympo-constant-8-seed9/run.json: added since",
    ),
    "damaged suite": (lambda folder: changed(folder / store.SUITE), "suite.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_folders_that_are_none_end_in_one_line(name: str, tmp_path: Path, lagbench_here) -> None:
    folder = remade(tmp_path / "out")
    spoil, expected = WRONG[name]
    spoil(folder)
    ran = lagbench_here("report", str(folder), "--out", "paper")
    assert (ran.returncode, ran.stdout) == (2, ""), ran
    assert len(ran.stderr.splitlines()) == 1 and expected in ran.stderr and not (tmp_path / "paper").exists()


def test_what_is_partial_is_told_in_one_line(folder: Path, tmp_path: Path, lagbench_here) -> None:
    made_up(tmp_path / "none", lambda run: None, [*TWO, "seeds=0"])
    ran = lagbench_here("report", str(tmp_path / "none"))
    assert (ran.returncode, ran.stdout) == (2, "") and "none of 5 cells has finished" in ran.stderr
    ran = lagbench_here("report", str(folder), "--json")
    assert ran.returncode == 2 and len(ran.stderr.splitlines()) == 1 and json.loads(ran.stdout)["rows"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("updates=11", "of another suite: updates 11, not 12"),
        ("hyperparameters.asympo.nll_floor=0.1", "its asympo has other hyperparameters: nll_floor 0.1, not 1e-06"),
        ("baseline=asympo", "its baseline is asympo, not policy_gradient"),
    ],
)
def test_folders_that_do_not_fit_are_refused(override: str, expected: str, tmp_path: Path, lagbench_here) -> None:
    first, second = remade(tmp_path / "first"), remade(tmp_path / "second", override)
    ran = lagbench_here("report", str(first), str(second), "--out", "paper")
    assert ran.returncode == 2 and expected in ran.stderr and len(ran.stderr.splitlines()) == 1
    board = lagbench_here("leaderboard", str(first), str(second), "--out", "board")
    assert board.returncode == 0 and f"refused: {second}: {expected}" in board.stderr


def test_a_leaderboard_keeps_its_history(tmp_path: Path, lagbench_here) -> None:
    first = remade(tmp_path / "first")
    assert lagbench_here("leaderboard", str(first)).returncode == 0
    assert lagbench_here("leaderboard", str(first)).returncode == 0  # nothing new
    second = tmp_path / "second"
    made_up(second, constant, ["objectives=policy_gradient,grpo", "lags=0,8", "seeds=0"])
    (second / store.CHECKSUMS).rename(tmp_path / "kept")
    assert "no SHA256SUMS" in lagbench_here("leaderboard", str(first), str(second)).stderr
    (tmp_path / "kept").rename(second / store.CHECKSUMS)
    assert lagbench_here("leaderboard", str(first), str(second)).returncode == 0
    history = store.read_lines(tmp_path / "leaderboard" / "history.jsonl")
    assert [sorted(entry["objective"] for entry in moment["entries"]) for moment in history] == [
        ["asympo", "policy_gradient"], ["asympo", "grpo", "policy_gradient"]
    ]  # fmt: skip
    report = Report.model_validate_json((tmp_path / "leaderboard" / "report.json").read_text())
    assert len(report.history) == 2 and report.history[-1].sources.keys() == {"first", "second"}
    other = remade(tmp_path / "other", "updates=11")
    ran = lagbench_here("leaderboard", str(other))
    assert ran.returncode == 2 and "use another --out folder" in ran.stderr


def test_the_report_reads_what_a_search_has_chosen(tmp_path: Path) -> None:
    """ASymPO gets 3e-4 and gains; the baseline keeps the suite's own rate."""
    folder = remade(tmp_path / "out")
    made_up(
        folder / "tuned" / "lr-0.0003", lambda run: 0.2 if run.objective is None else 0.8,
        ["objectives=asympo", "lags=0,8", "seeds=0", "learning_rate=3e-4"],
    )  # fmt: skip
    chosen = {
        "asympo": {"learning_rate": 3e-4, "folder": "tuned/lr-0.0003", "scores": {"0.0001": 0.5, "0.0003": 0.7}},
        "policy_gradient": {"learning_rate": 1e-4, "folder": ".", "scores": {"0.0001": 0.5, "0.0003": 0.1}},
    }
    budget = {
        "learning_rates": [1e-4, 3e-4], "lags": ["constant:8"], "mismatch": ["none"], "seeds": [100, 101],
        "problems": 64, "updates": 12, "runs_per_objective": 4,
    }  # fmt: skip
    written = {"learning_rate": 1e-4, "budget": budget, "objectives": chosen, "unfinished": {}}
    store.write_json(folder / "search" / "chosen.json", written)
    write_manifest(folder)
    report = compare(gather([folder]))
    assert report.search.runs_per_objective == 4 and "the best of 0.0001, 0.0003" in report.search.text
    tuned = standing(report, "asympo").tuned
    assert tuned.learning_rate == 3e-4 and tuned.search == {"0.0001": 0.5, "0.0003": 0.7}
    assert {lag: score.mean for lag, score in tuned.scores.items()} == pytest.approx(
        {"constant:0": 0.8, "constant:8": 0.8}
    )
    assert tuned.gain_under_lag.values == pytest.approx((0.6 / 0.3,))  # in the unit of the fixed rate's reference
    assert tuned.own_retention.values == pytest.approx((1.0,))
    unchanged = standing(report, "policy_gradient")
    assert unchanged.tuned.gain_under_lag == unchanged.gain_under_lag.value


def test_a_big_folder_is_read_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = remade(tmp_path / "out")
    alone = compare(gather([folder]))
    monkeypatch.setattr("lagbench.harness.checksums.MANY", 2)
    assert compare(gather([folder])) == alone


def test_seals_protect_a_cell_without_a_manifest(tmp_path: Path) -> None:
    folder = remade(tmp_path / "out")
    (folder / store.CHECKSUMS).unlink()
    cell = folder / "asympo-constant-8-seed0"
    lines = store.read_lines(cell / store.METRICS)
    store.write_lines(cell / store.METRICS, [line | {"reward": 1.0} for line in lines])
    with pytest.raises(InputError, match=r"asympo-constant-8-seed0/metrics\.jsonl: not what the cell wrote"):
        gather([folder])
    result = store.read_json(cell / store.RESULT)
    result.pop("digest")
    store.write_json(cell / store.RESULT, seal(result, cell))
    assert gather([folder]).cells


def test_constant_lag() -> None:
    assert [constant_lag(lag) for lag in ("sync", "constant:0", "constant:64", "uniform:0-4")] == [0, 0, 64, None]


# ---- what a review found


def test_a_later_folder_cannot_undo_a_collapse(tmp_path: Path) -> None:
    """The same seeds once ended non-finite and once well: the first end counts, in whatever order states are."""
    made_up(tmp_path / "a", lambda run: NON_FINITE if run.objective == "asympo" else constant(run), [*TWO, "seeds=0"])
    made_up(tmp_path / "b", constant, [*TWO, "seeds=0"])
    merged = compare(gather([tmp_path / "a", tmp_path / "b"]))
    assert row(merged, "asympo", 8).by_seed == {0: 0.0} and len(row(merged, "asympo", 8).collapses) == 1
    assert merged.sources[1].remark == "5 cells are in an earlier folder too, 3 with the same weights"


def test_hyperparameters_are_compared_with_every_folder(tmp_path: Path) -> None:
    made_up(tmp_path / "a", constant, ["objectives=policy_gradient", "lags=0,8", "seeds=0"])
    for name, scale in (("b", 0.5), ("c", 0.1)):
        grid = ["objectives=spo", "baseline=policy_gradient", "lags=0,8", "seeds=0"]
        made_up(tmp_path / name, constant, [*grid, f"hyperparameters.spo.neg_scale={scale}"])
    with pytest.raises(InputError, match=r"c does not belong into one report with .*b: its spo has other hyper"):
        gather([tmp_path / name for name in "abc"])


def test_tuned_cells_stand_under_the_gates_too(tmp_path: Path) -> None:
    folder = remade(tmp_path / "out")
    part = folder / "tuned" / "lr-0.0003"
    tuned = ["objectives=asympo", "lags=0,8", "seeds=0", "learning_rate=3e-4"]
    made_up(part, lambda run: {None: 0.2}.get(run.objective, 0.8) if run.lag != "constant:8" else "OSError: x", tuned)
    choice = {"learning_rate": 3e-4, "folder": "tuned/lr-0.0003", "scores": {"0.0003": 0.7}}
    budget = {"learning_rates": [3e-4], "lags": [], "seeds": [], "problems": 2, "updates": 12, "runs_per_objective": 1}
    store.write_json(
        folder / "search" / "chosen.json", {"budget": budget, "objectives": {"asympo": choice}, "unfinished": {}}
    )
    store.write_json(
        part / store.GATES, {"cells": {}, "gates": [{"name": "determinism", "passed": False, "detail": "why"}]}
    )
    write_manifest(part)
    write_manifest(folder)
    report = compare(gather([folder]))
    assert not report.valid
    assert [gate.detail for gate in report.gates if gate.passed is False] == ["why; in out/tuned/lr-0.0003"]
    tuned_cells = [cell for cell in report.cells if cell.source == "out/tuned/lr-0.0003"]
    assert [(cell.state, cell.reason) for cell in tuned_cells] == [("finished", ""), ("failed", "OSError: x")]
    (folder / store.CHECKSUMS).unlink()
    (part / store.CHECKSUMS).unlink()
    changed(part / "base" / store.RESULT)
    with pytest.raises(InputError, match=r"tuned/lr-0.0003/base/result.json"):
        gather([folder])


def test_a_missing_base_is_missing(folder: Path) -> None:
    shutil.rmtree(folder / "base")
    (folder / store.CHECKSUMS).unlink()
    report = compare(gather([folder]))
    assert next(cell.state for cell in report.cells if cell.name == "base") == "missing"
    assert report.base == {} and all(s.gain_under_lag.value is None for s in report.standings)


def test_sync_and_lag_0_are_one_row(tmp_path: Path) -> None:
    made_up(tmp_path / "a", constant, ["objectives=policy_gradient,asympo", "lags=0,8", "seeds=0"])
    made_up(tmp_path / "b", constant, ["objectives=policy_gradient,asympo", "lags=sync", "seeds=1"])
    report = compare(gather([tmp_path / "a", tmp_path / "b"]))
    assert row(report, "asympo", 0).seeds == (0, 1) and report.schedules == ("constant:0", "constant:8")
    assert standing(report, "asympo").gain_under_lag.value is not None and report.family.tests == 2


@pytest.mark.parametrize(
    "overrides", [["lags=8"], ["lags=0"], ["baseline=grpo", "lags=0,8"], ["mismatch=bf16", "lags=0,8"]]
)
def test_unusual_suites_are_reported(tmp_path: Path, overrides: list[str], lagbench_here) -> None:
    made_up(tmp_path / "out", constant, ["objectives=policy_gradient,asympo", "seeds=0", *overrides])
    ran = lagbench_here("report", str(tmp_path / "out"))
    assert ran.returncode == 0, ran.stderr


def test_all_runs_non_finite_without_a_base(tmp_path: Path, lagbench_here) -> None:
    made_up(
        tmp_path / "out",
        lambda run: "OSError: x" if run.objective is None else NON_FINITE if run.objective == "asympo" else 0.5,
        [*TWO, "seeds=0"],
    )
    ran = lagbench_here("report", str(tmp_path / "out"))
    assert ran.returncode == 2 and ran.stderr.startswith("incomplete: 3 of 5"), ran.stderr


def test_a_place_that_cannot_be_written_to(tmp_path: Path, lagbench_here) -> None:
    folder = remade(tmp_path / "out")
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        ran = lagbench_here("report", str(folder), "--out", place)
        assert ran.returncode == 2 and f"cannot write to {place}" in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_a_leaderboard_refuses_what_is_not_valid_or_there_twice(tmp_path: Path, lagbench_here) -> None:
    good, bad = remade(tmp_path / "good"), remade(tmp_path / "bad", "seeds=1")
    store.write_json(
        bad / store.GATES, {"cells": {}, "gates": [{"name": "determinism", "passed": False, "detail": "why"}]}
    )
    write_manifest(bad)
    copy = Path(shutil.copytree(good, tmp_path / "copy"))
    ran = lagbench_here("leaderboard", *map(str, (good, bad, copy)))
    assert ran.returncode == 0
    assert f"refused: {bad}: a gate has failed: determinism: why" in ran.stderr
    assert f"refused: {copy}: the same results as good" in ran.stderr
