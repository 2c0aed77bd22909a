"""ASymPO, Asymmetric-Scale Policy Optimization: each response's loss in units of its own current mean NLL.

    N_i     = mean over tokens of -log pi(y_it)
    loss_it = A_i (-log pi(y_it)) / sg(max(N_i, nll_floor))

With seq-mean-token-mean aggregation response i contributes exactly A_i above the floor, so zero-sum advantages give a
loss of zero whatever the policy: positive and negative sides stay balanced, and no behavior log-probability is needed.
The gradient is that of mean_i A_i log N_i, recorded as `surrogate` because the loss itself is flat. The force on a
token grows as its response becomes likely (1 / N_i), hence the floor; `floor_fraction` says how often it acts.

The formula is the natural reading of the abstract. No public text states the stop-gradient, but without it
(`detach_scale=False`) every response contributes the constant A_i and the gradient is identically zero above the
floor. No floor is published either; below about 1e-3 nats the rounding of bf16 logits dominates N_i.

Not ASPO (arXiv 2510.06062) and not AsymRE (2506.20520).

Source: arXiv 2606.03070
"""

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import sequence_mean


@objective
def asympo(
    logprobs: Tensor, advantages: Tensor, mask: Tensor, *, nll_floor: float = 1e-3, detach_scale: bool = True
) -> Loss:
    """Token NLL divided by its response's current mean NLL (stop-gradient), times the advantage."""
    nll = (-logprobs).masked_fill(~mask, 0.0)  # [B, T]
    mean_nll = sequence_mean(nll, mask)  # [B]
    scale = mean_nll.clamp(min=nll_floor)  # [B]
    if detach_scale:
        scale = scale.detach()
    tokens = advantages[:, None] * nll / scale[:, None]  # [B, T]
    return Loss(tokens, _metrics(mean_nll.detach(), advantages, mask.any(1), nll_floor))


def _metrics(mean_nll: Tensor, advantages: Tensor, present: Tensor, nll_floor: float) -> dict[str, float]:
    """`surrogate`: mean A log N over the responses that have tokens; `floor_fraction`: share of them at the floor."""
    log_nll = mean_nll.clamp(min=torch.finfo(mean_nll.dtype).tiny).log()  # [B]
    count = present.sum().clamp(min=1)
    return {
        "surrogate": float((advantages * log_nll)[present].sum() / count),
        "floor_fraction": float((mean_nll < nll_floor)[present].sum() / count),
    }
