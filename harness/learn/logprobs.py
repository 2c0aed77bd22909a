"""Log-probabilities of chosen tokens without keeping their logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 2**25  # of fp32 logits held at a time: 128 MiB


def token_logprobs(
    hidden: Tensor, head: nn.Module, targets: Tensor, temperature: float, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """Log-softmax of head(hidden) / temperature at `targets`, in fp32: [N] from hidden states [N, H] and ids [N].

    Beside it the entropy of each of those distributions [N], in nats and without a gradient.

    The head is applied in chunks of tokens, and again in backward, so [N, V] never exists; where one chunk holds
    everything it is applied once.
    """
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    if len(targets) <= size:
        return _chosen(hidden, head, targets, temperature)
    chunks = zip(hidden.split(size), targets.split(size), strict=True)
    parts = [checkpoint(_chosen, h, head, t, temperature, use_reentrant=False) for h, t in chunks]
    chosen, entropy = zip(*parts, strict=True)
    return torch.cat(chosen), torch.cat(entropy)


def _chosen(hidden: Tensor, head: nn.Module, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logprobs = torch.log_softmax(head(hidden).float() / temperature, -1)  # [N, V]
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)  # [N]
    return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropy
