"""CISPO, clipped importance-sampling weights: REINFORCE with a bounded ratio as weight, so no token loses its gradient.

    loss_it = -sg(clip(r_it, 1 - clip_low, 1 + clip_high)) A_i log pi(y_it),   r_it = pi(y_it) / mu(y_it)

The gradient weight is the clipped ratio. The paper clips from above and leaves the lower side open; the defaults 1 and
4 ([0, 5]) are those of ScaleRL, which found caps of 4 to 8 alike, and a positive lower bound harmful off policy.

What the numbers mean differs. `cap="offset"`: distances from 1, as in the paper, verl (0.2 and 0.2), SkyRL (1 and 4; 0
and 5 in its 0.3.0), slime, NeMo-RL and Trinity-RFT (1 and 0.28). `cap="absolute"`: clip_high is the largest ratio
itself and there is no lower bound, as in TRL and Liger, whose default epsilon makes it 0.2 (they recommend 5).
torchforge's `ReinforceLoss` is this with [0.1, 10] (clip_low 0.9, clip_high 9).

`outside="removed"` is the paper's unified mask: a ratio above the upper bound with A > 0, or below the lower one with A
< 0, gets no gradient, as under PPO's clip; on the other side it is clipped as before. ROLL takes the same bounds for it
(`cispo_use_unified_mask`), Trinity-RFT bounds of its own (`enable_mask_clip`); both have it off. `bound_fraction` is
the share of tokens whose weight was changed. MiniMax names it CISPO; the gradient is TIS against mu with a lower bound.

Source: arXiv 2506.13585, equations 4 and 7; ScaleRL, arXiv 2510.13786
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import fraction, ratio


@objective(aggregate="token_mean")
def cispo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 1.0,
    clip_high: float = 4.0,
    cap: Literal["offset", "absolute"] = "offset",
    outside: Literal["clipped", "removed"] = "clipped",
) -> Loss:
    """REINFORCE weighted by the clipped ratio to the behavior policy, no gradient through the weight."""
    r = ratio(logprobs, behavior_logprobs, mask).detach()  # [B, T]
    weight = r.clamp(1 - clip_low, 1 + clip_high) if cap == "offset" else r.clamp(max=clip_high)  # [B, T]
    if outside == "removed":
        weight = weight * ((r - weight) * advantages[:, None] <= 0)
    return Loss(-weight * advantages[:, None] * logprobs, {"bound_fraction": fraction(weight != r, mask)})
