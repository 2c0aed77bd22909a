"""Naive policy gradient: REINFORCE with a group baseline and no correction for lag.

    loss_it = -A_i log pi(y_it)

This is the naive current-policy objective of arXiv 2606.03070 (equation 9, with C_i = 1 in equation 15), which takes
A_i = R_i - mean of the group and the mean over responses of the mean over their tokens. The gradient weight of a token
is 1, whatever policy drew it. Nothing bounds the negative branch: the more unlikely a stale response has become, the
larger its loss. Shipped as `gpg` mode in verl, `vanilla` in ROLL and `disable_ppo_ratio` in NeMo-RL, which differ in
aggregation only.

Source: Williams (1992); group baseline of GRPO, arXiv 2402.03300; equation 9 of arXiv 2606.03070
"""

from torch import Tensor

from lagbench import Loss, objective


@objective(advantage="group_mean")
def policy_gradient(logprobs: Tensor, advantages: Tensor) -> Loss:
    """Advantage times token NLL under the current policy, no correction."""
    return Loss(-advantages[:, None] * logprobs)  # [B, T]
