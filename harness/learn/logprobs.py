"""Log-probabilities of chosen tokens without keeping their logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 2**25  # of fp32 logits held at a time: 128 MiB


def token_logprobs(hidden: Tensor, head: nn.Module, targets: Tensor, temperature: float, vocabulary: int) -> Tensor:
    """Log-softmax of head(hidden) / temperature at `targets`, in fp32: [N] from hidden states [N, H] and ids [N].

    The head is applied in chunks of tokens, and again in backward, so [N, V] never exists; where one chunk holds
    everything it is applied once.
    """
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    if len(targets) <= size:
        return _chosen(hidden, head, targets, temperature)
    chunks = zip(hidden.split(size), targets.split(size), strict=True)
    return torch.cat([checkpoint(_chosen, h, head, t, temperature, use_reentrant=False) for h, t in chunks])


def _chosen(hidden: Tensor, head: nn.Module, targets: Tensor, temperature: float) -> Tensor:
    logits = head(hidden).float() / temperature  # [N, V]
    return torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)
