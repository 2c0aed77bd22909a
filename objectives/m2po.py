"""M2PO, second-moment trust policy optimization: as many tokens as a budget on the squared log-ratio allows.

    d_it    = log pi(y_it) - log mu(y_it)
    H       = tokens with A > 0 and d > 0, or A < 0 and d < 0: those that the update would push further away
    loss_it = -min(r_it A_i, clip(r_it, e^-t, e^t) A_i),   t^2 the largest d^2 in H with mean_H min(d^2, t^2) <= budget
    loss_it = -r_it A_i, or 0 for the largest d^2 in H, masked until the mean of the rest of H is <= budget

No token is touched where mean_H d^2 is within the budget (0.04). The first loss is `variant="authors"`, their code: t
is one number for the batch, and tokens of H beyond it lose their gradient. The second is `variant="paper"`, its
algorithm 1: masked tokens stay in the denominator, and equal squares are masked together. It leaves more tokens their
gradient, because a masked one leaves the mean while a clipped one stays in it with t^2. The gradient weight of the
others is r. Unlike a fixed clip both hardly act while the policies are near, and adapt to large lag. The ratio is that
of the current to the behavior policy: the budget bounds how far pi has moved from what drew the data, and means
nothing on a ratio to the proximal policy, which is 1 before the first step.

`variant="areal"` is what AReaL ships: over all tokens, whatever their advantage, the largest squares of the log-ratio
between proximal and behavior policy are rejected until the mean of the rest is below the budget (one token always
stays, and equal ones stay together). The loss of the rest is that of `decoupled_ppo` as AReaL's one M2PO configuration
sets it: -rho min(r A, clip(r, 1, 1) A) with r = pi / prox and rho = prox / mu, and 0 where rho exceeds 5. With one
optimizer step per batch r is exactly 1 and the weight of a token is rho. A proximal policy that is computed apart
differs by rounding; the clip without width then removes the gradient of half of the tokens. AReaL counts only the
tokens that the budget leaves: `denominator="kept"`. Both repositories take these statistics over a micro-batch, here
it is the whole batch.

In the authors' code the function is called `kpo_clip_...`; KPO elsewhere is Kalman policy optimization (2602.10609).

Source: arXiv 2510.01161, algorithm 1; Infini-AI-Lab/M2PO; AReaL, `m2_threshold` and examples/math/gsm8k_m2po.yaml
"""

import math
from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOG_RATIO_LIMIT, Positive, clipped_surrogate, difference, ratio

AREAL_CLIP, AREAL_CAP = 0.0, 5.0


@objective(aggregate="token_mean")
def m2po(
    logprobs: Tensor,
    proximal_logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    budget: Positive = 0.04,
    variant: Literal["authors", "paper", "areal"] = "authors",
) -> Loss:
    """Ratio to the behavior policy, clipped or masked where the second moment of log-ratios exceeds a budget."""
    if variant == "areal":
        rho = difference(proximal_logprobs, behavior_logprobs, mask).detach()  # [B, T], its logarithm
        r = ratio(logprobs, proximal_logprobs, mask)  # [B, T]
        return areal(r, rho, advantages, mask, budget)
    distance = difference(logprobs, behavior_logprobs, mask)  # [B, T]
    d = distance.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)  # [B, T]
    weights = advantages[:, None]  # [B, 1]
    away = mask & (weights * d > 0)  # [B, T], H
    if variant == "paper":
        square = distance.detach() ** 2  # [B, T]
        return Loss(-d.exp() * weights, kept=~(away & (square >= smallest_masked(square[away], budget))))
    t = threshold(distance.detach()[away].abs(), budget)
    loss = -(d.exp() * weights).minimum(d.clamp(-t, t).exp() * weights)  # [B, T]
    return Loss(loss, {"threshold": t})


def areal(r: Tensor, log_rho: Tensor, advantages: Tensor, mask: Tensor, budget: float) -> Loss:
    """AReaL's loss of ratios to the proximal policy [B, T] and of the logarithm of its ratio to the behavior policy."""
    kept = log_rho**2 <= largest_kept((log_rho**2)[mask], budget)  # [B, T]
    rho = log_rho.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()  # [B, T]
    loss = -rho * clipped_surrogate(r, advantages, AREAL_CLIP, AREAL_CLIP)  # [B, T]
    return Loss(loss.masked_fill(rho > AREAL_CAP, 0.0), kept=kept)


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


def smallest_masked(squares: Tensor, budget: float) -> float:
    """The smallest of `squares` [n] that goes when the largest go until the mean of the rest is within the budget.

    Infinity where none has to go.
    """
    ordered = squares.sort().values  # [n]
    within = int((_means_of_smallest(ordered) <= budget).sum())
    return float(ordered[within]) if within < len(ordered) else math.inf


def largest_kept(squares: Tensor, budget: float) -> float:
    """The largest of `squares` [n] that stays when the largest go until the mean of the rest is below the budget."""
    if len(squares) == 0:
        return math.inf
    ordered = squares.sort().values  # [n]
    return float(ordered[max(int((_means_of_smallest(ordered) < budget).sum()) - 1, 0)])


def _means_of_smallest(ordered: Tensor) -> Tensor:
    """The mean of the smallest k of `ordered` [n] for k = 1 to n: [n], growing."""
    return ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, device=ordered.device)
