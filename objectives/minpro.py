"""MinPRO, minimum prefix ratio: the token's ratio times the smallest one before it.

    m_it    = min over s < t of r_is, 1 for the first token;   r_it = pi(y_it) / mu(y_it)
    w_it    = clip(sg(m_it) r_it, 1 - clip_low, 1 + clip_high)
    loss_it = -sg(w_it) A_i log pi(y_it)                                                    form="soft"
    loss_it = -min(sg(m_it) r_it A_i, w_it A_i)                                             form="hard"

The exact correction of a token is the product of all ratios up to it, which explodes with its position; the smallest
one says without a product that the prefix is one the current policy would not have written. The gradient weight is w
(soft), or sg(m) r where it is not clipped (hard). soft is the paper's, CISPO with a prefix. hard is PPO's clip around
the same product, as a branch of miles has it after Together's xorl.

The paper's bounds could not be read in public text: the defaults are ours. A positive lower bound would give back what
a small prefix takes away, so the defaults are those of `cispo`, 0 and 5.

Source: arXiv 2601.22718
"""

from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, clipped_surrogate, log_ratio


@objective(aggregate="token_mean")
def minpro(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: NonNegative = 1.0,
    clip_high: NonNegative = 4.0,
    form: Literal["soft", "hard"] = "soft",
) -> Loss:
    """REINFORCE weighted by the clipped product of a token's ratio and the smallest ratio before it."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    before = d.detach().cummin(1).values[:, :-1]  # [B, T - 1]
    w = (torch.nn.functional.pad(before, (1, 0)) + d).exp()  # [B, T]
    if form == "hard":
        return Loss(-clipped_surrogate(w, advantages, clip_low, clip_high))
    return Loss(-w.detach().clamp(1 - clip_low, 1 + clip_high) * advantages[:, None] * logprobs)
