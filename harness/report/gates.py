"""What has to hold before a number means anything, from the cells' files and from the proofs run with the suite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import store
from ..lag import LagPlan
from ..lag.trace import read_trace
from ..types import InputError

PROOFS = ("lag-0 parity", "determinism")  # that `lagbench run` writes


@dataclass(frozen=True)
class Gate:
    """A condition of validity. `passed` is None where it could not be looked at yet."""

    name: str
    passed: bool | None
    detail: str

    def __str__(self) -> str:
        return f"{'not run' if self.passed is None else 'ok' if self.passed else 'FAILED'}: {self.name}: {self.detail}"


def gates(folder: Path) -> tuple[Gate, ...]:
    """The gates of a results folder: the suite's own proofs, then what the files of its finished cells show."""
    written = {gate["name"]: Gate(**gate) for gate in store.read_json(folder / store.GATES) or []}
    missing = "lagbench run has not come to it; the same command goes on"
    proofs = [written.get(name, Gate(name, None, missing)) for name in PROOFS]
    cells = [path.parent for path in sorted(folder.glob(f"*/{store.RESULT}")) if (path.parent / store.TRACE).exists()]
    return (*proofs, *(_judged(name, cells) for name in CHECKS))


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
        digests = {plan.digest, realized.digest, store.read_json(cell / store.RESULT)["planned_lag_digest"]}
        if len(digests) > 1:
            yield f"{cell.name}: planned {plan.digest[:12]}, realized {realized.digest[:12]}"


def _prompts(cells: list[Path]) -> Iterator[str]:
    first: dict[int, tuple[str, list[str]]] = {}
    for cell in cells:
        seed = store.read_json(cell / store.RUN)["seed"]
        consumed = [row["prompts"] for row in store.read_lines(cell / store.METRICS)]
        other, expected = first.setdefault(seed, (cell.name, consumed))
        if consumed != expected:
            yield f"{cell.name} and {other} trained on different prompts"


def _complete(cells: list[Path]) -> Iterator[str]:
    for cell in cells:
        run = store.read_json(cell / store.RUN)
        rows = [line["groups"] for line in store.read_lines(cell / store.TRACE)[1:]]
        if len(rows) != run["updates"] or any(len(groups) != run["prompts_per_update"] for groups in rows):
            yield f"{cell.name}: not all of {run['updates']} x {run['prompts_per_update']} groups were trained on"


CHECKS = {
    "lag": ("every token was drawn by the planned version", _lag),
    "prompts": ("all cells of a seed consumed the same prompts in the same order", _prompts),
    "groups": ("no group was dropped", _complete),
}
