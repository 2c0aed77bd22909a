"""Results folders of several people or machines as one, where they fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..config import JUDGMENT
from ..record import UNRECORDED, SuiteRecord, changed_code
from .results import Cell, Results, Tuning

GRID = ("objectives", "lags", "mismatch", "seeds", "cells", "kept", "declared")
STATES = (
    "finished",
    "failed",
    "unfinished",
    "stale",
    "missing",
)  # the first is taken where a cell is in several folders


def misfit(results: Results, first: Results) -> str:
    """Why these results cannot stand in one table with the first ones, in words; empty where they can."""
    mine, other = results.suite, first.suite
    if mine.digest != other.digest:
        found = [*_differences(mine.settings, other.settings), *_differences(mine.inputs, other.inputs)]
        return f"of another suite: {', '.join(found)}"
    if mine.collapse != other.collapse:
        return "other thresholds of collapse"
    if mine.baseline != other.baseline:
        return f"its baseline is {mine.baseline}, not {other.baseline}"
    for name in mine.hyperparameters.keys() & other.hyperparameters.keys():
        if found := _differences(mine.hyperparameters[name], other.hyperparameters[name]):
            return f"its {name} has other hyperparameters: {', '.join(found)}"
    return _other_code(mine, other)


def _other_code(mine: SuiteRecord, other: SuiteRecord) -> str:
    """That the same names stand for other code, in words; of two folders that recorded none nothing can be said."""
    changed = changed_code(mine.code, other.code) or changed_code(other.code, mine.code)
    if UNRECORDED in changed:
        return "one of both was made by a version of LagBench that did not record its code"
    found = [f"{what} {mine.code[what]}, not {other.code[what]}" for what in changed]
    return f"made by other code: {', '.join(found)}" if found else ""


def _differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """`key value, not value` of what differs."""
    keys = [key for key in dict.fromkeys([*mine, *other]) if mine.get(key) != other.get(key) and key not in JUDGMENT]
    return [f"{key} {_short(mine.get(key))}, not {_short(other.get(key))}" for key in keys]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def merge(all_of_them: Sequence[Results]) -> Results:
    """One table of results that fit. A cell that several folders hold is taken from the first that has finished it."""
    first, *others = all_of_them
    if not others:
        return first
    cells: dict[str, Cell] = {}
    for results in all_of_them:
        for cell in results.cells:
            held = cells.get(cell.name)
            if held is None or _rank(cell) < _rank(held):
                cells[cell.name] = cell
    grid: dict[str, Any] = {
        key: {name: held for r in reversed(all_of_them) for name, held in getattr(r.suite, key).items()}
        for key in ("hyperparameters", "adjusted", "code")
    }
    grid |= {key: tuple(dict.fromkeys(v for r in all_of_them for v in getattr(r.suite, key))) for key in GRID}
    return replace(
        first,
        suite=first.suite.model_copy(update=grid),
        cells=tuple(cells.values()),
        proofs=tuple(proofs for results in all_of_them for proofs in results.proofs),
        folders={source: folder for results in all_of_them for source, folder in results.folders.items()},
        tuning=_one_search(all_of_them),
        remarks=_twice(all_of_them),
        checksums={source: digest for results in all_of_them for source, digest in results.checksums.items()},
    )


def _rank(cell: Cell) -> int:
    """The lower one is taken. A run that ended non-finite has ended: no later one may take its place."""
    return 0 if cell.scores or cell.non_finite else STATES.index(cell.state)


def _one_search(all_of_them: Sequence[Results]) -> Tuning | None:
    """The first search, with what others of the same budget chose for further objectives."""
    tunings = [results.tuning for results in all_of_them if results.tuning]
    if not tunings:
        return None
    first = tunings[0]
    chosen = {name: choice for t in reversed(tunings) if t.budget == first.budget for name, choice in t.chosen.items()}
    return replace(first, chosen=chosen, proofs={name: found for t in tunings for name, found in t.proofs.items()})


def _twice(all_of_them: Sequence[Results]) -> dict[str, str]:
    """By source, how many of its cells an earlier folder has finished too, and whether their weights are the same."""
    taken: dict[str, Cell] = {}
    remarks = {}
    for results in all_of_them:
        again = [cell for cell in results.cells if _rank(cell) == 0 and cell.name in taken]
        if again:
            same = sum(cell.weights_digest == taken[cell.name].weights_digest for cell in again)
            remarks[results.name] = f"{len(again)} cells are in an earlier folder too, {same} with the same weights"
        taken |= {cell.name: cell for cell in results.cells if _rank(cell) == 0 and cell.name not in taken}
    return remarks
