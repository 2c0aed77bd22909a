"""Rollouts from several policy versions to the one batch of an update. Row p * G + g is sample g of group p."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..lag import LagPlan
from ..types import Batch, Rollouts


class LagMismatch(RuntimeError):
    """A token does not come from the policy version that the plan assigns to it."""


def assemble(parts: Sequence[tuple[np.ndarray, Rollouts]]) -> Rollouts:
    """Parts (group indices, their rollouts) of one update, in the order of the groups."""
    groups = np.concatenate([indices for indices, _ in parts])  # [P]
    order = np.argsort(groups, kind="stable")
    prompts = [prompt for _, rollouts in parts for prompt in rollouts.prompts]
    samples = parts[0][1].group_size
    rows = torch.from_numpy((order[:, None] * samples + np.arange(samples)).ravel())  # [B]
    width = max(rollouts.tokens.shape[1] for _, rollouts in parts)

    def joined(name: str) -> Tensor:
        return torch.cat([_widen(getattr(rollouts, name), width) for _, rollouts in parts])[rows]

    return Rollouts(
        prompts=tuple(prompts[i] for i in order),
        tokens=joined("tokens"),
        mask=joined("mask"),
        behavior_logprobs=joined("behavior_logprobs"),
        versions=joined("versions"),
        stopped=torch.cat([rollouts.stopped for _, rollouts in parts])[rows],
    )


def _widen(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))


def groups_of(rollouts: Rollouts) -> Tensor:
    """Which group each response belongs to: [B] int64."""
    return torch.arange(len(rollouts.prompts)).repeat_interleave(rollouts.group_size)


def realized_source(plan: LagPlan, update: int, rollouts: Rollouts) -> list[int]:
    """The version that drew each group [P], proven token by token to be the planned one; else a LagMismatch."""
    planned = torch.from_numpy(plan.source[update].copy())[groups_of(rollouts)]  # [B]
    wrong = ((rollouts.versions != planned[:, None]) & rollouts.mask).nonzero()
    if len(wrong):
        row, token = wrong[0].tolist()
        raise LagMismatch(
            f"update {update}, response {row}, token {token}: drawn by version {int(rollouts.versions[row, token])}, "
            f"planned {int(planned[row])}; {len(wrong)} tokens differ from plan {plan.name!r}"
        )
    return rollouts.versions[:: rollouts.group_size, 0].tolist()


def collate(rollouts: Rollouts, update: int, logprobs: Tensor, rewards: Tensor, advantages: Tensor) -> Batch:
    """What objectives may read, on the device of `logprobs` [B, T]."""
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
