"""Arithmetic that several objectives share. B responses, T tokens."""

from torch import Tensor

LOG_RATIO_LIMIT = 20.0  # nats; beyond it a ratio is a constant and carries no gradient, as in verl, SkyRL, OpenRLHF


def ratio(logprobs: Tensor, base_logprobs: Tensor, mask: Tensor) -> Tensor:
    """exp(logprobs - base_logprobs) [B, T], the log-ratio limited to +-20 nats; 1 off the mask."""
    log_ratio = (logprobs - base_logprobs).masked_fill(~mask, 0.0)  # [B, T]
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """The pessimistic PPO surrogate min(r A, clip(r, 1 - low, 1 + high) A) [B, T] (arXiv 1707.06347, equation 7)."""
    weights = advantages[:, None]  # [B, 1]
    return (ratio * weights).minimum(ratio.clamp(1 - clip_low, 1 + clip_high) * weights)


def clip_fraction(ratio: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float) -> float:
    """Fraction of tokens whose gradient the clip removes: r > 1 + high where A > 0, r < 1 - low where A < 0."""
    positive = advantages[:, None] > 0  # [B, 1]
    negative = advantages[:, None] < 0  # [B, 1]
    clipped = (positive & (ratio > 1 + clip_high)) | (negative & (ratio < 1 - clip_low))  # [B, T]
    return fraction(clipped, mask)


def fraction(flags: Tensor, mask: Tensor) -> float:
    """Share of the tokens on the mask that are flagged; 0 if the mask is empty."""
    return float((flags & mask).sum() / mask.sum().clamp(min=1))


def sequence_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [B, T] over each response's own tokens: [B]; 0 for an empty response."""
    return values.masked_fill(~mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)
