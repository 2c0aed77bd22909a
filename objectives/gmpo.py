"""GMPO, Geometric-Mean Policy Optimization: every token clipped in log space, then their geometric mean.

    d_it   = log pi(y_it) - log mu(y_it)
    d'_it  = min(d_it, clip_high) if A_i > 0 else max(d_it, -clip_low)
    loss_i = -A_i exp(mean over tokens of d'_it)

Clipped one-sided, in the advantage's direction, before the mean, so that one outlier takes neither the response's
gradient nor its own. The gradient weight of a token is exp(mean d') A_i, zero where it is clipped. The bounds are in
log space: 0.4 means ratios of e^-0.4 and e^0.4, in the authors' and in verl's scripts.

Source: arXiv 2507.20673
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import log_ratio, sequence_mean, spread


@objective
def gmpo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.4,
    clip_high: float = 0.4,
) -> Loss:
    """Geometric mean over a response of token ratios that are clipped in log space."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    clipped = d.clamp(max=clip_high).where(advantages[:, None] > 0, d.clamp(min=-clip_low))  # [B, T]
    return Loss(spread(-advantages * sequence_mean(clipped, mask).exp(), mask))
