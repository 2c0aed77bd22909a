"""GRPO with the ratio taken against the behavior policy: PPO's clip as the only correction for lag.

    r_it    = pi(y_it) / mu(y_it)
    loss_it = -min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i)

The gradient weight of a token is r_it A_i, and zero where the clip has removed it: r > 1 + clip_high with A > 0, or r <
1 - clip_low with A < 0. A paper's pi_old is the policy that drew the data, so it is mu here; asynchronous trainers call
this bypass mode (TRL's AsyncGRPO, verl `bypass_mode`). Synchronous trainers anchor the ratio at the proximal policy,
recomputed at the start of the step; for that, with a weight for the lag, see `decoupled_ppo`. No KL term, as most ship
it today (the paper has one).

Source: arXiv 2402.03300, equation 3; clip of arXiv 1707.06347, equation 7
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, ratio


@objective
def grpo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio against the behavior policy."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    return Loss(-clipped_surrogate(r, advantages, clip_low, clip_high))
