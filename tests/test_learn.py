"""One update: the model's gradient, micro-batches, optimizer, advantages, aggregation, collation."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lagbench import Batch
from lagbench.harness.learn.advantages import group_mean, group_mean_std, leave_one_out
from lagbench.harness.learn.aggregate import seq_mean_token_mean, seq_mean_token_sum, token_mean
from lagbench.harness.learn.collate import groups_of
from lagbench.harness.learn.diagnostics import (
    DIAGNOSTICS,
    distance_from_behavior,
    measure,
    nll_by_sign,
    weight_by_sign,
)
from lagbench.harness.learn.inbox import assemble, pack, take, unpack
from lagbench.harness.learn.policy import NonFinite, Policy, Step
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.types import Rollouts, Verdict

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
    step = policy.step()
    assert step.gradient_norm == pytest.approx(2 * math.sqrt(count), rel=1e-4) and step.gradient_cosine == 0
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
LENGTHS = torch.tensor([1, 2, 3, 4, 5, 6, 7])


def test_advantages_by_value() -> None:
    torch.testing.assert_close(group_mean(REWARDS, GROUP, LENGTHS), torch.tensor([0.5, -0.5, -0.5, 0.5, 0, 0, 0]))
    # unbiased std of (1, 0, 0, 1) is sqrt(4 * 0.25 / 3)
    expected = torch.tensor([1.0, -1, -1, 1, 0, 0, 0]) * 0.5 / (math.sqrt(1 / 3) + 1e-6)
    torch.testing.assert_close(group_mean_std(REWARDS, GROUP, LENGTHS), expected)
    # 1 - (0 + 0 + 1) / 3 = 2 / 3 and 0 - (1 + 0 + 1) / 3 = -2 / 3
    torch.testing.assert_close(leave_one_out(REWARDS, GROUP, LENGTHS), torch.tensor([2, -2, -2, 2, 0, 0, 0]) / 3)


def test_advantages_of_a_group_of_one_are_zero() -> None:
    for estimator in (group_mean, group_mean_std, leave_one_out):
        assert estimator(torch.tensor([3.0]), torch.tensor([0]), torch.tensor([2])).tolist() == [0.0]


def test_aggregates_by_value() -> None:
    nan = float("nan")
    tokens = torch.tensor([[1.0, 2.0, 3.0], [10.0, nan, nan], [nan, nan, nan]])
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    group = torch.tensor([0, 0, 1])
    assert float(token_mean(tokens, mask, group)) == 16 / 4
    assert float(seq_mean_token_mean(tokens, mask, group)) == (2 + 10) / 2
    assert float(seq_mean_token_sum(tokens, mask, group)) == (6 + 10) / 2


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
    groups, whole = assemble([pack(np.array([2, 0]), early), pack(np.array([1]), late)])
    assert groups.tolist() == [0, 1, 2] and whole.prompts == ((0,), (1,), (2,))
    assert whole.tokens[:, 0].tolist() == [22, 23, 10, 11, 20, 21]
    assert whole.versions[:, 0].tolist() == [0, 0, 4, 4, 0, 0]
    assert whole.mask.sum(1).tolist() == [3, 3, 2, 2, 3, 3]
    assert groups_of(whole).tolist() == [0, 0, 1, 1, 2, 2]


def test_what_waits_comes_back_and_is_small() -> None:
    """Padding goes, values stay: responses of different lengths, drawn by one version and by several."""
    rollouts = some_rollouts([(5, 6), (7,)], first_token=3, width=4, version=2)
    lengths = torch.tensor([1, 4, 2, 3])
    rollouts.mask[:] = torch.arange(4) < lengths[:, None]
    for page in (rollouts.tokens, rollouts.behavior_logprobs, rollouts.versions):
        page[~rollouts.mask] = 0
    rollouts.stopped[2] = False
    for expected in (1, 10):
        waiting = pack(np.array([4, 9]), rollouts)
        assert len(waiting.versions) == expected and len(waiting.tokens) == 10
        back = unpack(waiting)
        assert back.prompts == rollouts.prompts
        for name in ("tokens", "mask", "behavior_logprobs", "versions", "stopped"):
            assert torch.equal(getattr(back, name), getattr(rollouts, name)), name
            assert getattr(back, name).dtype == getattr(rollouts, name).dtype
        rollouts.versions[1, 3] = 5


def test_taking_some_groups_leaves_the_others() -> None:
    parts = [
        pack(np.array([0, 3]), some_rollouts([(0,), (3,)], 10, 2, 0)),
        pack(np.array([1]), some_rollouts([(1,)], 20, 3, 1)),
    ]
    taken = take(parts, np.array([1, 3]))
    assert taken.prompts == ((1,), (3,)) and taken.tokens[:, 0].tolist() == [20, 21, 12, 13]
    assert [part.groups.tolist() for part in parts] == [[0]]
    assert unpack(parts[0]).tokens[:, 0].tolist() == [10, 11]
    take(parts, np.array([0]))
    assert parts == []


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
    gradient = torch.tensor([[-0.5, -0.25], [0.0, 0.125], [1.0, 1.0], [0.0, 0.0]])
    entropy = torch.full((4, 2), 0.25)
    verdicts = [Verdict(True, "1", "exact"), *2 * [Verdict(False, None, "unparsed")], Verdict(False, "x", "timeout")]
    measured = measure(batch, rollouts, verdicts, entropy, gradient, (0.5, 2.0, -1.5), Step(3.0, -0.25))
    assert list(measured) == list(DIAGNOSTICS)
    w, whole = math.exp(-0.5), math.exp(-1)  # every token is 0.5 nats less likely than it was, every response 1
    assert measured == pytest.approx(
        {
            "loss": 0.5,
            "loss_positive": 2.0,
            "loss_negative": -1.5,
            "balance": 0.5,  # 0.5 over a mean |A| of 1
            "contribution_ratio": 0.75,
            "reward": 0.75,
            "zero_variance_fraction": 0.5,
            "response_tokens": 2,
            "truncated_fraction": 0.25,
            "unparsed_fraction": 0.5,
            "timeout_fraction": 0.25,
            "lag_mean": 2,
            "lag_max": 3,
            "nll": 2.25,  # mean of 2, 2, 1, 4
            "nll_positive": 2,  # (1 + 3) / 2
            "nll_negative": 3,  # mean of 2 and 4
            "nll_ratio": 1.5,
            "entropy": 0.25,
            "weight_positive": 0.75,  # 0.5 + 0.25
            "weight_negative": 0.125,
            "removed_positive": 0,
            "removed_negative": 0.75,  # three of rows 1 and 3
            "ratio_p01": w,
            "ratio_p50": w,
            "ratio_p99": w,
            "ratio_max": w,
            "kl_k1": 0.5,
            "kl_k3": w - 1 + 0.5,
            "chi2_token": w**2 - 1,
            "chi2_sequence": whole**2 - 1,
            "ess_token": 1,
            "ess_sequence": 1,
            "gradient_norm": 3,
            "gradient_cosine": -0.25,
        }
    )


def test_distance_from_the_behavior_policy_by_value() -> None:
    """Ratios 3, 1 in the first response, 1/2 in the second; what is off the mask does not count."""
    ratio = torch.tensor([[3.0, 1.0], [0.5, 99.0]])
    mask = torch.tensor([[True, True], [True, False]])
    measured = distance_from_behavior(ratio.log(), torch.zeros(2, 2), mask)
    d = [math.log(3), 0, math.log(0.5)]
    expected = {
        "ratio_p50": 1,
        "ratio_max": 3,
        "kl_k1": -sum(d) / 3,
        "kl_k3": (3 - 1 - d[0] + 0 + 0.5 - 1 - d[2]) / 3,
        "chi2_token": (9 + 1 + 0.25) / 3 - 1,
        "chi2_sequence": (9 + 0.25) / 2 - 1,  # whole ratios 3 and 1/2
        "ess_token": 4.5**2 / (3 * 10.25),
        "ess_sequence": 3.5**2 / (2 * 9.25),
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert measured["ratio_p01"] == pytest.approx(0.5 + 0.02 * 0.5, rel=1e-5)  # interpolated between 0.5 and 1
    far = distance_from_behavior(torch.full((1, 2), 900.0), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert far["ratio_max"] == pytest.approx(math.exp(20)) and all(math.isfinite(v) for v in far.values())


def ess(log_ratios: list[list[float]]) -> tuple[float, float]:
    """Over tokens and over responses, of pi / mu given by its logarithm; nan is padding."""
    d = torch.tensor(log_ratios)
    measured = distance_from_behavior(-torch.ones_like(d), -1 - d, ~d.isnan())
    assert all(math.isfinite(value) for value in measured.values())
    return measured["ess_token"], measured["ess_sequence"]


def test_effective_sample_sizes_know_ratios_of_weights_only() -> None:
    # over the largest weight 1, e^-3, e^-4 and e^-25: limited to 20 nats the first three would be one
    share = (1 + math.exp(-3) + math.exp(-4) + math.exp(-25)) ** 2 / (4 * (1 + math.exp(-6) + math.exp(-8)))  # 0.284
    assert ess([[25.0], [22.0], [21.0], [0.0]]) == pytest.approx((share, share), rel=1e-6)
    # 60 tokens that drift by 0.4, 0.5, 0.6 and 1 nats: sums of -24, -30, -36 and -60
    share = (1 + math.exp(-6) + math.exp(-12)) ** 2 / (4 * (1 + math.exp(-12) + math.exp(-24)))  # 0.251
    _, found = ess([60 * [-drift] for drift in (0.4, 0.5, 0.6, 1.0)])
    assert found == pytest.approx(share, rel=1e-4)  # 60 sums of float32
    nan = float("nan")
    # tokens that mu would never give outweigh all others: two of five tokens, two of three responses
    assert ess([[math.inf, 2.0], [1.0, math.inf], [0.0, nan]]) == pytest.approx((2 / 5, 2 / 3))


def test_a_side_without_responses_measures_zero() -> None:
    logprobs, mask = -torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bool)
    nll = nll_by_sign(logprobs, torch.tensor([1.0, 0.0]), mask)
    assert nll == {"nll": 1, "nll_positive": 1, "nll_negative": 0, "nll_ratio": 0}
    weights = weight_by_sign(torch.ones(2, 2), torch.tensor([1.0, 0.0]), mask)
    assert weights == {"weight_positive": 2, "removed_positive": 0, "weight_negative": 0, "removed_negative": 0}


def test_gradient_cosine_between_consecutive_updates(run) -> None:
    """Gradients (1, 1, ...), then (1, -1, ...) over the same number of entries, then minus the second."""
    policy, seen = new_policy(run), []
    for signs in ((1, 1), (1, -1), (-1, 1)):
        for parameter in policy.model.parameters():
            flat = torch.tensor(signs, dtype=parameter.dtype).repeat(parameter.numel() // 2)
            parameter.grad = flat.view_as(parameter).clone()
        seen.append(policy.step().gradient_cosine)
    assert seen == pytest.approx([0, 0, -1], abs=1e-6)
    other = new_policy(run)
    other.restore(policy.state())
    for parameter in other.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert other.step().gradient_cosine == pytest.approx(0, abs=1e-6)
    assert len(other.last_gradient) == len(list(other.model.parameters()))


def test_step_scale_multiplies_the_learning_rate(run) -> None:
    rates = []
    policy = new_policy(run, warmup_updates=2, learning_rate=1e-3)
    policy.optimizer.register_step_pre_hook(lambda *_: rates.append(policy.optimizer.param_groups[0]["lr"]))
    for scale in (1.0, 0.25):
        for parameter in policy.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        policy.step(scale)
    assert rates == pytest.approx([0.5e-3, 0.25e-3])
