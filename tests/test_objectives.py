"""Every registered objective keeps the conformance; ASymPO and SPO keep what their definitions promise.

Values by hand are in test_golden_values*.py.
"""

from math import log

import pytest
import torch
from torch import Tensor

from lagbench.harness.check import CHECKS
from lagbench.harness.check.objective import problem, variants
from lagbench.harness.check.stop_gradient import finite_differences
from lagbench.harness.learn.aggregate import seq_mean_token_mean
from lagbench.harness.registry import OBJECTIVES
from lagbench.objectives.asympo import asympo
from lagbench.objectives.policy_gradient import policy_gradient
from lagbench.objectives.positive_only import positive_only
from lagbench.objectives.spo import spo

BUILT_IN = [name for name, entry in OBJECTIVES.all().items() if entry.distribution == "lagbench"]
BEHAVIOR_FREE = {"policy_gradient", "gpg", "asympo", "spo", "asymre", "positive_only", "rloo", "opmd"}

# Two responses of three and two tokens; the last entry is padding and must not matter.
LOGPROBS = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -1.5, -9.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])
ADVANTAGES = torch.tensor([2.0, -1.0])
GROUP = torch.tensor([0, 0])


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(name: str, check) -> None:
    entry = OBJECTIVES.get(name)
    for given in variants(entry, check):
        assert problem(entry, check, given) is None


def test_who_reads_the_behavior_policy() -> None:
    assert len(BUILT_IN) >= 28
    hidden = {"behavior_logprobs", "proximal_logprobs", "lag"}
    assert {name for name in BUILT_IN if not hidden & set(OBJECTIVES.get(name).reads)} == BEHAVIOR_FREE


@pytest.mark.parametrize("name", BUILT_IN)
def test_documentation(name: str) -> None:
    entry = OBJECTIVES.get(name)
    assert entry.description and entry.source
    assert "    loss" in entry.page, "the formula stands in the module's docstring, indented"


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (6, 5)
    logprobs = -torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 0.1
    return {
        "logprobs": logprobs.requires_grad_(),
        "advantages": torch.tensor([1.3, -0.7, 0.4, -1.0, 0.0, 2.0], dtype=torch.float64),
        "mask": torch.arange(5) < torch.tensor([5, 4, 3, 5, 1, 2])[:, None],
        "group": torch.tensor([0, 0, 0, 1, 1, 1]),
    }


# ASymPO and SPO: what their definitions promise.


