"""Our objectives against TRL's own code: the same tensors, the same loss, the same gradient.

A real GRPOTrainer on the embedded model is handed rollouts, rewards and log-probabilities. From there on the code is
TRL's: importance weights, masks, loss and denominator; advantages are compared on their own. TRL's old policy is our
behavior policy; where TRL corrects for an engine, its old policy is our proximal one, the engine our behavior policy.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import (
    FAR,
    GROUP_SIZE,
    MAX_TOKENS,
    ROWS,
    SINGLE,
    WIDTH,
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
from lagbench.harness.models import locate
from lagbench.harness.types import Batch

PACKAGE = "trl"
trl, datasets = peer("trl"), peer("datasets")

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")


class GivenLogprobs(trl.GRPOTrainer):
    """TRL's trainer, its two forward passes replaced: `old` when it scores rollouts, `current` in the loss."""

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor, None]:
        logprobs = self.current if torch.is_grad_enabled() else self.old
        return logprobs, torch.zeros_like(logprobs), None


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., tuple[trl.GRPOTrainer, dict[str, Tensor]]]:
    """A trainer with TRL's options, and the batch as TRL scores it."""

    def call(batch: Batch, **options: Any) -> tuple[trl.GRPOTrainer, dict[str, Tensor]]:
        rollouts = {
            "prompt_ids": [[1]] * ROWS,
            "completion_ids": [[1] * WIDTH] * ROWS,
            "env_mask": batch.mask.long().tolist(),
        }
        engine = "vllm_importance_sampling_mode" in options
        trainer = GivenLogprobs(
            model=str(locate("tiny")),
            reward_funcs=lambda **_: batch.rewards.tolist(),
            args=trl.GRPOConfig(
                output_dir=str(tmp_path),
                per_device_train_batch_size=ROWS,
                num_generations=GROUP_SIZE,
                max_completion_length=MAX_TOKENS,
                num_iterations=2,  # with 1, TRL takes the current policy for the old one
                use_cpu=True,
                bf16=False,
                report_to="none",
                **options,
            ),
            train_dataset=datasets.Dataset.from_dict({"prompt": ["1"]}),
            rollout_func=lambda *_: rollouts | {"logprobs": batch.behavior_logprobs.tolist() if engine else None},
        )
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        trainer.use_vllm, trainer._last_loaded_step = engine, 0  # set here, it starts no engine
        trainer.old = batch.proximal_logprobs if engine else batch.behavior_logprobs
        trainer.current = batch.logprobs
        return trainer, trainer._generate_and_score_completions([{"prompt": "1"}] * ROWS)

    return call


@pytest.fixture
def theirs(score: Callable[..., Any]) -> Callable[..., Outcome]:
    def call(batch: Batch, **options: Any) -> Outcome:
        trainer, inputs = score(batch, **options)
        loss = trainer._compute_loss(trainer.model, inputs | {"advantages": batch.advantages})
        return outcome(loss, batch)

    return call


CLIP = {"clip_low": 0.2, "clip_high": 0.2}
NARROW = {"clip_low": 0.02, "clip_high": 0.03}  # of geometric means
GAMMA = {"power_positive": 2.0, "shape_positive": 3.0, "power_negative": 3.0, "shape_negative": 2.0}
EPSILON = {"epsilon": 0.2, "epsilon_high": 0.2}
NARROW_EPSILON = {"epsilon": 0.02, "epsilon_high": 0.03, "importance_sampling_level": "sequence"}


def engine(mode: str, **bounds: float) -> dict[str, Any]:
    bounds = {f"vllm_importance_sampling_{name}": bound for name, bound in bounds.items()}
    return {"loss_type": "grpo", **EPSILON, "vllm_importance_sampling_mode": mode, **bounds}


