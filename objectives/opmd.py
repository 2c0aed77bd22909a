"""OPMD, online policy mirror descent in its simple form: REINFORCE with a regularizing factor.

    loss_it = -A_i log pi(y_it) / (1 + tau),   A_i = R_i - mean of the group                      advantage opmd
                                               A_i = R_i - tau log mean exp(R / tau)              advantage opmd:TAU

The gradient weight is 1 / (1 + tau), which acts as a smaller learning rate. The baseline belongs to the advantage, the
shared estimator `opmd`: the group's mean, which is the default of Trinity-RFT (`opmd_baseline="mean"`), or its
`logavgexp`, the soft maximum that mirror descent leads to, with a tau of its own (`opmd:1`). That one lies above the
mean, so advantages sum to less than zero. Trinity-RFT adds a squared log-ratio to the reference policy at the level of
the algorithm, absent here.

Source: Trinity-RFT, arXiv 2505.17826
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative


def weight(tau: float) -> float:
    """1 / (1 + tau)."""
    return 1 / (1 + tau)


@objective(advantage="opmd", aggregate="token_mean", on_policy_weight=weight)
def opmd(logprobs: Tensor, advantages: Tensor, *, tau: NonNegative = 1.0) -> Loss:
    """Naive policy gradient over 1 + tau, with the mean or a soft maximum of the rewards as baseline."""
    return Loss(-advantages[:, None] * logprobs / (1 + tau))  # [B, T]
