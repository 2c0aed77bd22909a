"""Rollouts from several policy versions to the one batch of an update. Row p * G + g is sample g of group p."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..config import digest_of
from ..lag import LagPlan
from ..lag.trace import Group, encoded
from ..types import Batch, Rollouts

Parts = list[tuple[np.ndarray, Rollouts]]
"""What has been drawn for one update: groups and their rollouts."""


class LagMismatch(RuntimeError):
    """A token does not come from the policy version that the plan assigns to it."""


def assemble(parts: Parts) -> tuple[np.ndarray, Rollouts]:
    """Parts of one update as one, in the order of the groups: their indices [P] and their rollouts."""
    groups = np.concatenate([indices for indices, _ in parts])  # [P]
    order = np.argsort(groups, kind="stable")
    prompts = [prompt for _, rollouts in parts for prompt in rollouts.prompts]
    width = max(rollouts.tokens.shape[1] for _, rollouts in parts)

    def joined(name: str) -> Tensor:
        return torch.cat([_widen(getattr(rollouts, name), width) for _, rollouts in parts])

    whole = Rollouts(
        prompts=tuple(prompts),
        tokens=joined("tokens"),
        mask=joined("mask"),
        behavior_logprobs=joined("behavior_logprobs"),
        versions=joined("versions"),
        stopped=torch.cat([rollouts.stopped for _, rollouts in parts]),
    )
    return groups[order], select(whole, order)


def select(rollouts: Rollouts, places: np.ndarray) -> Rollouts:
    """The groups at these places, in this order."""
    samples = rollouts.group_size
    rows = torch.from_numpy((places[:, None] * samples + np.arange(samples)).ravel())  # [B]
    tensors = {name: value[rows] for name, value in vars(rollouts).items() if isinstance(value, Tensor)}
    return Rollouts(prompts=tuple(rollouts.prompts[i] for i in places), **tensors)


def take(parts: Parts, groups: np.ndarray) -> Rollouts:
    """Take the rollouts of these groups out of `parts`, in this order; the others stay."""
    held, rollouts = assemble(parts)
    taken = select(rollouts, np.searchsorted(held, groups))
    others = np.flatnonzero(~np.isin(held, groups))
    parts[:] = [(held[others], select(rollouts, others))] if len(others) else []
    return taken


def _widen(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))


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
    """The versions of every group as a trace writes them, after `require_planned`: from the stamps of the tokens.

    Where a group was generated in flight, also the switches that no response was long enough to reach: whoever replays
    the trace may write longer ones.
    """
    stamped = rollouts.versions[:: rollouts.group_size, 0].tolist()  # every response has a first token
    planned = encoded(plan, update)
    return [found if isinstance(group, int) else group for found, group in zip(stamped, planned, strict=True)]


def prompts_digest(rollouts: Rollouts) -> str:
    """The first 16 hex digits of the sha256 of the prompts that an update consumed, in order."""
    return digest_of(rollouts.prompts)


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
