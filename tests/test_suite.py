"""A whole suite through the command line, on the embedded model: what it leaves and what it prints."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from small_suites import LAGBENCH, SMALL
from transformers import AutoModelForCausalLM

from lagbench.harness import store
from lagbench.harness.lag import LagPlan
from lagbench.harness.lag.trace import read_trace


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A suite of two objectives at two lags with two seeds, run once."""
    folder = tmp_path_factory.mktemp("suite")
    command = [LAGBENCH, "run", "quick", "objectives=asympo,grpo", "baseline=asympo", "lags=0,3"]
    ran = subprocess.run(
        [*command, "seeds=0,1", "updates=6", *SMALL, "--results", "out"], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "out", ran


def test_every_cell_has_its_files(finished) -> None:
    out, _ = finished
    cells = [f"{o}-constant-{k}-seed{s}" for o in ("asympo", "grpo") for k in (0, 3) for s in (0, 1)]
    files = {"suite.json", "commands.jsonl", "gates.json", "SHA256SUMS", "report", ".lock"}
    assert {path.name for path in out.iterdir()} == {*cells, "base", *files}
    for cell in cells:
        names = {path.name for path in (out / cell).iterdir()}
        assert names >= {
            *("run.json", "environment.json", "plan.json", "metrics.jsonl", "attempts-6.jsonl", "result.json", "model")
        }
        assert "checkpoint.pt" not in names


def test_a_cell_says_what_is_needed_to_repeat_it(finished) -> None:
    out, _ = finished
    cell = out / "grpo-constant-3-seed1"
    run = store.read_json(cell / "run.json")
    assert run["lag"] == "constant:3" and run["seed"] == 1 and run["hyperparameters"]["clip_high"] == 0.2
    environment = store.read_json(cell / "environment.json")
    assert environment["command"].startswith("lagbench run quick objectives=asympo,grpo")
    assert environment["packages"]["torch"].startswith("2.") and environment["processor"]
    base = store.read_json(out / "base" / "run.json")
    assert run["reads"] == ["logprobs", "behavior_logprobs", "advantages", "mask"] and base["reads"] == []
    for digest in (run["model_digest"], run["data_digest"]["chain"]):
        assert len(digest) == 64
    assert all(run[key] == base[key] for key in ("model_digest", "data_digest", "data_rows"))
    assert run["data_rows"] == {"chain": {"train": 3488, "test": 512}}
    assert store.read_lines(out / "commands.jsonl")[0]["command"] == environment["command"]


def test_realized_lag_is_planned_lag(finished) -> None:
    out, _ = finished
    cell = out / "asympo-constant-3-seed0"
    plan = LagPlan.from_json(store.read_json(cell / "plan.json"))
    rows = store.read_lines(cell / "metrics.jsonl")
    assert read_trace(cell / "trace.jsonl").source.tolist() == plan.source.tolist()
    assert [row["lag_max"] for row in rows] == [0, 1, 2, 3, 3, 3]
    result = store.read_json(cell / "result.json")
    assert result["planned_lag_digest"] == result["realized_lag_digest"] == plan.digest


def test_attempts_are_all_kept_and_make_the_score(finished) -> None:
    out, _ = finished
    attempts = store.read_lines(out / "base" / "attempts-0.jsonl")
    assert len(attempts) == 16 and all(len(problem["attempts"]) == 4 for problem in attempts)
    right = [a["verdict"]["correct"] for problem in attempts for a in problem["attempts"]]
    assert store.read_json(out / "base" / "result.json")["scores"]["pass@1"]["mean"] == pytest.approx(sum(right) / 64)
    for problem in attempts:
        for attempt in problem["attempts"]:
            assert attempt["verdict"]["correct"] == (attempt["text"].rpartition("#")[2] == problem["answer"])


def test_the_final_model_is_an_ordinary_folder(finished) -> None:
    out, _ = finished
    trained = AutoModelForCausalLM.from_pretrained(out / "asympo-constant-0-seed0" / "model").state_dict()
    base = AutoModelForCausalLM.from_pretrained(out / "base" / "model").state_dict()
    assert any(not torch.equal(trained[name], base[name]) for name in base)


def test_at_lag_0_behavior_and_current_policy_agree(finished) -> None:
    out, _ = finished
    rows = store.read_lines(out / "grpo-constant-0-seed0" / "metrics.jsonl")
    assert all(row["removed_negative"] == 0 and abs(row["kl_k1"]) < 1e-5 for row in rows)
    lagged = store.read_lines(out / "grpo-constant-3-seed0" / "metrics.jsonl")
    assert abs(lagged[0]["kl_k1"]) < 1e-5 < abs(lagged[5]["kl_k1"])


def test_leaderboard_is_printed_and_written(finished) -> None:
    out, ran = finished
    lines = ran.stdout.partition("held-out pass@1")[2].partition("Held-out pass@1 of the base model")[0].splitlines()
    named = [line.split()[0] for line in lines if line.startswith(("asympo", "grpo"))]
    assert named == ["asympo"] * 2 + ["grpo"] * 2
    assert ran.stdout.splitlines()[-1] == "Report: out/report/report.html"
    assert {path.name for path in (out / "report").iterdir()} >= {"report.html", "report.json", "pass1_against_lag.png"}


def test_finished_cells_are_skipped(finished) -> None:
    out, ran = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    arguments = store.read_lines(out / "commands.jsonl")[0]["command"].split()[1:]
    again = subprocess.run([LAGBENCH, *arguments], cwd=out.parent, capture_output=True, text=True)
    assert again.returncode == 0 and "9 finished, 0 to run" in again.stderr
    assert again.stdout == ran.stdout
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")} == before


def test_other_settings_in_the_same_folder_are_refused(finished, lagbench_here) -> None:
    out, _ = finished
    ran = lagbench_here(
        "run", "quick", "objectives=asympo", "baseline=asympo", "lags=0", "updates=7", *SMALL, "--results", str(out)
    )
    assert ran.returncode == 2
    assert "holds a cell with other settings (updates)" in ran.stderr


def test_json_report(finished, lagbench_here) -> None:
    out, _ = finished
    report = json.loads(lagbench_here("report", str(out), "--json").stdout)
    assert [(row["objective"], row["constant_lag"], row["seeds"]) for row in report["rows"]] == [
        *(("asympo", 0, [0, 1]), ("asympo", 3, [0, 1]), ("grpo", 0, [0, 1]), ("grpo", 3, [0, 1]))
    ]
    for row in report["rows"]:
        score = row["scores"]["pass@1"]
        assert score["low"] is score["high"] is None and len(score["values"]) == 2  # of two seeds, no interval
        assert score["mean"] == pytest.approx(sum(score["values"]) / 2)
    assert 0 < report["base"]["pass@1"]["mean"] < 1


def test_a_failed_base_is_told_and_the_rest_still_shown(finished, lagbench_here, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (out / "base" / "result.json").unlink()
    store.write_json(out / "base" / "failed.json", {"reason": "NonFinite: version 0", "traceback": None})
    (out / "grpo-constant-3-seed1" / "result.json").unlink()
    (out / store.CHECKSUMS).unlink()
    ran = lagbench_here("report", "copy")
    assert ran.returncode == 2 and "base model has not been evaluated: NonFinite: version 0" in ran.stdout
    report = json.loads(lagbench_here("report", "copy", "--json").stdout)
    rows = report["rows"]
    assert [(len(row["seeds"]), row["unfinished"]) for row in rows] == [(2, 0), (2, 0), (2, 0), (1, 1)]
    assert report["base"] == {} and rows[0]["retained"] is None and rows[0]["collapses"] == []
    assert rows[3]["interval_over"] == "problems"
