"""What has been drawn ahead and waits for its update, without padding: 8 or 12 bytes a token, at any lag."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..types import Rollouts


@dataclass(frozen=True)
class Waiting:
    """The rollouts of some groups of an update; of N tokens in all, response after response."""

    groups: np.ndarray  # [P] indices
    prompts: tuple[tuple[int, ...], ...]  # P
    lengths: Tensor  # [B] int32
    stopped: Tensor  # [B] bool
    tokens: Tensor  # [N] int32
    behavior_logprobs: Tensor  # [N] float32
    versions: Tensor  # [N] int32, or [1] where one version drew all


Inbox = defaultdict[int, list[Waiting]]
"""By the update that will consume it."""


def pack(groups: np.ndarray, rollouts: Rollouts) -> Waiting:
    """Rollouts as they wait."""
    mask = rollouts.mask
    versions = rollouts.versions[mask]
    one = len(versions) > 0 and bool((versions == versions[0]).all())
    return Waiting(
        groups=groups,
        prompts=rollouts.prompts,
        lengths=mask.sum(1, dtype=torch.int32),
        stopped=rollouts.stopped,
        tokens=rollouts.tokens[mask].int(),
        behavior_logprobs=rollouts.behavior_logprobs[mask],
        versions=versions[:1].clone() if one else versions,
    )


def unpack(waiting: Waiting) -> Rollouts:
    """What was packed, as wide as its longest response."""
    width = int(waiting.lengths.max())
    mask = torch.arange(width) < waiting.lengths[:, None]

    def spread(values: Tensor) -> Tensor:
        return torch.zeros(mask.shape, dtype=values.dtype).masked_scatter_(mask, values)

    return Rollouts(
        prompts=waiting.prompts,
        tokens=spread(waiting.tokens).long(),
        mask=mask,
        behavior_logprobs=spread(waiting.behavior_logprobs),
        versions=spread(waiting.versions.expand(int(mask.sum()))),
        stopped=waiting.stopped,
    )


def assemble(parts: list[Waiting]) -> tuple[np.ndarray, Rollouts]:
    """Parts of one update as one, in the order of the groups: their indices [P] and their rollouts."""
    groups = np.concatenate([part.groups for part in parts])  # [P]
    order = np.argsort(groups, kind="stable")
    unpacked = [unpack(part) for part in parts]
    width = max(rollouts.tokens.shape[1] for rollouts in unpacked)

    def joined(name: str) -> Tensor:
        return torch.cat([_widen(getattr(rollouts, name), width) for rollouts in unpacked])

    whole = Rollouts(
        prompts=tuple(prompt for part in parts for prompt in part.prompts),
        tokens=joined("tokens"),
        mask=joined("mask"),
        behavior_logprobs=joined("behavior_logprobs"),
        versions=joined("versions"),
        stopped=torch.cat([part.stopped for part in parts]),
    )
    return groups[order], select(whole, order)


def select(rollouts: Rollouts, places: np.ndarray) -> Rollouts:
    """The groups at these places, in this order."""
    samples = rollouts.group_size
    rows = torch.from_numpy((places[:, None] * samples + np.arange(samples)).ravel())  # [B]
    tensors = {name: value[rows] for name, value in vars(rollouts).items() if isinstance(value, Tensor)}
    return Rollouts(prompts=tuple(rollouts.prompts[i] for i in places), **tensors)


def take(parts: list[Waiting], groups: np.ndarray) -> Rollouts:
    """Take the rollouts of these groups out of `parts`, in this order; the others stay."""
    held, rollouts = assemble(parts)
    others = np.flatnonzero(~np.isin(held, groups))
    parts[:] = [pack(held[others], select(rollouts, others))] if len(others) else []
    return select(rollouts, np.searchsorted(held, groups))


def _widen(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))
