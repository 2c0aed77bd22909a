"""The conformance of an objective: properties that hold for every one, whatever its formula.

Each takes a registered entry with options and raises `Broken` with one line that says what was found. All run on
made-up batches in float64 (`batches.py`), under the conventions that the objective declares.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..apply import apply_objective
from ..config import Run
from ..learn.aggregate import make_aggregate, reduced, remaining
from ..learn.policy import Policy
from ..learn.sequences import Sequences
from ..models import locate
from ..models.load import load_model
from ..registry import Entry
from ..types import Batch
from . import batches
from .stop_gradient import finite_differences

Options = Mapping[str, Any]


class Broken(AssertionError):
    """An objective does not keep what it has to."""


def zero_advantage(entry: Entry, options: Options) -> None:
    """Zero advantages give zero gradient (of a regularized objective: where all policies are equal)."""
    batch = made_up(entry)
    if entry.conventions.regularized:
        batch = batches.on_policy(batch)
    gradient = derivative(entry, options, dataclasses.replace(batch, advantages=torch.zeros_like(batch.advantages)))
    require(not gradient.any(), f"a gradient of size {gradient.abs().max():.3g} although all advantages are zero")


def padding(entry: Entry, options: Options) -> None:
    """What stands off the mask does not matter, even where it is NaN, and gets no gradient."""
    batch = made_up(entry)
    wide = batches.padded(batch, 3)
    loss, wider = (apply_objective(entry, b, options) for b in (batch, wide))
    require_close(wider.tokens[wide.mask], loss.tokens[batch.mask], "token losses with NaN off the mask")
    found, expected = (derivative(entry, options, b) for b in (wide, batch))
    require(not found[~wide.mask].any(), "a gradient off the mask; use masked_fill(~mask, 0) before any arithmetic")
    require_close(found[wide.mask], expected[batch.mask], "the gradient with NaN off the mask")


def permutation(entry: Entry, options: Options) -> None:
    """Permuting the responses permutes their losses."""
    batch = made_up(entry)
    order = torch.randperm(batches.ROWS, generator=torch.Generator().manual_seed(1))
    loss, moved = (apply_objective(entry, b, options) for b in (batch, batches.permuted(batch, order)))
    mask = batch.mask[order]
    require_close(moved.tokens[mask], loss.tokens[order][mask], "token losses of permuted responses")
    require(torch.equal(remaining(moved, mask), remaining(loss, batch.mask)[order]), "other tokens are kept")


def extremes(entry: Entry, options: Options) -> None:
    """Value and gradient are finite at log-ratios of 0, +-20 and +-700 nats and at an NLL of 0, also in float32."""
    for dtype in (torch.float64, torch.float32):
        for distance in (0.0, 20.0, 700.0):
            for nll in (0.0, 1.0, 700.0):
                where = f"at log-ratios of +-{distance:g} and an NLL of {nll:g} in {dtype}"
                batch = batches.extreme(batches.off_policy(entry.conventions.advantage, dtype), distance, nll)
                total = value(entry, options, batch)
                require(bool(total.isfinite()), f"a loss of {total.item()} {where}")
                require(bool(derivative(entry, options, batch).isfinite().all()), f"a gradient not finite {where}")


def impossible_tokens(entry: Entry, options: Options) -> None:
    """Value and gradient are finite where the behavior or the proximal policy gave a token no probability (-inf).

    Nothing is promised for -inf in `logprobs`: the naive loss is infinite there, and the update ends as NonFinite.
    """
    for dtype in (torch.float64, torch.float32):
        batch = batches.off_policy(entry.conventions.advantage, dtype)
        for names in (["behavior_logprobs"], ["proximal_logprobs"], ["behavior_logprobs", "proximal_logprobs"]):
            for every in (1, 3):
                where = f"where {' and '.join(names)} are -inf in {dtype}; clamp them from below"
                struck = batches.without_probability(batch, names, every)
                total = value(entry, options, struck)
                require(bool(total.isfinite()), f"a loss of {total.item()} {where}")
                require(bool(derivative(entry, options, struck).isfinite().all()), f"a gradient not finite {where}")


def repeatable(entry: Entry, options: Options) -> None:
    """Twice the same batch gives twice the same loss, of the batch's own type, and leaves the batch as it was."""
    for dtype in (torch.float64, torch.float32):
        batch = batches.off_policy(entry.conventions.advantage, dtype)
        before = {field.name: getattr(batch, field.name).detach().clone() for field in dataclasses.fields(batch)}
        first, second = (apply_objective(entry, batch, options) for _ in range(2))
        mask = batch.mask
        require(torch.equal(first.tokens[mask], second.tokens[mask]), "another loss at the second call")
        require(first.tokens.dtype == dtype, f"tokens of {first.tokens.dtype} from log-probabilities of {dtype}")
        changed = [name for name, value in before.items() if not torch.equal(getattr(batch, name), value)]
        require(not changed, f"changes its arguments: {', '.join(changed)}")


