"""What golden values are checked with: fields from ratios, and a loss compared value by value.

Inputs are ratios by construction (behavior = logprobs - log ratio). log pi is -2 unless stated, so that `-w A log pi`
reads 2 w A. `_` is padding: NaN, so that nothing may look at it. `weight` is the gradient weight: the coefficient of
A grad log pi in the sum of all tokens that are kept.
"""

import inspect
from functools import partial
from math import log, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench import Loss
from lagbench.harness.registry import OBJECTIVES

_ = nan
Rows = list[list[float]]
double = partial(torch.tensor, dtype=torch.float64)


def loss_of(name: str, options: dict[str, Any] | None = None, **fields: Tensor) -> Loss:
    entry = OBJECTIVES.get(name)
    return entry.function(*(fields[f] for f in entry.reads), **entry.check_options(options or {}))


def fields_of(
    advantages: list[float],
    logprobs: Rows | float = -2.0,
    ratios: Rows | None = None,
    log_ratios: Rows | None = None,
    step: Rows | None = None,
    **others: Any,
) -> dict[str, Tensor]:
    """`ratios` (or their logarithms) are pi / mu; with `step`, pi / proximal, they are proximal / mu."""
    given = next(rows for rows in (ratios, log_ratios, logprobs) if isinstance(rows, list))
    mask = ~double(given).isnan()
    lp = double(logprobs).expand(mask.shape).where(mask, nan)
    fields = {"logprobs": lp.clone().requires_grad_(), "mask": mask, "advantages": double(advantages)}
    if step is not None:
        lp = fields["proximal_logprobs"] = lp - double(step).log()
    if ratios is not None:
        fields["behavior_logprobs"] = lp - double(ratios).log()
    if log_ratios is not None:
        fields["behavior_logprobs"] = lp - double(log_ratios)
    types = {"group": torch.int64, "lag": torch.int32}
    return fields | {f: torch.tensor(v, dtype=types.get(f, torch.float64)) for f, v in others.items()}


def check(
    name: str,
    options: dict[str, Any] | None = None,
    *,
    tokens: Rows,
    weight: Rows | None = None,
    gradient: Rows | None = None,
    kept: list[list[int]] | None = None,
    metrics: dict[str, float] | None = None,
    step_scale: float = 1.0,
    **inputs: Any,
) -> None:
    """The loss of `inputs` is what is stated; values of padding and of rejected tokens are not compared."""
    fields = fields_of(**inputs)
    left = fields["mask"]
    loss = loss_of(name, options, **fields)
    assert (loss.kept is None) == (kept is None)
    if kept is not None:
        assert (loss.kept & left).tolist() == (torch.tensor(kept, dtype=torch.bool) & left).tolist()
        left = left & loss.kept
    torch.testing.assert_close(loss.tokens[left], double(tokens)[left])
    (found,) = torch.autograd.grad(loss.tokens.where(left, 0.0).sum(), fields["logprobs"])
    expected = double(gradient) if gradient else -fields["advantages"][:, None] * double(weight)
    torch.testing.assert_close(found[fields["mask"]], expected[fields["mask"]])
    assert loss.metrics == pytest.approx(metrics or {}, rel=1e-7)
    assert loss.step_scale == pytest.approx(step_scale, rel=1e-9)


def logs(rows: Rows) -> Rows:
    return [[log(x) for x in row] for row in rows]


def weight_is(
    name: str, expected: Rows | list[float] | float, options: dict[str, Any] | None = None, **inputs: Any
) -> None:
    entry = OBJECTIVES.get(name)
    fields = entry.check_options(options or {}) | fields_of(**inputs)
    function = entry.conventions.on_policy_weight
    found = function(*(fields[f] for f in inspect.signature(function).parameters))
    torch.testing.assert_close(torch.as_tensor(found, dtype=torch.float64).detach(), double(expected))
