"""A whole suite: check, run what is missing, tell how far it is."""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import store
from ..config import Run, Suite
from ..types import InputError
from .cell import Execution
from .executor import run_cells
from .expand import cells, check


def run_suite(suite: Suite, folder: Path, how: Execution) -> int:
    """Bring every cell of `suite` to a result in `folder`; returns how many failed."""
    runs = cells(suite)
    check(suite)
    prepare(suite, runs, folder, how.command)
    try:
        with FileLock(folder / store.LOCK, timeout=0):
            return _run_missing(runs, folder, how)
    except Timeout:
        raise InputError(
            f"another lagbench is running in {folder}; wait for it or use another --results folder"
        ) from None


def _run_missing(runs: list[Run], folder: Path, how: Execution) -> int:
    todo = [run for run in runs if not (folder / run.name / store.RESULT).exists()]
    console = Console(stderr=True)
    console.print(
        f"{len(runs)} cells in {folder}: {len(runs) - len(todo)} finished, {len(todo)} to run, {how.workers} at a time"
    )
    with _Display(runs, todo, console) as display:
        for run in run_cells(todo, folder, how, display.update):
            display.ended(run, folder / run.name)
    return sum(not (folder / run.name / store.RESULT).exists() for run in runs)


def prepare(suite: Suite, runs: list[Run], folder: Path, command: str) -> None:
    """Create the folder, or make sure that what it holds are cells of these settings."""
    for run in runs:
        held = store.read_json(folder / run.name / store.RUN)
        if held is not None and held["id"] != run.id:
            changed = [key for key, value in run.model_dump(mode="json").items() if held.get(key) != value]
            raise InputError(
                f"{folder / run.name} holds a cell with other settings ({', '.join(changed)}); "
                "use another --results folder"
            )
    try:
        store.write_json(folder / store.SUITE, {"command": command, **suite.model_dump(mode="json")})
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; use another --results folder") from None


class _Display:
    """A progress bar over all updates of all cells, and a line for each cell that ends."""

    def __init__(self, runs: list[Run], todo: list[Run], console: Console):
        self.started, self.console = time.monotonic(), console
        self.at = {run.name: 0 if run in todo else _steps(run) for run in runs}
        self.ends, self.left = len(runs), len(todo)
        self.skipped, self.missing = sum(self.at.values()), sum(map(_steps, todo))
        self.progress = Progress(
            TextColumn("updates"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"),
            TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.bar = self.progress.add_task("updates", total=sum(map(_steps, runs)), completed=sum(self.at.values()))

    def __enter__(self) -> _Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, run: Run, version: int) -> None:
        self.at[run.name] = version
        self.progress.update(self.bar, completed=sum(self.at.values()))

    def ended(self, run: Run, folder: Path) -> None:
        self.update(run, _steps(run))
        self.left -= 1
        result, failed = store.read_json(folder / store.RESULT), store.read_json(folder / store.FAILED)
        outcome = f"pass@1 {result['scores']['pass@1']['mean']:.3f}" if result else f"FAILED: {failed['reason']}"
        elapsed = time.monotonic() - self.started
        done = sum(self.at.values()) - self.skipped
        eta = f", ETA {elapsed * self.missing / done - elapsed:.0f} s" if self.left else ""
        line = f"[{self.ends - self.left}/{self.ends}] {run.name}: {outcome} ({elapsed:.0f} s{eta})"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _steps(run: Run) -> int:
    """Work units of a cell: its updates and one for its evaluation."""
    return run.updates + 1
