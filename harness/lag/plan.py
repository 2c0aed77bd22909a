"""The plan that a run carries out. U updates, P prompt groups per update; lag counts optimizer updates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

END = np.iinfo(np.int32).max  # where a segment ends that lasts to the end of its response
NO_SWITCHES = np.zeros((0, 4), np.int32)
NO_SWITCHES.setflags(write=False)


class Segments(NamedTuple):
    """What one version draws of one update: tokens `starts` up to, not including, `ends` of these groups."""

    update: int
    groups: np.ndarray  # [n]
    starts: np.ndarray  # [n] tokens; 0 where this version begins the responses
    ends: np.ndarray  # [n] tokens; END where it also ends them


@dataclass(frozen=True, eq=False)
class LagPlan:
    """`source[u, p]` is the policy version that begins group p of update u; 0 <= source[u, p] <= u.

    Update u turns version u into version u + 1, so the lag of a token is u minus the version that drew it.
    `switches` holds the rest of what is generated in flight: rows (update, group, token, version), sorted, each saying
    that from that token on a later version draws. All G responses of a group share them.
    """

    name: str
    source: np.ndarray  # [U, P] int32
    switches: np.ndarray = field(default_factory=lambda: NO_SWITCHES)  # [N, 4] int32

    def __post_init__(self) -> None:
        if self.source.ndim != 2 or self.source.dtype != np.int32:
            raise ValueError(f"LagPlan.source must be int32 [U, P], got {self.source.dtype} {self.source.shape}")
        latest = np.arange(len(self.source))[:, None]  # [U, 1]
        wrong = np.argwhere((self.source < 0) | (self.source > latest))
        if len(wrong):
            u, p = wrong[0]
            raise ValueError(
                f"plan {self.name!r}: group {p} of update {u} comes from version {self.source[u, p]}, "
                f"expected a version from 0 to {u}"
            )
        self._check_switches()
        self.source.setflags(write=False)
        self.switches.setflags(write=False)

    def _check_switches(self) -> None:
        rows = self.switches
        if rows.shape[1:] != (4,) or rows.dtype != np.int32:
            raise ValueError(f"LagPlan.switches must be int32 [N, 4], got {rows.dtype} {rows.shape}")
        if not len(rows):
            return
        update, group, token, version = rows.T
        updates, groups = self.source.shape
        inside = (update >= 0) & (update < updates) & (group >= 0) & (group < groups)
        if not inside.all():
            raise ValueError(f"plan {self.name!r}: {_told(rows[~inside][0])}, but it has {updates} x {groups} groups")
        first = np.r_[True, (update[1:] != update[:-1]) | (group[1:] != group[:-1])]  # of its group
        before = np.where(first, self.source[update, group], np.r_[0, version[:-1]])
        last_token = np.where(first, 0, np.r_[0, token[:-1]])
        wrong = (token <= last_token) | (version <= before) | (version > update)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"plan {self.name!r}: {_told(rows[at])}, expected a token after {last_token[at]} and a version from "
                f"{before[at] + 1} to {update[at]}"
            )
        place = update.astype(np.int64) * groups + group
        if (place[1:] < place[:-1]).any():
            raise ValueError(f"plan {self.name!r}: switches are not sorted by update and group")

    @property
    def lag(self) -> np.ndarray:
        """Updates between the policy that begins a group and the one that is trained on it: [U, P]."""
        return np.arange(len(self.source), dtype=np.int32)[:, None] - self.source

    @cached_property
    def digest(self) -> str:
        """sha256 over shape, sources and switches. The name is left out: two schedules that plan the same are one."""
        content = np.asarray(self.source.shape, "<i4").tobytes() + self.source.astype("<i4").tobytes()
        return hashlib.sha256(content + self.switches.astype("<i4").tobytes()).hexdigest()

    @cached_property
    def segments(self) -> np.ndarray:
        """Rows (update, group, start, end, version), sorted: which tokens of a group each version draws. [M, 5]."""
        updates, groups = self.source.shape
        place = np.indices((updates, groups)).reshape(2, -1).T  # [U * P, 2]
        begun = np.c_[place, np.zeros(len(place), int), self.source.ravel()]
        rows = np.concatenate([begun, self.switches])
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        same_group = (rows[1:, :2] == rows[:-1, :2]).all(1)
        ends = np.r_[np.where(same_group, rows[1:, 2], END), [END] * (len(rows) > 0)]
        return np.c_[rows[:, :3], ends, rows[:, 3]].astype(np.int32)

    def drawn_by(self, version: int) -> Iterator[Segments]:
        """What `version` has to draw, in the order of the updates that consume it; of one update all together."""
        mine = self.segments[self.segments[:, 4] == version]
        for update in np.unique(mine[:, 0]):
            _, groups, starts, ends, _ = mine[mine[:, 0] == update].T
            yield Segments(int(update), groups, starts, ends)

    def token_versions(self, update: int, tokens: int) -> np.ndarray:
        """The version that draws every token of every group of an update: [P, tokens] int32."""
        versions = np.repeat(self.source[update][:, None], tokens, axis=1)
        for _, group, token, version in self.switches[self.switches[:, 0] == update]:  # a later one overwrites
            versions[group, token:] = version
        return versions

    def to_json(self) -> dict[str, Any]:
        plan = {"name": self.name, "digest": self.digest, "groups": self.source.shape[1]}
        return plan | {"source": self.source.tolist(), "switches": self.switches.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LagPlan:
        """The plan that `to_json` wrote; a digest that does not fit its sources is a ValueError."""
        source = np.asarray(data["source"], np.int32).reshape(-1, data["groups"])
        plan = cls(data["name"], source, np.asarray(data["switches"], np.int32).reshape(-1, 4))
        if plan.digest != data["digest"]:
            raise ValueError(
                f"plan {plan.name!r}: digest {data['digest'][:12]} does not fit its sources ({plan.digest[:12]})"
            )
        return plan


def _told(switch: np.ndarray) -> str:
    update, group, token, version = switch
    return f"group {group} of update {update} switches to version {version} at token {token}"
