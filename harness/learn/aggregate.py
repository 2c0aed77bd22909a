"""Token losses [B, T] to the scalar that is minimized. A suite fixes one for all objectives or leaves each its own.

Entries off the mask may hold anything, NaN included. A response without tokens, or a group of such, counts in no
denominator. `group` [B] says which prompt a response belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..registry import did_you_mean
from ..types import InputError, Loss

Aggregate = Callable[[Tensor, Tensor, Tensor], Tensor]


def token_mean(tokens: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Mean over all tokens of the batch: long responses weigh more (DAPO, arXiv 2503.14476)."""
    return tokens.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def seq_mean_token_mean(tokens: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Mean over responses of the mean over their tokens (GRPO, arXiv 2402.03300)."""
    return response_means(tokens, mask).sum() / mask.any(1).sum().clamp(min=1)


def response_means(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over each response's own tokens: [B]; 0 for one without tokens."""
    return tokens.where(mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def seq_mean_token_sum(tokens: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Mean over responses of the sum over their tokens: the sequence log-probability of REINFORCE."""
    return tokens.where(mask, 0.0).sum() / mask.any(1).sum().clamp(min=1)


def fixed_length(tokens: Tensor, mask: Tensor, group: Tensor, max_tokens: int) -> Tensor:
    """Mean over responses of the sum over their tokens, over the suite's `max_tokens` (Dr. GRPO, arXiv 2503.20783).

    SkyRL's `seq_mean_token_sum_norm`, and verl's `seq-mean-token-sum-norm` with its `loss_scale_factor` set; without,
    verl divides by the padded length of the batch, as ROLL does, which changes from one batch to the next.
    """
    return seq_mean_token_sum(tokens, mask, group) / max_tokens


def prompt_mean(tokens: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Mean over prompts of the mean over all tokens of a prompt's responses (SkyRL `prompt_mean`).

    SkyRL counts a prompt whose responses are all masked, too.
    """
    _, index = torch.unique(group, return_inverse=True)  # [B]
    losses, counts = tokens.where(mask, 0.0).sum(1), mask.sum(1)  # [B], [B]
    total = torch.zeros_like(losses).index_add(0, index, losses)  # [B], the prompts first
    count = torch.zeros_like(counts).index_add(0, index, counts)  # [B]
    return (total / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def token_sum(tokens: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Sum over all tokens of the batch, no denominator (verl `token-sum`; Tinker's losses).

    The gradient grows with the batch, so `clip_norm` has to be chosen for it.
    """
    return tokens.where(mask, 0.0).sum()


AGGREGATES: dict[str, Callable[..., Tensor]] = {
    f.__name__: f for f in (token_mean, seq_mean_token_mean, seq_mean_token_sum, fixed_length, prompt_mean, token_sum)
}


def make_aggregate(name: str, max_tokens: int) -> Aggregate:
    """The aggregate called `name`; an InputError if there is none."""
    if name not in AGGREGATES:
        raise InputError(
            f"aggregate={name!r} is unknown{did_you_mean(name, AGGREGATES)}; "
            f"expected one of {', '.join(AGGREGATES)}, or paper for that of each objective's own"
        )
    return partial(fixed_length, max_tokens=max_tokens) if name == fixed_length.__name__ else AGGREGATES[name]


def remaining(loss: Loss, mask: Tensor) -> Tensor:
    """The tokens that a rejection leaves: [B, T] bool; the mask where there is none."""
    return mask if loss.kept is None else mask & loss.kept


def reduced(loss: Loss, mask: Tensor, group: Tensor, aggregate: Aggregate, denominator: str) -> Tensor:
    """The scalar of a loss. Rejected tokens contribute nothing; they are counted under `denominator="all"`.

    `all` keeps the weight of every token that is left (AReaL, slime), `kept` gives the survivors the weight of the
    rejected (verl's `rollout_rs`); a response that is rejected whole then counts in no denominator.
    """
    kept = remaining(loss, mask)  # [B, T]
    return aggregate(loss.tokens.where(kept, 0.0), kept if denominator == "kept" else mask, group)


def reduced_by_sign(
    loss: Loss, advantages: Tensor, mask: Tensor, group: Tensor, aggregate: Aggregate, denominator: str
) -> tuple[float, float]:
    """The parts of `reduced` that responses of positive and of negative advantage contribute."""

    def part(side: Tensor) -> float:
        tokens = loss.tokens.detach().where(side[:, None], 0.0)  # [B, T]
        return float(reduced(replace(loss, tokens=tokens), mask, group, aggregate, denominator))

    return part(advantages > 0), part(advantages < 0)
