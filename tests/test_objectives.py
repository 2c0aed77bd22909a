"""Golden values by hand, gradients against the weight table and against finite differences."""

from math import log

import pytest
import torch
from torch import Tensor

from lagbench import Loss
from lagbench.harness.learn.aggregate import seq_mean_token_mean
from lagbench.objectives.asympo import asympo
from lagbench.objectives.decoupled_ppo import decoupled_ppo
from lagbench.objectives.grpo import grpo
from lagbench.objectives.policy_gradient import policy_gradient
from lagbench.objectives.spo import spo

# Two responses of three and two tokens; the last entry is padding and must not matter.
LOGPROBS = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -1.5, -9.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])
ADVANTAGES = torch.tensor([2.0, -1.0])


def on_mask(loss: Loss) -> Tensor:
    return loss.tokens[MASK]


def test_policy_gradient_value() -> None:
    # -2 * (-1, -2, -3) and -(-1) * (-0.5, -1.5)
    torch.testing.assert_close(on_mask(policy_gradient(LOGPROBS, ADVANTAGES)), torch.tensor([2, 4, 6, -0.5, -1.5]))


def test_spo_value() -> None:
    # the negative response at half its weight
    torch.testing.assert_close(on_mask(spo(LOGPROBS, ADVANTAGES)), torch.tensor([2, 4, 6, -0.25, -0.75]))


def test_asympo_value() -> None:
    # N = (1 + 2 + 3) / 3 = 2 and (0.5 + 1.5) / 2 = 1: 2 * (1, 2, 3) / 2 and -1 * (0.5, 1.5) / 1
    loss = asympo(LOGPROBS, ADVANTAGES, MASK)
    torch.testing.assert_close(on_mask(loss), torch.tensor([1, 2, 3, -0.5, -1.5]))
    assert loss.metrics["surrogate"] == pytest.approx((2 * log(2) - 1 * log(1)) / 2)
    assert loss.metrics["floor_fraction"] == 0


def test_grpo_value() -> None:
    ratio = torch.tensor([[1.5, 0.5, 1.1], [1.5, 0.5, 1.0]])
    loss = grpo(LOGPROBS, LOGPROBS - ratio.log(), torch.tensor([1.0, -1.0]), MASK)
    # A = 1: min(1.5, 1.2), min(0.5, 0.8), min(1.1, 1.1); A = -1: min(-1.5, -1.2), min(-0.5, -0.8)
    torch.testing.assert_close(on_mask(loss), torch.tensor([-1.2, -0.5, -1.1, 1.5, 0.8]))
    assert loss.metrics["clip_fraction"] == pytest.approx(2 / 5)  # 1.5 with A = 1 and 0.5 with A = -1


def test_decoupled_ppo_value() -> None:
    ratio = torch.tensor([[1.5, 0.5, 1.1], [1.5, 0.5, 1.0]])
    weight = torch.tensor([[2.0, 0.5, 6.0], [3.0, 1.0, 1.0]])
    proximal = LOGPROBS - ratio.log()
    behavior = proximal - weight.log()
    signs = torch.tensor([1.0, -1.0])
    # the surrogates of grpo above, times the weight; 6 exceeds the cap of 5
    masked = decoupled_ppo(LOGPROBS, proximal, behavior, signs, MASK)
    torch.testing.assert_close(on_mask(masked), torch.tensor([-2.4, -0.25, 0.0, 4.5, 0.8]))
    assert masked.metrics["bound_fraction"] == pytest.approx(1 / 5)
    truncated = decoupled_ppo(LOGPROBS, proximal, behavior, signs, MASK, bound="truncate", weight_cap=2.0)
    torch.testing.assert_close(on_mask(truncated), torch.tensor([-2.4, -0.25, -2.2, 3.0, 0.8]))


# Gradients in float64, on a batch with both signs, clipped and unclipped tokens, and a capped weight.


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (6, 5)
    mask = torch.arange(5) < torch.tensor([5, 4, 3, 5, 1, 2])[:, None]
    logprobs = -torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 0.1
    return {
        "logprobs": logprobs.requires_grad_(),
        "proximal_logprobs": logprobs.detach() + 0.4 * torch.randn(shape, generator=generator, dtype=torch.float64),
        "behavior_logprobs": logprobs.detach() + 0.8 * torch.randn(shape, generator=generator, dtype=torch.float64),
        "advantages": torch.tensor([1.3, -0.7, 0.4, -1.0, 0.0, 2.0], dtype=torch.float64),
        "mask": mask,
    }


def gradient(loss: Loss, batch: dict[str, Tensor]) -> Tensor:
    (found,) = torch.autograd.grad(loss.tokens[batch["mask"]].sum(), batch["logprobs"])
    return found


