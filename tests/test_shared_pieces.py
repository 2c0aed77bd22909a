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
LENGTHS = torch.tensor([1, 3, 4, 1, 1, 1])  # 11 tokens
CENTERED = [1 / 3, -1 / 2, -2 / 3, 1 / 2, 1 / 3, 0]
STD_7 = sqrt(1 / 3) + 1e-6  # (1/9 + 4/9 + 1/9) / 2
STD_3 = sqrt(1 / 2) + 1e-6  # (1/4 + 1/4) / 1
STD_ALL = sqrt(52 / 15) + 1e-6  # mean 4/3: (3 * 1/9 + 2 * 16/9 + 121/9) / 5
SOFT_7, SOFT_3 = log((2 * exp(1) + 1) / 3), log((exp(1) + 1) / 2)  # tau = 1
# over tokens: mean 8/11 and, in 11ths, (3^2 + 3 * 8^2 + 4 * 8^2 + 3^2 + 3^2 + 47^2) / 10 tokens = 268.4
STD_TOKENS = sqrt(268.4 / 121 + 1e-8)
# of CENTERED: mean (1/3 - 3/2 - 8/3 + 1/2 + 1/3) / 11 = -3/11; in 66ths, what is left of the six is 40, -15, -26, 51,
# 40 and 18, and (40^2 + 3 * 15^2 + 4 * 26^2 + 51^2 + 40^2 + 18^2) / 10 = 950.4
STD_CENTERED = sqrt(950.4 / 66**2 + 1e-8)
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
    # 1 - (1 + 0 + 1) / 6, 0 - 1/4, 0 - 2/6, 1 - 1/4, 1 - 2/6, 5 - 5
    "opo": [2 / 3, -1 / 4, -1 / 3, 3 / 4, 2 / 3, 0],
    "reinforce_plus_plus": [n / 11 / STD_TOKENS for n in (3, -8, -8, 3, 3, 47)],
    "reinforce_plus_plus_baseline": [n / 66 / STD_CENTERED for n in (40, -15, -26, 51, 40, 18)],
    # (1 - 2/3) / (2/3), (0 - 1/2) / (1/2), ..., (5 - 5) / 5
    "maxrl": [1 / 2, -1, -1, 1, 1 / 2, 0],
    "opmd": CENTERED,
    "opmd:1": [1 - SOFT_7, -SOFT_3, -SOFT_7, 1 - SOFT_3, 1 - SOFT_7, 0],
    "opmd:0.5": [1 - HARD_7, -HARD_3, -HARD_7, 1 - HARD_3, 1 - HARD_7, 0],
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_advantage(name: str) -> None:
    torch.testing.assert_close(make_advantage(name)(REWARDS, GROUP, LENGTHS), double(ESTIMATES[name]))


def test_every_advantage_is_here() -> None:
    assert {name.partition(":")[0] for name in ESTIMATES} == set(ADVANTAGES)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantage_of_equal_rewards_and_of_groups_of_one(name: str) -> None:
    # no estimator but asymre, which adds 0.1, tells such responses apart from their baseline
    estimate, lengths = make_advantage(name), torch.tensor([2, 5, 1])
    expected = torch.full((3,), 0.1 if name == "asymre" else 0.0, dtype=torch.float64)
    torch.testing.assert_close(estimate(double([-2, -2, -2]), torch.tensor([0, 0, 0]), lengths), expected)
    torch.testing.assert_close(estimate(double([4]), torch.tensor([0]), lengths[:1]), expected[:1])
    if name == "reinforce_plus_plus":  # knows no groups: (2 + 0 - 5) / 8 = -3/8; (2 * 11^2 + 5 * 3^2 + 37^2) / 64 / 7
        expected = double([11 / 8, 3 / 8, -37 / 8]) / sqrt(1656 / 448 + 1e-8)
    torch.testing.assert_close(estimate(double([1, 0, -5]), torch.tensor([2, 0, 1]), lengths), expected)


