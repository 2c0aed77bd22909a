"""The comparison as records, and those as terminal table, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from rich import box
from rich.table import Table

from .comparison import COLLAPSE_FRACTION, Comparison, Row, steps

COLUMNS = ("objective", "lag", "pass@1", "95 % CI", "pass@max", "seeds", "vs lag 0", "reads", "note")


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record a row, numbers as numbers; nan becomes None."""
    return [_record(row, comparison) for row in comparison.rows]


def _record(row: Row, comparison: Comparison) -> dict[str, Any]:
    lag = steps(row.lag)
    return {
        "objective": row.objective,
        "lag": row.lag if lag is None else lag,
        "schedule": row.lag,
        "seeds": row.seeds,
        "pass@1": _number(row.pass_at_1.mean),
        "low": _number(row.pass_at_1.low),
        "high": _number(row.pass_at_1.high),
        "interval_over": row.interval_over,
        row.largest[0]: _number(row.largest[1]),
        "base": comparison.base["pass@1"].mean,
        "change_from_lag_0": row.change_from_lag_0,
        "collapsed": row.collapsed,
        "collapsed_seeds": row.collapsed_seeds,
        "failed": row.failed,
        "unfinished": row.unfinished,
        "behavior_fields": list(row.behavior_fields),
        "reasons": list(row.reasons),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def to_json(comparison: Comparison) -> dict[str, Any]:
    base = {
        name: {"mean": e.mean, "low": _number(e.low), "high": _number(e.high)} for name, e in comparison.base.items()
    }
    return {"suite": comparison.name, "base": base, "cells": records(comparison)}


def to_csv(comparison: Comparison) -> str:
    rows = records(comparison)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["objective"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "; ".join(v) if isinstance(v, list) else v for key, v in row.items()})
    return text.getvalue()


def _texts(row: Row) -> tuple[str, ...]:
    """The cells of one printed line, in the order of COLUMNS."""
    estimate, lag = row.pass_at_1, steps(row.lag)
    interval = "" if math.isnan(estimate.low) else f"{estimate.low:.3f}-{estimate.high:.3f}"
    counts = [(row.failed, "failed"), (row.unfinished, "unfinished")]
    remarks = [f"collapsed {row.collapsed_seeds}/{row.seeds}"] if row.collapsed_seeds else []
    remarks += [f"{count} {what}" for count, what in counts if count]
    return (
        row.objective,
        row.lag if lag is None else str(lag),
        "" if math.isnan(estimate.mean) else f"{estimate.mean:.3f}",
        interval,
        "" if math.isnan(row.largest[1]) else f"{row.largest[1]:.3f}",
        str(row.seeds),
        "" if row.change_from_lag_0 is None else f"{row.change_from_lag_0:+.3f}",
        ", ".join(name.removesuffix("_logprobs") for name in row.behavior_fields) or "none",
        ", ".join(remarks),
    )


def _headers(comparison: Comparison) -> list[str]:
    largest = comparison.rows[0].largest[0] if comparison.rows else "pass@k"
    return [largest if name == "pass@max" else name for name in COLUMNS]


def _is_numeric(header: str) -> bool:
    return header not in ("objective", "reads", "note")


def notes(comparison: Comparison) -> list[str]:
    """What a reader has to know to read the table, and why cells failed."""
    base = comparison.base["pass@1"]
    over = sorted({row.interval_over for row in comparison.rows})
    lines = [
        f"Held-out pass@1 of the base model: {base.mean:.3f} ({base.low:.3f} to {base.high:.3f} over problems).",
        f"Lag in optimizer updates. Intervals: Student t, 95 %, over {' or '.join(over)} "
        "(over problems where there is one seed: they say nothing about other seeds).",
        f"Collapsed: a seed ends below {COLLAPSE_FRACTION:g} of the base model's pass@1.",
    ]
    return lines + [f"{row.objective} at {row.lag}: {reason}" for row in comparison.rows for reason in row.reasons]


def to_markdown(comparison: Comparison) -> str:
    headers = _headers(comparison)
    rule = ["--:" if _is_numeric(name) else "---" for name in headers]
    lines = [f"| {' | '.join(line)} |" for line in (headers, rule, *map(_texts, comparison.rows))]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(comparison))]) + "\n"


def to_terminal(comparison: Comparison) -> Table:
    """The table alone; `notes` belong below it."""
    table = Table(
        title=f"{comparison.name}: held-out pass@1 by objective and lag",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in _headers(comparison):
        table.add_column(name, justify="right" if _is_numeric(name) else "left", no_wrap=name != "reads")
    previous = None
    for row in comparison.rows:
        if previous not in (None, row.objective):
            table.add_section()
        table.add_row(*_texts(row), style="red" if row.collapsed else None)
        previous = row.objective
    return table
