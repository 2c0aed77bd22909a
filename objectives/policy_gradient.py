"""Naive policy gradient: REINFORCE with a group baseline and no correction for lag.

    loss_it = -A_i log pi(y_it)

The gradient weight of a token is A_i, whatever policy drew it. Nothing bounds the negative branch: the more unlikely a
stale response has become, the larger its loss. Shipped as `gpg` mode in verl, `vanilla` in ROLL and `disable_ppo_ratio`
in NeMo-RL, which differ in aggregation only.

Source: Williams (1992); group baseline of GRPO, arXiv 2402.03300
"""

from torch import Tensor

from lagbench import Loss, objective


@objective
def policy_gradient(logprobs: Tensor, advantages: Tensor) -> Loss:
    """Advantage times token NLL under the current policy, no correction."""
    return Loss(-advantages[:, None] * logprobs)  # [B, T]
