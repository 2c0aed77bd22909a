"""Rewards [B] and groups [B] to advantages [B]; shared by all objectives of a suite."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STD_EPS = 1e-6


def group_mean(rewards: Tensor, group: Tensor) -> Tensor:
    """Reward minus the mean of its group; sums to zero per group (Dr. GRPO, arXiv 2503.20783)."""
    return rewards - _group_mean(rewards, group)


def group_mean_std(rewards: Tensor, group: Tensor) -> Tensor:
    """Group-centered reward over the group's unbiased standard deviation plus 1e-6 (GRPO, arXiv 2402.03300).

    0 in a group of equal rewards or of one response.
    """
    centered = group_mean(rewards, group)  # [B]
    size = _group_size(group)  # [B]
    variance = _group_mean(centered**2, group) * size / (size - 1).clamp(min=1)  # [B]
    return centered / (variance.sqrt() + STD_EPS)


def leave_one_out(rewards: Tensor, group: Tensor) -> Tensor:
    """Reward minus the mean of the others in its group (RLOO, arXiv 2402.14740); 0 for a group of one."""
    size = _group_size(group)  # [B]
    return group_mean(rewards, group) * size / (size - 1).clamp(min=1)


def _group_size(group: Tensor) -> Tensor:
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    return count[index]


def _group_mean(values: Tensor, group: Tensor) -> Tensor:
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    total = values.new_zeros(len(count)).index_add_(0, index, values)
    return (total / count)[index]


ADVANTAGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    f.__name__: f for f in (group_mean, group_mean_std, leave_one_out)
}
