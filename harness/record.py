"""What a results folder says of itself in `suite.json`: which suite its cells belong to, and all that was planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from . import store
from .config import NO_MISMATCH, CollapseRules, Search, cell_name, digest_of, identifying
from .types import InputError

PLACES = {"model", "data", "task", "eval_tasks"}  # where something is found; what it holds is in the inputs' digests
HARNESS = "harness"  # of a cell's code: what an edit of does not make cells stale, but has determinism proven again
UNRECORDED = "code that was not recorded"  # of cells of versions that recorded none


class Place(NamedTuple):
    """Where a planned cell stands. The base model has no objective."""

    name: str
    objective: str | None
    lag: str  # `sync` and `constant:0` are one plan under two names, and one place
    mismatch: str
    seed: int


class Declaration(BaseModel):
    """What a command added to what was planned in a folder: the first one declares it, later ones extend it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    date: str
    """Year-month-day."""
    command: str
    tests_before: int
    """Comparisons with the baseline that were planned before; the seeds of one comparison are one test."""
    tests: int
    """That are planned since."""
    objectives: tuple[str, ...] = ()
    lags: tuple[str, ...] = ()
    mismatch: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


class SuiteRecord(BaseModel):
    """What `suite.json` holds. The grid is the union over all commands in the folder, in the order of first mention."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal["lagbench-suite@1"] = "lagbench-suite@1"
    name: str
    """Of the suite of the first command."""
    digest: str
    """Of everything that all cells share: see `suite_digest`."""
    settings: dict[str, Any]
    """What all cells share, as plain values."""
    inputs: dict[str, Any]
    """model_digest; data_digest and data_rows by task."""
    collapse: CollapseRules
    """Of the last command."""
    baseline: str
    """Of the first command: the family of tests does not change once there are results."""
    objectives: tuple[str, ...]
    lags: tuple[str, ...]
    """In canonical spelling, as mismatch is."""
    mismatch: tuple[str, ...]
    seeds: tuple[int, ...]
    hyperparameters: dict[str, dict[str, Any]]
    """By objective, all of them resolved."""
    cells: tuple[str, ...]
    """Names of all that were planned; the commands need not fill the whole grid."""
    search: Search | None = None
    """Of the last command that had one."""
    adjusted: dict[str, dict[str, Any]] = {}
    """By objective, those hyperparameters that differ from its defaults."""
    code: dict[str, str] = {}
    """By what it is of, the digest of the code that counts here: that of the last command that used it."""
    kept: tuple[str, ...] = ()
    """Names of cells that count although other code has made them: a command was told to keep them."""
    declared: tuple[Declaration, ...] = ()
    """By every command that added something, the first one first."""

    def places(self) -> Iterator[Place]:
        """Of all planned cells."""
        grid = [(None, "sync", NO_MISMATCH, 0), *product(self.objectives, self.lags, self.mismatch, self.seeds)]
        planned = set(self.cells)
        for objective, lag, mismatch, seed in grid:
            if (name := cell_name(objective, lag, mismatch, seed)) in planned:
                yield Place(name, objective, folded(lag), mismatch, seed)

    @property
    def tests(self) -> int:
        """Planned comparisons: of every other objective with the baseline, wherever it is planned."""
        return len(
            {(p.objective, p.lag, p.mismatch) for p in self.places() if p.objective not in (None, self.baseline)}
        )

    def changed_since(self, cell: Mapping[str, Any]) -> tuple[str, ...]:
        """What of the code has changed since a cell was made, of which this is the `run.json`."""
        return changed_code(cell.get("code"), self.code)


def folded(lag: str) -> str:
    """`sync` and `constant:0` are one plan under two names."""
    return "constant:0" if lag == "sync" else lag


def changed_code(made: Mapping[str, str] | None, now: Mapping[str, str]) -> tuple[str, ...]:
    """What of the code that made a cell is another now, as far as both are known; not whether the harness is."""
    if not made:
        return (UNRECORDED,) if now else ()
    return tuple(what for what in made if what != HARNESS and now.get(what, made[what]) != made[what])


def why(changed: Sequence[str]) -> str:
    """What has changed, in words."""
    if UNRECORDED in changed:
        return "made by a version of LagBench that did not record its code"
    return f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed since"


def suite_digest(settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """What makes results comparable, as 16 hex digits: folders of one digest can be put into one table.

    `settings` are those that all cells share, judgment keys and keys at the default that they came with left out;
    `inputs` the digests of the model, and digests and row counts of its tasks by name. Objectives, their
    hyperparameters, lags, mismatches and seeds have no part in it, and neither has where model and data are found.
    """
    shared = {key: value for key, value in identifying(settings).items() if key not in PLACES}
    tasks = [settings["task"], *(settings["eval_tasks"] or [settings["task"]])]  # trained on, then evaluated on
    held = [(_bare(name), inputs["data_digest"][name], inputs["data_rows"][name]) for name in tasks]
    return digest_of({"settings": shared, "model": inputs["model_digest"], "tasks": held})


def suite_id(record: SuiteRecord) -> str:
    """Tells suites apart that differ in a hyperparameter, too; the suite's digest where all are at their defaults."""
    return digest_of([record.digest, record.adjusted]) if record.adjusted else record.digest


def _bare(task: str) -> str:
    """A task's name without its data."""
    return task.partition(":")[0]


def read_record(folder: Path) -> SuiteRecord | None:
    """What a results folder says of itself; None without a `suite.json`, as of versions that wrote none.

    A file that is damaged, of another format, or whose digest is not that of its content is an InputError.
    """
    path = folder / store.SUITE
    if not path.exists():
        return None
    try:
        record = SuiteRecord.model_validate_json(path.read_bytes())
        digest = suite_digest(record.settings, record.inputs)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise InputError(f"{path} is damaged or not of this version of lagbench ({where}: {first['msg']})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error})") from None
    if digest != record.digest:
        raise InputError(f"{path}: its digest {record.digest} is not that of its settings and inputs, {digest}")
    return record
