"""Cells spread over a Ray cluster whose nodes share the results folder.

A task on a node does what the local executor does for one cell there: a process of the cell's own, the reason of a
death, learner processes. Everything that a cell leaves is in its folder, its progress too; Ray carries nothing back.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .. import store
from ..config import Run
from ..gate import Gate
from ..types import InputError
from . import executor
from .cell import Execution
from .proofs import Proof, in_a_process

QUIET = {  # where nothing else is set
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # of a cluster started here: as cells of the local executor, not after everybody else
    "OMP_NUM_THREADS": "1",
}
ANSWER_S = 10.0  # that the head node has to answer in
LOOK_S = 0.5  # between two looks at the progress of cells
SEEN_S = 10  # a network file system shows a new file late
STORE_BYTES = 128 * 2**20  # of Ray's object store, which nothing of a cell goes through


def run_cells(runs: list[Run], folder: Path, how: Execution, on_update: Callable[[Run, int], None]) -> Iterator[Run]:
    """Carry out cells as Ray tasks, as many at a time as there is room for; yields each as it ends, however it ended.

    A cell takes one CPU for each of its learner processes, and as many GPUs where the cluster has any. One that is
    lost with its node is recorded with that reason.
    """
    if not runs:
        return
    connect(folder, how, runs[0].learner_processes)
    here, waiting, progress = Path.cwd(), list(runs), {run.name: Progress(folder / run.name) for run in runs}
    task, running = _task(_carry_out, runs[0].learner_processes), dict[Any, Run]()
    try:
        while waiting or running:
            while waiting and (not how.workers or len(running) < how.workers):
                run = waiting.pop(0)
                running[task.remote(run, folder.resolve(), how, here)] = run
            ended, _ = ray.wait(list(running), timeout=LOOK_S)
            for run in running.values():
                if (version := progress[run.name].news()) is not None:
                    on_update(run, version)
            for one in ended:
                run = running.pop(one)
                _record_loss(one, folder / run.name)
                yield run
    finally:
        for one in running:
            ray.cancel(one, force=True)


def carry_out(proofs: Sequence[Proof], folder: Path, how: Execution, processes: int) -> list[Gate]:
    """The gates of proofs, proven on a node with room for the processes of a cell."""
    connect(folder, how, processes)
    return ray.get(_task(_prove, processes).remote(list(proofs), Path.cwd()))


def connect(folder: Path, how: Execution, processes: int, store_bytes: int | None = STORE_BYTES) -> None:
    """Join the cluster at `how.address`, or start one on this machine; nothing if that has happened.

    An InputError where there is none, where no node has room for a cell, or where a node does not see the results
    folder or the one that the command was given in.
    """
    if ray.is_initialized():
        return
    if how.address:
        _check_address(how.address)
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": store_bytes}
    try:
        ray.init(how.address or "local", log_to_driver=False, logging_level="ERROR", **({} if how.address else own))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(f"address={how.address}: no Ray cluster to join: {_line(error)}") from None
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    _check_room(nodes, processes)
    _check_shared(nodes, folder.resolve(), Path.cwd())


def disconnect() -> None:
    """Leave the cluster, which ends what this process still runs there, and the cluster itself if it was started."""
    ray.shutdown()


class Progress:
    """How many updates a cell has recorded, read from its folder; only what was added is read."""

    def __init__(self, folder: Path):
        self.path, self.read, self.version = folder / store.METRICS, 0, 0

    def news(self) -> int | None:
        """The version that the cell has reached, if that is another one than the last time."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return None
        if size == self.read:
            return None
        if size < self.read:  # cut back to its checkpoint
            self.read = self.version = 0
        with self.path.open("rb") as file:
            file.seek(self.read)
            added = file.read()
        self.read += len(added)
        self.version += added.count(b"\n")
        return self.version


def _task(function: Callable[..., Any], processes: int) -> Any:
    """`function` as a Ray task for one cell; on a GPU, Ray gives it a worker of its own."""
    gpus = processes if ray.cluster_resources().get("GPU") else 0
    return ray.remote(num_cpus=processes, num_gpus=gpus, max_retries=0)(function)


def _carry_out(run: Run, folder: Path, how: Execution, where: Path) -> None:
    """One cell on this node, in a process of its own; `where` the command was given, paths may begin."""
    os.chdir(where)
    for _ in executor.run_cells([run], folder, replace(how, workers=1), lambda *_: None):
        pass


def _prove(proofs: list[Proof], where: Path) -> list[Gate]:
    os.chdir(where)
    return in_a_process(proofs)


def _record_loss(task: Any, folder: Path) -> None:
    """Write the reason for a task that ended without its cell's; what a task calls wrong input is raised."""
    try:
        ray.get(task)
    except RayError as error:
        if isinstance(error, RayTaskError) and isinstance(error.cause, InputError):
            raise error.cause from None
        if not (folder / store.RESULT).exists():
            failed = {"reason": f"the cell's task ended early: {_reason(error)}", "traceback": None}
            store.write_json(folder / store.FAILED, failed)


def _check_address(address: str) -> None:
    """An InputError where nobody listens; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"address={address} is not valid: expected HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except OSError as error:
        raise InputError(f"address={address}: no Ray cluster answers there: {error.strerror or error}") from None


def _check_room(nodes: Sequence[dict[str, Any]], processes: int) -> None:
    kind = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
    most = int(max((node["Resources"].get(kind, 0) for node in nodes), default=0))
    if most < processes:
        raise InputError(
            f"a cell needs {processes} {kind}s on one node (learner_processes={processes}), and the "
            f"largest node has {most}; set learner_processes={max(most, 1)}"
        )


def _check_shared(nodes: Sequence[dict[str, Any]], results: Path, where: Path) -> None:
    """A token written into the results folder has to be read on every node, which has the folder `where`, too."""
    token, content = results / f".shared-{uuid4().hex}", uuid4().hex
    token.write_text(content)
    try:
        looks = [_task_on(node, _unseen).remote(token, content, where) for node in nodes]
        for node, look in zip(nodes, looks, strict=True):
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            try:
                folder = ray.get(look)
            except RayError as error:
                raise InputError(f"node {name} of the Ray cluster cannot run LagBench: {_reason(error)}") from None
            if folder:
                raise InputError(
                    f"node {name} of the Ray cluster does not see {folder}; all nodes have to share it: give the "
                    "command, and --results, in a folder that they share"
                )
    finally:
        token.unlink(missing_ok=True)


def _task_on(node: dict[str, Any], function: Callable[..., Any]) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function)


def _unseen(token: Path, content: str, where: Path) -> Path | None:
    """The folder of the token, or `where`, if this node does not see it."""
    end = time.monotonic() + SEEN_S
    while not token.exists() and token.parent.exists() and time.monotonic() < end:
        time.sleep(0.2)
    if not token.exists() or token.read_text() != content:
        return token.parent
    return None if where.is_dir() else where


def _reason(error: RayError) -> str:
    """The first line of what went wrong, in a task or with it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return f"{type(cause).__name__}: {_line(cause)}"


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
