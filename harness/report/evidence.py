"""What a finished cell's own files prove of it, or the first thing that speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import store
from ..config import digest_of
from ..lag import LagPlan
from ..lag.trace import lines, read_trace
from ..types import InputError

Rows = Sequence[Mapping[str, Any]]  # one for each update


@dataclass(frozen=True)
class Evidence:
    """Problems in words, empty where there is none; `prompts` is a digest of what was trained on, in order."""

    lag: str
    groups: str
    prompts: str


def evidence(folder: Path, run: Mapping[str, Any], result: Mapping[str, Any], metrics: Rows) -> Evidence:
    """Whether planned lag is realized lag, whether no group was dropped, and which prompts were consumed."""
    consumed = [row.get("prompts") for row in metrics]
    dropped = f"{folder.name}: not all of {run['updates']} x {run['prompts_per_update']} groups were trained on"
    try:
        trace = store.read_lines(folder / store.TRACE)
        lag = _lag(folder, result["planned_lag_digest"], trace)
    except (InputError, ValueError, KeyError, TypeError) as error:
        return Evidence(f"{folder.name}: {error}", dropped, digest_of(consumed))
    widths = [len(row.get("groups", [])) for row in trace[1:]]
    complete = widths == [run["prompts_per_update"]] * run["updates"]
    return Evidence(lag, "" if complete else dropped, "" if None in consumed else digest_of(consumed))


def _lag(folder: Path, promised: str, trace: list[Any]) -> str:
    plan = LagPlan.from_json(store.read_json(folder / store.PLAN))
    as_planned = trace[1:] == list(lines(plan))[1:]  # spares the slower reading below
    realized = plan.digest if as_planned else read_trace(folder / store.TRACE).digest
    if plan.digest == realized == promised:
        return ""
    return f"{folder.name}: planned {plan.digest[:12]}, realized {realized[:12]}"
