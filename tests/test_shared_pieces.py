"""Advantages and aggregates against numbers derived by hand; a comment holds the arithmetic."""

from functools import partial
from math import exp, log, nan, sqrt

import pytest
import torch
from torch import Tensor

from lagbench import Loss
from lagbench.harness.learn.advantages import ADVANTAGES, make_advantage
from lagbench.harness.learn.aggregate import AGGREGATES, make_aggregate, reduced, reduced_by_sign, response_means
from lagbench.harness.types import InputError

double = partial(torch.tensor, dtype=torch.float64)

# Group 7: 1, 0, 1 (mean 2/3); group 3: 0, 1 (mean 1/2); group 9: 5 alone
REWARDS = double([1, 0, 0, 1, 1, 5])
GROUP = torch.tensor([7, 3, 7, 3, 7, 9])
CENTERED = [1 / 3, -1 / 2, -2 / 3, 1 / 2, 1 / 3, 0]
STD_7 = sqrt(1 / 3) + 1e-6  # (1/9 + 4/9 + 1/9) / 2
STD_3 = sqrt(1 / 2) + 1e-6  # (1/4 + 1/4) / 1
STD_ALL = sqrt(52 / 15) + 1e-6  # mean 4/3: (3 * 1/9 + 2 * 16/9 + 121/9) / 5
SOFT_7, SOFT_3 = log((2 * exp(1) + 1) / 3), log((exp(1) + 1) / 2)  # tau = 1
HARD_7, HARD_3 = log((2 * exp(2) + 1) / 3) / 2, log((exp(2) + 1) / 2) / 2  # tau = 1/2

