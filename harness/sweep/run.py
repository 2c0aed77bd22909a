"""A whole suite: check it, claim its folder, run what is missing; then its search for learning rates, if it has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from .. import store
from ..checksums import write_manifest
from ..config import Run, Search, Suite
from ..evaluate.headroom import without_headroom
from ..lag import resolve
from ..record import SuiteRecord, read_record
from ..types import InputError
from .advice import notes
from .cell import Execution
from .claim import claim
from .executor import run_cells
from .expand import cells, check, references
from .growth import baseline_of
from .integrity import damage, start_over
from .progress import Display
from .proofs import prove
from .provenance import inputs as inputs_of
from .search import choose, outcome, rate_folder, rate_text, searched, tuned


@dataclass(frozen=True)
class Outcome:
    """What a command has come to: the cells that it asked for, by name, and how many have no result."""

    cells: tuple[str, ...]
    unfinished: int


def run_suite(suite: Suite, folder: Path, how: Execution) -> Outcome:
    """Bring every cell of `suite` to a result in `folder`, those of its search too."""
    console = Console(stderr=True)
    suite = suite.model_copy(update={"baseline": baseline_of(read_record(folder), suite, folder)})
    asked, tasks = cells(suite), check(suite)
    added = references(suite, asked)
    runs = [*asked, *added]
    for tried in list(searched(suite).values())[:1]:  # but for their rates all are the same: told before hours of work
        check(tried)
    with carried_out(how), claimed(suite, runs, folder, how, console) as record:
        for remark in (*(resolve(lag).remark for lag in suite.lags), *notes(suite, tasks, added)):
            say(console, remark)
        unfinished = run_missing(runs, folder, how, console)
        prove_on(runs, folder, how, console)
        if search := suite.search:
            unfinished += run_search(suite, search, record.objectives, folder, how, console)
    return Outcome(tuple(run.name for run in runs), unfinished)


def run_search(
    suite: Suite, search: Search, objectives: tuple[str, ...], folder: Path, how: Execution, console: Console
) -> int:
    """Try every rate, choose one for each objective that was ever searched, and run the suite's cells at those chosen.

    `objectives` are the folder's. Returns how many cells have no result. The choice is in `search/chosen.json`. Where
    the suite's own rate was chosen, its cells are there already.
    """
    say(console, f"searching learning rates {', '.join(map(rate_text, search.learning_rates))} on {search.problems} "
                 f"problems of the training set, seeds {', '.join(map(str, search.seeds))}")  # fmt: skip
    unfinished, known = 0, set[str]()
    for rate, tried in searched(suite).items():
        part, runs = folder / rate_folder(store.SEARCH, rate), cells(tried)
        with claimed(tried, runs, part, how, console) as record:
            unfinished += run_missing(runs, part, how, console)
            known.update(record.objectives)
    chosen = choose(suite, search, [name for name in objectives if name in known], folder)
    store.write_json(folder / store.SEARCH / store.CHOSEN, chosen)
    for line in outcome(chosen):
        say(console, line)
    rates = {name: choice["learning_rate"] for name, choice in chosen["objectives"].items()}
    for rate, again in tuned(suite, rates).items():
        part, runs = folder / rate_folder(store.TUNED, rate), cells(again)
        with claimed(again, runs, part, how, console):
            unfinished += run_missing(runs, part, how, console)
            prove_on(runs, part, how, console)
    return unfinished


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A results folder, made where it is missing, for this command alone; an InputError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / store.LOCK, timeout=0):
            yield
    except Timeout:
        raise InputError(f"another lagbench is running in {folder}; wait, or use another --results folder") from None
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}; use another --results folder") from None


@contextmanager
def claimed(suite: Suite, runs: list[Run], folder: Path, how: Execution, console: Console) -> Iterator[SuiteRecord]:
    """What the folder says of itself, while it is locked and claimed for cells of a suite.

    At the end its checksums are written, however the end comes about, as far as the disk lets them. A folder that is
    in use, cannot be written to or holds something else is an InputError.
    """
    with locked(folder):
        found = claim(suite, runs, inputs_of(suite.model, check(suite)), folder, how)
        store.append_line(folder / store.COMMANDS, {"command": how.command, **suite.model_dump(mode="json")})
        for remark in found.remarks:
            say(console, remark)
        try:
            yield found.record
        except BaseException:
            with suppress(OSError):
                write_manifest(folder)
            raise
        write_manifest(folder)


@contextmanager
def carried_out(how: Execution) -> Iterator[None]:
    """What runs cells and proofs, ended at the end: a cluster is left, or ended if it was started."""
    try:
        yield
    finally:
        if how.executor == "ray":
            from .ray_executor import disconnect

            disconnect()


def executor_of(how: Execution) -> Callable[..., Iterator[Run]]:
    """The `run_cells` that is asked for."""
    if how.executor == "local":
        return run_cells
    from . import ray_executor

    return ray_executor.run_cells


def prove_on(runs: list[Run], folder: Path, how: Execution, console: Console) -> None:
    """Prove where the cells are run, since other machines may round differently."""
    if how.executor == "local":
        prove(runs, folder, partial(say, console))
        return
    from . import ray_executor

    there = partial(ray_executor.carry_out, folder=folder, how=how, processes=runs[0].learner_processes)
    prove(runs, folder, partial(say, console), there)


def say(console: Console, text: str) -> None:
    """Print a line as it is, whatever it holds and however long it is; nothing for an empty one."""
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def missing(runs: list[Run], folder: Path, console: Console) -> list[Run]:
    """The cells that have no result; a damaged one starts over, and has none."""
    for run in runs:
        if found := damage(folder / run.name):
            start_over(folder / run.name)
            say(console, f"{folder / run.name}: damaged, the cell is run again: {found}")
    return [run for run in runs if not (folder / run.name / store.RESULT).exists()]


def run_missing(runs: list[Run], folder: Path, how: Execution, console: Console) -> int:
    """Run the cells that have no result, or a damaged one; returns how many still have none.

    The base model is evaluated before anything is trained, so that a suite in which nothing can be learned is told.
    """
    todo = missing(runs, folder, console)
    console.print(
        f"{len(runs)} cells in {folder}: {len(runs) - len(todo)} finished, {len(todo)} to run, "
        f"{how.workers or 'as many as the cluster has room for'} at a time",
        soft_wrap=True,
    )
    base = [run for run in todo if run.objective is None]
    with Display(runs, todo, console) as display:
        for part in (base, [run for run in todo if run not in base]):
            for run in executor_of(how)(part, folder, how, display.update):
                display.ended(run, folder / run.name)
            if part is base:
                _say_headroom(runs, folder, console)
    unfinished = sum(not (folder / run.name / store.RESULT).exists() for run in runs)
    if not unfinished:
        shutil.rmtree(folder / store.BEGINNINGS, ignore_errors=True)
    return unfinished


def _say_headroom(runs: list[Run], folder: Path, console: Console) -> None:
    """What the base model's score leaves to be learned, where that is too little."""
    for run in runs:
        result = store.read_json(folder / run.name / store.RESULT) if run.objective is None else None
        if result and (remark := without_headroom(result["scores"]["pass@1"]["mean"])):
            say(console, f"Note: {remark}")
