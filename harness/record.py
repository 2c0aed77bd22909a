"""What a results folder says of itself in `suite.json`: which suite its cells belong to, and all that was planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from . import store
from .config import CollapseRules, Search, digest_of, identifying
from .types import InputError

PLACES = {"model", "data", "task", "eval_tasks"}  # where something is found; what it holds is in the inputs' digests


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
