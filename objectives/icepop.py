"""IcePop: PPO's clip around the proximal policy, where that agrees with the behavior policy; other tokens are masked.

    rho_it  = pi_prox(y_it) / mu(y_it)
    loss_it = -rho_it min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i) if low <= rho_it <= high, else rejected

The gradient weight is rho r inside the bounds, where it is not clipped. Made for the mismatch between a sampling and a
training engine, it treats lag the same way. With one optimizer step per batch r is 1 in value. Bounds 0.5 and 5 as in
NeMo-RL, slime, OpenRLHF and verl. Masked rather than truncated importance sampling (MIS) at token level. Rejected
tokens stay in the denominator, as in slime, OpenRLHF and verl, whose `decoupled_token_icepop` gives them weight 0 and
leaves the mask alone. verl's rejection sampling (`rollout_rs`) takes tokens out of the mask: `denominator="kept"`.

Source: Ring-1T, arXiv 2510.18855
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, ratio


@objective
def icepop(
    logprobs: Tensor,
    proximal_logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    low: float = 0.5,
    high: float = 5.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio against the proximal policy times the behavior weight, masked outside two bounds."""
    r = ratio(logprobs, proximal_logprobs, mask)  # [B, T]
    rho = ratio(proximal_logprobs, behavior_logprobs, mask).detach()  # [B, T]
    loss = -rho * clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, kept=(rho >= low) & (rho <= high))
