"""Every objective against numbers derived by hand from its formula; a comment holds the arithmetic.

Inputs are ratios by construction (behavior = logprobs - log ratio), just on either side of each bound. log pi is -2
unless stated, so that `-w A log pi` reads 2 w A. `_` is padding: NaN, so that nothing may look at it. `weight` is the
gradient weight: the coefficient of A grad log pi in the sum of all tokens that are kept.
"""

from math import exp, inf, log, sqrt
from typing import Any

import pytest
from golden import Rows, _, check, double, fields_of, logs, loss_of, weight_is

from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.types import InputError


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


# No behavior policy


NAIVE = {"logprobs": [[-2.0, -0.5, -3.0], [-1.5, -4.0, _]], "advantages": [0.5, -0.5]}


# -0.5 * (-2, -0.5, -3) and 0.5 * (-1.5, -4)
NAIVE_LOSS = {"tokens": [[1, 0.25, 1.5], [-0.75, -2, _]], "weight": [[1, 1, 1], [1, 1, _]]}


def test_policy_gradient() -> None:
    check("policy_gradient", **NAIVE, **NAIVE_LOSS)


def test_asymre() -> None:
    check("asymre", **NAIVE, **NAIVE_LOSS)


def test_rloo() -> None:
    check("rloo", **NAIVE, **NAIVE_LOSS)


def test_positive_only() -> None:
    check("positive_only", **NAIVE, tokens=[[1, 0.25, 1.5], [0, 0, _]], weight=[[1, 1, 1], [0, 0, _]])


def test_spo() -> None:
    fifth, half = [[1, 1, 1], [0.2, 0.2, _]], [[1, 1, 1], [0.5, 0.5, _]]
    check("spo", **NAIVE, tokens=[[1, 0.25, 1.5], [-0.15, -0.4, _]], weight=fifth)
    check("spo", {"neg_scale": 0.5}, **NAIVE, tokens=[[1, 0.25, 1.5], [-0.375, -1, _]], weight=half)


@pytest.mark.parametrize("outside", [-0.1, 1.1])
def test_spo_scale_is_a_share(outside: float) -> None:
    with pytest.raises(InputError, match=r"spo: neg_scale=.* is not valid: .*; the default is 0.2"):
        OBJECTIVES.get("spo").check_options({"neg_scale": outside})


def test_opmd() -> None:
    half, quarter = [[0.5, 0.5, 0.5], [0.5, 0.5, _]], [[0.25, 0.25, 0.25], [0.25, 0.25, _]]  # 1 / (1 + 1), 1 / (1 + 3)
    check("opmd", **NAIVE, tokens=[[0.5, 0.125, 0.75], [-0.375, -1, _]], weight=half)
    check("opmd", {"tau": 3.0}, **NAIVE, tokens=[[0.25, 0.0625, 0.375], [-0.1875, -0.5, _]], weight=quarter)


def test_gpg() -> None:
    # group 7 has rewards -1 and -2, group 3 thrice -1: 5 responses over 2 informative ones make alpha 2.5
    inputs = {"logprobs": [[-1.0, -2.0], [-4.0, _], *3 * [[-1.0, -1.0]]], "advantages": [2.0, -3.0, 0.0, 1.0, -1.0]}
    check(
        "gpg",
        **inputs,
        rewards=[-1, -2, -1, -1, -1],
        group=[7, 7, 3, 3, 3],
        tokens=[[5, 10], [-30, _], [0, 0], [2.5, 2.5], [-2.5, -2.5]],
        weight=[[2.5, 2.5], [2.5, _], *3 * [[2.5, 2.5]]],
        metrics={"alpha": 2.5},
    )
    zero = [[0, 0], [0, _], *3 * [[0, 0]]]
    # no informative group: alpha 0
    check("gpg", **inputs, rewards=5 * [1], group=5 * [0], tokens=zero, weight=zero, metrics={"alpha": 0})


# S = 2, 4, 1, 6 and none
ASYMPO = {
    "logprobs": [[-1.0, -3.0], [-4.0, _], [-1.0, _], [-5.0, -7.0], [_, _]],
    "advantages": [2.0, 1.0, -3.0, -1.0, 5.0],
    # (2 log 2 + log 4 - 3 log 1 - log 6) / 4, the empty response not counted
    "metrics": {"surrogate": (4 * log(2) - log(6)) / 4, "floor_fraction": 0},
}


def test_asympo() -> None:
    # 2 * (1, 3) / 2; 1 * 4 / 4; -3 * 1 / 1; -1 * (5, 7) / 6
    tokens = [[1, 3], [1, _], [-3, _], [-5 / 6, -7 / 6], [_, _]]
    weight = [[0.5, 0.5], [0.25, _], [1, _], [1 / 6, 1 / 6], [_, _]]
    check("asympo", **ASYMPO, tokens=tokens, weight=weight)


def test_asympo_normalizer_sum() -> None:
    # 2 * (1, 3) / 4; 1 * 4 / 4; -3 * 1 / 1; -1 * (5, 7) / 12: each response sums to its advantage
    tokens = [[0.5, 1.5], [1, _], [-3, _], [-5 / 12, -7 / 12], [_, _]]
    weight = [[0.25, 0.25], [0.25, _], [1, _], [1 / 12, 1 / 12], [_, _]]
    check("asympo", {"normalizer": "sum"}, **ASYMPO, tokens=tokens, weight=weight)


def test_asympo_negative_side_only() -> None:
    # 2 * (1, 3); 1 * 4; the others as above
    tokens = [[2, 6], [4, _], [-3, _], [-5 / 6, -7 / 6], [_, _]]
    weight = [[1, 1], [1, _], [1, _], [1 / 6, 1 / 6], [_, _]]
    check("asympo", {"sides": "negative"}, **ASYMPO, tokens=tokens, weight=weight)


def test_asympo_floor() -> None:
    # S = 6e-4: weight 1 / 6e-4, a response at 0.001 weighs 1000; S = 4e-7 is below 1e-6: 1 * 4e-7 / 1e-6
    inputs = {"logprobs": [[-4e-4, -8e-4], [-1e-3, _], [-4e-7, _], [_, _]], "advantages": [2.0, -3.0, 1.0, 1.0]}
    surrogate = (2 * log(6e-4) - 3 * log(1e-3) + log(4e-7)) / 3
    metrics = {"surrogate": surrogate, "floor_fraction": 1 / 3}
    weight = [[1e4 / 6, 1e4 / 6], [1000, _], [1e6, _], [_, _]]
    check("asympo", **inputs, tokens=[[4 / 3, 8 / 3], [-3, _], [0.4, _], [_, _]], weight=weight, metrics=metrics)
    # a floor of 1e-3: 2 * (4e-4, 8e-4) / 1e-3; S = 1e-3 is not below it
    tokens, weight = [[0.8, 1.6], [-3, _], [4e-4, _], [_, _]], [[1000, 1000], [1000, _], [1000, _], [_, _]]
    metrics = {"surrogate": surrogate, "floor_fraction": 2 / 3}
    check("asympo", {"nll_floor": 1e-3}, **inputs, tokens=tokens, weight=weight, metrics=metrics)


def test_asympo_of_a_certain_response_and_of_none() -> None:
    # S = 0: 0 / 1e-6, its logarithm that of the smallest normal number, 2^-1022
    metrics = {"surrogate": 2 * -1022 * log(2), "floor_fraction": 1}
    check("asympo", logprobs=[[0.0, _]], advantages=[2.0], tokens=[[0, _]], weight=[[1e6, _]], metrics=metrics)
    none = {"metrics": {"surrogate": 0, "floor_fraction": 0}, "tokens": [[_, _]], "weight": [[_, _]]}
    check("asympo", logprobs=[[_, _]], advantages=[2.0], **none)


# Clipped at p_low 1/4 and p_high 1/2: -log p of 1/8, 1/4, 1/2 and 3/4 becomes, in units of log 2,
# 3, 2, 1 and 1 where A >= 0 (S = 7/4), 2, 2, 1 and -log2(3/4) = Q where A < 0
STABLE = {"logprobs": logs(3 * [[1 / 8, 1 / 4, 1 / 2, 3 / 4]]), "advantages": [2.0, -1.0, 0.0]}
BOUNDS = {"p_low": 0.25, "p_high": 0.5}
Q = -log(0.75) / log(2)


