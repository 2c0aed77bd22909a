"""A whole suite, live: every objective x mismatch x seed, one cell after another, with one crew for all of them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import RayError, RayTaskError
from rich.console import Console

from .. import store
from ..checksums import seal
from ..config import LATER, Run, Suite, digest_of
from ..data import overlaps
from ..sweep.cell import Execution, write_failure
from ..sweep.claim import require_same
from ..sweep.code import code_of
from ..sweep.expand import cells, check
from ..sweep.integrity import start_over
from ..sweep.progress import Display
from ..sweep.provenance import inputs as inputs_of
from ..sweep.ray_executor import connect, disconnect
from ..sweep.run import locked, missing, say
from ..sweep.stale import begun, changes, counted, undecided, with_its_harness
from ..types import InputError, NonFinite
from .actors import LIVE
from .crew import Crew
from .driver import Driver
from .rules import Rules


def live_label(suite: Suite, rules: Rules) -> str:
    """The name of a live suite's folder: what its cells share is in the digest, the rules too."""
    return f"live-{suite.name}-{digest_of([suite.shared, asdict(rules)])[:8]}"


def live_cells(suite: Suite) -> list[Run]:
    """Objectives x mismatches x seeds; the suite's lags have no part in it."""
    synchronous = suite.model_copy(update={"lags": ("sync",)})
    return [run.model_copy(update={"lag": LIVE}) for run in cells(synchronous) if run.objective is not None]


def run_live(suite: Suite, rules: Rules, folder: Path, how: Execution) -> list[Path]:
    """Bring every cell to a result in `folder`, which is made; returns the cells' folders, in order."""
    console = Console(stderr=True)
    if suite.learner_processes > 1:
        raise InputError(
            f"learner_processes={suite.learner_processes}: a live learner is one process; set learner_processes=1"
        )
    if not suite.updates:
        raise InputError("updates=0: nothing would be trained; set updates=1 or more")
    tasks = check(suite.model_copy(update={"lags": ("sync",)}))
    for overlap in overlaps(tasks):
        say(console, f"Note: {overlap}.")
    runs, folder = live_cells(suite), folder.resolve()
    with locked(folder):
        for remark in claim(runs, rules, inputs_of(suite.model, tasks), folder):
            say(console, remark)
        store.append_line(folder / store.COMMANDS, {"command": how.command, **suite.model_dump(mode="json")})
        run_missing(runs, rules, folder, how, console)
    return [folder / run.name for run in runs]


def claim(runs: list[Run], rules: Rules, inputs: dict[str, Any], folder: Path) -> list[str]:
    """Write every cell's configuration. Nothing is written where one is there that differs: an InputError.

    Cells that other code has made start over; returns a line for every reason.
    """
    wanted = {run.name: run.model_dump(mode="json") | {"code": code_of(run)} | inputs for run in runs}
    held = {name: store.read_json(folder / name / store.RUN) for name in wanted}
    changed = {name: changes(folder / name, held[name], cell) for name, cell in wanted.items()}
    for name, cell in wanted.items():
        before = None if held[name] is None else LATER | held[name]
        require_same(folder / name, before, cell, undecided(changed[name], keep=False))
        require_same(folder / name, store.read_json(folder / name / store.LIVE_RULES), asdict(rules), ())
    stale = {name: found for name, found in changed.items() if found and begun(folder / name)}
    for name in stale:
        start_over(folder / name)
    for name, cell in wanted.items():
        store.write_json(folder / name / store.RUN, with_its_harness(folder / name, held[name], cell))
        store.write_json(folder / name / store.LIVE_RULES, asdict(rules))
    return [f"{many} made again: {why}" for many, why in counted(stale)]


def run_missing(runs: list[Run], rules: Rules, folder: Path, how: Execution, console: Console) -> None:
    """Run the cells that have no result, or a damaged one."""
    todo = missing(runs, folder, console)
    say(console, f"{len(runs)} live cells in {folder}: {len(runs) - len(todo)} finished, {len(todo)} to run, "
                 f"{rules.workers} workers")  # fmt: skip
    if not todo:
        return
    try:
        connect(folder, how, 1, store_bytes=None)  # weights go through the store: what Ray takes by itself
        crew = Crew.of(rules.workers, todo[0].sampler, Path.cwd())
        with Display(runs, todo, console) as display:
            for run in todo:
                run_cell(run, folder / run.name, rules, crew, how, display)
                display.ended(run, folder / run.name)
    finally:
        disconnect()


def run_cell(run: Run, folder: Path, rules: Rules, crew: Crew, how: Execution, display: Display) -> None:
    """One cell; leaves a result, or the reason of the failure. Goes on from the last checkpoint."""
    (folder / store.FAILED).unlink(missing_ok=True)
    driver = Driver(
        run=run,
        folder=folder,
        rules=rules,
        crew=crew,
        command=how.command,
        checkpoint_every_s=how.checkpoint_every_s,
        on_update=partial(display.update, run),
        say=partial(say, display.console),
    )
    try:
        store.write_json(folder / store.RESULT, seal(driver.carry_out(), folder))
    except (RayError, NonFinite, RuntimeError) as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, InputError) or store.is_unwritable(cause):
            raise cause from None
        write_failure(cause, folder)
    else:
        (folder / store.CHECKPOINT).unlink(missing_ok=True)
