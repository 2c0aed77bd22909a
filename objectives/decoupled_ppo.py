"""Decoupled PPO: a clip around the proximal policy, times a bounded weight for the lag behind it.

    r_it    = pi(y_it) / pi_prox(y_it)                                    (carries the gradient)
    w_it    = B(pi_prox(y_it) / mu(y_it))                                 (stop-gradient)
    loss_it = -w_it min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i)

The gradient weight of a token is w r A, and zero where the clip has removed it. The proximal policy is the one at the
start of the update; with one optimizer step per batch r is 1 in value, and the bounded weight is all that acts.

`bound="mask"` rejects tokens whose weight exceeds `weight_cap` and keeps them in the denominator, as AReaL's examples
do (cap 5; AReaL applies no weight at all unless rejection sampling is configured). `bound="truncate"` limits the weight
to the cap, as verl's decoupled mode does (cap 2). The paper's equation has no bound. AReaL's class default for the clip
is 0.2, its examples use 0.4. `bound_fraction` is the share of tokens above the cap.

Source: arXiv 2505.24298 (AReaL); idea of arXiv 2110.00641
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, clipped_surrogate, fraction, ratio


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
    bound: Literal["mask", "truncate"] = "mask",
) -> Loss:
    """PPO-clipped ratio against the proximal policy times the bounded behavior weight."""
    r = ratio(logprobs, proximal_logprobs, mask)  # [B, T]
    weight = ratio(proximal_logprobs, behavior_logprobs, mask).detach()  # [B, T]
    over = weight > weight_cap  # [B, T]
    loss = -weight.clamp(max=weight_cap) * clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, {"bound_fraction": fraction(over, mask)}, kept=~over if bound == "mask" else None)
