"""KL-Cov: an unclipped ratio, and a distance to the behavior policy as penalty on a few tokens of high covariance.

    cov_it  = (A_i - mean A)(log pi(y_it) - mean log pi),   means over the tokens of the batch
    loss_it = -r_it A_i, plus coefficient |log r_it| on the share of tokens with the largest cov;   r_it = pi / mu

The tokens that cost most entropy, likely and of high advantage, are held back softly where `clip_cov` drops them. The
gradient weight is r, and a penalized token is pulled to mu with the coefficient besides. At least one token is
penalized, and ties stay together. Unlike verl, no token with cov <= 0 is penalized, so zero advantages mean no
penalty. `penalized_fraction` is the share.

share 2e-4 and coefficient 1 are the defaults of verl's function, adapted from the authors'; verl's configuration has
0.1, SkyRL a share of 0.2, and both look at a micro-batch, here it is the whole batch. There is no clip: nothing but the
penalty bounds the ratio.

Source: arXiv 2505.22617, as shipped by verl and SkyRL (`kl_cov`)
"""

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, Share, covariance, fraction, log_ratio


@objective(aggregate="token_mean")
def kl_cov(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    share: Share = 2e-4,
    coefficient: NonNegative = 1.0,
) -> Loss:
    """Unclipped ratio, with a penalty on the absolute log-ratio of the tokens with the largest covariance."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    cov = covariance(logprobs, advantages, mask)  # [B, T]
    count = max(int(share * int(mask.sum())), 1)
    least = cov.masked_fill(~mask, -torch.inf).flatten().topk(count).values[-1]
    penalized = (cov > 0) & (cov >= least)  # [B, T]
    loss = -d.exp() * advantages[:, None] + coefficient * d.abs() * penalized  # [B, T]
    return Loss(loss, {"penalized_fraction": fraction(penalized, mask)})
