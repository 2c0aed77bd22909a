"""Every registered objective keeps the conformance; ASymPO and SPO keep what their definitions promise.

Values by hand are in test_golden_values*.py.
"""

from collections.abc import Callable
from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lagbench import Loss
from lagbench.harness.check import CHECKS
from lagbench.harness.check.objective import problem, variants
from lagbench.harness.check.stop_gradient import finite_differences
from lagbench.harness.learn.aggregate import make_aggregate, reduced_by_sign, seq_mean_token_mean
from lagbench.harness.registry import OBJECTIVES
from lagbench.objectives.asympo import asympo
from lagbench.objectives.asympo_stable import asympo_stable
from lagbench.objectives.policy_gradient import policy_gradient
from lagbench.objectives.positive_only import positive_only
from lagbench.objectives.spo import spo

BUILT_IN = [name for name, entry in OBJECTIVES.all().items() if entry.distribution == "lagbench"]
BEHAVIOR_FREE = {"policy_gradient", "gpg", "asympo", "asympo_stable", "spo", "asymre", "positive_only", "rloo", "opmd"}

# Two responses of three and two tokens; the last entry is padding and must not matter.
LOGPROBS = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -1.5, -9.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])
ADVANTAGES = torch.tensor([2.0, -1.0])
GROUP = torch.tensor([0, 0])


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(name: str, check) -> None:
    entry = OBJECTIVES.get(name)
    for options in variants(entry, check):
        assert problem(entry, check, options) is None


def test_who_reads_the_behavior_policy() -> None:
    hidden = {"behavior_logprobs", "proximal_logprobs", "lag"}
    assert {name for name in BUILT_IN if not hidden & set(OBJECTIVES.get(name).reads)} >= BEHAVIOR_FREE


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


BALANCED = {"asympo": asympo, "asympo_stable": asympo_stable}


def total(function: Callable[..., Loss], b: dict[str, Tensor], **options: object) -> Tensor:
    loss = function(b["logprobs"], b["advantages"], b["mask"], **options)
    return seq_mean_token_mean(loss.tokens, b["mask"], b["group"])


def as_given(groups: list[list[tuple[float, list[float]]]]) -> dict[str, Tensor]:
    """Rewards and log-probabilities of ragged responses as a batch, advantages by equation 1."""
    rows = [row for group in groups for _, row in group]
    rewards = [torch.tensor([reward for reward, _ in group], dtype=torch.float64) for group in groups]
    width = max(map(len, rows))
    padded = [row + [float("nan")] * (width - len(row)) for row in rows]
    logprobs = torch.tensor(padded, dtype=torch.float64)
    advantages = torch.cat([reward - reward.mean() for reward in rewards])
    group = torch.arange(len(groups)).repeat_interleave(torch.tensor(list(map(len, groups))))
    mask = ~logprobs.isnan()
    return {"logprobs": logprobs.requires_grad_(), "mask": mask, "advantages": advantages, "group": group}


# Down to a mean NLL of 1e-5, which is above the floor, and up to 30 nats.
RESPONSE = st.lists(st.floats(-30, -1e-5), min_size=1, max_size=5)
GROUPS = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), RESPONSE), min_size=1, max_size=5), min_size=1, max_size=3
)


@pytest.mark.parametrize("name", BALANCED)
@given(groups=GROUPS)
def test_theorem_2(name: str, groups: list[list[tuple[float, list[float]]]]) -> None:
    """Response i contributes A_i, either side the same, the loss is zero: to 1e-12."""
    batch = as_given(groups)
    mask, advantages = batch["mask"], batch["advantages"]
    tokens = BALANCED[name](batch["logprobs"], advantages, mask).tokens.detach()
    contributions = torch.stack([row[present].mean() for row, present in zip(tokens, mask, strict=True)])
    torch.testing.assert_close(contributions, advantages, rtol=1e-12, atol=1e-12)
    assert abs(total(BALANCED[name], batch).item()) <= 1e-12
    loss = Loss(tokens)
    positive, negative = reduced_by_sign(loss, advantages, mask, batch["group"], seq_mean_token_mean, "all")
    half = float(advantages.abs().sum()) / 2 / len(advantages)
    assert positive == pytest.approx(half, abs=1e-12) and negative == pytest.approx(-half, abs=1e-12)