def test_opmd_baselines() -> None:
    # one right of four: the mean 1/4, or log((e + 3) / 4)
    one, group, lengths = double([1, 0, 0, 0]), torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    assert make_advantage("opmd")(one, group, lengths).tolist() == [0.75, -0.25, -0.25, -0.25]
    soft = log((exp(1) + 3) / 4)
    torch.testing.assert_close(make_advantage("opmd:1")(one, group, lengths), double([1 - soft, -soft, -soft, -soft]))


def test_opmd_of_large_rewards() -> None:
    # tau log((e^1000 + e^-1000) / 2) = 1000 - log 2, without overflow
    found = make_advantage("opmd:1")(double([1000, -1000]), torch.tensor([0, 0]), torch.tensor([1, 1]))
    torch.testing.assert_close(found, double([log(2), -2000 + log(2)]))


def test_maxrl_of_groups_without_a_positive_mean() -> None:
    # means 0, -1 and 0
    found = make_advantage("maxrl")(double([0, 0, -2, 0, -3, 3]), torch.tensor([0, 0, 1, 1, 2, 2]), torch.ones(6))
    assert found.tolist() == [0] * 6


def test_opo_of_a_group_without_tokens() -> None:
    # the empty response of group 0 has no say in its baseline, 1/2; group 1 has none
    found = make_advantage("opo")(double([1, 0, 9, 2]), torch.tensor([0, 0, 0, 1]), torch.tensor([3, 3, 0, 0]))
    assert found.tolist() == [0.5, -0.5, 8.5, 2]