def on_policy_weight(entry: Entry, options: Options) -> None:
    """At zero lag and equal policies the gradient of a token's loss is minus its stated weight times A."""
    batch = batches.on_policy(made_up(entry))
    loss = apply_objective(entry, batch, options)
    (found,) = torch.autograd.grad(loss.tokens[remaining(loss, batch.mask)].sum(), batch.logprobs)
    expected = -(stated_weight(entry, options, batch) * batch.advantages[:, None]) * batch.mask
    require_close(found, expected, "the on-policy gradient; state its weight with @objective(on_policy_weight=...)")


def undeclared(entry: Entry, options: Options) -> None:
    """Results do not change with tensors that the signature does not name: a behavior-free objective is one."""
    batch = made_up(entry)
    hidden = {
        name: torch.full_like(getattr(batch, name).detach(), 7)
        for name in ("behavior_logprobs", "proximal_logprobs", "lag", "rewards", "uniform")
        if name not in entry.reads
    }
    loss, other = (apply_objective(entry, b, options) for b in (batch, dataclasses.replace(batch, **hidden)))
    require(torch.equal(loss.tokens[batch.mask], other.tokens[batch.mask]), "losses changed with undeclared tensors")
    require(loss.step_scale == other.step_scale, "the step changed with undeclared tensors")


def microbatches(entry: Entry, options: Options) -> None:
    """The weights' gradient is the same however the batch is cut for the model."""
    batch = made_up(entry)
    found = [weights_gradient(entry, options, batch, rows) for rows in (batches.ROWS, 5)]
    for whole, parts in zip(*found, strict=True):
        require_close(parts, whole, "the gradient of the weights in micro-batches of 5")


def gradient(entry: Entry, options: Options) -> None:
    """The gradient equals finite differences in float64, what is detached held fixed; between both at a kink."""
    batch = made_up(entry)
    above, below = finite_differences(
        lambda x: value(entry, options, dataclasses.replace(batch, logprobs=x)), batch.logprobs.detach()
    )
    found = derivative(entry, options, batch)
    nearest = found.clamp(above.minimum(below), above.maximum(below))
    require_close(found, nearest, "the gradient against finite differences", rtol=1e-4, atol=1e-6)


CHECKS: dict[str, Callable[[Entry, Options], None]] = {
    f.__name__: f
    for f in (
        zero_advantage,
        padding,
        permutation,
        extremes,
        impossible_tokens,
        repeatable,
        on_policy_weight,
        undeclared,
        microbatches,
        gradient,
    )
}


def made_up(entry: Entry) -> Batch:
    return batches.off_policy(entry.conventions.advantage)


def value(entry: Entry, options: Options, batch: Batch) -> Tensor:
    """The scalar loss under the conventions that the objective declares."""
    aggregate = make_aggregate(entry.conventions.aggregate, batches.WIDTH)
    loss = apply_objective(entry, batch, options)
    return reduced(loss, batch.mask, batch.group, aggregate, entry.conventions.denominator)


def derivative(entry: Entry, options: Options, batch: Batch) -> Tensor:
    """dL/dlogprobs [B, T]."""
    (found,) = torch.autograd.grad(value(entry, options, batch), batch.logprobs)
    return found


def stated_weight(entry: Entry, options: Options, batch: Batch) -> Tensor:
    """The declared on-policy weight as [B, T]."""
    stated = entry.conventions.on_policy_weight
    if stated is None:
        return torch.ones_like(batch.logprobs)
    given = {
        name: options[name] if name in options else getattr(batch, name)
        for name in inspect.signature(stated).parameters
    }
    weight = torch.as_tensor(stated(**given)).detach().to(batch.logprobs.dtype)
    return (weight[:, None] if weight.dim() == 1 else weight).expand(batch.logprobs.shape)


def weights_gradient(entry: Entry, options: Options, batch: Batch, rows: int) -> list[Tensor]:
    """Of the embedded model in float64, micro-batches of `rows` responses; the batch's tokens are made up."""
    run = Run(objective=entry.name, lag="sync", seed=0, microbatch=rows)
    policy = Policy(load_model(locate(run.model), torch.device("cpu")).double(), run)
    vocabulary = policy.model.config.get_text_config().vocab_size
    shape = (batches.ROWS, batches.WIDTH + 2)
    ids = torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(2))
    forward = policy.forward(Sequences(ids, None, 2, batch.mask))
    shift = {name: getattr(batch, name) - batch.logprobs.detach() for name in batches.SPREAD}
    current = forward.logprobs.detach().double()
    moved = {name: current + difference for name, difference in shift.items()}
    lived = dataclasses.replace(batch, logprobs=current.requires_grad_(), **moved)
    forward.backward(derivative(entry, options, lived).to(forward.logprobs.dtype))
    return [p.grad for p in policy.model.parameters() if p.grad is not None]


def require(holds: bool, message: str) -> None:
    if not holds:
        raise Broken(message)


def require_close(found: Tensor, expected: Tensor, what: str, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    if not expected.isfinite().all():
        raise Broken(f"{what}: not finite on an ordinary batch to begin with")
    if not torch.allclose(found, expected, rtol=rtol, atol=atol):
        index = int((found - expected).abs().nan_to_num(float("inf")).argmax())
        pair = f"{found.flatten()[index]:.6g}, expected {expected.flatten()[index]:.6g}"
        raise Broken(f"{what}: {pair}")
