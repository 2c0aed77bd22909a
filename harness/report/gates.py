"""What has to hold before a number means anything, from the cells' files and from the proofs run with the suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .. import store
from ..gate import DETERMINISM, PARITY, Gate
from ..lag import LagPlan
from ..lag.trace import read_trace
from ..types import InputError


def gates(folder: Path) -> tuple[Gate, ...]:
    """The gates of a results folder: the suite's own proofs, then what the files of its finished cells show."""
    missing = "lagbench run has not come to it; the same command goes on"
    proofs = {name: Gate(name, None, missing) for name in (PARITY, DETERMINISM)}
    try:
        written = (store.read_json(folder / store.GATES) or {"gates": []})["gates"]
        proofs |= {gate["name"]: Gate(**gate) for gate in written}
    except (KeyError, TypeError):
        proofs[PARITY] = Gate(PARITY, False, f"{folder / store.GATES} is damaged; delete it and run the suite again")
    runs = {path.parent: store.read_json(path.parent / store.RUN) for path in folder.glob(f"*/{store.RESULT}")}
    cells = sorted(cell for cell, run in runs.items() if run and run.get("objective") and run.get("updates"))
    return (*proofs.values(), *(_judged(name, cells) for name in CHECKS))


def _judged(name: str, cells: list[Path]) -> Gate:
    holds, check = CHECKS[name]
    if not cells:
        return Gate(name, None, "no finished cell")
    problems = list(check(cells))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Gate(name, not problems, f"{problems[0]}{more}" if problems else f"{holds}, {len(cells)} cells")


def _lag(cells: list[Path]) -> Iterator[str]:
    for cell in cells:
        try:
            plan, realized = LagPlan.from_json(store.read_json(cell / store.PLAN)), read_trace(cell / store.TRACE)
        except (InputError, ValueError, KeyError, TypeError) as error:
            yield f"{cell.name}: {error}"
            continue
        digests = {plan.digest, realized.digest, store.read_json(cell / store.RESULT).get("planned_lag_digest")}
        if len(digests) > 1:
            yield f"{cell.name}: planned {plan.digest[:12]}, realized {realized.digest[:12]}"


def _prompts(cells: list[Path]) -> Iterator[str]:
    first: dict[int, tuple[str, list[str]]] = {}
    for cell in cells:
        seed = store.read_json(cell / store.RUN)["seed"]
        consumed = [row.get("prompts") for row in store.read_lines(cell / store.METRICS)]
        other, expected = first.setdefault(seed, (cell.name, consumed))
        if consumed != expected or None in consumed:
            yield f"{cell.name} and {other} trained on different prompts"


def _complete(cells: list[Path]) -> Iterator[str]:
    for cell in cells:
        run = store.read_json(cell / store.RUN)
        rows = [line.get("groups", []) for line in store.read_lines(cell / store.TRACE)[1:]]
        updates, width = run["updates"], run.get("prompts_per_update")
        if len(rows) != updates or any(len(groups) != width for groups in rows):
            yield f"{cell.name}: not all of {updates} x {width} groups were trained on"


CHECKS = {
    "lag": ("every token was drawn by the planned version", _lag),
    "prompts": ("all cells of a seed consumed the same prompts in the same order", _prompts),
    "groups": ("no group was dropped", _complete),
}