def test_asympo_stable() -> None:
    up, down = 7 / 4, (5 + Q) / 4  # S over log 2
    check(
        "asympo_stable",
        BOUNDS,
        **STABLE,
        # 2 * (3, 2, 1, 1) / (7/4); -(2, 2, 1, Q) / S; 0
        tokens=[[24 / 7, 16 / 7, 8 / 7, 8 / 7], [-2 / down, -2 / down, -1 / down, -Q / down], [0, 0, 0, 0]],
        # a token at its bound keeps its gradient, one beyond it has none
        weight=[[1 / (up * log(2))] * 3 + [0], [0] + [1 / (down * log(2))] * 3, [0] * 4],
        metrics={
            "surrogate": (2 * log(up * log(2)) - log(down * log(2))) / 3,
            "floor_fraction": 0,
            "at_p_low": 1 / 12,  # 1/8 where A = -1
            "at_p_high": 2 / 12,  # 3/4 where A = 2 and where A = 0
        },
    )


def test_asympo_stable_defaults_and_floor() -> None:
    # 0.99 is above 0.98 and 0.01 below 0.02, each on its side: S = -log 0.98 and -log 0.02, loss A, no gradient;
    # 0.97 and 0.03 are left alone
    metrics = {
        "surrogate": (log(-log(0.98)) - log(-log(0.02)) + log(-log(0.97)) - log(-log(0.03))) / 4,
        "floor_fraction": 0,
        "at_p_low": 0.25,
        "at_p_high": 0.25,
    }
    inputs = {"logprobs": logs([[0.99], [0.01], [0.97], [0.03]]), "advantages": [1.0, -1.0, 1.0, -1.0]}
    weight = [[0], [0], [-1 / log(0.97)], [-1 / log(0.03)]]
    check("asympo_stable", **inputs, tokens=[[1], [-1], [1], [-1]], weight=weight, metrics=metrics)
    # under A < 0 nothing is clipped above: S = 0.001 weighs 1000; the empty response counts nowhere
    metrics = {"surrogate": -log(1e-3), "floor_fraction": 0, "at_p_low": 0, "at_p_high": 0}
    inputs = {"logprobs": [[-0.001], [_]], "advantages": [-1.0, 1.0]}
    check("asympo_stable", **inputs, tokens=[[-1], [_]], weight=[[1000], [_]], metrics=metrics)
    # with a floor of 0.01: -0.001 / 0.01, weight 100
    metrics |= {"floor_fraction": 1}
    check("asympo_stable", {"nll_floor": 0.01}, **inputs, tokens=[[-0.1], [_]], weight=[[100], [_]], metrics=metrics)


@pytest.mark.parametrize("option", [{"p_low": 0.0}, {"p_high": 1.5}, {"nll_floor": -1.0}])
def test_asympo_stable_bounds_are_probabilities(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match="is not valid"):
        OBJECTIVES.get("asympo_stable").check_options(option)


# PPO's clip by token. 1.2 and 0.8 cut in the advantage's direction, 0.5 and 1.5 the other way are left alone.

CLIP = {"ratios": [[1.19, 1.21, 0.5], [0.81, 0.79, 1.5], [0.9, _, _]], "advantages": [2.0, -3.0, 1.0]}
CLIP_TOKENS = [[-2.38, -2.4, -1.0], [2.43, 2.4, 4.5], [-0.9, _, _]]
CLIP_WEIGHT = [[1.19, 0, 0.5], [0.81, 0, 1.5], [0.9, _, _]]


def clip(name: str) -> None:
    check(name, **CLIP, tokens=CLIP_TOKENS, weight=CLIP_WEIGHT)
    # clip(r, 0.5, 1.1): 2 * 1.1; 3 * (0.81, 0.79), neither below 0.5
    check(
        name,
        {"clip_low": 0.5, "clip_high": 0.1},
        **CLIP,
        tokens=[[-2.2, -2.2, -1.0], [2.43, 2.37, 4.5], [-0.9, _, _]],
        weight=[[0, 0, 0.5], [0.81, 0.79, 1.5], [0.9, _, _]],
    )


def test_grpo() -> None:
    clip("grpo")


def test_dr_grpo() -> None:
    clip("dr_grpo")


def test_dual_clip() -> None:
    clip("dual_clip")
    # A = -0.5: 0.5 * 2.9, then at most 0.5 * 3; A = 0.5: no second bound, -0.5 * 1.2 and -0.5 * 0.5
    check(
        "dual_clip",
        ratios=[[2.9, 3.1, 0.7], [3.1, 0.5, _]],
        advantages=[-0.5, 0.5],
        tokens=[[1.45, 1.5, 0.4], [-0.6, -0.25, _]],
        weight=[[2.9, 0, 0], [0, 0.5, _]],
    )
    inputs = {"ratios": [[1.9, 2.1, 0.7]], "advantages": [-3.0]}
    check("dual_clip", {"dual": 2.0}, **inputs, tokens=[[5.7, 6, 2.4]], weight=[[1.9, 0, 0]])


def test_dapo() -> None:
    # clip at 0.8 and 1.28; group 9 (rewards -1, -2) teaches, group 4 (twice -1) is rejected
    check(
        "dapo",
        ratios=[[1.27, 1.29, 0.5], [0.81, 0.79, 1.5], [0.9, _, _], [1.1, 1.2, _]],
        advantages=[2.0, -3.0, 1.0, -1.0],
        rewards=[-1, -2, -1, -1],
        group=[9, 9, 4, 4],
        tokens=[[-2.54, -2.56, -1.0], [2.43, 2.4, 4.5], [_, _, _], [_, _, _]],
        weight=[[1.27, 0, 0.5], [0.81, 0, 1.5], [0, _, _], [0, 0, _]],
        kept=[[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]],
    )


def test_opsm() -> None:
    # mean of -d: 0.495 stays, 0.505 with A < 0 is rejected, with A > 0 or A = 0 it stays.
    # PPO's clip then: A = -3 at e^-0.9, e^-0.09 (0.91): 3 * 0.8 and 3 e^-0.09; A = 2 at e^-0.51
    check(
        "opsm",
        log_ratios=[[-0.9, -0.09], [-0.9, -0.11], [-0.51, _], [-0.51, _], [log(1.21), log(1.19)]],
        advantages=[-3.0, -0.5, 2.0, 0.0, 2.0],
        tokens=[[2.4, 3 * exp(-0.09)], [_, _], [-2 * exp(-0.51), _], [0, _], [-2.4, -2.38]],
        weight=[[0, exp(-0.09)], [0, 0], [exp(-0.51), _], [0, _], [0, 1.19]],
        kept=[[1, 1], [0, 0], [1, 1], [1, 1], [1, 1]],
    )
    inputs = {"ratios": [[0.81, 0.79, 1.5]], "advantages": [-3.0]}
    check("opsm", **inputs, tokens=[[2.43, 2.4, 4.5]], weight=[[0.81, 0, 1.5]], kept=[[1, 1, 1]])
    # exactly at the threshold: not above it
    at = {"ratios": [[1.0, _]], "advantages": [-3.0]}
    check("opsm", {"delta": 0.0}, **at, tokens=[[3, _]], weight=[[1, _]], kept=[[1, 1]])


# Two ratios: pi / proximal (`step`) and proximal / mu (`ratios`)


DECOUPLED = {
    "step": [[1.19, 1.21, 0.5], [0.81, 0.79, 1.5], [1.1, _, _]],
    "ratios": [[2.0, 2.0, 4.9], [0.5, 0.5, 5.1], [3.0, _, _]],
    "advantages": [2.0, -3.0, 1.0],
}


def test_decoupled_ppo() -> None:
    # -w min(r A, clip(r) A): -2 * (2 * 1.19, 2 * 1.2, 4.9 * 0.5), 3 * (0.5 * 0.81, 0.5 * 0.8), -3 * 1.1; 5.1 is out
    check(
        "decoupled_ppo",
        **DECOUPLED,
        tokens=[[-4.76, -4.8, -4.9], [1.215, 1.2, _], [-3.3, _, _]],
        weight=[[2.38, 0, 2.45], [0.405, 0, 0], [3.3, _, _]],
        kept=[[1, 1, 1], [1, 1, 0], [1, 1, 1]],
        metrics={"bound_fraction": 1 / 7},
    )


def test_decoupled_ppo_truncate() -> None:
    # 5.1 becomes 5: 3 * 5 * 1.5
    check(
        "decoupled_ppo",
        {"bound": "truncate"},
        **DECOUPLED,
        tokens=[[-4.76, -4.8, -4.9], [1.215, 1.2, 22.5], [-3.3, _, _]],
        weight=[[2.38, 0, 2.45], [0.405, 0, 7.5], [3.3, _, _]],
        metrics={"bound_fraction": 1 / 7},
    )


