"""From the folders that a command names to one table: read, verified, merged. What does not belong is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checksums import damaged_cells, manifest_digest, verify_manifest
from ..record import why as reason
from ..store import CHECKSUMS
from ..types import InputError
from .gates import gates
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
    for i, results in enumerate(found):
        for other, before in zip(folders[:i], found[:i], strict=True):
            if why := misfit(results, before):
                raise InputError(f"{folders[i]} does not belong into one report with {other}: {why}")
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
            if why := _unfit(results, found):
                raise InputError(why)
        except InputError as error:
            refused.append(Refused(folder, str(error)))
        else:
            found.append(results)
    if not found:
        raise InputError("; ".join(f"{one.folder} refused: {one.why}" for one in refused))
    return merge(found), refused


def _unfit(results: Results, found: Sequence[Results]) -> str:
    """Why a folder cannot join a leaderboard, in words; empty where it can."""
    if failed := next((gate for gate in gates(results) if gate.passed is False), None):
        return f"a gate has failed: {failed.name}: {failed.detail}"
    if mixed := next((cell for cell in results.cells if cell.scores and cell.changed), None):
        return f"its cells are of different code: {mixed.name} was kept although {reason(mixed.changed)}"
    digests = {digest: name for other in found for name, digest in other.checksums.items()}
    if twin := next((digests[digest] for digest in results.checksums.values() if digest in digests), None):
        return f"the same results as {twin}"
    return next((why for other in found if (why := misfit(results, other))), "")


def _read(folder: Path, name: str) -> Results:
    """Results that are as their run left them; without a manifest, cells that are as they left themselves."""
    has_manifest = folder.is_dir() and manifest_digest(folder) is not None
    if has_manifest:
        _require_unchanged(folder, verify_manifest(folder, deep=True))
    results = read_results(folder, name)
    if not has_manifest:
        _require_unchanged(folder, damaged_cells(folder))
    return replace(results, tuning=read_tuning(folder, name))


def _require_unchanged(folder: Path, wrong: Sequence[str]) -> None:
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{folder} has been changed: {wrong[0]}{more}; `lagbench run` makes damaged cells again")


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, numbered where several have the same."""
    own = [folder.resolve().name for folder in folders]
    return [name if own.count(name) == 1 else f"{name} ({own[: i + 1].count(name)})" for i, name in enumerate(own)]
