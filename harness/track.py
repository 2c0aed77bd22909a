"""Opt-in logging of a cell to TensorBoard, W&B or trackio: the numbers that its files hold, shown while it runs.

Off by default, and no tracker's package is imported before somebody asks for it. A tracker changes no result and stops
no cell: the first thing it raises is told in one line on stderr, and the cell goes on without it. Everything is written
below `tracking/` in the results folder; no network is needed. Every process that works on a cell writes all of it, the
updates of an interrupted one from `metrics.jsonl`: whatever a kill has lost is there after resuming, each update once.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Protocol

from . import store
from .config import JUDGMENT, Run
from .extras import require_extra
from .registry import did_you_mean
from .types import InputError

TRACKING = "tracking"  # in a results folder
PROJECT = "lagbench"
WANDB_DEFAULTS = {  # of W&B's own environment variables; those that are set win
    "WANDB_PROJECT": PROJECT,
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",  # what a cell prints is not captured
    "WANDB_INIT_TIMEOUT": "30",  # seconds; then the run is written offline
    "WANDB_FINISH_TIMEOUT": "60",  # seconds; what was not sent by then stays on disk
}


class Tracker(Protocol):
    """What a cell tells of itself while it runs. Neither method raises."""

    def log(self, update: int, row: Mapping[str, Any]) -> None:
        """Take the measurements of an update, a line of `metrics.jsonl`; updates come in order."""

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Take a finished cell's result, None of one that failed, and let go of files, threads and processes."""


class Writer(Protocol):
    """One service, as `Guarded` uses it: both methods may raise."""

    def log(self, update: int, numbers: Mapping[str, float]) -> None:
        """Take numbers by name."""

    def close(self, scores: Mapping[str, float] | None) -> None:
        """Take the final scores, None of a cell that failed, and end."""


def require_tracker(name: str | None) -> None:
    """Nothing, or InputError before any work: there is no such tracker, or its package is not installed."""
    if name is None:
        return
    if name not in WRITERS:
        raise InputError(f"unknown tracker {name!r}{did_you_mean(name, WRITERS)}; expected {', '.join(WRITERS)}")
    require_extra(name, f"logging to {name}", name)


def open_tracker(name: str | None, run: Run, folder: Path) -> Tracker:
    """The tracker of the cell in `folder`, one that does nothing where `name` is None. InputError as `require_tracker`.

    It is named after the cell's folder, grouped by the suite's, and told the settings of `run`.
    """
    require_tracker(name)
    return NO_TRACKER if name is None else Guarded(name, run, folder)


def numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers in nested mappings by their path; texts, lists and truths are left out.

    >>> numbers({"loss": 0.5, "objective": {"surrogate": 2}, "prompts": "1f", "done": True, "sizes": [1]})
    {'loss': 0.5, 'objective/surrogate': 2}
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + key] = value
    return found


class NoTracker:
    """The tracker of a cell that nobody wants tracked."""

    def log(self, update: int, row: Mapping[str, Any]) -> None:
        """Do nothing."""

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Do nothing."""


NO_TRACKER = NoTracker()


class Guarded:
    """A tracker whose first failure is told and is its last: from then on it does nothing."""

    def __init__(self, name: str, run: Run, folder: Path):
        self.name, self.folder = name, folder
        self.written = 0  # updates
        self.writer: Writer | None = None
        with self.guard():
            self.writer = WRITERS[name](run, folder)

    def log(self, update: int, row: Mapping[str, Any]) -> None:
        """Write an update, after those before it that another process has trained."""
        if self.writer is not None:
            with self.guard():
                self.catch_up(self.writer, update)
                self.write(self.writer, row)

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Write what is missing, the scores, and the end."""
        if self.writer is not None:
            with self.guard():
                if result is not None:
                    self.catch_up(self.writer, result["updates"])
                self.writer.close(None if result is None else numbers({"scores": result["scores"]}))

    def catch_up(self, writer: Writer, update: int) -> None:
        """Write the updates before one that are in the cell's file only."""
        if self.written < update:
            for row in store.read_lines(self.folder / store.METRICS)[self.written : update]:
                self.write(writer, row)

    def write(self, writer: Writer, row: Mapping[str, Any]) -> None:
        """Write one row without the number of its update, which is its place on the axis."""
        writer.log(row["update"], numbers({key: value for key, value in row.items() if key != "update"}))
        self.written = row["update"] + 1

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Tell an exception, and go on without the writer."""
        try:
            with quiet():
                yield
        except Exception as error:
            broken, self.writer = self.writer, None
            warn(self.name, self.folder, f"{type(error).__name__}: {error}; the cell goes on without it")
            if broken is not None:
                with suppress(Exception), quiet():
                    broken.close(None)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off the terminal what a service prints, and what `logging` says where a service's log cannot be written."""
    usual, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.raiseExceptions = usual


def warn(name: str, folder: Path, text: str) -> None:
    """Print one line on stderr about a cell's tracker."""
    print(" ".join(f"Warning: {name} of {folder.name}: {text}".split()), file=sys.stderr, flush=True)


