"""Our objectives and advantages against ms-swift's GRPO trainer, its loss and its compute_advantages.

The trainer is made without a model and its forward pass is replaced by the log-probabilities at hand; options come from
its own argument class. Its old policy is our behavior policy; where it corrects for a rollout engine, its old policy is
our proximal one, the engine our behavior policy.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peers import (
    GROUP_SIZE,
    MAX_TOKENS,
    ROWS,
    Case,
    Outcome,
    Pair,
    advantage,
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

from lagbench.harness.learn import advantages
from lagbench.harness.types import Batch

PACKAGE = "ms-swift"
# Its utils import a codec for messages, its arguments a class that TRL has no longer.
trainers = peer("swift.rlhf_trainers.grpo_trainer", without=("msgspec", "trl.experimental.ppo"))
arguments = peer("swift.rlhf_trainers.args_mixin")
estimators = peer("swift.rl_core.advantage")
data = peer("swift.rl_core.data")

CLIP, EPSILON = {"clip_low": 0.2, "clip_high": 0.3}, {"epsilon": 0.2, "epsilon_high": 0.3}
NARROW = {"clip_low": 0.02, "clip_high": 0.03}
SEQUENCE = {"epsilon": 0.02, "epsilon_high": 0.03, "importance_sampling_level": "sequence"}


class GivenLogprobs(trainers.GRPOTrainer):
    """ms-swift's trainer with nothing in it but what its loss reads."""

    def __init__(self, logprobs: Tensor, loss_type: str, **options: Any):
        self.logprobs = logprobs
        self.args = arguments.GRPOArgumentsMixin(**options)
        self.args.loss_type, self.args.num_iterations = loss_type, 1  # fields of TRL's class
        self._prepare_algorithm_params()
        self.model = SimpleNamespace(training=False)
        self.accelerator = SimpleNamespace(num_processes=1, gather_for_metrics=lambda values: values)
        self.beta, self.sdar_loss_coef, self.max_completion_length = 0.0, 0.0, MAX_TOKENS
        self.compute_entropy = self.disable_rollout_importance_sampling = self._has_teacher = False

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return self.logprobs, None


def theirs(batch: Batch, loss_type: str, **options: Any) -> Outcome:
    engine = "rollout_importance_sampling_mode" in options
    rows = data.GRPOBatch(
        completion_mask=batch.mask,
        truncated_mask=torch.zeros(ROWS, dtype=torch.bool),
        seq_lengths=batch.mask.sum(1),
        old_per_token_logps=batch.proximal_logprobs if engine else batch.behavior_logprobs,
        rollout_per_token_logps=batch.behavior_logprobs,
        advantages=batch.advantages[:, None].expand(batch.mask.shape),
        num_items_in_batch=batch.mask.sum(),
    )
    loss, _ = GivenLogprobs(batch.logprobs, loss_type, **options)._compute_loss_and_metrics(None, {}, rows)
    return outcome(loss, batch)


def engine(mode: str, threshold: float) -> dict[str, Any]:
    return {"rollout_importance_sampling_mode": mode, "rollout_importance_sampling_threshold": threshold}


CASES = [
    Case("grpo", "grpo", CLIP, EPSILON),
    Case("bnpo", "grpo", CLIP, EPSILON, aggregate="token_mean"),
    Case("dr_grpo", "dr_grpo", CLIP, EPSILON),
    Case("dapo", "dapo", CLIP, EPSILON, denominator="all"),
    Case("grpo, delta", "dual_clip", {**CLIP, "dual": 2.0}, {**EPSILON, "delta": 2.0}),
    Case("grpo, sequence", "gspo", NARROW, SEQUENCE),
    Case("cispo", "cispo", {"clip_high": 2.0, "cap": "absolute"}, {"epsilon_high": 2.0}),
    Case("sapo", "sapo", {"tau_positive": 1.0, "tau_negative": 1.05}, {}),  # both defaults
    Case(
        "grpo, off_policy_sequence_mask_delta",
        "opsm",
        {**CLIP, "delta": 0.1},
        {**EPSILON, "off_policy_sequence_mask_delta": 0.1},
    ),
    Case(
        "bnpo, off_policy_sequence_mask_delta",  # leaves rejected tokens out of the mean
        "opsm",
        {**CLIP, "delta": 0.1},
        {**EPSILON, "off_policy_sequence_mask_delta": 0.1},
        "token_mean",
        "kept",
    ),
    Case(
        "grpo, token_truncate",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        EPSILON | engine("token_truncate", 1.5),
    ),
    Case(
        "grpo, token_mask",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "mask"},
        EPSILON | engine("token_mask", 1.5),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, case: Case) -> None:
    agree(batch, case, theirs(batch, case.theirs.partition(",")[0], **case.peer_options))


def estimate(batch: Batch, estimator: str, scale: str) -> Tensor:
    """ms-swift's advantages [B]."""
    rewards, weights = batch.rewards[:, None], torch.ones(1).double()
    return estimators.compute_advantages(rewards, weights, GROUP_SIZE, estimator, scale)[0]


ADVANTAGES = [
    Pair("grpo, group", "group_mean_std"),
    Pair("grpo, batch", "batch_std"),
    Pair("grpo, none", "group_mean"),
    Pair("rloo, none", "leave_one_out"),
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(advantages, "STD_EPS", 1e-4)  # its own, as TRL's; ours is 1e-6
    same(advantage(batch, pair.ours), estimate(batch, *pair.theirs.split(", ")))


# Where we differ on purpose.


def test_differs_in_the_added_deviation(batch: Batch) -> None:
    """ms-swift adds 1e-4 to the standard deviation, as TRL; ours adds 1e-6, as most others."""
    mine, expected = advantage(batch, "group_mean_std"), estimate(batch, "grpo", "group")
    same(mine, expected, rtol=5e-4, atol=0)
    assert (mine - expected).abs().max() > 1e-4


def test_differs_in_the_cap_of_cispo(batch: Batch) -> None:
    """ms-swift's epsilon_high is cispo's largest weight itself, as TRL's; the paper's and ours its distance from 1."""
    _, gradient = theirs(batch, "cispo", epsilon_high=2.0)
    assert (ours(batch, "cispo", {"clip_low": 1.0, "clip_high": 2.0})[1] - gradient).abs().max() > 1e-3
    same(ours(batch, "cispo", {"clip_low": 1.0, "clip_high": 1.0})[1], gradient)


def test_differs_in_a_response_without_tokens(batch: Batch) -> None:
    """ms-swift divides by all responses, as TRL; ours counts none without tokens, as verl."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, "grpo", **EPSILON))


def test_differs_in_a_far_ratio(batch: Batch) -> None:
    """ms-swift limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, "grpo", **EPSILON))
