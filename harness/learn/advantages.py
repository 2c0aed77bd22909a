"""Rewards [B], groups [B] and lengths [B] in tokens to advantages [B]. A suite fixes one for all, or each its paper's.

A name may carry a number, the estimator's one parameter: `asymre:-0.2`. A response that is alone in its group is its
own baseline, so estimators with a baseline from the group give it 0 (`asymre` minus its shift); those of verl (but for
`rloo_vectorized`) and Trinity-RFT keep its reward.
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
VARIANCE_EPS = 1e-8

Estimator = Callable[[Tensor, Tensor, Tensor], Tensor]


def group_mean(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Reward minus the mean of its group; sums to zero per group (Dr. GRPO, arXiv 2503.20783)."""
    return rewards - _group_mean(rewards, group)


def group_mean_std(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Group-centered reward over the group's unbiased standard deviation plus 1e-6 (GRPO, arXiv 2402.03300).

    0 in a group of equal rewards or of one response. The eps is that of verl, slime and SkyRL; TRL adds 1e-4. VCPO's
    code takes the biased standard deviation, NeMo-RL a leave-one-out one.
    """
    centered = group_mean(rewards, group, lengths)  # [B]
    size = _group_size(group)  # [B]
    variance = _group_mean(centered**2, group) * size / (size - 1).clamp(min=1)  # [B]
    return centered / (variance.sqrt() + STD_EPS)


def batch_std(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Group-centered reward over the unbiased standard deviation of the batch's rewards plus 1e-6 (arXiv 2508.08221).

    As TRL's `scale_rewards="batch"`, but for its eps of 1e-4. 0 in a batch of one response.
    """
    std = rewards.std() if len(rewards) > 1 else rewards.new_zeros(())
    return group_mean(rewards, group, lengths) / (std + STD_EPS)


def leave_one_out(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Reward minus the mean of the others in its group (RLOO, arXiv 2402.14740); 0 for a group of one."""
    size = _group_size(group)  # [B]
    return group_mean(rewards, group, lengths) * size / (size - 1).clamp(min=1)


def asymre(rewards: Tensor, group: Tensor, lengths: Tensor, shift: float = -0.1) -> Tensor:
    """Reward minus its group's mean and `shift` (AsymRE, arXiv 2506.20520, with baseline V = mean + shift).

    Sums to -G * shift per group: below zero, a shift weighs right answers more than wrong ones. Also in groups of equal
    rewards.
    """
    return group_mean(rewards, group, lengths) - shift


def opmd(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Reward minus the mean of its group: the default of Trinity-RFT's OPMD (arXiv 2505.17826).

    `opmd:TAU` is its other baseline, `soft_maximum` with that tau.
    """
    return group_mean(rewards, group, lengths)


def soft_maximum(rewards: Tensor, group: Tensor, lengths: Tensor, tau: float) -> Tensor:
    """Reward minus tau log mean exp(reward / tau) of its group (Trinity-RFT's `opmd_baseline="logavgexp"`)."""
    _, index = torch.unique(group, return_inverse=True)
    top = rewards.new_zeros(len(rewards)).scatter_reduce(0, index, rewards, "amax", include_self=False)[index]  # [B]
    return rewards - top - tau * _group_mean(((rewards - top) / tau).exp(), group).log()


def opo(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Reward minus its group's mean over tokens, sum L R / sum L (OPO, arXiv 2505.23585; verl `opo`).

    The baseline of least variance if the squared gradient of a response grows with its length. Not divided by a
    standard deviation. The baseline of a group without any token is 0.
    """
    tokens = _group_sum(lengths.to(rewards.dtype), group)  # [B]
    baseline = _group_sum(lengths * rewards, group) / tokens.clamp(min=1)  # [B]
    return (rewards - baseline).where((_group_size(group) > 1) | (tokens == 0), 0.0)


def reinforce_plus_plus(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Reward minus the mean over all tokens of the batch, over their standard deviation (REINFORCE++, 2501.03262).

    Every response counts as often as it has tokens, the variance is unbiased, and 1e-8 is added to it: verl's
    `reinforce_plus_plus` with gamma 1 and without a KL term in the reward. Groups play no part. 0 where all tokens have
    the same reward, and in a batch of fewer than two tokens, where verl raises an error.
    """
    return _whitened(rewards, lengths)


def reinforce_plus_plus_baseline(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Group-centered reward, whitened over all tokens of the batch as in `reinforce_plus_plus` (arXiv 2501.03262).

    The mean over tokens is subtracted, too: right answers that are longer than wrong ones lower all advantages.
    """
    return _whitened(group_mean(rewards, group, lengths), lengths)


def maxrl(rewards: Tensor, group: Tensor, lengths: Tensor) -> Tensor:
    """Group-centered reward over the group's mean; 0 where that is not positive (MaxRL, arXiv 2602.02710; prime-rl).

    For rewards from 0 on: the rarer a right answer, the larger its advantage. SkyRL adds 1e-6 to the denominator.
    """
    mean = _group_mean(rewards, group)  # [B]
    return ((rewards - mean) / mean).where(mean > 0, 0.0)


def _whitened(values: Tensor, lengths: Tensor) -> Tensor:
    """`values` [B] minus their mean over tokens, over their standard deviation; computed in float64."""
    count, wide = lengths.sum(), values.double()
    centered = wide - (lengths * wide).sum() / count.clamp(min=1)  # [B]
    variance = (lengths * centered**2).sum() / (count - 1).clamp(min=1)
    whitened = centered * torch.rsqrt(variance + VARIANCE_EPS)  # [B]
    return whitened.where(count > 1, 0.0).to(values.dtype)


def _group_size(group: Tensor) -> Tensor:
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    return count[index]


def _group_mean(values: Tensor, group: Tensor) -> Tensor:
    return _group_sum(values, group) / _group_size(group)


def _group_sum(values: Tensor, group: Tensor) -> Tensor:
    _, index = torch.unique(group, return_inverse=True)
    return torch.zeros_like(values).index_add_(0, index, values)[index]


ADVANTAGES: dict[str, Estimator] = {
    f.__name__: f
    for f in (
        group_mean,
        group_mean_std,
        batch_std,
        leave_one_out,
        asymre,
        opmd,
        opo,
        reinforce_plus_plus,
        reinforce_plus_plus_baseline,
        maxrl,
    )
}
NUMBERED: dict[str, tuple[Callable[..., Tensor], str]] = {  # what `name:number` stands for, and what the number sets
    "asymre": (asymre, "shift"),
    "opmd": (soft_maximum, "tau"),
}


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
    if known not in NUMBERED or not math.isfinite(number) or (known == "opmd" and number <= 0):
        raise InputError(
            f"advantage={name!r} is not valid: only asymre takes a number (its shift), and opmd (the tau of "
            "its soft maximum, above 0)"
        )
    estimator, parameter = NUMBERED[known]
    return partial(estimator, **{parameter: number})


def compares_nothing(name: str, responses: int) -> bool:
    """Whether an estimator gives a response the same advantage whatever its reward, in groups of so many."""
    if responses > 1:
        return False
    rewards, alone, lengths = torch.tensor([1.0, 0.0]), torch.tensor([0, 1]), torch.tensor([1, 1])  # [2] each
    right, wrong = make_advantage(name)(rewards, alone, lengths).tolist()
    return right == wrong
