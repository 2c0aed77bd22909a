"""Our objectives, advantages and aggregates against those of Trinity-RFT.

Trinity-RFT's old policy is the one that drew the data, our behavior policy.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peers import (
    FAR,
    MAX_TOKENS,
    ROWS,
    SINGLE,
    Case,
    Outcome,
    Pair,
    advantage,
    agree,
    counted_by_peer_only,
    label,
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

PACKAGE = "trinity-rft"
losses = peer("trinity.algorithm.policy_loss_fn")
estimators = peer("trinity.algorithm.advantage_fn")
utils = peer("trinity.algorithm.utils")
experience = peer("trinity.common.experience")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}
THEIR_CLIP = {"clip_range_low": 0.2, "clip_range_high": 0.3}
REC = {"epsilon_low": 0.2, "epsilon_high": 0.3}
PPO = {**THEIR_CLIP, "clip_ratio_c": FAR}
RESPONSES, SUMS = {"loss_agg_mode": "seq-mean-token-mean"}, {"loss_agg_mode": "seq-mean-token-sum"}


def theirs(batch: Batch, loss: str, **options: Any) -> Outcome:
    """With Trinity-RFT's defaults, where no option is given."""
    function = losses.POLICY_LOSS_FN.get(loss)
    value, _ = function(**{**function.default_args(), **options})(
        log_prob=batch.logprobs,  # the names of the engine that it runs on, verl's
        old_log_probs=batch.behavior_logprobs,
        response_mask=batch.mask.double(),
        advantages=batch.advantages[:, None].expand(batch.mask.shape),
    )
    return outcome(value, batch)


CASES = [
    Case("ppo", "dual_clip", {**CLIP, "dual": 2.0}, {**RESPONSES, **THEIR_CLIP, "clip_ratio_c": 2.0}),
    Case("ppo", "grpo", CLIP, RESPONSES | PPO),
    Case("ppo", "dapo", CLIP, PPO, denominator="all"),
    Case(
        "ppo, enable_sequence_masking",
        "opsm",
        {**CLIP, "delta": 0.1},
        {**RESPONSES, **PPO, "enable_sequence_masking": True},
    ),
    Case("gspo", "gspo", {}, {}),  # both defaults
    Case("gspo", "gspo", {"clip_low": 0.02, "clip_high": 0.03}, {"clip_range_low": 0.02, "clip_range_high": 0.03}),
    Case("opmd", "opmd", {"tau": 1.0}, {}),
    Case("opmd", "opmd", {"tau": 0.5}, {"tau": 0.5}),
    Case("opmd", "asymre", {}, {"tau": 0.0}),
    Case("cispo", "cispo", {"clip_low": 1.0, "clip_high": 0.28}, {}),
    Case("cispo", "cispo", CLIP, THEIR_CLIP),
    Case(
        "cispo, enable_mask_clip",
        "cispo",
        {**CLIP, "outside": "removed"},
        {**THEIR_CLIP, "enable_mask_clip": True, "mask_clip_range_low": 0.2, "mask_clip_range_high": 0.3},
    ),
    Case("sppo", "sppo", {}, {}),
    Case("sppo", "sppo", {"clip": 0.5}, {"epsilon": 0.5}),
    Case("importance_sampling", "is_pg", {}, {}),
    Case("topr", "topr", {"level": "token"}, SUMS),
    Case("rec", "policy_gradient", {}, {}, "token_mean"),
    Case(
        "rec, k2", "kimi", {"tau": 0.6, "level": "token"}, {"regularizer": "k2", "regularizer_coef": 0.3}, "token_mean"
    ),
    Case(
        "rec, two-side",
        "rollout_is",
        CLIP,
        {"clip_mode": "two-side", "weight": "importance_sampling", "epsilon_low": 0.2, "epsilon_high": 0.3},
    ),
    Case("rec", "rec", {"clip": "none"}, {}),  # Trinity-RFT's defaults
    Case("rec, one-side", "rec", {"clip": "one_side", **CLIP}, {"clip_mode": "one-side", **REC}),
    Case("rec, two-side", "rec", {"clip": "two_side", **CLIP}, {"clip_mode": "two-side", **REC}),
    Case(
        "rec, ring",
        "rec",
        {"clip": "ring", **CLIP, "ring_low": 0.4, "ring_high": 0.6},
        {"clip_mode": "ring", **REC, "epsilon_low_prime": 0.4, "epsilon_high_prime": 0.6},
    ),
    Case(
        "rec, one-side, importance_sampling",
        "rec",
        {"clip": "one_side", "weight": "ratio", **CLIP},
        {"clip_mode": "one-side", "weight": "importance_sampling", **REC},
    ),
    Case(
        "rec, gspo-one-side",
        "rec",
        {"clip": "sequence_one_side", "weight": "sequence", **CLIP},
        {"clip_mode": "gspo-one-side", "weight": "gspo_importance_sampling", **REC},
        "seq_mean_token_mean",
    ),
    Case(
        "rec, advantage",
        "rec",
        {"clip": "none", "weight": "advantage", "temperature": 0.5},
        {"weight": "advantage", "temp": 0.5},
    ),
    Case(
        "rec, forward-kl",
        "rec",
        {"clip": "none", "forward_kl": 0.3},
        {"regularizer": "forward-kl", "regularizer_coef": 0.3},
    ),
    Case("rec, k2", "rec", {"clip": "none", "k2": 0.3}, {"regularizer": "k2", "regularizer_coef": 0.3}),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options))


