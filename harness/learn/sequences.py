"""Prompts and responses as the model sees them, whole and in micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import Run
from ..rollout.padding import left_pad
from ..types import Rollouts


@dataclass(frozen=True)
class Sequences:
    """Prompts and responses side by side: prompts left-padded, so that every response starts in the same column."""

    input_ids: Tensor  # [B, S]
    attention_mask: Tensor | None  # [B, S]; None where no prompt is padded: what is right of a token cannot reach it
    start: int  # column of the first response token
    mask: Tensor  # [B, T] bool, S = start + T
    packed: int = 1  # responses side by side that share a prompt, which is computed once for them

    def rows(self, part: slice | Tensor) -> Sequences:
        """Some of them, whole groups or not."""
        attention = None if self.attention_mask is None else self.attention_mask[part]
        return replace(self, input_ids=self.input_ids[part], attention_mask=attention, mask=self.mask[part])

    def cut(self, prompt: int, response: int) -> Sequences:
        """The last columns of the prompts and the first of the responses; the others have to be padding in all rows."""
        columns = slice(self.start - prompt, self.start + response)
        attention = None if self.attention_mask is None else self.attention_mask[:, columns]
        if attention is not None and attention[:, :prompt].all():
            attention = None
        mask = self.mask[:, :response]
        return replace(self, input_ids=self.input_ids[:, columns], attention_mask=attention, start=prompt, mask=mask)


@dataclass(frozen=True)
class MicroBatch:
    """Some responses of a batch, and the places of the first of them there: results of the others are left out."""

    sequences: Sequences
    places: Tensor  # [at most B] int64

    def ignored(self) -> MicroBatch:
        """The same, computed for nothing."""
        return replace(self, places=self.places[:0])


def sequences(rollouts: Rollouts, pad: int, device: torch.device) -> Sequences:
    """The model's view of `rollouts`."""
    ids, attention = left_pad(rollouts.prompts, pad)
    ids = torch.cat([ids.repeat_interleave(rollouts.group_size, 0), rollouts.tokens.where(rollouts.mask, pad)], 1)
    if attention is not None:
        attention = torch.cat([attention.repeat_interleave(rollouts.group_size, 0), rollouts.mask.long()], 1).to(device)
    width = rollouts.tokens.shape[1]
    return Sequences(ids.to(device), attention, ids.shape[1] - width, rollouts.mask.to(device))


def microbatches(batch: Sequences, run: Run) -> list[MicroBatch]:
    """A batch in parts of `microbatch` responses or of `microbatch_tokens`; of whole groups under `group_packing`.

    By tokens, responses of like length go together and only the columns that they fill. What is larger than the limit
    by itself (a response, or a group that is packed) goes alone.
    """
    packed = run.responses_per_prompt if run.group_packing else 1
    batch = replace(batch, packed=packed)
    if run.microbatch_tokens:
        return list(_by_tokens(batch, run.microbatch_tokens))
    rows = max(run.microbatch // packed, 1) * packed
    places = torch.arange(len(batch.mask), device=batch.mask.device)
    return [MicroBatch(batch.rows(slice(part[0], part[-1] + 1)), part) for part in places.split(rows)]


def _by_tokens(batch: Sequences, limit: int) -> Iterator[MicroBatch]:
    read = None if batch.attention_mask is None else batch.attention_mask[:: batch.packed, : batch.start]
    prompts = torch.full((len(batch.mask) // batch.packed,), batch.start) if read is None else read.sum(1).cpu()
    responses = batch.mask.sum(1).view(-1, batch.packed).amax(1).cpu()  # [units]; a unit is a response or a group
    order = (prompts + batch.packed * responses).argsort(stable=True)
    for units, prompt, response in _filled(order.tolist(), prompts.tolist(), responses.tolist(), batch.packed, limit):
        first = torch.tensor(units, device=batch.mask.device) * batch.packed
        places = (first[:, None] + torch.arange(batch.packed, device=first.device)).flatten()
        yield MicroBatch(batch.rows(places).cut(prompt, response), places)


def _filled(
    order: list[int], prompts: list[int], responses: list[int], packed: int, limit: int
) -> Iterator[tuple[list[int], int, int]]:
    """Units in this order until the limit is reached, with their widest prompt and response: again and again."""
    units: list[int] = []
    prompt = response = 0
    for unit in order:
        wider, longer = max(prompt, prompts[unit]), max(response, responses[unit])
        if units and (len(units) + 1) * (wider + packed * longer) > limit:
            yield units, prompt, response
            units, wider, longer = [], prompts[unit], responses[unit]
        units, prompt, response = [*units, unit], wider, longer
    yield units, prompt, response
