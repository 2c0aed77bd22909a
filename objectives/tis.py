"""TIS, truncated importance sampling: REINFORCE weighted by the ratio, cut at a cap.

    w_it    = min(pi(y_it) / mu(y_it), cap)                              level="token"
    w_i     = min(product over tokens of pi(y_it) / mu(y_it), cap)       level="sequence"
    loss_it = -sg(w) A_i log pi(y_it)

The gradient weight is w. This is verl's bypass mode with `loss_type=reinforce`; there and elsewhere the cap is 2 by
token (SkyRL 5 by sequence, VCPO's script 8). Sequence weights are products in verl, TRL, SkyRL and NeMo-RL, geometric
means (`level="geometric"`) in AReaL. TRL's default masks whole sequences above 3 instead of cutting; see `icepop` for a
mask. `bound_fraction` is the share of tokens whose weight was cut.

The name clashes: most trainers mean by TIS this weight for the mismatch of two engines, multiplied to a clipped loss
(that is `decoupled_ppo` with `bound="truncate"`); ROLL's `tis` is REINFORCE with the ratio cut at 1 (`cap=1`).

Source: Ionides (2008); for LLM RL as in verl's rollout correction
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, fraction, geometric_ratio, product_ratio, ratio, spread


@objective(aggregate="token_mean")
def tis(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    cap: Positive = 2.0,
    level: Literal["token", "sequence", "geometric"] = "token",
) -> Loss:
    """REINFORCE weighted by the truncated ratio to the behavior policy, no gradient through the weight."""
    if level == "token":
        r = ratio(logprobs, behavior_logprobs, mask).detach()  # [B, T]
    else:
        whole = product_ratio if level == "sequence" else geometric_ratio
        r = spread(whole(logprobs, behavior_logprobs, mask).detach(), mask)  # [B, T]
    tokens = -r.clamp(max=cap) * advantages[:, None] * logprobs  # [B, T]
    return Loss(tokens, {"bound_fraction": fraction(r > cap, mask)})
