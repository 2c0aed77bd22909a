"""The processes that share every update of a run: which of them this is, and what they tell each other.

All of them carry out the same loop on the same plan. What is expensive is divided (drawing, the model's forward and
backward passes) and then gathered, so that every process holds the whole batch and computes the same loss from it.
What a clock or a time limit has a part in is decided by process 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch.distributed as dist
from torch import Tensor

from ..types import NonFinite

Made = TypeVar("Made")


@dataclass(frozen=True)
class World:
    """`size` processes, of which this is number `rank`; by default one alone, which talks to nobody."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """That of this process: the default process group's if there is one, else itself alone."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def share(self, count: int) -> slice:
        """What this process does of `count` things in a row: neighbors, as many as the others do or one more."""
        ends = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(count), self.size))]).tolist()
        return slice(ends[self.rank], ends[self.rank + 1])

    def gathered(self, value: Made) -> list[Made]:
        """What every process gave, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def together(self, make: Callable[[], Made]) -> list[Made]:
        """What `make` returned in every process, by rank; where one of them met a NonFinite, all raise it."""
        made: list[Made | NonFinite] = self.gathered(_caught(make))
        for one in made:
            if isinstance(one, NonFinite):
                raise one
        return made  # type: ignore[return-value]

    def from_first(self, make: Callable[[], Made]) -> Made:
        """What `make` returns in process 0; the others do not call it."""
        if self.size == 1:
            return make()
        value = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(value, src=0)
        return value[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Return when every process is here."""
        self.gathered(None)

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Put the sum over all processes in the place of every tensor, the same bits everywhere."""
        if self.size > 1:
            for work in [dist.all_reduce(value, async_op=True) for value in tensors]:
                work.wait()


ALONE = World()


def _caught(make: Callable[[], Made]) -> Made | NonFinite:
    try:
        return make()
    except NonFinite as error:
        return error
