"""Rewards [B] and groups [B] to advantages [B]. A suite fixes one for all objectives, or leaves each its paper's.

A name may carry a number, the estimator's one parameter: `asymre:-0.2`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..registry import did_you_mean
from ..types import InputError

STD_EPS = 1e-6

Estimator = Callable[[Tensor, Tensor], Tensor]


def group_mean(rewards: Tensor, group: Tensor) -> Tensor:
    """Reward minus the mean of its group; sums to zero per group (Dr. GRPO, arXiv 2503.20783)."""
    return rewards - _group_mean(rewards, group)


def group_mean_std(rewards: Tensor, group: Tensor) -> Tensor:
    """Group-centered reward over the group's unbiased standard deviation plus 1e-6 (GRPO, arXiv 2402.03300).

    0 in a group of equal rewards or of one response. The eps is that of verl, slime and SkyRL; TRL adds 1e-4. VCPO's
    code takes the biased standard deviation, NeMo-RL a leave-one-out one.
    """
    centered = group_mean(rewards, group)  # [B]
    size = _group_size(group)  # [B]
    variance = _group_mean(centered**2, group) * size / (size - 1).clamp(min=1)  # [B]
    return centered / (variance.sqrt() + STD_EPS)


def batch_std(rewards: Tensor, group: Tensor) -> Tensor:
    """Group-centered reward over the unbiased standard deviation of the batch's rewards plus 1e-6 (arXiv 2508.08221).

    As TRL's `scale_rewards="batch"`, but for its eps of 1e-4. 0 in a batch of one response.
    """
    std = rewards.std() if len(rewards) > 1 else rewards.new_zeros(())
    return group_mean(rewards, group) / (std + STD_EPS)


def leave_one_out(rewards: Tensor, group: Tensor) -> Tensor:
    """Reward minus the mean of the others in its group (RLOO, arXiv 2402.14740); 0 for a group of one."""
    size = _group_size(group)  # [B]
    return group_mean(rewards, group) * size / (size - 1).clamp(min=1)


def asymre(rewards: Tensor, group: Tensor, shift: float = -0.1) -> Tensor:
    """Reward minus its group's mean and `shift` (AsymRE, arXiv 2506.20520, with baseline V = mean + shift).

    Sums to -G * shift per group: below zero, a shift weighs right answers more than wrong ones. Also in groups of equal
    rewards.
    """
    return group_mean(rewards, group) - shift


def opmd(rewards: Tensor, group: Tensor, tau: float = 1.0) -> Tensor:
    """Reward minus tau log mean exp(reward / tau) of its group, the soft maximum (OPMD, as Trinity-RFT ships it)."""
    _, index = torch.unique(group, return_inverse=True)
    top = rewards.new_zeros(len(rewards)).scatter_reduce(0, index, rewards, "amax", include_self=False)[index]  # [B]
    return rewards - top - tau * _group_mean(((rewards - top) / tau).exp(), group).log()


def _group_size(group: Tensor) -> Tensor:
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    return count[index]


def _group_mean(values: Tensor, group: Tensor) -> Tensor:
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    total = values.new_zeros(len(count)).index_add_(0, index, values)
    return (total / count)[index]


ADVANTAGES: dict[str, Estimator] = {
    f.__name__: f for f in (group_mean, group_mean_std, batch_std, leave_one_out, asymre, opmd)
}
PARAMETER = {"asymre": "shift", "opmd": "tau"}  # what the number after a colon sets


def make_advantage(name: str) -> Estimator:
    """The estimator that `name` or `name:number` stands for; an InputError if there is none."""
    known, colon, text = name.partition(":")
    if known not in ADVANTAGES:
        raise InputError(
            f"advantage={name!r} is unknown{did_you_mean(known, ADVANTAGES)}; "
            f"expected one of {', '.join(ADVANTAGES)}, or paper for that of each objective's own"
        )
    if not colon:
        return ADVANTAGES[known]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if known not in PARAMETER or not math.isfinite(number) or (known == "opmd" and number <= 0):
        raise InputError(
            f"advantage={name!r} is not valid: only asymre takes a number (its shift), and opmd (its tau, above 0)"
        )
    return partial(ADVANTAGES[known], **{PARAMETER[known]: number})


def compares_nothing(name: str, responses: int) -> bool:
    """Whether an estimator gives a response the same advantage whatever its reward, in groups of so many."""
    if responses > 1:
        return False
    right, wrong = make_advantage(name)(torch.tensor([1.0, 0.0]), torch.tensor([0, 1])).tolist()
    return right == wrong
