"""Our objectives and advantages against RLinf's actor losses and advantages, which insist on float32.

RLinf's old policy is our behavior policy, its proximal one ours, also where it interpolates it from versions.
"""

from typing import Any

import pytest
from peers import (
    GROUP_SIZE,
    SINGLE,
    Case,
    Outcome,
    Pair,
    advantage,
    agree,
    label,
    limited,
    ours,
    outcome,
    peer,
    same,
    with_far_token,
)
from torch import Tensor

from lagbench.harness.types import Batch

PACKAGE = "rlinf"
losses = peer("rlinf.algorithms.losses")
estimators = peer("rlinf.algorithms.advantages")
reductions = peer("rlinf.utils.utils")

CLIP, THEIR_CLIP = ({f"{a}_low": 0.2, f"{a}_high": 0.3} for a in ("clip", "clip_ratio"))
VERSION = 10  # of the current policy; a token's is that minus its lag


def theirs(batch: Batch, loss: str, **options: Any) -> Outcome:
    value, _ = getattr(losses, loss)(
        logprobs=batch.logprobs.float(),
        old_logprobs=batch.behavior_logprobs.float(),
        advantages=batch.advantages.float()[:, None].expand(batch.mask.shape),
        loss_mask=batch.mask,
        **options,
    )
    return outcome(value, batch)


TOKENS = {**THEIR_CLIP, "loss_agg_func": reductions.get_loss_agg_func("token-mean")}
RESPONSES = {**THEIR_CLIP, "loss_agg_func": reductions.get_loss_agg_func("seq-mean-token-mean")}

CASES = [
    Case("compute_ppo_actor_loss", "grpo", CLIP, RESPONSES),
    Case("compute_ppo_actor_loss", "dapo", CLIP, TOKENS, denominator="all"),
    Case(
        "compute_ppo_actor_loss, clip_ratio_c", "dual_clip", {**CLIP, "dual": 2.0}, {**RESPONSES, "clip_ratio_c": 2.0}
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options), **SINGLE)


REJECTING = {**TOKENS, "behave_weight_threshold": 1.5}
DECOUPLED_CASES = [
    Case(
        "compute_decoupled_ppo_actor_loss",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "mask"},
        REJECTING,
        "token_mean",
        "kept",
    ),
    Case(
        "compute_decoupled_ppo_actor_loss, versions",
        "a3po",
        {**CLIP, "weight_cap": 1.5},
        REJECTING,
        "token_mean",
        "kept",
    ),
]


@pytest.mark.parametrize("case", DECOUPLED_CASES, ids=label)
def test_same_decoupled_loss_and_gradient(batch: Batch, case: Case) -> None:
    anchor = (
        {"versions": VERSION - batch.lag, "current_version": VERSION}
        if "versions" in case.theirs
        else {"proximal_logprobs": batch.proximal_logprobs.float()}
    )
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **anchor, **case.peer_options), **SINGLE)


def estimate(batch: Batch, name: str, **options: Any) -> Tensor:
    """RLinf's advantages [B, T]; it has time first, and rewards [1, B]."""
    found, _ = getattr(estimators, name)(
        rewards=batch.rewards.float()[None], loss_mask=batch.mask.T, group_size=GROUP_SIZE, **options
    )
    return found.T.double()


ADVANTAGES = [Pair("compute_grpo_advantages", "group_mean_std")]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, pair: Pair) -> None:
    same(advantage(batch, pair.ours)[:, None] * batch.mask, estimate(batch, pair.theirs, **pair.peer_options), **SINGLE)


# Where we differ on purpose.


def test_differs_in_rejected_tokens(batch: Batch) -> None:
    """RLinf takes rejected tokens out of the mean, as verl; ours keeps them in it, as AReaL: `denominator="kept"`."""
    _, expected = theirs(
        batch, "compute_decoupled_ppo_actor_loss", proximal_logprobs=batch.proximal_logprobs.float(), **REJECTING
    )
    options = {**CLIP, "weight_cap": 1.5, "bound": "mask"}
    weight = (batch.proximal_logprobs - batch.behavior_logprobs).exp()
    share = (weight <= 1.5)[batch.mask].double().mean()
    assert share < 0.9
    same(ours(batch, "decoupled_ppo", options, "token_mean", "all")[1], expected * share, **SINGLE)


def test_differs_in_the_deviation_of_reinforce_plus_plus(batch: Batch) -> None:
    """RLinf's reinforce++ divides by the biased standard deviation of tokens, ours and verl's by the unbiased one."""
    expected = estimate(batch, "compute_reinpp_advantages") * batch.mask
    tokens = batch.mask.sum()
    mine = advantage(batch, "reinforce_plus_plus") * (tokens / (tokens - 1)) ** 0.5
    same(mine[:, None] * batch.mask, expected, **SINGLE)


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """RLinf limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, "compute_ppo_actor_loss", **RESPONSES), **SINGLE)