def test_decoupled_ppo_floor() -> None:
    # 0.5 becomes 0.7: 3 * 0.7 * (0.81, 0.8); 5.1 becomes 5; at a weight of 1 a floor of 1 changes nothing
    check(
        "decoupled_ppo",
        {"bound": "truncate", "weight_floor": 0.7},
        **DECOUPLED,
        tokens=[[-4.76, -4.8, -4.9], [1.701, 1.68, 22.5], [-3.3, _, _]],
        weight=[[2.38, 0, 2.45], [0.567, 0, 7.5], [3.3, _, _]],
        metrics={"bound_fraction": 3 / 7},
    )
    at = {"step": [[1.1, _]], "ratios": [[1.0, _]], "advantages": [2.0], "tokens": [[-2.2, _]], "weight": [[1.1, _]]}
    check("decoupled_ppo", {"bound": "truncate", "weight_floor": 1.0}, **at, metrics={"bound_fraction": 0})


def test_decoupled_ppo_has_no_floor_under_a_mask() -> None:
    with pytest.raises(InputError, match=r"weight_floor=0\.5 needs bound=truncate; a mask with two bounds is icepop"):
        loss_of("decoupled_ppo", {"weight_floor": 0.5}, **fields_of([1.0], step=[[1.0]], ratios=[[1.0]]))


def test_decoupled_ppo_at_the_cap() -> None:
    inputs = {"step": [[1.1, _]], "ratios": [[1.0, _]], "advantages": [2.0], "tokens": [[-2.2, _]]}
    options, kept = {"weight_cap": 1.0}, [[1, 1]]
    check("decoupled_ppo", options, **inputs, weight=[[1.1, _]], kept=kept, metrics={"bound_fraction": 0})


def test_icepop() -> None:
    # rho r A: -2 * (0.501 * 1.19, 4.99 * 1.2), 3 * (2 * 0.81, 2 * 0.8, 3 * 1.5), -0.5; 0.499 and 5.01 are out
    check(
        "icepop",
        step=[[1.19, 1.21, 0.5], [0.81, 0.79, 1.5], [0.5, 1.1, _]],
        ratios=[[0.501, 4.99, 0.499], [2.0, 2.0, 3.0], [1.0, 5.01, _]],
        advantages=[2.0, -3.0, 1.0],
        tokens=[[-1.19238, -11.976, _], [4.86, 4.8, 13.5], [-0.5, _, _]],
        weight=[[0.59619, 0, 0], [1.62, 0, 4.5], [0.5, 0, _]],
        kept=[[1, 1, 0], [1, 1, 1], [1, 0, 1]],
    )
    at = {"step": [[1.1, _]], "ratios": [[1.0, _]], "advantages": [2.0]}  # both bounds are inside
    for options in ({"low": 1.0}, {"high": 1.0}):
        check("icepop", options, **at, tokens=[[-2.2, _]], weight=[[1.1, _]], kept=[[1, 1]])


def test_a3po() -> None:
    # x = pi / mu and lag d: r = x^(1/d), w = x^(1-1/d); d = 0 anchors at mu like d = 1.
    # A = 2: d 1, 1.19: -2 * 1.19; d 0, 1.21: -2 * 1.2; d 2, 1.21^2: -2 * 1.21 * 1.2
    # A = -3: d 2, 0.81^2: 3 * 0.81 * 0.81; d 2, 0.79^2: 3 * 0.79 * 0.8; d 3, 1.9^3 = 6.859: 3 * 3.61 * 1.9
    # A = -3: d 2, 4.99^2: 3 * 4.99 * 4.99; d 2, 5.01^2: weight 5.01, rejected; d 3, 2.3^3: weight 2.3^2, rejected
    check(
        "a3po",
        ratios=[[1.19, 1.21, 1.4641], [0.6561, 0.6241, 6.859], [24.9001, 25.1001, 12.167], [0.5, _, _]],
        lag=[[1, 0, 2], [2, 2, 3], [2, 2, 3], [1, 0, 0]],
        advantages=[2.0, -3.0, -3.0, 1.0],
        tokens=[[-2.38, -2.4, -2.904], [1.9683, 1.896, 20.577], [74.7003, _, _], [-0.5, _, _]],
        weight=[[1.19, 0, 0], [0.6561, 0, 6.859], [24.9001, 0, 0], [0.5, _, _]],
        kept=[[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1]],
        metrics={"bound_fraction": 2 / 10},
    )


def test_a3po_of_a_token_that_mu_would_not_give() -> None:
    # lag 0 and 1: the anchor is mu, r = e^20 is constant: -2 * 1.2 and 3 e^20; later ones have a weight of e^20
    check(
        "a3po",
        logprobs=[[-1.0, -1.0, -1.0], [-1.0, -1.0, _]],
        behavior_logprobs=[[-inf, -inf, -inf], [-inf, -inf, _]],
        lag=[[0, 1, 2], [1, 8, 0]],
        advantages=[2.0, -3.0],
        tokens=[[-2.4, -2.4, _], [3 * exp(20), _, _]],
        weight=[[0, 0, 0], [0, 0, _]],
        kept=[[1, 1, 0], [1, 0, 1]],
        metrics={"bound_fraction": 2 / 5},
    )


def test_a3po_at_the_cap() -> None:
    inputs = {"ratios": [[1.1, _]], "lag": [[1, 1]], "advantages": [2.0], "tokens": [[-2.2, _]]}  # w is 1
    check("a3po", {"weight_cap": 1.0}, **inputs, weight=[[1.1, _]], kept=[[1, 1]], metrics={"bound_fraction": 0})


# Weights on log pi: tokens are 2 w A


def test_is_pg() -> None:
    inputs = {"ratios": [[1.5, 0.5, 30.0], [1.5, 0.5, _]], "advantages": [2.0, -3.0]}
    check("is_pg", **inputs, tokens=[[-3, -1, -60], [4.5, 1.5, _]], weight=[[1.5, 0.5, 30], [1.5, 0.5, _]])


def test_log_ratio_limit() -> None:
    # beyond +-20 nats the ratio is e^+-20 and constant; A = e^20 makes e^-20 comparable
    check(
        "is_pg",
        log_ratios=[[25.0, 19.9], [-25.0, -19.9]],
        advantages=[1.0, exp(20)],
        tokens=[[-exp(20), -exp(19.9)], [-1, -exp(0.1)]],
        weight=[[0, exp(19.9)], [0, exp(-19.9)]],
    )


def test_product_ratio_limit() -> None:
    # 15 + 15 is limited to 20 and -15 - 15 to -20, the sums and not their tokens: 25 - 10 stays 15
    check(
        "tis",
        {"level": "sequence", "cap": 1e12},
        log_ratios=[[15.0, 15.0], [25.0, -10.0], [-15.0, -15.0]],
        advantages=[1.0, -1.0, exp(20)],
        tokens=[2 * [2 * exp(20)], 2 * [-2 * exp(15)], [2, 2]],
        weight=[2 * [exp(20)], 2 * [exp(15)], 2 * [exp(-20)]],
        metrics={"bound_fraction": 0},
    )


TIS = {"ratios": [[1.9, 2.1, 0.5], [3.0, 0.1, _]], "advantages": [2.0, -3.0]}


def test_tis() -> None:
    # min(r, 2): 4 * (1.9, 2, 0.5) and -6 * (2, 0.1); two of five cut
    weight = [[1.9, 2, 0.5], [2, 0.1, _]]
    check("tis", **TIS, tokens=[[7.6, 8, 2], [-12, -0.6, _]], weight=weight, metrics={"bound_fraction": 0.4})
    weight, options = [[1, 1, 0.5], [1, 0.1, _]], {"cap": 1.0}
    check("tis", options, **TIS, tokens=[[4, 4, 2], [-6, -0.6, _]], weight=weight, metrics={"bound_fraction": 0.6})


def test_tis_sequence() -> None:
    # products 1.9 * 2.1 * 0.5 = 1.995, 4 * 0.51 = 2.04 cut to 2, 0.3
    check(
        "tis",
        {"level": "sequence"},
        ratios=[[1.9, 2.1, 0.5], [4.0, 0.51, _], [0.3, _, _]],
        advantages=[2.0, -3.0, 1.0],
        tokens=[3 * [7.98], [-12, -12, _], [0.6, _, _]],
        weight=[3 * [1.995], [2, 2, _], [0.3, _, _]],
        metrics={"bound_fraction": 2 / 6},
    )


def test_tis_geometric() -> None:
    # (2 * 4 * 1)^(1/3) = 2, cut at 1.5; (4 * 0.25)^(1/2) = 1; 0.3
    check(
        "tis",
        {"level": "geometric", "cap": 1.5},
        ratios=[[2.0, 4.0, 1.0], [4.0, 0.25, _], [0.3, _, _]],
        advantages=[2.0, -3.0, 1.0],
        tokens=[3 * [6], [-6, -6, _], [0.6, _, _]],
        weight=[3 * [1.5], [1, 1, _], [0.3, _, _]],
        metrics={"bound_fraction": 3 / 6},
    )


