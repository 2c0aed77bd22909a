"""The part of a folder's results that one command asked for."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from ..record import SuiteRecord, folded
from .results import Cell, Results, Tuning

MOST = 6  # values of an axis that are listed


def narrowed(results: Results, names: Collection[str]) -> Results:
    """Results of the cells of these names alone, with a sentence on what else the folder holds."""
    cells = [cell for cell in results.cells if cell.name in names]
    others = [cell for cell in results.trained if cell.name not in names]
    if not others:
        return results
    return replace(
        results,
        suite=_of_cells(results.suite, cells),
        cells=cells,
        tuning=results.tuning and _of_names(results.tuning, names),
        elsewhere=_elsewhere(results, others),
    )


def _of_names(tuning: Tuning, names: Collection[str]) -> Tuning:
    """A search's choices and cells for these cells alone: at a tuned rate they have the same names."""
    objectives = {name.partition("-")[0] for name in names}
    chosen = {
        name: choice if choice.cells is None else replace(choice, cells=[c for c in choice.cells if c.name in names])
        for name, choice in tuning.chosen.items()
        if name in objectives
    }
    return replace(tuning, chosen=chosen)


def _of_cells(suite: SuiteRecord, cells: Collection[Cell]) -> SuiteRecord:
    """A record of these cells alone, each axis in the order that it had."""
    objectives, lags = {cell.axes.objective for cell in cells}, {cell.axes.lag for cell in cells}
    mismatches, seeds = {cell.axes.mismatch for cell in cells}, {cell.axes.seed for cell in cells}
    found: dict[str, Any] = {
        "objectives": tuple(name for name in suite.objectives if name in objectives),
        "lags": tuple(lag for lag in suite.lags if folded(lag) in lags),
        "mismatch": tuple(name for name in suite.mismatch if name in mismatches),
        "seeds": tuple(seed for seed in suite.seeds if seed in seeds),
        "cells": tuple(cell.name for cell in cells),
    }
    for key in ("hyperparameters", "adjusted"):
        found[key] = {name: its for name, its in getattr(suite, key).items() if name in objectives}
    return suite.model_copy(update=found)


def _elsewhere(results: Results, others: Collection[Cell]) -> str:
    """How much of the folder is not in the report, of what, and the command that shows it."""
    rest = _of_cells(results.suite, others)
    held = f"objectives {_listed(rest.objectives)}; lags {_listed(rest.lags)}; seeds {_listed(rest.seeds)}"
    command = shlex.join(["lagbench", "report", *map(str, results.folders.values())])
    return (
        f"This report is of what its command asked for; {results.name} holds {len(others)} more "
        f"cell{'s' * (len(others) > 1)} ({held}). `{command}` shows all."
    )


def _listed(values: Sequence[Any]) -> str:
    """The first ones by name."""
    more = [f"{len(values) - MOST} more"] if len(values) > MOST else []
    return ", ".join([*map(str, values[:MOST]), *more])
