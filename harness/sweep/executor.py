"""Cells in parallel processes, one thread each, with progress. A cell that dies takes nobody along."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from .. import store
from ..config import Run
from ..types import InputError
from .cell import Execution, run_cell

UNWRITABLE = 74  # exit code of a cell that the disk stopped, EX_IOERR of sysexits.h


@dataclass
class Worker:
    """A running cell: its process, and the pipe through which it tells of its updates."""

    run: Run
    process: Any
    updates: Connection


def default_workers(processes: int = 1) -> int:
    """One cell at a time on a GPU, else as many as have a core for each of their processes, of those we may use."""
    if torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def warm_context(module: str) -> Any:
    """Processes forked from one that has imported `module`, so that torch is imported once.

    One thread each: more are slower.
    """
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def run_cells(runs: list[Run], folder: Path, how: Execution, on_update: Callable[[Run, int], None]) -> Iterator[Run]:
    """Carry out cells, `how.workers` at a time; yields each as it ends, however it ended."""
    context = warm_context("lagbench.harness.sweep.cell")
    waiting = list(runs)
    running: list[Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < how.workers:
                running.append(_start(context, waiting.pop(0), folder, how))
            for worker in _ended(running, on_update):
                running.remove(worker)
                _record_death(worker, folder / worker.run.name)
                yield worker.run
    finally:
        for worker in running:
            worker.process.terminate()
            worker.process.join()


def _start(context: Any, run: Run, folder: Path, how: Execution) -> Worker:
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(run, folder / run.name, how, send))
    process.start()
    send.close()
    return Worker(run, process, receive)


def _ended(running: list[Worker], on_update: Callable[[Run, int], None]) -> list[Worker]:
    """Wait for news; pass updates on, and return the workers whose process has ended."""
    by_pipe: dict[object, Worker] = {worker.updates: worker for worker in running}
    by_process: dict[object, Worker] = {worker.process.sentinel: worker for worker in running}
    ended = []
    for ready in wait([worker.updates for worker in running] + [worker.process.sentinel for worker in running]):
        if ready in by_process:
            worker = by_process[ready]
            worker.process.join()
            ended.append(worker)
        else:
            _forward(by_pipe[ready], on_update)
    return ended


def _forward(worker: Worker, on_update: Callable[[Run, int], None]) -> None:
    try:
        while worker.updates.poll():
            on_update(worker.run, worker.updates.recv())
    except EOFError:
        worker.process.join()  # the pipe closes when the process is about to end


def _record_death(worker: Worker, folder: Path) -> None:
    """Write the reason for a process that ended without leaving a result or a reason itself."""
    worker.updates.close()
    code = worker.process.exitcode
    if code == UNWRITABLE:
        raise InputError(
            f"cannot write to {folder}: the disk is full or read-only; finished cells are kept: make room, "
            "then give the same command again"
        )
    if code != 0 and not (folder / store.RESULT).exists():
        how = f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        store.write_json(folder / store.FAILED, {"reason": f"the cell's process ended early: {how}", "traceback": None})


def _child(run: Run, folder: Path, how: Execution, updates: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        _carry_out(run, folder, how, updates.send)
    except Exception as error:
        if store.is_unwritable(error):
            sys.exit(UNWRITABLE)  # neither a result nor a reason could be written
        raise


def _carry_out(run: Run, folder: Path, how: Execution, on_update: Callable[[int], None]) -> None:
    if run.learner_processes == 1:
        run_cell(run, folder, how, on_update)
        return
    from .shared_cell import run_shared_cell

    run_shared_cell(run, folder, how, on_update)


def _end_with_parent() -> None:
    """Leave as soon as the parent is gone, however it went: an orphan would write where the resumed suite does."""
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
