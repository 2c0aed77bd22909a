"""What a reader has to know to read the tables, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..statistics.intervals import FEWEST_SEEDS
from ..types import Conventions
from . import document as doc
from .contenders import reference_gain
from .groups import Table, constant_lag
from .origin import origin

GAIN_ASKS = "Gain under lag: how much is gained under lag, by the yardstick of what the baseline gains without?"
RETENTION_ASKS = "Own retention: how much of its own gain does an objective keep?"


def remarks(table: Table, rows: Sequence[doc.Row], family: doc.Family, power: doc.Power | None) -> Iterator[str]:
    """One sentence or two each, the general before the particular."""
    yield from origin(table.results)
    yield from _scores(table, rows)
    yield family.text
    if family.claims:
        yield family.mark
    if power and power.text:
        yield power.text
    yield from _lag_numbers(table)
    yield from conventions(table)
    yield from _balance(rows)
    for row in rows:
        where = f"{row.objective} at {row.lag}" + ("" if row.mismatch == "none" else f" under {row.mismatch}")
        if row.collapses:
            yield f"{where} collapsed: " + "; ".join(f"seed {found.seed} {told(found)}" for found in row.collapses)
        yield from (f"{where}: {reason}" for reason in row.reasons)


def _scores(table: Table, rows: Sequence[doc.Row]) -> Iterator[str]:
    base = table.base.get("pass@1")
    failure = table.results.base.failure if table.results.base else ""
    if base:
        bounds = f"95 % interval over problems {base.low:.3f} to {base.high:.3f}"
        yield f"Held-out pass@1 of the base model: {base.mean:.3f} ({bounds})."
    else:
        yield f"The base model has not been evaluated: {failure or 'run the suite again, it goes on'}."
    if any(len(row.seeds) == 1 for row in rows):
        yield "One seed: intervals over problems, which say nothing about other seeds."
    if any(len(row.seeds) == 2 for row in rows):
        yield "Two seeds: their two values, no interval."
    if any(0 < len(row.seeds) < FEWEST_SEEDS for row in rows):
        yield "Ratios and differences of one or two seeds are those seeds' own, without an interval and without a rank."
    if any(len(row.seeds) >= FEWEST_SEEDS for row in rows):
        yield "Three seeds or more: Student t intervals over seeds, on this fixed set of held-out problems."
    yield "Lag in optimizer updates; mean lag over the tokens trained on."
    if any(cell.non_finite for cell in table.results.trained):
        yield "A run that ended non-finite counts with scores of 0."


def _lag_numbers(table: Table) -> Iterator[str]:
    gain, constant = reference_gain(table), table.constant
    if not gain:
        missing = _no_gain(table)
        against = f"{table.baseline} at lag 0"
        yield f"No retained gain and no gain under lag: they are measured against {against}, and {missing}."
        return
    error = table.measured_base.error if table.measured_base else 0.0
    yield (
        f"Retained gain: gain over the base model divided by that of {table.baseline} at lag 0 ({gain:.3f}). Fieller's "
        f"intervals; the base model's own error ({error:.4f} on these problems) is in them."
    )
    if len(constant) > 1:
        lags = ", ".join(lag.partition(":")[2] or "0" for lag in constant)
        yield (
            f"{GAIN_ASKS} Mean gain over log2(1 + lag), lags {lags}, in units of {table.baseline}'s gain at lag 0. "
            f"{RETENTION_ASKS} The same in units of the objective's own gain at lag 0. An objective that gains more "
            f"than {table.baseline} may be first by the former and lose most by the latter."
        )
        yield (
            "Held, lost: highest lag tested up to which an objective surely holds its own gain (loses at most a tenth "
            "of it), and the lowest at which it surely does not, by Fieller's intervals at all lags at once."
        )


def _no_gain(table: Table) -> str:
    """Why the reference has no gain to measure by."""
    if not any(constant_lag(lag) == 0 for lag in table.constant):
        return "the suite has no lag 0"
    if not table.reference.cells:
        return "it has not been run here"
    if not table.reference.ended or table.base_score is None:
        return "it or the base model has not come to an end yet"
    return "it gains nothing over the base model"


def told(collapse: doc.Collapse) -> str:
    """A collapse in words."""
    if collapse.value is None or collapse.limit is None:
        return f"{collapse.reason} at update {collapse.update}"
    return f"{collapse.reason} {collapse.value:.3g}, limit {collapse.limit:.3g}, at update {collapse.update}"


def conventions(table: Table) -> Iterator[str]:
    """One line for each of advantage, aggregate and denominator: what applied, and whose paper says otherwise."""
    runs = {objective: group.run for (objective, *_), group in table.groups.items() if group.run}
    for key in Conventions().names:
        applied = {objective: run[key] for objective, run in sorted(runs.items())}
        if len(set(applied.values())) > 1:
            yield f"{key.capitalize()} of each objective's paper: {_by_value(applied)}."
            continue
        others = {name: run["paper"][key] for name, run in sorted(runs.items()) if run["paper"][key] != run[key]}
        differs = f"; their papers use {_by_value(others)}" if others else ""
        yield from (f"{key.capitalize()} of all objectives: {value}{differs}." for value in set(applied.values()))


def _balance(rows: Sequence[doc.Row]) -> Iterator[str]:
    """One line for each objective whose two sides do not cancel each other although it promises that."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.broken_balance is not None:
            found.setdefault(row.objective, []).append(row.broken_balance)
    for name, values in found.items():
        reach = f"{min(values):.2f}" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}"
        yield (
            f"{name} promises that its positive and negative side cancel each other; under these conventions "
            f"or options, or at the floor of its scale, they do not: balance {reach} (|loss| over mean |A|)."
        )


def _by_value(names: dict[str, str]) -> str:
    """`value (name, name), value (name)` of a dictionary from name to value."""
    values = sorted(set(names.values()))
    return ", ".join(f"{v} ({', '.join(name for name, value in names.items() if value == v)})" for v in values)
