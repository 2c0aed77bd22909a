"""GSPO, Group Sequence Policy Optimization: one clipped ratio per response, the geometric mean of its tokens' ratios.

    s_i    = exp(mean over tokens of log pi(y_it) - log mu(y_it))
    loss_i = -min(s_i A_i, clip(s_i, 1 - clip_low, 1 + clip_high) A_i)

The gradient weight of a token is s_i A_i (over the length, by the mean), and zero for the whole response where it is
clipped. s_i stays within a few thousandths of 1 on policy, so the authors' clip is 3e-4 and 4e-4; verl, TRL, SkyRL,
NeMo-RL, slime, OpenRLHF, ROLL and AReaL leave it at 0.2 by default, which hardly ever clips. Their token form
(GSPO-token) has the same gradient while A is constant over a response. AReaL aggregates over tokens.

Source: arXiv 2507.18071, equations 5 and 7
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, geometric_ratio, spread


@objective
def gspo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> Loss:
    """PPO-clipped geometric-mean ratio of whole responses."""
    s = geometric_ratio(logprobs, behavior_logprobs, mask)  # [B]
    return Loss(spread(-clipped_surrogate(s, advantages, clip_low, clip_high), mask))
