"""Our objectives, advantages and aggregates against Trinity-RFT's policy losses, advantage functions and aggregate_loss.

Trinity-RFT's old policy is the one that drew the data, our behavior policy.
"""

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
    label,
    ours,
    outcome,
    peer,
    same,
)
from torch import Tensor

from lagbench.harness.learn.aggregate import make_aggregate
from lagbench.harness.types import Batch

losses = peer("trinity.algorithm.policy_loss_fn")
estimators = peer("trinity.algorithm.advantage_fn")
utils = peer("trinity.algorithm.utils")
experience = peer("trinity.common.experience")

CLIP = {"clip_low": 0.2, "clip_high": 0.3}
THEIR_CLIP = {"clip_range_low": 0.2, "clip_range_high": 0.3}
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
    Case("sppo", "sppo", {}, {}),
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
    Pair("opmd", "group_mean"),
    Pair("opmd, logavgexp", "opmd", {"opmd_baseline": "logavgexp"}),
    Pair("opmd, logavgexp, tau=0.5", "opmd:0.5", {"opmd_baseline": "logavgexp", "tau": 0.5}),
    Pair("asymre", "asymre"),
    Pair("asymre, baseline_shift=-0.3", "asymre:-0.3", {"baseline_shift": -0.3}),
    Pair("rec", "group_mean"),
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, pair: Pair) -> None:
    same(advantage(batch, pair.ours), estimate(batch, pair.theirs.partition(",")[0], **pair.peer_options), **SINGLE)


AGGREGATES = [
    Pair("token-mean", "token_mean"),
    Pair("seq-mean-token-sum", "seq_mean_token_sum"),
    Pair("seq-mean-token-mean", "seq_mean_token_mean"),
]


@pytest.mark.parametrize("pair", AGGREGATES, ids=label)
def test_same_aggregate(batch: Batch, pair: Pair) -> None:
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    expected = utils.aggregate_loss(losses, batch.mask.double(), pair.theirs)
    same(make_aggregate(pair.ours, MAX_TOKENS)(losses, batch.mask), expected)


# Where we differ on purpose.


def test_differs_in_the_length_of_dr_grpo(batch: Batch) -> None:
    """Trinity-RFT's seq-mean-token-sum-norm sums over responses; ours is a mean over them, as in the paper's code."""
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    expected = utils.aggregate_loss(losses, batch.mask.double(), "seq-mean-token-sum-norm", normalizer=MAX_TOKENS)
    same(make_aggregate("fixed_length", MAX_TOKENS)(losses, batch.mask) * ROWS, expected)


def test_differs_in_sapo(batch: Batch) -> None:
    """Trinity-RFT weighs log pi by a soft gate; the paper's gate is the loss itself, so its derivative is the weight."""
    value, gradient = theirs(batch, "sapo", **RESPONSES)
    mine, weights = ours(batch, "sapo", {})
    assert (mine - value).abs() > 1e-3
    assert (weights - gradient).abs().max() > 1e-3


def test_differs_in_topr(batch: Batch) -> None:
    """Trinity-RFT cuts each token's ratio at 1; the paper and ours, unless `level="token"`, that of the response."""
    _, gradient = theirs(batch, "topr", **SUMS)
    _, whole = ours(batch, "topr", {})
    positive = (batch.advantages >= 0)[:, None]
    same(whole.where(positive, 0), gradient.where(positive, 0))
    assert (whole - gradient).abs().max() > 1e-3


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """Trinity-RFT divides by all responses; ours counts none without tokens, as verl."""
    losses = batch.behavior_logprobs * batch.advantages[:, None]
    mask = batch.mask & (torch.arange(ROWS) != 0)[:, None]
    expected = utils.aggregate_loss(losses, mask.double(), "seq-mean-token-mean") * ROWS / (ROWS - 1)
    same(make_aggregate("seq_mean_token_mean", MAX_TOKENS)(losses, mask), expected)


def test_differs_in_the_deviation_of_rec(batch: Batch) -> None:
    """Trinity-RFT's rec divides by the biased standard deviation, ours and its grpo by the unbiased one."""
    expected = estimate(batch, "rec", std_normalize=True)
    same(advantage(batch, "group_mean_std") * (3 / 2) ** 0.5, expected, rtol=1e-4, atol=1e-6)  # groups of 3
