"""What `lagbench list` shows: flat records, the same for the table and for JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .config import Suite, load_suite, packaged_suites
from .lag.schedules import SCHEDULES
from .registry import OBJECTIVES, TASKS, Entry


def objectives() -> list[dict[str, Any]]:
    """The `Batch` fields that each reads, its hyperparameters with their defaults, its paper, where it is."""
    return [
        _described(entry, {"reads": list(entry.reads), "hyperparameters": entry.options})
        for entry in OBJECTIVES.all().values()
    ]


def tasks() -> list[dict[str, Any]]:
    """The options of each with their defaults, its origin, where it is."""
    return [_described(entry, {"options": entry.options}) for entry in TASKS.all().values()]


def _described(entry: Entry, contract: dict[str, Any]) -> dict[str, Any]:
    where = {"module": entry.module, "function": entry.function.__qualname__, "distribution": entry.distribution}
    return {"name": entry.name, "description": entry.description, **contract, "source": entry.source, **where}


def suites() -> list[dict[str, Any]]:
    loaded = [load_suite(name) for name in packaged_suites()]
    return [
        {
            "name": suite.name,
            "objectives": list(suite.objectives),
            "lags": list(suite.lags),
            "seeds": list(suite.seeds),
            "updates": suite.updates,
            "description": suite.description,
        }
        for suite in loaded
    ]


def lags() -> list[dict[str, Any]]:
    return [
        {"name": name, "description": (inspect.getdoc(schedule) or "").replace("\n", " ")}
        for name, schedule in SCHEDULES.items()
    ]


def settings() -> list[dict[str, Any]]:
    """The keys of a suite, each with its default and meaning."""
    return [
        {
            "name": name,
            "default": "required" if field.is_required() else field.get_default(),
            "description": field.description or "",
        }
        for name, field in Suite.model_fields.items()
    ]


LISTINGS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    f.__name__: f for f in (objectives, tasks, suites, lags, settings)
}
