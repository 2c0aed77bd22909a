"""Log-probabilities of a batch of responses, and the weights' gradient from dL/dlogprobs.

The model gets one gradient, dL/dlogprobs [B, T], whatever the objective computed it from; so statistics over the
whole batch are exact for any micro-batch size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config import Run
from ..models.load import precision
from ..rollout.padding import positions
from .logprobs import token_logprobs
from .packing import packed_states
from .sequences import MicroBatch, Sequences, microbatches


def response_logprobs(model: PreTrainedModel, batch: Sequences, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, T], differentiable unless inside `torch.no_grad()`, and entropies [B, T], in nats.

    Both are zero off the mask.
    """
    with precision(model.device):
        states = plain_states(model, batch) if batch.packed == 1 else packed_states(model, batch)
        chosen, entropy = token_logprobs(
            states[batch.mask],
            model.get_output_embeddings(),
            batch.input_ids[:, batch.start :][batch.mask],
            temperature,
        )
    zeros = chosen.new_zeros(batch.mask.shape)
    return zeros.masked_scatter(batch.mask, chosen), zeros.masked_scatter(batch.mask, entropy)


def plain_states(model: PreTrainedModel, batch: Sequences) -> Tensor:
    """The hidden state that each response token is predicted from [B, T, H]: that of the token before it."""
    hidden = model.get_decoder()(
        batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=positions(batch.attention_mask),
        use_cache=False,
    ).last_hidden_state  # [B, S, H]
    return hidden[:, batch.start - 1 : -1]


class Forward:
    """One forward pass over a batch. One micro-batch keeps its graph; several are computed again in backward."""

    def __init__(self, model: PreTrainedModel, run: Run, batch: Sequences):
        self.model, self.run, self.mask = model, run, batch.mask
        self.parts = self._divided(batch)
        with torch.set_grad_enabled(len(self.parts) == 1):
            passes = [self._pass(part.sequences) for part in self.parts]
        self._kept = passes[0][0] if len(self.parts) == 1 else None
        logprobs, entropy = (self._assembled(of) for of in zip(*passes, strict=True))
        self.logprobs, self.entropy = logprobs.requires_grad_(), entropy  # [B, T] both, the first a leaf

    def backward(self, gradient: Tensor, again: bool = False) -> None:
        """Accumulate the weights' gradient from dL/dlogprobs [B, T]; its entries off the mask are ignored.

        `again` says that it will be called once more for this forward pass.

        A micro-batch whose gradient is all zero (groups of equal rewards) is passed over, but for the first: weights
        without a gradient would be passed over by the optimizer, momentum included.
        """
        gradient = gradient.where(self.mask, 0.0)
        given = [_of_part(gradient, part) for part in self.parts]
        for part, values, needed in zip(self.parts, given, self._needed(given), strict=True):
            if not needed:
                continue
            logprobs = self._pass(part.sequences)[0] if self._kept is None else self._kept
            logprobs.backward(values, retain_graph=again and self._kept is not None)

    def _divided(self, batch: Sequences) -> list[MicroBatch]:
        """The micro-batches; several processes may add ignored ones to have equally many."""
        return microbatches(batch, self.run)

    def _needed(self, gradients: Sequence[Tensor]) -> list[bool]:
        """Which micro-batches are run backward, from the gradient of each; several processes agree on it."""
        return [i == 0 or bool(given.any()) for i, given in enumerate(gradients)]

    def _pass(self, part: Sequences) -> tuple[Tensor, Tensor]:
        return response_logprobs(self.model, part, self.run.temperature)

    def _assembled(self, values: Sequence[Tensor]) -> Tensor:
        """Values of the micro-batches in their places in the batch [B, T], detached; zero where none has any."""
        whole = values[0].new_zeros(self.mask.shape)
        for part, its in zip(self.parts, values, strict=True):
            whole[part.places, : its.shape[1]] = its.detach()[: len(part.places)]
        return whole


def _of_part(values: Tensor, part: MicroBatch) -> Tensor:
    """A micro-batch's own of the values of a batch [B, T]; zero for responses that are ignored."""
    own = values.new_zeros(part.sequences.mask.shape)
    own[: len(part.places)] = values[part.places, : own.shape[1]]
    return own
