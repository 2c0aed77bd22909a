"""Our objectives against AReaL's actor loss: PPO, decoupled, with rejection, GSPO, SAPO, A-3PO and M2PO.

AReaL's proximal policy is our proximal one where its decoupled loss is compared, else all its policies before the
current one are our behavior policy.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peers import (
    SINGLE,
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

from lagbench.harness.types import Batch

PACKAGE = "areal"
# Its trainer imports controllers, workers, launchers and their configuration.
PAST = ("areal", "areal.trainer", "areal.trainer.ppo", "areal.utils")
WITHOUT = (
    "uvloop",
    "hydra",
    "hydra.core",
    "hydra.core.global_hydra",
    "torchdata",
    "torchdata.stateful_dataloader",
    "areal.api.engine_api",
    "areal.experimental",
    "areal.experimental.training_service",
    "areal.experimental.training_service.controller",
    "areal.experimental.training_service.controller.controller",
    "areal.infra",
    "areal.infra.platforms",
    "areal.infra.rpc",
    "areal.infra.rpc.serialization",
    "areal.utils.seqpack",
)
actor = peer("areal.trainer.ppo.actor", past=PAST, without=WITHOUT)
config = peer("areal.api.cli_args")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}
THEIR_CLIP = {"eps_clip": 0.2, "eps_clip_higher": 0.3}
VERSION = 10  # of the current policy; a token's is that minus its lag


def theirs(
    batch: Batch, *, decoupled: bool = False, rejection: dict[str, Any] | None = None, **options: Any
) -> Outcome:
    behavior, proximal = batch.behavior_logprobs.float(), batch.proximal_logprobs.float()
    loss = actor.grpo_loss_fn(
        batch.logprobs.float(),  # its statistics take nothing else
        torch.zeros_like(behavior),
        {
            "logprobs": behavior,
            "prox_logp": proximal if decoupled else behavior,
            "advantages": batch.advantages.float()[:, None].expand(batch.mask.shape),
            "loss_mask": batch.mask,
            "versions": VERSION - batch.lag,
        }
        | ({"prox_logp": None} if "prox_logp_method" in options else {}),
        rejection_sampling=config.RejectionSamplingConfig(**rejection) if rejection else None,
        current_version=VERSION,
        **{"eps_clip": 0.2, "eps_clip_higher": None, "c_clip": None} | options,
    )
    return outcome(loss, batch)


LOGLINEAR = {"prox_logp_method": "loglinear", "rejection": {"upper": 1.5}}
CASES = [
    Case("ppo", "grpo", CLIP, THEIR_CLIP, "token_mean"),
    Case("ppo, c_clip", "dual_clip", {**CLIP, "dual": 2.0}, {**THEIR_CLIP, "c_clip": 2.0}, "token_mean"),
    Case(
        "ppo, decoupled, mask",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "mask"},
        {**THEIR_CLIP, "decoupled": True, "rejection": {"upper": 1.5}},
        "token_mean",
    ),
    Case(
        "ppo, decoupled, clamp",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        {**THEIR_CLIP, "decoupled": True, "rejection": {"upper": 1.5, "action": "clamp"}},
        "token_mean",
    ),
    Case(
        "ppo, decoupled, clamp, lower",
        "decoupled_ppo",
        {**CLIP, "weight_floor": 0.7, "weight_cap": 1.5, "bound": "truncate"},
        {**THEIR_CLIP, "decoupled": True, "rejection": {"lower": 0.7, "upper": 1.5, "action": "clamp"}},
        "token_mean",
    ),
    Case(
        "ppo, decoupled, mask, lower",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        {**THEIR_CLIP, "decoupled": True, "rejection": {"upper": 1.5, "lower": 0.5}},
        "token_mean",
    ),
    Case(
        "ppo, sequence",
        "gspo",
        {"clip_low": 0.02, "clip_high": 0.03},
        {"eps_clip": 0.02, "eps_clip_higher": 0.03, "importance_sampling_level": "sequence"},
        "token_mean",
    ),
    Case("sapo", "sapo", {"tau_positive": 1.0, "tau_negative": 1.05}, {"use_sapo_loss": True}, "token_mean"),
    Case(
        "ppo, decoupled, m2_threshold",  # the other options as in its M2PO example
        "m2po",
        {"budget": 0.04, "variant": "areal"},
        {"decoupled": True, "m2_threshold": 0.04, "eps_clip": 0.0, "rejection": {"upper": 5.0}},
        denominator="kept",
    ),
    Case("ppo, loglinear", "a3po", {**CLIP, "weight_cap": 1.5}, {**THEIR_CLIP, **LOGLINEAR}, "token_mean"),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, **case.peer_options), **SINGLE)


def test_same_loss_and_gradient_beyond_the_cap_of_m2po(batch: Batch) -> None:
    """Its rejection at 5 acts on tokens that a wide budget leaves."""
    away = 3 * (batch.proximal_logprobs - batch.behavior_logprobs)  # [B, T]
    batch = replace(batch, proximal_logprobs=batch.behavior_logprobs + away)
    assert away[batch.mask & (batch.advantages != 0)[:, None]].exp().max() > 5
    options = {"decoupled": True, "m2_threshold": 4.0, "eps_clip": 0.0, "rejection": {"upper": 5.0}}
    case = Case("ppo, decoupled, m2_threshold", "m2po", {"budget": 4, "variant": "areal"}, options, denominator="kept")
    agree(batch, case, theirs(batch, **options), **SINGLE)


# Where we differ on purpose.


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """AReaL limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP, "token_mean"), theirs(batch, **THEIR_CLIP), **SINGLE)
