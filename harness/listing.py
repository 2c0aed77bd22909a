"""What `lagbench list` shows: flat records, the same for the table and for JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from pydantic_core import to_jsonable_python

from .config import CollapseRules, Suite, load_suite, packaged_suites
from .lag.schedules import SCHEDULES
from .registry import OBJECTIVES, TASKS, Entry


def objectives() -> list[dict[str, Any]]:
    """The `Batch` fields that each reads, its hyperparameters with their defaults, its paper, where it is."""
    return [_described(entry, _contract(entry)) for entry in OBJECTIVES.all().values()]


def _contract(entry: Entry) -> dict[str, Any]:
    return {"reads": list(entry.reads), "hyperparameters": entry.options, "paper": entry.conventions.names}


def tasks() -> list[dict[str, Any]]:
    """The options of each with their defaults, its origin, where it is."""
    return [_described(entry, {"options": entry.options}) for entry in TASKS.all().values()]


def _described(entry: Entry, contract: dict[str, Any]) -> dict[str, Any]:
    where = {"module": entry.module, "function": entry.function.__qualname__, "distribution": entry.distribution}
    about = {"name": entry.name, "description": entry.description}
    return {**about, **contract, "source": entry.source, **where, "page": entry.page}


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
            "default": "required" if field.is_required() else to_jsonable_python(field.get_default()),
            "description": field.description or "",
        }
        for name, field in Suite.model_fields.items()
    ]


def collapse() -> list[dict[str, Any]]:
    """The thresholds of the collapse verdict, each with its default and meaning."""
    return [
        {"name": f"collapse.{name}", "default": field.get_default(), "description": field.description or ""}
        for name, field in CollapseRules.model_fields.items()
    ]


def diagnostics() -> list[dict[str, Any]]:
    """What every update records, whatever the objective reads."""
    from .learn import diagnostics as measurements

    return [{"name": name, "description": description} for name, description in measurements.DIAGNOSTICS.items()]


LISTINGS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    f.__name__: f for f in (objectives, tasks, suites, lags, settings, collapse, diagnostics)
}


def preface(kind: str) -> str:
    """What a reader needs before the rows of a listing: rules, symbols. Empty for most."""
    homes = {"collapse": "evaluate.collapse", "diagnostics": "learn.diagnostics"}
    if kind not in homes:
        return ""
    return inspect.cleandoc(import_module(f".{homes[kind]}", __package__).__doc__ or "")


def markdown(kind: str) -> str:
    """A listing as a page: a table, then a section for every entry that comes with a page of its own."""
    rows = LISTINGS[kind]()
    title = f"# {kind.capitalize()}\n\nMade by `lagbench list {kind} --markdown`."
    parts = [title, preface(kind), _table(rows), *(_section(row) for row in rows if row.get("page"))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    columns = [key for key in ("default", "description", "source") if key in rows[0]]
    lines = [["name", *columns], ["---"] * (1 + len(columns))]
    for row in rows:
        name = f"[{row['name']}](#{row['name']})" if row.get("page") else f"`{row['name']}`"
        lines.append([name, *(str(row[key]).replace("|", "\\|") for key in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(row: dict[str, Any]) -> str:
    contract = [key for key in ("reads", "hyperparameters", "options", "paper") if row.get(key)]
    facts = "\n".join(f"- {key}: {_value(row[key])}" for key in contract)
    return f"## {row['name']}\n\n{row['description']}\n\n{facts}\n\n{row['page']}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"`{key}={default}`" for key, default in value.items())
    return ", ".join(f"`{part}`" for part in value)
