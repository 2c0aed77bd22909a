"""Our objectives, advantages and aggregates against verl's: its policy losses, estimators, corrections and agg_loss.

verl's old policy is our behavior policy (its bypass mode). Where it corrects for a rollout engine, its old policy is
our proximal one, the engine our behavior policy.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peers import (
    FAR,
    MAX_TOKENS,
    ROWS,
    Case,
    Outcome,
    Pair,
    advantage,
    agree,
    in_order,
    label,
    limited,
    ours,
    outcome,
    peer,
    reduction,
    rewards_of_tokens,
    same,
    with_far_token,
    without_a_response,
)
from torch import Tensor

from lagbench.harness.types import Batch

PACKAGE = "verl"
core = peer("verl.trainer.ppo.core_algos")
correction = peer("verl.trainer.ppo.rollout_corr_helper")
config = peer("verl.workers.config")
algorithm = peer("verl.trainer.config")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}
THEIR_CLIP = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.3}
NARROW, THEIR_NARROW = ({f"clip_{a}low": 0.02, f"clip_{a}high": 0.03} for a in ("", "ratio_"))
BAND = {"rollout_rs_threshold": "0.8_1.25"}
ICEPOP = {"loss_type": "reinforce", "rollout_is": "token", "rollout_is_threshold": "0.5_1.3"}
BYPASS = {"loss_type": "reinforce", "rollout_is_threshold": 1.5}


def theirs(
    batch: Batch, loss: str, *, mode: str, engine: dict[str, Any] | None = None, policy: Any = None, **options: Any
) -> Outcome:
    """`engine`: the options of a correction for its mismatch, `policy` those of the loss, `options` of the actor."""
    mask, weights = batch.mask.double(), None
    if engine is not None:
        found, mask, _ = correction.compute_rollout_correction_and_rejection_mask(
            batch.proximal_logprobs, batch.behavior_logprobs, mask, **engine
        )
        weights = found.batch["rollout_is_weights"] if found else None
    actor = config.ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=config.PolicyLossConfig(**policy or {}),
        global_batch_info={"loss_scale_factor": MAX_TOKENS},  # of seq-mean-token-sum-norm; others do not read it
        **options,
    )
    value, _ = core.get_policy_loss_fn(loss)(
        old_log_prob=batch.behavior_logprobs if engine is None else batch.proximal_logprobs,
        log_prob=batch.logprobs,
        advantages=batch.advantages[:, None].expand(mask.shape),
        response_mask=mask,
        loss_agg_mode=mode,
        config=actor,
        rollout_is_weights=weights,
    )
    return outcome(value, batch)


PPO = {**THEIR_CLIP, "clip_ratio_c": FAR}
TOKENS, RESPONSES, SUMS = "token-mean", "seq-mean-token-mean", "seq-mean-token-sum"

CASES = [
    Case("vanilla", "dual_clip", {**CLIP, "dual": 2.0}, {"mode": RESPONSES, **THEIR_CLIP, "clip_ratio_c": 2.0}),
    Case("vanilla", "grpo", CLIP, {"mode": RESPONSES, **PPO}),
    Case("vanilla", "dapo", CLIP, {"mode": TOKENS, **PPO}, denominator="all"),
    Case("vanilla", "dr_grpo", CLIP, {"mode": "seq-mean-token-sum-norm", **PPO}),
    Case(
        "vanilla, rollout_is=token",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        {"mode": RESPONSES, "engine": {"rollout_is": "token", "rollout_is_threshold": 1.5}, **PPO},
    ),
    Case(
        "vanilla, rollout_is=token, icepop",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        {"mode": RESPONSES, "engine": {"rollout_is": "token", "rollout_is_threshold": "0.5_1.5"}, **PPO},
    ),
    Case(
        "dppo_tv",
        "dppo",
        {"low": 0.1, "high": 0.15, "cap": 1.5, "surrogate": "truncated"},
        {"mode": TOKENS, "clip_ratio_low": 0.1, "clip_ratio_high": 0.15, "clip_ratio_c": 1.5},
    ),
    Case(
        "dppo_kl",
        "dppo",
        {"kl": 0.05, "cap": 1.5, "divergence": "kl", "surrogate": "truncated"},
        {"mode": TOKENS, "clip_ratio_low": 0.05, "clip_ratio_high": 0.05, "clip_ratio_c": 1.5},
    ),
    Case("gspo", "gspo", NARROW, {"mode": RESPONSES, **THEIR_NARROW}),
    Case(
        "sapo", "sapo", {"tau_positive": 2.0, "tau_negative": 3.0}, {"mode": RESPONSES, "tau_pos": 2.0, "tau_neg": 3.0}
    ),
    Case("sapo", "sapo", {}, {"mode": RESPONSES}),  # both defaults
    Case("gpg", "policy_gradient", {}, {"mode": RESPONSES}),
    Case("gpg", "rloo", {}, {"mode": SUMS}),
    Case("geo_mean", "gmpo", {"clip_low": 0.4, "clip_high": 0.3}, {"mode": "", **THEIR_CLIP, "clip_ratio_low": 0.4}),
    Case(
        "dro",
        "kimi",
        {"tau": 0.3, "level": "token"},
        {"mode": TOKENS, "policy": {"dro_beta": 0.3}},
        aggregate="token_mean",
    ),
    Case("cispo", "cispo", CLIP, {"mode": TOKENS, **THEIR_CLIP}),
    Case(
        "kl_cov",
        "kl_cov",
        {"share": 0.2, "coefficient": 0.3},
        {"mode": TOKENS, "policy": {"kl_cov_ratio": 0.2, "ppo_kl_coef": 0.3}},
    ),
    Case("kl_cov", "kl_cov", {"coefficient": 0.1}, {"mode": TOKENS}),  # verl's configuration
    Case(
        "bypass_mode, rollout_is=token",
        "tis",
        {"cap": 1.5},
        {"mode": TOKENS, "policy": {"rollout_correction": BYPASS | {"rollout_is": "token"}}},
    ),
    Case(
        "bypass_mode, rollout_is=sequence",
        "tis",
        {"cap": 1.5, "level": "sequence"},
        {"mode": TOKENS, "policy": {"rollout_correction": BYPASS | {"rollout_is": "sequence"}}},
    ),
    Case(
        "bypass_mode, rollout_is=token, icepop",
        "rollout_is",
        {"clip_low": 0.5, "clip_high": 0.3},
        {"mode": TOKENS, "policy": {"rollout_correction": ICEPOP}},
    ),
    Case(
        "bypass_mode, ppo_clip, seq_mean_k1",  # bounds of the inverse ratio
        "geo_mask",
        {**CLIP, "low": 0.8, "high": 1.25},
        {"mode": TOKENS, **PPO, "policy": {"rollout_correction": {"rollout_rs": "seq_mean_k1", **BAND}}},
        denominator="kept",
    ),
    Case(
        "bypass_mode, ppo_clip",
        "dual_clip",
        {**CLIP, "dual": 2.0},
        {"mode": RESPONSES, **THEIR_CLIP, "clip_ratio_c": 2.0, "policy": {"rollout_correction": {}}},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options))


def test_same_loss_and_gradient_of_clip_cov(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pick tokens at random: here verl takes them as they come, and our numbers grow from token to token."""
    monkeypatch.setattr(core.torch, "randperm", torch.arange)
    batch = in_order(batch)
    options = {"share": 0.1, "cov_low": 0.1, "cov_high": 0.6, **CLIP}
    policy = {"clip_cov_ratio": 0.1, "clip_cov_lb": 0.1, "clip_cov_ub": 0.6}
    case = Case("clip_cov", "clip_cov", options, {"mode": TOKENS, "policy": policy, **THEIR_CLIP})
    agree(batch, case, theirs(batch, case.theirs, **case.peer_options))


