"""Our objectives, advantages and aggregates against SkyRL's policy losses, estimators and loss reductions.

SkyRL sums its losses and reduces by scaling advantages beforehand, so both are run together here. Its ratios are taken
in float32. Its old policy is our behavior policy; where it corrects for a rollout engine, its old policy is our
proximal one, the engine our behavior policy.
"""

from typing import Any

import pytest
import torch
from peers import (
    FAR,
    GROUP_SIZE,
    MAX_TOKENS,
    ROWS,
    SINGLE,
    Case,
    Outcome,
    Pair,
    advantage,
    agree,
    counted_by_peer_only,
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

PACKAGE = "skyrl"
# Its backends package imports a server, skyrl.train a trainer.
PAST = ("skyrl.backends", "skyrl.backends.skyrl_train", "skyrl.backends.skyrl_train.utils", "skyrl.train")
ppo = peer("skyrl.backends.skyrl_train.utils.ppo_utils", past=PAST)
config = peer("skyrl.train.config")

CLIP, THEIR_CLIP = ({f"{a}_low": 0.2, f"{a}_high": 0.3} for a in ("clip", "eps_clip"))
NARROW, THEIR_NARROW = ({f"{a}_low": 0.02, f"{a}_high": 0.03} for a in ("clip", "eps_clip"))


def scaled(batch: Batch, advantages: Tensor, reduction: str) -> Tensor:
    """SkyRL's advantages [B, T] for a reduction of its own, summed over tokens afterwards."""
    return ppo.apply_loss_reduction_to_advantages_minibatch(
        advantages[:, None].expand(batch.mask.shape),
        batch.mask.double(),
        reduction,
        micro_batch_size=ROWS,
        max_seq_len=MAX_TOKENS,
        prompt_boundaries=[(start, start + GROUP_SIZE) for start in range(0, ROWS, GROUP_SIZE)],
    )


def theirs(batch: Batch, loss: str, reduction: str, *, engine: dict[str, Any] | None = None, **options: Any) -> Outcome:
    """`engine`: the options of a correction for its mismatch, `options` those of the algorithm."""
    algorithm = config.AlgorithmConfig(
        policy_loss_type=loss,
        loss_reduction=reduction,
        off_policy_correction=config.OffPolicyCorrectionConfig(**{"tis_ratio_type": None} | (engine or {})),
        **options,
    )
    value, _ = ppo.PolicyLossRegistry.get(loss)(
        batch.logprobs,
        batch.behavior_logprobs if engine is None else batch.proximal_logprobs,
        scaled(batch, batch.advantages, reduction),
        algorithm,
        batch.mask.double(),
        batch.behavior_logprobs,
    )
    return outcome(value, batch)


TOKENS, RESPONSES = {"reduction": "token_mean"}, {"reduction": "sequence_mean"}


def token_tis(cap: float, **mask: float) -> dict[str, Any]:
    return {"engine": {"tis_ratio_type": "token", "token_tis_ratio_clip_high": cap, **mask}}


CASES = [
    Case("regular", "grpo", CLIP, RESPONSES | THEIR_CLIP),
    Case("regular", "dapo", CLIP, TOKENS | THEIR_CLIP, denominator="all"),
    Case("regular", "dr_grpo", CLIP, {"reduction": "seq_mean_token_sum_norm"} | THEIR_CLIP),
    Case("dual_clip", "dual_clip", {**CLIP, "dual": 2.0}, RESPONSES | THEIR_CLIP | {"clip_ratio_c": 2.0}),
    Case("sapo", "sapo", {}, RESPONSES),  # both defaults
    Case("gspo", "gspo", NARROW, RESPONSES | THEIR_NARROW),
    Case("cispo", "cispo", {"clip_low": 0.0, "clip_high": 5.0}, TOKENS),  # SkyRL's defaults
    Case("cispo", "cispo", CLIP, TOKENS | {"cispo": config.CISPOConfig(0.2, 0.3)}),
    Case("rollout_is", "rollout_is", CLIP, TOKENS | THEIR_CLIP),
    Case("importance_sampling", "is_pg", {}, TOKENS),
    Case("dppo, binary_tv", "dppo", {"low": 0.2, "high": 0.2}, TOKENS),  # both defaults
    Case(
        "dppo, binary_tv",
        "dppo",
        {"low": 0.1, "high": 0.3},
        TOKENS | {"dppo": config.DPPOConfig("binary_tv", 0.1, 0.3)},
    ),
    Case(
        "dppo, binary_kl",
        "dppo",
        {"kl": 0.05, "divergence": "kl"},
        TOKENS | {"dppo": config.DPPOConfig("binary_kl", 0.05, 0.05)},
    ),
    Case(
        "regular, tis_ratio_type=token",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        RESPONSES | THEIR_CLIP | token_tis(1.5),
    ),
    Case(
        "regular, token_mask",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        RESPONSES | THEIR_CLIP | token_tis(FAR, token_mask_is_threshold_low=0.5, token_mask_is_threshold_high=1.5),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options), **SINGLE)


def estimate(batch: Batch, name: str, **options: Any) -> Tensor:
    """SkyRL's advantages [B, T], 0 off the mask; the reward lies on a response's last token."""
    mask = batch.mask.double()
    found, _ = ppo.AdvantageEstimatorRegistry.get(name)(
        token_level_rewards=rewards_of_tokens(batch),
        response_mask=mask,
        index=batch.group.numpy(),
        gamma=1.0,
        **options,
    )
    return found


ADVANTAGES = [
    Pair("grpo", "group_mean_std"),
    Pair("grpo, grpo_norm_by_std=False", "group_mean", {"grpo_norm_by_std": False}),
    Pair("rloo", "leave_one_out"),
    Pair("reinforce++", "reinforce_plus_plus"),
    Pair("maxrl", "maxrl"),  # it adds 1e-6 to the mean
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, pair: Pair) -> None:
    expected = estimate(batch, pair.theirs.partition(",")[0], **pair.peer_options)
    same(advantage(batch, pair.ours)[:, None] * batch.mask, expected, **SINGLE)


AGGREGATES = [
    Pair("token_mean", "token_mean"),
    Pair("sequence_mean", "seq_mean_token_mean"),
    Pair("seq_mean_token_sum_norm", "fixed_length"),
    Pair("prompt_mean", "prompt_mean"),
]


@pytest.mark.parametrize("pair", AGGREGATES, ids=label)
def test_same_aggregate(batch: Batch, pair: Pair) -> None:
    expected = (scaled(batch, batch.advantages, pair.theirs) * batch.behavior_logprobs)[batch.mask].sum()
    losses = batch.advantages[:, None] * batch.behavior_logprobs
    same(reduction(pair.ours, losses, batch), expected)


def test_same_limit_of_far_ratios(batch: Batch) -> None:
    batch = with_far_token(batch)
    same(ours(batch, "grpo", CLIP), theirs(batch, "regular", **RESPONSES, **THEIR_CLIP), **SINGLE)
    assert ours(batch, "grpo", CLIP)[1][0, 0] == 0


# Where we differ on purpose.


def test_differs_in_kl_cov(batch: Batch) -> None:
    """SkyRL's reduction does not reach the penalty of kl_cov, a sum over tokens; ours is reduced with the loss."""
    tokens = float(batch.mask.sum())
    expected = theirs(batch, "kl_cov", **TOKENS)  # with its defaults, 0.2 and 1
    case = Case("kl_cov", "kl_cov", {"share": 0.2, "coefficient": tokens}, {})
    agree(batch, case, expected, **SINGLE)


def test_differs_in_clip_cov(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """SkyRL's clip_cov sees advantages already reduced, so its bounds are smaller by the number of tokens."""
    monkeypatch.setattr(ppo.torch, "randperm", torch.arange)  # both pick at random: here tokens are taken as they come
    tokens = float(batch.mask.sum())
    clip_cov = config.ClipCovConfig(0.1, 0.1 / tokens, 0.6 / tokens)
    options = {"share": 0.1, "cov_low": 0.1, "cov_high": 0.6, **CLIP}
    expected = theirs(batch, "clip_cov", clip_cov=clip_cov, **TOKENS, **THEIR_CLIP)
    agree(in_order(batch), Case("clip_cov", "clip_cov", options, {}), expected, **SINGLE)


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """SkyRL divides by all responses; ours counts none without tokens, as verl."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, "regular", **RESPONSES, **THEIR_CLIP), **SINGLE)


def test_differs_in_is_pg_of_a_far_ratio(batch: Batch) -> None:
    """SkyRL's importance_sampling has no limit for log-ratios; ours ends at 20 nats, as Trinity-RFT's."""
    batch = with_far_token(batch)
    limited(ours(batch, "is_pg", {}), theirs(batch, "importance_sampling", **TOKENS), **SINGLE)