CASES = [
    Case("grpo", "grpo", CLIP, {"loss_type": "grpo", **EPSILON}),
    Case("bnpo", "grpo", CLIP, {"loss_type": "bnpo", **EPSILON}, aggregate="token_mean"),
    Case("dr_grpo", "dr_grpo", CLIP, {"loss_type": "dr_grpo", **EPSILON}),
    Case(
        "dapo",
        "dapo",
        {"clip_low": 0.2, "clip_high": 0.28},
        {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28},
        denominator="all",
    ),
    Case("grpo, delta", "dual_clip", {**CLIP, "dual": 2.0}, {"loss_type": "grpo", **EPSILON, "delta": 2.0}),
    Case("cispo", "cispo", {"clip_high": 2.0, "cap": "absolute"}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    Case("cispo", "cispo", {"clip_high": 1.0}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    Case("cispo", "tis", {"cap": 2.0}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    Case(
        "cispo, sequence",
        "tis",
        {"cap": 1.1, "level": "geometric"},
        {"loss_type": "cispo", "epsilon_high": 1.1, "importance_sampling_level": "sequence"},
    ),
    Case("sapo", "sapo", {"tau_positive": 1.0, "tau_negative": 1.05}, {"loss_type": "sapo"}),  # TRL's defaults
    Case("grpo, sequence", "gspo", NARROW, {"loss_type": "grpo", **NARROW_EPSILON}),
    Case("luspo, sequence", "luspo", NARROW, {"loss_type": "luspo", **NARROW_EPSILON}),
    # Without importance_sampling_level TRL's luspo is GRPO summed over tokens; TRL warns.
    Case("luspo", "grpo", CLIP, {"loss_type": "luspo", **EPSILON}, aggregate="seq_mean_token_sum"),
    Case("vespo", "vespo", GAMMA, {"loss_type": "vespo"}),  # TRL's defaults
    # The engine's weight joins the product, so the old policy cancels.
    Case("vespo, token_truncate", "vespo", GAMMA, engine("token_truncate", clip_max=FAR) | {"loss_type": "vespo"}),
    Case(
        "grpo, off_policy_mask",
        "opsm",
        {**CLIP, "delta": 0.1},
        {"loss_type": "grpo", **EPSILON, "off_policy_mask_threshold": 0.1},
    ),
    Case(
        "grpo, token_truncate",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        engine("token_truncate", clip_max=1.5),
    ),
    Case(
        "grpo, token_truncate",
        "decoupled_ppo",
        {**CLIP, "weight_floor": 0.7, "weight_cap": 1.5, "bound": "truncate"},
        engine("token_truncate", clip_min=0.7, clip_max=1.5),
    ),
    Case(
        "grpo, token_mask",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "mask"},
        engine("token_mask", clip_max=1.5),
    ),
    Case(
        "grpo, token_mask",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        engine("token_mask", clip_min=0.5, clip_max=1.5),
    ),
    Case("grpo, token_mask", "icepop", {**CLIP, "low": 0.0, "high": 1.5}, engine("token_mask", clip_max=1.5)),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, theirs: Callable[..., Outcome], case: Case) -> None:
    agree(batch, case, theirs(batch, **case.peer_options))


ADVANTAGES = [
    Pair("scale_rewards=group", "group_mean_std", {"scale_rewards": "group"}),
    Pair("scale_rewards=batch", "batch_std", {"scale_rewards": "batch"}),
    Pair("scale_rewards=none", "group_mean", {"scale_rewards": "none"}),
]


@pytest.mark.parametrize("pair", ADVANTAGES, ids=label)
def test_same_advantages(batch: Batch, score: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    _, inputs = score(batch, **pair.peer_options)
    same(advantage(batch, pair.ours), inputs["advantages"].double(), rtol=5e-4, atol=0)
    monkeypatch.setattr(advantages, "STD_EPS", 1e-4)  # TRL's; ours is 1e-6, that of most others
    same(advantage(batch, pair.ours), inputs["advantages"].double(), **SINGLE)


# Where we differ on purpose.


def test_differs_in_dapo(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    """TRL's dapo counts the tokens of groups of equal rewards; ours leaves them out, as the paper resamples them."""
    loss, gradient = theirs(batch, loss_type="dapo", epsilon=0.2, epsilon_high=0.28)
    share = batch.mask[batch.group != 1].sum() / batch.mask.sum()
    assert share < 1
    same(ours(batch, "dapo", {}), (loss / share, gradient / share))


def test_differs_in_the_cap_of_cispo(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    """TRL's epsilon_high is cispo's largest weight itself; the paper's and ours its distance from 1."""
    _, gradient = theirs(batch, loss_type="cispo", epsilon_high=2.0)
    assert (ours(batch, "cispo", {"clip_high": 2.0})[1] - gradient).abs().max() > 1e-3
    same(ours(batch, "cispo", {"clip_high": 2.0, "cap": "absolute"})[1], gradient)


def test_differs_in_a_response_without_tokens(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    """TRL divides by all responses, also by those that a mask has emptied; ours counts them nowhere, as verl does."""
    batch = without_a_response(batch)
    counted_by_peer_only(ours(batch, "grpo", CLIP), theirs(batch, loss_type="grpo", **EPSILON))


def test_differs_in_a_far_ratio(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    """TRL limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, loss_type="grpo", **EPSILON))
