"""The forward pass of several processes: each computes its rows of a batch, and all see the whole.

So every process computes the same loss and the same dL/dlogprobs from exact statistics over the batch, and runs its
rows of it backward; what has to be added up is the weights' gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import Run
from .forward import Forward
from .sequences import MicroBatch, Sequences
from .sharding import ShardedModel
from .world import World


class SharedForward(Forward):
    """A forward pass over this process's rows of a batch [B, T], with the log-probabilities of all of them.

    A process without rows computes the first one, for nothing: it has to take part in what others wait for.
    """

    def __init__(self, model: torch.nn.Module, run: Run, batch: Sequences, world: World):
        self.world = world
        groups = world.share(len(batch.mask) // run.responses_per_prompt)
        self.rows = slice(groups.start * run.responses_per_prompt, groups.stop * run.responses_per_prompt)
        self.idle = self.rows.start == self.rows.stop
        super().__init__(model, run, batch.rows(slice(0, run.responses_per_prompt) if self.idle else self.rows))
        own = slice(0, self.rows.stop - self.rows.start)
        parts = world.gathered((self.logprobs.detach()[own].cpu(), self.entropy[own].cpu()))
        logprobs, entropy = (torch.cat(of).to(batch.mask.device) for of in zip(*parts, strict=True))
        self.logprobs, self.entropy = logprobs.requires_grad_(), entropy

    def backward(self, gradient: Tensor, again: bool = False) -> None:
        own = torch.zeros_like(self.mask, dtype=gradient.dtype) if self.idle else gradient[self.rows]
        super().backward(own, again)


class ShardedForward(SharedForward):
    """The same by processes that hold a part of the model each: all of them make the same number of passes."""

    model: ShardedModel

    def _divided(self, batch: Sequences) -> list[MicroBatch]:
        parts = super()._divided(batch)
        most = max(self.world.gathered(len(parts)))
        return parts + [parts[0].ignored()] * (most - len(parts))

    def _needed(self, gradients: Sequence[Tensor]) -> list[bool]:
        by_process = self.world.gathered(super()._needed(gradients))
        return [any(needed) for needed in zip(*by_process, strict=True)]

    def _pass(self, part: Sequences) -> tuple[Tensor, Tensor]:
        return self.model(part, self.run.temperature)
