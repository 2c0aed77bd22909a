"""What `lagbench list` shows: flat records, the same for the table and for JSON."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from pydantic_core import to_jsonable_python

from .config import CollapseRules, Search, Suite, load_suite, packaged_suites
from .lag import resolve
from .lag.aliases import ALIASES, BOUNDS
from .lag.planning import form
from .registry import OBJECTIVES, REQUIRED, SCHEDULES, TASKS, Entry


def objectives() -> list[dict[str, Any]]:
    """The `Batch` fields that each reads, its hyperparameters with their defaults, its paper, where it is."""
    return [_described(entry, _contract(entry)) for entry in OBJECTIVES.all().values()]


def _contract(entry: Entry) -> dict[str, Any]:
    return {"reads": list(entry.reads), "hyperparameters": entry.options, "paper": entry.conventions.names}


def tasks() -> list[dict[str, Any]]:
    """The options of each with their defaults, its origin, licence and number of rows, where it is."""
    return [_described(entry, {"options": entry.options, **_stated(entry)}) for entry in TASKS.all().values()]


def _stated(entry: Entry) -> dict[str, str]:
    """What a task's page says after `Rows:` and `Licence:`; empty where it says nothing."""
    found = {key: re.search(rf"^{key}: (.+)$", entry.page, re.MULTILINE) for key in ("Rows", "Licence")}
    return {key.lower(): match[1] if match else "" for key, match in found.items()}


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
    """The schedules: how each is written, its options with their defaults, its source; then other systems' knobs.

    Of a knob also an example, the schedule that the example stands for, and whether its system holds the bound hard.
    """
    schedules = [_lag(entry, page=_remarks(entry)) for entry in SCHEDULES.all().values()]
    return [*schedules, *(_lag(entry, **_resolved(entry)) for entry in ALIASES.values())]


def _lag(entry: Entry, example: str = "", stands_for: str = "", bound: str = "", page: str = "") -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description,
        "form": form(entry),
        "options": entry.options,
        "example": example,
        "stands_for": stands_for,
        "bound": bound,
        "source": entry.source,
        "distribution": "" if stands_for else entry.distribution,  # aliases come with LagBench only
        "page": page,
    }


def _remarks(entry: Entry) -> str:
    """The docstring of the function without its first line, which is the description."""
    return (inspect.getdoc(entry.function) or "").partition("\n")[2].strip()


def _resolved(alias: Entry) -> dict[str, str]:
    example = _example(alias)
    return {"example": example, "stands_for": resolve(example).text, "bound": BOUNDS[alias.name]}


def _example(entry: Entry) -> str:
    """An alias with values for its options: 0.5 for a fraction, 4 for the first whole number and 2 for the second."""
    whole = iter(("4", "2"))
    values = ["0.5" if field.annotation is float else next(whole) for field in entry.schema.model_fields.values()]
    return ":".join([entry.name, *([",".join(values)] if values else [])])


def settings() -> list[dict[str, Any]]:
    """The keys of a suite, each with its default and meaning."""
    fields = Suite.model_fields | {f"search.{name}": field for name, field in Search.model_fields.items()}
    return [
        {
            "name": name,
            "default": "required" if field.is_required() else to_jsonable_python(field.get_default()),
            "description": field.description or "",
        }
        for name, field in fields.items()
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

    both = measurements.DIAGNOSTICS | measurements.OF_ENGINES
    return [{"name": name, "description": description} for name, description in both.items()]


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
    made = f"Made by `lagbench list {kind} --markdown`."
    if kind == lags.__name__:
        parts = ["# Lag schedules", made, *_lag_parts(rows)]
    else:
        columns = ("default", "description", "rows", "licence", "source")
        parts = [f"# {kind.capitalize()}", made, preface(kind), _table(rows, columns)]
        parts += [_section(row) for row in rows if row.get("page")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lag_parts(rows: list[dict[str, Any]]) -> Iterator[str]:
    schedules, knobs = [row for row in rows if not row["stands_for"]], [row for row in rows if row["stands_for"]]
    yield (
        "What they are for, and how to write your own: [lag.md](lag.md). U updates in a run, P prompt groups in an\n"
        "update; lag counts optimizer updates. Options stand in their order or as `option=value`, and\n"
        "`lagbench lag show SCHEDULE` shows a plan."
    )
    yield _table(schedules, ("form", "description", "source"))
    yield from (_section(row) for row in schedules)
    yield "## Settings of other systems"
    yield "Each is written in the place of a schedule and resolved to one, at its bound."
    yield _table(knobs, ("form", "example", "stands_for", "bound", "description"))


def _table(rows: list[dict[str, Any]], wanted: tuple[str, ...]) -> str:
    columns = [key for key in wanted if key in rows[0]]
    lines = [["name", *(column.replace("_", " ") for column in columns)], ["---"] * (1 + len(columns))]
    for row in rows:
        name = f"[{row['name']}](#{row['name']})" if row.get("page") else f"`{row['name']}`"
        lines.append([name, *(_cell(row, key) for key in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: dict[str, Any], key: str) -> str:
    text = str(row[key]).replace("|", "\\|")
    return f"`{text}`" if key in ("form", "example", "stands_for") else text


def _section(row: dict[str, Any]) -> str:
    contract = [key for key in ("reads", "hyperparameters", "options", "paper") if row.get(key)]
    facts = "\n".join(f"- {key}: {_value(row[key])}" for key in contract)
    return "\n\n".join(part for part in (f"## {row['name']}", row["description"], facts, row["page"]) if part)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(_option(key, default) for key, default in value.items())
    return ", ".join(f"`{part}`" for part in value)


def _option(name: str, default: Any) -> str:
    return f"`{name}`" if default == REQUIRED else f"`{name}={default}`"
