"""Our objectives against miles' policy loss, which is slime's lineage: PPO, GSPO, OPSM, TIS and IcePop.

Its forward pass is replaced by the log-probabilities at hand; what follows is its code. Its old policy is our behavior
policy; where it corrects for a rollout engine, its old policy is our proximal one, the engine our behavior policy.
"""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peers import (
    LENGTHS,
    ROWS,
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
from torch import Tensor

from lagbench.harness.types import Batch

PACKAGE = "miles-rl"
training = peer("miles.backends.training_utils.loss")
parallel = peer("miles.backends.training_utils.parallel")

CLIP, EPSILON = {"clip_low": 0.2, "clip_high": 0.3}, {"eps_clip": 0.2, "eps_clip_high": 0.3}
ICEPOP = "miles.backends.training_utils.loss.icepop_function"
DEFAULTS = {
    "advantage_estimator": "grpo",
    "calculate_per_token_loss": False,
    "custom_tis_function_path": None,
    "entropy_coef": 0.0,
    "get_mismatch_metrics": False,
    "qkv_format": "thd",
    "use_kl_loss": False,
    "use_opsm": False,
    "use_rollout_logprobs": False,
    "use_tis": False,
}


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """On one process and without torch.compile."""
    alone = parallel.GroupInfo(rank=0, size=1, group=None)
    state = parallel.ParallelState(*[alone] * 7)
    monkeypatch.setattr(parallel, "_parallel_state", state)

    def call(batch: Batch, **options: Any) -> Outcome:
        arguments = Namespace(**DEFAULTS | options)
        monkeypatch.setattr(
            training, "get_log_probs_and_entropy", lambda *_, **__: {"log_probs": responses(batch.logprobs)}
        )
        old = batch.proximal_logprobs if arguments.use_tis else batch.behavior_logprobs
        lengths = batch.mask.sum(1).tolist()
        masks = responses(batch.mask.double())
        per_token = arguments.calculate_per_token_loss
        with torch.compiler.set_stance("force_eager"):
            total, _ = training.policy_loss_function(
                arguments,
                {
                    "advantages": responses(batch.advantages[:, None].expand(batch.mask.shape)),
                    "log_probs": responses(old),
                    "rollout_log_probs": responses(batch.behavior_logprobs),
                    "loss_masks": masks,
                    "response_lengths": LENGTHS,
                    "total_lengths": LENGTHS,
                    "unconcat_tokens": None,
                },
                torch.zeros(()),
                training.get_sum_of_sample_mean(LENGTHS, LENGTHS, masks, per_token),
            )
        return outcome(total / (sum(lengths) if per_token else ROWS), batch)

    return call


def responses(values: Tensor) -> list[Tensor]:
    """[B, T] as B rows without padding."""
    return [row[:length] for row, length in zip(values, LENGTHS, strict=True)]


def correction(function: str | None, low: float, high: float) -> dict[str, Any]:
    return {"use_tis": True, "custom_tis_function_path": function, "tis_clip_low": low, "tis_clip": high}


CASES = [
    Case("policy_loss", "grpo", CLIP, EPSILON),
    Case(
        "policy_loss, calculate_per_token_loss",
        "dapo",
        CLIP,
        {**EPSILON, "calculate_per_token_loss": True},
        denominator="all",
    ),
    Case(
        "policy_loss, gspo",
        "gspo",
        {"clip_low": 0.02, "clip_high": 0.03},
        {"eps_clip": 0.02, "eps_clip_high": 0.03, "advantage_estimator": "gspo"},
    ),
    Case("policy_loss, use_opsm", "opsm", {**CLIP, "delta": 0.1}, {**EPSILON, "use_opsm": True, "opsm_delta": 0.1}),
    Case(
        "policy_loss, vanilla_tis_function",
        "decoupled_ppo",
        {**CLIP, "weight_cap": 1.5, "bound": "truncate"},
        EPSILON | correction(None, 0.0, 1.5),
    ),
    Case(
        "policy_loss, vanilla_tis_function",
        "decoupled_ppo",
        {**CLIP, "weight_floor": 0.7, "weight_cap": 1.5, "bound": "truncate"},
        EPSILON | correction(None, 0.7, 1.5),
    ),
    Case(
        "policy_loss, icepop_function",
        "icepop",
        {**CLIP, "low": 0.5, "high": 1.5},
        EPSILON | correction(ICEPOP, 0.5, 1.5),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_same_loss_and_gradient(batch: Batch, theirs: Callable[..., Outcome], case: Case) -> None:
    agree(batch, case, theirs(batch, **case.peer_options))


# Where we differ on purpose.


def test_differs_in_a_far_ratio(batch: Batch, theirs: Callable[..., Outcome]) -> None:
    """miles limits no log-ratio; ours ends at 20 nats and has no gradient beyond, as verl, SkyRL and OpenRLHF."""
    batch = with_far_token(batch)
    limited(ours(batch, "grpo", CLIP), theirs(batch, **EPSILON))
