"""Comparisons by value, from results made up for the purpose."""

import csv
import io
from pathlib import Path

import pytest
from scipy import stats

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import CollapseRules
from lagbench.harness.report.comparison import Comparison, compare, constant_lag
from lagbench.harness.report.tables import notes, records, to_csv, to_json, to_markdown
from lagbench.harness.report.write import write_report


def cell(
    folder: Path,
    objective: str | None,
    lag: str,
    seed: int,
    score: float | None,
    reason: str | None = None,
    mismatch: str = "none",
) -> None:
    """A cell's files: finished with that pass@1, failed for that reason, or neither."""
    name = f"{objective}-{lag}-{seed}" if mismatch == "none" else f"{objective}-{lag}-{mismatch}-{seed}"
    reads = ["logprobs", "behavior_logprobs"] if objective == "grpo" else ["logprobs"]
    around = {"advantage": "group_mean_std", "aggregate": "seq_mean_token_mean", "denominator": "all"}
    paper = around | ({"aggregate": "token_mean"} if objective == "grpo" else {})
    axes = {"objective": objective, "lag": lag, "mismatch": mismatch, "seed": seed}
    run = axes | {"reads": reads, "updates": 100, "paper": paper}
    store.write_json(folder / name / store.RUN, run | around | {"collapse": CollapseRules().model_dump()})
    if score is not None:
        scores = {
            "pass@1": {"mean": score, "low": score - 0.05, "high": score + 0.05},
            "pass@8": {"mean": 0.9, "low": 0.8, "high": 1.0},
        }
        evaluation = {"version": 100, "exam": "chain", "problems": 16, "samples": 8, "scores": scores}
        result = {"scores": scores, "evaluations": [evaluation], "lag_mean": 1.5 + seed, "lag_max": 16.0}
        store.write_json(folder / name / store.RESULT, result)
    if reason:
        store.write_json(folder / name / store.FAILED, {"reason": reason, "non_finite_update": 3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three objectives at lags 0 and 16: three seeds, one seed, and trouble."""
    cell(tmp_path, None, "sync", 0, 0.30)
    for seed, (zero, lagged) in enumerate([(0.50, 0.44), (0.60, 0.50), (0.70, 0.62)]):
        cell(tmp_path, "asympo", "constant:0", seed, zero)
        cell(tmp_path, "asympo", "constant:16", seed, lagged)
    cell(tmp_path, "grpo", "constant:0", 0, 0.60)
    cell(tmp_path, "grpo", "constant:16", 0, 0.45)
    cell(tmp_path, "naive", "constant:0", 0, 0.60)
    cell(tmp_path, "naive", "constant:16", 0, 0.10)
    cell(tmp_path, "naive", "constant:16", 1, None, "NonFinite: update 3")
    cell(tmp_path, "naive", "constant:16", 2, None)
    return tmp_path


@pytest.fixture
def comparison(folder: Path) -> Comparison:
    return compare(folder)


def row(comparison: Comparison, objective: str, lag: int) -> dict:
    return next(r for r in records(comparison) if (r["objective"], r["lag"]) == (objective, lag))


def test_several_seeds(comparison: Comparison) -> None:
    found = row(comparison, "asympo", 16)
    half = stats.t.ppf(0.975, 2) * stats.sem([0.44, 0.50, 0.62])
    assert found["pass@1"] == pytest.approx(0.52)
    assert (found["low"], found["high"]) == pytest.approx((0.52 - half, 0.52 + half))
    assert found["interval_over"] == "seeds" and found["seeds"] == 3


def test_change_from_lag_0_is_paired_by_seed(comparison: Comparison) -> None:
    found = row(comparison, "asympo", 16)
    half = stats.t.ppf(0.975, 2) * stats.sem([-0.06, -0.10, -0.08])  # narrower than either mean's
    assert found["change_from_lag_0"] == pytest.approx(-0.08)
    assert (found["change_low"], found["change_high"]) == pytest.approx((-0.08 - half, -0.08 + half))
    assert row(comparison, "asympo", 0)["change_from_lag_0"] == 0
    one_seed = row(comparison, "grpo", 16)
    assert one_seed["change_from_lag_0"] == pytest.approx(-0.15) and one_seed["change_low"] is None


def test_one_seed(comparison: Comparison) -> None:
    found = row(comparison, "grpo", 0)
    assert (found["pass@1"], found["low"], found["high"]) == pytest.approx((0.60, 0.55, 0.65))
    assert found["interval_over"] == "problems" and found["behavior_fields"] == ["behavior_logprobs"]
    assert (found["pass@8"], found["pass@8_low"]) == (0.9, 0.8)


def test_trouble_is_counted(comparison: Comparison) -> None:
    found = row(comparison, "naive", 16)
    assert (found["seeds"], found["failed"], found["unfinished"]) == (1, 1, 1)
    assert found["collapsed"] and found["collapsed_seeds"] == 2
    assert found["collapses"] == [
        {"seed": 0, "reason": "score", "update": 100, "value": 0.10, "limit": 0.15},  # half of 0.30
        {"seed": 1, "reason": "non_finite", "update": 3, "value": None, "limit": None},
    ]
    assert found["reasons"] == ["NonFinite: update 3"]
    assert not row(comparison, "naive", 0)["collapsed"]
    told = notes(comparison)
    assert "naive at constant:16: NonFinite: update 3" in told
    collapsed = "naive at constant:16 collapsed: "
    assert f"{collapsed}seed 0 score 0.1, limit 0.15, at update 100; seed 1 non_finite at update 3" in told


def test_the_verdict_over_the_updates_is_made_when_reporting(folder: Path) -> None:
    """A fall before a run turned non-finite is what is told, under the thresholds that the cell's settings hold."""
    failed = folder / "naive-constant:16-1"
    healthy = {"entropy": 0.4, "gradient_norm": 0.5, "nll": 0.4, "response_tokens": 8.0, "truncated_fraction": 0.0}
    store.write_lines(failed / store.METRICS, (healthy | {"reward": 0.6 if u < 20 else 0.0} for u in range(40)))
    assert row(compare(folder), "naive", 16)["collapses"][1]["reason"] == "reward_of_start"
    run = store.read_json(failed / store.RUN)
    lenient = run["collapse"] | {"reward_of_start": 0.0, "reward_of_best": 0.0}
    store.write_json(failed / store.RUN, run | {"collapse": lenient})
    assert row(compare(folder), "naive", 16)["collapses"][1] == {
        "seed": 1, "reason": "non_finite", "update": 3, "value": None, "limit": None
    }  # fmt: skip


def test_conventions_are_told(comparison: Comparison, tmp_path: Path) -> None:
    told = notes(comparison)
    assert "Advantage of all objectives: group_mean_std." in told
    assert "Aggregate of all objectives: seq_mean_token_mean; their papers use token_mean (grpo)." in told
    found = row(comparison, "grpo", 0)
    assert (found["aggregate"], found["paper_aggregate"]) == ("seq_mean_token_mean", "token_mean")
    path = tmp_path / "grpo-constant:0-0" / store.RUN
    store.write_json(path, store.read_json(path) | {"aggregate": "token_mean"})
    expected = "Aggregate of each objective's paper: seq_mean_token_mean (asympo, naive), token_mean (grpo)."
    rows = [r for r in compare(tmp_path).rows if r.lag == "constant:0"]
    assert expected in notes(Comparison("made up", "", {}, None, tuple(rows), ()))


def test_rows_are_in_order(comparison: Comparison) -> None:
    assert [(r["objective"], r["lag"]) for r in records(comparison)] == [
        (name, lag) for name in ("asympo", "grpo", "naive") for lag in (0, 16)
    ]


def test_json(comparison: Comparison) -> None:
    found = to_json(comparison)
    assert found["base"]["pass@1"] == {"mean": 0.30, "low": 0.25, "high": 0.35}
    assert all(r["base"] == 0.30 for r in found["cells"])
    assert [gate["name"] for gate in found["gates"]] == ["lag-0 parity", "determinism", "lag", "prompts", "groups"]


def test_csv_holds_the_same_numbers(comparison: Comparison) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [float(r["pass@1"]) for r in read] == [r["pass@1"] for r in records(comparison)]
    assert read[5]["collapses"].startswith(
        "seed=0 reason=score update=100 value=0.1 limit=0.15; seed=1 reason=non_finite"
    )
    assert read[2]["behavior_fields"] == "behavior_logprobs" and read[0]["reasons"] == ""


def test_markdown(comparison: Comparison) -> None:
    lines = to_markdown(comparison).splitlines()
    assert lines[0] == "Gates:" and lines[2].startswith("- not run: lag-0 parity: ")
    table = lines[lines.index("") + 7 :]
    assert table[0] == "| objective | lag | mean lag | pass@1 | 95 % CI | pass@8 | seeds | vs lag 0 | reads | note |"
    assert table[1] == "| --- | --: | --: | --: | --: | --: | --: | --: | --- | --- |"
    assert table[3].startswith("| asympo | 16 | 2.5 | 0.520 |")  # the mean of 1.5, 2.5 and 3.5
    assert table[5] == "| grpo | 16 | 1.5 | 0.450 | 0.400-0.500 | 0.900 | 1 | -0.150 | behavior |  |"
    assert table[7].endswith("| collapsed 2/2, 1 failed, 1 unfinished |")
    assert all(line.count("|") == 11 for line in table[:8])


def test_mismatch_is_an_axis_of_its_own(folder: Path) -> None:
    for seed, score in ((0, 0.4), (1, 0.5)):
        cell(folder, "asympo", "constant:16", seed, score, mismatch="bf16")
    comparison = compare(folder)
    apart = [r for r in records(comparison) if r["objective"] == "asympo" and r["lag"] == 16]
    assert [(r["mismatch"], r["seeds"], r["pass@1"]) for r in apart] == [
        ("none", 3, pytest.approx(0.52)), ("bf16", 2, pytest.approx(0.45))
    ]  # fmt: skip
    assert apart[1]["change_from_lag_0"] is None  # there is no lag 0 under this mismatch
    assert "| objective | lag | mismatch | mean lag |" in to_markdown(comparison)
    write_report(comparison, folder, folder / "out")


def test_what_the_scores_are_of_is_told(comparison: Comparison) -> None:
    assert "Scores are on chain: 16 problems, 8 samples of each." in notes(comparison)


def test_files_are_written(comparison: Comparison, tmp_path: Path) -> None:
    write_report(comparison, tmp_path, tmp_path / "out")
    picture = (tmp_path / "out" / "pass1_against_lag.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_nothing_finished_yet(tmp_path: Path) -> None:
    cell(tmp_path, "asympo", "constant:4", 0, None)
    comparison = compare(tmp_path)
    found = row(comparison, "asympo", 4)
    assert found["pass@1"] is None and found["base"] is None and found["unfinished"] == 1
    assert notes(comparison)[0] == "The base model has not been evaluated: run the suite again, it goes on."
    write_report(comparison, tmp_path, tmp_path / "out")


def test_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no cells"):
        compare(tmp_path)
    store.write_json(tmp_path / "foreign" / store.RUN, {"model": "x"})
    with pytest.raises(InputError, match="foreign is not of this version of lagbench"):
        compare(tmp_path)


def test_constant_lag() -> None:
    assert [constant_lag(lag) for lag in ("sync", "constant:0", "constant:64", "uniform:0-4")] == [0, 0, 64, None]
