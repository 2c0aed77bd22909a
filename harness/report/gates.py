"""What has to hold before a number means anything, from the cells' files and from the proofs run with the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..gate import DETERMINISM, PARITY, Gate
from ..store import CHECKSUMS
from .evidence import Evidence
from .results import Cell, Results


def gates(results: Results) -> tuple[Gate, ...]:
    """The suite's own proofs, in every folder, then what the files of its finished cells show."""
    shown = [(cell, cell.evidence) for cell in (*results.trained, *results.tuned) if cell.evidence]
    named = dict.fromkeys(
        [PARITY, DETERMINISM, *(gate.name for found in _all_proofs(results).values() for gate in found or ())]
    )
    proofs = [_proof(name, results) for name in named]
    return (_files(results), *proofs, *(_judged(name, shown) for name in CHECKS))


def _files(results: Results) -> Gate:
    """What has been changed is refused before; a run that has not come to its end has no manifest."""
    without = [name for name, digest in results.checksums.items() if digest is None]
    if without:
        return Gate("files", None, f"{without[0]} has no {CHECKSUMS} yet; the same lagbench run goes on")
    return Gate(
        "files",
        True,
        f"all files are what lagbench run left, by the checksums of {len(results.folders)} folder"
        + "s" * (len(results.folders) > 1),
    )


def _proof(name: str, results: Results) -> Gate:
    """Of one folder its own; of several the worst of theirs."""
    missing = Gate(name, None, "lagbench run has not come to it; the same command goes on")
    found = {
        folder: next((gate for gate in proofs or () if gate.name == name), missing)
        for folder, proofs in _all_proofs(results).items()
    }
    folder, worst = min(found.items(), key=lambda item: SEVERITY.index(item[1].state))
    if len(found) == 1:
        return worst
    where = f"all {len(found)} folders, {folder} among them" if worst.passed else folder
    return replace(worst, detail=f"{worst.detail}; in {where}")


def _all_proofs(results: Results) -> dict[str, Sequence[Gate] | None]:
    """By results folder, those of tuned cells among them."""
    tuned = results.tuning.proofs if results.tuning else {}
    return dict(zip(results.folders, results.proofs, strict=True)) | dict(tuned)


def _judged(name: str, cells: Shown) -> Gate:
    holds, check = CHECKS[name]
    if not cells:
        return Gate(name, None, "no finished cell")
    problems = list(check(cells))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Gate(name, not problems, f"{problems[0]}{more}" if problems else f"{holds}, {len(cells)} cells")


def _lag(cells: Shown) -> Iterator[str]:
    return (found.lag for _, found in cells if found.lag)


def _prompts(cells: Shown) -> Iterator[str]:
    first: dict[int, tuple[str, str]] = {}
    for cell, found in cells:
        other, expected = first.setdefault(cell.axes.seed, (cell.name, found.prompts))
        if found.prompts != expected or not found.prompts:
            yield f"{cell.name} and {other} trained on different prompts"


def _groups(cells: Shown) -> Iterator[str]:
    return (found.groups for _, found in cells if found.groups)


SEVERITY = ("FAILED", "not run", "not promised", "ok")
Shown = Sequence[tuple[Cell, Evidence]]
CHECKS: dict[str, tuple[str, Callable[[Shown], Iterator[str]]]] = {
    "lag": ("every token was drawn by the planned version", _lag),
    "prompts": ("all cells of a seed consumed the same prompts in the same order", _prompts),
    "groups": ("no group was dropped", _groups),
}
