"""The comparison as records, and those as terminal table, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from ..config import NO_MISMATCH
from ..evaluate.collapse import Collapse
from ..evaluate.intervals import Estimate
from ..types import Conventions
from .comparison import Comparison, Row, constant_lag

TEXT_COLUMNS = ("objective", "mismatch", "reads", "note")


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record a row, numbers as numbers, None where there is none."""
    return [_record(row, comparison) for row in comparison.rows]


def _record(row: Row, comparison: Comparison) -> dict[str, Any]:
    lag, last = constant_lag(row.lag), _largest(comparison)
    pass_at_1, pass_at_last = row.scores.get("pass@1"), row.scores.get(last)
    base = comparison.base_scores.get("pass@1")
    return {
        "objective": row.objective,
        "lag": row.lag if lag is None else lag,
        "schedule": row.lag,
        "mismatch": row.mismatch,
        "lag_mean": row.realized_lag[0] if row.realized_lag else None,
        "lag_max": row.realized_lag[1] if row.realized_lag else None,
        "seeds": row.seeds,
        "pass@1": pass_at_1.mean if pass_at_1 else None,
        **_bounds("", pass_at_1),
        "interval_over": row.interval_over,
        last: pass_at_last.mean if pass_at_last else None,
        **_bounds(f"{last}_", pass_at_last),
        "base": base.mean if base else None,
        "change_from_lag_0": row.change_from_lag_0.mean if row.change_from_lag_0 else None,
        **_bounds("change_", row.change_from_lag_0),
        "collapsed": row.collapsed,
        "collapsed_seeds": len(row.collapses),
        "collapses": [{"seed": seed} | dataclasses.asdict(found) for seed, found in row.collapses.items()],
        "failed": row.failed,
        "unfinished": row.unfinished,
        "behavior_fields": list(row.behavior_fields),
        "reasons": list(row.reasons),
        **row.conventions,
        **{f"paper_{key}": value for key, value in row.paper.items()},
        "gates": _gates(comparison),
    }


def _gates(comparison: Comparison) -> str:
    if not comparison.valid:
        return "FAILED"
    return "ok" if all(gate.passed for gate in comparison.gates) else "not all run"


def _bounds(prefix: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None or math.isnan(estimate.low):
        return {f"{prefix}low": None, f"{prefix}high": None}
    return {f"{prefix}low": estimate.low, f"{prefix}high": estimate.high}


def _largest(comparison: Comparison) -> str:
    """The pass@k of the largest k that anything was scored with."""
    everything = [comparison.base_scores, *(row.scores for row in comparison.rows)]
    scored = {metric for scores in everything for metric in scores if metric.startswith("pass@")}
    return max(scored, key=lambda metric: int(metric.partition("@")[2]), default="pass@1")


def to_json(comparison: Comparison) -> dict[str, Any]:
    base = {metric: {"mean": e.mean, "low": e.low, "high": e.high} for metric, e in comparison.base_scores.items()}
    gates = [dataclasses.asdict(gate) for gate in comparison.gates]
    return {"suite": comparison.name, "gates": gates, "base": base, "cells": records(comparison)}


def to_csv(comparison: Comparison) -> str:
    rows = records(comparison)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["objective"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "; ".join(map(_plain, v)) if isinstance(v, list) else v for key, v in row.items()})
    return text.getvalue()


def _plain(value: Any) -> str:
    """An item of a list in a cell of a CSV file."""
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _lines(comparison: Comparison) -> list[dict[str, str]]:
    """The printed lines by column; a column for the mismatch only where there is one."""
    lines = [_texts(row, _largest(comparison)) for row in comparison.rows]
    if {row.mismatch for row in comparison.rows} == {NO_MISMATCH}:
        return [{column: text for column, text in line.items() if column != "mismatch"} for line in lines]
    return lines


def _texts(row: Row, last: str) -> dict[str, str]:
    """The cells of one printed line by column, in order."""
    pass_at_1, lag = row.scores.get("pass@1"), constant_lag(row.lag)
    known = pass_at_1 is not None and not math.isnan(pass_at_1.low)
    counts = ((row.failed, "failed"), (row.unfinished, "unfinished"))
    remarks = [f"collapsed {len(row.collapses)}/{row.seeds + row.failed}"] if row.collapses else []
    remarks += [f"{count} {what}" for count, what in counts if count]
    return {
        "objective": row.objective,
        "lag": row.lag if lag is None else str(lag),
        "mismatch": row.mismatch,
        "mean lag": f"{row.realized_lag[0]:.1f}" if row.realized_lag else "",
        "pass@1": f"{pass_at_1.mean:.3f}" if pass_at_1 else "",
        "95 % CI": f"{pass_at_1.low:.3f}-{pass_at_1.high:.3f}" if pass_at_1 and known else "",
        last: f"{row.scores[last].mean:.3f}" if last in row.scores else "",
        "seeds": str(row.seeds),
        "vs lag 0": f"{row.change_from_lag_0.mean:+.3f}" if row.change_from_lag_0 else "",
        "reads": ", ".join(name.removesuffix("_logprobs") for name in row.behavior_fields) or "none",
        "note": ", ".join(remarks),
    }


