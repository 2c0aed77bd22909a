"""SAPO, Soft Adaptive Policy Optimization: a sigmoid gate where PPO has a clip.

    f(r)    = (4 / tau) sigmoid(tau (r - 1)),   tau = tau_positive if A > 0 else tau_negative
    loss_it = -f(r_it) A_i,   r_it = pi(y_it) / mu(y_it)

The gradient weight is 4 sigmoid (1 - sigmoid) r, which is 1 at r = 1 for every tau and falls off smoothly on both
sides; the negative side a little faster. Trinity-RFT weights log pi by sg(f(r)) instead, which is another gradient (2 /
tau at r = 1, growing with r).

Source: arXiv 2511.20347
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, ratio


@objective
def sapo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    tau_positive: Positive = 1.0,
    tau_negative: Positive = 1.05,
) -> Loss:
    """Soft gate on the ratio to the behavior policy, times the advantage."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    tau = r.new_full((len(r), 1), tau_negative).masked_fill(advantages[:, None] > 0, tau_positive)  # [B, 1]
    return Loss(-4 / tau * (tau * (r - 1)).sigmoid() * advantages[:, None])
