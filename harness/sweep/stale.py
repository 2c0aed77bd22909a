"""Cells that other code has made than there is now: found before a command runs anything, and told in a line each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import store
from ..record import HARNESS, changed_code, why
from ..types import InputError

OF_NUMBERS = {"hyperparameters", "advantage", "aggregate", "denominator"}  # of a row: the same for all that it averages
DECIDED = {"objective": OF_NUMBERS | {"reads", "paper"}, "schedule": {"plan_digest"}}  # keys of a cell, by whose code
Changes = tuple[str, ...]  # what of the code has changed since a cell was made
Configuration = Mapping[str, Any]  # what run.json holds


@dataclass(frozen=True)
class Stale:
    """Cells of a folder that other code has made, by name."""

    again: Mapping[str, Changes]  # of those that a command asks for: they start over
    kept: Mapping[str, Changes]  # finished ones that count, and are marked
    left_out: Mapping[str, Changes]  # finished ones of other commands: they do not count any more

    def remarks(self) -> Iterator[str]:
        """A line for every reason and what follows from it."""
        for many, reason in counted(self.again):
            yield f"{many} made again: {reason} (--keep-stale would keep and mark them)"
        for many, reason in counted(self.kept):
            yield f"{many} kept and marked: {reason}"
        for many, reason in counted(self.left_out):
            yield (
                f"{many} counted no more: {reason}, and this command does not ask for them; the one that did makes "
                "them again, --keep-stale keeps and marks them"
            )


def stale_cells(
    folder: Path,
    changed: Mapping[str, Changes],
    code: Mapping[str, str],
    kept_before: Collection[str],
    keep: bool,
) -> Stale:
    """What becomes of the cells in a folder; `changed` is of all cells that the command asks for, `code` that counts.

    To keep a cell is to keep a result: one that has none starts over.
    """
    asked = {name: found for name, found in changed.items() if found and begun(folder / name)}
    kept = {name: found for name, found in asked.items() if keep and (folder / name / store.RESULT).exists()}
    others = _others(folder, code, changed)
    kept |= {name: found for name, found in others.items() if keep or name in kept_before}
    return Stale(
        again={name: found for name, found in asked.items() if name not in kept},
        kept=kept,
        left_out={name: found for name, found in others.items() if name not in kept},
    )


def changes(cell: Path, held: Configuration | None, wanted: Configuration) -> Changes:
    """What of the code has changed between a cell's configuration and the one that it would have now.

    Another schedule that plans the same is no change. A cell without a result is to go on in the same bits, so there
    the harness counts, too.
    """
    if held is None:
        return ()
    made, now = held.get("code") or {}, wanted["code"]
    same_plan = wanted.get("plan_digest") and held.get("plan_digest") == wanted["plan_digest"]
    found = [what for what in changed_code(made, now) if not (same_plan and what.startswith("schedule "))]
    if made and made.get(HARNESS) != now[HARNESS] and not (cell / store.RESULT).exists():
        found.append(HARNESS)
    return tuple(found)


def undecided(changed: Changes, keep: bool) -> set[str]:
    """Keys of a configuration that may differ, because the code that decides them has changed."""
    free = {key for what in changed for key in DECIDED.get(what.partition(" ")[0], ())}
    return free - OF_NUMBERS if keep else free


def with_its_harness(cell: Path, held: Configuration | None, wanted: Configuration) -> Configuration:
    """What a cell's `run.json` says now: of a finished one, which harness has made it."""
    made = (held or {}).get("code")
    if not made or not (cell / store.RESULT).exists():
        return wanted
    return {**wanted, "code": wanted["code"] | {HARNESS: made.get(HARNESS, "")}}


def begun(cell: Path) -> bool:
    """Whether a cell has left anything to go on from, or to count."""
    return any((cell / name).exists() for name in (store.RESULT, store.FAILED, store.CHECKPOINT))


def _others(folder: Path, code: Mapping[str, str], but: Collection[str]) -> dict[str, Changes]:
    """The finished cells but those named."""
    names = [path.parent.name for path in sorted(folder.glob(f"*/{store.RESULT}")) if path.parent.name not in but]
    found = {name: changed_code(_code(folder / name), code) for name in names}
    return {name: changed for name, changed in found.items() if changed}


def _code(cell: Path) -> Mapping[str, str] | None:
    try:
        held = store.read_json(cell / store.RUN)
    except InputError:  # damaged: told where the cell is read
        return None
    return held.get("code") if isinstance(held, dict) else None


def counted(stale: Mapping[str, Changes]) -> Iterator[tuple[str, str]]:
    """How many cells there are of each reason, and the reason."""
    by_reason = defaultdict[Changes, list[str]](list)
    for name, changed in stale.items():
        by_reason[changed].append(name)
    for changed, names in by_reason.items():
        yield f"{names[0]} is" if len(names) == 1 else f"{len(names)} cells ({names[0]}, ...) are", why(changed)
