"""Token losses [B, T] to the scalar that is minimized. A suite fixes one for all objectives or leaves each its own.

Entries off the mask may hold anything, NaN included. A response without tokens counts in no denominator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor

from ..registry import did_you_mean
from ..types import InputError, Loss

Aggregate = Callable[[Tensor, Tensor], Tensor]


def token_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over all tokens of the batch: long responses weigh more (DAPO, arXiv 2503.14476)."""
    return tokens.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def seq_mean_token_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over responses of the mean over their tokens (GRPO, arXiv 2402.03300)."""
    return response_means(tokens, mask).sum() / mask.any(1).sum().clamp(min=1)


def response_means(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over each response's own tokens: [B]; 0 for one without tokens."""
    return tokens.where(mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def seq_mean_token_sum(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over responses of the sum over their tokens: the sequence log-probability of REINFORCE."""
    return tokens.where(mask, 0.0).sum() / mask.any(1).sum().clamp(min=1)


def fixed_length(tokens: Tensor, mask: Tensor, max_tokens: int) -> Tensor:
    """Mean over responses of the sum over their tokens, over the suite's `max_tokens` (Dr. GRPO, arXiv 2503.20783).

    Not over the padded length of the batch, which changes from one batch to the next (verl, ROLL).
    """
    return seq_mean_token_sum(tokens, mask) / max_tokens


AGGREGATES: dict[str, Callable[..., Tensor]] = {
    f.__name__: f for f in (token_mean, seq_mean_token_mean, seq_mean_token_sum, fixed_length)
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


def reduced(loss: Loss, mask: Tensor, aggregate: Aggregate, denominator: str) -> Tensor:
    """The scalar of a loss. Rejected tokens contribute nothing; they are counted under `denominator="all"`.

    `all` keeps the weight of every token that is left (AReaL, slime), `kept` gives the survivors the weight of the
    rejected (verl, which overwrites the mask); a response that is rejected whole then counts in no denominator.
    """
    kept = remaining(loss, mask)  # [B, T]
    return aggregate(loss.tokens.where(kept, 0.0), kept if denominator == "kept" else mask)


def reduced_by_sign(
    loss: Loss, advantages: Tensor, mask: Tensor, aggregate: Aggregate, denominator: str
) -> tuple[float, float]:
    """The parts of `reduced` that responses of positive and of negative advantage contribute."""

    def part(side: Tensor) -> float:
        return float(
            reduced(replace(loss, tokens=loss.tokens.detach().where(side[:, None], 0.0)), mask, aggregate, denominator)
        )

    return part(advantages > 0), part(advantages < 0)
