"""Importance-sampled policy gradient, unclipped: the unbiased correction, at the price of its variance.

    loss_it = -r_it A_i,   r_it = pi(y_it) / mu(y_it)

The gradient weight is r. By token, so unbiased for the token's own state distribution only. The log-ratio is limited to
+-20, as in Trinity-RFT; SkyRL and Tinker (`importance_sampling`) have no limit and sum over tokens.

Source: Precup et al. (2000); as shipped by SkyRL, Tinker and Trinity-RFT
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import ratio


@objective(aggregate="token_mean")
def is_pg(logprobs: Tensor, behavior_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Loss:
    """Ratio to the behavior policy times the advantage, no clip."""
    return Loss(-ratio(logprobs, behavior_logprobs, mask) * advantages[:, None])  # [B, T]
