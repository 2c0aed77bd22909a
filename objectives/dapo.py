"""DAPO: GRPO with a higher upper clip, a mean over tokens, and groups that teach nothing left out of it.

    loss_it = -min(r_it A_i, clip(r_it, 1 - 0.2, 1 + 0.28) A_i) on groups whose rewards differ

Clip-higher lets unlikely tokens grow. Dynamic sampling is the paper's third part: it resamples groups of equal rewards.
Every objective here trains on the same rollouts, so those groups are rejected instead, and with the declared
denominator `kept` the mean is over the rest (TRL and most others keep counting them: `denominator="all"`). The paper's
overlong penalty belongs to the reward and is absent.

The name is Decoupled clip and Dynamic sAmpling Policy Optimization.

Source: arXiv 2503.14476, equation 8
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, informative, ratio, spread


@objective(aggregate="token_mean", denominator="kept")
def dapo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    rewards: Tensor,
    group: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> Loss:
    """PPO-clipped ratio with a higher upper clip, on informative groups only."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    loss = -clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, kept=spread(informative(rewards, group), mask))
