"""A search for every objective's learning rate: on seeds and problems of its own, with the same budget for all.

Every rate that is tried is a suite, and so is every rate that was chosen; each has a results folder of its own within
that of the suite that asks for the search. The choice is read from their files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from .. import store
from ..config import NO_MISMATCH, Search, Suite, cell_name, validated
from ..lag import resolve
from ..record import SuiteRecord, read_record
from ..rollout.mismatch import spelled

DIGITS = 12  # of a mean score; beyond, two are a tie


def rate_text(rate: float) -> str:
    """A learning rate as files and folders name it: the shortest text that reads back as the same number.

    >>> rate_text(3e-05), rate_text(0.0001)
    ('3e-05', '0.0001')
    """
    return repr(float(rate))


def rate_folder(kind: str, rate: float) -> str:
    """The folder of a rate's results, in that of the suite; `kind` is search or tuned."""
    return f"{kind}/lr-{rate_text(rate)}"


def searched(suite: Suite) -> dict[float, Suite]:
    """The suite of every rate that is tried: validation problems in the place of all tests, seeds of the search."""
    if suite.search is None:
        return {}
    problems = suite.search.problems
    changes: dict[str, Any] = {
        "lags": suite.search.lags or suite.lags,
        "mismatch": _mismatch(suite),
        "seeds": suite.search.seeds,
        "validation": problems,
        "eval_problems": problems,
        "eval_tasks": (),
        "eval_at": (),
    }
    return {rate: _derived(suite, changes | {"learning_rate": rate}) for rate in suite.search.learning_rates}


def tuned(suite: Suite, rates: Mapping[str, float]) -> dict[float, Suite]:
    """The suite of every chosen rate but the suite's own, for the objectives that chose it; `rates` is by objective."""
    by_rate: dict[float, list[str]] = {}
    for objective in suite.objectives:
        if rates.get(objective, suite.learning_rate) != suite.learning_rate:
            by_rate.setdefault(rates[objective], []).append(objective)
    hyperparameters = suite.hyperparameters
    return {
        rate: _derived(
            suite,
            {
                "learning_rate": rate,
                "objectives": objectives,
                "hyperparameters": {name: hyperparameters[name] for name in objectives if name in hyperparameters},
            },
        )
        for rate, objectives in sorted(by_rate.items())
    }


def choose(suite: Suite, search: Search, objectives: Sequence[str], folder: Path) -> dict[str, Any]:
    """What `chosen.json` holds: for each objective the rate with the highest mean pass@1 on the validation problems.

    The mean is over the lags, mismatches and seeds of the search. A cell that ended non-finite counts 0; an objective
    with a cell that has neither a score nor ended so is not chosen for. `folder` is that of the suite.
    """
    lags = [resolve(lag).text for lag in search.lags or suite.lags]
    mismatches = [spelled(mismatch) for mismatch in _mismatch(suite)]
    axes = [(lag, mismatch, seed) for lag in lags for mismatch in mismatches for seed in search.seeds]
    records = {rate: read_record(folder / rate_folder(store.SEARCH, rate)) for rate in search.learning_rates}
    runs = len(search.learning_rates) * len(axes)
    chosen: dict[str, Any] = {}
    unfinished: dict[str, int] = {}
    for objective in objectives:
        scores = {
            rate: [
                score(folder / rate_folder(store.SEARCH, rate) / cell_name(objective, *cell), records[rate])
                for cell in axes
            ]
            for rate in search.learning_rates
        }
        if missing := sum(value is None for values in scores.values() for value in values):
            unfinished[objective] = missing
            continue
        means = {rate: fmean(value or 0.0 for value in values) for rate, values in scores.items()}
        best = best_rate(means, suite.learning_rate)
        chosen[objective] = {
            "learning_rate": best,
            "folder": store.OWN if best == suite.learning_rate else rate_folder(store.TUNED, best),
            "scores": {rate_text(rate): mean for rate, mean in means.items()},
            "runs": runs,
        }
    budget = {
        "learning_rates": list(search.learning_rates),
        "lags": lags,
        "mismatch": mismatches,
        "seeds": list(search.seeds),
        "problems": search.problems,
        "updates": suite.updates,
        "runs_per_objective": runs,
    }
    return {"learning_rate": suite.learning_rate, "budget": budget, "objectives": chosen, "unfinished": unfinished}


def best_rate(means: Mapping[float, float], fixed: float) -> float:
    """The rate of the highest mean; of several, the nearest to `fixed` by ratio, and then the smaller.

    >>> best_rate({3e-5: 0.4, 1e-4: 0.5, 3e-4: 0.5}, fixed=1e-3)
    0.0003
    """
    return min(means, key=lambda rate: (-round(means[rate], DIGITS), round(abs(math.log(rate / fixed)), DIGITS), rate))


def score(cell: Path, record: SuiteRecord | None) -> float | None:
    """Final pass@1 of a finished cell, 0 of one that ended non-finite; None of any other, and of a stale one."""
    if record and cell.name not in record.kept and record.changed_since(store.read_json(cell / store.RUN) or {}):
        return None
    if result := store.read_json(cell / store.RESULT):
        return float(result["scores"]["pass@1"]["mean"])
    failed = store.read_json(cell / store.FAILED) or {}
    return None if failed.get("non_finite_update") is None else 0.0


def outcome(chosen: Mapping[str, Any]) -> list[str]:
    """Lines that tell what was chosen, and for which objectives nothing could be."""
    rates = chosen["budget"]["learning_rates"]
    edges = {max(rates): " (the highest tried)", min(rates): " (the lowest tried)"} if len(rates) > 1 else {}
    found = {name: choice["learning_rate"] for name, choice in chosen["objectives"].items()}
    lines = [f"chosen: {name} {rate_text(rate)}{edges.get(rate, '')}" for name, rate in found.items()]
    runs = chosen["budget"]["runs_per_objective"]
    return lines + [
        f"not chosen: {name}: {missing} of the {runs} runs of its search have no score"
        for name, missing in chosen["unfinished"].items()
    ]


def _mismatch(suite: Suite) -> tuple[str, ...]:
    """Of the search: none, where the suite has that; else all of the suite's."""
    return (NO_MISMATCH,) if NO_MISMATCH in suite.mismatch else suite.mismatch


def _derived(suite: Suite, changes: Mapping[str, Any]) -> Suite:
    """The suite with some keys changed and without the search."""
    return validated(Suite, suite.model_dump() | {"search": None} | dict(changes))
