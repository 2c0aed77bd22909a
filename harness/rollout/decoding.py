"""What every way of decoding begins with: reading token sequences, and drawing a token from a distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from ..models.load import precision
from .padding import left_pad, positions


@dataclass(frozen=True)
class Reading:
    """R token sequences as a model has read them, each of which `samples` responses go on from."""

    cache: DynamicCache  # of R rows
    attention: Tensor | None  # [R, S]; None: no padding
    logits: Tensor  # [R, V] of the next token
    samples: int


def read(model: PreTrainedModel, sequences: Sequence[Sequence[int]], pad: int, samples: int) -> Reading:
    """One forward pass over all of them, padded on the left."""
    ids, attention = left_pad(sequences, pad)
    attention = None if attention is None else attention.to(model.device)
    cache = DynamicCache(config=model.config)
    logits = next_logits(model, ids.to(model.device), attention, positions(attention), cache)
    return Reading(cache, attention, logits, samples)


def next_logits(
    model: Callable[..., Any], ids: Tensor, attention: Tensor | None, where: Tensor | None, cache: Cache
) -> Tensor:
    """Logits [R, V] of the token after `ids` [R, n], which `cache` takes up; `where` are their positions [R, n]."""
    with precision(ids.device):
        output = model(
            ids,
            attention_mask=attention,
            position_ids=where,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return output.logits[:, -1]


def inverse_cdf(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """The token whose slice of the cumulative distribution holds `uniform`: [N] from [N, V] and [N]. In float64."""
    cumulative = logprobs.double().exp().cumsum(-1)  # [N, V]
    point = uniform[:, None] * cumulative[:, -1:]  # [N, 1]; rounding may leave the total a little off 1
    return torch.searchsorted(cumulative, point, right=True).squeeze(-1).clamp(max=logprobs.shape[-1] - 1)
