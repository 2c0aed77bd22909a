"""One update: the model's gradient, micro-batches, chunked head, optimizer, advantages, aggregation, collation."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lagbench import Batch
from lagbench.harness.learn import logprobs as logprobs_module
from lagbench.harness.learn.advantages import group_mean, group_mean_std, leave_one_out
from lagbench.harness.learn.aggregate import seq_mean_token_mean, seq_mean_token_sum, token_mean
from lagbench.harness.learn.collate import assemble, groups_of
from lagbench.harness.learn.diagnostics import measure
from lagbench.harness.learn.logprobs import token_logprobs
from lagbench.harness.learn.policy import NonFinite, Policy, sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.rollout import TRAINING, Noise
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.types import Rollouts

TOKENIZER = load_tokenizer(locate("tiny"))
MIXED = [TOKENIZER(text).input_ids for text in ("3+5-2=", "7-9=", "4+4+4+4-1=", "0-0-9=")]


def new_policy(run, dtype: torch.dtype = torch.float32, **changes: object) -> Policy:
    model = load_model(locate("tiny"), torch.device("cpu")).to(dtype)
    return Policy(model, run(**changes))


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    model = load_model(locate("tiny"), torch.device("cpu"))
    sampler = TorchSampler(model, lambda: 0, (TOKENIZER.eos_token_id,), TOKENIZER.pad_token_id, 12, 1.0)
    return sampler.sample(MIXED, Noise(TRAINING, 0, 0, (0, 1, 2, 3), 4))


def batch_statistics_loss(logprobs: Tensor, mask: Tensor) -> Tensor:
    """A loss that is not a sum over rows: responses weighted by softmax over the batch, over the batch's mean NLL."""
    nll = (-logprobs).where(mask, 0.0).sum(1) / mask.sum(1)  # [B]
    advantages = torch.linspace(-1, 1, len(nll), dtype=nll.dtype)
    return (advantages * nll.softmax(0) * nll).sum() / nll.mean()


