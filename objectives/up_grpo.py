"""UP-GRPO, unbounded positives: right answers by REINFORCE, without ratio and clip; wrong ones by dual-clip PPO.

    loss_it = -exp(log pi(y_it) - sg(log pi(y_it))) A_i     if A_i > 0
    loss_it = -min(max(r_it, 1 - clip_low), dual) A_i       otherwise,   r_it = pi(y_it) / mu(y_it)

The ratio of a positive token is taken to the current policy itself: 1 in value, its gradient weight 1 however rare the
token was and however far it has moved, so no clip cuts the update of a right token that is still unlikely. A negative
token keeps dual-clip PPO's weight: r, zero below 1 - clip_low and above dual. PPO's upper clip never acts where A is
negative, so there is none. The paper also has this for DAPO (a mean over tokens) and for GSPO (clip 3e-4).

clip_low 0.2 as in the paper, dual 3 as in verl (`up`); TRL's form has no second clip unless `delta` is set. The paper's
KL term is absent.

Source: arXiv 2607.06987, equation 15; proposed for verl (#7022) and TRL (#6579)
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, Positive, ratio


@objective
def up_grpo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: NonNegative = 0.2,
    dual: Positive = 3.0,
) -> Loss:
    """REINFORCE on positive advantages, PPO's lower clip and a dual clip on the others."""
    weights = advantages[:, None]  # [B, 1]
    anchored = ratio(logprobs, logprobs.detach(), mask)  # [B, T], 1
    bounded = ratio(logprobs, behavior_logprobs, mask).clamp(1 - clip_low, dual)  # [B, T]
    return Loss(-anchored.where(weights > 0, bounded) * weights)