def notes(comparison: Comparison) -> list[str]:
    """What a reader has to know to read the table, and why cells failed."""
    base = comparison.base_scores.get("pass@1")
    over = sorted({row.interval_over for row in comparison.rows if row.seeds})
    lines = [
        f"Held-out pass@1 of the base model: {base.mean:.3f} (95 % CI over problems {base.low:.3f}-{base.high:.3f})."
        if base
        else f"The base model has not been evaluated: {comparison.base_failure or 'run the suite again, it goes on'}."
    ]
    if comparison.exam:
        lines.append(f"Scores are on {comparison.exam}.")
    if "problems" in over:
        lines.append("One seed: intervals over problems, which say nothing about other seeds.")
    if "seeds" in over:
        lines.append("Several seeds: Student t intervals over seeds, on this fixed set of held-out problems.")
    lines += ["Lag in optimizer updates; mean lag over the tokens trained on.", *conventions(comparison)]
    for row in comparison.rows:
        where = f"{row.objective} at {row.lag}"
        if row.collapses:
            seeds = "; ".join(f"seed {seed} {told(found)}" for seed, found in row.collapses.items())
            lines.append(f"{where} collapsed: {seeds}")
        lines += [f"{where}: {reason}" for reason in row.reasons]
    return lines


def told(collapse: Collapse) -> str:
    """A collapse in words."""
    if collapse.value is None or collapse.limit is None:
        return f"{collapse.reason} at update {collapse.update}"
    return f"{collapse.reason} {collapse.value:.3g}, limit {collapse.limit:.3g}, at update {collapse.update}"


def conventions(comparison: Comparison) -> list[str]:
    """One line for each of advantage, aggregate and denominator: what applied, and whose paper says otherwise."""
    lines = []
    for key in Conventions().names:
        applied = {row.objective: row.conventions[key] for row in comparison.rows}
        if len(set(applied.values())) > 1:
            lines.append(f"{key.capitalize()} of each objective's paper: {_by_value(applied)}.")
            continue
        others = {row.objective: row.paper[key] for row in comparison.rows if row.paper[key] != row.conventions[key]}
        differs = f"; their papers use {_by_value(others)}" if others else ""
        lines += [f"{key.capitalize()} of all objectives: {value}{differs}." for value in set(applied.values())]
    return lines


def _by_value(names: dict[str, str]) -> str:
    """`value (name, name), value (name)` of a dictionary from name to value."""
    values = sorted(set(names.values()))
    return ", ".join(f"{v} ({', '.join(name for name, value in names.items() if value == v)})" for v in values)


def to_markdown(comparison: Comparison) -> str:
    rows = _lines(comparison)
    headers = list(rows[0]) if rows else []
    rule = ["---" if name in TEXT_COLUMNS else "--:" for name in headers]
    lines = [f"| {' | '.join(line)} |" for line in (headers, rule, *(row.values() for row in rows))]
    gates = [f"- {gate}" for gate in comparison.gates]
    return "\n".join(["Gates:", "", *gates, "", *lines, "", *(f"- {note}" for note in notes(comparison))]) + "\n"


def to_terminal(comparison: Comparison) -> Table:
    """The table alone; `notes` belong below it."""
    table = Table(
        title=f"{comparison.name}: held-out pass@1 by objective and lag" + ("" if comparison.valid else " (NOT VALID)"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = _lines(comparison)
    for name in rows[0] if rows else []:
        wraps = name in ("reads", "note")
        side: JustifyMethod = "left" if name in TEXT_COLUMNS else "right"
        table.add_column(name, justify=side, no_wrap=not wraps, min_width=8 if wraps else None)
    several_lags = len({row.lag for row in comparison.rows}) > 1
    for i, row in enumerate(comparison.rows):
        if i and several_lags and row.objective != comparison.rows[i - 1].objective:
            table.add_section()
        table.add_row(*rows[i].values(), style="red" if row.collapsed else None)
    return table
