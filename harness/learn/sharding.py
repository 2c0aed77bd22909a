"""A model in parts (FSDP2): every process holds a slice of each weight, of its gradient and of what AdamW keeps of it.

Layers are gathered while they compute. Between updates the policy's own model is whole in every process: samplers read
it, and it is what is saved.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from .forward import response_logprobs
from .sequences import Sequences


class ShardedModel(nn.Module):
    """A sharded copy of a model, called for response log-probabilities: head and decoder in one call, so one root."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = copy.deepcopy(model)
        mesh = init_device_mesh(model.device.type, (torch.distributed.get_world_size(),))
        layers = [
            layer
            for stack in self.model.get_decoder().children()
            if isinstance(stack, nn.ModuleList)
            for layer in stack
        ]
        for module in (*layers, self):
            _sum_gradients(fully_shard(module, mesh=mesh))

    def forward(self, part: Sequences, temperature: float) -> tuple[Tensor, Tensor]:
        return response_logprobs(self.model, part, temperature)

    @torch.no_grad()
    def read(self, model: PreTrainedModel) -> None:
        """Take this process's slices of the weights of `model`."""
        for shard, value in zip(self.parameters(), model.parameters(), strict=True):
            shard.copy_(sliced(value, shard))

    @torch.no_grad()
    def write(self, model: PreTrainedModel) -> None:
        """Put the gathered weights into `model`, one after another."""
        for shard, value in zip(self.parameters(), model.parameters(), strict=True):
            value.copy_(whole(shard))


def whole(value: Tensor) -> Tensor:
    """A tensor that is held in slices, gathered; any other as it is. All processes have to ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def sliced(value: Tensor, like: Tensor) -> Tensor:
    """The slice that is this process's of a tensor, divided as `like` is; one of another shape as it is."""
    if value.shape != like.shape:
        return value
    if not isinstance(like, DTensor):
        return value.to(like.device)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _sum_gradients(module: FSDPModule) -> None:
    """Gradients of all processes are added: each of them differentiates the same loss of the whole batch."""
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)  # gloo has no other reduction with a factor
