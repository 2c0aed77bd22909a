"""Log-probabilities of chosen tokens without their logits: the head in tiles of tokens by vocabulary, never [N, V]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

KEPT_LOGITS = 2**25  # of fp32, 128 MiB: up to here they are kept for backward, beyond computed again
SIDE = {"cpu": 2**10, "cuda": 2**13}  # of a tile: on a CPU two stay in the cache of a core; a GPU needs work


def token_logprobs(hidden: Tensor, head: nn.Linear, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-softmax of head(hidden) / temperature at `targets`: [N] from hidden states [N, H] and ids [N].

    Beside it the entropy of each of those distributions [N], in nats and without a gradient. In fp32, or in fp64
    where the hidden states are.
    """
    if len(targets) * len(head.weight) <= KEPT_LOGITS:
        return _whole(hidden, head, targets, temperature)
    chosen, entropy = _Tiled.apply(hidden, head.weight, head.bias, targets, temperature)
    return chosen, entropy


def _whole(hidden: Tensor, head: nn.Linear, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logprobs = torch.log_softmax(_wide(head(hidden)) / temperature, -1)  # [N, V]
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)  # [N]
    return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropy


class _Tiled(torch.autograd.Function):
    """The same, tile by tile: forward keeps log sum exp of every token, backward computes the logits again.

    Backward leaves out tokens whose gradient is zero: groups of equal rewards cost it nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        precision = _matmul_dtype(weight)
        with torch.autocast(hidden.device.type, enabled=False):
            tokens = (
                _forward(hidden[rows].to(precision), weight, bias, targets[rows], temperature)
                for rows in _slices(len(targets), hidden.device)
            )
            logprobs, lse, entropy = (torch.cat(of) for of in zip(*tokens, strict=True))
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.temperature, ctx.precision = temperature, precision
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, given: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        taught = given.nonzero().squeeze(-1)
        scale = (-given / ctx.temperature)[:, None]  # [N, 1]; dL/dlogits is scale * (softmax - one-hot)
        by_hidden = torch.zeros_like(hidden, dtype=scale.dtype)  # [N, H]
        by_weight = torch.zeros_like(weight)  # [V, H]
        by_bias = None if bias is None else torch.zeros_like(bias)  # [V]
        with torch.autocast(hidden.device.type, enabled=False):
            for rows in taught.split(_side(hidden.device)):
                x = hidden[rows].to(ctx.precision)
                scaled = (x * scale[rows]).to(ctx.precision)
                total = x.new_zeros(x.shape, dtype=scale.dtype)
                page = _page(x, weight)
                for columns in _slices(len(weight), x.device):
                    tile = _logits(x, weight, bias, columns, ctx.temperature, page)
                    tile.sub_(lse[rows, None]).exp_()  # softmax
                    inside, place = _places(targets[rows], columns)
                    tile.scatter_add_(1, place, -inside.to(tile.dtype))
                    if by_bias is not None:
                        by_bias[columns].add_((scale[rows].T @ tile)[0])
                    tile = tile.to(ctx.precision)
                    _add_product(total, tile, weight[columns].to(ctx.precision))
                    _add_product(by_weight[columns], tile.T, scaled)
                by_hidden[rows] = total.mul_(scale[rows])
        return by_hidden.to(hidden.dtype), by_weight, by_bias, None, None


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of the target, log sum exp of all logits, and entropy of n tokens [n]."""
    page, other = _page(x, weight), _page(x, weight)
    slices = list(_slices(len(weight), x.device))
    largest, totals, entropies = page.new_empty(3, len(slices), len(x))  # of every tile
    logit = page.new_zeros(len(x))
    for i, columns in enumerate(slices):
        tile = _logits(x, weight, bias, columns, temperature, page)  # [n, c]
        inside, place = _places(targets, columns)
        logit = torch.where(inside, tile.gather(1, place), logit[:, None]).squeeze(1)
        largest[i] = tile.amax(1)
        tile.sub_(largest[i, :, None])
        weights = torch.exp(tile, out=other[: tile.numel()].view_as(tile))
        total = weights.sum(1)
        totals[i] = total.log()
        entropies[i] = totals[i] - weights.mul_(tile).sum(1) / total  # of the distribution within the tile
    highest = largest.amax(0)
    mass = largest - highest + totals  # [tiles, n], log
    all_mass = mass.logsumexp(0)
    share = mass - all_mass  # log-probability of each tile
    entropy = (share.exp() * (entropies - share)).sum(0)  # by the chain rule
    return logit - highest - all_mass, highest + all_mass, entropy


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, columns: slice, temperature: float, page: Tensor) -> Tensor:
    """Those of some columns of the vocabulary [n, c], over the temperature, written on a page."""
    part = weight[columns].to(x.dtype)
    tile = page[: len(x) * len(part)].view(len(x), len(part))
    if tile.dtype == x.dtype:
        torch.mm(x, part.T, out=tile)
    else:
        tile.copy_(x @ part.T)
    if bias is not None:
        tile.add_(bias[columns])
    return tile.div_(temperature)


def _page(x: Tensor, weight: Tensor) -> Tensor:
    """Room for any tile of these tokens. Tiles of their own would leave the heap in pieces: gigabytes of them."""
    return x.new_empty(len(x) * min(_side(x.device), len(weight)), dtype=_wide(x).dtype)


def _places(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Which targets lie in these columns, and where, anywhere for the others: [n, 1] both."""
    place = targets[:, None] - columns.start
    width = columns.stop - columns.start
    return (place >= 0) & (place < width), place.clamp(0, width - 1)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds a @ b, in the precision of `total`."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)


def _slices(length: int, device: torch.device) -> Iterator[slice]:
    side = _side(device)
    return (slice(i, min(i + side, length)) for i in range(0, length, side))


def _side(device: torch.device) -> int:
    return SIDE[device.type]


def _matmul_dtype(weight: Tensor) -> torch.dtype:
    """What a matrix product of these weights is computed in here."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def _wide(values: Tensor) -> Tensor:
    """In fp32, or in fp64 where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
