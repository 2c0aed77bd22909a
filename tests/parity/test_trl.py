"""Our objectives against TRL's own code: the same tensors, the same loss, the same gradient.

A real GRPOTrainer on the embedded model is handed rollouts, rewards and log-probabilities. From there on the code is
TRL's: importance weights, masks, loss and denominator; advantages are compared on their own. TRL's old policy is our
behavior policy; where TRL corrects for an engine, its old policy is our proximal one, the engine our behavior policy.

Each number among a case's options is also moved, and the gradient must move with it: every clip, cap and mask acts.
What differs on purpose is in the cases (`cap="absolute"`, `denominator="all"`) and in the tests at the end.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench.harness.apply import apply_objective
from lagbench.harness.learn import advantages
from lagbench.harness.learn.aggregate import make_aggregate, reduced
from lagbench.harness.models import locate
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.types import Batch

trl = pytest.importorskip("trl", reason="needs the extra parity: make parity")
datasets = pytest.importorskip("datasets", reason="needs the extra parity: make parity")

pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")

GROUPS, GROUP_SIZE, WIDTH, MAX_TOKENS = 4, 3, 7, 9
ROWS = GROUPS * GROUP_SIZE
Outcome = tuple[Tensor, Tensor]  # the loss, and its gradient [B, T]
same = torch.testing.assert_close


class GivenLogprobs(trl.GRPOTrainer):
    """TRL's trainer, its two forward passes replaced: `old` when it scores rollouts, `current` in the loss."""

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor, None]:
        logprobs = self.current if torch.is_grad_enabled() else self.old
        return logprobs, torch.zeros_like(logprobs), None


@pytest.fixture
def batch() -> Batch:
    """Ratios from about 0.2 to 5, ragged responses, both signs of advantages and a group of equal rewards."""
    generator = torch.Generator().manual_seed(5)

    def normal() -> Tensor:
        return torch.randn(ROWS, WIDTH, generator=generator)

    lengths = torch.tensor([7, 4, 1, 5, 6, 3, 2, 7, 5, 4, 6, 7])
    behavior = -normal().abs() - 0.1
    proximal = behavior + 0.6 * normal()
    rewards = torch.tensor([0, 1, 0, 1, 1, 1, 0.5, 1, 0, 0, 0, 1])
    group = torch.arange(ROWS) // GROUP_SIZE
    return Batch(
        logprobs=(proximal + 0.4 * normal()).double().requires_grad_(),
        proximal_logprobs=proximal.double(),
        behavior_logprobs=behavior.double(),
        advantages=advantages.group_mean(rewards.double(), group, lengths),
        rewards=rewards,
        mask=torch.arange(WIDTH) < lengths[:, None],
        group=group,
        lag=torch.ones(ROWS, WIDTH, dtype=torch.int32),
    )


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
        return loss.detach(), torch.autograd.grad(loss, batch.logprobs)[0]

    return call


def ours(batch: Batch, name: str, options: dict[str, Any], aggregate: str = "", denominator: str = "") -> Outcome:
    """With the objective's own aggregate and denominator, unless others are given."""
    entry = OBJECTIVES.get(name)
    loss = reduced(
        apply_objective(entry, batch, entry.check_options(options)),
        batch.mask,
        batch.group,
        make_aggregate(aggregate or entry.conventions.aggregate, MAX_TOKENS),
        denominator or entry.conventions.denominator,
    )
    return loss.detach(), torch.autograd.grad(loss, batch.logprobs)[0]


CLIP = {"clip_low": 0.2, "clip_high": 0.2}
NARROW = {"clip_low": 0.02, "clip_high": 0.03}  # of geometric means
GAMMA = {"power_positive": 2.0, "shape_positive": 3.0, "power_negative": 3.0, "shape_negative": 2.0}
EPSILON = {"epsilon": 0.2, "epsilon_high": 0.2}
NARROW_EPSILON = {"epsilon": 0.02, "epsilon_high": 0.03, "importance_sampling_level": "sequence"}


def engine(mode: str, **bounds: float) -> dict[str, Any]:
    bounds = {f"vllm_importance_sampling_{name}": bound for name, bound in bounds.items()}
    return {"loss_type": "grpo", **EPSILON, "vllm_importance_sampling_mode": mode, **bounds}


