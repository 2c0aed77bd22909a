"""Clip-Cov: GRPO without the gradient of a few tokens that would cost much entropy, picked at random.

    cov_it  = (A_i - mean A)(log pi(y_it) - mean log pi),   means over the tokens of the batch
    Q       = share of all tokens (at least one), drawn from those with cov_low < cov < cov_high that are not clipped
    loss_it = -min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i), zero in Q;   r_it = pi(y_it) / mu(y_it)

Entropy falls fastest through tokens that are likely and have a high advantage; leaving out two in ten thousand of them
slows the collapse. The gradient weight is GRPO's outside Q and 0 in it. Tokens of Q stay in the denominator.
`picked_fraction` is their share.

Which tokens are in Q is decided by the run's own noise (`uniform`): the candidates with the smallest numbers. So the
same run picks the same tokens, whatever the size of its micro-batches; verl and SkyRL shuffle with the process's
generator and take means and share over a micro-batch. share 2e-4, bounds 1 and 5 and clip 0.2 are those of both.

Source: arXiv 2505.22617, as shipped by verl and SkyRL (`clip_cov`)
"""

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Share, clipped_surrogate, covariance, fraction, ratio


def weight(
    logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    uniform: Tensor,
    share: float,
    cov_low: float,
    cov_high: float,
) -> Tensor:
    """0 in Q, else 1: [B, T]."""
    cov = covariance(logprobs, advantages, mask)
    return 1.0 - picked((cov > cov_low) & (cov < cov_high), mask, uniform, share).to(cov.dtype)


@objective(aggregate="token_mean", on_policy_weight=weight)
def clip_cov(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    uniform: Tensor,
    *,
    share: Share = 2e-4,
    cov_low: float = 1.0,
    cov_high: float = 5.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio, no gradient through a random few of the tokens with high covariance."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    loss = -clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    clipped = loss > -r * advantages[:, None]  # [B, T]
    cov = covariance(logprobs, advantages, mask)  # [B, T]
    chosen = picked((cov > cov_low) & (cov < cov_high) & ~clipped, mask, uniform, share)  # [B, T]
    return Loss(loss * ~chosen, {"picked_fraction": fraction(chosen, mask)})


def picked(candidates: Tensor, mask: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Those of the candidates with the smallest numbers, `share` of all tokens but at least one: [B, T] bool."""
    count = max(int(share * int(mask.sum())), 1)
    ranked = uniform.masked_fill(~(candidates & mask), torch.inf)  # [B, T]
    limit = ranked.flatten().kthvalue(count).values
    return candidates & mask & (ranked <= limit)
