"""A results folder claimed for a suite, before any cell runs: what it holds has to be of the same suite."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import store
from ..config import JUDGMENT, LATER, Run, Settings, Suite
from ..lag import resolve
from ..record import SuiteRecord, read_record, suite_digest
from ..registry import OBJECTIVES
from ..types import InputError
from .expand import planned
from .integrity import start_over

NO_MATTER = {"id", "balanced"} | JUDGMENT  # may differ from what a folder holds
AXES = {"objectives": "objective", "lags": "lag", "mismatch": "mismatch", "seeds": "seed"}  # of a suite, of a cell
ELSEWHERE = "use another --results folder"


def claim(suite: Suite, runs: Sequence[Run], inputs: Mapping[str, Any], folder: Path) -> SuiteRecord:
    """Write what the folder holds now, and every cell's configuration, so that each is known before it runs.

    A folder that holds a cell of other settings, or made from another model or other data, is an InputError, and so
    is one with another baseline: nothing is written then. A key that a `run.json` of an earlier version lacks stands
    for the value that the version had in its place.
    """
    wanted = {run.name: describe(run) | dict(inputs) for run in runs}
    if len(wanted) < len(runs):
        twice = next(run.name for run in runs if sum(other.name == run.name for other in runs) > 1)
        raise InputError(f"two cells would share the folder {folder / twice}: leave out one, or rename its lag trace")
    for name, cell in wanted.items():
        held = _held(folder / name)
        changed = [key for key in cell if key not in NO_MATTER and held is not None and held.get(key) != cell[key]]
        if changed:
            changed = [key for key in changed if key != "plan_digest"] or ["plan_digest: another plan, as of a trace"]
            raise InputError(f"{folder / name} holds a cell with other settings ({', '.join(changed)}); {ELSEWHERE}")
    record = extended(read_record(folder), suite, runs, inputs, folder)
    (folder / store.CHECKSUMS).unlink(missing_ok=True)  # from here on it would be wrong, until the command ends
    store.write_json(folder / store.SUITE, record.model_dump(mode="json"))
    for name, cell in wanted.items():
        store.write_json(folder / name / store.RUN, cell)
    return record


def extended(
    held: SuiteRecord | None, suite: Suite, runs: Sequence[Run], inputs: Mapping[str, Any], folder: Path
) -> SuiteRecord:
    """What `folder` says of itself with this command's grid added; `held` is what it says so far.

    Of a folder that says nothing, as earlier versions left it, the cells are read instead.
    """
    settings = suite.model_dump(mode="json", include=set(Settings.model_fields) - JUDGMENT)
    digest = suite_digest(settings, inputs)
    if held and held.digest != digest:
        raise InputError(
            f"{folder} holds a suite with other settings ({_changed(held, settings, inputs)}); {ELSEWHERE}"
        )
    cells = [run.model_dump(mode="json") | {"name": run.name} for run in runs] + ([] if held else _cells_in(folder))
    trained = [cell for cell in cells if cell["objective"] is not None]
    grid: dict[str, Any] = {
        key: _union(getattr(held, key) if held else (), (cell[axis] for cell in trained)) for key, axis in AXES.items()
    }
    _check_search(held, suite, grid["seeds"], folder)
    return SuiteRecord(
        name=held.name if held else suite.name,
        digest=digest,
        settings=settings,
        inputs=dict(inputs),
        collapse=suite.collapse,
        baseline=_baseline(held, suite, folder),
        hyperparameters=_hyperparameters(held, trained, folder),
        cells=_union(held.cells if held else (), (cell["name"] for cell in cells)),
        search=suite.search or (held.search if held else None),
        **grid,
    )


def _union(held: Iterable[Any], new: Iterable[Any]) -> tuple[Any, ...]:
    """All values, each once, in the order of first mention."""
    return tuple(dict.fromkeys([*held, *new]))


def _changed(held: SuiteRecord, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """The names of settings and inputs that differ."""
    pairs = ((held.settings, settings), (held.inputs, inputs))
    return ", ".join(key for old, new in pairs for key in new if new[key] != old.get(key, LATER.get(key)))


def _baseline(held: SuiteRecord | None, suite: Suite, folder: Path) -> str:
    """That of the folder's first command. A suite that names none takes it over; one that names another is refused."""
    if held is None or suite.baseline == held.baseline:
        return suite.baseline
    if "baseline" in suite.model_fields_set:
        raise InputError(
            f"baseline={suite.baseline}, but the tests of {folder} are against {held.baseline} since its first "
            f"command; {ELSEWHERE}"
        )
    return held.baseline


def _hyperparameters(held: SuiteRecord | None, cells: Sequence[Any], folder: Path) -> dict[str, dict[str, Any]]:
    """By objective; of one objective they are the same in all cells, or else a mean over seeds would be one of both."""
    known = dict(held.hyperparameters) if held else {}
    for cell in cells:
        name, own = cell["objective"], cell["hyperparameters"]
        other = known.setdefault(name, own)
        if changed := [key for key in {**other, **own} if key not in own or own[key] != other.get(key)]:
            raise InputError(f"{folder} holds {name} with other hyperparameters ({', '.join(changed)}); {ELSEWHERE}")
    return known


def _check_search(held: SuiteRecord | None, suite: Suite, seeds: Sequence[int], folder: Path) -> None:
    """An InputError for a search on seeds that the folder reports, or on other problems than it searched before."""
    search = suite.search or (held.search if held else None)
    if search is None:
        return
    if both := [seed for seed in search.seeds if seed in seeds]:
        raise InputError(
            f"search.seeds holds {both[0]}, a seed of cells in {folder}: learning rates are chosen on others; "
            f"change it, or {ELSEWHERE}"
        )
    if held and held.search and held.search.problems != search.problems:
        raise InputError(
            f"search.problems={search.problems}, but {folder} was searched on {held.search.problems}; {ELSEWHERE}"
        )


def _cells_in(folder: Path) -> list[dict[str, Any]]:
    """The configurations of all cells in a folder, with their names; damaged ones are left out."""
    cells = []
    for path in sorted(folder.glob(f"*/{store.RUN}")):
        try:
            cell = store.read_json(path)
        except InputError:
            continue
        if isinstance(cell, dict) and {"objective", "hyperparameters", "lag", "mismatch", "seed"} <= cell.keys():
            cells.append(cell | {"name": path.parent.name})
    return cells


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
    """A cell's configuration, its id, what its objective reads and promises, and its paper's conventions."""
    described: dict[str, Any] = {
        "id": run.id,
        "reads": [],
        "paper": {},
        "balanced": False,
        **run.model_dump(mode="json"),
    }
    if run.objective is not None:
        entry = OBJECTIVES.get(run.objective)
        described |= {"reads": list(entry.reads), "paper": entry.conventions.names}
        described["balanced"] = entry.conventions.balanced
        described["plan_digest"] = plan_digest(run)
    return described


def plan_digest(run: Run) -> str | None:
    """Of the plan as it is known before the run, so that a changed trace is noticed; None where a model has its say."""
    return None if "lengths" in resolve(run.lag).entry.reads else planned(run.lag, run, run.seed).digest
