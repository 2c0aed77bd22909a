"""Interrupted runs go on to the same bits."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from small_suites import LAGBENCH, LONGER, lines_written, table

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.learn import checkpoint
from lagbench.harness.learn.loop import train
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})


@pytest.mark.parametrize("lag", ["constant:3", "in_flight:3,2"])  # in flight, half-written responses wait, too
def test_resuming_inside_the_loop_is_exact(run, tmp_path: Path, lag: str) -> None:
    settings = run(objective="asympo", lag=lag, updates=8)

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


@pytest.mark.parametrize("saved", [0, 2])
def test_evaluations_of_later_versions_do_not_outlive_a_restart(run, tmp_path: Path, saved: int) -> None:
    """They may be of other weights, as where lag follows the clock; that of the version gone back to is of these."""
    trainer = assemble_trainer(run(updates=4), CHAIN, Verifier(CHAIN))
    trainer.policy.version = saved
    if saved:
        checkpoint.save(tmp_path, trainer.policy, {})
    for version in range(5):
        store.write_lines(tmp_path / store.attempts_file(version), [])
    checkpoint.restore(tmp_path, trainer.policy)
    left = {path.name for path in tmp_path.glob(store.attempts_file("*"))}
    assert trainer.policy.version == saved and left == {store.attempts_file(version) for version in range(saved + 1)}


def test_a_torn_checkpoint_is_never_seen(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that dies half-way leaves the last whole one."""
    trainer = assemble_trainer(run(), CHAIN, Verifier(CHAIN))
    checkpoint.save(tmp_path, trainer.policy, {})
    before = (tmp_path / store.CHECKPOINT).read_bytes()

    def dies(state, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, trainer.policy, {})
    assert (tmp_path / store.CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [store.CHECKPOINT]


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: store.read_json(path)["weights_digest"] for path in folder.glob("*/result.json")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The suite, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run([LAGBENCH, *LONGER, "--results", "whole"], cwd=folder, check=True, capture_output=True)
    return folder / "whole"


@pytest.mark.parametrize("whole_group", [True, False], ids=["everything", "parent-only"])
def test_killed_suite_goes_on_bit_for_bit(tmp_path: Path, lagbench, whole: Path, whole_group: bool) -> None:
    """SIGKILL at a random update, then resume: weights and tables equal those of an uninterrupted suite.

    `benchmarks/survival.py` does so twenty times.
    """
    command = [LAGBENCH, *LONGER, "--results", "cut"]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    target = random.Random().randint(3, 20)
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
    assert weights(tmp_path / "cut") == weights(whole) and len(weights(tmp_path / "cut")) == 4
    assert table(tmp_path / "cut") == table(whole)


def test_a_damaged_checkpoint_is_named(run, tmp_path: Path) -> None:
    trainer = assemble_trainer(run(), CHAIN, Verifier(CHAIN))
    checkpoint.save(tmp_path, trainer.policy, {})
    path = tmp_path / store.CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint\.pt is damaged .*delete it, the cell then starts over"):
        checkpoint.restore(tmp_path, trainer.policy)


def test_interrupt_is_told_and_goes_on(tmp_path: Path) -> None:
    command = [LAGBENCH, *LONGER, "--results", "out"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while process.poll() is None and not lines_written(tmp_path / "out"):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted; the same command goes on from the last checkpoints"
    assert "Traceback" not in errors