@pytest.fixture
def zero_sum(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two groups of three responses, zero-sum within each."""
    return batch | {"advantages": torch.tensor([1.0, -0.25, -0.75, 2.0, -1.5, -0.5], dtype=torch.float64)}


def asympo_total(b: dict[str, Tensor], **options: object) -> Tensor:
    return seq_mean_token_mean(
        asympo(b["logprobs"], b["advantages"], b["mask"], b["group"], **options).tokens, b["mask"]
    )


def test_asympo_value_is_zero_for_zero_sum_advantages(zero_sum: dict[str, Tensor]) -> None:
    single = {k: v.detach().float() if v.is_floating_point() else v for k, v in zero_sum.items()}
    assert abs(asympo_total(single, nll_floor=0.0)) <= 1e-6 * single["advantages"].abs().mean()
    contributions = asympo(single["logprobs"], single["advantages"], single["mask"], single["group"]).tokens
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
    differences, _ = finite_differences(surrogate, zero_sum["logprobs"].detach())
    torch.testing.assert_close(found, differences, rtol=1e-5, atol=1e-6)
    metrics = asympo(zero_sum["logprobs"], advantages, mask, zero_sum["group"]).metrics
    assert metrics["surrogate"] == pytest.approx(float(surrogate(zero_sum["logprobs"].detach())))


def test_asympo_without_stop_gradient_learns_nothing(zero_sum: dict[str, Tensor]) -> None:
    (learns,) = torch.autograd.grad(asympo_total(zero_sum), zero_sum["logprobs"])
    (nothing,) = torch.autograd.grad(asympo_total(zero_sum, detach_scale=False), zero_sum["logprobs"])
    assert nothing.norm() < 1e-6 * learns.norm()


def test_asympo_is_naive_over_n_where_all_n_are_equal() -> None:
    logprobs = torch.tensor([[-0.5, -1.5, -1.0], [-1.2, -0.8, 0.0]], requires_grad=True)  # both means are 1
    scaled = 2 * logprobs  # both means are 2
    (naive,) = torch.autograd.grad(seq_mean_token_mean(policy_gradient(scaled, ADVANTAGES).tokens, MASK), logprobs)
    (found,) = torch.autograd.grad(
        seq_mean_token_mean(asympo(2 * logprobs, ADVANTAGES, MASK, GROUP).tokens, MASK), logprobs
    )
    torch.testing.assert_close(found, naive / 2)


def test_asympo_contribution_does_not_depend_on_padding() -> None:
    padded = torch.nn.functional.pad(LOGPROBS, (0, 4), value=float("nan"))
    mask = torch.nn.functional.pad(MASK, (0, 4))
    for objective in (asympo, lambda x, a, m, g: policy_gradient(x, a)):
        short, long = objective(LOGPROBS, ADVANTAGES, MASK, GROUP), objective(padded, ADVANTAGES, mask, GROUP)
        assert torch.equal(seq_mean_token_mean(short.tokens, MASK), seq_mean_token_mean(long.tokens, mask))


def test_asympo_floor() -> None:
    logprobs = torch.tensor([[-1e-5, -3e-5], [-1.0, -1.0]], requires_grad=True)  # N = 2e-5 and 1
    mask = torch.ones(2, 2, dtype=torch.bool)
    loss = asympo(logprobs, ADVANTAGES, mask, GROUP, nll_floor=1e-3)
    # below the floor: A N / floor = 2 * 2e-5 / 1e-3
    torch.testing.assert_close(loss.tokens.mean(1), torch.tensor([0.04, -1.0]))
    assert loss.metrics["floor_fraction"] == 0.5
    (found,) = torch.autograd.grad(loss.tokens.sum(), logprobs)
    torch.testing.assert_close(found, torch.tensor([[-2000.0, -2000.0], [1.0, 1.0]]))
    certain = torch.zeros(2, 2, requires_grad=True)  # N = 0 exactly
    (found,) = torch.autograd.grad(asympo(certain, ADVANTAGES, mask, GROUP).tokens.sum(), certain)
    assert found.isfinite().all()


def test_asympo_empty_response_counts_in_no_denominator() -> None:
    mask = torch.tensor([[True, True, True], [False, False, False]])
    loss = asympo(LOGPROBS, ADVANTAGES, mask, GROUP)
    assert float(seq_mean_token_mean(loss.tokens, mask)) == pytest.approx(2.0)  # the one response's advantage
    assert loss.metrics["surrogate"] == pytest.approx(2 * log(2))


def test_spo_bounds_are_naive_and_positive_only(batch: dict[str, Tensor]) -> None:
    logprobs, advantages = batch["logprobs"], batch["advantages"]
    naive = policy_gradient(logprobs, advantages).tokens
    assert torch.equal(spo(logprobs, advantages, neg_scale=1.0).tokens, naive)
    positives = positive_only(logprobs, advantages).tokens
    assert torch.equal(spo(logprobs, advantages, neg_scale=0.0).tokens, positives)


# Relations between objectives that hold by definition, on random data.


def total_gradient(name: str, batch: dict[str, Tensor], **options: object) -> Tensor:
    entry = OBJECTIVES.get(name)
    loss = entry.function(*(batch[field] for field in entry.reads), **options)
    (found,) = torch.autograd.grad(seq_mean_token_mean(loss.tokens, batch["mask"]), batch["logprobs"])
    return found


@pytest.fixture
def stale(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch drawn by a policy about half a nat away, at lag 1."""
    generator = torch.Generator().manual_seed(4)
    noise = 0.5 * torch.randn(batch["logprobs"].shape, generator=generator, dtype=torch.float64)
    behavior = batch["logprobs"].detach() + noise
    return batch | {
        "behavior_logprobs": behavior,
        "proximal_logprobs": batch["logprobs"].detach(),
        "lag": torch.ones(behavior.shape, dtype=torch.int32),
        "rewards": (batch["advantages"] > 0).double(),
        "uniform": torch.rand(behavior.shape, generator=generator, dtype=torch.float64),
    }


@pytest.mark.parametrize(
    ("name", "options", "other", "other_options"),
    [
        ("tis", {"cap": 1e9}, "is_pg", {}),
        ("cispo", {"clip_high": 1e9}, "is_pg", {}),
        ("cispo", {"cap": "absolute", "clip_high": 2.0}, "tis", {"cap": 2.0}),
        ("grpo", {"clip_low": 1e9, "clip_high": 1e9}, "is_pg", {}),
        ("dapo", {"clip_high": 0.2}, "grpo", {}),
        ("dr_grpo", {}, "grpo", {}),
        ("dual_clip", {"dual": 1e9}, "grpo", {}),
        ("opsm", {"delta": 1e9}, "grpo", {}),
        ("a3po", {"weight_cap": 1e9}, "grpo", {}),  # lag 1: the anchor is the behavior policy
        ("m2po", {"budget": 1e9}, "is_pg", {}),
        ("m2po", {"variant": "areal", "budget": 1e9}, "policy_gradient", {}),
        ("dppo", {"low": 1.0, "high": 1.0}, "is_pg", {}),
        ("dppo", {"divergence": "kl", "kl": 1e9}, "is_pg", {}),
        ("icepop", {"low": 0.0, "high": 1e9}, "decoupled_ppo", {"weight_cap": 1e9}),
        ("decoupled_ppo", {"bound": "truncate", "weight_cap": 2.0}, "tis", {"cap": 2.0}),
        ("vcpo", {"cap": 2.0}, "tis", {"level": "sequence", "cap": 2.0}),
        ("kimi", {"tau": 0.0}, "policy_gradient", {}),
        ("sppo", {"clip": 1e9}, "policy_gradient", {}),
        ("opmd", {"tau": 0.0}, "policy_gradient", {}),
        ("asymre", {}, "policy_gradient", {}),
        ("rloo", {}, "policy_gradient", {}),
        ("gspo", {"clip_low": 1e9, "clip_high": 1e9}, "gmpo", {"clip_low": 1e9, "clip_high": 1e9}),
        ("ipo", {"limit": 1.0, "log_ratio_penalty": 0.0}, "is_pg", {}),
        ("ipo", {"limit": 1.0, "log_ratio_penalty": 0.1}, "dppo", {"low": 1.0, "high": 1.0, "log_ratio_penalty": 0.1}),
        ("kpop", {"limit": 1e9, "log_ratio_penalty": 0.1}, "ipo", {"limit": 1.0, "log_ratio_penalty": 0.1}),
        ("sat", {"quantile": 1.0}, "grpo", {}),
        ("sat", {"level": "sequence", "quantile": 1.0}, "gspo", {"clip_low": 0.2, "clip_high": 0.2}),
        ("geo_mask", {"low": 0.0, "high": 1e9}, "grpo", {}),
        ("clip_cov", {"cov_low": 1e9, "cov_high": 1e9}, "grpo", {}),
        ("kl_cov", {"coefficient": 0.0}, "is_pg", {}),
        ("rec", {"clip": "none"}, "policy_gradient", {}),
        ("rec", {"weight": "ratio"}, "grpo", {}),
        ("rec", {"clip": "two_side", "clip_low": 1 - 1 / 1.3, "clip_high": 0.3}, "sppo", {}),
        ("rec", {"clip": "none", "k2": 0.05}, "kimi", {"level": "token"}),
        ("rec", {"clip": "sequence_one_side", "weight": "sequence"}, "gspo", {"clip_low": 0.2, "clip_high": 0.2}),
    ],
)
def test_one_is_a_limit_of_another(
    stale: dict[str, Tensor], name: str, options: dict, other: str, other_options: dict
) -> None:
    torch.testing.assert_close(total_gradient(name, stale, **options), total_gradient(other, stale, **other_options))


@pytest.mark.parametrize(
    ("name", "positive", "negative"), [("up_grpo", "policy_gradient", "dual_clip"), ("aspo", None, "grpo")]
)
def test_each_side_is_another_objective(
    stale: dict[str, Tensor], name: str, positive: str | None, negative: str
) -> None:
    found, up = total_gradient(name, stale), stale["advantages"] > 0
    torch.testing.assert_close(found[~up], total_gradient(negative, stale)[~up])
    if positive:
        torch.testing.assert_close(found[up], total_gradient(positive, stale)[up])


def test_minpro_is_cispo_for_the_first_token_alone(stale: dict[str, Tensor]) -> None:
    found, expected = total_gradient("minpro", stale), total_gradient("cispo", stale)
    torch.testing.assert_close(found[:, 0], expected[:, 0])
    assert not torch.isclose(found, expected)[:, 1:][stale["mask"][:, 1:] & (expected[:, 1:] != 0)].all()
