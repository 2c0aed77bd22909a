"""The one batch that all peers and we are given."""

import pytest
import torch
from peers import GROUP_SIZE, LENGTHS, ROWS, WIDTH
from torch import Tensor

from lagbench.harness.learn import advantages
from lagbench.harness.types import Batch


@pytest.fixture
def batch() -> Batch:
    """Ratios from about 0.2 to 5, ragged responses, both signs of advantages and a group of equal rewards; float64."""
    generator = torch.Generator().manual_seed(5)

    def normal() -> Tensor:
        return torch.randn(ROWS, WIDTH, generator=generator)  # float32, so that a peer may round to it

    behavior = -normal().abs() - 0.1
    proximal = (behavior + 0.6 * normal()).clamp(max=-0.05)
    current = (proximal + 0.4 * normal()).clamp(max=-0.05)
    rewards = torch.tensor([0, 1, 0, 1, 1, 1, 0.5, 1, 0, 0, 0, 1]).double()
    group = torch.arange(ROWS) // GROUP_SIZE
    lengths = torch.tensor(LENGTHS)
    return Batch(
        logprobs=current.double().requires_grad_(),
        proximal_logprobs=proximal.double(),
        behavior_logprobs=behavior.double(),
        advantages=advantages.group_mean(rewards, group, lengths),
        rewards=rewards,
        mask=torch.arange(WIDTH) < lengths[:, None],
        group=group,
        uniform=torch.rand(ROWS, WIDTH, generator=generator, dtype=torch.float64),
        lag=(torch.arange(ROWS * WIDTH).reshape(ROWS, WIDTH) % 4).int(),
    )
