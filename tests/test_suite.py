"""Whole suites through the command line, on the embedded model: results, resuming, failures, wrong input."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM

from lagbench.harness import store
from lagbench.harness.lag import LagPlan
from lagbench.harness.learn import checkpoint
from lagbench.harness.learn.loop import train
from lagbench.harness.models import locate
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.verify import Verifier

SMALL = ("prompts_per_update=4", "responses_per_prompt=4", "learning_rate=1e-3", "eval_problems=16", "eval_samples=4")
CHAIN = load_task("chain", {})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A suite of two objectives at two lags with two seeds, run once."""
    folder = tmp_path_factory.mktemp("suite")
    command = [Path(sys.executable).with_name("lagbench"), "run", "quick", "objectives=asympo,grpo", "lags=0,3"]
    ran = subprocess.run(
        [*command, "seeds=0,1", "updates=6", *SMALL, "--results", "out"], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "out", ran


def test_every_cell_has_its_files(finished) -> None:
    out, _ = finished
    cells = [f"{o}-constant-{k}-seed{s}" for o in ("asympo", "grpo") for k in (0, 3) for s in (0, 1)]
    assert {path.name for path in out.iterdir()} == {*cells, "base", "commands.jsonl", "report", ".lock"}
    for cell in cells:
        names = {path.name for path in (out / cell).iterdir()}
        assert names >= {
            *("run.json", "environment.json", "plan.json", "metrics.jsonl", "attempts.jsonl", "result.json", "model")
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
    for digest in ("model_digest", "data_digest"):
        assert len(run[digest]) == 64 and run[digest] == base[digest]
    assert store.read_lines(out / "commands.jsonl")[0]["command"] == environment["command"]


def test_realized_lag_is_planned_lag(finished) -> None:
    out, _ = finished
    cell = out / "asympo-constant-3-seed0"
    plan = LagPlan.from_json(store.read_json(cell / "plan.json"))
    rows = store.read_lines(cell / "metrics.jsonl")
    assert [row["source"] for row in rows] == plan.source.tolist()
    assert [row["lag_max"] for row in rows] == [0, 1, 2, 3, 3, 3]
    result = store.read_json(cell / "result.json")
    assert result["planned_lag_digest"] == result["realized_lag_digest"] == plan.digest


def test_attempts_are_all_kept_and_make_the_score(finished) -> None:
    out, _ = finished
    attempts = store.read_lines(out / "base" / "attempts.jsonl")
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
    assert all(row["objective"] == {"clip_fraction": 0} and abs(row["kl_behavior"]) < 1e-5 for row in rows)
    lagged = store.read_lines(out / "grpo-constant-3-seed0" / "metrics.jsonl")
    assert abs(lagged[0]["kl_behavior"]) < 1e-5 < abs(lagged[5]["kl_behavior"])


def test_leaderboard_is_printed_and_written(finished) -> None:
    out, ran = finished
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.strip().startswith(("asympo", "grpo"))] == ["asympo"] * 2 + [
        "grpo"
    ] * 2
    assert lines[-1] == "Report: out/report"
    assert {path.name for path in (out / "report").iterdir()} == {
        *("leaderboard.md", "leaderboard.csv", "leaderboard.json", "pass1_against_lag.png")
    }


def test_finished_cells_are_skipped(finished) -> None:
    out, ran = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    arguments = store.read_lines(out / "commands.jsonl")[0]["command"].split()[1:]
    again = subprocess.run(
        [Path(sys.executable).with_name("lagbench"), *arguments], cwd=out.parent, capture_output=True, text=True
    )
    assert again.returncode == 0 and "9 finished, 0 to run" in again.stderr
    assert again.stdout == ran.stdout
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")} == before


def test_other_settings_in_the_same_folder_are_refused(finished, lagbench) -> None:
    out, _ = finished
    ran = lagbench("run", "quick", "objectives=asympo", "lags=0", "updates=7", *SMALL, "--results", str(out))
    assert ran.returncode == 2
    assert "holds a cell with other settings (updates)" in ran.stderr


def test_json_report(finished, lagbench) -> None:
    out, _ = finished
    report = json.loads(lagbench("report", str(out), "--json").stdout)
    assert [(c["objective"], c["lag"], c["seeds"]) for c in report["cells"]] == [
        *(("asympo", 0, 2), ("asympo", 3, 2), ("grpo", 0, 2), ("grpo", 3, 2))
    ]
    for cell in report["cells"]:
        assert cell["low"] <= cell["pass@1"] <= cell["high"]
        assert cell["base"] == report["base"]["pass@1"]["mean"]
        assert cell["collapsed"] in (True, False)


# Interruption.


def test_resuming_inside_the_loop_is_exact(run, tmp_path: Path) -> None:
    settings = run(objective="asympo", lag="constant:3", updates=8)

    def trainer():
        return assemble_trainer(settings, CHAIN, Verifier(CHAIN))

    objective = OBJECTIVES.get("asympo")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    uninterrupted = trainer()
    list(train(uninterrupted, objective, whole))
    stopped = train(trainer(), objective, cut, checkpoint_every_s=0.0)
    for _ in range(5):
        next(stopped)
    store.append_line(cut / store.METRICS, {"torn": "line"})
    resumed = trainer()
    assert [row["update"] for row in train(resumed, objective, cut)] == [5, 6, 7]
    assert resumed.policy.digest() == uninterrupted.policy.digest()
    rows = [store.read_lines(folder / store.METRICS) for folder in (whole, cut)]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]


