"""Prompts of different lengths in one batch: padded on the left, so that responses begin in one column."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def left_pad(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor | None]:
    """Token ids [P, S] and attention mask [P, S]; the mask is None where all prompts are equally long."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])  # [P, S]
    if all(len(p) == width for p in prompts):
        return ids, None
    return ids, torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])


def positions(attention: Tensor | None) -> Tensor | None:
    """Position of every token in its own sequence [B, S]: 0 for the first that is not padding. None needs none."""
    return None if attention is None else (attention.cumsum(-1) - 1).clamp(min=0)
