"""Sweeps on a Ray cluster: the same results as here, whatever dies in between."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import in_loopback
from small_suites import LAGBENCH, SMALL, lines_written, table

from lagbench.harness import store

RAY = str(Path(LAGBENCH).with_name("ray"))
HEAD = "127.0.0.1:6399"
SUITE = (
    "run",
    "quick",
    "objectives=asympo,grpo",
    "baseline=grpo",
    "lags=0",
    "updates=40",
    *SMALL,
    "--checkpoint-every",
    "0.05",
)
ON_RAY = [LAGBENCH, *SUITE, "executor=ray", "--results", "out"]
TIMEOUT_S = 900  # minutes only where other work holds the cores
Start = Callable[[str], "subprocess.Popen[str]"]
pytestmark = pytest.mark.timeout(TIMEOUT_S)
ASYMPO, GRPO = "asympo-constant-0-seed0", "grpo-constant-0-seed0"


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """The suite by the local executor."""
    folder = tmp_path_factory.mktemp("here")
    subprocess.run([LAGBENCH, *SUITE, "--results", "out"], cwd=folder, check=True, capture_output=True)
    return folder / "out"


@pytest.fixture
def start(tmp_path: Path, loopback: None) -> Iterator[Start]:
    """Starts a script in namespaces of its own; all that it leaves ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(script: str) -> subprocess.Popen[str]:
        pipe, command = subprocess.PIPE, in_loopback("sh", "-c", script)
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_killed_driver_and_the_same_command_again(here: Path, start: Start, tmp_path: Path) -> None:
    """What had finished is skipped, the rest goes on, although the first command's cluster may still be ending."""
    process = start(f"{shlex.join(ON_RAY)}; {shlex.join(ON_RAY)}")
    out = tmp_path / "out"
    wait_for(process, lambda: any(out.glob("*/result.json")) and lines_written(out) > 0)
    os.kill(driver(tmp_path), signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert len(finished) < 3
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    first, again = map(int, re.findall(r"3 cells in out: (\d) finished", errors))
    assert first == 0 and len(finished) <= again < 3  # tasks outlive their driver by a moment
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    assert_same(out, here)


def test_a_dead_cell_and_a_dead_worker_take_nobody_along(start: Start, tmp_path: Path) -> None:
    process = start(shlex.join(ON_RAY))
    victims = {ASYMPO: cell_process, GRPO: lambda folder: parent(cell_process(folder))}

    def begun() -> list[str]:
        return [cell for cell in victims if (tmp_path / "out" / cell / store.METRICS).exists()]

    while victims:  # in the order in which Ray starts them
        wait_for(process, begun)
        cell = begun()[0]
        os.kill(victims.pop(cell)(tmp_path / "out" / cell), signal.SIGKILL)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    reasons = [store.read_json(tmp_path / "out" / cell / store.FAILED)["reason"] for cell in (ASYMPO, GRPO)]
    assert reasons[0] == "the cell's process ended early: killed by signal 9 (SIGKILL)"
    assert reasons[1].startswith("the cell's task ended early: WorkerCrashedError")
    assert (tmp_path / "out" / "base" / store.RESULT).exists() and errors.count("FAILED: the cell's") == 2
    assert process.returncode == 1, errors


def test_cells_on_every_node(here: Path, start: Start, tmp_path: Path) -> None:
    process = start(f"{two_nodes()}\n{shlex.join([*ON_RAY, f'address={HEAD}'])}")
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    assert_same(tmp_path / "out", here)
    machines = {store.read_json(path)["machine"] for path in (tmp_path / "out").glob(f"*/{store.ENVIRONMENT}")}
    assert machines == {"node-a", "node-b"}


def test_blind_nodes_and_absent_clusters(start: Start, tmp_path: Path) -> None:
    """One line each, and no cell has begun."""
    (tmp_path / "out").mkdir()
    large = f"address={HEAD} learner_processes=2 --results large"
    commands = (f"address={HEAD}", "address=127.0.0.1:1", "address=somewhere", large)
    runs = [f"{shlex.join(ON_RAY)} {more}; echo $? >&2" for more in commands]
    process = start("\n".join([two_nodes(hidden=tmp_path / "out"), *runs]))
    _, errors = process.communicate(timeout=TIMEOUT_S)
    told = [line for line in errors.splitlines() if line.startswith("error: ") or line.isdigit()]
    assert told == [
        f"error: node node-b (127.0.0.1) of the Ray cluster does not see {tmp_path / 'out'}; all nodes have to share "
        "it: give the command, and --results, in a folder that they share",
        "2",
        "error: address=127.0.0.1:1: no Ray cluster answers there: Connection refused",
        "2",
        "error: address=somewhere is not valid: expected HOST:PORT or ray://HOST:PORT",
        "2",
        "error: a cell needs 2 CPUs on one node (learner_processes=2), and the largest node has 1; "
        "set learner_processes=1",
        "2",
    ]
    assert "Traceback" not in errors and not any(tmp_path.glob("*/*/metrics.jsonl"))


def two_nodes(hidden: Path | None = None) -> str:
    """A script that starts two nodes of one CPU each, node-a at HEAD; node-b has a folder of its own at `hidden`."""
    ray = f"{RAY} start --num-cpus=1 --object-store-memory=100000000 --disable-usage-stats"
    hide = f"mount -t tmpfs none {hidden} &&" if hidden else ""
    return (
        "export RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0\n"
        f"unshare --uts sh -c 'hostname node-a && {ray} --head --port=6399 --include-dashboard=false' >/dev/null\n"
        f"unshare --uts --mount sh -c '{hide} hostname node-b && {ray} --address={HEAD}' >/dev/null"
    )


def wait_for(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def assert_same(folder: Path, other: Path) -> None:
    """Weights and tables of two results folders are equal."""
    digests = [
        {path.parent.name: store.read_json(path)["weights_digest"] for path in one.glob("*/result.json")}
        for one in (folder, other)
    ]
    assert digests[0] == digests[1] and len(digests[0]) == 3
    assert table(folder) == table(other)


def driver(folder: Path) -> int:
    """The process of the command that runs in `folder`."""
    return next(
        int(one.name)
        for one in Path("/proc").glob("[0-9]*")
        if arguments(one)[1:2] == [LAGBENCH] and os.readlink(one / "cwd") == str(folder)
    )


def arguments(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return []


def cell_process(folder: Path) -> int:
    """The process that holds a cell's lock."""
    return next(int(one.name) for one in Path("/proc").glob("[0-9]*") if str(folder / store.LOCK) in open_files(one))


def open_files(process: Path) -> list[str]:
    try:
        return [os.readlink(fd) for fd in (process / "fd").iterdir()]
    except OSError:
        return []


def parent(process: int) -> int:
    """The Ray worker above a cell: its process is forked by a server of the worker's."""
    server = _parent(process)
    return _parent(server)


def _parent(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])