def test_tis_bound_fraction_at_the_cap_of_one_token_and_of_none() -> None:
    one = {"advantages": [1.0], "weight": [[1, _]], "tokens": [[2, _]]}
    check("tis", {"cap": 1.0}, **one, ratios=[[1.0, _]], metrics={"bound_fraction": 0})  # not above the cap
    check("tis", {"cap": 1.0}, **one, ratios=[[1.1, _]], metrics={"bound_fraction": 1})
    none = {"ratios": [[_, _]], "tokens": [[_, _]], "weight": [[_, _]], "advantages": [1.0]}
    check("tis", **none, metrics={"bound_fraction": 0})


def test_cispo() -> None:
    # clip(r, 0, 5): 4 * (4.9, 5, 0.01) and -6 * (5, 1); two of five changed
    check(
        "cispo",
        ratios=[[4.9, 5.1, 0.01], [6.0, 1.0, _]],
        advantages=[2.0, -3.0],
        tokens=[[19.6, 20, 0.04], [-30, -6, _]],
        weight=[[4.9, 5, 0.01], [5, 1, _]],
        metrics={"bound_fraction": 0.4},
    )


def test_cispo_has_no_lower_bound_by_default() -> None:
    assert OBJECTIVES.get("cispo").options["clip_low"] == 1  # any larger number would do the same


CISPO = {"ratios": [[0.81, 0.79, 1.27], [1.29, 0.3, _]], "advantages": [2.0, -3.0]}


def test_cispo_offset() -> None:
    # clip(r, 0.8, 1.28), whatever the sign of A
    check(
        "cispo",
        {"clip_low": 0.2, "clip_high": 0.28},
        **CISPO,
        tokens=[[3.24, 3.2, 5.08], [-7.68, -4.8, _]],
        weight=[[0.81, 0.8, 1.27], [1.28, 0.8, _]],
        metrics={"bound_fraction": 0.6},
    )


def test_cispo_absolute() -> None:
    # at most 1.28 itself, no lower bound
    check(
        "cispo",
        {"cap": "absolute", "clip_low": 0.2, "clip_high": 1.28},
        **CISPO,
        tokens=[[3.24, 3.16, 5.08], [-7.68, -1.8, _]],
        weight=[[0.81, 0.79, 1.27], [1.28, 0.3, _]],
        metrics={"bound_fraction": 0.2},
    )


def test_rollout_is() -> None:
    # r inside (0.8, 1.2), rejected outside, for both signs
    check(
        "rollout_is",
        ratios=[[1.199, 1.201, 0.799], [0.801, 0.799, 1.201], [1.0, _, _]],
        advantages=[2.0, -3.0, 1.0],
        tokens=[[4.796, _, _], [-4.806, _, _], [2, _, _]],
        weight=[[1.199, 0, 0], [0.801, 0, 0], [1, _, _]],
        kept=[[1, 0, 0], [1, 0, 0], [1, 1, 1]],
    )
    edge = {"ratios": [[1.0, _]], "advantages": [1.0], "tokens": [[_, _]], "weight": [[0, _]]}  # edges are outside
    check("rollout_is", {"clip_low": 0.0}, **edge, kept=[[0, 0]])
    check("rollout_is", {"clip_high": 0.0}, **edge, kept=[[0, 0]])


TOPR = {"ratios": [[2.0, 0.3, 3.0], [2.0, 0.25, _], [2.0, 0.75, _]], "advantages": [0.5, -3.0, -0.5]}


def test_topr() -> None:
    # 1 for A = 0.5; min(2 * 0.25, 1) = 0.5; min(2 * 0.75, 1) = 1
    tokens, weight = [[1, 1, 1], [-3, -3, _], [-1, -1, _]], [[1, 1, 1], [0.5, 0.5, _], [1, 1, _]]
    check("topr", **TOPR, tokens=tokens, weight=weight)


def test_topr_token() -> None:
    tokens, weight = [[1, 1, 1], [-6, -1.5, _], [-1, -0.75, _]], [[1, 1, 1], [1, 0.25, _], [1, 0.75, _]]
    check("topr", {"level": "token"}, **TOPR, tokens=tokens, weight=weight)


def test_topr_geometric() -> None:
    root = sqrt(0.5)  # of 2 * 0.25; that of 1.5 is above 1
    tokens, weight = [[1, 1, 1], [-6 * root, -6 * root, _], [-1, -1, _]], [[1, 1, 1], [root, root, _], [1, 1, _]]
    check("topr", {"level": "geometric"}, **TOPR, tokens=tokens, weight=weight)


# W = 9 (cut to 8), 7, 0.5; sum 16.5, squares 81 + 49 + 0.25 = 130.25; the empty response is none
ESS = 16.5**2 / (3 * 130.25)  # 0.697
VCPO = {
    "ratios": [[3.0, 3.0], [0.5, 14.0], [0.5, _], [_, _]],
    "advantages": [2.0, -3.0, 1.0, 1.0],
    "tokens": [[32, 32], [-42, -42], [1, _], [_, _]],
    "weight": [[8, 8], [7, 7], [0.5, _], [_, _]],
}


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, sqrt(ESS)),
        ({"rule": "linear"}, ESS),
        ({"ess_base": 0.8}, sqrt(ESS / 0.8)),
        ({"ess_base": 0.8, "rule": "linear"}, ESS / 0.8),
        ({"ess_base": 0.5}, 1.0),  # at most 1
    ],
)
def test_vcpo(options: dict[str, Any], scale: float) -> None:
    check("vcpo", options, **VCPO, metrics={"ess": ESS, "step_scale": scale}, step_scale=scale)


def ess_of(log_ratios: Rows) -> float:
    fields = fields_of(len(log_ratios) * [1.0], log_ratios=log_ratios)
    return loss_of("vcpo", **fields).metrics["ess"]


def test_vcpo_of_long_responses() -> None:
    # over the largest weight: 1, e^-3, e^-4 and e^-25, whatever the largest is
    share = (1 + exp(-3) + exp(-4) + exp(-25)) ** 2 / (4 * (1 + exp(-6) + exp(-8) + exp(-50)))  # 0.284
    assert ess_of([[25.0], [22.0], [21.0], [0.0]]) == pytest.approx(share)
    assert ess_of([[-975.0], [-978.0], [-979.0], [-1000.0]]) == pytest.approx(share)
    # 60 tokens that drift by 0.4, 0.5, 0.6 and 1 nats: -24, -30, -36 and -60
    share = (1 + exp(-6) + exp(-12) + exp(-36)) ** 2 / (4 * (1 + exp(-12) + exp(-24) + exp(-72)))  # 0.251
    assert ess_of([60 * [-drift] for drift in (0.4, 0.5, 0.6, 1.0)]) == pytest.approx(share)


def test_vcpo_of_responses_that_mu_would_not_give() -> None:
    # two of four whose weight is beyond all bounds are the sample
    assert ess_of([[inf, -1.0], [inf, 2.0], [0.0, _], [5.0, _]]) == 0.5
    assert ess_of([[inf], [inf]]) == 1


def test_vcpo_of_no_response() -> None:
    none = {"ratios": [[_, _]], "advantages": [1.0], "tokens": [[_, _]], "weight": [[_, _]]}
    check("vcpo", **none, metrics={"ess": 0, "step_scale": 0}, step_scale=0)


def test_vespo() -> None:
    # A >= 0: W^2 e^(3 (1 - W)), 4 e^-3 at W = 2; A < 0: W^3 e^(2 (1 - W)), e / 8 at W = 1/2 and 27 e^-4 at W = 3
    up, down, far = 4 * exp(-3), exp(1) / 8, 27 * exp(-4)
    check(
        "vespo",
        ratios=[[4.0, 0.5, 1.0], [0.5, _, _], [6.0, 0.5, _], [2.0, _, _]],
        advantages=[2.0, -3.0, -1.0, 0.0],
        tokens=[3 * [4 * up], [-6 * down, _, _], [-2 * far, -2 * far, _], [0, _, _]],
        weight=[3 * [up], [down, _, _], [far, far, _], [0, _, _]],
        metrics={"phi": (2 * up + down + far) / 4},
    )


