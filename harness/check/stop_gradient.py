"""Finite differences of functions that hold stop-gradients: what is detached keeps the value it has at the center."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

STEP = 1e-6


class Frozen(TorchFunctionMode):
    """Records what `detach` returns and what is computed without gradients; then gives it back in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[Any] = []
        self.position: int | None = None  # None: recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not torch.Tensor.detach and torch.is_grad_enabled():
            return result
        if self.position is None:
            self.recorded.append(result)
            return result
        self.position += 1
        return self.recorded[self.position - 1]


def finite_differences(function: Callable[[Tensor], Tensor], center: Tensor) -> tuple[Tensor, Tensor]:
    """One-sided differences of a scalar function at `center`, entry by entry, its stop-gradients held fixed.

    The one from above and the one from below; they differ where the function has a kink.
    """
    frozen = Frozen()
    with frozen:
        middle = function(center.clone().requires_grad_()).item()
    sides = []
    for step in (STEP, -STEP):
        side = torch.zeros_like(center)
        for index in range(center.numel()):
            shifted = center.clone()
            shifted.view(-1)[index] += step
            shifted.requires_grad_()
            frozen.position = 0
            with frozen:
                side.view(-1)[index] = (function(shifted).item() - middle) / step
        sides.append(side)
    return sides[0], sides[1]