def estimate(batch: Batch, name: str, **options: Any) -> Tensor:
    """Trinity-RFT's advantages [B], computed in float32 group by group."""
    rows = [
        experience.Experience(
            eid=experience.EID(task=int(group), run=row),
            tokens=torch.zeros(2, dtype=torch.int64),
            prompt_length=1,
            action_mask=torch.ones(1),
            reward=float(reward),
        )
        for row, (group, reward) in enumerate(zip(batch.group, batch.rewards, strict=True))
    ]
    function = estimators.ADVANTAGE_FN.get(name)
    done, _ = function(**{**function.default_args(), **options})(rows)
    return torch.cat([one.advantages for one in sorted(done, key=lambda one: one.eid.run)]).double()


ADVANTAGES = [
    Pair("grpo", "group_mean_std"),
    Pair("grpo, std_cal_level=batch", "batch_std", {"std_cal_level": "batch"}),
    Pair("opmd", "opmd"),
    Pair("opmd, logavgexp", "opmd:1", {"opmd_baseline": "logavgexp"}),
    Pair("opmd, logavgexp, tau=0.5", "opmd:0.5", {"opmd_baseline": "logavgexp", "tau": 0.5}),
    Pair("asymre", "asymre"),
    Pair("asymre, baseline_shift=-0.3", "asymre:-0.3", {"baseline_shift": -0.3}),
    Pair("rec", "group_mean"),
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, pair: Pair) -> None:
    same(advantage(batch, pair.ours), estimate(batch, pair.theirs.partition(",")[0], **pair.peer_options), **SINGLE)


def estimate_in_trainer(batch: Batch, name: str) -> Tensor:
    """The advantages [B, T] that Trinity-RFT computes on the whole batch."""
    mask = batch.mask.double()
    rows = {"token_level_rewards": rewards_of_tokens(batch), "response_mask": mask}
    function = estimators.ADVANTAGE_FN.get(name)
    done, _ = function(**function.default_args())(
        SimpleNamespace(batch=rows, non_tensor_batch={"uid": batch.group.tolist()})
    )
    return done.batch["advantages"]


IN_TRAINER = [
    Pair("grpo_verl", "group_mean_std"),
    Pair("rloo", "leave_one_out"),
    Pair("reinforceplusplus", "reinforce_plus_plus"),
]


@pytest.mark.parametrize("pair", IN_TRAINER, ids=label)
def test_same_advantages_in_the_trainer(batch: Batch, pair: Pair) -> None:
    same(advantage(batch, pair.ours)[:, None] * batch.mask, estimate_in_trainer(batch, pair.theirs), **SINGLE)


AGGREGATES = [
    Pair("token-mean", "token_mean"),
    Pair("seq-mean-token-sum", "seq_mean_token_sum"),
    Pair("seq-mean-token-mean", "seq_mean_token_mean"),
]


@pytest.mark.parametrize("pair", AGGREGATES, ids=label)
def test_same_aggregate(batch: Batch, pair: Pair) -> None:
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    expected = utils.aggregate_loss(losses, batch.mask.double(), pair.theirs)
    same(reduction(pair.ours, losses, batch), expected)


# Where we differ on purpose.


def test_differs_in_the_length_of_dr_grpo(batch: Batch) -> None:
    """Trinity-RFT's seq-mean-token-sum-norm sums over responses; ours is a mean over them, as in the paper's code."""
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    expected = utils.aggregate_loss(losses, batch.mask.double(), "seq-mean-token-sum-norm", normalizer=MAX_TOKENS)
    same(reduction("fixed_length", losses, batch) * ROWS, expected)


def test_differs_in_sapo(batch: Batch) -> None:
    """Trinity-RFT's sapo weighs log pi by the gate; in the paper the gate is the loss, its derivative the weight."""
    value, gradient = theirs(batch, "sapo", **RESPONSES)
    mine, weights = ours(batch, "sapo", {})
    assert (mine - value).abs() > 1e-3
    assert (weights - gradient).abs().max() > 1e-3


def test_differs_in_topr(batch: Batch) -> None:
    """Trinity-RFT's topr cuts each token's ratio at 1; the paper and ours, unless `level="token"`, the response's."""
    _, gradient = theirs(batch, "topr", **SUMS)
    _, whole = ours(batch, "topr", {})
    positive = (batch.advantages >= 0)[:, None]
    same(whole.where(positive, 0), gradient.where(positive, 0))
    assert (whole - gradient).abs().max() > 1e-3


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """Trinity-RFT divides by all responses; ours counts none without tokens, as verl."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, "ppo", **RESPONSES, **PPO))


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """Trinity-RFT limits log-ratios in ppo and importance_sampling only; ours ends at 20 nats everywhere."""
    batch = with_far_token(batch)
    same(ours(batch, "grpo", CLIP), theirs(batch, "ppo", **RESPONSES, **PPO))
    same(ours(batch, "is_pg", {}), theirs(batch, "importance_sampling"))
    _, gradient = theirs(batch, "rec", weight="importance_sampling")
    mine = ours(batch, "rec", {"clip": "none", "weight": "ratio"})
    same(mine[1][0, 0] * torch.e**5, gradient[0, 0])  # 25 nats against 20
    same(mine[1][1:], gradient[1:])


def test_differs_in_the_deviation_of_rec(batch: Batch) -> None:
    """Trinity-RFT's rec divides by the biased standard deviation, ours and its grpo by the unbiased one."""
    expected = estimate(batch, "rec", std_normalize=True)
    same(advantage(batch, "group_mean_std") * (3 / 2) ** 0.5, expected, rtol=1e-4, atol=1e-6)  # groups of 3
