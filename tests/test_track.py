"""Trackers show what metrics.jsonl holds, and change and stop nothing."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import Run
from lagbench.harness.learn.loop import train
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import Execution, assemble_trainer, run_cell
from lagbench.harness.track import WRITERS, numbers, open_tracker, require_tracker
from lagbench.harness.verify import Verifier

ROWS = [
    {"update": update, "loss": update + 0.25, "objective": {"surrogate": -1}, "prompts": "1f"} for update in range(6)
]
RESULT = {"updates": 6, "scores": {"pass@1": {"mean": 0.75, "low": 0.5, "high": 0.875}}}
SCORES = {"scores/pass@1/mean": 0.75, "scores/pass@1/low": 0.5, "scores/pass@1/high": 0.875}


def carry_out(run: Run, folder: Path, tracker: str | None) -> dict:
    run_cell(run, folder, Execution("lagbench run", 1, 60.0, tracker), lambda version: None)
    return store.read_json(folder / store.RESULT)


def shown(cell: Path) -> EventAccumulator:
    """What TensorBoard reads of a cell."""
    return EventAccumulator(str(cell.parent / "tracking" / "tensorboard" / cell.name)).Reload()


def curves(events: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def as_float32(rows: list[dict], result: dict) -> dict[str, list[tuple[int, float]]]:
    """The curves that TensorBoard ought to show: it keeps float32."""
    points = [(row["update"], numbers({key: row[key] for key in row if key != "update"})) for row in rows]
    points.append((result["updates"], numbers({"scores": result["scores"]})))
    tags = {tag for _, values in points for tag in values}
    return {tag: [(step, float(np.float32(values[tag]))) for step, values in points if tag in values] for tag in tags}


@pytest.fixture(scope="module")
def settings() -> Run:
    return Run(
        objective="asympo",
        hyperparameters={"nll_floor": 0.001},
        lag="constant:1",
        seed=0,
        updates=3,
        prompts_per_update=4,
        responses_per_prompt=4,
        learning_rate=1e-3,
        eval_problems=4,
        eval_samples=2,
    )


@pytest.fixture(scope="module")
def untracked(settings: Run, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A cell's result without a tracker, which leaves no folder for one."""
    folder = tmp_path_factory.mktemp("untracked") / "cell"
    result = carry_out(settings, folder, None)
    assert not (folder.parent / "tracking").exists()
    return result


def test_tensorboard_shows_what_the_files_hold(settings: Run, untracked: dict, tmp_path: Path, capsys) -> None:
    cell = tmp_path / "cell"
    result = carry_out(settings, cell, "tensorboard")
    assert result["weights_digest"] == untracked["weights_digest"] and result["scores"] == untracked["scores"]
    events, rows = shown(cell), store.read_lines(cell / store.METRICS)
    assert len(rows) == 3 and "objective/surrogate" in curves(events)
    assert curves(events) == as_float32(rows, result)
    told = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert all(text in told for text in (b"learning_rate", b"hyperparameters/nll_floor", b"asympo", b"[0.9, 0.95]"))
    assert b"collapse" not in told
    assert capsys.readouterr() == ("", "")


def test_a_tracker_that_cannot_begin_is_told_once(settings: Run, untracked: dict, tmp_path: Path, capsys) -> None:
    (tmp_path / "tracking").write_text("no folder")
    assert carry_out(settings, tmp_path / "cell", "tensorboard")["weights_digest"] == untracked["weights_digest"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("Warning: tensorboard of cell: NotADirectoryError: ")
    assert told.endswith("; the cell goes on without it\n")


def test_a_full_disk_is_told_once(settings: Run, tmp_path: Path, capsys) -> None:
    tracker = open_tracker("tensorboard", settings, tmp_path / "cell")
    tracker.log(0, ROWS[0])
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), tracker.writer.file.fileno())
    for row in ROWS[1:]:
        tracker.log(row["update"], row)
    tracker.close(RESULT)
    assert capsys.readouterr().err == (
        "Warning: tensorboard of cell: OSError: [Errno 28] No space left on device; the cell goes on without it\n"
    )
    assert curves(shown(tmp_path / "cell"))["loss"] == [(0, 0.25)]


@pytest.mark.parametrize("before", ["tensorboard", None])  # the tracker of the process that is killed
def test_after_an_interruption_every_update_is_there_once(run, tmp_path: Path, before: str | None) -> None:
    """Killed after four updates, the last checkpoint after two: two are trained, and logged, again."""
    chain, objective, cell = load_task("chain", {}), OBJECTIVES.get("asympo"), tmp_path / "cell"
    settings = run(objective="asympo", lag="constant:2", updates=5)
    cell.mkdir()

    def rows() -> Iterator[dict]:
        return train(assemble_trainer(settings, chain, Verifier(chain)), objective, cell, checkpoint_every_s=0.0)

    killed = open_tracker(before, settings, cell)  # never closed
    for row in islice(rows(), 4):
        killed.log(row["update"], row)
        if row["update"] == 1:
            checkpoint = (cell / store.CHECKPOINT).read_bytes()
    (cell / store.CHECKPOINT).write_bytes(checkpoint)
    if before:
        assert [step for step, _ in curves(shown(cell))["loss"]] == [0, 1, 2, 3]
    resumed, updates = open_tracker("tensorboard", settings, cell), []
    for row in rows():
        resumed.log(row["update"], row)
        updates.append(row["update"])
    result = RESULT | {"updates": 5}
    resumed.close(result)
    assert updates == [2, 3, 4]
    assert curves(shown(cell)) == as_float32(store.read_lines(cell / store.METRICS), result)


