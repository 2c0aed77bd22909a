"""Calibrated rollout importance sampling (GLM-5): the ratio as weight inside a band, nothing outside.

    loss_it = -sg(r_it 1[1 - clip_low < r_it < 1 + clip_high]) A_i log pi(y_it),   r_it = pi(y_it) / mu(y_it)

The gradient weight is r inside the band and 0 outside, on both sides for both signs of A. CISPO cuts the weight at the
band instead, PPO removes a token in the advantage's direction only. The ratio is taken straight from the
log-probabilities that the rollout engine recorded, so no forward pass of a proximal policy is needed. 0.2 and 0.2 as in
SkyRL.

Source: arXiv 2602.15763; SkyRL's `rollout_is`
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import ratio


@objective(aggregate="token_mean")
def rollout_is(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """REINFORCE weighted by the ratio to the behavior policy where that is inside a band."""
    r = ratio(logprobs, behavior_logprobs, mask).detach()  # [B, T]
    inside = (r > 1 - clip_low) & (r < 1 + clip_high)  # [B, T]
    return Loss(-r * advantages[:, None] * logprobs, kept=inside)
