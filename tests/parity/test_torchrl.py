"""Our objectives against TorchRL's losses for language models: GRPO, DAPO and CISPO.

Its actor is replaced by the log-probabilities at hand; masks, ratios, losses and aggregation are TorchRL's. Its
sampling policy is our behavior policy. Entropy bonus and KL terms are off.
"""

from typing import Any

import pytest
import torch
from peers import (
    ROWS,
    WIDTH,
    Case,
    Outcome,
    agree,
    counted_by_peer_only,
    label,
    limited,
    ours,
    outcome,
    peer,
    same,
    with_far_token,
    without_a_response,
)
from torch import Tensor

from lagbench.harness.types import Batch

PACKAGE = "torchrl"
llm = peer("torchrl.objectives.llm")
tensordict = peer("tensordict")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}


class GivenLogprobs:
    """An actor, and the distribution that it answers with."""

    def __init__(self, batch: Batch):
        self.logprobs, self.mask = batch.logprobs, batch.mask

    def get_dist(self, *_: Any, **__: Any) -> "GivenLogprobs":
        return self

    def log_prob(self, _: Tensor) -> Tensor:
        return self.logprobs


def theirs(batch: Batch, loss: str, low: float, high: float, aggregation: str) -> Outcome:
    function = getattr(llm, loss)(clip_epsilon=(low, high), aggregation=aggregation, entropy_bonus=False)
    function.double()  # its bounds are buffers
    object.__setattr__(function, "actor_network", GivenLogprobs(batch))
    data = tensordict.TensorDict(
        {
            ("tokens", "full"): torch.zeros(ROWS, WIDTH, dtype=torch.int64),
            ("log_probs", "full"): batch.behavior_logprobs,
            "advantage": batch.advantages[:, None, None].expand(ROWS, WIDTH, 1),
        },
        batch_size=[ROWS],
    )
    return outcome(function(data).loss_objective.sum(), batch)


BOUNDS = {"low": 0.2, "high": 0.3}
TOKENS, RESPONSES = BOUNDS | {"aggregation": "token_mean"}, BOUNDS | {"aggregation": "prompt_mean"}
CASES = [
    Case("GRPOLoss, prompt_mean", "grpo", CLIP, RESPONSES),  # of responses: no groups are told apart
    Case("GRPOLoss, token_mean", "grpo", CLIP, TOKENS, "token_mean"),
    Case("DAPO, token_mean", "dapo", CLIP, TOKENS, denominator="all"),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options))


# Where we differ on purpose.


def test_differs_in_cispo(batch: Batch) -> None:
    """TorchRL's CISPOLoss has no gradient where the ratio is clipped; the paper's and ours keeps it, with the bound."""
    _, expected = theirs(batch, "CISPOLoss", **TOKENS)
    _, gradient = ours(batch, "cispo", CLIP)
    ratio = (batch.logprobs - batch.behavior_logprobs).exp().detach()
    clipped = (ratio < 0.8) | (ratio > 1.3)
    assert (gradient * clipped).abs().max() > 1e-3
    same(gradient.masked_fill(clipped, 0), expected)


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """TorchRL's mean over responses counts those without tokens; ours does not, as verl."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, "GRPOLoss", **RESPONSES))


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """TorchRL limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, "GRPOLoss", **RESPONSES))