def test_vespo_limits() -> None:
    # log W = -19 is lifted to log 1e-8: 1e-16 e^(3 - 3e-8)
    phi = 1e-16 * exp(3 * (1 - 1e-8))
    inputs = {"log_ratios": [[-9.0, -10.0]], "advantages": [1e16]}
    check("vespo", **inputs, tokens=[2 * [2e16 * phi]], weight=[2 * [phi]], metrics={"phi": phi})
    # 15 + 12 is lowered to 20, 25 - 22 stays 3; with power 1 and shape 0 phi is W
    options = {"power_positive": 1.0, "shape_positive": 0.0}
    for log_ratios, w in (([[15.0, 12.0]], exp(20)), ([[25.0, -22.0]], exp(3))):
        inputs = {"log_ratios": log_ratios, "advantages": [2.0]}
        check("vespo", options, **inputs, tokens=[[4 * w, 4 * w]], weight=[[w, w]], metrics={"phi": w})


# Other token forms


def test_sapo() -> None:
    # A > 0, tau 1: -4 sigmoid(r - 1) A and weight 4 s (1 - s) r; A < 0, tau 1.05: -(4 / 1.05) sigmoid(1.05 (r - 1)) A
    s, n, m = sigmoid(1), sigmoid(-0.525), sigmoid(2.1)  # at r = 2, 0.5 and 3; 1/2 at r = 1
    check(
        "sapo",
        ratios=[[2.0, 1.0, _], [0.5, 3.0, 1.0]],
        advantages=[0.5, -0.5],
        tokens=[[-2 * s, -1, _], [2 / 1.05 * n, 2 / 1.05 * m, 1 / 1.05]],
        weight=[[8 * s * (1 - s), 1, _], [2 * n * (1 - n), 12 * m * (1 - m), 1]],
    )


def test_sppo() -> None:
    # -A log r from 1 / 1.3 = 0.7692 to 1.3, else 0; for both signs
    check(
        "sppo",
        ratios=[[1.299, 1.301, 0.5], [0.77, 0.769, 1.299], [1.301, _, _]],
        advantages=[2.0, -3.0, 1.0],
        tokens=[[-2 * log(1.299), 0, 0], [3 * log(0.77), 0, 3 * log(1.299)], [0, _, _]],
        weight=[[1, 0, 0], [1, 0, 1], [0, _, _]],
    )
    edge = {"ratios": [[1.0, _]], "advantages": [2.0]}  # the edges, both 1, are inside
    check("sppo", {"clip": 0.0}, **edge, tokens=[[0, _]], weight=[[1, _]])


KIMI = {
    "log_ratios": [[0.6, -0.1, 0.7], [-0.5, 0.2, _], [0.4, _, _]],
    "advantages": [2.0, -3.0, 0.0],
}


def test_kimi() -> None:
    # D = 1.2, -0.3, 0.4: 2 A plus 0.05 D^2 / L = 0.05 * (1.44 / 3, 0.09 / 2, 0.16); gradient -A + 0.1 D
    check(
        "kimi",
        **KIMI,
        tokens=[3 * [4.024], [-5.99775, -5.99775, _], [0.008, _, _]],
        gradient=[3 * [-1.88], [2.97, 2.97, _], [0.04, _, _]],
    )
    # tau 1: 0.5 D^2 / L and D
    check(
        "kimi",
        {"tau": 1.0},
        **KIMI,
        tokens=[3 * [4.24], [-5.9775, -5.9775, _], [0.08, _, _]],
        gradient=[3 * [-0.8], [2.7, 2.7, _], [0.4, _, _]],
    )


def test_kimi_token() -> None:
    # 2 A + 0.05 d^2 and -A + 0.1 d
    check(
        "kimi",
        {"level": "token"},
        **KIMI,
        tokens=[[4.018, 4.0005, 4.0245], [-5.9875, -5.998, _], [0.008, _, _]],
        gradient=[[-1.94, -2.01, -1.93], [2.95, 3.02, _], [0.04, _, _]],
    )


def dppo_inputs(pi: Rows, mu: Rows, advantages: list[float]) -> dict[str, Any]:
    ratios = [[p / m for p, m in zip(*rows, strict=True)] for rows in zip(pi, mu, strict=True)]
    return {"logprobs": logs(pi), "ratios": ratios, "advantages": advantages}


DPPO = dppo_inputs(
    pi=[[0.699, 0.701, 0.2], [0.301, 0.299, 0.8], [0.9, _, _]],
    mu=[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, _, _]],
    advantages=[0.5, -0.5, 0.0],
)
DPPO_TOKENS = [[-0.699, 0, -0.2], [0.301, 0, 0.8], [0, _, _]]  # r A = (pi / 0.5) * 0.5


def test_dppo() -> None:
    # A > 0: gains of 0.199 and 0.201, a loss of 0.3; A < 0: losses of 0.199 and 0.201, a gain of 0.3
    check("dppo", **DPPO, tokens=DPPO_TOKENS, weight=[[1.398, 0, 0.4], [0.602, 0, 1.6], [0, _, _]])


def test_dppo_bounds() -> None:
    # pi = mu is not beyond a bound of 0
    equal = {"logprobs": [[-1.0, _], [-1.0, _]], "log_ratios": [[0.0, _], [0.0, _]], "advantages": [2.0, -3.0]}
    check("dppo", {"low": 0.0, "high": 0.0}, **equal, tokens=[[-2, _], [3, _]], weight=[[1, _], [1, _]])
    # high belongs to A > 0, low to A < 0: a gain of 0.201 is below 0.25, a loss of 0.199 above 0.15
    tokens, weight = [[-0.699, -0.701, -0.2], [0, 0, 0.8], [0, _, _]], [[1.398, 1.402, 0.4], [0, 0, 1.6], [0, _, _]]
    check("dppo", {"low": 0.15, "high": 0.25}, **DPPO, tokens=tokens, weight=weight)


def test_dppo_truncated() -> None:
    # mu = 1/2: weights on log pi as above, 1.602 cut to 1.5; tokens are -w A log pi
    pi = [[0.699, 0.701, 0.2], [0.301, 0.299, 0.801], [0.9, _, _]]
    inputs = dppo_inputs(pi=pi, mu=[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, _, _]], advantages=[0.5, -0.5, 0.0])
    weight = [[1.398, 0, 0.4], [0.602, 0, 1.5], [0, _, _]]
    tokens = [
        [-0.5 * 1.398 * log(0.699), 0, -0.5 * 0.4 * log(0.2)],
        [0.5 * 0.602 * log(0.301), 0, 0.5 * 1.5 * log(0.801)],
        [0, _, _],
    ]
    check("dppo", {"surrogate": "truncated", "cap": 1.5}, **inputs, tokens=tokens, weight=weight)
    # up to the cap of 20 the gradient is that of the ratio; 25 is cut
    weight = [[1.398, 0, 0.4], [0.602, 0, 1.602], [0, _, _]]
    tokens[1][2] = 0.5 * 1.602 * log(0.801)
    check("dppo", {"surrogate": "truncated"}, **inputs, tokens=tokens, weight=weight)
    far = dppo_inputs(pi=[[0.1]], mu=[[0.004]], advantages=[2.0])
    check("dppo", {"surrogate": "truncated"}, **far, tokens=[[-40 * log(0.1)]], weight=[[20]])


def test_dppo_log_ratio_penalty() -> None:
    # 0.1 d^2 on all tokens, removed ones and A = 0 included; its gradient is 0.2 d. That of -r A is -r A itself.
    d = double(logs([[1.398, 1.402, 0.4], [0.602, 0.598, 1.6], [1.8, _, _]]))
    loss = double(DPPO_TOKENS)
    expected = {"tokens": (loss + 0.1 * d**2).tolist(), "gradient": (loss + 0.2 * d).tolist()}
    check("dppo", {"log_ratio_penalty": 0.1}, **DPPO, **expected)


def test_dppo_kl() -> None:
    # mu = 1/2: KL = -log(4 pi (1 - pi)) / 2; 0.654 and 0.346 give -log(0.905136) / 2 = 0.0498, 0.655 and 0.345
    # -log(0.9039) / 2 = 0.0505; 0.3 and 0.8 are farther, against the advantage
    check(
        "dppo",
        {"divergence": "kl"},
        **dppo_inputs(
            pi=[[0.654, 0.655, 0.3], [0.346, 0.345, 0.8], [0.9, _, _]],
            mu=[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, _, _]],
            advantages=[0.5, -0.5, 0.0],
        ),
        tokens=[[-0.654, 0, -0.3], [0.346, 0, 0.8], [0, _, _]],
        weight=[[1.308, 0, 0.6], [0.692, 0, 1.6], [0, _, _]],
    )


def test_dppo_kl_of_a_token_that_has_become_rare() -> None:
    # mu = 0.0022 and d = -25: mu (25 + log(1 - mu)) - ... = 0.0022 * 25 - 0.0022 + ... = 0.0528 > 0.05
    fields = {"logprobs": [[log(0.0022) - 25]], "log_ratios": [[-25.0]], "advantages": [-3.0]}
    check("dppo", {"divergence": "kl"}, **fields, tokens=[[0]], weight=[[0]])


