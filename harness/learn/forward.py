"""Log-probabilities of a batch of responses, and the weights' gradient from dL/dlogprobs.

The model gets one gradient, dL/dlogprobs [B, T], whatever the objective computed it from; so statistics over the
whole batch are exact for any micro-batch size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config import Run
from ..models.load import precision
from ..rollout.padding import positions
from .logprobs import token_logprobs
from .sequences import Sequences


def response_logprobs(model: PreTrainedModel, batch: Sequences, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, T], differentiable unless inside `torch.no_grad()`, and entropies [B, T], in nats.

    Both are zero off the mask.
    """
    with precision(model.device):
        hidden = model.get_decoder()(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=positions(batch.attention_mask),
            use_cache=False,
        ).last_hidden_state  # [B, S, H]
        chosen, entropy = token_logprobs(
            hidden[:, batch.start - 1 : -1][batch.mask],
            model.get_output_embeddings(),
            batch.input_ids[:, batch.start :][batch.mask],
            temperature,
            model.config.get_text_config().vocab_size,
        )
    zeros = chosen.new_zeros(batch.mask.shape)
    return zeros.masked_scatter(batch.mask, chosen), zeros.masked_scatter(batch.mask, entropy)


class Forward:
    """One forward pass over a batch. One micro-batch keeps its graph; several are computed again in backward."""

    def __init__(self, model: PreTrainedModel, run: Run, batch: Sequences):
        self.model, self.run, self.parts = model, run, list(batch.microbatches(run.microbatch))
        self.mask = batch.mask
        with torch.set_grad_enabled(len(self.parts) == 1):
            passes = [self._pass(part) for part in self.parts]
        self._kept = passes[0][0] if len(self.parts) == 1 else None
        self.logprobs = torch.cat([logprobs.detach() for logprobs, _ in passes]).requires_grad_()  # [B, T], a leaf
        self.entropy = torch.cat([entropy for _, entropy in passes])  # [B, T]

    def backward(self, gradient: Tensor, again: bool = False) -> None:
        """Accumulate the weights' gradient from dL/dlogprobs [B, T]; its entries off the mask are ignored.

        `again` says that it will be called once more for this forward pass.

        A micro-batch whose gradient is all zero (groups of equal rewards) is passed over, but for the first: weights
        without a gradient would be passed over by the optimizer, momentum included.
        """
        gradient = gradient.where(self.mask, 0.0)
        for i, (part, given) in enumerate(zip(self.parts, gradient.split(self.run.microbatch), strict=True)):
            if i and not given.any():
                continue
            logprobs = self._pass(part)[0] if self._kept is None else self._kept
            logprobs.backward(given, retain_graph=again and self._kept is not None)

    def _pass(self, part: Sequences) -> tuple[Tensor, Tensor]:
        return response_logprobs(self.model, part, self.run.temperature)