def finite_differences(value, at: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of a scalar function of a matrix, entry by entry."""
    result = torch.zeros_like(at)
    for index in range(at.numel()):
        shift = torch.zeros(at.numel(), dtype=at.dtype)
        shift[index] = step
        shift = shift.view_as(at)
        result.view(-1)[index] = (value(at + shift) - value(at - shift)) / (2 * step)
    return result


def test_weight_of_naive_and_spo(batch: dict[str, Tensor]) -> None:
    logprobs, advantages, mask = batch["logprobs"], batch["advantages"], batch["mask"]
    expected = -(advantages[:, None] * mask)
    torch.testing.assert_close(gradient(policy_gradient(logprobs, advantages), batch), expected)
    scale = torch.tensor([1, 0.3, 1, 0.3, 1, 1], dtype=torch.float64)[:, None]
    torch.testing.assert_close(gradient(spo(logprobs, advantages, neg_scale=0.3), batch), scale * expected)


def test_weight_of_asympo(batch: dict[str, Tensor]) -> None:
    logprobs, advantages, mask = batch["logprobs"], batch["advantages"], batch["mask"]
    mean_nll = torch.stack([-row[m].mean() for row, m in zip(logprobs.detach(), mask, strict=True)])
    expected = -(advantages / mean_nll)[:, None] * mask
    torch.testing.assert_close(gradient(asympo(logprobs, advantages, mask), batch), expected)


def test_weight_of_grpo(batch: dict[str, Tensor]) -> None:
    logprobs, behavior, advantages, mask = (batch[k] for k in ("logprobs", "behavior_logprobs", "advantages", "mask"))
    ratio, a = (logprobs - behavior).exp().detach(), advantages[:, None]
    clipped = ((a > 0) & (ratio > 1.2)) | ((a < 0) & (ratio < 0.8))
    assert (clipped & mask).any() and (~clipped & mask).any()
    expected = -a * ratio * ~clipped * mask
    torch.testing.assert_close(gradient(grpo(logprobs, behavior, advantages, mask), batch), expected)


@pytest.mark.parametrize(("bound", "cap"), [("mask", 1.5), ("truncate", 1.5), ("mask", 5.0)])
def test_weight_of_decoupled_ppo(batch: dict[str, Tensor], bound: str, cap: float) -> None:
    logprobs, proximal, behavior = (batch[k] for k in ("logprobs", "proximal_logprobs", "behavior_logprobs"))
    ratio, a = (logprobs - proximal).exp().detach(), batch["advantages"][:, None]
    clipped = ((a > 0) & (ratio > 1.2)) | ((a < 0) & (ratio < 0.8))
    weight = (proximal - behavior).exp()
    bounded = weight.clamp(max=cap) if bound == "truncate" else weight * (weight <= cap)
    expected = -a * bounded * ratio * ~clipped * batch["mask"]
    loss = decoupled_ppo(logprobs, proximal, behavior, batch["advantages"], batch["mask"], bound=bound, weight_cap=cap)
    torch.testing.assert_close(gradient(loss, batch), expected)


def test_gradients_equal_finite_differences(batch: dict[str, Tensor]) -> None:
    advantages, mask = batch["advantages"], batch["mask"]
    proximal, behavior = batch["proximal_logprobs"], batch["behavior_logprobs"]
    losses = [
        lambda x: policy_gradient(x, advantages),
        lambda x: spo(x, advantages),
        lambda x: grpo(x, behavior, advantages, mask),
        lambda x: decoupled_ppo(x, proximal, behavior, advantages, mask),
    ]
    for loss in losses:
        (found,) = torch.autograd.grad(seq_mean_token_mean(loss(batch["logprobs"]).tokens, mask), batch["logprobs"])
        expected = finite_differences(
            lambda x, loss=loss: seq_mean_token_mean(loss(x).tokens, mask), batch["logprobs"].detach()
        )
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


# ASymPO and SPO: what their definitions promise.


@pytest.fixture
def zero_sum(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two groups of three responses, zero-sum within each."""
    return batch | {"advantages": torch.tensor([1.0, -0.25, -0.75, 2.0, -1.5, -0.5], dtype=torch.float64)}


def asympo_total(b: dict[str, Tensor], **options: object) -> Tensor:
    return seq_mean_token_mean(asympo(b["logprobs"], b["advantages"], b["mask"], **options).tokens, b["mask"])


def test_asympo_value_is_zero_for_zero_sum_advantages(zero_sum: dict[str, Tensor]) -> None:
    single = {k: v.detach().float() if v.is_floating_point() else v for k, v in zero_sum.items()}
    assert abs(asympo_total(single, nll_floor=0.0)) <= 1e-6 * single["advantages"].abs().mean()
    contributions = asympo(single["logprobs"], single["advantages"], single["mask"]).tokens
    per_response = torch.stack([row[m].mean() for row, m in zip(contributions, single["mask"], strict=True)])
    torch.testing.assert_close(per_response, single["advantages"])


def test_asympo_gradient_is_that_of_the_mean_of_a_log_n(zero_sum: dict[str, Tensor]) -> None:
    advantages, mask = zero_sum["advantages"], zero_sum["mask"]

    def surrogate(x: Tensor) -> Tensor:
        nll = torch.stack([-row[m].mean() for row, m in zip(x, mask, strict=True)])
        return (advantages * nll.log()).mean()

    (found,) = torch.autograd.grad(asympo_total(zero_sum), zero_sum["logprobs"])
    (analytic,) = torch.autograd.grad(surrogate(zero_sum["logprobs"]), zero_sum["logprobs"])
    torch.testing.assert_close(found, analytic)
    differences = finite_differences(surrogate, zero_sum["logprobs"].detach())
    torch.testing.assert_close(found, differences, rtol=1e-6, atol=1e-8)
    metrics = asympo(zero_sum["logprobs"], advantages, mask).metrics
    assert metrics["surrogate"] == pytest.approx(float(surrogate(zero_sum["logprobs"].detach())))


def test_asympo_without_stop_gradient_learns_nothing(zero_sum: dict[str, Tensor]) -> None:
    (learns,) = torch.autograd.grad(asympo_total(zero_sum), zero_sum["logprobs"])
    (nothing,) = torch.autograd.grad(asympo_total(zero_sum, detach_scale=False), zero_sum["logprobs"])
    assert nothing.norm() < 1e-6 * learns.norm()


def test_asympo_is_naive_over_n_where_all_n_are_equal() -> None:
    logprobs = torch.tensor([[-0.5, -1.5, -1.0], [-1.2, -0.8, 0.0]], requires_grad=True)  # both means are 1
    scaled = 2 * logprobs  # both means are 2
    (naive,) = torch.autograd.grad(seq_mean_token_mean(policy_gradient(scaled, ADVANTAGES).tokens, MASK), logprobs)
    (found,) = torch.autograd.grad(seq_mean_token_mean(asympo(2 * logprobs, ADVANTAGES, MASK).tokens, MASK), logprobs)
    torch.testing.assert_close(found, naive / 2)


def test_asympo_contribution_does_not_depend_on_padding() -> None:
    padded = torch.nn.functional.pad(LOGPROBS, (0, 4), value=float("nan"))
    mask = torch.nn.functional.pad(MASK, (0, 4))
    for objective in (asympo, lambda x, a, m: policy_gradient(x, a)):
        short, long = objective(LOGPROBS, ADVANTAGES, MASK), objective(padded, ADVANTAGES, mask)
        assert torch.equal(seq_mean_token_mean(short.tokens, MASK), seq_mean_token_mean(long.tokens, mask))


def test_asympo_floor() -> None:
    logprobs = torch.tensor([[-1e-5, -3e-5], [-1.0, -1.0]], requires_grad=True)  # N = 2e-5 and 1
    mask = torch.ones(2, 2, dtype=torch.bool)
    loss = asympo(logprobs, ADVANTAGES, mask, nll_floor=1e-3)
    # below the floor: A N / floor = 2 * 2e-5 / 1e-3
    torch.testing.assert_close(loss.tokens.mean(1), torch.tensor([0.04, -1.0]))
    assert loss.metrics["floor_fraction"] == 0.5
    (found,) = torch.autograd.grad(loss.tokens.sum(), logprobs)
    torch.testing.assert_close(found, torch.tensor([[-2000.0, -2000.0], [1.0, 1.0]]))
    certain = torch.zeros(2, 2, requires_grad=True)  # N = 0 exactly
    (found,) = torch.autograd.grad(asympo(certain, ADVANTAGES, mask).tokens.sum(), certain)
    assert found.isfinite().all()


def test_asympo_empty_response_counts_in_no_denominator() -> None:
    mask = torch.tensor([[True, True, True], [False, False, False]])
    loss = asympo(LOGPROBS, ADVANTAGES, mask)
    assert float(seq_mean_token_mean(loss.tokens, mask)) == pytest.approx(2.0)  # the one response's advantage
    assert loss.metrics["surrogate"] == pytest.approx(2 * log(2))


def test_spo_bounds_are_naive_and_positive_only(batch: dict[str, Tensor]) -> None:
    logprobs, advantages = batch["logprobs"], batch["advantages"]
    naive = policy_gradient(logprobs, advantages).tokens
    assert torch.equal(spo(logprobs, advantages, neg_scale=1.0).tokens, naive)
    positive_only = policy_gradient(logprobs, advantages.clamp(min=0)).tokens
    assert torch.equal(spo(logprobs, advantages, neg_scale=0.0).tokens, positive_only)


def test_ratios_stay_finite_at_extreme_lag() -> None:
    logprobs = torch.tensor([[-1e-6, -800.0]], requires_grad=True)
    behavior = torch.tensor([[-800.0, -1e-6]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    for sign in (1.0, -1.0):
        advantages = torch.tensor([sign])
        for loss in (
            grpo(logprobs, behavior, advantages, mask),
            decoupled_ppo(logprobs, logprobs.detach(), behavior, advantages, mask),
        ):
            (found,) = torch.autograd.grad(loss.tokens.sum(), logprobs)
            assert loss.tokens.isfinite().all() and found.isfinite().all()