def test_dppo_kl_of_a_certain_token() -> None:
    # pi = 1, mu = 0.997: the reference's eps of 1e-8 makes KL 0.997 log 0.997 + 0.003 log(3e-3 / 1e-8) = 0.034839
    inputs = dppo_inputs(pi=[[1.0]], mu=[[0.997]], advantages=[2.0])
    check("dppo", {"divergence": "kl", "kl": 0.0349}, **inputs, tokens=[[-2 / 0.997]], weight=[[1 / 0.997]])
    check("dppo", {"divergence": "kl", "kl": 0.0348}, **inputs, tokens=[[0]], weight=[[0]])
    # mu = 1 - 1e-8: -1e-8 + 1e-8 log(2e-8 / 1e-8) = -0.307e-8, above -0.4e-8
    inputs = dppo_inputs(pi=[[1.0]], mu=[[1 - 1e-8]], advantages=[2.0])
    check("dppo", {"divergence": "kl", "kl": -0.4e-8}, **inputs, tokens=[[0]], weight=[[0]])


def test_dppo_kl_where_nothing_moved() -> None:
    inputs = {"logprobs": [[-1.0, _], [-1.0, _]], "log_ratios": [[0.0, _], [0.0, _]], "advantages": [2.0, -3.0]}
    options = {"divergence": "kl", "kl": -1.0}  # KL = 0 is above -1, but the token is where it was
    check("dppo", options, **inputs, tokens=[[-2, _], [3, _]], weight=[[1, _], [1, _]])


# Whole responses. The sum over L tokens of a loss spread over them has the weight s, L times that of its mean.


SEQUENCE = {
    # geometric means 1.0003, 1.0005, 0.5; 0.9998, 0.9996, 1.5; bounds 0.9997 and 1.0004
    "ratios": [
        [2.0, 4.0, 1.0003**3 / 8],
        [4.0, 1.0005**2 / 4, _],
        [0.5, _, _],
        [4.0, 0.9998**2 / 4, _],
        [4.0, 0.9996**2 / 4, _],
        [1.5, _, _],
    ],
    "advantages": [2.0, 2.0, 2.0, -3.0, -3.0, -3.0],
}
LOSSES = [-2 * 1.0003, -2 * 1.0004, -1.0, 3 * 0.9998, 3 * 0.9997, 4.5]
WEIGHTS = [1.0003, 0, 0.5, 0.9998, 0, 1.5]
LENGTHS = [3, 2, 1, 2, 2, 1]


def test_gspo() -> None:
    check("gspo", **SEQUENCE, tokens=[3 * [x] for x in LOSSES], weight=[3 * [x] for x in WEIGHTS])


def test_luspo() -> None:
    tokens = [3 * [n * x] for x, n in zip(LOSSES, LENGTHS, strict=True)]
    check("luspo", **SEQUENCE, tokens=tokens, weight=[3 * [n * x] for x, n in zip(WEIGHTS, LENGTHS, strict=True)])


def wide_clip(name: str, length: int) -> None:
    # clip 0.2 and 0.3: 1.29 and 1.31 with A = 2, 0.81 and 0.79 with A = -3
    check(
        name,
        {"clip_low": 0.2, "clip_high": 0.3},
        ratios=[[4.0, s**2 / 4] for s in (1.29, 1.31, 0.81, 0.79)],
        advantages=[2.0, 2.0, -3.0, -3.0],
        tokens=[2 * [length * x] for x in (-2.58, -2.6, 2.43, 2.4)],
        weight=[2 * [length * x] for x in (1.29, 0, 0.81, 0)],
    )


def test_gspo_clip() -> None:
    wide_clip("gspo", 1)


def test_luspo_clip() -> None:
    wide_clip("luspo", 2)


def test_geometric_ratio_limit() -> None:
    # (25 limited to 20, and -10) / 2 = 5; A < 0 is not clipped from above; the limited token has no gradient
    inputs = {"log_ratios": [[25.0, -10.0]], "advantages": [-3.0]}
    check("gspo", **inputs, tokens=[2 * [3 * exp(5)]], weight=[[0, exp(5)]])


def test_gmpo() -> None:
    # A = 0.5: d clipped to 0.39, 0.4, -1: mean -0.07; A = -0.5: -0.39, -0.4: mean -0.395, and 1.1 is left alone
    inputs = {"log_ratios": [[0.39, 0.41, -1.0], [-0.39, -0.41, _], [1.1, _, _]], "advantages": [0.5, -0.5, -0.5]}
    a, b, c = exp(-0.07), exp(-0.395), exp(1.1)
    weight = [[a, 0, a], [b, 0, _], [c, _, _]]
    check("gmpo", **inputs, tokens=[3 * [-a / 2], [b / 2, b / 2, _], [c / 2, _, _]], weight=weight)
    # bounds -0.2 and 0.6: nothing of A > 0 is cut, mean -0.2 / 3; A < 0: -0.2 twice
    a, b, options = exp(-0.2 / 3), exp(-0.2), {"clip_low": 0.2, "clip_high": 0.6}
    weight = [[a, a, a], [0, 0, _], [c, _, _]]
    check("gmpo", options, **inputs, tokens=[3 * [-a / 2], [b / 2, b / 2, _], [c / 2, _, _]], weight=weight)


# E = (0.2^2 + 0.4^2) / (0.2 + 0.4) = 1/3 in group 7, (0.1^2 + 0.3^2) / 0.4 = 1/4 in group 3, 0.5 in groups 5 and 6,
# the empty response of 5 not counted. p = E w.
GEPO_LP = [[log(p / c), log(p * c)] for p, c in ((1.19 / 3, 2), (1.21 / 3, 1), (0.81 / 4, 3), (0.79 / 4, 1))]
GEPO_LP += [[log(0.35), _], [log(0.75), _], [_, _]]
GEPO_MU = [[log(q / c), log(q * c)] for q, c in ((0.2, 2), (0.4, 1), (0.1, 1), (0.3, 3))]
GEPO_MU += [[log(0.5), _], [log(0.5), _], [_, _]]
GEPO = {
    "logprobs": GEPO_LP,
    "behavior_logprobs": GEPO_MU,
    "group": [7, 7, 3, 3, 5, 6, 5],
    "advantages": [2.0, 0.5, -3.0, -0.5, 0.5, -0.5, 0.0],
}


def test_gepo() -> None:
    # -2 * 1.19, -0.5 * 1.2, 3 * 0.81, 0.5 * 0.8, -0.5 * 0.7, 0.5 * 1.5
    tokens = [2 * [x] for x in (-2.38, -0.6, 2.43, 0.4, -0.35, 0.75, _)]
    check("gepo", **GEPO, tokens=tokens, weight=[2 * [x] for x in (1.19, 0, 0.81, 0, 0.7, 1.5, _)])
    # bounds 0.5 and 1.1
    tokens = [2 * [x] for x in (-2.2, -0.55, 2.43, 0.395, -0.35, 0.75, _)]
    weight = [2 * [x] for x in (0, 0, 0.81, 0.79, 0.7, 1.5, _)]
    check("gepo", {"clip_low": 0.5, "clip_high": 0.1}, **GEPO, tokens=tokens, weight=weight)


def test_gepo_of_unlikely_responses() -> None:
    # q = e^-800 and e^-801: E = e^-800 (1 + e^-2) / (1 + e^-1), far below the smallest double; p = 1.1 E and 0.9 E
    log_e = -800 + log((1 + exp(-2)) / (1 + exp(-1)))
    inputs = {"advantages": [2.0, -3.0], "group": [0, 0], "logprobs": [[log_e + log(1.1)], [log_e + log(0.9)]]}
    check("gepo", **inputs, behavior_logprobs=[[-800.0], [-801.0]], tokens=[[-2.2], [2.7]], weight=[[1.1], [0.9]])


def test_gepo_of_an_empty_response() -> None:
    # it takes no part in E = q: the others have w = 1 exactly, also where q underflows in float32
    inputs = {"advantages": [2.0, -3.0, 1.0], "group": [0, 0, 0], "logprobs": [[-800.0], [-800.0], [_]]}
    check("gepo", **inputs, behavior_logprobs=[[-800.0], [-800.0], [_]], tokens=[[-2.0], [3.0], [_]],
          weight=[[1.0], [1.0], [_]])  # fmt: skip


def test_gepo_limit() -> None:
    # groups of one: log w = 25 and -25 are limited to +-20 and constant
    inputs = {"log_ratios": [[25.0], [-25.0]], "advantages": [-3.0, exp(20)], "group": [0, 1]}
    check("gepo", **inputs, tokens=[[3 * exp(20)], [-1]], weight=[[0], [0]])


