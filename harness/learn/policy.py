"""The current policy: a causal LM, its optimizer and its version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config import Run
from ..types import NonFinite
from .forward import Forward
from .packing import require_packable
from .recompute import recompute_layers
from .sequences import Sequences
from .sharding import ShardedModel, sliced, whole
from .shared_forward import ShardedForward, SharedForward
from .world import ALONE, World


class Policy:
    """A model, an AdamW optimizer over it, and the number of updates made.

    `model` is whole in every process of `world`, and the same. Under `learner_sharding=full` what is trained is a
    copy in parts, and `model` follows it after each update.
    """

    def __init__(self, model: PreTrainedModel, run: Run, world: World = ALONE):
        if run.group_packing:
            require_packable(model)
        if run.gradient_checkpointing:
            recompute_layers(model)
        self.model, self.run, self.version, self.world = model, run, 0, world
        self.sharded = ShardedModel(model) if world.size > 1 and run.learner_sharding == "full" else None
        self.trained = list((self.sharded or model).parameters())
        self.last_gradient: list[Tensor] = []  # of the update before, as large as what is trained; none yet
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=run.learning_rate, betas=run.adam_betas, weight_decay=run.weight_decay
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    def forward(self, batch: Sequences) -> Forward:
        """Log-probabilities of the response tokens, ready to be differentiated."""
        if self.sharded:
            return ShardedForward(self.sharded, self.run, batch, self.world)
        if self.world.size > 1:
            return SharedForward(self.model, self.run, batch, self.world)
        return Forward(self.model, self.run, batch)

    def step(self, scale: float = 1.0) -> Step:
        """Clip the accumulated gradient, update the weights at `scale` times the learning rate, be the next version.

        A gradient norm that is not finite raises NonFinite and leaves the weights alone.
        """
        if not self.sharded:  # FSDP has added them up in backward
            self._add_up_gradients()
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.trained, self.run.clip_norm)))
        if not math.isfinite(norm):
            raise NonFinite(f"update {self.version}: the gradient norm is {norm}")
        warmup = min(1.0, (self.version + 1) / max(self.run.warmup_updates, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.run.learning_rate * warmup * scale
        self.optimizer.step()
        gradient = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.trained]
        self.optimizer.zero_grad(set_to_none=True)
        step = Step(norm, cosine(gradient, self.last_gradient))
        self.last_gradient = gradient
        if self.sharded:
            self.sharded.write(self.model)
        self.version += 1
        return step

    def _add_up_gradients(self) -> None:
        """Sums over all processes; zero stands for a gradient that this one has not and another has."""
        if self.world.size > 1:
            having = torch.tensor([int(p.grad is not None) for p in self.trained], device=self.device)
            self.world.add_up([having])
            for p, anywhere in zip(self.trained, having.tolist(), strict=True):
                if anywhere and p.grad is None:
                    p.grad = torch.zeros_like(p)
            self.world.add_up(p.grad for p in self.trained if p.grad is not None)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter by its Hugging Face name, whole and detached; of tied ones the first."""
        for name, value in self.model.named_parameters():
            yield name, value.detach()

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, in any number of processes.

        All processes have to ask; what was gathered is process 0's alone, and the others get empty tensors for it.
        """
        optimizer = self.optimizer.state_dict()
        kept = {i: {name: self._gathered(value) for name, value in of.items()} for i, of in optimizer["state"].items()}
        return {
            "version": self.version,
            "model": self.model.state_dict(),
            "optimizer": optimizer | {"state": kept},
            "last_gradient": [self._gathered(value) for value in self.last_gradient],
        }

    def _gathered(self, value: Tensor) -> Tensor:
        """One at a time on the device: all of them together need not fit there."""
        if not self.sharded:
            return value
        found = whole(value)
        return found.cpu() if self.world.rank == 0 else found[:0] if found.dim() else found

    def restore(self, state: dict[str, Any]) -> None:
        """Be where `state` was taken, which is not kept."""
        self.model.load_state_dict(state["model"])
        if self.sharded:
            self.sharded.read(self.model)
        optimizer = state["optimizer"]
        kept = {
            i: {name: sliced(value, self.trained[i]) for name, value in of.items()}
            for i, of in optimizer["state"].items()
        }
        self.optimizer.load_state_dict(optimizer | {"state": kept})
        last = zip(state["last_gradient"], self.trained, strict=False)  # none before the first update
        self.last_gradient = [sliced(value, p) for value, p in last]
        self.version = state["version"]

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder; of several processes, process 0 does."""
        if self.world.rank == 0:
            self.model.save_pretrained(folder)

    def digest(self) -> str:
        """sha256 over names and bytes of all weights; a RuntimeError where several processes hold different ones."""
        content = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            content.update(name.encode())
            content.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        found = self.world.gathered(content.hexdigest())
        if len(set(found)) > 1:
            raise RuntimeError(f"learner processes hold different weights: {', '.join(text[:12] for text in found)}")
        return found[0]


@dataclass(frozen=True)
class Step:
    """What one update did: the gradient's norm before clipping, and its cosine with the update before (0 if none)."""

    gradient_norm: float
    gradient_cosine: float


def cosine(gradient: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Of the angle between two gradients over the same parameters; 0 where one of them is absent or zero."""
    if not gradient or not other:
        return 0.0
    dot = torch.stack([(a * b).sum() for a, b in zip(gradient, other, strict=True)]).sum()
    norms = [torch.stack([value.square().sum() for value in side]).sum().sqrt() for side in (gradient, other)]
    product = float(whole(norms[0] * norms[1]))
    return float(whole(dot)) / product if product > 0 else 0.0
