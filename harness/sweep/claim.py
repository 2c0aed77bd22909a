"""A results folder claimed for a suite, before any cell runs: what it holds has to be of the same suite."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import store
from ..config import JUDGMENT, LATER, Run, Suite
from ..lag import resolve
from ..record import SuiteRecord, read_record
from ..registry import OBJECTIVES
from ..types import InputError
from .cell import Execution
from .code import code_of
from .expand import planned
from .growth import ELSEWHERE, extended, extension
from .integrity import start_over
from .stale import Configuration, Stale, changes, stale_cells, undecided, with_its_harness

NO_MATTER = {"id", "code", "balanced"} | JUDGMENT  # may differ from what a folder holds


@dataclass(frozen=True)
class Claim:
    """A folder that is ready for a command's cells, and what the command's user has to know of it."""

    record: SuiteRecord
    remarks: tuple[str, ...]


def claim(suite: Suite, runs: Sequence[Run], inputs: Mapping[str, Any], folder: Path, how: Execution) -> Claim:
    """Write what the folder holds now, and every cell's configuration, so that each is known before it runs.

    A folder that holds a cell of other settings, or made from another model or other data, is an InputError, and so
    is one with another baseline: nothing is written then. A key that a `run.json` of an earlier version lacks stands
    for the value that the version had in its place. Cells that other code has made start over, or are kept where `how`
    says so.
    """
    wanted = {run.name: describe(run) | dict(inputs) for run in runs}
    if len(wanted) < len(runs):
        twice = next(run.name for run in runs if sum(other.name == run.name for other in runs) > 1)
        raise InputError(f"two cells would share the folder {folder / twice}: leave out one, or rename its lag trace")
    held = {name: _held(folder / name) for name in wanted}
    changed = {name: changes(folder / name, held[name], cell) for name, cell in wanted.items()}
    for name, cell in wanted.items():
        require_same(folder / name, held[name], cell, undecided(changed[name], how.keep_stale))
    before = read_record(folder)
    record = extended(before, suite, runs, inputs, folder, how)
    kept = set(before.kept) - wanted.keys() if before else set()
    stale = stale_cells(folder, changed, record.code, kept, how.keep_stale)
    record = record.model_copy(update={"kept": tuple(stale.kept)})
    if before and _is_outdated(before, record):
        shutil.rmtree(folder / store.BEGINNINGS, ignore_errors=True)  # what other code has drawn
    _write(folder, record, wanted, held, stale)
    return Claim(record, (*extension(before, record), *stale.remarks()))


def _is_outdated(before: SuiteRecord, record: SuiteRecord) -> bool:
    return not before.code or any(record.code[what] != digest for what, digest in before.code.items())


def require_same(cell: Path, held: Configuration | None, wanted: Configuration, but: Collection[str]) -> None:
    """An InputError for a cell of other settings, some keys left aside."""
    aside = NO_MATTER | set(but)
    changed = [key for key in wanted if key not in aside and held is not None and held.get(key) != wanted[key]]
    if changed:
        changed = [key for key in changed if key != "plan_digest"] or ["plan_digest: another plan, as of a trace"]
        raise InputError(f"{cell} holds a cell with other settings ({', '.join(changed)}); {ELSEWHERE}")


def _write(
    folder: Path,
    record: SuiteRecord,
    wanted: Mapping[str, Configuration],
    held: Mapping[str, Configuration | None],
    stale: Stale,
) -> None:
    """Record and configurations. That of a kept cell stays; of a finished one the harness that has made it."""
    (folder / store.CHECKSUMS).unlink(missing_ok=True)  # from here on it would be wrong, until the command ends
    store.write_json(folder / store.SUITE, record.model_dump(mode="json"))
    for name in stale.again:
        start_over(folder / name)
    for name in wanted.keys() - stale.kept.keys():
        store.write_json(folder / name / store.RUN, with_its_harness(folder / name, held[name], wanted[name]))


def _held(folder: Path) -> Any:
    """The configuration that a cell's folder holds. With a damaged one nothing else in it can be trusted."""
    try:
        held = store.read_json(folder / store.RUN)
        if held is not None and not isinstance(held, dict):
            raise InputError(f"{folder / store.RUN} is damaged (no object)")
    except InputError as error:
        print(f"{error.args[0].partition(';')[0]}; the cell is run again", file=sys.stderr)
        start_over(folder)
        return None
    return held if held is None else LATER | held


def describe(run: Run) -> dict[str, Any]:
    """A cell's configuration, its id, its code, what its objective reads and promises, and its paper's conventions."""
    described: dict[str, Any] = {"id": run.id, "code": code_of(run), "reads": [], "paper": {}, "balanced": False}
    described |= run.model_dump(mode="json")
    if run.objective is not None:
        entry = OBJECTIVES.get(run.objective)
        described |= {"reads": list(entry.reads), "paper": entry.conventions.names}
        described["balanced"] = entry.conventions.balanced
        described["plan_digest"] = plan_digest(run)
    return described


def plan_digest(run: Run) -> str | None:
    """Of the plan as it is known before the run, so that a changed trace is noticed; None where a model has its say."""
    return None if "lengths" in resolve(run.lag).entry.reads else planned(run.lag, run, run.seed).digest