def gradients(policy: Policy, rollouts: Rollouts) -> dict[str, Tensor]:
    forward = policy.forward(sequences(rollouts, TOKENIZER.pad_token_id, policy.device))
    (gradient,) = torch.autograd.grad(batch_statistics_loss(forward.logprobs, rollouts.mask), forward.logprobs)
    forward.backward(gradient)
    return {name: value.grad for name, value in policy.model.named_parameters()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_microbatches_change_nothing(run, rollouts: Rollouts, dtype: torch.dtype, tolerance: float) -> None:
    whole = gradients(new_policy(run, dtype, microbatch=16), rollouts)
    for rows in (1, 3, 8):
        parts = gradients(new_policy(run, dtype, microbatch=rows), rollouts)
        for name, value in whole.items():
            torch.testing.assert_close(parts[name], value, rtol=tolerance, atol=tolerance)


def test_rows_without_gradient_change_nothing(run, rollouts: Rollouts) -> None:
    """Micro-batches that are passed over leave the same gradient, and one of zeros where all are."""
    for rows_with_gradient in ([], [5, 6, 12]):
        found = []
        for microbatch in (16, 2):
            policy = new_policy(run, torch.float64, microbatch=microbatch)
            forward = policy.forward(sequences(rollouts, TOKENIZER.pad_token_id, policy.device))
            gradient = torch.zeros_like(forward.logprobs)
            gradient[rows_with_gradient] = 1.0
            forward.backward(gradient)
            found.append([parameter.grad for parameter in policy.model.parameters()])
            assert all(grad is not None for grad in found[-1])
        for whole, parts in zip(*found, strict=True):
            torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def test_two_steps_of_differentiation_equal_one(run, rollouts: Rollouts) -> None:
    """dL/dlogprobs handed to the model is plain autograd through logits, without padding tricks or chunks."""
    found = gradients(new_policy(run, torch.float64), rollouts)
    model = new_policy(run, torch.float64).model
    rows = []
    for i, (tokens, mask) in enumerate(zip(rollouts.tokens, rollouts.mask, strict=True)):
        prompt, response = MIXED[i // 4], tokens[mask]
        logits = model(torch.cat([torch.tensor(prompt), response])[None]).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(-1, response[:, None]).squeeze(-1)
        rows.append(torch.nn.functional.pad(chosen, (0, len(tokens) - len(chosen))))
    batch_statistics_loss(torch.stack(rows), rollouts.mask).backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(found[name], value.grad, rtol=1e-3, atol=1e-6)  # log-softmax is fp32


def test_gradient_off_the_mask_is_ignored(run, rollouts: Rollouts) -> None:
    clean, dirty = new_policy(run), new_policy(run)
    for policy, filler in ((clean, 0.0), (dirty, float("nan"))):
        forward = policy.forward(sequences(rollouts, TOKENIZER.pad_token_id, policy.device))
        forward.backward(torch.ones_like(forward.logprobs).where(rollouts.mask, filler))
    for a, b in zip(clean.model.parameters(), dirty.model.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_head_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden, head, targets = torch.randn(11, 8, requires_grad=True), nn.Linear(8, 30), torch.randint(0, 30, (11,))
    plain = (head(hidden) / 0.7).log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    expected = torch.autograd.grad(plain.square().sum(), [hidden, head.weight])
    largest = []
    head.register_forward_hook(lambda module, given, output: largest.append(output.shape[0]))
    for elements in (2**25, 120):  # one chunk; chunks of four tokens
        monkeypatch.setattr(logprobs_module, "CHUNK_ELEMENTS", elements)
        found = token_logprobs(hidden, head, targets, 0.7, 30)
        torch.testing.assert_close(found, plain)
        torch.testing.assert_close(torch.autograd.grad(found.square().sum(), [hidden, head.weight]), expected)
    assert largest[0] == 11 and max(largest[1:]) == 4 and len(largest) == 1 + 2 * 3  # forward, and again in backward


def test_warm_up_and_adamw(run) -> None:
    """The weights follow torch's AdamW at learning rates 1/4, 2/4, 3/4, 1, 1 of the configured one."""
    policy = new_policy(run, warmup_updates=4, learning_rate=1e-3, clip_norm=1e9, weight_decay=0.1)
    peer = new_policy(run).model
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    for rate in (0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3):
        optimizer.param_groups[0]["lr"] = rate
        for a, b in zip(policy.model.parameters(), peer.parameters(), strict=True):
            a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
        policy.step()
        optimizer.step()
    assert policy.version == 5
    for a, b in zip(policy.model.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_is_clipped_and_its_norm_before_is_returned(run) -> None:
    policy = new_policy(run, clip_norm=0.5)
    count = sum(p.numel() for p in policy.model.parameters())
    for parameter in policy.model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    held = next(policy.model.parameters())
    seen = []
    policy.optimizer.register_step_pre_hook(lambda *_: seen.append(float(held.grad.flatten()[0])))
    assert policy.step() == pytest.approx(2 * math.sqrt(count), rel=1e-4)
    assert seen[0] == pytest.approx(0.5 / math.sqrt(count), rel=1e-3)


def test_non_finite_gradient_stops_the_run_and_spares_the_weights(run) -> None:
    policy = new_policy(run)
    before = policy.digest()
    for parameter in policy.model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    with pytest.raises(NonFinite, match="update 0: the gradient norm is nan"):
        policy.step()
    assert policy.digest() == before and policy.version == 0


REWARDS = torch.tensor([1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0])
GROUP = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def test_advantages_by_value() -> None:
    torch.testing.assert_close(group_mean(REWARDS, GROUP), torch.tensor([0.5, -0.5, -0.5, 0.5, 0, 0, 0]))
    # unbiased std of (1, 0, 0, 1) is sqrt(4 * 0.25 / 3)
    expected = torch.tensor([1.0, -1, -1, 1, 0, 0, 0]) * 0.5 / (math.sqrt(1 / 3) + 1e-6)
    torch.testing.assert_close(group_mean_std(REWARDS, GROUP), expected)
    # 1 - (0 + 0 + 1) / 3 = 2 / 3 and 0 - (1 + 0 + 1) / 3 = -2 / 3
    torch.testing.assert_close(leave_one_out(REWARDS, GROUP), torch.tensor([2, -2, -2, 2, 0, 0, 0]) / 3)


def test_advantages_of_a_group_of_one_are_zero() -> None:
    for estimator in (group_mean, group_mean_std, leave_one_out):
        assert estimator(torch.tensor([3.0]), torch.tensor([0])).tolist() == [0.0]


def test_aggregates_by_value() -> None:
    nan = float("nan")
    tokens = torch.tensor([[1.0, 2.0, 3.0], [10.0, nan, nan], [nan, nan, nan]])
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    assert float(token_mean(tokens, mask)) == 16 / 4
    assert float(seq_mean_token_mean(tokens, mask)) == (2 + 10) / 2
    assert float(seq_mean_token_sum(tokens, mask)) == (6 + 10) / 2


def some_rollouts(prompts: list[tuple[int, ...]], first_token: int, width: int, version: int) -> Rollouts:
    """Two responses a prompt; the first token of a row numbers it."""
    rows = 2 * len(prompts)
    tokens = torch.zeros(rows, width, dtype=torch.int64)
    tokens[:, 0] = first_token + torch.arange(rows)
    return Rollouts(
        prompts=tuple(prompts),
        tokens=tokens,
        mask=torch.ones(rows, width, dtype=torch.bool),
        behavior_logprobs=-tokens.float(),
        versions=torch.full((rows, width), version, dtype=torch.int32),
        stopped=torch.ones(rows, dtype=torch.bool),
    )


def test_parts_from_several_versions_are_put_in_the_order_of_groups() -> None:
    early = some_rollouts([(2,), (0,)], first_token=20, width=3, version=0)  # groups 2 and 0
    late = some_rollouts([(1,)], first_token=10, width=2, version=4)  # group 1
    whole = assemble([(np.array([2, 0]), early), (np.array([1]), late)])
    assert whole.prompts == ((0,), (1,), (2,))
    assert whole.tokens[:, 0].tolist() == [22, 23, 10, 11, 20, 21]
    assert whole.versions[:, 0].tolist() == [0, 0, 4, 4, 0, 0]
    assert whole.mask.sum(1).tolist() == [3, 3, 2, 2, 3, 3]
    assert groups_of(whole).tolist() == [0, 0, 1, 1, 2, 2]


def test_diagnostics_by_value() -> None:
    rollouts = some_rollouts([(0,), (1,)], first_token=1, width=2, version=0)
    rollouts.stopped[3] = False
    logprobs = torch.tensor([[-1.0, -3.0], [-2.0, -2.0], [-1.0, -1.0], [-4.0, -4.0]])
    batch = Batch(
        logprobs=logprobs,
        behavior_logprobs=logprobs + 0.5,
        proximal_logprobs=logprobs,
        advantages=torch.tensor([1.0, -1.0, 0.0, -2.0]),
        rewards=torch.tensor([1.0, 0.0, 1.0, 1.0]),
        mask=torch.ones(4, 2, dtype=torch.bool),
        group=torch.tensor([0, 0, 1, 1]),
        lag=torch.tensor([[3, 3], [3, 3], [1, 1], [1, 1]], dtype=torch.int32),
    )
    measured = measure(batch, rollouts)
    assert measured == pytest.approx(
        {
            "reward": 0.75,
            "response_tokens": 2,
            "truncated_fraction": 0.25,
            "zero_variance_fraction": 0.5,
            "lag_mean": 2,
            "lag_max": 3,
            "nll_positive": 2,  # (1 + 3) / 2
            "nll_negative": 3,  # mean of 2 and 4
            "kl_behavior": 0.5,
        }
    )