# Bounds of the whole batch


def test_m2po() -> None:
    # H: d^2 = 0.01, 0.0499, 0.0502 (A = 2, d > 0) and 0.25 (A = -3, d < 0); budget 4 * 0.04 = 0.16.
    # t^2 = 0.0499: 0.01 + 3 * 0.0499 = 0.1597; t^2 = 0.0502: 0.01 + 0.0499 + 2 * 0.0502 = 0.1603
    # d = 0, A = 0 and moves against the advantage are not in H
    t = sqrt(0.0499)
    check(
        "m2po",
        step=3 * [[1.0, 1.0, 1.0]] + [[1.0, _, _]],
        log_ratios=[[0.1, t, sqrt(0.0502)], [-0.5, 1.0, 0.0], [-1.0, 0.0, _], [3.0, _, _]],
        advantages=[2.0, -3.0, 2.0, 0.0],
        tokens=[
            [-2 * exp(0.1), -2 * exp(t), -2 * exp(t)],
            [3 * exp(-t), 3 * exp(1), 3],
            [-2 / exp(1), -2, _],
            [0, _, _],
        ],
        weight=[[exp(0.1), exp(t), 0], [0, exp(1), 1], [exp(-1), 1, _], [0, _, _]],
        metrics={"threshold": t},
    )


def m2po(options: dict[str, Any], d: float, loss: float, weight: float, threshold: float) -> None:
    """One token in H, A = 2, and one that has moved the other way."""
    check(
        "m2po",
        options,
        step=[[1.0, 1.0]],
        log_ratios=[[d, -1.0]],
        advantages=[2.0],
        tokens=[[-2 * loss, -2 * exp(-1)]],
        weight=[[weight, exp(-1)]],
        metrics={"threshold": threshold},
    )


def test_m2po_budget() -> None:
    within, beyond = sqrt(0.0399), sqrt(0.0401)
    m2po({}, within, exp(within), exp(within), 20)  # no clip; the threshold is reported as the limit of log-ratios
    m2po({}, beyond, 1, 0, 0)  # not even the smallest is within: t = 0
    m2po({"budget": 0.0625}, 0.25, exp(0.25), exp(0.25), 20)  # a mean of exactly the budget is within
    m2po({"budget": 1000.0}, 19.0, exp(19), exp(19), 20)


def test_m2po_exactly_within() -> None:
    # d^2 = 0.0625 and 0.25: 2 * 0.0625 is exactly 2 * budget, so t = 0.25
    inputs = {"step": [[1.0, 1.0]], "log_ratios": [[0.25, 0.5]], "advantages": [2.0]}
    tokens = [[-2 * exp(0.25), -2 * exp(0.25)]]
    metrics = {"threshold": 0.25}
    check("m2po", {"budget": 0.0625}, **inputs, tokens=tokens, weight=[[exp(0.25), 0]], metrics=metrics)


def test_m2po_paper() -> None:
    # H as in test_m2po: the means of its smallest squares are 0.01, 0.02995 and 0.0367; with 0.25 0.09, so that goes
    r = [exp(0.1), exp(sqrt(0.0499)), exp(sqrt(0.0502))]
    check(
        "m2po",
        {"variant": "paper"},
        step=3 * [[1.0, 1.0, 1.0]] + [[1.0, _, _]],
        log_ratios=[[log(x) for x in r], [-0.5, 1.0, 0.0], [-1.0, 0.0, _], [3.0, _, _]],
        advantages=[2.0, -3.0, 2.0, 0.0],
        tokens=[[-2 * x for x in r], [_, 3 * exp(1), 3], [-2 / exp(1), -2, _], [0, _, _]],
        weight=[r, [0, exp(1), 1], [exp(-1), 1, _], [0, _, _]],
        kept=[[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]],
    )


def paper_kept(log_ratios: list[float], **options: float) -> list[bool]:
    fields = fields_of([2.0], step=[[1.0] * len(log_ratios)], log_ratios=[log_ratios])
    return loss_of("m2po", {"variant": "paper"} | options, **fields).kept[0].tolist()


def test_m2po_paper_budget() -> None:
    assert paper_kept([0.19, 0.0, -9.0]) == [True, True, True]  # 0.0361; the others are not in H
    assert paper_kept([0.21, 0.3, 0.0]) == [False, False, True]  # not even the smallest is within: all of H goes
    assert paper_kept([0.25, 0.5], budget=0.15625) == [True, True]  # a mean of exactly the budget is within
    assert paper_kept([0.25, 0.5], budget=0.156) == [True, False]
    assert paper_kept([0.0625, 0.25, 0.25], budget=0.04) == [True, False, False]  # equal ones go together
    # 99 999 tokens of almost 0 and one of 70: the mean is 0.049; limited to 20 nats it would be 0.004
    assert paper_kept(99_999 * [1e-9] + [70.0])[-2:] == [True, False]


def test_m2po_areal() -> None:
    # (log proximal - log mu)^2 = 0.0399, 0.0400, 0.0402, 0.09, 0.0001: the smallest four have the mean
    # 0.12020 / 4 = 0.03005, all five 0.0420 > 0.04, so 0.09 goes, whatever its advantage. Then rho times PPO's clip
    # without width: r is cut to 1 in the direction of the advantage
    root = [sqrt(x) for x in (0.0399, 0.04, 0.0402)]
    rho = [exp(root[0]), exp(-root[1]), exp(root[2])]
    check(
        "m2po",
        {"variant": "areal"},
        step=[[1.19, 1.21, 0.5], [0.79, 0.81, _]],
        log_ratios=[[root[0], -root[1], root[2]], [0.3, 0.01, _]],
        advantages=[2.0, -3.0],
        tokens=[[-2 * rho[0], -2 * rho[1], -rho[2]], [_, 3 * exp(0.01), _]],
        weight=[[0, 0, 0.5 * rho[2]], [0, 0, _]],
        kept=[[1, 1, 1], [0, 1, 1]],
    )
    inputs = {"step": [[0.79, 1.5]], "log_ratios": [[0.1, 0.01]], "advantages": [-3.0]}
    tokens, weight = [[3 * exp(0.1), 4.5 * exp(0.01)]], [[0, 1.5 * exp(0.01)]]
    check("m2po", {"variant": "areal"}, **inputs, tokens=tokens, weight=weight, kept=[[1, 1]])


def test_m2po_areal_of_one_step_per_batch() -> None:
    # pi = prox = 0.55, mu = 0.5: r is exactly 1, where the clip without width leaves value and gradient: 1.1 A
    inputs = {"logprobs": [[log(0.55)], [log(0.55)]], "step": [[1.0], [1.0]], "ratios": [[1.1], [1.1]]}
    tokens, weight = [[-1.1], [2.2]], [[1.1], [1.1]]
    check("m2po", {"variant": "areal"}, **inputs, advantages=[1.0, -2.0], tokens=tokens, weight=weight,
          kept=[[1], [1]])  # fmt: skip


def test_m2po_areal_cap() -> None:
    # 5.01 is above the cap of 5: no loss, but it counts
    inputs = {"step": [[1.0, 1.0]], "ratios": [[4.99, 5.01]], "advantages": [2.0], "tokens": [[-9.98, 0]]}
    check("m2po", {"variant": "areal", "budget": 10.0}, **inputs, weight=[[4.99, 0]], kept=[[1, 1]])
    at = {"step": [[1.0]], "ratios": [[1.0]], "advantages": [2.0]}
    check("m2po", {"variant": "areal"}, **at, tokens=[[-2]], weight=[[1]], kept=[[1]])


def areal_kept(log_ratios: list[float], **options: float) -> list[list[bool]]:
    fields = fields_of([2.0], step=[[1.1] * len(log_ratios)], log_ratios=[log_ratios])
    return loss_of("m2po", {"variant": "areal"} | options, **fields).kept.tolist()


def test_m2po_areal_budget() -> None:
    roots = [sqrt(x) for x in (0.0399, 0.0400, 0.0402)]  # means 0.0399, 0.03995, 0.04003
    assert areal_kept(roots) == [[True, True, False]]
    assert areal_kept([0.3, -0.5, 0.4]) == [[True, False, False]]  # one token always stays
    assert areal_kept([0.25, 0.5], budget=0.15625) == [[True, False]]  # a mean of exactly the budget is not below it


@pytest.mark.parametrize("options", [{}, {"variant": "areal"}, {"variant": "paper"}])
def test_m2po_of_no_token(options: dict[str, Any]) -> None:
    loss = loss_of("m2po", options, **fields_of([2.0], step=[[_, _]], log_ratios=[[_, _]]))
    assert loss.metrics == ({} if options else {"threshold": 20})


