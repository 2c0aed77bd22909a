"""ASymPO, Asymmetric-Scale Policy Optimization: each response's loss in units of its own current mean NLL.

    S_i     = mean over tokens of -log pi(y_it)                               (equation 2)
    C_i     = 1 / sg(S_i)                                                     (equations 18 and 19)
    loss_it = A_i C_i (-log pi(y_it)),   A_i = R_i - mean of the group        (equations 1 and 15)

A response contributes exactly A_i, whatever the policy has come to think of it, so that the two sides of a group weigh
the same (theorem 2) and the loss is zero: look at `balance` and at `surrogate`, mean A log S, whose gradient this is.
No behavior log-probability is needed. Without the stop-gradient there would be no gradient at all.

What the theorem needs: advantages that sum to zero, the mean over responses of the mean over their tokens, no empty
response, S_i above the floor. Dividing a group by its standard deviation does no harm; a baseline that is not the
group's mean (`asymre`, `opmd:TAU`, `opo`, `reinforce_plus_plus`) breaks the balance, as another aggregate does, and the
report then says by how much.

A single weight has no bound but the floor: a response at mean NLL 0.001 weighs 1000 times one at 1. The force on its
logits stays bounded, (1 - p) / -log p of a token is at most 1, but what is nearly certain is pushed as hard as the
rest. The paper divides by S_i as it is; `nll_floor` keeps a certain response from dividing by zero, and
`floor_fraction` says how often. `asympo_stable` is the paper's remedy.

Two readings that the paper does not take. `normalizer="sum"` divides by the sum of the response's NLL, which gives
`seq_mean_token_sum` and `token_mean` the balance of `seq_mean_token_mean`. `sides="negative"` leaves C_i = 1 where
A_i >= 0: an SPO whose constant is the response's own 1 / S_i.

Not ASPO (arXiv 2510.06062, flips the ratio of positive tokens) and not AsymRE (2506.20520).

Source: arXiv 2606.03070
"""

from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, sequence_mean

Normalizer = Literal["mean", "sum"]
Sides = Literal["both", "negative"]


def weight(
    logprobs: Tensor, advantages: Tensor, mask: Tensor, nll_floor: float, normalizer: Normalizer, sides: Sides
) -> Tensor:
    """C_i [B]."""
    scale = sequence_mean(-logprobs, mask).clamp(min=nll_floor)  # [B]
    if normalizer == "sum":
        scale = scale * mask.sum(1).clamp(min=1)
    return (1 / scale).where((advantages < 0) | (sides == "both"), 1.0)


@objective(advantage="group_mean", on_policy_weight=weight, balanced=True)
def asympo(
    logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    nll_floor: Positive = 1e-6,
    normalizer: Normalizer = "mean",
    sides: Sides = "both",
) -> Loss:
    """Token NLL divided by its response's current mean NLL (stop-gradient), times the advantage."""
    current = logprobs.detach()
    scale = weight(current, advantages, mask, nll_floor, normalizer, sides)  # [B]
    tokens = -(advantages * scale)[:, None] * logprobs  # [B, T]
    return Loss(tokens, surrogate(sequence_mean(-current, mask), advantages, mask.any(1), nll_floor))


def surrogate(mean_nll: Tensor, advantages: Tensor, present: Tensor, nll_floor: float) -> dict[str, float]:
    """`surrogate`: mean A log S over the responses that have tokens; `floor_fraction`: share of them at the floor."""
    log_nll = mean_nll.clamp(min=torch.finfo(mean_nll.dtype).tiny).log()  # [B]
    count = present.sum().clamp(min=1)
    return {
        "surrogate": float((advantages * log_nll)[present].sum() / count),
        "floor_fraction": float((mean_nll < nll_floor)[present].sum() / count),
    }
