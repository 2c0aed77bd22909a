"""Prompts and responses as the model sees them, whole and in micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rollout.padding import left_pad
from ..types import Rollouts


@dataclass(frozen=True)
class Sequences:
    """Prompts and responses side by side: prompts left-padded, so that every response starts in the same column."""

    input_ids: Tensor  # [B, S]
    attention_mask: Tensor | None  # [B, S]; None where no prompt is padded: what is right of a token cannot reach it
    start: int  # column of the first response token
    mask: Tensor  # [B, T] bool, S = start + T

    def microbatches(self, rows: int) -> Iterator[Sequences]:
        for i in range(0, len(self.mask), rows):
            part = slice(i, i + rows)
            attention = None if self.attention_mask is None else self.attention_mask[part]
            yield Sequences(self.input_ids[part], attention, self.start, self.mask[part])


def sequences(rollouts: Rollouts, pad: int, device: torch.device) -> Sequences:
    """The model's view of `rollouts`."""
    ids, attention = left_pad(rollouts.prompts, pad)
    ids = torch.cat([ids.repeat_interleave(rollouts.group_size, 0), rollouts.tokens.where(rollouts.mask, pad)], 1)
    if attention is not None:
        attention = torch.cat([attention.repeat_interleave(rollouts.group_size, 0), rollouts.mask.long()], 1).to(device)
    width = rollouts.tokens.shape[1]
    return Sequences(ids.to(device), attention, ids.shape[1] - width, rollouts.mask.to(device))
