"""From the folders that a command names to one table: read, verified, merged. What does not belong is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checksums import damaged_cells, manifest_digest, verify_manifest
from ..store import CHECKSUMS
from ..types import InputError
from .merge import merge, misfit
from .results import Results, read_results
from .tuning import read_tuning


@dataclass(frozen=True)
class Refused:
    """A folder that is not in the table, and why."""

    folder: Path
    why: str


def gather(folders: Sequence[Path]) -> Results:
    """All folders as one; an InputError for the first that is damaged or does not fit the others."""
    found = [_read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    for folder, results in zip(folders, found, strict=True):
        if why := misfit(results, found[0]):
            raise InputError(f"{folder} does not belong into one report with {folders[0]}: {why}")
    return merge(found)


def gather_fitting(folders: Sequence[Path]) -> tuple[Results, list[Refused]]:
    """All folders that fit the first that can be read, as one, and the others; an InputError where none can."""
    found: list[Results] = []
    refused: list[Refused] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            results = _read(folder, name)
            if manifest_digest(folder) is None:
                raise InputError(f"no {CHECKSUMS}: the run has not come to its end")
            if found and (why := misfit(results, found[0])):
                raise InputError(why)
        except InputError as error:
            refused.append(Refused(folder, str(error)))
        else:
            found.append(results)
    if not found:
        raise InputError("; ".join(f"{one.folder} refused: {one.why}" for one in refused))
    return merge(found), refused


def _read(folder: Path, name: str) -> Results:
    """Results that are as their run left them; without a manifest, cells that are as they left themselves."""
    results = read_results(folder, name)
    results = replace(results, tuning=read_tuning(folder, name))
    wrong = damaged_cells(folder) if manifest_digest(folder) is None else verify_manifest(folder, deep=True)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{folder} has been changed: {wrong[0]}{more}; `lagbench run` makes damaged cells again")
    return results


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, numbered where several have the same."""
    own = [folder.resolve().name for folder in folders]
    return [name if own.count(name) == 1 else f"{name} ({own[: i + 1].count(name)})" for i, name in enumerate(own)]
