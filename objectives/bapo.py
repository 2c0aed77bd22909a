"""BAPO, balanced policy optimization with adaptive clipping: bounds widen until positives weigh enough.

    r_it    = pi(y_it) / mu(y_it)
    P(high) = sum over tokens with A > 0 of min(r, high) A,   N(low) = sum over tokens with A < 0 of max(r, low) |A|
    while P / (P + N) < positive_share:  raise low by 0.05 up to low_max, then high by 0.05 up to high_max
    loss_it = -min(r_it A_i, clip(r_it, low, high) A_i), and at most -dual A_i where A_i < 0

Bounds are ratios, from 0.6 and 1.2 up to 0.9 and 3 (the paper's ranges; the authors' yaml has 0.8 and 2), found for the
whole batch. The gradient weight is r where it is not clipped. A larger low removes the gradient of more negatives, yet
counts them as low |A| in N, so in this statistic it can only lower the share: whenever the start is not enough low runs
to its maximum first. That is how the authors' code searches; it is kept. dual 3 as in verl.

Source: arXiv 2510.18927; search of WooooDyy/BAPO
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, ratio

STEP = 0.05


@objective(aggregate="token_mean")
def bapo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    low: float = 0.6,
    low_max: float = 0.9,
    high: float = 1.2,
    high_max: float = 3.0,
    positive_share: float = 0.5,
    dual: Positive = 3.0,
) -> Loss:
    """PPO-clipped ratio with bounds that adapt to the share of positive contributions."""
    r, weights = ratio(logprobs, behavior_logprobs, mask), advantages[:, None]  # [B, T], [B, 1]
    positive = ((r * weights)[mask & (weights > 0)].detach(), weights.expand_as(r)[mask & (weights > 0)])
    negative = ((r * weights)[mask & (weights < 0)].detach(), weights.expand_as(r)[mask & (weights < 0)])
    low, high = balanced(positive, negative, (low, low_max), (high, high_max), positive_share)
    loss = -(r * weights).minimum(r.clamp(low, high) * weights)  # [B, T]
    bounded = loss.minimum(-dual * weights).where(weights < 0, loss)  # [B, T]
    return Loss(bounded, {"low": low, "high": high})


def balanced(
    positive: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor],
    low: tuple[float, float],
    high: tuple[float, float],
    share: float,
) -> tuple[float, float]:
    """The first bounds, from the start of both ranges on, that give positives their share; else the ends.

    Each side is (r A, A) of its tokens.
    """
    (lower, low_max), (upper, high_max) = low, high

    def contributions(lower: float, upper: float) -> tuple[float, float]:
        p = positive[0].minimum(upper * positive[1]).sum()
        n = negative[0].minimum(lower * negative[1]).sum().abs()
        return float(p), float(n)

    while True:
        p, n = contributions(lower, upper)
        if p >= share * (p + n):
            return lower, upper
        if lower < low_max:
            lower = min(lower + STEP, low_max)
        elif upper < high_max:
            upper = min(upper + STEP, high_max)
        else:
            return lower, upper
