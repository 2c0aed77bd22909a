"""Our objectives against ART's loss (openpipe-art), whose old policy is our behavior policy.

Its tensors are shifted by one token, and without the option `ppo` its loss is CISPO.
"""

from typing import Any

import pytest
import torch
from peers import (
    Case,
    Outcome,
    agree,
    label,
    limited,
    ours,
    outcome,
    peer,
    with_far_token,
)
from torch import Tensor
from torch.nn.functional import pad

from lagbench.harness.types import Batch

PACKAGE = "openpipe-art"
loss = peer("art.loss", past=("art", "art.utils"))  # art itself imports servers and their clients

CLIP, PPO = {"clip_low": 0.2, "clip_high": 0.3}, {"ppo": True, "epsilon": 0.2, "epsilon_high": 0.3}


def theirs(batch: Batch, **options: Any) -> Outcome:
    """ART adds 1e-6 to the number of tokens that it divides by."""

    def ahead(values: Tensor) -> Tensor:
        return pad(values, (1, 0))  # [B, T + 1]

    inputs = {
        "logprobs": ahead(batch.behavior_logprobs),
        "advantages": ahead(batch.advantages[:, None].expand(batch.mask.shape)),
        "assistant_mask": ahead(batch.mask),
        "weights": ahead(torch.ones_like(batch.behavior_logprobs)),
        "group_ids": ahead(torch.ones_like(batch.mask, dtype=torch.int64)),
    }
    found = loss.loss_fn(inputs, pad(batch.logprobs, (0, 1)), None, None, options)
    return outcome(found.policy_loss, batch)


CASES = [
    Case("ppo", "dapo", CLIP, PPO, denominator="all"),
    Case("ppo", "grpo", CLIP, PPO, "token_mean"),
    Case("cispo", "cispo", {"clip_low": 1.0, "clip_high": 4.0}, {}),  # both defaults
    Case("cispo", "cispo", CLIP, {"epsilon": 0.2, "epsilon_high": 0.3}),
    Case(
        "cispo, mask_prob_ratio",
        "rollout_is",
        {"clip_low": 1.0, "clip_high": 0.3},
        {"epsilon": 1.0, "epsilon_high": 0.3, "mask_prob_ratio": True},
    ),
    Case(
        "ppo, sequence",
        "gspo",
        {"clip_low": 0.02, "clip_high": 0.03},
        {"ppo": True, "epsilon": 0.02, "epsilon_high": 0.03, "importance_sampling_level": "sequence"},
        "token_mean",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, **case.peer_options))


# Where we differ on purpose.


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """ART limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP, "token_mean"), theirs(batch, **PPO))