class TensorBoard:
    """An event file in `tracking/tensorboard/CELL`; a later file takes the place of an earlier one in what is shown.

    One event for an update, written before `log` returns, its numbers as float32. torch's SummaryWriter would have an
    event for each number, and a thread that prints what its writes raise.
    """

    def __init__(self, run: Run, folder: Path):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard.summary import hparams

        place = folder.parent / TRACKING / "tensorboard" / folder.name
        place.mkdir(parents=True, exist_ok=True)
        self.event, self.summary, self.updates = Event, Summary, run.updates
        self.file = (place / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}").open(
            "wb"
        )  # read in this order
        self.records = RecordWriter(self.file)
        self.write(file_version="brain.Event:2")
        self.write(session_log=SessionLog(status=SessionLog.START))  # at step 0: what earlier files hold is dropped
        columns, row, _ = hparams(plain_settings(run), {"reward": 0.0, "scores/pass@1/mean": 0.0})
        self.write(summary=columns)
        self.write(summary=row)

    def write(self, step: int = 0, **content: Any) -> None:
        """Hand one event to the system, so that it outlives this process."""
        self.records.write(self.event(wall_time=time.time(), step=step, **content).SerializeToString())
        self.records.flush()

    def log(self, update: int, numbers: Mapping[str, float]) -> None:
        """Write all numbers of an update."""
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self.write(update, summary=self.summary(value=values))

    def close(self, scores: Mapping[str, float] | None) -> None:
        """Write the scores at the last version."""
        with self.file:
            if scores:
                self.log(self.updates, scores)


class WandB:
    """A W&B run: online where somebody is logged in and the server answers, else below `tracking/wandb`.

    Online, W&B itself passes over the updates that its server already has.
    """

    def __init__(self, run: Run, folder: Path):
        place = folder.parent.resolve() / TRACKING / "wandb"
        own = {"WANDB_DIR": place.parent, "WANDB_CACHE_DIR": place / "cache", "WANDB_RUN_GROUP": suite_of(folder)}
        for variable, value in (WANDB_DEFAULTS | own).items():
            os.environ.setdefault(variable, str(value))
        self.scratch = place / f"{folder.name}.tmp"
        with temporary_files_in(self.scratch):
            import wandb

        self.wandb = wandb
        identity = kept_identity(place / f"{folder.name}.id")
        for earlier in place.glob(f"*run-*-{identity}"):
            shutil.rmtree(earlier)
        about = {"id": identity, "name": folder.name, "config": settings(run)}
        try:
            self.run = wandb.init(**about, resume="allow")
        except Exception as error:
            if not isinstance(error, wandb.errors.UsageError):  # that nobody is logged in needs no words
                warn("wandb", folder, f"{error}; written offline (WANDB_MODE=offline does so without asking)")
            wandb.teardown()  # its service would not let the same run begin twice
            self.run = wandb.init(**about, mode="offline")

    def log(self, update: int, numbers: Mapping[str, float]) -> None:
        """Hand the numbers of an update to W&B's service, a process."""
        self.run.log(dict(numbers), step=update, commit=True)

    def close(self, scores: Mapping[str, float] | None) -> None:
        """Put the scores into the run's summary, and wait until the service has ended."""
        try:
            self.run.summary.update(dict(scores or {}))
            self.run.finish(exit_code=1 if scores is None else 0)
        finally:
            self.wandb.teardown()
            shutil.rmtree(self.scratch, ignore_errors=True)


class Trackio:
    """A run in trackio's database below `tracking/trackio`, in the place of an earlier one of the same cell."""

    def __init__(self, run: Run, folder: Path):
        place = folder.parent.resolve() / TRACKING / "trackio"
        os.environ["TRACKIO_DIR"] = str(place)  # always: in a folder of several suites, cells share names
        import trackio

        with suppress(ValueError):  # there is no such project yet
            for earlier in trackio.Api().runs(PROJECT):
                if earlier.name == folder.name:
                    earlier.delete()
        about = {"name": folder.name, "group": suite_of(folder), "config": settings(run)}
        self.run = trackio.init(PROJECT, **about, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        self.updates = run.updates

    def log(self, update: int, numbers: Mapping[str, float]) -> None:
        """Hand the numbers of an update to the thread that fills the database, twice a second."""
        self.run.log(dict(numbers), step=update)

    def close(self, scores: Mapping[str, float] | None) -> None:
        """Write the scores at the last version, and wait for the database."""
        if scores:
            self.log(self.updates, scores)
        self.run.finish()


WRITERS: dict[str, Callable[[Run, Path], Writer]] = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}


def suite_of(folder: Path) -> str:
    """The name of the results folder that a cell is in."""
    return folder.parent.resolve().name


def settings(run: Run) -> dict[str, Any]:
    """A run's settings as JSON values, without those that change no cell."""
    return run.model_dump(mode="json", exclude=JUDGMENT)


def plain_settings(run: Run) -> dict[str, float | str]:
    """The same without tables and lists: a table's entries by their path, a list as JSON; None is left out."""

    def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | str]]:
        for key, value in table.items():
            if isinstance(value, Mapping):
                yield from leaves(value, f"{prefix}{key}/")
            elif value is not None:
                yield prefix + key, json.dumps(value) if isinstance(value, list) else value

    return dict(leaves(settings(run)))


@contextmanager
def temporary_files_in(scratch: Path) -> Iterator[None]:
    """Let temporary files be made in `scratch`, empty at first: a cell's process ends without removing them."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    usual, tempfile.tempdir = tempfile.tempdir, str(scratch)
    try:
        yield
    finally:
        tempfile.tempdir = usual


def kept_identity(path: Path) -> str:
    """What names a cell on a server, made up once and kept: a folder of the same name elsewhere is another run."""
    if not path.exists():
        store.write_text(path, uuid.uuid4().hex[:16])
    return path.read_text()
