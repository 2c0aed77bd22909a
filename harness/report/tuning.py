"""The search for learning rates, read: which rate every objective got, and the cells that were trained at it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import store
from ..types import InputError
from . import document as doc
from .results import Cell, Choice, Results, Tuning, read_results


def read_tuning(folder: Path, source: str) -> Tuning | None:
    """What the search in a results folder has chosen; None where there was none, or it has not come to its end."""
    held = store.read_json(folder / store.SEARCH / store.CHOSEN)
    if held is None:
        return None
    try:
        places = {choice["folder"] for choice in held["objectives"].values()} - {store.OWN}
        parts = {place: _part(folder / place, f"{source}/{place}") for place in sorted(places)}
        chosen = {
            name: Choice(choice["learning_rate"], choice["scores"], _of(name, parts.get(choice["folder"])))
            for name, choice in held["objectives"].items()
        }
        proofs = {part.name: part.proofs[0] for part in parts.values() if part}
        return Tuning(held["budget"], chosen, tuple(held["unfinished"]), proofs)
    except (KeyError, TypeError, AttributeError) as error:
        path = folder / store.SEARCH / store.CHOSEN
        raise InputError(f"{path} is damaged ({error!r}); run the suite again, it writes it anew") from None


def _part(folder: Path, name: str) -> Results | None:
    """The results at one rate; None before they were begun."""
    return read_results(folder, name) if folder.is_dir() else None


def _of(objective: str, part: Results | None) -> tuple[Cell, ...] | None:
    return None if part is None else tuple(cell for cell in part.trained if cell.axes.objective == objective)


def search_of(results: Results) -> doc.Search | None:
    """How learning rates were chosen, for the report."""
    tuning = results.tuning
    if tuning is None:
        return None
    budget = tuning.budget
    return doc.Search(
        learning_rates=tuple(budget["learning_rates"]),
        lags=tuple(budget["lags"]),
        seeds=tuple(budget["seeds"]),
        problems=budget["problems"],
        runs_per_objective=budget["runs_per_objective"],
        text=_text(budget, tuning),
    )


def _text(budget: Mapping[str, Any], tuning: Tuning) -> str:
    rates = ", ".join(f"{rate:g}" for rate in budget["learning_rates"])
    without = f" Not chosen for, as runs are missing: {', '.join(tuning.unfinished)}." if tuning.unfinished else ""
    return (
        f"Two columns: the suite's own learning rate for all, and the best of {rates} for each, by mean pass@1 "
        f"on {budget['problems']} problems of the training set, seeds {', '.join(map(str, budget['seeds']))}, "
        f"lags {', '.join(budget['lags'])}; {budget['runs_per_objective']} runs of {budget['updates']} updates for "
        f"each objective alike. The unit of retained gain is the same in both.{without}"
    )