def estimate(batch: Batch, name: str, **options: Any) -> Tensor:
    """verl's advantages [B, T], 0 off the mask; the reward lies on a response's last token."""
    mask = batch.mask.double()
    found, _ = core.get_adv_estimator_fn(name)(
        token_level_rewards=rewards_of_tokens(batch),
        response_mask=mask,
        index=batch.group.numpy(),
        config=algorithm.AlgoConfig(),
        **options,
    )
    return found


ADVANTAGES = [
    Pair("grpo", "group_mean_std"),
    Pair("grpo_vectorized", "group_mean_std"),
    Pair("grpo, norm_adv_by_std_in_grpo=False", "group_mean", {"norm_adv_by_std_in_grpo": False}),
    Pair("rloo", "leave_one_out"),
    Pair("rloo_vectorized", "leave_one_out"),
    Pair("opo", "opo"),
    Pair("reinforce_plus_plus", "reinforce_plus_plus"),
    Pair("reinforce_plus_plus_baseline", "reinforce_plus_plus_baseline"),
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, pair: Pair) -> None:
    expected = estimate(batch, pair.theirs.partition(",")[0], **pair.peer_options)
    same(advantage(batch, pair.ours)[:, None] * batch.mask, expected)


AGGREGATES = [
    Pair("token-mean", "token_mean"),
    Pair("token-sum", "token_sum"),
    Pair("seq-mean-token-sum", "seq_mean_token_sum"),
    Pair("seq-mean-token-mean", "seq_mean_token_mean"),
    Pair("seq-mean-token-sum-norm", "fixed_length", {"loss_scale_factor": MAX_TOKENS}),
]


