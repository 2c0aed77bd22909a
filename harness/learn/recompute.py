"""Gradient checkpointing: layers whose inside is computed again in backward instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..types import InputError


def recompute_layers(model: PreTrainedModel) -> None:
    """Let every layer of the model keep its input only, where a gradient is wanted; else nothing changes.

    Not by the model's own switch: that works in training mode alone, where dropout would part the learner's
    log-probabilities from the sampler's.
    """
    for layer in recomputable(model):
        layer.forward = partial(_recomputed, layer.forward)  # not a closure: a copied model's calls the copy


def recomputable(model: PreTrainedModel) -> list[GradientCheckpointingLayer]:
    """The layers that support it; an InputError where none does."""
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise InputError(
            f"gradient_checkpointing=true: {type(model).__name__} has no layers that support it; "
            "leave it out and lower microbatch instead"
        )
    return layers


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
