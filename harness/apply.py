"""Applying an objective to a batch, and telling in one line what is wrong with what comes back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .registry import Entry
from .types import Batch, InputError, Loss


def apply_objective(entry: Entry, batch: Batch, hyperparameters: Mapping[str, Any]) -> Loss:
    """The objective's loss on `batch`, given only the fields that it declares; an InputError names what is wrong."""
    missing = [name for name in entry.reads if getattr(batch, name) is None]
    if missing:
        raise InputError(f"objective {entry} reads {missing[0]}, which this batch lacks; give the batch one")
    try:
        loss = entry.function(*(getattr(batch, name) for name in entry.reads), **hyperparameters)
    except InputError as error:  # in its own words, as of options that do not go together
        raise InputError(f"{entry.name}: {error}") from error
    except Exception as error:
        told = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise InputError(
            f"objective {entry} raised {told}; `lagbench check {entry.name}` tries it on small batches"
        ) from error
    if not isinstance(loss, Loss):
        raise InputError(f"objective {entry} returned {type(loss).__name__}, expected lagbench.Loss")
    wrong = _wrong_tensors(loss, batch) or _wrong_numbers(loss)
    if wrong:
        raise InputError(f"objective {entry} returned {wrong}")
    return dataclasses.replace(loss, metrics={name: float(value) for name, value in loss.metrics.items()})


def _wrong_tensors(loss: Loss, batch: Batch) -> str | None:
    """What is wrong with the shapes, types or gradient of a loss, and what was expected."""
    shape = tuple(batch.logprobs.shape)
    tensors: dict[str, Any] = {"tokens": loss.tokens} | ({} if loss.kept is None else {"kept": loss.kept})
    for name, value in tensors.items():
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            return f"{name} of type {type(value).__name__}, expected a tensor [B, T] = {shape}"
        if tuple(value.shape) != shape:
            return (
                f"{name} of shape {tuple(value.shape)}, expected [B, T] = {shape}; "
                "return one loss per token, the aggregate is applied afterwards"
            )
    if loss.kept is not None and loss.kept.dtype != batch.mask.dtype:
        return f"kept of {loss.kept.dtype}, expected {batch.mask.dtype}: True for the tokens that stay"
    if not loss.tokens.requires_grad:
        return "tokens without a gradient: they must depend on logprobs"
    return None


def _wrong_numbers(loss: Loss) -> str | None:
    """Which of the step scale and the metrics is no finite number."""
    numbers: dict[str, Any] = {"step_scale": loss.step_scale} | loss.metrics
    for name, value in numbers.items():
        try:
            number = float(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError, RuntimeError):
            return f"{name} of type {type(value).__name__}, expected one number"
        if not math.isfinite(number) or (name == "step_scale" and number < 0):
            return f"{name}={number}, expected a finite number{' from 0 on' if name == 'step_scale' else ''}"
    return None
