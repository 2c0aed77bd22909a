"""ASymPO, Asymmetric-Scale Policy Optimization: each response's loss in units of its own current mean NLL.

    N_i     = mean over tokens of -log pi(y_it)
    loss_it = A_i (-log pi(y_it)) / sg(max(N_i, nll_floor))

With seq-mean-token-mean aggregation response i contributes exactly A_i above the floor, so zero-sum advantages give a
loss of zero whatever the policy: positive and negative sides stay balanced, and no behavior log-probability is needed.
The gradient is that of mean_i A_i log N_i, recorded as `surrogate` because the loss itself is flat. The force on a
token grows as its response becomes likely (the gradient weight is 1 / N_i), hence the floor; `floor_fraction` says how
often it acts.

The formula is the natural reading of the abstract; what no public text states is an option, the recommended reading
being the default. The stop-gradient: without it (`detach_scale=False`) every response contributes the constant A_i and
the gradient is identically zero above the floor. The floor: below about 1e-3 nats the rounding of bf16 logits dominates
N_i. The level of the scale: `scale_level="sign_group"` divides by the mean N of the group's responses of the same sign
of A (zero-sum by group for equal advantages within a sign), `group` and `batch` by those means (not zero-sum).
`rescale="batch_mean_nll"` multiplies by sg(mean N of the batch), so that the gradient has the naive one's size.

Not ASPO (arXiv 2510.06062, flips the ratio of positive tokens) and not AsymRE (2506.20520).

Source: arXiv 2606.03070
"""

from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import of_group, sequence_mean

Level = Literal["response", "sign_group", "group", "batch"]


def weight(logprobs: Tensor, mask: Tensor, nll_floor: float) -> Tensor:
    """1 / N_i [B], of the default options."""
    return 1 / sequence_mean(-logprobs, mask).clamp(min=nll_floor)


@objective(on_policy_weight=weight)
def asympo(
    logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    group: Tensor,
    *,
    nll_floor: float = 1e-3,
    detach_scale: bool = True,
    scale_level: Level = "response",
    rescale: Literal["none", "batch_mean_nll"] = "none",
) -> Loss:
    """Token NLL divided by its response's current mean NLL (stop-gradient), times the advantage."""
    nll = (-logprobs).masked_fill(~mask, 0.0)  # [B, T]
    mean_nll = sequence_mean(nll, mask)  # [B]
    present = mask.any(1)  # [B]
    scale = shared(mean_nll, advantages, group, present, scale_level).clamp(min=nll_floor)  # [B]
    if detach_scale:
        scale = scale.detach()
    tokens = advantages[:, None] * nll / scale[:, None]  # [B, T]
    if rescale == "batch_mean_nll":
        tokens = tokens * (mean_nll.sum() / present.sum().clamp(min=1)).detach()  # an empty response has NLL 0
    return Loss(tokens, _metrics(mean_nll.detach(), advantages, present, nll_floor))


def shared(mean_nll: Tensor, advantages: Tensor, group: Tensor, present: Tensor, level: Level) -> Tensor:
    """The mean NLL [B] that a response is divided by: its own, or that of all responses it shares a scale with."""
    if level == "response":
        return mean_nll
    together = {"sign_group": 3 * group + advantages.sign().long(), "group": group, "batch": torch.zeros_like(group)}
    total, count = (of_group(values, together[level], "sum") for values in (mean_nll, present.to(mean_nll.dtype)))
    return total / count.clamp(min=1)  # an empty response has NLL 0


def _metrics(mean_nll: Tensor, advantages: Tensor, present: Tensor, nll_floor: float) -> dict[str, float]:
    """`surrogate`: mean A log N over the responses that have tokens; `floor_fraction`: share of them at the floor."""
    log_nll = mean_nll.clamp(min=torch.finfo(mean_nll.dtype).tiny).log()  # [B]
    count = present.sum().clamp(min=1)
    return {
        "surrogate": float((advantages * log_nll)[present].sum() / count),
        "floor_fraction": float((mean_nll < nll_floor)[present].sum() / count),
    }
