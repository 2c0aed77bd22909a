"""How far a suite is: a bar over all updates of all cells, and a line for each cell that ends."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import store
from ..config import Run


class Display:
    """Shows progress while it is entered. On a terminal the bar moves; in a log only the lines appear."""

    def __init__(self, runs: list[Run], todo: list[Run], console: Console):
        self.started, self.console = time.monotonic(), console
        self.num_cells, self.cells_left = len(runs), len(todo)
        self.work = sum(map(_work_units, todo))
        self.done = dict.fromkeys((run.name for run in todo), 0)
        self.progress = progress_bar("updates", console)
        self.bar = self.progress.add_task("updates", total=self.work)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, run: Run, version: int) -> None:
        """A cell has reached `version`."""
        self.done[run.name] = version
        self.progress.update(self.bar, completed=sum(self.done.values()))

    def ended(self, run: Run, folder: Path) -> None:
        """A cell has ended; `folder` holds its result or the reason why there is none."""
        self.update(run, _work_units(run))
        self.cells_left -= 1
        result, failed = store.read_json(folder / store.RESULT), store.read_json(folder / store.FAILED)
        outcome = f"pass@1 {result['scores']['pass@1']['mean']:.3f}" if result else f"FAILED: {failed['reason']}"
        elapsed = time.monotonic() - self.started
        left = elapsed * (self.work / sum(self.done.values()) - 1)
        eta = f", ETA {left:.0f} s" if self.cells_left else ""
        count = f"[{self.num_cells - self.cells_left}/{self.num_cells}]"
        line = f"{count} {run.name}: {outcome} ({elapsed:.0f} s{eta})"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress_bar(what: str, console: Console) -> Progress:
    """A bar over `what` with count, time and ETA; nothing where the output is no terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"))
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)


def _work_units(run: Run) -> int:
    """A cell's updates, and one for its evaluation."""
    return run.updates + 1
