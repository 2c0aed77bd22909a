"""Kimi k1.5's mirror-descent surrogate: the naive loss plus a square that keeps the policy near the behavior policy.

    D_i     = sum over tokens of log pi(y_it) - log mu(y_it)
    loss_i  = sum over tokens of -A_i log pi(y_it), plus (tau / 2) D_i^2                      level="sequence"
    loss_it = -A_i log pi(y_it) + (tau / 2) (log pi(y_it) - log mu(y_it))^2                   level="token"

The paper squares the log-ratio of the whole response, which couples its tokens; here that square is spread evenly over
them. ROLL (`kimi15`) squares token by token with tau 0.1, the default here, as the paper states none; Trinity-RFT's REC
does too, with the half inside its coefficient. The gradient weight of a token is A_i - tau D_i (a pull to mu also where
A is 0), 1 in units of A where the policies are equal.

Source: arXiv 2501.12599
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import log_ratio, spread


@objective(advantage="group_mean", aggregate="seq_mean_token_sum", regularized=True)
def kimi(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    tau: float = 0.1,
    level: Literal["sequence", "token"] = "sequence",
) -> Loss:
    """Naive policy gradient plus half tau times the squared log-ratio to the behavior policy."""
    distance = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    whole = spread(distance.sum(1) ** 2 / mask.sum(1).clamp(min=1), mask)  # [B, T]
    square = distance**2 if level == "token" else whole
    return Loss(-advantages[:, None] * logprobs + tau / 2 * square)
