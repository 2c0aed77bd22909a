"""The current policy: a causal LM, its optimizer and its version.

The model gets one gradient, dL/dlogprobs [B, T], whatever the objective computed it from; so statistics over the
whole batch are exact for any micro-batch size.
"""

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
from ..models.load import precision
from ..rollout.padding import left_pad, positions
from ..types import NonFinite, Rollouts
from .logprobs import token_logprobs


@dataclass(frozen=True)
class Sequences:
    """Prompts and responses side by side: prompts left-padded, so that every response starts in the same column."""

    input_ids: Tensor  # [B, S]
    attention_mask: Tensor | None  # [B, S]; None where no prompt is padded: what is right of a token cannot reach it
    start: int  # column of the first response token
    mask: Tensor  # [B, T] bool, S = start + T

    def microbatches(self, rows: int) -> Iterator[Sequences]:
        for i in range(0, len(self.mask), rows):
            part = slice(i, i + rows)
            attention = None if self.attention_mask is None else self.attention_mask[part]
            yield Sequences(self.input_ids[part], attention, self.start, self.mask[part])


def sequences(rollouts: Rollouts, pad: int, device: torch.device) -> Sequences:
    """The model's view of `rollouts`."""
    ids, attention = left_pad(rollouts.prompts, pad)
    ids = torch.cat([ids.repeat_interleave(rollouts.group_size, 0), rollouts.tokens.where(rollouts.mask, pad)], 1)
    if attention is not None:
        attention = torch.cat([attention.repeat_interleave(rollouts.group_size, 0), rollouts.mask.long()], 1).to(device)
    width = rollouts.tokens.shape[1]
    return Sequences(ids.to(device), attention, ids.shape[1] - width, rollouts.mask.to(device))


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
        return Forward(self, batch)

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

    def logprobs(self, batch: Sequences) -> tuple[Tensor, Tensor]:
        """Log-probabilities [B, T], differentiable unless inside `torch.no_grad()`, and entropies [B, T], in nats.

        Both are zero off the mask.
        """
        with precision(self.device):
            decoder = self.model.get_decoder()
            hidden = decoder(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=positions(batch.attention_mask),
                use_cache=False,
            ).last_hidden_state  # [B, S, H]
            chosen, entropy = token_logprobs(
                hidden[:, batch.start - 1 : -1][batch.mask],
                self.model.get_output_embeddings(),
                batch.input_ids[:, batch.start :][batch.mask],
                self.run.temperature,
                self.model.config.get_text_config().vocab_size,
            )
        zeros = chosen.new_zeros(batch.mask.shape)
        return zeros.masked_scatter(batch.mask, chosen), zeros.masked_scatter(batch.mask, entropy)

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


class Forward:
    """One forward pass over a batch. One micro-batch keeps its graph; several are computed again in backward."""

    def __init__(self, policy: Policy, batch: Sequences):
        self.policy, self.parts = policy, list(batch.microbatches(policy.run.microbatch))
        self.mask = batch.mask
        with torch.set_grad_enabled(len(self.parts) == 1):
            passes = [policy.logprobs(part) for part in self.parts]
        self._kept = passes[0][0] if len(self.parts) == 1 else None
        self.logprobs = torch.cat([logprobs.detach() for logprobs, _ in passes]).requires_grad_()  # [B, T], a leaf
        self.entropy = torch.cat([entropy for _, entropy in passes])  # [B, T]

    def backward(self, gradient: Tensor, again: bool = False) -> None:
        """Accumulate the weights' gradient from dL/dlogprobs [B, T]; its entries off the mask are ignored.

        `again` says that it will be called once more for this forward pass.

        A micro-batch whose gradient is all zero (groups of equal rewards) is passed over, but for the first: weights
        without a gradient would be passed over by the optimizer, momentum included.
        """
        gradient = gradient.where(self.mask, 0.0)
        for i, (part, given) in enumerate(zip(self.parts, gradient.split(self.policy.run.microbatch), strict=True)):
            if i and not given.any():
                continue
            logprobs = self.policy.logprobs(part)[0] if self._kept is None else self._kept
            logprobs.backward(given, retain_graph=again and self._kept is not None)