def test_a_cell_that_was_only_evaluated_by_its_last_process_is_there_in_full(settings: Run, tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    cell.mkdir()
    store.write_lines(cell / store.METRICS, ROWS)
    updates = settings.model_copy(update={"updates": 6})
    open_tracker("tensorboard", updates, cell).close(RESULT)
    assert curves(shown(cell)) == as_float32(ROWS, RESULT)


def test_a_failed_cell_keeps_its_curves(settings: Run, tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", settings, tmp_path / "cell")
    tracker.log(0, ROWS[0])
    tracker.close(None)
    assert curves(shown(tmp_path / "cell")) == {"loss": [(0, 0.25)], "objective/surrogate": [(0, -1.0)]}


def test_an_unknown_tracker_is_an_input_error(lagbench_here, tmp_path: Path) -> None:
    ended = lagbench_here("run", "quick", "--tracker", "tensorbord", "--results", "out")
    assert ended.returncode == 2 and not (tmp_path / "out").exists()
    assert ended.stderr == (
        "error: unknown tracker 'tensorbord' (did you mean 'tensorboard'?); expected tensorboard, wandb, trackio\n"
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_package_is_an_input_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the working directory holds a folder of that name, as W&B leaves one."""
    (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match=rf"^logging to {name} needs an extra; run: pip install 'lagbench\[{name}\]'$"):
        require_tracker(name)


def test_nothing_is_imported_unless_asked() -> None:
    names = ", ".join(map(repr, WRITERS))
    code = f"""
import sys
from lagbench.harness.track import open_tracker
open_tracker(None, None, None).log(0, {{}})
print({{{names}}} & {{*sys.modules}})
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


A_PROCESS = """
import json, os, sys
from pathlib import Path
from lagbench.harness.config import Run
from lagbench.harness.track import open_tracker
name, first, rows, result = sys.argv[1], int(sys.argv[2]), *map(json.loads, sys.argv[3:])
tracker = open_tracker(name, Run(objective="asympo", lag="sync", seed=0, updates=6), Path("results/cell"))
for row in rows[first:]:
    tracker.log(row["update"], row)
if result:
    tracker.close(result)
os._exit(0)  # as a cell's process ends
"""


def log_elsewhere(name: str, folder: Path, first: int, rows: list[dict], result: dict | None) -> None:
    """Track rows from `first` on in a process with an empty home; it must leave nothing else and nobody behind."""
    home, cell = folder / "home", folder / "results" / "cell"
    home.mkdir(exist_ok=True)
    cell.mkdir(parents=True, exist_ok=True)
    store.write_lines(cell / store.METRICS, rows)
    services = ("WANDB", "TRACKIO", "HF_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(services)}
    mark = f"LAGBENCH_TEST={folder}"
    command = [sys.executable, "-c", A_PROCESS, name, str(first), json.dumps(rows), json.dumps(result)]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=clean | {"HOME": str(home), "TMPDIR": str(folder), "LAGBENCH_TEST": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not list(home.iterdir())
    waited = time.monotonic()
    while alive := [path for path in Path("/proc").glob("[0-9]*/environ") if mark in _text(path)]:
        assert time.monotonic() - waited < 30, alive
        time.sleep(0.05)
    assert {path.name for path in folder.iterdir()} <= {"home", "results"}


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:  # it has ended, or is not ours
        return ""


def wandb_records(path: Path):
    """The records of W&B's own file: protobuf in LevelDB's log format, blocks of 32 KiB after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, body = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        body += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(body)
            body = b""
            yield record


def test_wandb_without_login_is_written_offline_and_in_full(tmp_path: Path) -> None:
    """A process that ends without closing, then one that goes on from update 3."""
    pytest.importorskip("wandb", reason="W&B is not installed: pip install 'lagbench[wandb]'")
    log_elsewhere("wandb", tmp_path, 0, ROWS[:5], None)
    log_elsewhere("wandb", tmp_path, 3, ROWS, RESULT)
    (path,) = (tmp_path / "results" / "tracking" / "wandb").glob("offline-run-*/*.wandb")
    records = list(wandb_records(path))
    history = [
        (
            record.history.step.num,
            {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item},
        )
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [step for step, _ in history] == [0, 1, 2, 3, 4, 5]
    for (_, items), row in zip(history, ROWS, strict=True):
        kept = {key: json.loads(value) for key, value in items.items() if not key.startswith("_")}
        assert kept == {"loss": row["loss"], "objective/surrogate": -1}
    (begun,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (begun.display_name, begun.run_group, begun.project) == ("cell", "results", "lagbench")
    updates = [item for record in records for item in record.summary.update]
    assert SCORES.items() <= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in updates}.items()


def test_trackio_is_written_in_full(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'lagbench[trackio]'")
    log_elsewhere("trackio", tmp_path, 0, ROWS[:5], None)
    log_elsewhere("trackio", tmp_path, 3, ROWS, RESULT)
    with sqlite3.connect(tmp_path / "results" / "tracking" / "trackio" / "lagbench.db") as database:
        found = database.execute("select run_name, step, metrics from metrics order by step").fetchall()
        ((config,),) = database.execute("select config from configs").fetchall()
    assert [(name, step) for name, step, _ in found] == [("cell", step) for step in range(7)]
    expected = [{"loss": row["loss"], "objective/surrogate": -1} for row in ROWS] + [SCORES]
    assert [json.loads(values) for _, _, values in found] == expected
    assert json.loads(config)["objective"] == "asympo" and json.loads(config)["_Group"] == "results"


def test_every_tracker_has_an_extra() -> None:
    extras = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert WRITERS.keys() <= extras["optional-dependencies"].keys()
