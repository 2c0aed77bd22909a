"""Where the numbers of a report come from, in sentences: settings, code, what was planned when; and what they lack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ..config import Settings
from ..evaluate.headroom import without_headroom
from ..record import Declaration, SuiteRecord, why
from .results import Cell, Results

UNTOLD = {"data", "collapse", "eval_tasks"}  # settings: a place, told elsewhere, and told by the exam


def origin(results: Results) -> Iterator[str]:
    """One sentence or two each."""
    yield adjusted(results.suite)
    if results.elsewhere:
        yield results.elsewhere
    yield from _declared(results.suite)
    yield from _code(results)
    yield from _nothing_to_learn(results)


def adjusted(suite: SuiteRecord) -> str:
    """The learning rate, and the settings and hyperparameters that are not at their defaults."""
    given = {key: value for key, value in suite.settings.items() if key not in UNTOLD and value != _default(key)}
    given |= {f"{name}.{key}": value for name, its in suite.adjusted.items() for key, value in its.items()}
    rate = given.pop("learning_rate", None) or f"{_default('learning_rate')} (the default)"
    others = f"not at their defaults: {', '.join(f'{key}={_text(value)}' for key, value in given.items())}"
    return f"Learning rate {rate}; {others if given else 'all else at its default'}."


def _default(key: str) -> Any:
    """Of a setting, as plain values hold it."""
    field = Settings.model_fields.get(key)
    default = field.default if field else None
    return list(default) if isinstance(default, tuple) else default


def _text(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _declared(suite: SuiteRecord) -> Iterator[str]:
    """What later commands added to what the first one had declared."""
    for i, step in enumerate(suite.declared):
        added = _added(step)
        if step.tests > step.tests_before and step.tests_before:
            grown = f"from {step.tests_before} to {step.tests}"
            yield f"The family of the folder's tests was extended on {step.date} {grown} ({added}) by: {step.command}"
        elif i and step.seeds:
            yield f"Added on {step.date} ({added}) by: {step.command}"


def _added(step: Declaration) -> str:
    parts = {
        "objectives": step.objectives,
        "lags": step.lags,
        "mismatch": step.mismatch,
        "seeds": tuple(map(str, step.seeds)),
    }
    return "; ".join(f"{key} {', '.join(values)}" for key, values in parts.items() if values) or "combinations"


def _code(results: Results) -> Iterator[str]:
    """Cells that other code has made, counting or not; and that nothing is known of any."""
    by_reason = defaultdict[tuple[tuple[str, ...], bool], list[Cell]](list)
    for cell in results.cells:
        if cell.changed:
            by_reason[tuple(cell.changed), bool(cell.scores)].append(cell)
    for (changed, counts), cells in by_reason.items():
        many = cells[0].name if len(cells) == 1 else f"{len(cells)} cells ({cells[0].name}, ...)"
        kept = "counted all the same, by --keep-stale" if counts else "not counted until their command makes them again"
        yield f"Of other code, {kept}: {many}; {why(changed)}."
    if not results.suite.code and results.trained:
        yield "Code unknown: a version of LagBench made these cells that did not record it."


def _nothing_to_learn(results: Results) -> Iterator[str]:
    """A base model without headroom, and runs in which no reward could teach anything."""
    base = results.base.scores.get("pass@1") if results.base else None
    if base and (remark := without_headroom(base.mean)):
        yield remark
    equal = [cell for cell in results.trained if cell.equal_rewards]
    if equal:
        many = f"{len(equal)} of {len(results.trained)} runs"
        yield f"In {many} every group of every update had equal rewards, which teach nothing: {equal[0].name} for one."
