"""Real asynchrony: lag 0 is synchronous training, a trace replays what happened, and no death loses or repeats work."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from loopback import in_loopback
from rich.console import Console
from small_suites import LAGBENCH

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import LATER, Run, load_suite
from lagbench.harness.lag.trace import read_trace
from lagbench.harness.learn.loop import train
from lagbench.harness.live.actors import Learner
from lagbench.harness.live.crew import DEATHS, Member, check_engines
from lagbench.harness.live.driver import LEDGER
from lagbench.harness.live.ledger import account
from lagbench.harness.live.rules import Rules
from lagbench.harness.live.run import claim, live_cells
from lagbench.harness.live.table import live_table
from lagbench.harness.live.table import row as row_of
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.report.results import read_results
from lagbench.harness.rollout.vllm_engine import GPU_FRACTION
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.integrity import start_over
from lagbench.harness.verify import Verifier

SMALL = ("objectives=asympo", "prompts_per_update=4", "responses_per_prompt=4", "learning_rate=1e-3")
EXAM = ("eval_problems=4", "eval_samples=4")
TIMES = {"generate_s", "learn_s"}
CELL = "asympo-live-seed0"


@pytest.fixture
def live(tmp_path: Path, loopback: None) -> Callable[..., subprocess.Popen[str]]:
    def start(updates: int, *options: str) -> subprocess.Popen[str]:
        command = (LAGBENCH, "live", "quick", *SMALL, *EXAM, f"updates={updates}", "--results", "live", *options)
        return subprocess.Popen(
            in_loopback(*command), cwd=tmp_path, text=True, start_new_session=True, stderr=subprocess.PIPE
        )

    return start


def finished(process: subprocess.Popen[str], cell: Path) -> dict[str, Any]:
    """The result of a live run, whose ledger adds up and whose files have one line for each update."""
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    result, run = store.read_json(cell / store.RESULT), store.read_json(cell / store.RUN)
    account(store.read_lines(cell / LEDGER), run["updates"], run["prompts_per_update"])
    assert [row["update"] for row in store.read_lines(cell / store.METRICS)] == list(range(run["updates"]))
    assert len(read_trace(cell / store.TRACE).source) == run["updates"]
    assert not (cell / store.CHECKPOINT).exists()
    return result


def rows(cell: Path) -> list[dict[str, Any]]:
    """What every update measured, but for the times."""
    lines = store.read_lines(cell / store.METRICS)
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def replay(cell: Path, folder: Path) -> str:
    """The trace of a live cell, carried out by the simulated loop; returns the digest of the final weights."""
    task, folder = load_task("chain", {}), folder / "replay"
    folder.mkdir()
    kept = {key: value for key, value in store.read_json(cell / store.RUN).items() if key in Run.model_fields}
    run = Run(**kept | {"lag": f"trace:{cell / store.TRACE}"})
    trainer = assemble_trainer(run, task, Verifier(task))
    list(train(trainer, OBJECTIVES.get("asympo"), folder))
    return trainer.policy.digest()


def wait_for(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not holds():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[1] if process.poll() else "late"
        time.sleep(0.01)


def events(cell: Path, name: str) -> list[dict[str, Any]]:
    """Whole lines of the ledger, as they are being written."""
    path = cell / LEDGER
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [line for line in map(store.json.loads, whole.splitlines()) if line["event"] == name]


def kill(process: subprocess.Popen[str], cell: Path, who: str) -> None:
    """kill -9, from outside the namespace that the process and its number are in."""
    number = next(line["pid"] for line in events(cell, "began") if line["who"] == who)
    inside = os.readlink(f"/proc/{process.pid}/ns/pid_for_children")
    for found in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # one that has just ended
            if os.readlink(found / "ns" / "pid") == inside and own_number(found) == number:
                os.kill(int(found.name), signal.SIGKILL)
                return
    raise ProcessLookupError(f"{who}, {number}")


def own_number(process: Path) -> int:
    """As the process knows it itself."""
    return next(int(line.split()[-1]) for line in (process / "status").open() if line.startswith("NSpid:"))


def test_one_worker_at_bound_0_is_synchronous_training_bit_for_bit(tmp_path: Path, live, lagbench) -> None:
    process = live(5, "--workers", "1", "--max-lag", "0")
    sync = lagbench("run", "quick", *SMALL, *EXAM, "updates=5", "lag=0", "--results", "run")
    assert sync.returncode == 0, sync.stderr
    result = finished(process, tmp_path / "live" / CELL)
    planned = tmp_path / "run" / "asympo-constant-0-seed0"
    assert result["weights_digest"] == store.read_json(planned / store.RESULT)["weights_digest"]
    assert rows(tmp_path / "live" / CELL) == rows(planned)
    assert result["lag_max"] == 0 and result["live"]["waits"] > 0
    attempts = store.attempts_file(5)
    assert (tmp_path / "live" / CELL / attempts).read_bytes() == (planned / attempts).read_bytes()


def test_killed_workers_are_replaced_and_the_trace_replays_to_rounding(tmp_path: Path, live) -> None:
    """Two workers in flight, both killed. They draw parts of what the replay draws as one batch, so bits may differ."""
    cell = tmp_path / "live" / CELL
    process = live(25, "--workers", "2", "--max-lag", "3", "--in-flight", "4", "--broadcast-every", "2")
    wait_for(process, lambda: len(events(cell, "fed")) >= 4 and len(events(cell, "began")) == 4)
    kill(process, cell, "worker 0")
    kill(process, cell, "worker 1")
    result = finished(process, cell)
    assert result["live"]["workers_lost"] == 2 and result["live"]["learners_lost"] == 0
    assert len({line["pid"] for line in events(cell, "began") if line["who"].startswith("worker")}) > 2
    plan = read_trace(cell / store.TRACE)
    assert 0 < result["lag_max"] <= 3 and plan.lag.max() <= 3
    assert len(plan.switches) and not plan.switches[:, 2:].T[0].min() % 4
    assert {*plan.source.ravel().tolist(), *plan.switches[:, 3].tolist()} <= set(range(0, 25, 2))
    replay(cell, tmp_path)
    for row, again in zip(rows(cell), rows(tmp_path / "replay"), strict=True):
        assert row["prompts"] == again["prompts"]
        assert row["response_tokens"] == again["response_tokens"] and row["lag_mean"] == again["lag_mean"]
        assert [row[key] for key in ("loss", "nll", "gradient_norm")] == pytest.approx(
            [again[key] for key in ("loss", "nll", "gradient_norm")], rel=1e-3, abs=1e-5
        )


def test_a_learner_killed_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path, live, lagbench) -> None:
    """What it had learned since is fed to it again. One worker draws a batch in one call, and so does the replay."""
    cell = tmp_path / "live" / CELL
    process = live(150, "--workers", "1", "--max-lag", "4", "--checkpoint-every", "1")
    wait_for(process, (cell / store.CHECKPOINT).exists)
    fed = len(events(cell, "fed"))
    wait_for(process, lambda: len(events(cell, "fed")) >= fed + 3)
    kill(process, cell, "learner")
    result = finished(process, cell)
    assert result["live"]["learners_lost"] == 1
    assert result["live"]["repeated"]["updates"] >= 1 and result["live"]["repeated"]["differed"] == 0
    first, second = (line["version"] for line in events(cell, "restored"))
    assert first == 0 < second
    trace = f"lag=trace:{cell / store.TRACE}"
    found = lagbench("run", "quick", *SMALL, *EXAM, "updates=150", trace, "objectives=asympo,grpo", "--results", "run")
    assert found.returncode == 0, found.stderr
    again, other = (next((tmp_path / "run").glob(f"{name}-*")) for name in ("asympo", "grpo"))
    assert store.read_json(again / store.RESULT)["weights_digest"] == result["weights_digest"]
    assert rows(again) == rows(cell)
    assert store.read_json(other / store.RESULT)["realized_lag_digest"] == result["realized_lag_digest"]


def test_what_is_too_old_is_drawn_again_and_a_killed_command_goes_on(tmp_path: Path, live) -> None:
    """Bound 0 with a queue of two updates: everything that is drawn ahead is dropped."""
    cell = tmp_path / "live" / CELL
    options = ("--workers", "1", "--max-lag", "0", "--at-bound", "drop", "--queue", "2", "--checkpoint-every", "0.5")
    process = live(25, *options)
    wait_for(process, (cell / store.CHECKPOINT).exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    result = finished(live(25, *options), cell)
    assert result["lag_max"] == 0 and result["live"]["groups_dropped"] > 0
    assert events(cell, "restored")[-1]["version"] > 0
    assert replay(cell, tmp_path) == result["weights_digest"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("lags=3",), "lagbench live measures lag instead of setting it; bound it by --max-lag, as in --max-lag 8"),
        (("learner_processes=2",), "learner_processes=2: a live learner is one process; set learner_processes=1"),
        (("--at-bound", "stop"), "--at-bound 'stop' is not valid: expected wait or drop"),
        (("updates=0",), "updates=0: nothing would be trained; set updates=1 or more"),
        (
            ("--results", "/proc/live"),
            "cannot write to /proc/live: No such file or directory; use another --results folder",
        ),
        (
            ("--results", "/etc/hostname"),
            "cannot write to /etc/hostname: File exists; use another --results folder",
        ),
    ],
)
def test_wrong_input_is_told_in_one_line(lagbench_here: Callable, arguments: tuple[str, ...], line: str) -> None:
    ran = lagbench_here("live", "quick", *arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"error: {line}\n")


def test_a_process_that_dies_again_and_again_ends_the_command(tmp_path: Path) -> None:
    learner = Member("learner", Learner, {}, deaths=DEATHS - 1)
    with pytest.raises(InputError, match=r"the learner died 3 times in a row \(killed\); is there enough memory\?"):
        learner.replace(tmp_path, "killed")


def test_a_folder_of_an_earlier_version_is_taken_up_and_other_rules_are_refused(tmp_path: Path) -> None:
    """A `run.json` that lacks a key stands for the value that came before it."""
    runs = live_cells(load_suite("quick", ["objectives=asympo"]))
    path = tmp_path / CELL / store.RUN
    store.write_json(path, {key: value for key, value in runs[0].model_dump(mode="json").items() if key not in LATER})
    claim(runs, Rules(), {}, tmp_path)
    assert store.read_json(path)["sampler"] == "torch"
    with pytest.raises(InputError, match=r"holds a cell with other settings \(max_lag\)"):
        claim(runs, Rules(max_lag=1), {}, tmp_path)
    with pytest.raises(InputError, match=r"holds a cell with other settings \(sampler\)"):
        claim([runs[0].model_copy(update={"sampler": "vllm"})], Rules(), {}, tmp_path)


def test_a_cell_that_starts_over_keeps_its_rules_and_its_failure_is_told(tmp_path: Path) -> None:
    (run,) = live_cells(load_suite("quick", ["objectives=asympo"]))
    cell = tmp_path / run.name
    claim([run], Rules(), {}, tmp_path)
    assert row_of(cell)[:3] == ["asympo", "0", "failed: not finished"]
    store.write_json(cell / store.FAILED, {"reason": "NonFinite: the loss [/b] is not finite, " + "so " * 40})
    console = Console(file=StringIO(), width=200)
    console.print(live_table([cell]))
    assert "failed: NonFinite: the loss [/b] is not finite, so so so so so ..." in console.file.getvalue()
    start_over(cell)
    assert {path.name for path in cell.iterdir()} == {store.RUN, store.LIVE_RULES}
    with pytest.raises(InputError, match="holds cells of `lagbench live`; to report one, replay its trace: lagbench"):
        read_results(tmp_path, "live")


def test_engines_that_would_not_fit_on_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GPU_FRACTION, raising=False)
    check_engines(0)  # no GPU
    check_engines(2)  # 0.4 each
    with pytest.raises(InputError, match=rf"3 processes share a GPU.* 0\.4 of its memory: set {GPU_FRACTION}=0\.26 or"):
        check_engines(3)
    monkeypatch.setenv(GPU_FRACTION, "0.26")
    check_engines(3)
