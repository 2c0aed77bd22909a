"""Which code makes a cell: digests by what they are of, so that what has changed can be told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ..config import Run
from ..record import HARNESS
from ..registry import OBJECTIVES, SCHEDULES, TASKS, Entry
from ..source import HOME, definition_digest

Named = tuple[str, Entry]  # what kind of thing it is, and the thing


def code_of(run: Run) -> dict[str, str]:
    """By what it is of: that of everything a run names, and the digest of as much of the harness as a cell uses.

    A cell whose record differs in any but the harness's is stale.
    """
    return named_code(run) | {HARNESS: _harness()}


def named_code(run: Run) -> dict[str, str]:
    """LagBench's version, and a digest of each of the things that a run names."""
    return {HOME: _version(HOME)} | {f"{kind} {entry.name}": entry.code for kind, entry in entries_of(run)}


def entries_of(run: Run) -> Iterator[Named]:
    """What a run names: its tasks; of one that trains its objective, and its schedule unless lag is measured."""
    for task in dict.fromkeys((run.task, *run.eval_tasks)):
        yield TASKS.kind, TASKS.get(task.partition(":")[0])
    if run.objective is not None:
        yield OBJECTIVES.kind, OBJECTIVES.get(run.objective)
        if schedule := SCHEDULES.all().get(run.lag.partition(":")[0]):
            yield SCHEDULES.kind, schedule


def distributions(run: Run) -> list[str]:
    """Installed packages that what a run names comes from, LagBench aside."""
    names = {entry.distribution for _, entry in entries_of(run)} - {HOME}
    return [name for name in sorted(names) if _version(name)]


@cache
def _version(distribution: str) -> str:
    """Empty of what no distribution has installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def _harness() -> str:
    return definition_digest(f"{HOME}.harness.sweep.cell", "work", f"{HOME}.harness")
