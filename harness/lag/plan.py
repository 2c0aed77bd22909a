"""The plan that a run carries out. U updates, P prompt groups per update; lag counts optimizer updates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LagPlan:
    """`source[u, p]` is the policy version that generates group p of update u; 0 <= source[u, p] <= u.

    Update u turns version u into version u + 1, so the lag of a group is u - source[u, p].
    """

    name: str
    source: np.ndarray  # [U, P] int32

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
        self.source.setflags(write=False)

    @property
    def lag(self) -> np.ndarray:
        """Updates between the policy that generates a group and the one that is trained on it: [U, P]."""
        return np.arange(len(self.source), dtype=np.int32)[:, None] - self.source

    @cached_property
    def digest(self) -> str:
        """sha256 over shape and sources. The name is left out: two schedules that plan the same are the same."""
        content = np.asarray(self.source.shape, "<i4").tobytes() + self.source.astype("<i4").tobytes()
        return hashlib.sha256(content).hexdigest()

    def generated_by(self, version: int) -> list[tuple[int, np.ndarray]]:
        """What `version` has to generate: (update, group indices), in the order of the updates that consume it."""
        updates, groups = np.nonzero(self.source == version)
        return [(int(u), groups[updates == u]) for u in np.unique(updates)]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "digest": self.digest,
            "groups": self.source.shape[1],
            "source": self.source.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LagPlan:
        """The plan that `to_json` wrote; a digest that does not fit its sources is a ValueError."""
        source = np.asarray(data["source"], np.int32).reshape(-1, data["groups"])
        plan = cls(data["name"], source)
        if plan.digest != data["digest"]:
            raise ValueError(
                f"plan {plan.name!r}: digest {data['digest'][:12]} does not fit its sources ({plan.digest[:12]})"
            )
        return plan
