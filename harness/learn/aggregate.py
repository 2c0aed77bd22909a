"""Token losses [B, T] to the scalar that is minimized; shared by all objectives of a suite.

Entries off the mask may hold anything, NaN included. A response without tokens counts in no denominator.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def token_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over all tokens of the batch: long responses weigh more (DAPO, arXiv 2503.14476)."""
    return tokens.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def seq_mean_token_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over responses of the mean over their tokens (GRPO, arXiv 2402.03300)."""
    return response_means(tokens, mask).sum() / mask.any(1).sum().clamp(min=1)


def response_means(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over each response's own tokens: [B]; 0 for one without tokens."""
    return tokens.where(mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def seq_mean_token_sum(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over responses of the sum over their tokens: the sequence log-probability of REINFORCE."""
    return tokens.where(mask, 0.0).sum() / mask.any(1).sum().clamp(min=1)


AGGREGATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    f.__name__: f for f in (token_mean, seq_mean_token_mean, seq_mean_token_sum)
}
