"""Decoupled PPO: a clip around the proximal policy, times a bounded weight for the lag behind it.

    r_it    = pi(y_it) / pi_prox(y_it)                                    (carries the gradient)
    w_it    = B(pi_prox(y_it) / mu(y_it))                                 (stop-gradient)
    loss_it = -w_it min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i)

The gradient weight of a token is w r A, and zero where the clip has removed it. The proximal policy is the one at the
start of the update; with one optimizer step per batch r is 1 in value, and the bounded weight is all that acts.

`bound="mask"` rejects tokens whose weight exceeds `weight_cap` and keeps them in the denominator, as AReaL's examples
do (cap 5; AReaL applies no weight at all unless rejection sampling is configured). `bound="truncate"` limits the weight
to the cap, as verl's decoupled mode does (cap 2), and lifts it to `weight_floor` (0: no floor); OpenRLHF's `clip`
limits it to 0.5 and 5. A mask with two bounds is `icepop`, so there is no floor under a mask. The paper's equation has
no bound. AReaL's class default for the clip is 0.2, its examples use 0.4. `bound_fraction` is the share of tokens whose
weight is outside.

Source: arXiv 2505.24298 (AReaL); idea of arXiv 2110.00641
"""

from typing import Literal

from torch import Tensor

from lagbench import InputError, Loss, objective

from .arithmetic import NonNegative, Positive, clipped_surrogate, fraction, ratio


@objective
def decoupled_ppo(
    logprobs: Tensor,
    proximal_logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    weight_cap: Positive = 5.0,
    weight_floor: NonNegative = 0.0,
    bound: Literal["mask", "truncate"] = "mask",
) -> Loss:
    """PPO-clipped ratio against the proximal policy times the bounded behavior weight."""
    if bound == "mask" and weight_floor:
        raise InputError(f"weight_floor={weight_floor} needs bound=truncate; a mask with two bounds is icepop")
    r = ratio(logprobs, proximal_logprobs, mask)  # [B, T]
    weight = ratio(proximal_logprobs, behavior_logprobs, mask).detach()  # [B, T]
    outside = (weight > weight_cap) | (weight < weight_floor)  # [B, T]
    loss = -weight.clamp(weight_floor, weight_cap) * clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, {"bound_fraction": fraction(outside, mask)}, kept=~outside if bound == "mask" else None)