def test_a_torn_checkpoint_is_never_seen(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that dies half-way leaves the last whole one."""
    trainer = assemble_trainer(run(), CHAIN, Verifier(CHAIN))
    checkpoint.save(tmp_path, trainer.policy, {})
    before = (tmp_path / store.CHECKPOINT).read_bytes()

    def dies(state, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, trainer.policy, {})
    assert (tmp_path / store.CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [store.CHECKPOINT]


LONGER = ("run", "quick", "objectives=asympo,grpo", "lags=0,6", "updates=40", *SMALL, "--checkpoint-every", "0.05")


def table(folder: Path) -> str:
    return (folder / "report" / "leaderboard.csv").read_text()


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: store.read_json(path)["weights_digest"] for path in folder.glob("*/result.json")}


@pytest.mark.parametrize("whole_group", [True, False], ids=["everything", "parent-only"])
def test_killed_suite_goes_on_bit_for_bit(tmp_path: Path, lagbench, whole_group: bool) -> None:
    """SIGKILL at a random update, twice, then resume: weights and tables equal those of an uninterrupted suite."""
    assert lagbench(*LONGER, "--results", "whole").returncode == 0
    command = [Path(sys.executable).with_name("lagbench"), *LONGER, "--results", "cut"]
    rng = random.Random()
    for _ in range(2):
        process = subprocess.Popen(
            command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        target = lines_written(tmp_path / "cut") + rng.randint(3, 50)
        print(f"killing at {target} lines")  # shown if the test fails
        while process.poll() is None and lines_written(tmp_path / "cut") < target:
            time.sleep(0.005)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    finished = lagbench(*LONGER, "--results", "cut")
    assert finished.returncode == 0, finished.stderr
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole") and len(weights(tmp_path / "cut")) == 5
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


def lines_written(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*/metrics.jsonl"))


# Failures.


def test_a_failed_base_is_told_and_the_rest_still_shown(finished, lagbench, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(finished[0], out)
    (out / "base" / "result.json").unlink()
    store.write_json(out / "base" / "failed.json", {"reason": "NonFinite: version 0", "traceback": None})
    (out / "grpo-constant-3-seed1" / "result.json").unlink()
    ran = lagbench("report", "copy")
    assert ran.returncode == 0 and "base model has not been evaluated: NonFinite: version 0" in ran.stdout
    cells = json.loads(lagbench("report", "copy", "--json").stdout)["cells"]
    assert [(cell["seeds"], cell["unfinished"]) for cell in cells] == [(2, 0), (2, 0), (2, 0), (1, 1)]
    assert cells[0]["base"] is None and cells[0]["collapsed"] is False
    assert cells[3]["interval_over"] == "problems"


def test_another_model_under_the_same_name_is_refused(lagbench, tmp_path: Path) -> None:
    shutil.copytree(locate("tiny"), tmp_path / "mine")
    command = ("run", "quick", "model=mine", "objectives=spo", "lags=0", "updates=1", *SMALL, "--results", "out")
    assert lagbench(*command).returncode == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "mine")
    with torch.no_grad():
        model.lm_head.weight += 1e-3
    model.save_pretrained(tmp_path / "mine")
    ran = lagbench(*command)
    assert ran.returncode == 2 and "holds a cell with other settings (model_digest)" in ran.stderr


def test_divergence_in_the_last_update_is_a_failure(lagbench) -> None:
    cell = ("objectives=spo", "lags=0", "updates=1", *SMALL, "learning_rate=1e36", "clip_norm=1e30")
    ran = lagbench("run", "quick", *cell, "--results", "out")
    assert ran.returncode == 1 and "NonFinite: version 1: the policy's log-probabilities are not finite" in ran.stdout


def test_interrupt_is_told_and_goes_on(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("lagbench"), *LONGER, "--results", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not lines_written(tmp_path / "out"):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted; the same command goes on from the last checkpoints"
    assert "Traceback" not in errors


def test_failed_cells_are_told_and_the_others_go_on(lagbench, tmp_path: Path) -> None:
    infinite = "hyperparameters.spo.neg_scale=inf"
    small = ("objectives=spo,asympo", "lags=0,2", "updates=4", *SMALL)
    ran = lagbench("run", "quick", infinite, *small, "--results", "out")
    assert ran.returncode == 1
    report = json.loads(lagbench("report", "out", "--json").stdout)
    by_cell = {(cell["objective"], cell["lag"]): cell for cell in report["cells"]}
    for lag in (0, 2):
        assert by_cell["asympo", lag]["seeds"] == 1 and by_cell["asympo", lag]["failed"] == 0
        assert by_cell["spo", lag]["seeds"] == 0 and by_cell["spo", lag]["failed"] == 1
        assert by_cell["spo", lag]["pass@1"] is None
        assert by_cell["spo", lag]["behavior_fields"] == []
        assert by_cell["spo", lag]["reasons"] == ["NonFinite: update 0: the loss is -inf"]
    assert "NonFinite: update 0" in ran.stdout and "FAILED" in ran.stderr
    assert "Traceback" in store.read_json(tmp_path / "out" / "spo-constant-0-seed0" / "failed.json")["traceback"]


def test_a_killed_cell_takes_nobody_along(tmp_path: Path) -> None:
    command = [
        Path(sys.executable).with_name("lagbench"),
        *LONGER[:2],
        "objectives=asympo,grpo",
        "lags=0",
        "updates=60",
    ]
    process = subprocess.Popen(
        [*command, *SMALL, "--results", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    victim = tmp_path / "out" / "asympo-constant-0-seed0"
    while process.poll() is None and not lines_written(tmp_path / "out"):
        time.sleep(0.005)
    while process.poll() is None and not (victim / "metrics.jsonl").exists():
        time.sleep(0.005)
    for candidate in Path("/proc").glob("[0-9]*"):
        if str((victim / ".lock").resolve()) in open_files(candidate):
            os.kill(int(candidate.name), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "killed by signal 9 (SIGKILL)" in output
    assert (tmp_path / "out" / "grpo-constant-0-seed0" / "result.json").exists()


def open_files(process: Path) -> list[str]:
    try:
        return [os.readlink(fd) for fd in (process / "fd").iterdir()]
    except OSError:
        return []


# Wrong input: one line, exit code 2.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "quikc"), "unknown suite 'quikc' (did you mean 'quick'"),
        (("run", "quick", "updats=3"), "unknown key 'updats' (did you mean 'updates'"),
        (("run", "quick", "updates=three"), "updates='three' is not valid"),
        (("run", "quick", "model=missing/model/folder"), "no such folder"),
        (("run", "quick", "model=somebody/something"), "no such folder, and as a hub id"),
        (("run", "gsm8k", "data=missing-folder", "model=tiny"), "data=missing-folder: no such folder"),
        (("run", "gsm8k", "data=missing/folder", "model=tiny"), "data=missing/folder: no such folder"),
        (("run", "quick", "objectives=ppo"), "unknown objective 'ppo'"),
        (("run", "quick", "seeds=0,0"), "seeds holds 0 twice"),
        (("run", "quick", "lags=sync,0"), "lags holds constant:0 twice (sync is constant:0)"),
        (("run", "quick", "lags=constant:99999999999999999999"), "lag schedule 'constant:99999999999999999999'"),
        (("run", "quick", "adam_betas=[0.9, 1.5]"), "adam_betas.1=1.5 is not valid"),
        (("run", "quick", "hyperparameters.spo.neg_scale=2020-01-01"), "spo: neg_scale="),
        (("run", "quick", "max_tokens=60"), "context leaves 4 beside max_tokens"),
        (("report", "nowhere"), "nowhere holds no cells"),
        (("convert-gguf", "missing.gguf", "out"), "missing.gguf: no such file"),
    ],
)
def test_wrong_input(lagbench, arguments: tuple[str, ...], expected: str) -> None:
    ran = lagbench(*arguments)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert ran.stderr.startswith("error: ") and expected in ran.stderr


def test_unwritable_results(lagbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = lagbench("run", "quick", "--results", "file/out")
    assert ran.returncode == 2 and "cannot write to file/out" in ran.stderr


def test_a_second_suite_in_the_same_folder_is_refused(lagbench, tmp_path: Path) -> None:
    with FileLock(tmp_path / "out" / ".lock"):
        ran = lagbench("run", "quick", "objectives=spo", "lags=0", "updates=1", *SMALL, "--results", "out")
    assert ran.returncode == 2 and "another lagbench is running in out" in ran.stderr


def test_damaged_results_are_named(lagbench, tmp_path: Path) -> None:
    (tmp_path / "out" / "base").mkdir(parents=True)
    (tmp_path / "out" / "base" / "run.json").write_text('{"id": ')
    ran = lagbench("report", "out")
    assert ran.returncode == 2 and "out/base/run.json is damaged" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["objectives", "tasks", "suites", "lags", "settings"])
def test_lists(lagbench, kind: str) -> None:
    rows = json.loads(lagbench("list", kind, "--json").stdout)
    names = [row["name"] for row in rows]
    printed = lagbench("list", kind)
    assert printed.returncode == 0 and all(name in printed.stdout for name in names)
    if kind == "objectives":
        assert {"name", "module", "function", "reads", "hyperparameters", "source"} <= set(rows[0])
        grpo = next(row for row in rows if row["name"] == "grpo")
        assert grpo["module"] == "lagbench.objectives.grpo" and grpo["function"] == "grpo"
    if kind == "tasks":
        assert {"name", "module", "function", "options", "source"} <= set(rows[0])
