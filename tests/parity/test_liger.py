"""Our objectives against Liger's chunked GRPO loss, from the log-probabilities of the tokens on.

Liger's old policy is our behavior policy; where it corrects for a rollout engine, its old policy is our proximal one,
the engine's weight that of our behavior policy. Its KL to a reference is off.
"""

from typing import Any

import pytest
from peers import (
    MAX_TOKENS,
    Case,
    Outcome,
    agree,
    counted_by_peer_only,
    label,
    limited,
    ours,
    outcome,
    peer,
    with_far_token,
    without_a_response,
)

from lagbench.harness.types import Batch

PACKAGE = "liger-kernel"
chunked = peer("liger_kernel.chunked_loss.grpo_loss")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}
EPSILON = {"epsilon_low": 0.2, "epsilon_high": 0.3}
NARROW = {"clip_low": 0.02, "clip_high": 0.03}
SEQUENCE = {"epsilon_low": 0.02, "epsilon_high": 0.03, "importance_sampling_level": "sequence"}
GAMMA = {"power_positive": 2.0, "shape_positive": 3.0, "power_negative": 3.0, "shape_negative": 2.0}


def theirs(batch: Batch, loss_type: str, *, engine_cap: float | None = None, **options: Any) -> Outcome:
    mask = batch.mask.double()
    weight = (batch.proximal_logprobs - batch.behavior_logprobs).exp()  # [B, T]
    loss, _ = chunked.LigerFusedLinearGRPOFunction.ppo_loss_fn(
        batch.logprobs,
        mask,
        batch.advantages,
        mask,
        old_per_token_logps=batch.behavior_logprobs if engine_cap is None else batch.proximal_logprobs,
        vllm_is_ratio=None if engine_cap is None else weight.clamp(max=engine_cap),
        beta=0.0,
        loss_type=loss_type,
        max_completion_length=MAX_TOKENS,
        **options,
    )
    return outcome(loss, batch)


CASES = [
    Case("grpo", "grpo", CLIP, EPSILON),
    Case("bnpo", "grpo", CLIP, EPSILON, aggregate="token_mean"),
    Case("dr_grpo", "dr_grpo", CLIP, EPSILON),
    Case("dapo", "dapo", CLIP, EPSILON, denominator="all"),
    Case("grpo, delta", "dual_clip", {**CLIP, "dual": 2.0}, {**EPSILON, "delta": 2.0}),
    Case("cispo", "cispo", {"clip_high": 2.0, "cap": "absolute"}, {"epsilon_high": 2.0}),
    Case("cispo", "tis", {"cap": 1.5}, {"epsilon_high": 1.5}),
    Case("sapo", "sapo", {"tau_positive": 1.0, "tau_negative": 1.05}, {}),  # both defaults
    Case(
        "sapo",
        "sapo",
        {"tau_positive": 2.0, "tau_negative": 3.0},
        {"sapo_temperature_pos": 2.0, "sapo_temperature_neg": 3.0},
    ),
    Case("grpo, sequence", "gspo", NARROW, SEQUENCE),
    Case("luspo, sequence", "luspo", NARROW, SEQUENCE),
    Case("vespo", "vespo", GAMMA, {}),  # both defaults
    Case(
        "grpo, vllm_is_ratio",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        {**EPSILON, "engine_cap": 1.5},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options))


# Where we differ on purpose.


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """Liger divides by all responses, as TRL; ours counts none without tokens, as verl."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, "grpo", **EPSILON))


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """Liger limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, "grpo", **EPSILON))
