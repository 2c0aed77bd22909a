"""Arithmetic that several objectives share. B responses, T tokens."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Positive = Annotated[float, Field(gt=0)]  # an option that nothing else makes sense for
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
LOG_RATIO_LIMIT = 20.0  # nats; beyond it a ratio is a constant and carries no gradient, as in verl, SkyRL, OpenRLHF
LOWEST = -1e30  # nats, in the place of -inf, so that every difference is finite


def difference(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Log-ratio logprobs - base_logprobs [B, T] without a limit, but finite; 0 off the mask and where both are -inf."""
    return (logprobs.clamp(min=LOWEST) - base_logprobs.clamp(min=LOWEST)).masked_fill(~mask, 0.0)


def log_ratio(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Log-ratio logprobs - base_logprobs [B, T], limited to +-20 nats; 0 off the mask."""
    return difference(logprobs, base_logprobs, mask).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def ratio(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """exp(logprobs - base_logprobs) [B, T], the log-ratio limited to +-20 nats; 1 off the mask."""
    return log_ratio(logprobs, base_logprobs, mask).exp()


def log_product(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Log-ratio of whole responses [B], the sum of their tokens' without a limit; float64."""
    return difference(logprobs, base_logprobs, mask).double().sum(1)


def product_ratio(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Probability ratio of whole responses [B], its logarithm limited to +-20 nats."""
    whole = log_product(logprobs, base_logprobs, mask)  # [B]
    return whole.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().to(logprobs.dtype)


def effective_share(log_weights: Tensor) -> float:
    """(sum w)^2 / (n sum w^2) of weights given by their logarithms [n]; 0 for none.

    Only their ratios matter, so it is computed over the largest weight and needs no limit.
    """
    if len(log_weights) == 0:
        return 0.0
    w = (log_weights - log_weights.max()).exp()  # [n]
    return float(w.sum() ** 2 / (len(w) * (w**2).sum()))


def geometric_ratio(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Geometric mean over a response's tokens of their ratios [B]; 1 for an empty response."""
    return sequence_mean(log_ratio(logprobs, base_logprobs, mask), mask).exp()


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """The pessimistic PPO surrogate min(r A, clip(r, 1 - low, 1 + high) A) (arXiv 1707.06347, equation 7).

    `ratio` is [B, T], or [B] for whole responses.
    """
    weights = advantages[:, None] if ratio.dim() == 2 else advantages  # [B, 1] or [B]
    return (ratio * weights).minimum(ratio.clamp(1 - clip_low, 1 + clip_high) * weights)


def fraction(flags: Tensor, mask: Tensor) -> float:
    """Share of the tokens on the mask that are flagged; 0 if the mask is empty."""
    return float((flags & mask).sum() / mask.sum().clamp(min=1))


def covariance(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """What each token adds to the covariance of advantage and log-probability over the batch: [B, T], detached.

    (A - mean A)(log pi - mean log pi), both means over the tokens on the mask; anything off it (arXiv 2505.22617).
    """
    count = mask.sum().clamp(min=1)
    logs = logprobs.detach().masked_fill(~mask, 0.0)  # [B, T]
    weights = advantages[:, None].expand(mask.shape).masked_fill(~mask, 0.0)  # [B, T]
    return (weights - weights.sum() / count) * (logs - logs.sum() / count)


def sequence_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [B, T] over each response's own tokens: [B]; 0 for an empty response."""
    return values.masked_fill(~mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def spread(losses: Tensor, mask: Tensor) -> Tensor:
    """A loss per response [B] as one per token [B, T]: its mean over the response's tokens is the response's loss."""
    return losses[:, None].expand(mask.shape)


def of_group(values: Tensor, group: Tensor, reduce: str) -> Tensor:
    """Every response's group's reduction of `values`: [B] from [B]. `reduce` as in `Tensor.scatter_reduce`."""
    _, index = torch.unique(group, return_inverse=True)  # [B]
    return torch.zeros_like(values).scatter_reduce(0, index, values, reduce, include_self=False)[index]


def informative(rewards: Tensor, group: Tensor) -> Tensor:
    """Whether a response's group has different rewards, and so teaches something: [B] bool."""
    return of_group(rewards, group, "amax") > of_group(rewards, group, "amin")