@pytest.mark.parametrize("name", ["reinforce_plus_plus", "reinforce_plus_plus_baseline"])
def test_whitening_is_that_of_the_tokens(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, group = torch.rand(40, generator=generator, dtype=torch.float64), torch.arange(40) // 4
    lengths = torch.randint(0, 9, (40,), generator=generator)
    values = rewards if name == "reinforce_plus_plus" else make_advantage("group_mean")(rewards, group, lengths)
    tokens = values.repeat_interleave(lengths)
    found = make_advantage(name)(rewards, group, lengths)
    torch.testing.assert_close(found, (values - tokens.mean()) / (tokens.var() + 1e-8).sqrt())


@pytest.mark.parametrize("name", ["reinforce_plus_plus", "reinforce_plus_plus_baseline"])
def test_whitening_of_hardly_any_token(name: str) -> None:
    rewards, group = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
    for lengths in ([0, 0, 0, 0], [1, 0, 0, 0]):
        assert make_advantage(name)(rewards, group, torch.tensor(lengths)).tolist() == [0] * 4
    # equal rewards whose sum float32 cannot hold: rounding, over the 1e-4 that no variance leaves, would be 6e-4
    lengths, alone = torch.tensor([730, 955, 1652, 1287, 3040]), torch.zeros(5, dtype=torch.int64)
    same = torch.full((5,), 0.800011396408081)
    assert make_advantage(name)(same, alone, lengths).abs().max() < 1e-6


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
PROMPTS = torch.tensor([5, 5, 2])  # 2 is without tokens
# (1 + 2 + 3 + 4) / 4; means 2 and 4 of two responses; sums 6 and 4 of two; those over 8; 10 / 4 of one prompt; 10
TOTALS = dict(zip(AGGREGATES, (2.5, 3.0, 5.0, 0.625, 2.5, 10.0), strict=True))
# The middle token of the first response and all of the second are rejected: 1 and 3 are left of 3 tokens and 1.
REJECTED = Loss(TOKENS, kept=torch.tensor([[True, False, True], [False, True, True], [True, True, True]]))
ALL = dict(zip(AGGREGATES, (1.0, 2 / 3, 2.0, 0.25, 1.0, 4.0), strict=True))
KEPT = dict(zip(AGGREGATES, (2.0, 2.0, 4.0, 0.5, 2.0, 4.0), strict=True))


@pytest.fixture(params=AGGREGATES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_aggregate(name: str) -> None:
    aggregate = make_aggregate(name, 8)
    torch.testing.assert_close(aggregate(TOKENS, MASK, PROMPTS), double(TOTALS[name]))
    assert aggregate(torch.full((2, 3), nan), NONE, PROMPTS[:2]) == 0  # no token at all
    single, expected = double([[_, 3, _]]), double(3 / 8 if name == "fixed_length" else 3)
    torch.testing.assert_close(aggregate(single, ~single.isnan(), PROMPTS[:1]), expected)


def test_prompt_mean() -> None:
    # prompt 7: (1 + 2 + 3 + 4) / 4 = 2.5; prompt 3: (5 + 6) / 2 = 5.5; prompt 9: 8; prompt 4 has no token
    tokens = double([[1, 2, 3], [5, 6, _], [4, _, _], [8, _, _], [_, _, _]]).requires_grad_()
    group = torch.tensor([7, 3, 7, 9, 4])
    total = make_aggregate("prompt_mean", 8)(tokens, ~tokens.isnan(), group)
    torch.testing.assert_close(total, double((2.5 + 5.5 + 8) / 3))
    (found,) = torch.autograd.grad(total, tokens)
    share = [[1 / 12] * 3, [1 / 6, 1 / 6, 0], [1 / 12, 0, 0], [1 / 3, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(found, double(share))
    # prompts 7 and 9 are left of which none or all was rejected; 3 counts only where the rejected do
    loss = Loss(tokens, kept=(group != 3)[:, None].expand(5, 3))
    for denominator, prompts in (("all", 3), ("kept", 2)):
        found = reduced(loss, ~tokens.isnan(), group, make_aggregate("prompt_mean", 8), denominator)
        torch.testing.assert_close(found, double((2.5 + 8) / prompts))


def test_response_means() -> None:
    torch.testing.assert_close(response_means(TOKENS, MASK), double([2, 4, 0]))


def test_unknown_aggregate() -> None:
    with pytest.raises(InputError, match=r"'token_meen' is unknown \(did you mean 'token_mean'\?\); expected one of"):
        make_aggregate("token_meen", 8)


@pytest.mark.parametrize(("denominator", "expected"), [("all", ALL), ("kept", KEPT)])
def test_reduced(name: str, denominator: str, expected: dict[str, float]) -> None:
    aggregate = make_aggregate(name, 8)
    torch.testing.assert_close(reduced(REJECTED, MASK, PROMPTS, aggregate, denominator), double(expected[name]))
    # without a rejection both denominators are the mask
    torch.testing.assert_close(reduced(Loss(TOKENS), MASK, PROMPTS, aggregate, denominator), double(TOTALS[name]))
    everything = Loss(TOKENS, kept=torch.zeros_like(MASK))
    assert reduced(everything, MASK, PROMPTS, aggregate, denominator) == 0


def test_reduced_does_not_look_at_rejected_tokens(name: str) -> None:
    tokens = TOKENS.where(REJECTED.kept, nan).requires_grad_()
    total = reduced(Loss(tokens, kept=REJECTED.kept), MASK, PROMPTS, make_aggregate(name, 8), "all")
    torch.testing.assert_close(total, double(ALL[name]))
    (found,) = torch.autograd.grad(total, tokens)
    # the share of a token of the first response: 1 of 4 tokens, of 3 in 2 responses, of 2 responses, of these over 8,
    # of 4 tokens of one prompt, all of it
    share = dict(zip(AGGREGATES, (1 / 4, 1 / 6, 1 / 2, 1 / 16, 1 / 4, 1), strict=True))
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
        # prompt 0 has three tokens, prompt 1 two, of which one is rejected
        ("prompt_mean", "all", (3 / 3 / 2, 4 / 2 / 2)),
        ("prompt_mean", "kept", (3 / 3 / 2, 4 / 2)),
        ("token_sum", "kept", (3, 4)),
    ],
)
def test_reduced_by_sign(aggregate: str, denominator: str, parts: tuple[float, float]) -> None:
    tokens: Tensor = double([[1, 2], [4, 5], [8, _]]).requires_grad_()
    loss = Loss(tokens, kept=torch.tensor([[True, True], [True, False], [True, True]]))
    advantages, group = double([0.5, -0.5, 0]), torch.tensor([0, 1, 0])
    found = reduced_by_sign(loss, advantages, ~tokens.isnan(), group, make_aggregate(aggregate, 8), denominator)
    assert found == pytest.approx(parts)
