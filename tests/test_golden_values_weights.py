"""Weights on log pi and ratios of other kinds, against numbers derived by hand. Conventions as in golden.py."""

from math import exp, log
from typing import Any

import pytest
from golden import Rows, _, check

from lagbench.harness.registry import OBJECTIVES

BOTH = {"ratios": [[1.19, 1.21, 0.5], [0.81, 0.79, 1.5]], "advantages": [2.0, -3.0]}  # just on either side of 0.2


def test_up_grpo() -> None:
    # A > 0: -A exactly, weight 1, at any ratio. A < 0: 3 * (0.81, 0.8, 1.5) and 3 * (2.9, 3)
    check(
        "up_grpo",
        ratios=[[30.0, 0.01, _], [0.81, 0.79, 1.5], [2.9, 3.1, _], [0.5, _, _], [0.3, _, _]],
        advantages=[2.0, -3.0, -3.0, 0.0, 0.5],
        tokens=[[-2, -2, _], [2.43, 2.4, 4.5], [8.7, 9, _], [0, _, _], [-0.5, _, _]],
        weight=[[1, 1, _], [0.81, 0, 1.5], [2.9, 0, _], [0, _, _], [1, _, _]],
    )
    options, inputs = {"clip_low": 0.5, "dual": 2.0}, {"ratios": [[0.51, 0.49, 1.9, 2.1]], "advantages": [-3.0]}
    check("up_grpo", options, **inputs, tokens=[[1.53, 1.5, 5.7, 6]], weight=[[0.51, 0, 1.9, 0]])


def test_aspo() -> None:
    # A > 0: 4 w with w = 1 / r up to 3, and none above 1.2; A < 0: 3 * (0.81, 0.8, 1.5)
    check(
        "aspo",
        ratios=[[0.5, 0.2, 1.19, 1.21], [0.81, 0.79, 1.5, _], [0.7, _, _, _], [0.5, _, _, _]],
        advantages=[2.0, -3.0, 0.0, 0.5],
        tokens=[[8, 12, 4 / 1.19, 0], [2.43, 2.4, 4.5, _], [0, _, _, _], [2, _, _, _]],
        weight=[[2, 3, 1 / 1.19, 0], [0.81, 0, 1.5, _], [0, _, _, _], [2, _, _, _]],
    )
    # bounds 0.5 and 1.4, reciprocals up to 4
    options = {"clip_low": 0.5, "clip_high": 0.4, "dual": 4.0}
    inputs = {"ratios": [[0.2, 1.39, 1.41], [0.51, 0.49, _]], "advantages": [2.0, -3.0]}
    tokens, weight = [[16, 4 / 1.39, 0], [1.53, 1.5, _]], [[4, 1 / 1.39, 0], [0.51, 0, _]]
    check("aspo", options, **inputs, tokens=tokens, weight=weight)
    at = {"ratios": [[1.0]], "advantages": [2.0]}  # exactly at the bound: not above it
    check("aspo", {"clip_high": 0.0}, **at, tokens=[[4]], weight=[[1]])


# The smallest before: (1), 0.5, -0.3, -0.3 and (1), 2. Products: 0.5, 0.2, -0.1, -0.4 and 2, -3.
MINPRO = {"log_ratios": [[0.5, -0.3, 0.2, -0.1], [2.0, -5.0, _, _], [0.3, _, _, _]], "advantages": [2.0, -3.0, 0.5]}


def test_minpro() -> None:
    # 2 w A, w cut at 5 alone
    w = [[exp(0.5), exp(0.2), exp(-0.1), exp(-0.4)], [5, exp(-3), _, _], [exp(0.3), _, _, _]]
    tokens = [[2 * a * x for x in row] for a, row in zip(MINPRO["advantages"], w, strict=True)]
    check("minpro", **MINPRO, tokens=tokens, weight=w)


def test_minpro_has_no_lower_bound_by_default() -> None:
    assert OBJECTIVES.get("minpro").options["clip_low"] == 1  # any larger number would do the same


def test_minpro_bounds() -> None:
    w = [[1.28, exp(0.2), exp(-0.1), 0.8], [1.28, 0.8, _, _], [1.28, _, _, _]]
    tokens = [[2 * a * x for x in row] for a, row in zip(MINPRO["advantages"], w, strict=True)]
    check("minpro", {"clip_low": 0.2, "clip_high": 0.28}, **MINPRO, tokens=tokens, weight=w)


def test_minpro_hard() -> None:
    # min(w A, clip(w, 0.8, 1.28) A); no gradient through the smallest ratio before
    a, b, c, far = exp(0.2), exp(-0.1), exp(-0.4), exp(2)
    check(
        "minpro",
        {"form": "hard", "clip_low": 0.2, "clip_high": 0.28},
        **MINPRO,
        tokens=[[-2.56, -2 * a, -2 * b, -2 * c], [3 * far, 2.4, _, _], [-0.64, _, _, _]],
        weight=[[0, a, b, c], [far, 0, _, _], [0, _, _, _]],
    )


def test_minpro_of_one_token() -> None:
    check("minpro", log_ratios=[[0.3]], advantages=[2.0], tokens=[[4 * exp(0.3)]], weight=[[exp(0.3)]])


