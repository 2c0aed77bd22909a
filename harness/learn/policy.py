"""The current policy: a causal LM, its optimizer and its version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config import Run
from ..types import NonFinite
from .forward import Forward
from .sequences import Sequences


class Policy:
    """A model, an AdamW optimizer over it, and the number of updates made."""

    def __init__(self, model: PreTrainedModel, run: Run):
        self.model, self.run, self.version = model, run, 0
        self.last_gradient: list[Tensor] = []  # of the update before, as large as the model; none yet
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=run.learning_rate, betas=run.adam_betas, weight_decay=run.weight_decay
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    def forward(self, batch: Sequences) -> Forward:
        """Log-probabilities of the response tokens, ready to be differentiated."""
        return Forward(self.model, self.run, batch)

    def step(self, scale: float = 1.0) -> Step:
        """Clip the accumulated gradient, update the weights at `scale` times the learning rate, be the next version.

        A gradient norm that is not finite raises NonFinite and leaves the weights alone.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.run.clip_norm))
        if not math.isfinite(norm):
            raise NonFinite(f"update {self.version}: the gradient norm is {norm}")
        warmup = min(1.0, (self.version + 1) / max(self.run.warmup_updates, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.run.learning_rate * warmup * scale
        self.optimizer.step()
        gradient = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.optimizer.zero_grad(set_to_none=True)
        step = Step(norm, cosine(gradient, self.last_gradient))
        self.last_gradient = gradient
        self.version += 1
        return step

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter by its Hugging Face name, whole and detached; of tied ones the first."""
        for name, value in self.model.named_parameters():
            yield name, value.detach()

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {
            "version": self.version,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "last_gradient": self.last_gradient,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.last_gradient = [value.to(self.device) for value in state["last_gradient"]]
        self.version = state["version"]

    def digest(self) -> str:
        """sha256 over names and bytes of all weights."""
        content = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            content.update(name.encode())
            content.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()


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
    product = float(norms[0] * norms[1])
    return float(dot) / product if product > 0 else 0.0
