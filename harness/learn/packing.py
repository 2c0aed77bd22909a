"""Prompts computed once for all responses of their group, in training: keys and values with their graph, shared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from ..rollout.padding import positions
from ..types import InputError
from .sequences import Sequences


def packed_states(model: PreTrainedModel, batch: Sequences) -> Tensor:
    """The hidden state that each response token is predicted from [B, T, H]; every prompt is read once."""
    decoder, group, start = model.get_decoder(), batch.packed, batch.start
    padding = None if batch.attention_mask is None else batch.attention_mask[::group, :start]
    prompts = Cache(layers=[SharedLayer() for _ in range(len(DynamicCache(config=model.config).layers))])
    last = decoder(
        batch.input_ids[::group, :start],
        attention_mask=padding,
        position_ids=positions(padding),
        past_key_values=prompts,
        use_cache=True,
    ).last_hidden_state[:, -1:]  # [P, 1, H]
    last = last.repeat_interleave(group, 0)
    if batch.mask.shape[1] < 2:
        return last[:, : batch.mask.shape[1]]
    attention = None if batch.attention_mask is None else batch.attention_mask[:, :-1]
    where = positions(attention)
    hidden = decoder(
        batch.input_ids[:, start:-1],  # the last token predicts none
        attention_mask=attention,
        position_ids=None if where is None else where[:, start:],
        past_key_values=prompts,
        use_cache=True,
    ).last_hidden_state  # [B, T - 1, H]
    return torch.cat([last, hidden], 1)


class SharedLayer(DynamicLayer):
    """Keys and values of prompts [P, heads, S, D], the first that come; later ones continue them and are not kept.

    So a layer may ask twice for the same, as a checkpointed one does in backward.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Prompts as they are; of responses [P * G, heads, T, D], each behind its prompt."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
        group = len(key_states) // len(self.keys)
        if group == 1:
            return key_states, value_states
        keys, values = (kept.repeat_interleave(group, 0) for kept in (self.keys, self.values))
        return torch.cat([keys, key_states], 2), torch.cat([values, value_states], 2)


def require_packable(model: PreTrainedModel) -> None:
    """InputError unless all that the model's layers know of the tokens before are their keys and values."""
    kinds = sorted({type(layer).__name__ for layer in DynamicCache(config=model.config).layers} - {"DynamicLayer"})
    if kinds:
        raise InputError(
            f"group_packing=true: {type(model).__name__} keeps {', '.join(kinds)} between tokens, expected the keys "
            "and values of all tokens alone; leave group_packing out"
        )
