"""Damaged files are found and named, and cost their own cell only; a full disk ends in one line and costs nothing."""

import itertools
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from small_suites import LAGBENCH, SMALL, table

from lagbench.harness import store
from lagbench.harness.learn.loop import train
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.integrity import damage
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})
SUITE = ("run", "quick", "objectives=grpo", "baseline=grpo", "lags=0,2", "updates=3", *SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("integrity")
    ran = subprocess.run([LAGBENCH, *SUITE, "--results", "out"], cwd=folder, capture_output=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    return folder / "out"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FILES = ["result.json", "trace.jsonl", "metrics.jsonl", "attempts-3.jsonl", "plan.json", "model/model.safetensors"]


@pytest.mark.parametrize(("name", "harm"), list(itertools.product(FILES, [truncate, flip, Path.unlink])))
def test_every_damaged_file_of_a_finished_cell_is_named(copied: Path, name: str, harm) -> None:
    cell = copied / "grpo-constant-2-seed0"
    assert damage(cell) is None
    harm(cell / name)
    if (name, harm) == ("result.json", Path.unlink):
        assert damage(cell) is None  # it has not finished
    else:
        assert (damage(cell) or "").startswith(f"{name}: ")


def test_only_the_damaged_cells_are_run_again(copied: Path, lagbench) -> None:
    before = table(copied)
    results = {path: path.stat().st_mtime_ns for path in copied.glob("*/result.json")}
    truncate(copied / "grpo-constant-2-seed0" / "metrics.jsonl")
    truncate(copied / "grpo-constant-0-seed0" / "run.json")
    ran = lagbench(*SUITE, "--results", str(copied))
    assert ran.returncode == 0
    assert "grpo-constant-2-seed0: damaged, the cell is run again: metrics.jsonl: not what the cell wrote" in ran.stderr
    assert "grpo-constant-0-seed0/run.json is damaged" in ran.stderr and "1 finished, 2 to run" in ran.stderr
    again = {path.parent.name for path in results if path.stat().st_mtime_ns != results[path]}
    assert again == {"grpo-constant-2-seed0", "grpo-constant-0-seed0"}
    assert table(copied) == before


@pytest.fixture
def interrupted(run, tmp_path: Path) -> Path:
    """A cell that was stopped after three of its five updates."""
    trainer = assemble_trainer(run(lag="in_flight:2"), CHAIN, Verifier(CHAIN))
    stopped = train(trainer, OBJECTIVES.get("policy_gradient"), tmp_path, checkpoint_every_s=0.0)
    for _ in range(3):
        next(stopped)
    stopped.close()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "harm", "problem"),
    [
        ("checkpoint.pt", truncate, "checkpoint.pt: BadZipFile: "),
        ("checkpoint.pt", flip, "checkpoint.pt: "),
        ("metrics.jsonl", lambda path: store.keep_lines(path, 2), "metrics.jsonl or trace.jsonl: not "),
        ("metrics.jsonl", flip, "metrics.jsonl or trace.jsonl: "),
        ("trace.jsonl", Path.unlink, "metrics.jsonl or trace.jsonl: "),
        ("trace.jsonl", lambda path: path.write_text(path.read_text().replace("in_flight:2", "in_flight:3")),
         "metrics.jsonl or trace.jsonl: "),
    ],
)  # fmt: skip
def test_damage_of_an_interrupted_cell_is_named(interrupted: Path, name: str, harm, problem: str) -> None:
    assert damage(interrupted) is None
    harm(interrupted / name)
    assert (damage(interrupted) or "").startswith(problem)


def test_a_torn_last_line_is_no_damage(interrupted: Path, run) -> None:
    with (interrupted / "metrics.jsonl").open("ab") as file:
        file.write(b'{"update": 3, "los\xff')
    assert damage(interrupted) is None
    trainer = assemble_trainer(run(lag="in_flight:2"), CHAIN, Verifier(CHAIN))
    assert [row["update"] for row in train(trainer, OBJECTIVES.get("policy_gradient"), interrupted)] == [3, 4]


def test_what_others_put_into_a_folder_or_remove_for_room_is_no_damage(copied: Path) -> None:
    cell = copied / "grpo-constant-2-seed0"
    (cell / "model" / ".DS_Store").write_text("")
    (cell / "model" / "gguf").mkdir()
    assert damage(cell) is None
    shutil.rmtree(cell / "model")
    assert damage(cell) is None


def test_a_full_disk_is_one_line_and_what_is_finished_stays(finished: Path, lagbench, tmp_path: Path) -> None:
    """The kernel refuses files above a size: to the program the same as a disk without room."""

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))

    shutil.copytree(finished, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "grpo-constant-2-seed0")
    ran = lagbench(*SUITE, "--results", "out", preexec_fn=small_files_only)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1] == (
        "error: cannot write to out/grpo-constant-2-seed0: the disk is full or read-only; finished cells are kept: "
        "make room, then give the same command again"
    )
    assert len(list((tmp_path / "out").glob("*/result.json"))) == 2
    again = lagbench(*SUITE, "--results", "out")
    assert again.returncode == 0 and "2 finished, 1 to run" in again.stderr
    assert table(tmp_path / "out") == table(finished)


def test_a_read_only_folder_is_one_line(lagbench) -> None:
    ran = lagbench(*SUITE, "--results", "/sys/lagbench")
    assert ran.returncode == 2 and ran.stderr.startswith("error: cannot write to /sys/lagbench: ")
    assert len(ran.stderr.splitlines()) == 1