@pytest.mark.parametrize("name", BALANCED)
def test_gradient_is_that_of_the_mean_of_a_log_s(name: str, zero_sum: dict[str, Tensor]) -> None:
    """Zero at clipped tokens, finite differences of mean A log S elsewhere."""
    advantages, mask = zero_sum["advantages"], zero_sum["mask"]
    bounds = {"p_low": 0.25, "p_high": 0.7} if name == "asympo_stable" else {}

    def surrogate(x: Tensor) -> Tensor:
        if bounds:
            above, below = log(bounds["p_high"]), log(bounds["p_low"])
            x = torch.where(advantages[:, None] >= 0, x.clamp(max=above), x.clamp(min=below))
        nll = torch.stack([-row[m].mean() for row, m in zip(x, mask, strict=True)])
        return (advantages * nll.log()).mean()

    logprobs = zero_sum["logprobs"].detach()
    (found,) = torch.autograd.grad(total(BALANCED[name], zero_sum, **bounds), zero_sum["logprobs"])
    differences, _ = finite_differences(surrogate, logprobs)
    torch.testing.assert_close(found, differences, rtol=1e-5, atol=1e-6)
    if bounds:
        p, positive = logprobs.exp(), advantages[:, None] >= 0
        clipped = mask & ((positive & (p > 0.7)) | (~positive & (p < 0.25)))
        assert (clipped & positive).any() and (clipped & ~positive).any()
        assert not found[clipped].any() and found[mask & ~clipped].all()
    metrics = BALANCED[name](zero_sum["logprobs"], advantages, mask, **bounds).metrics
    assert metrics["surrogate"] == pytest.approx(float(surrogate(logprobs)))


def test_asympo_stable_without_bounds_is_asympo(zero_sum: dict[str, Tensor]) -> None:
    given = zero_sum["logprobs"], zero_sum["advantages"], zero_sum["mask"]
    torch.testing.assert_close(asympo_stable(*given, p_low=1e-300, p_high=1.0).tokens, asympo(*given).tokens)


@pytest.mark.parametrize(
    ("aggregate", "options", "balanced"),
    [
        ("token_mean", {}, False),
        ("seq_mean_token_sum", {}, False),
        ("token_mean", {"normalizer": "sum"}, True),
        ("seq_mean_token_sum", {"normalizer": "sum"}, True),
        ("seq_mean_token_mean", {"sides": "negative"}, False),
    ],
)
def test_which_conventions_keep_the_balance(
    zero_sum: dict[str, Tensor], aggregate: str, options: dict[str, str], balanced: bool
) -> None:
    tokens = asympo(zero_sum["logprobs"], zero_sum["advantages"], zero_sum["mask"], **options).tokens
    value = float(make_aggregate(aggregate, 5)(tokens.detach(), zero_sum["mask"], zero_sum["group"]))
    assert (abs(value) < 1e-12) is balanced


def test_asympo_is_naive_over_s_where_all_s_are_equal() -> None:
    logprobs = torch.tensor([[-0.5, -1.5, -1.0], [-1.2, -0.8, 0.0]], requires_grad=True)  # both means are 1
    scaled = 2 * logprobs  # both means are 2
    naive_loss, loss = policy_gradient(scaled, ADVANTAGES), asympo(scaled, ADVANTAGES, MASK)
    (naive,) = torch.autograd.grad(seq_mean_token_mean(naive_loss.tokens, MASK, GROUP), logprobs, retain_graph=True)
    (found,) = torch.autograd.grad(seq_mean_token_mean(loss.tokens, MASK, GROUP), logprobs)
    torch.testing.assert_close(found, naive / 2)


def test_asympo_contribution_does_not_depend_on_padding() -> None:
    padded = torch.nn.functional.pad(LOGPROBS, (0, 4), value=float("nan"))
    mask = torch.nn.functional.pad(MASK, (0, 4))
    for objective in (asympo, asympo_stable, lambda x, a, m: policy_gradient(x, a)):
        short, long = objective(LOGPROBS, ADVANTAGES, MASK), objective(padded, ADVANTAGES, mask)
        assert torch.equal(
            seq_mean_token_mean(short.tokens, MASK, GROUP), seq_mean_token_mean(long.tokens, mask, GROUP)
        )


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
    total = seq_mean_token_mean(loss.tokens, batch["mask"], batch["group"])
    (found,) = torch.autograd.grad(total, batch["logprobs"])
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
        ("m2po", {"variant": "paper", "budget": 1e9}, "is_pg", {}),
        ("m2po", {"variant": "areal", "budget": 1e9}, "decoupled_ppo", {}),
        ("dppo", {"low": 1.0, "high": 1.0}, "is_pg", {}),
        ("dppo", {"divergence": "kl", "kl": 1e9}, "is_pg", {}),
        ("dppo", {"surrogate": "truncated", "cap": 2.0, "low": 1.0, "high": 1.0}, "tis", {"cap": 2.0}),
        ("dppo", {"surrogate": "truncated", "cap": 1e9}, "dppo", {}),
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
