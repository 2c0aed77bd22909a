"""A-3PO: decoupled PPO whose proximal policy is not computed but interpolated from the age of the token.

    d_it            = lag of the token, in updates
    log pi_prox(.)  = log mu + (1 - 1 / d_it) (sg(log pi) - log mu) for d_it >= 1, log mu for d_it = 0
    loss_it         = -B(pi_prox / mu) min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i),   r_it = pi / pi_prox

The older a token, the closer its anchor to the current policy: r = (pi / mu)^(1 / d) in value, so that the clip bites
less on old tokens and the bounded weight (pi / mu)^(1 - 1 / d) takes over. The gradient weight is their product, inside
the clip and below the cap. B rejects tokens whose weight exceeds `weight_cap`, as in AReaL's decoupled loss. Log-linear
as in AReaL's `loglinear`; it also ships a linear mixture of probabilities. For d = 0 the paper anchors at pi, AReaL at
mu: equal where the data are on policy.

Source: arXiv 2512.06547
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOWEST, Positive, clipped_surrogate, fraction, ratio


@objective
def a3po(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    lag: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    weight_cap: Positive = 5.0,
) -> Loss:
    """Decoupled PPO with a proximal policy interpolated between behavior and current one by the token's lag."""
    share = 1 - 1 / lag.clamp(min=1).to(logprobs.dtype)  # [B, T], of the current policy
    behavior = behavior_logprobs.clamp(min=LOWEST)  # [B, T]; -inf has no interpolation
    proximal = behavior + share * (logprobs.detach() - behavior)  # [B, T]
    r = ratio(logprobs, proximal, mask)  # [B, T]
    weight = ratio(proximal, behavior, mask)  # [B, T]
    over = weight > weight_cap  # [B, T]
    loss = -weight.clamp(max=weight_cap) * clipped_surrogate(r, advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, {"bound_fraction": fraction(over, mask)}, kept=~over)
