"""GEPO, Group Expectation Policy Optimization: the weight's denominator is an expectation over the group.

    p_i    = exp(mean over tokens of log pi(y_it)),   q_i = exp(mean over tokens of log mu(y_it))
    E      = sum_j q_j^2 / sum_j q_j over the group of i
    w_i    = p_i / E, its logarithm limited to +-20                                (the gradient flows through p_i)
    loss_i = -min(w_i A_i, clip(w_i, 1 - clip_low, 1 + clip_high) A_i)

One unlikely response no longer makes a huge weight: all of a group share the denominator. On policy w_i is p_i / E, not
1, so part of the responses start outside the clip, where those with an advantage in that direction have no gradient.
The gradient weight of a token is w_i (over the length, by the mean) where it is not clipped. The authors compute E over
the batch of a device, assuming one group on each; the optional KL term to mu is absent.

Source: arXiv 2508.17850
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOG_RATIO_LIMIT, LOWEST, clipped_surrogate, of_group, sequence_mean, spread


def group_weight(logprobs: Tensor, behavior_logprobs: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """w_i [B]."""
    # a response that is empty or that mu would never give counts for nothing
    log_q = sequence_mean(behavior_logprobs, mask).masked_fill(~mask.any(1), LOWEST).clamp(min=LOWEST)  # [B]
    top = of_group(log_q, group, "amax")  # [B], so that no sum underflows
    q = (log_q - top).exp()  # [B], over the group's largest
    log_expected = top + (of_group(q**2, group, "sum") / of_group(q, group, "sum")).log()  # [B]
    log_w = sequence_mean(logprobs, mask) - log_expected  # [B]
    return log_w.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def weight(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    mask: Tensor,
    group: Tensor,
    advantages: Tensor,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """w_i where it is not clipped, else 0: [B]."""
    w = group_weight(logprobs, behavior_logprobs, mask, group)
    clipped = ((advantages > 0) & (w > 1 + clip_high)) | ((advantages < 0) & (w < 1 - clip_low))
    return w.masked_fill(clipped, 0.0)


@objective(advantage="group_mean", on_policy_weight=weight)
def gepo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    group: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped response weight whose denominator is the group's expected behavior probability."""
    w = group_weight(logprobs, behavior_logprobs, mask, group)  # [B]
    return Loss(spread(-clipped_surrogate(w, advantages, clip_low, clip_high), mask))
