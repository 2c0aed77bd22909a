"""A run's parts when several processes share it: each does its part of the work, and all hold the whole of the result.

The noise behind a response is addressed by its group, so who draws it changes nothing but rounding. Gradients are
summed, never averaged: every process differentiates the loss of the whole batch and runs its own rows backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..noise import Noise
from ..rollout import Sampler
from ..types import Problem, Rollouts, Task, Verdict
from ..verify import Verifier
from .inbox import Waiting, assemble, pack, select
from .world import World


@dataclass(frozen=True)
class SharedSampler:
    """A sampler that draws this process's share of the prompts of each call, and returns what all have drawn."""

    sampler: Sampler
    world: World

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        mine = self.world.share(len(prompts))
        groups = np.arange(len(prompts))[mine]

        def draw() -> Waiting | None:
            if not len(groups):
                return None
            own = replace(noise, groups=noise.groups[mine])
            stop, written = None if ends is None else ends[mine], None if begun is None else select(begun, groups)
            return pack(groups, self.sampler.sample(prompts[mine], own, stop, written))

        _, rollouts = assemble([part for part in self.world.together(draw) if part is not None])
        return rollouts


class SharedVerifier(Verifier):
    """A verifier whose verdicts are those of process 0: a time limit may be met in one process and not in another."""

    def __init__(self, task: Task, world: World):
        super().__init__(task)
        self.world = world

    def grade(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        return self.world.from_first(partial(super().grade, problems, responses))

    def clusters(self, answers: Sequence[Sequence[str | None]]) -> list[list[int]]:
        return self.world.from_first(partial(super().clusters, answers))


def shared(sampler: Sampler, world: World) -> Sampler:
    """A sampler whose work is divided, if there is anybody to share it with."""
    return sampler if world.size == 1 else SharedSampler(sampler, world)


def make_verifier(task: Task) -> Verifier:
    """A verifier for this process, whose verdicts are the same in all that share its run."""
    world = World.current()
    return Verifier(task) if world.size == 1 else SharedVerifier(task, world)