@pytest.mark.parametrize(
    ("options", "weight"),
    [
        ({}, [[1, 0, 1], [1, 0, 1]]),  # cut in the advantage's direction
        ({"clip": "two_side"}, [[1, 0, 0], [1, 0, 0]]),
        ({"clip": "none"}, [[1, 1, 1], [1, 1, 1]]),
        ({"weight": "ratio"}, [[1.19, 0, 0.5], [0.81, 0, 1.5]]),
        ({"clip": "none", "weight": "advantage"}, [3 * [exp(2)], 3 * [exp(-3)]]),
        ({"weight": "advantage", "temperature": 2.0}, [[exp(1), 0, exp(1)], [exp(-1.5), 0, exp(-1.5)]]),
        ({"clip_low": 0.5, "clip_high": 0.3}, [[1, 1, 1], [1, 1, 1]]),
        ({"clip": "two_side", "clip_low": 0.15, "clip_high": 0.3}, [[1, 1, 0], [0, 0, 0]]),
    ],
)
def test_rec(options: dict[str, Any], weight: Rows) -> None:
    tokens = [[4 * x for x in weight[0]], [-6 * x for x in weight[1]]]  # 2 w A
    check("rec", options, **BOTH, tokens=tokens, weight=weight)


@pytest.mark.parametrize(
    ("options", "weight"),
    [
        # far back: up to 0.4 with A > 0, from 3 on with A < 0
        ({}, [[0, 1, 0, 1, 0], [0, 1, 0, 1, 0]]),
        # up to 0.395 and from 3.2 on
        ({"ring_low": 0.605, "ring_high": 2.2}, [[0, 1, 0, 1, 0], [0, 0, 0, 1, 0]]),
    ],
)
def test_rec_ring(options: dict[str, Any], weight: Rows) -> None:
    inputs = {"ratios": [[0.41, 0.39, 3.1, 1.1, 1.3], [2.9, 3.1, 0.39, 0.9, 0.7]], "advantages": [2.0, -3.0]}
    tokens = [[4 * x for x in weight[0]], [-6 * x for x in weight[1]]]
    check("rec", {"clip": "ring"} | options, **inputs, tokens=tokens, weight=weight)


def test_rec_at_the_bounds() -> None:
    for clip in ("one_side", "two_side", "ring", "sequence_one_side"):  # r = 1 is not beyond bounds that are both 1
        options = {"clip": clip, "clip_low": 0.0, "clip_high": 0.0}
        check("rec", options, ratios=[[1.0], [1.0]], advantages=[2.0, -3.0], tokens=[[4], [-6]], weight=[[1], [1]])


def test_rec_of_a_small_advantage() -> None:
    inputs = {"ratios": [[1.21, 0.79]], "advantages": [0.5]}
    check("rec", **inputs, tokens=[[0, 1]], weight=[[0, 1]])


def test_rec_sequence() -> None:
    # geometric means 1.19, 1.21, 0.81, 0.79 and 0.5, each of a token far above and one far below it
    means, advantages = [1.19, 1.21, 0.81, 0.79, 0.5], [2.0, 2.0, -3.0, -3.0, 1.0]
    inputs = {"ratios": [[4.0, s**2 / 4] for s in means], "advantages": advantages}
    for weight, w in (("none", [1, 0, 1, 0, 1]), ("sequence", [1.19, 0, 0.81, 0, 0.5])):
        rows = [[x, x] for x in w]
        tokens = [2 * [2 * a * x] for a, x in zip(advantages, w, strict=True)]
        options = {"clip": "sequence_one_side", "weight": weight}
        check("rec", options, **inputs, tokens=tokens, weight=rows)


def test_rec_regularizers() -> None:
    # k2 = 0.05: 0.05 d^2 with gradient 0.1 d; forward_kl = 0.5: 0.5 * 2 with gradient -0.5; also out of range
    d = [[log(x) for x in row] for row in BOTH["ratios"]]
    tokens, gradient = [[4, 0, 4], [-6, 0, -6]], [[-2, 0, -2], [3, 0, 3]]
    check(
        "rec",
        {"k2": 0.05, "forward_kl": 0.5},
        **BOTH,
        tokens=[[x + 0.05 * y**2 + 1 for x, y in zip(*rows, strict=True)] for rows in zip(tokens, d, strict=True)],
        gradient=[[x + 0.1 * y - 0.5 for x, y in zip(*rows, strict=True)] for rows in zip(gradient, d, strict=True)],
    )


UNIFIED = {"ratios": [[1.29, 0.79, 1.27], [1.29, 0.3, 0.81], [3.0, 0.1, _]], "advantages": [2.0, -3.0, 0.0]}


def test_cispo_removed() -> None:
    # bounds 0.8 and 1.28: above with A > 0 and below with A < 0 get nothing, the other sides are clipped
    check(
        "cispo",
        {"outside": "removed", "clip_low": 0.2, "clip_high": 0.28},
        **UNIFIED,
        tokens=[[0, 3.2, 5.08], [-7.68, 0, -4.86], [0, 0, _]],
        weight=[[0, 0.8, 1.27], [1.28, 0, 0.81], [0, 0, _]],
        metrics={"bound_fraction": 6 / 8},
    )
    # at most 1.28 itself, no lower bound
    check(
        "cispo",
        {"outside": "removed", "cap": "absolute", "clip_high": 1.28},
        **UNIFIED,
        tokens=[[0, 3.16, 5.08], [-7.68, -1.8, -4.86], [0, 0, _]],
        weight=[[0, 0.79, 1.27], [1.28, 0.3, 0.81], [0, 0, _]],
        metrics={"bound_fraction": 3 / 8},
    )
    at = {"ratios": [[1.0], [1.0]], "advantages": [2.0, -3.0], "tokens": [[4], [-6]], "weight": [[1], [1]]}
    options = {"outside": "removed", "clip_low": 0.0, "clip_high": 0.0}  # at both bounds: not beyond them
    check("cispo", options, **at, metrics={"bound_fraction": 0})
