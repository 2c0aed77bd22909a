"""SAT, staleness-adaptive trust region: PPO's clip, narrower for the tokens that are stalest in their batch.

    d_it    = sg(log pi(y_it) - log mu(y_it)),   q the smallest number with |d| <= q for 0.9 of the batch's tokens
    c_it    = 1 / (1 + (d_it / q)^2) if q > 0 and |d_it| > q, else 1
    loss_it = -min(r_it A_i, clip(r_it, 1 - c_it clip_low, 1 + c_it clip_high) A_i),   r_it = pi(y_it) / mu(y_it)

The end of the band comes closer, to less than half of its distance, so an update that leads further away from mu is cut
earlier, and one that leads back is not. The gradient weight is r inside. The paper moves only the end on the side to
which the token has moved; the other one is never met by its ratio, so that is the same.
`level="sequence"` is SAT-GSPO: every token has the geometric mean of its response's ratios, and the quantile is over
tokens still, so a long response counts as often as it has tokens.
`gated_fraction` is the share of tokens whose band is narrower. Clip 0.2 and 0.2 and quantile 0.9 are the paper's, for
both levels; it takes the quantile over a micro-batch, here it is the whole batch.

Source: arXiv 2607.18722, equations 3.1 to 3.6 of its project page
"""

import math
from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Share, fraction, log_ratio, sequence_mean, spread


@objective
def sat(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    quantile: Share = 0.9,
    level: Literal["token", "sequence"] = "token",
) -> Loss:
    """PPO-clipped ratio with a clip that shrinks, on the outward side, for the stalest tokens of the batch."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    if level == "sequence":
        d = spread(sequence_mean(d, mask), mask)
    moved = d.detach()  # [B, T]
    q = smallest_reaching(moved[mask].abs(), quantile)
    gated = (moved.abs() > q) & (q > 0)  # [B, T]
    factor = (q**2 / (q**2 + moved**2)).where(gated, 1.0)  # [B, T], 1 / (1 + (d / q)^2)
    r, weights = d.exp(), advantages[:, None]  # [B, T], [B, 1]
    clipped = r.clamp(1 - clip_low * factor, 1 + clip_high * factor)  # [B, T]; a ratio meets one of both ends
    loss = -(r * weights).minimum(clipped * weights)  # [B, T]
    return Loss(loss, {"gated_fraction": fraction(gated, mask)})


def smallest_reaching(values: Tensor, share: float) -> float:
    """The smallest of `values` [n] that at least `share` of them do not exceed; infinity if there are none."""
    if len(values) == 0:
        return math.inf
    return float(values.kthvalue(math.ceil(share * len(values))).values)