@pytest.mark.parametrize("empty", [False, True], ids=["all", "one-empty"])
@pytest.mark.parametrize("pair", AGGREGATES, ids=label)
def test_same_aggregate(batch: Batch, pair: Pair, empty: bool) -> None:
    """verl, too, counts no response without tokens."""
    batch = without_a_response(batch) if empty else batch
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    expected = core.agg_loss(losses, batch.mask.double(), pair.theirs, **pair.peer_options)
    same(reduction(pair.ours, losses, batch), expected)


def test_same_gpg(batch: Batch) -> None:
    """verl counts rewards that are not zero for alpha: here these are the responses of the groups that teach."""
    rewards = torch.tensor([1, 2, 1, 0, 0, 0, 0.5, 1, 3, 2, 2, 1]).double()
    batch = replace(batch, rewards=rewards)
    case = Case("gpg", "gpg", {}, {"mode": TOKENS})
    scaled = replace(batch, advantages=estimate(batch, "gpg")[:, 0])
    agree(replace(batch, advantages=advantage(batch, "group_mean")), case, theirs(scaled, "gpg", **case.peer_options))


# Where we differ on purpose.


def test_differs_in_gpg(batch: Batch) -> None:
    """verl's gpg counts rewards that are not zero; the paper's alpha and ours responses in groups that teach."""
    alpha = ROWS / (batch.rewards != 0).sum()  # 12 / 7
    same(estimate(batch, "gpg"), alpha * batch.advantages[:, None] * batch.mask)
    loss, gradient = ours(batch, "policy_gradient", {}, "token_mean")
    taught = ROWS / (batch.group != 1).sum()  # 12 / 9: group 1 has equal rewards
    assert taught != alpha
    same(ours(batch, "gpg", {}), (taught * loss, taught * gradient))


def test_differs_in_rejected_tokens(batch: Batch) -> None:
    """verl's rollout_rs takes rejected tokens out of the mean, ours keeps them in unless `denominator="kept"`."""
    options = {**CLIP, "low": 0.5, "high": 1.25}
    engine = {
        "rollout_is": "token",
        "rollout_is_threshold": FAR,
        "rollout_rs": "token_k1",
        "rollout_rs_threshold": "0.8_2",  # of the inverse ratio, mu / pi_prox
    }
    expected = theirs(batch, "vanilla", mode=RESPONSES, engine=engine, **PPO)
    agree(batch, Case("vanilla, token_k1", "icepop", options, {}, denominator="kept"), expected)
    assert (ours(batch, "icepop", options)[1] - expected[1]).abs().max() > 1e-3


def test_differs_in_a_group_of_one(batch: Batch) -> None:
    """verl leaves a response alone in its group its reward, but for rloo_vectorized; ours is its own baseline."""
    alone = replace(batch, group=torch.arange(ROWS))
    for name, mine in (("grpo", "group_mean_std"), ("rloo", "leave_one_out"), ("opo", "opo")):
        same(estimate(alone, name), batch.rewards[:, None] * batch.mask, rtol=1e-5, atol=0)
        assert not advantage(alone, mine).any()
    assert not estimate(alone, "rloo_vectorized").any()


def test_differs_in_kl_cov_without_covariance(batch: Batch) -> None:
    """verl's kl_cov penalizes its share of tokens whatever their covariance; ours none that lowers it."""
    still = replace(batch, advantages=torch.zeros_like(batch.advantages))
    assert theirs(still, "kl_cov", mode=TOKENS)[1].abs().max() > 1e-4
    assert not ours(still, "kl_cov", {})[1].any()


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """verl limits no log-ratio in kl_cov, clip_cov, geo_mean and dro; ours ends at 20 nats in these, too."""
    batch = with_far_token(batch)
    policy = {"kl_cov_ratio": 0.2, "ppo_kl_coef": 1.0}
    expected = theirs(batch, "kl_cov", mode=TOKENS, policy=policy)
    limited(ours(batch, "kl_cov", {"share": 0.2}), expected)


def test_differs_in_gspo_of_a_far_ratio(batch: Batch) -> None:
    """verl's gspo has no gradient above exp(10) for a response, SkyRL's neither; our limit is 20 nats for a token."""
    batch = with_far_token(batch, nats=15, row=2)
    assert batch.mask[2].sum() == 1
    _, expected = theirs(batch, "gspo", mode=RESPONSES, **THEIR_NARROW)
    _, gradient = ours(batch, "gspo", NARROW)
    assert expected[2, 0] == 0
    same(gradient[2, 0], -batch.advantages[2] * torch.e**15 / ROWS)  # 15 nats over one token
    gradient[2, 0] = 0
    same(gradient, expected)


def test_same_limit_of_far_ratios(batch: Batch) -> None:
    batch = with_far_token(batch)
    same(ours(batch, "grpo", CLIP), theirs(batch, "vanilla", mode=RESPONSES, **PPO))
    assert ours(batch, "grpo", CLIP)[1][0, 0] == 0
