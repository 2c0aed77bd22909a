"""Recorded lag as a file: which version drew every token of a run, one line per update.

The first line is {"format": "lagbench-trace-1", "name": TEXT, "groups": P}. Line u + 2 is update u:
{"update": u, "groups": [g_0, ..., g_(P-1)]}. A group is the version that drew all of it (3), or a
run-length encoding of its tokens' versions ([[3, 12], [4, 7]]: 12 tokens by version 3, then 7 by version 4). The last
run extends to the end of every response of the group, so its length is not used and may be null. Versions count
optimizer updates; update u trains on versions 0 to u.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data.rows import shown
from ..types import InputError
from .json_lines import is_whole, objects
from .plan import END, LagPlan

FORMAT = "lagbench-trace-1"
Group = int | list[list[int | None]]


def header(name: str, groups: int) -> dict[str, Any]:
    """The first line of a trace."""
    return {"format": FORMAT, "name": name, "groups": groups}


def lines(plan: LagPlan) -> Iterator[dict[str, Any]]:
    """A plan as the lines of its trace."""
    yield header(plan.name, plan.source.shape[1])
    for update in range(len(plan.source)):
        yield {"update": update, "groups": encoded(plan, update)}


def encoded(plan: LagPlan, update: int) -> list[Group]:
    """The groups of one update: a version, or runs of [version, tokens]."""
    groups: list[Group] = plan.source[update].tolist()
    mine = plan.switches[plan.switches[:, 0] == update]
    for group in np.unique(mine[:, 1]).tolist():
        groups[group] = as_group(int(plan.source[update, group]), mine[mine[:, 1] == group][:, 2:].tolist())
    return groups


def as_group(source: int, switches: list[list[int]]) -> Group:
    """A group as it is written: the version that begins it, and [token, version] of what takes over."""
    if not switches:
        return source
    tokens = [0, *(token for token, _ in switches)]
    lengths = [*np.diff(tokens).tolist(), None]
    return [list(run) for run in zip([source, *(version for _, version in switches)], lengths, strict=True)]


def read_trace(file: str | Path, updates: int | None = None, groups: int | None = None) -> LagPlan:
    """The plan in a trace file, its first `updates` updates (None: all); an InputError names the line that is wrong."""
    path = Path(file)
    name, width, rows = _parsed(path)
    if groups is not None and groups != width:
        raise InputError(
            f"trace {path} has {width} groups per update, the run {groups}: set prompts_per_update={width}"
        )
    if updates is not None and updates > len(rows):
        raise InputError(f"trace {path} has {len(rows)} updates, the run {updates}: set updates={len(rows)} or less")
    return decoded(name, width, rows[:updates])


def decoded(name: str, width: int, rows: list[list[Group]]) -> LagPlan:
    """The plan of groups as `encoded` gives them, checked before by `_parsed` or by construction."""
    source = np.zeros((len(rows), width), np.int32)
    switches = []
    for update, row in enumerate(rows):
        for place, group in enumerate(row):
            runs = [[group, None]] if isinstance(group, int) else group
            source[update, place] = runs[0][0] or 0
            token = 0
            for (_, length), (version, _) in itertools.pairwise(runs):
                token += length or 0
                switches.append((update, place, token, version))
    return LagPlan(name, source, np.array(switches, np.int32).reshape(-1, 4))


def _parsed(path: Path) -> tuple[str, int, list[list[Group]]]:
    name, width = "", 0  # a header that passes has a width above 0
    rows: list[list[Group]] = []
    for where, value in objects(path, "a file as docs/lag.md describes it"):
        if not width:
            _expect(value.get("format") == FORMAT, where, "format", value.get("format"), repr(FORMAT))
            name, width = value.get("name", 0), value.get("groups", 0)
            _expect(isinstance(name, str), where, "name", name, "text")
            _expect(is_whole(width) and 0 < width < END, where, "groups", width, f"a whole number from 1 to {END - 1}")
        else:
            update = len(rows)
            given = value.get("update")
            _expect(is_whole(given) and given == update, where, "update", given, str(update))
            groups = value.get("groups", [])
            _expect(isinstance(groups, list) and len(groups) == width, where, "groups", groups, f"{width} groups")
            for place, group in enumerate(groups):
                _check_group(f"{where}, groups[{place}]", group, update)
            rows.append(groups)
    if not width:
        raise InputError(f"trace {path}: empty; expected a first line with format, name and groups")
    return name, width, rows


def _check_group(where: str, group: Any, update: int) -> None:
    if is_whole(group):
        _expect(0 <= group <= update, where, "version", group, f"0 to {update}")
        return
    pairs = isinstance(group, list) and len(group) > 0 and all(isinstance(run, list) and len(run) == 2 for run in group)
    _expect(pairs, where, "group", group, "a version, or runs [[version, tokens], ...]")
    before, token = -1, 0
    for i, (version, length) in enumerate(group):
        last = i + 1 == len(group)
        _expect(
            is_whole(version) and before < version <= update, where, "version", version, f"{before + 1} to {update}"
        )
        known = is_whole(length) and length > 0
        _expect(known or (last and length is None), where, "tokens", length, "a whole number above 0")
        before, token = version, token + (length or 0)
        _expect(token < END, where, "tokens", token, f"fewer than {END} in a response")


def _expect(holds: bool, where: str, field: str, value: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"{where}: {field} is {shown(value)}, expected {expected}")
