"""Train/inference mismatch: what disturbs the sampler and the learner does not know of. An axis of its own beside lag.

Behavior log-probabilities are always those of the disturbed distribution, the one that a token was drawn from; the
learner's are those of its own model at its own temperature. With lag 0 and a mismatch the two differ, as they do where
another engine generates. Evaluation is never disturbed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config import NO_MISMATCH
from ..noise import Noise
from ..registry import did_you_mean
from ..types import InputError, Rollouts
from .sampler import Sampler

FORMS = {
    NO_MISMATCH: "the learner's own distribution",
    "logit_noise": "logit_noise:SIGMA, normal noise on every logit, as other kernels make it",
    "temperature": "temperature:T, sampling at T instead of the run's temperature",
    "top_p": "top_p:P, sampling from the most probable tokens that hold P of the probability",
    "bf16": "the sampler's weights and arithmetic in bfloat16",
}


@dataclass(frozen=True)
class Mismatch:
    """What is done to the logits of the next token before one is drawn; by default nothing."""

    logit_noise: float = 0.0  # standard deviation
    temperature: float | None = None  # None: the run's
    top_p: float = 1.0
    bf16: bool = False

    def logprobs(self, logits: Tensor, temperature: float, normals: Callable[[int], Tensor]) -> Tensor:
        """Log-probabilities [N, V] of logits [N, V]; `normals(V)` draws [N, V] standard normal numbers if asked."""
        if self.logit_noise:
            logits = logits + self.logit_noise * normals(logits.shape[1]).to(logits)
        logprobs = torch.log_softmax(logits / (self.temperature or temperature), -1)
        return logprobs if self.top_p == 1.0 else nucleus(logprobs, self.top_p)


def make_mismatch(text: str) -> Mismatch:
    """The mismatch that `text` names, as in FORMS; an InputError for anything else."""
    name, colon, value = text.partition(":")
    if name not in FORMS:
        raise InputError(f"unknown mismatch {text!r}{did_you_mean(name, FORMS)}; expected {', '.join(FORMS)}")
    if name in (NO_MISMATCH, "bf16"):
        if colon:
            raise InputError(f"mismatch {text!r}: {name} takes no value")
        return Mismatch(bf16=name == "bf16")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf) or (name == "top_p" and number >= 1):
        expected = "a number between 0 and 1" if name == "top_p" else "a number above 0"
        raise InputError(f"mismatch {text!r}: {value!r} is not {expected}; expected {FORMS[name]}")
    value_of: dict[str, Any] = {name: number}
    return Mismatch(**value_of)


def spelled(text: str) -> str:
    """The one way to write a mismatch: top_p:0.90 is top_p:0.9. An InputError for what is none."""
    make_mismatch(text)
    name, colon, value = text.partition(":")
    return f"{name}:{float(value)!r}".removesuffix(".0") if colon else name


def nucleus(logprobs: Tensor, top_p: float) -> Tensor:
    """Renormalized over the fewest most probable tokens that hold at least `top_p`; -inf for the others. [N, V]."""
    descending, order = logprobs.double().sort(dim=-1, descending=True)
    before = descending.exp().cumsum(-1) - descending.exp()  # probability of what is more probable
    kept = torch.zeros_like(logprobs, dtype=torch.bool).scatter(-1, order, before < top_p)
    return torch.log_softmax(logprobs.masked_fill(~kept, -math.inf), -1)


@dataclass(frozen=True)
class Bf16Sampler:
    """Draws from a bfloat16 copy of `model`, brought up to date before each call. `build` makes its sampler."""

    model: PreTrainedModel
    rounded: PreTrainedModel
    sampler: Sampler

    @classmethod
    def of(cls, model: PreTrainedModel, build: Callable[[PreTrainedModel], Sampler]) -> Bf16Sampler:
        rounded = copy.deepcopy(model)
        for value in rounded.parameters():  # not the buffers: engines keep positions in float32, too
            value.data = value.data.bfloat16()
        return cls(model, rounded, build(rounded))

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        for copied, value in zip(self.rounded.parameters(), self.model.parameters(), strict=True):
            copied.copy_(value)
        return self.sampler.sample(prompts, noise, ends, begun)
