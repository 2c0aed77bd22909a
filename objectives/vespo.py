"""VESPO, variational sequence-level soft policy optimization: a smooth weight on the whole response's ratio.

    W_i     = product over tokens of pi(y_it) / mu(y_it), its logarithm within [ln 1e-8, 20]
    phi(W)  = W^k exp(shape (1 - W)),   (k, shape) = (2, 3) if A >= 0 else (3, 2)
    loss_it = -sg(phi(W_i)) A_i log pi(y_it)

phi is 1 on policy, its largest value lies at W = k / shape (2/3 for positive responses, 3/2 for negative ones), and it
falls to 0 on both sides: a product of ratios needs no length normalization when its weight is bounded. TRL and Liger
fold the weight for a rollout engine's mismatch into W; here W is against the policy that drew the tokens, which holds
both.

Source: arXiv 2602.10693; constants of TRL
"""

import math

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOG_RATIO_LIMIT, log_product

LOG_FLOOR = math.log(1e-8)


@objective(aggregate="token_mean")
def vespo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    power_positive: float = 2.0,
    shape_positive: float = 3.0,
    power_negative: float = 3.0,
    shape_negative: float = 2.0,
) -> Loss:
    """REINFORCE weighted by a bounded smooth function of the response's product ratio."""
    whole = log_product(logprobs.detach(), behavior_logprobs, mask)  # [B]
    log_w = whole.clamp(LOG_FLOOR, LOG_RATIO_LIMIT).to(logprobs.dtype)  # [B]
    positive = advantages >= 0  # [B]
    power = log_w.new_full(log_w.shape, power_negative).masked_fill(positive, power_positive)  # [B]
    shape = log_w.new_full(log_w.shape, shape_negative).masked_fill(positive, shape_positive)  # [B]
    present = mask.any(1)  # [B]
    phi = (power * log_w + shape * (1 - log_w.exp())).exp()  # [B]
    return Loss(
        -(phi * advantages)[:, None] * logprobs, {"phi": float(phi[present].sum() / present.sum().clamp(min=1))}
    )
