"""RLOO, REINFORCE leave-one-out: whole-response REINFORCE, each response against the mean of its siblings.

    loss_it = -A_i log pi(y_it),   A_i = R_i - mean of the others' rewards,   summed over a response's tokens

The method is its advantage and its aggregate. With G responses per prompt A_i is G / (G - 1) times the group-centered
reward, so under a suite that fixes both this is `policy_gradient`. TRL's RLOOTrainer trains a clipped ratio of whole
responses (clip 0.2) with a KL term in the reward; verl, SkyRL and OpenRLHF take the advantage alone and clip by token.

Source: arXiv 2402.14740
"""

from torch import Tensor

from lagbench import Loss, objective


@objective(advantage="leave_one_out", aggregate="seq_mean_token_sum")
def rloo(logprobs: Tensor, advantages: Tensor) -> Loss:
    """REINFORCE on whole responses with the leave-one-out baseline."""
    return Loss(-advantages[:, None] * logprobs)  # [B, T]
