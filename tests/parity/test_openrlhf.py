"""Our objectives and aggregates against OpenRLHF's PolicyLoss and aggregate_loss.

OpenRLHF's old policy is our behavior policy; where it corrects for a rollout engine, its old policy is our proximal
one, the engine our behavior policy.
"""

from typing import Any

import pytest
from peers import (
    Case,
    Outcome,
    Pair,
    agree,
    label,
    ours,
    outcome,
    peer,
    reduction,
    same,
    with_far_token,
    without_a_response,
)

from lagbench.harness.types import Batch

PACKAGE = "openrlhf"
# Its models package imports models on DeepSpeed.
losses = peer("openrlhf.models.loss", past=("openrlhf", "openrlhf.models"), without=("deepspeed",))

CLIP, THEIR_CLIP = ({f"{a}_low": 0.2, f"{a}_high": 0.3} for a in ("clip", "clip_eps"))
TOKENS, RESPONSES = {"token_level_loss": True}, {"token_level_loss": False}


def theirs(batch: Batch, **options: Any) -> Outcome:
    engine = options.get("is_correction_level", "off") != "off"
    value, *_ = losses.PolicyLoss(**options)(
        batch.logprobs,
        batch.proximal_logprobs if engine else batch.behavior_logprobs,
        batch.advantages[:, None].expand(batch.mask.shape),
        batch.mask.double(),
        batch.behavior_logprobs,
    )
    return outcome(value, batch)


def correction(mode: str, low: float, high: float) -> dict[str, Any]:
    return {"is_correction_level": "token", "is_correction_mode": mode, "is_correction_threshold": [low, high]}


CASES = [
    Case("ppo", "grpo", CLIP, RESPONSES | THEIR_CLIP),
    Case("ppo", "dapo", CLIP, TOKENS | THEIR_CLIP, denominator="all"),
    Case("ppo, dual_clip", "dual_clip", {**CLIP, "dual": 2.0}, RESPONSES | THEIR_CLIP | {"dual_clip": 2.0}),
    Case(
        "gspo",
        "gspo",
        {"clip_low": 0.02, "clip_high": 0.03},
        {"policy_loss_type": "gspo", "clip_eps_low": 0.02, "clip_eps_high": 0.03},
    ),
    Case(
        "ppo, is_correction_mode=clip",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        RESPONSES | THEIR_CLIP | correction("clip", 0.0, 1.5),
    ),
    Case(
        "ppo, is_correction_mode=clip",
        "decoupled_ppo",
        {**CLIP, "weight_floor": 0.7, "weight_cap": 1.5, "bound": "truncate"},
        RESPONSES | THEIR_CLIP | correction("clip", 0.7, 1.5),
    ),
    Case(
        "ppo, is_correction_mode=mask",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        RESPONSES | THEIR_CLIP | correction("mask", 0.5, 1.5),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, **case.peer_options))


AGGREGATES = [
    Pair("token_level_loss=True", "token_mean", TOKENS),
    Pair("token_level_loss=False", "seq_mean_token_mean", RESPONSES),
]


@pytest.mark.parametrize("empty", [False, True], ids=["all", "one-empty"])
@pytest.mark.parametrize("pair", AGGREGATES, ids=label)
def test_same_aggregate(batch: Batch, pair: Pair, empty: bool) -> None:
    """OpenRLHF, too, counts no response without tokens."""
    batch = without_a_response(batch) if empty else batch
    values = batch.behavior_logprobs * batch.advantages[:, None]
    expected = losses.aggregate_loss(values, batch.mask.double(), **pair.peer_options)
    same(reduction(pair.ours, values, batch), expected)


def test_same_limit_of_far_ratios(batch: Batch) -> None:
    batch = with_far_token(batch)
    same(ours(batch, "grpo", CLIP), theirs(batch, **RESPONSES, **THEIR_CLIP))
    assert ours(batch, "grpo", CLIP)[1][0, 0] == 0
