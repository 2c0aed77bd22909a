"""M2PO, second-moment trust policy optimization: as many tokens as a budget on the squared log-ratio allows.

    d_it    = log pi(y_it) - log mu(y_it)
    H       = tokens with A > 0 and d > 0, or A < 0 and d < 0: those that the update would push further away
    loss_it = -min(r_it A_i, clip(r_it, e^-t, e^t) A_i),   t^2 the largest d^2 in H with mean_H min(d^2, t^2) <= budget

No clip where mean_H d^2 is within the budget (0.04). Otherwise t is one number for the batch, found from the sorted
squares; tokens of H beyond it lose their gradient, which is the paper's mask in value of the gradient. The gradient
weight of the others is r. Unlike a fixed clip it hardly acts while the policies are near, and adapts to large lag.

`variant="areal"` is what AReaL ships (`m2_threshold`): over all tokens, whatever their advantage, the largest squares
of the log-ratio between proximal and behavior policy are rejected until the mean of the rest is below the budget (one
token always stays, and ties stay together), and the loss is PPO's clip (0.2) around the proximal policy. AReaL counts
only the tokens that are left: `denominator="kept"`. Both repositories take these statistics over a micro-batch, here it
is the whole batch.

In the authors' code the function is called `kpo_clip_...`; KPO elsewhere is Kalman policy optimization (2602.10609).

Source: arXiv 2510.01161; `variant="authors"` as in Infini-AI-Lab/M2PO
"""

import math
from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOG_RATIO_LIMIT, Positive, clipped_surrogate, log_ratio


@objective(aggregate="token_mean")
def m2po(
    logprobs: Tensor,
    proximal_logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    budget: Positive = 0.04,
    variant: Literal["authors", "areal"] = "authors",
) -> Loss:
    """Ratio to the behavior policy, clipped where the second moment of the log-ratios exceeds a budget."""
    if variant == "areal":
        square = log_ratio(proximal_logprobs, behavior_logprobs, mask) ** 2  # [B, T]
        r = log_ratio(logprobs, proximal_logprobs, mask).exp()  # [B, T]
        kept = square <= largest_kept(square[mask], budget)  # [B, T]
        return Loss(-clipped_surrogate(r, advantages, 0.2, 0.2), kept=kept)
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    away = mask & (advantages[:, None] * d > 0)  # [B, T], H
    t = threshold(d.detach()[away].abs(), budget)
    weights = advantages[:, None]  # [B, 1]
    loss = -(d.exp() * weights).minimum(d.clamp(-t, t).exp() * weights)  # [B, T]
    return Loss(loss, {"threshold": t})


def threshold(distances: Tensor, budget: float) -> float:
    """The largest of `distances` [n] at which the mean of min(distances, it)^2 is within the budget.

    Where all of them are within it together, the limit of log-ratios; 0 if not even the smallest is.
    """
    if len(distances) == 0 or (distances**2).mean() <= budget:
        return LOG_RATIO_LIMIT
    ordered = distances.sort().values  # [n]
    above = torch.arange(len(ordered) - 1, -1, -1, device=ordered.device)  # [n], how many are larger
    means = ((ordered**2).cumsum(0) + above * ordered**2) / len(ordered)  # [n], growing
    within = int((means <= budget).sum())
    return float(ordered[within - 1]) if within else 0.0


def largest_kept(squares: Tensor, budget: float) -> float:
    """The largest of `squares` [n] that stays when the largest go until the mean of the rest is below the budget."""
    if len(squares) == 0:
        return math.inf
    ordered = squares.sort().values  # [n]
    means = ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, device=ordered.device)  # [n], of the smallest k
    return float(ordered[max(int((means < budget).sum()) - 1, 0)])