def test_bapo() -> None:
    # P = 0.5 * (1.19 + 1.2) + 5 * 0.9 = 5.695, N = 3 * (0.61 + 0.6) + 0.01 * (2.9 + 3.1) = 3.69: enough.
    # Dual: 0.01 * 2.9, then at most 0.01 * 3. A = 0 counts nowhere.
    check(
        "bapo",
        ratios=[[1.19, 1.21], [0.61, 0.59], [2.9, 3.1], [9.0, _], [0.9, _]],
        advantages=[0.5, -3.0, -0.01, 0.0, 5.0],
        tokens=[[-0.595, -0.6], [1.83, 1.8], [0.029, 0.03], [0, _], [-4.5, _]],
        weight=[[1.19, 0], [0.61, 0], [2.9, 0], [0, _], [0.9, _]],
        metrics={"low": 0.6, "high": 1.2},
    )


def test_bapo_search() -> None:
    # low first, to its end 0.9: N = 0.9 + 1.65 = 2.55, P = 2 high. high: 1.2, 1.25 give 2.5, 1.3 gives 2.6 >= 2.55.
    # Then 2 is cut to 1.3 and 0.85, with A < 0, to 0.9
    check(
        "bapo",
        ratios=[[2.0, _], [0.85, 1.65]],
        advantages=[2.0, -1.0],
        tokens=[[-2.6, _], [0.9, 1.65]],
        weight=[[0, _], [0, 1.65]],
        metrics={"low": 0.9, "high": 1.3},
    )


def test_bapo_share() -> None:
    inputs = {"ratios": [[1.0, _], [1.0, _]], "weight": [[1, _], [1, _]]}
    start, end = {"low": 0.6, "high": 1.2}, {"low": 0.9, "high": 3.0}
    tokens = [[-1, _], [1, _]]
    check("bapo", **inputs, advantages=[1.0, -1.0], tokens=tokens, metrics=start)  # P / (P + N) is exactly 0.5
    tokens = [[-1, _], [1.01, _]]
    check("bapo", **inputs, advantages=[1.0, -1.01], tokens=tokens, metrics=end)  # 1 / 2.01 for any bounds
    options, end = {"positive_share": 0.6, "low": 0.7, "low_max": 0.72, "high": 1.1, "high_max": 1.13}, (0.72, 1.13)
    tokens, metrics = [[-1, _], [1, _]], dict(zip(("low", "high"), end, strict=True))
    check("bapo", options, **inputs, advantages=[1.0, -1.0], tokens=tokens, metrics=metrics)
    options = {"positive_share": 0.4, "dual": 2.0}  # 1 / 2.3 is above 0.4
    inputs |= {"ratios": [[1.0, _], [2.1, _]], "weight": [[1, _], [0, _]]}
    check("bapo", options, **inputs, advantages=[1.0, -0.6], tokens=[[-1, _], [1.2, _]], metrics=start)


# What surrounds the formulas


def test_every_objective_is_here() -> None:
    ours = {name for name, entry in OBJECTIVES.all().items() if entry.module.startswith("lagbench.objectives.")}
    assert set(CONVENTIONS) == ours


# The paper's advantage, aggregate and denominator where they are not group_mean_std, seq_mean_token_mean and all
CONVENTIONS: dict[str, dict[str, Any]] = {
    "a3po": {},
    "aspo": {},
    "asympo": {"advantage": "group_mean", "balanced": True},
    "asympo_stable": {"advantage": "group_mean", "balanced": True},
    "asymre": {"advantage": "asymre", "aggregate": "token_mean"},
    "bapo": {"aggregate": "token_mean"},
    "cispo": {"aggregate": "token_mean"},
    "clip_cov": {"aggregate": "token_mean"},
    "dapo": {"aggregate": "token_mean", "denominator": "kept"},
    "decoupled_ppo": {},
    "dppo": {"aggregate": "token_mean"},
    "dr_grpo": {"advantage": "group_mean", "aggregate": "fixed_length"},
    "dual_clip": {},
    "geo_mask": {"aggregate": "token_mean"},
    "gepo": {"advantage": "group_mean"},
    "gmpo": {},
    "gpg": {"advantage": "group_mean", "aggregate": "token_mean"},
    "grpo": {},
    "gspo": {},
    "icepop": {},
    "ipo": {"advantage": "group_mean", "aggregate": "token_mean", "regularized": True},
    "is_pg": {"aggregate": "token_mean"},
    "kimi": {"advantage": "group_mean", "aggregate": "seq_mean_token_sum", "regularized": True},
    "kl_cov": {"aggregate": "token_mean"},
    "kpop": {"advantage": "group_mean", "aggregate": "token_mean", "regularized": True},
    "luspo": {},
    "m2po": {"aggregate": "token_mean"},
    "minpro": {"aggregate": "token_mean"},
    "opmd": {"advantage": "opmd", "aggregate": "token_mean"},
    "opsm": {},
    "policy_gradient": {"advantage": "group_mean"},
    "positive_only": {},
    "rec": {"advantage": "group_mean", "aggregate": "token_mean"},
    "rloo": {"advantage": "leave_one_out", "aggregate": "seq_mean_token_sum"},
    "rollout_is": {"aggregate": "token_mean"},
    "sapo": {},
    "sat": {},
    "spo": {"advantage": "group_mean"},
    "sppo": {"aggregate": "token_mean"},
    "tis": {"aggregate": "token_mean"},
    "topr": {"advantage": "group_mean", "aggregate": "seq_mean_token_sum"},
    "up_grpo": {},
    "vcpo": {},
    "vespo": {"aggregate": "token_mean"},
}
ORDINARY = {
    "advantage": "group_mean_std",
    "aggregate": "seq_mean_token_mean",
    "denominator": "all",
    "regularized": False,
    "balanced": False,
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name: str) -> None:
    stated = OBJECTIVES.get(name).conventions
    assert {key: getattr(stated, key) for key in ORDINARY} == ORDINARY | CONVENTIONS[name]


# Weights on policy


def test_on_policy_weight_is_one_unless_stated() -> None:
    stated = {name for name in CONVENTIONS if OBJECTIVES.get(name).conventions.on_policy_weight is not None}
    assert stated == {"asympo", "asympo_stable", "clip_cov", "gepo", "gpg", "luspo", "opmd", "positive_only", "spo"}


def test_asympo_weight() -> None:
    inputs = {"logprobs": [[-1.0, -3.0], [-4e-7, _], [-0.25, _]], "advantages": [1.0, 1.0, -1.0]}
    weight_is("asympo", [0.5, 1e6, 4], **inputs)  # 1 / S, at most 1 / 1e-6
    weight_is("asympo", [0.25, 1e6, 4], {"normalizer": "sum"}, **inputs)
    weight_is("asympo", [1, 1, 4], {"sides": "negative"}, **inputs)


def test_asympo_stable_weight() -> None:
    up, down = 7 / 4 * log(2), (5 + Q) / 4 * log(2)
    rows = [[1 / up] * 3 + [0], [0] + [1 / down] * 3, [1 / up] * 3 + [0]]
    weight_is("asympo_stable", rows, BOUNDS, **STABLE)


def test_gepo_weight() -> None:
    # p = 1 of the empty response over E = 1/2; A = 0 has no clip
    weight_is("gepo", [1.19, 0, 0.81, 0, 0.7, 1.5, 2], **GEPO)
    # w = 1 is not beyond bounds that are both 1; A = 0 has no clip at w = 0.5 either
    inputs = {"advantages": [0.5, -0.5, 0.0], "log_ratios": [[0.0], [0.0], [log(0.5)]], "group": [0, 1, 2]}
    weight_is("gepo", [1, 1, 0.5], {"clip_low": 0.0, "clip_high": 0.0}, **inputs)


def test_gpg_weight() -> None:
    weight_is("gpg", 1.5, logprobs=3 * [[-1.0]], advantages=3 * [1.0], rewards=[1, 0, 0], group=[0, 0, 1])


def test_luspo_weight() -> None:
    weight_is("luspo", [3, 2], **NAIVE)


def test_opmd_weight() -> None:
    weight_is("opmd", 0.5, **NAIVE)
    weight_is("opmd", 0.25, {"tau": 3.0}, **NAIVE)


def test_positive_only_weight() -> None:
    weight_is("positive_only", [1, 0, 0], logprobs=3 * [[-1.0]], advantages=[0.5, -0.5, 0.0])


def test_spo_weight() -> None:
    weight_is("spo", [1, 0.2, 1], logprobs=3 * [[-1.0]], advantages=[0.5, -0.5, 0.0])
