"""What a results folder says of itself, with one more command's grid added: `suite.json` grows, and says by what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from .. import store
from ..config import JUDGMENT, LATER, Run, Settings, Suite
from ..record import Declaration, SuiteRecord, changed_code, suite_digest
from ..registry import OBJECTIVES
from ..types import InputError
from .cell import Execution
from .code import code_of

AXES = {"objectives": "objective", "lags": "lag", "mismatch": "mismatch", "seeds": "seed"}  # of a suite, of a cell
ELSEWHERE = "use another --results folder"


def extension(before: SuiteRecord | None, record: SuiteRecord) -> Iterator[str]:
    """That a command has extended the family of tests which an earlier one declared."""
    if before and record.tests > before.tests:
        last = record.declared[-1]
        axes = ("objectives", "lags", "mismatch")
        added = [f"{key} {', '.join(values)}" for key in axes if (values := getattr(last, key))]
        yield (
            f"This command extends the family of the folder's tests from {before.tests} to {record.tests} "
            f"({'; '.join(added) or 'further combinations'}); its reports say so."
        )


def extended(
    held: SuiteRecord | None,
    suite: Suite,
    runs: Sequence[Run],
    inputs: Mapping[str, Any],
    folder: Path,
    how: Execution,
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
    code = {what: digest for run in runs for what, digest in code_of(run).items()}
    hyperparameters = _hyperparameters(_still_valid(held, code, how), trained, folder)
    record = SuiteRecord(
        name=held.name if held else suite.name,
        digest=digest,
        settings=settings,
        inputs=dict(inputs),
        collapse=suite.collapse,
        baseline=baseline_of(held, suite, folder),
        hyperparameters=hyperparameters,
        cells=_union(held.cells if held else (), (cell["name"] for cell in cells)),
        search=suite.search or (held.search if held else None),
        adjusted=_adjusted(held, hyperparameters, {run.objective for run in runs}),
        code=(held.code if held else {}) | code,
        declared=held.declared if held else (),
        **grid,
    )
    return record.model_copy(update={"declared": (*record.declared, *_declaration(held, record, how.command))})


def _declaration(held: SuiteRecord | None, record: SuiteRecord, command: str) -> Iterator[Declaration]:
    """What the command adds, if anything."""
    added = {key: _without(getattr(record, key), getattr(held, key) if held else ()) for key in AXES}
    tests = held.tests if held else 0
    if any(added.values()) or record.tests != tests:
        yield Declaration(
            date=date.today().isoformat(), command=command, tests_before=tests, tests=record.tests, **added
        )


def _without(values: Iterable[Any], others: Collection[Any]) -> tuple[Any, ...]:
    return tuple(value for value in values if value not in others)


def _union(held: Iterable[Any], new: Iterable[Any]) -> tuple[Any, ...]:
    """All values, each once, in the order of first mention."""
    return tuple(dict.fromkeys([*held, *new]))


def _changed(held: SuiteRecord, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """The names of settings and inputs that differ."""
    pairs = ((held.settings, settings), (held.inputs, inputs))
    return ", ".join(key for old, new in pairs for key in new if new[key] != old.get(key, LATER.get(key)))


def baseline_of(held: SuiteRecord | None, suite: Suite, folder: Path) -> str:
    """That of the folder's first command. A suite that names none takes it over; one that names another is refused."""
    if held is None or suite.baseline == held.baseline:
        return suite.baseline
    if "baseline" in suite.model_fields_set:
        raise InputError(
            f"baseline={suite.baseline}, but the tests of {folder} are against {held.baseline} since its first "
            f"command; {ELSEWHERE}"
        )
    return held.baseline


def _still_valid(held: SuiteRecord | None, code: Mapping[str, str], how: Execution) -> dict[str, dict[str, Any]]:
    """The hyperparameters that a folder knows, but of objectives whose code has changed: all their cells start over."""
    if held is None:
        return {}
    changed = () if how.keep_stale else changed_code(held.code, code)
    return {name: own for name, own in held.hyperparameters.items() if f"objective {name}" not in changed}


def _adjusted(
    held: SuiteRecord | None, hyperparameters: Mapping[str, Mapping[str, Any]], objectives: Collection[str | None]
) -> dict[str, dict[str, Any]]:
    """By objective, hyperparameters that differ from its defaults; what is said of those that are not run now stays."""
    known = dict(held.adjusted) if held else {}
    for name in hyperparameters.keys() & objectives:
        defaults = OBJECTIVES.get(name).options
        known[name] = {key: value for key, value in hyperparameters[name].items() if value != defaults.get(key)}
    return {name: its for name, its in known.items() if its}


def _hyperparameters(
    held: Mapping[str, dict[str, Any]], cells: Sequence[Any], folder: Path
) -> dict[str, dict[str, Any]]:
    """By objective; of one objective they are the same in all cells, or else a mean over seeds would be one of both."""
    known = dict(held)
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