ESTIMATES = {
    "group_mean": CENTERED,
    "group_mean_std": [c / s for c, s in zip(CENTERED, [STD_7, STD_3, STD_7, STD_3, STD_7, 1], strict=True)],
    "batch_std": [c / STD_ALL for c in CENTERED],
    # 1 - (0 + 1) / 2, 0 - 1, 0 - (1 + 1) / 2, 1 - 0, 1 - (1 + 0) / 2, none
    "leave_one_out": [1 / 2, -1, -1, 1, 1 / 2, 0],
    "asymre": [c + 0.1 for c in CENTERED],
    "asymre:-0.2": [c + 0.2 for c in CENTERED],
    "asymre:0": CENTERED,
    "opmd": [1 - SOFT_7, -SOFT_3, -SOFT_7, 1 - SOFT_3, 1 - SOFT_7, 0],
    "opmd:1": [1 - SOFT_7, -SOFT_3, -SOFT_7, 1 - SOFT_3, 1 - SOFT_7, 0],
    "opmd:0.5": [1 - HARD_7, -HARD_3, -HARD_7, 1 - HARD_3, 1 - HARD_7, 0],
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_advantage(name: str) -> None:
    torch.testing.assert_close(make_advantage(name)(REWARDS, GROUP), double(ESTIMATES[name]))


def test_every_advantage_is_here() -> None:
    assert {name.partition(":")[0] for name in ESTIMATES} == set(ADVANTAGES)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantage_of_equal_rewards_and_of_groups_of_one(name: str) -> None:
    # no estimator but asymre, which adds 0.1, tells such responses apart from their baseline
    expected = torch.full((3,), 0.1 if name == "asymre" else 0.0, dtype=torch.float64)
    torch.testing.assert_close(make_advantage(name)(double([-2, -2, -2]), torch.tensor([0, 0, 0])), expected)
    torch.testing.assert_close(
        make_advantage(name)(double([1, 0, -5]), torch.tensor([2, 0, 1])), double([{"asymre": 0.1}.get(name, 0.0)] * 3)
    )
    torch.testing.assert_close(make_advantage(name)(double([4]), torch.tensor([0])), expected[:1])


def test_opmd_of_large_rewards() -> None:
    # tau log((e^1000 + e^-1000) / 2) = 1000 - log 2, without overflow
    found = make_advantage("opmd")(double([1000, -1000]), torch.tensor([0, 0]))
    torch.testing.assert_close(found, double([log(2), -2000 + log(2)]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("group_meen", r"'group_meen' is unknown \(did you mean 'group_mean'\?\); expected one of group_mean, "),
        ("median:3", "'median:3' is unknown; expected"),
        ("group_mean:0.5", "'group_mean:0.5' is not valid: only asymre takes a number"),
        ("asymre:low", "'asymre:low' is not valid"),
        ("asymre:", "'asymre:' is not valid"),
        ("asymre:nan", "not valid"),
        ("asymre:inf", "not valid"),
        ("opmd:0", "above 0"),
        ("opmd:-1", "above 0"),
    ],
)
def test_advantage_errors(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_advantage(name)


_ = nan
TOKENS = double([[1, 2, 3], [4, _, _], [_, _, _]])
MASK = ~TOKENS.isnan()
NONE = torch.zeros(2, 3, dtype=torch.bool)
# (1 + 2 + 3 + 4) / 4; means 2 and 4 of two responses; sums 6 and 4 of two; those over 8 tokens
TOTALS = {"token_mean": 2.5, "seq_mean_token_mean": 3.0, "seq_mean_token_sum": 5.0, "fixed_length": 0.625}
# The middle token of the first response and all of the second are rejected: 1 and 3 are left of 3 tokens and 1.
REJECTED = Loss(TOKENS, kept=torch.tensor([[True, False, True], [False, True, True], [True, True, True]]))
ALL = {"token_mean": 1.0, "seq_mean_token_mean": 2 / 3, "seq_mean_token_sum": 2.0, "fixed_length": 0.25}
KEPT = {"token_mean": 2.0, "seq_mean_token_mean": 2.0, "seq_mean_token_sum": 4.0, "fixed_length": 0.5}


@pytest.fixture(params=AGGREGATES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_aggregate(name: str) -> None:
    aggregate = make_aggregate(name, 8)
    torch.testing.assert_close(aggregate(TOKENS, MASK), double(TOTALS[name]))
    assert aggregate(torch.full((2, 3), nan), NONE) == 0  # no token at all
    single = double([[_, 3, _]])
    torch.testing.assert_close(aggregate(single, ~single.isnan()), double(3 / 8 if name == "fixed_length" else 3))


def test_response_means() -> None:
    torch.testing.assert_close(response_means(TOKENS, MASK), double([2, 4, 0]))


def test_unknown_aggregate() -> None:
    with pytest.raises(InputError, match=r"'token_meen' is unknown \(did you mean 'token_mean'\?\); expected one of"):
        make_aggregate("token_meen", 8)


@pytest.mark.parametrize(("denominator", "expected"), [("all", ALL), ("kept", KEPT)])
def test_reduced(name: str, denominator: str, expected: dict[str, float]) -> None:
    aggregate = make_aggregate(name, 8)
    torch.testing.assert_close(reduced(REJECTED, MASK, aggregate, denominator), double(expected[name]))
    # without a rejection both denominators are the mask
    torch.testing.assert_close(reduced(Loss(TOKENS), MASK, aggregate, denominator), double(TOTALS[name]))
    everything = Loss(TOKENS, kept=torch.zeros_like(MASK))
    assert reduced(everything, MASK, aggregate, denominator) == 0


def test_reduced_does_not_look_at_rejected_tokens(name: str) -> None:
    tokens = TOKENS.where(REJECTED.kept, nan).requires_grad_()
    total = reduced(Loss(tokens, kept=REJECTED.kept), MASK, make_aggregate(name, 8), "all")
    torch.testing.assert_close(total, double(ALL[name]))
    (found,) = torch.autograd.grad(total, tokens)
    # the share of a token of the first response: 1 of 4 tokens, of 3 in 2 responses, of 2 responses, of these over 8
    share = {"token_mean": 1 / 4, "seq_mean_token_mean": 1 / 6, "seq_mean_token_sum": 1 / 2, "fixed_length": 1 / 16}
    torch.testing.assert_close(found, double([[share[name], 0, share[name]], [0, 0, 0], [0, 0, 0]]))


@pytest.mark.parametrize(
    ("aggregate", "denominator", "parts"),
    [
        # five tokens: 1 + 2 of A > 0, 4 of A < 0, 8 of A = 0 in neither; 5 rejected
        ("token_mean", "all", (3 / 5, 4 / 5)),
        ("token_mean", "kept", (3 / 4, 4 / 4)),
        # three responses
        ("seq_mean_token_mean", "all", ((3 / 2) / 3, (4 / 2) / 3)),
        ("seq_mean_token_mean", "kept", ((3 / 2) / 3, 4 / 3)),
        ("seq_mean_token_sum", "all", (3 / 3, 4 / 3)),
        ("fixed_length", "all", (3 / 3 / 8, 4 / 3 / 8)),
    ],
)
def test_reduced_by_sign(aggregate: str, denominator: str, parts: tuple[float, float]) -> None:
    tokens: Tensor = double([[1, 2], [4, 5], [8, _]]).requires_grad_()
    loss = Loss(tokens, kept=torch.tensor([[True, True], [True, False], [True, True]]))
    advantages = double([0.5, -0.5, 0])
    found = reduced_by_sign(loss, advantages, ~tokens.isnan(), make_aggregate(aggregate, 8), denominator)
    assert found == pytest.approx(parts)
