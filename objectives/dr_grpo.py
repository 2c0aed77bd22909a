"""Dr. GRPO, GRPO done right: no division by the standard deviation, none by the response's own length.

    loss_it = -min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i),   A_i = R_i - mean of the group,
    summed over tokens and divided by the same length for all responses

The method is its advantage (`group_mean`) and its aggregate (`fixed_length`, over the suite's max_tokens); under a
suite that fixes both this is `grpo`. verl (unless its `loss_scale_factor` is set) and ROLL divide by the padded length
of the batch, which varies; ROLL and older versions of verl do not divide by the number of responses.

Source: arXiv 2503.20783
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, ratio


@objective(advantage="group_mean", aggregate="fixed_length")
def dr_grpo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio with neither standard deviation nor response length in the denominator."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    return Loss(-clipped_surrogate(r, advantages, clip_low, clip_high))
