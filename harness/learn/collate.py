"""Rollouts to the one batch of an update, and the proof of who drew them. Row p * G + g is sample g of group p."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import digest_of
from ..lag import LagPlan
from ..lag.trace import Group, as_group
from ..noise import CHOICE, Noise
from ..types import Batch, Rollouts


class LagMismatch(RuntimeError):
    """A token does not come from the policy version that the plan assigns to it."""


def groups_of(rollouts: Rollouts) -> Tensor:
    """Which group each response belongs to: [B] int64."""
    return torch.arange(len(rollouts.prompts)).repeat_interleave(rollouts.group_size)


def require_planned(plan: LagPlan, update: int, rollouts: Rollouts) -> None:
    """Prove token by token that the planned versions drew these rollouts; else a LagMismatch."""
    planned = _planned(plan, update, rollouts)
    wrong = ((rollouts.versions != planned) & rollouts.mask).nonzero()
    if len(wrong):
        row, token = wrong[0].tolist()
        raise LagMismatch(
            f"update {update}, response {row}, token {token}: drawn by version {int(rollouts.versions[row, token])}, "
            f"planned {int(planned[row, token])}; {len(wrong)} tokens differ from plan {plan.name!r}"
        )


def _planned(plan: LagPlan, update: int, rollouts: Rollouts) -> Tensor:
    """[B, T]."""
    versions = torch.from_numpy(plan.token_versions(update, rollouts.tokens.shape[1]))
    return versions.repeat_interleave(rollouts.group_size, 0)


def realized_versions(plan: LagPlan, update: int, rollouts: Rollouts) -> list[Group]:
    """The versions of every group as a trace writes them, from the stamps of its longest response.

    Where the plan has further switches that no response was long enough to reach, they follow: whoever replays the
    trace may write longer ones.
    """
    lengths = rollouts.mask.sum(1).view(-1, rollouts.group_size)  # [P, G]
    longest = lengths.argmax(1) + rollouts.group_size * torch.arange(len(lengths))  # [P] rows
    planned = plan.switches[plan.switches[:, 0] == update]
    groups = []
    for group, (row, length) in enumerate(zip(longest.tolist(), lengths.max(1).values.tolist(), strict=True)):
        stamps = rollouts.versions[row, :length]
        changes = (stamps.diff() != 0).nonzero().squeeze(-1) + 1
        reached = torch.stack([changes, stamps[changes]], 1).tolist()
        beyond = planned[(planned[:, 1] == group) & (planned[:, 2] >= length)][:, 2:].tolist()
        groups.append(as_group(int(stamps[0]), reached + beyond))
    return groups


def prompts_digest(rollouts: Rollouts) -> str:
    """The first 16 hex digits of the sha256 of the prompts that an update consumed, in order."""
    return digest_of(rollouts.prompts)


def uniform_of(rollouts: Rollouts, seed: int, update: int) -> Tensor:
    """A number in [0, 1) for every token, [B, T] float64: a function of seed, update, group, sample and token alone."""
    noise = Noise(CHOICE, seed, update, tuple(range(len(rollouts.prompts))), rollouts.group_size)
    return torch.from_numpy(noise.uniforms(rollouts.tokens.shape[1]))


def collate(rollouts: Rollouts, update: int, logprobs: Tensor, rewards: Tensor, advantages: Tensor) -> Batch:
    """What objectives may read, on the device of `logprobs` [B, T]; without `uniform`, which few ask for."""
    device = logprobs.device
    return Batch(
        logprobs=logprobs,
        behavior_logprobs=rollouts.behavior_logprobs.to(device),
        proximal_logprobs=logprobs.detach(),
        advantages=advantages.to(device),
        rewards=rewards.to(device),
        mask=rollouts.mask.to(device),
        group=groups_of(rollouts).to(device),
        lag=(update - rollouts.versions).to(device),
    )
