"""What is asked for by name: objectives, tasks, and what the tasks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import Progress

from ..data import overlaps
from ..registry import OBJECTIVES, TASKS, Entry, did_you_mean, load_task
from ..types import InputError, Task
from .findings import Finding
from .objective import check_objective
from .properties import CHECKS
from .task import check_task

Subject = Entry | Task  # a registered objective, or a task with its data read


def subjects(names: Sequence[str], data: str | None) -> dict[str, Subject]:
    """What the names stand for; `data` is where those tasks read theirs that are named without."""
    return {name: _subject(name, data) for name in names}


def _subject(name: str, data: str | None) -> Subject:
    objectives, tasks = OBJECTIVES.all(), TASKS.all()
    bare = name.partition(":")[0]
    if name in objectives:
        return objectives[name]
    if bare in tasks:
        given = data is not None and ":" not in name and "data" in tasks[bare].options
        return load_task(name, {"data": data} if given else {})
    raise InputError(
        f"no objective and no task is called {bare!r}{did_you_mean(bare, [*objectives, *tasks])}; "
        "`lagbench list objectives` and `lagbench list tasks` print all"
    )


def check_all(chosen: Mapping[str, Subject]) -> Iterator[Finding]:
    """What every check of each finds, then what the tasks among them share."""
    for name, subject in chosen.items():
        yield from _of_task(name, subject) if isinstance(subject, Task) else _of_objective(subject)
    tasks = {name: subject for name, subject in chosen.items() if isinstance(subject, Task)}
    if len(tasks) > 1:
        notes = [Finding("between tasks", "overlaps", "note", line) for line in overlaps(tasks)]
        yield from notes or [Finding("between tasks", "overlaps", "ok", "no question is in two of them")]


def _of_objective(entry: Entry) -> Iterator[Finding]:
    for name, problem in check_objective(entry):
        text = problem or (CHECKS[name].__doc__ or "").splitlines()[0]
        yield Finding(entry.name, name, "FAILED" if problem else "ok", text)


def _of_task(name: str, task: Task) -> list[Finding]:
    """All at once, after a bar where stderr is a terminal: thousands of golds may be verified."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"verifying {name}", total=2 * len([*task.train, *task.test]))
        return list(check_task(name, task, lambda verdicts: progress.advance(bar, verdicts)))