# Our objective, its options, what is not its own convention; TRL's options.
CASES = {
    "grpo": ("grpo", CLIP, {}, {"loss_type": "grpo", **EPSILON}),
    "bnpo": ("grpo", CLIP, {"aggregate": "token_mean"}, {"loss_type": "bnpo", **EPSILON}),
    "dr_grpo": ("dr_grpo", CLIP, {}, {"loss_type": "dr_grpo", **EPSILON}),
    # TRL keeps counting the tokens of groups with equal rewards, ours leaves them out.
    "dapo": (
        "dapo",
        {"clip_low": 0.2, "clip_high": 0.28},
        {"denominator": "all"},
        {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28},
    ),
    "delta": ("dual_clip", {**CLIP, "dual": 2.0}, {}, {"loss_type": "grpo", **EPSILON, "delta": 2.0}),
    # TRL's epsilon_high is the largest weight, the paper's is its distance from 1; TRL has no lower bound.
    "cispo": ("cispo", {"clip_high": 2.0, "cap": "absolute"}, {}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    "cispo-offset": ("cispo", {"clip_high": 1.0}, {}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    "tis": ("tis", {"cap": 2.0}, {}, {"loss_type": "cispo", "epsilon_high": 2.0}),
    "tis-geometric": (
        "tis",
        {"cap": 1.1, "level": "geometric"},
        {},
        {"loss_type": "cispo", "epsilon_high": 1.1, "importance_sampling_level": "sequence"},
    ),
    "sapo": ("sapo", {"tau_positive": 1.0, "tau_negative": 1.05}, {}, {"loss_type": "sapo"}),  # TRL's defaults
    "gspo": ("gspo", NARROW, {}, {"loss_type": "grpo", **NARROW_EPSILON}),
    "luspo": ("luspo", NARROW, {}, {"loss_type": "luspo", **NARROW_EPSILON}),
    # Without importance_sampling_level TRL's luspo is GRPO summed over tokens; TRL warns.
    "luspo-token": ("grpo", CLIP, {"aggregate": "seq_mean_token_sum"}, {"loss_type": "luspo", **EPSILON}),
    "vespo": ("vespo", GAMMA, {}, {"loss_type": "vespo"}),  # TRL's defaults
    # The engine's weight joins the product, so the old policy cancels.
    "vespo-engine": ("vespo", GAMMA, {}, engine("token_truncate", clip_max=1e6) | {"loss_type": "vespo"}),
    "opsm": ("opsm", {**CLIP, "delta": 0.1}, {}, {"loss_type": "grpo", **EPSILON, "off_policy_mask_threshold": 0.1}),
    "token_truncate": (
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        {},
        engine("token_truncate", clip_max=1.5),
    ),
    "token_mask": (
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "mask"},
        {},
        engine("token_mask", clip_max=1.5),
    ),
    "token_mask-two-sided": (
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        {},
        engine("token_mask", clip_min=0.5, clip_max=1.5),
    ),
    "token_mask-above": ("icepop", {**CLIP, "low": 0.0, "high": 1.5}, {}, engine("token_mask", clip_max=1.5)),
}


@pytest.mark.parametrize(("name", "options", "conventions", "trl_options"), CASES.values(), ids=CASES)
def test_same_loss_and_gradient(
    batch: Batch,
    theirs: Callable[..., Outcome],
    name: str,
    options: dict[str, Any],
    conventions: dict[str, str],
    trl_options: dict[str, Any],
) -> None:
    expected = theirs(batch, **trl_options)
    same(ours(batch, name, options, **conventions), expected)
    for option, value in options.items():
        if isinstance(value, float):
            _, moved = ours(batch, name, options | {option: 4 * value + 0.5}, **conventions)
            assert (moved - expected[1]).abs().max() > 1e-3, f"{option} does nothing on this batch"


@pytest.mark.parametrize(
    ("scale", "estimator"), [("group", "group_mean_std"), ("batch", "batch_std"), ("none", "group_mean")]
)
def test_same_advantages(
    batch: Batch, score: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, scale: str, estimator: str
) -> None:
    _, inputs = score(batch, scale_rewards=scale)
    estimate = advantages.make_advantage(estimator)
    arguments = batch.rewards, batch.group, batch.mask.sum(1)
    same(estimate(*arguments), inputs["advantages"], rtol=5e-4, atol=0)
    monkeypatch.setattr(advantages, "STD_EPS", 1e-4)  # TRL's; ours is 1e-6, that of most others
    same(estimate(*arguments), inputs["advantages"], rtol=1e-5, atol=1e-5)


# Where we differ on purpose.


def test_dapo_leaves_groups_of_equal_rewards_out(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    # The paper resamples such groups; over the other tokens only, the mean is larger.
    loss, gradient = theirs(batch, loss_type="dapo", epsilon=0.2, epsilon_high=0.28)
    share = batch.mask[batch.group != 1].sum() / batch.mask.sum()
    assert share < 1
    same(ours(batch, "dapo", {}), (loss / share, gradient / share))


def test_a_response_without_tokens_is_not_counted(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    # TRL divides by all responses, also by those that a mask has emptied.
    batch = replace(batch, mask=batch.mask & (torch.arange(ROWS) != 0)[:, None])
    loss, gradient = theirs(batch, loss_type="grpo", **EPSILON)
    more = ROWS / (ROWS - 1)
    same(ours(batch, "grpo", CLIP), (loss * more, gradient * more))


def test_a_ratio_has_a_limit(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    # One negative token 25 nats up, which no clip catches: TRL's weight is exp(25), ours stops at exp(20).
    assert batch.advantages[0] < 0
    far = batch.logprobs.detach().clone()
    far[0, 0] = batch.behavior_logprobs[0, 0] + 25
    batch = replace(batch, logprobs=far.requires_grad_())
    _, expected = theirs(batch, loss_type="grpo", **EPSILON)
    _, gradient = ours(batch, "grpo", CLIP)
    assert expected[0, 0] > 1e6
    assert gradient[0, 0] == 0
    expected[0, 0] = 0
    same(gradient, expected)
