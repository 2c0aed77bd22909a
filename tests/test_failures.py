"""Cells that fail, folders that are taken, input that is wrong: told in one line, and nothing else is harmed."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from small_suites import LAGBENCH, LONGER, SMALL, lines_written
from transformers import AutoModelForCausalLM

from lagbench.harness import store
from lagbench.harness.models import locate


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


def test_failed_cells_are_told_and_the_others_go_on(lagbench, tmp_path: Path) -> None:
    undefined = "hyperparameters.kimi.tau=inf"  # times a squared log-ratio of 0
    small = ("objectives=kimi,asympo", "lags=0,2", "updates=4", *SMALL)
    ran = lagbench("run", "quick", undefined, *small, "--results", "out")
    assert ran.returncode == 1
    report = json.loads((tmp_path / "out" / store.REPORT / "report.json").read_text())
    by_row = {(row["objective"], row["constant_lag"]): row for row in report["rows"]}
    reason = (
        "NonFinite: update 0: objective kimi (lagbench) gave a loss that is nan; "
        "`lagbench check kimi` looks for the reason"
    )
    for lag in (0, 2):
        assert by_row["asympo", lag]["seeds"] == [0] and by_row["asympo", lag]["reasons"] == []
        failed = by_row["kimi", lag]
        assert failed["seeds"] == [0] and failed["by_seed"] == {"0": 0}  # it counts, with a score of 0
        assert failed["reasons"] == [reason] and failed["failed"] == 0
        (collapse,) = failed["collapses"]
        assert (collapse["reason"], collapse["update"]) == ("non_finite", 0)
    assert "NonFinite: update 0" in ran.stdout and "FAILED" in ran.stderr
    assert "Traceback" in store.read_json(tmp_path / "out" / "kimi-constant-0-seed0" / "failed.json")["traceback"]


def test_a_killed_cell_takes_nobody_along(tmp_path: Path) -> None:
    command = [
        LAGBENCH,
        *LONGER[:2],
        "objectives=asympo,grpo",
        "lags=0",
        "updates=30",
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
        (("run", "quick", "lags=sync,0"), "lags holds sync and 0, which are the same"),
        (("run", "quick", "lags=constant:99999999999999999999"), "lag schedule 'constant:99999999999999999999'"),
        (("run", "quick", "adam_betas=[0.9, 1.5]"), "adam_betas.1=1.5 is not valid"),
        (("run", "quick", "hyperparameters.spo.neg_scale=2020-01-01"), "spo: neg_scale="),
        (("run", "quick", "max_tokens=60"), "context leaves 4 beside max_tokens"),
        (("report", "nowhere"), "nowhere is not a folder"),
        (("convert-gguf", "missing.gguf", "out"), "missing.gguf: no such file"),
    ],
)
def test_wrong_input(lagbench_here, arguments: tuple[str, ...], expected: str) -> None:
    ran = lagbench_here(*arguments)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert ran.stderr.startswith("error: ") and expected in ran.stderr


def test_unwritable_results(lagbench_here, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = lagbench_here("run", "quick", "--results", "file/out")
    assert ran.returncode == 2 and "cannot write to file/out" in ran.stderr


def test_a_second_suite_in_the_same_folder_is_refused(lagbench_here, tmp_path: Path) -> None:
    with FileLock(tmp_path / "out" / ".lock"):
        ran = lagbench_here("run", "quick", "objectives=spo", "lags=0", "updates=1", *SMALL, "--results", "out")
    assert ran.returncode == 2 and "another lagbench is running in out" in ran.stderr


def test_damaged_results_are_named(lagbench_here, tmp_path: Path) -> None:
    (tmp_path / "out" / "base").mkdir(parents=True)
    (tmp_path / "out" / "base" / "run.json").write_text('{"id": ')
    ran = lagbench_here("report", "out")
    assert ran.returncode == 2 and "out holds no suite.json" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["objectives", "tasks", "suites", "lags", "settings"])
def test_lists(lagbench_here, kind: str) -> None:
    rows = json.loads(lagbench_here("list", kind, "--json").stdout)
    names = [row["name"] for row in rows]
    printed = lagbench_here("list", kind)
    assert printed.returncode == 0 and all(name in printed.stdout for name in names)
    if kind == "objectives":
        assert {"name", "module", "function", "reads", "hyperparameters", "source"} <= set(rows[0])
        grpo = next(row for row in rows if row["name"] == "grpo")
        assert grpo["module"] == "lagbench.objectives.grpo" and grpo["function"] == "grpo"
    if kind == "tasks":
        assert {"name", "module", "function", "options", "source"} <= set(rows[0])
