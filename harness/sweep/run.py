"""A whole suite: check it, claim its folder, run what is missing."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from .. import store
from ..config import JUDGMENT, Run, Suite
from ..data import overlaps
from ..lag import resolve
from ..registry import OBJECTIVES
from ..types import InputError
from .cell import Execution
from .executor import run_cells
from .expand import cells, check, planned
from .integrity import damage, start_over
from .progress import Display
from .proofs import prove
from .provenance import inputs as inputs_of

NO_MATTER = {"id"} | JUDGMENT  # may differ from what a folder holds


def run_suite(suite: Suite, folder: Path, how: Execution) -> int:
    """Bring every cell of `suite` to a result in `folder`; returns how many have none."""
    runs = cells(suite)
    console = Console(stderr=True)
    for remark in filter(None, (resolve(lag).remark for lag in suite.lags)):
        say(console, remark)
    tasks = check(suite)
    for overlap in overlaps(tasks):
        say(console, f"Note: {overlap}.")
    inputs = inputs_of(suite.model, tasks)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / store.LOCK, timeout=0):
            claim(runs, inputs, folder)
            store.append_line(folder / store.COMMANDS, {"command": how.command, **suite.model_dump(mode="json")})
            unfinished = run_missing(runs, folder, how, console)
            if not unfinished:
                shutil.rmtree(folder / store.BEGINNINGS, ignore_errors=True)
            prove(runs, folder, partial(say, console))
            return unfinished
    except Timeout:
        raise InputError(f"another lagbench is running in {folder}; wait, or use another --results folder") from None
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}; use another --results folder") from None


def say(console: Console, text: str) -> None:
    """Print a line as it is, whatever it holds and however long it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def claim(runs: list[Run], inputs: dict[str, str], folder: Path) -> None:
    """Write every cell's configuration, so that each is known before it runs.

    A folder that holds a cell of other settings, or made from another model or other data, is an InputError.
    """
    wanted = {run.name: describe(run) | inputs for run in runs}
    if len(wanted) < len(runs):
        twice = next(run.name for run in runs if sum(other.name == run.name for other in runs) > 1)
        raise InputError(f"two cells would share the folder {folder / twice}: leave out one, or rename its lag trace")
    for name, cell in wanted.items():
        held = _held(folder / name)
        changed = [key for key in cell if key not in NO_MATTER and held is not None and held.get(key) != cell[key]]
        if changed:
            changed = [key for key in changed if key != "plan_digest"] or ["plan_digest: another plan, as of a trace"]
            raise InputError(
                f"{folder / name} holds a cell with other settings ({', '.join(changed)}); use another --results folder"
            )
    for name, cell in wanted.items():
        store.write_json(folder / name / store.RUN, cell)


def _held(folder: Path) -> Any:
    """The configuration that a cell's folder holds. With a damaged one nothing else in it can be trusted."""
    try:
        return store.read_json(folder / store.RUN)
    except InputError as error:
        print(f"{error.args[0].partition(';')[0]}; the cell is run again", file=sys.stderr)
        start_over(folder)
        return None


def describe(run: Run) -> dict[str, Any]:
    """A cell's configuration, its id, what its objective reads and what its paper uses around the formula."""
    described: dict[str, Any] = {"id": run.id, "reads": [], "paper": {}, **run.model_dump(mode="json")}
    if run.objective is not None:
        entry = OBJECTIVES.get(run.objective)
        described |= {"reads": list(entry.reads), "paper": entry.conventions.names}
        described["plan_digest"] = plan_digest(run)
    return described


def plan_digest(run: Run) -> str | None:
    """Of the plan as it is known before the run, so that a changed trace is noticed; None where a model has its say."""
    return None if "lengths" in resolve(run.lag).entry.reads else planned(run.lag, run, run.seed).digest


def run_missing(runs: list[Run], folder: Path, how: Execution, console: Console) -> int:
    """Run the cells that have no result, or a damaged one; returns how many still have none."""
    for run in runs:
        if found := damage(folder / run.name):
            start_over(folder / run.name)
            say(console, f"{folder / run.name}: damaged, the cell is run again: {found}")
    todo = [run for run in runs if not (folder / run.name / store.RESULT).exists()]
    console.print(
        f"{len(runs)} cells in {folder}: {len(runs) - len(todo)} finished, {len(todo)} to run, {how.workers} at a time",
        soft_wrap=True,
    )
    with Display(runs, todo, console) as display:
        for run in run_cells(todo, folder, how, display.update):
            display.ended(run, folder / run.name)
    return sum(not (folder / run.name / store.RESULT).exists() for run in runs)
