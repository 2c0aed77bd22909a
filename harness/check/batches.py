"""Made-up batches for checking objectives: ragged, off policy by design, both signs, a group that teaches nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..learn.advantages import make_advantage
from ..types import Batch

GROUPS, SAMPLES, WIDTH = 3, 4, 5
ROWS = GROUPS * SAMPLES
PER_TOKEN = ("logprobs", "behavior_logprobs", "proximal_logprobs", "lag", "uniform")  # [B, T] besides the mask
UNIFORM_NLL = (0.1, 2.1)  # nats
SPREAD = {"proximal_logprobs": 0.1, "behavior_logprobs": 0.5}  # standard deviation of the log-ratio to the current one


def off_policy(advantage: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> Batch:
    """Responses of 1 to 5 tokens (one has none) by policies that differ from the current one, of lag 0 to 8."""
    generator = torch.Generator().manual_seed(seed)
    low, high = UNIFORM_NLL
    logprobs = -low - (high - low) * torch.rand(ROWS, WIDTH, generator=generator, dtype=dtype)  # [B, T]
    noise = {name: s * torch.randn(ROWS, WIDTH, generator=generator, dtype=dtype) for name, s in SPREAD.items()}
    lengths = torch.randint(1, WIDTH + 1, (ROWS, 1), generator=generator)
    lengths[0], lengths[3] = WIDTH, 0
    rewards = torch.tensor([1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1], dtype=dtype)
    group = torch.arange(GROUPS).repeat_interleave(SAMPLES)
    others = {name: (logprobs + shift).clamp(max=-1e-3) for name, shift in noise.items()}
    return Batch(
        logprobs=logprobs.requires_grad_(),
        **others,
        advantages=make_advantage(advantage)(rewards, group, lengths[:, 0]),
        rewards=rewards,
        mask=torch.arange(WIDTH) < lengths,
        group=group,
        lag=torch.randint(0, 9, (ROWS, WIDTH), generator=generator, dtype=torch.int32),
        uniform=torch.rand(ROWS, WIDTH, generator=generator, dtype=torch.float64),
    )


def on_policy(batch: Batch) -> Batch:
    """The same data as if the current policy had just drawn it."""
    current = batch.logprobs.detach()
    return dataclasses.replace(
        batch, behavior_logprobs=current.clone(), proximal_logprobs=current.clone(), lag=torch.zeros_like(batch.lag)
    )


def at(batch: Batch, logprobs: Tensor) -> Batch:
    """The same batch under other current log-probabilities, a leaf."""
    return dataclasses.replace(batch, logprobs=logprobs.detach().clone().requires_grad_())


def permuted(batch: Batch, order: Tensor) -> Batch:
    """The same responses in another order."""
    rows = {field.name: getattr(batch, field.name)[order] for field in dataclasses.fields(batch)}
    return at(dataclasses.replace(batch, **rows), rows["logprobs"])


def padded(batch: Batch, columns: int) -> Batch:
    """Wider by some columns, and NaN wherever the mask is False (the smallest integer for lag)."""
    mask = torch.nn.functional.pad(batch.mask, (0, columns))
    wide = {}
    for name in PER_TOKEN:
        values = torch.nn.functional.pad(getattr(batch, name).detach(), (0, columns))
        filler = float("nan") if values.is_floating_point() else torch.iinfo(values.dtype).min
        wide[name] = values.masked_fill(~mask, filler)
    return at(dataclasses.replace(batch, **wide, mask=mask), wide["logprobs"])


def without_probability(batch: Batch, names: Sequence[str], every: int) -> Batch:
    """-inf for the log-probability of one token in `every` by the policies named, from the first token on."""
    hit = torch.arange(batch.mask.numel()).view_as(batch.mask) % every == 0  # [B, T]
    moved = {name: getattr(batch, name).masked_fill(hit, -math.inf) for name in names}
    return at(dataclasses.replace(batch, **moved), batch.logprobs)


def extreme(batch: Batch, log_ratio: float, nll: float) -> Batch:
    """Every token `log_ratio` nats from both other policies, up or down in turn; `nll` is that of the likelier."""
    likely = torch.full_like(batch.logprobs.detach(), -nll)
    up = torch.arange(likely.numel()).view_as(likely) % 2 == 0  # [B, T]
    logprobs, other = likely.where(up, likely - log_ratio), likely.where(~up, likely - log_ratio)
    return at(dataclasses.replace(batch, behavior_logprobs=other, proximal_logprobs=other.clone()), logprobs)
