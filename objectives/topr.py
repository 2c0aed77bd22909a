"""TOPR, tapered off-policy REINFORCE: positives as they are, negatives by a ratio cut at 1.

    w_i     = 1 if A_i >= 0 else min(product over tokens of pi(y_it) / mu(y_it), 1)
    loss_it = -sg(w_i) A_i log pi(y_it)

The gradient weight is w. Right answers are imitated however stale they are; wrong ones are pushed down only as long as
the current policy would still give them, so that the negative branch ends by itself. The paper's ratio is that of the
whole response (`level="sequence"`), which underflows for long ones (1e-3 nats of drift per token over 4000 tokens make
e^-4); Trinity-RFT and ROLL take it token by token (`level="token"`); `geometric` is its length-normalized form.

The paper tests the sign of the reward, as ROLL does; here and in Trinity-RFT it is the advantage's.

Source: arXiv 2503.14286
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import geometric_ratio, product_ratio, ratio, spread


@objective(advantage="group_mean", aggregate="seq_mean_token_sum")
def topr(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    level: Literal["sequence", "token", "geometric"] = "sequence",
) -> Loss:
    """REINFORCE whose negative side is weighted by the ratio to the behavior policy, at most 1."""
    if level == "token":
        r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    else:
        whole = product_ratio if level == "sequence" else geometric_ratio
        r = spread(whole(logprobs, behavior_logprobs, mask), mask)  # [B, T]
    weight = r.detach().clamp(max=1.0).masked_fill(advantages[:, None] >= 0, 1.0)  # [B, T]
    return Loss(-weight * advantages[:, None] * logprobs)
