"""Clip-Cov and KL-Cov against numbers derived by hand. Conventions as in golden.py."""

from math import log
from typing import Any

import pytest
from golden import Rows, _, check, fields_of, loss_of, weight_is

from lagbench import InputError
from lagbench.harness.registry import OBJECTIVES

# mean A = 0 and mean log pi = -2 over four tokens: cov = 2 * (1, -1) and -2 * (1, -1)
COV = {
    "logprobs": [[-1.0, -3.0, _], [-1.0, -3.0, _]],
    "ratios": [[1.1, 1.1, _], [1.1, 1.1, _]],
    "advantages": [2.0, -2.0],
    "uniform": [[0.7, 0.1, _], [0.2, 0.6, _]],
}


@pytest.mark.parametrize(
    ("options", "picked"),
    [
        ({}, [[0, 0, _], [0, 1, _]]),  # one token: the smaller number of the two with cov = 2
        ({"share": 0.49}, [[0, 0, _], [0, 1, _]]),  # 1.96 of four
        ({"share": 0.5}, [[1, 0, _], [0, 1, _]]),
        ({"share": 1.0}, [[1, 0, _], [0, 1, _]]),  # there are no more candidates
        ({"cov_low": 2.0}, [[0, 0, _], [0, 0, _]]),  # both bounds are outside
        ({"cov_high": 2.0}, [[0, 0, _], [0, 0, _]]),
        ({"cov_low": -3.0, "cov_high": 0.0}, [[0, 1, _], [0, 0, _]]),
    ],
)
def test_clip_cov(options: dict[str, Any], picked: Rows) -> None:
    # -1.1 * 2 and 1.1 * 2 where not picked
    weight = [[1.1 * (1 - x) for x in row] for row in picked]
    tokens = [[-2 * x for x in weight[0]], [2 * x for x in weight[1]]]
    share = sum(x == 1 for row in picked for x in row) / 4
    check("clip_cov", options, **COV, tokens=tokens, weight=weight, metrics={"picked_fraction": share})


def test_clip_cov_leaves_what_is_clipped() -> None:
    # the second candidate has lost its gradient to PPO's clip, so the first one is picked; against the advantage, 1.5
    # with A < 0, nothing is clipped
    inputs = COV | {"ratios": [[1.19, 0.5, _], [1.5, 0.79, _]]}
    tokens, weight = [[0, -1, _], [3, 1.6, _]], [[0, 0.5, _], [1.5, 0, _]]
    check("clip_cov", **inputs, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})
    # bounds 0.5 and 1.1: the first one has lost its own
    options, weight = {"clip_low": 0.5, "clip_high": 0.1}, [[0, 0.5, _], [1.5, 0, _]]
    tokens = [[-2.2, -1, _], [3, 0, _]]
    check("clip_cov", options, **inputs, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})


def test_clip_cov_default_bounds() -> None:
    # cov = 1.05, -1.05, -0.95, 0.95: one candidate above 1; cov = 5.05, -5.05, -4.95, 4.95: one below 5
    near = COV | {"logprobs": [[-0.95, -3.05, _], [-1.05, -2.95, _]], "advantages": [1.0, -1.0]}
    tokens, weight = [[0, -1.1, _], [1.1, 1.1, _]], [[0, 1.1, _], [1.1, 1.1, _]]
    check("clip_cov", **near, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})
    far = {"logprobs": [[-0.99, -3.01, _], [-1.01, -2.99, _]], "advantages": [5.0, -5.0]}
    far |= {"ratios": [[1.25, 1.1, _], [1.1, 1.1, _]], "uniform": [[0.1, 0.2, _], [0.3, 0.4, _]]}
    tokens, weight = [[-6, -5.5, _], [5.5, 0, _]], [[0, 1.1, _], [1.1, 0, _]]  # 1.25 is clipped at 1.2, too
    check("clip_cov", **far, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})
    far |= {"ratios": [[1.1, 1.1, _], [1.1, 1.1, _]]}
    tokens, weight = [[-5.5, -5.5, _], [5.5, 0, _]], [[1.1, 1.1, _], [1.1, 0, _]]
    check("clip_cov", **far, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})


@pytest.mark.parametrize(("name", "option"), [("clip_cov", "share"), ("kl_cov", "share"), ("sat", "quantile")])
@pytest.mark.parametrize("value", [0.0, 1.01])
def test_shares_of_clip_cov_kl_cov_and_sat(name: str, option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}: {option}={value} is not valid"):
        OBJECTIVES.get(name).check_options({option: value})


def many(name: str) -> dict[str, float]:
    """Metrics of 10000 tokens, of which every second one has a cov of 2 and a little more."""
    logs = [[-1 + t * 1e-6, -3 - t * 1e-6] for t in range(5000)]
    numbers = [[t / 5000, t / 5000] for t in range(5000)]
    inputs = {"logprobs": logs, "log_ratios": 5000 * [[0.1, 0.1]], "advantages": 2500 * [2.0, -2.0]}
    return loss_of(name, **fields_of(**inputs, uniform=numbers)).metrics


def test_clip_cov_of_many_tokens() -> None:
    assert many("clip_cov") == pytest.approx({"picked_fraction": 2e-4})  # two of them


def test_kl_cov_of_many_tokens() -> None:
    assert many("kl_cov") == pytest.approx({"penalized_fraction": 2e-4})


# mean A over four tokens (3 - 1 - 1 - 1) / 4 = 0, not over responses; mean log pi -2: cov = 3 * 1; -1 * (1, -1, -1)
UNEVEN = {
    "logprobs": [[-1.0, _, _], [-1.0, -3.0, -3.0]],
    "advantages": [3.0, -1.0],
    "uniform": [[0.9, _, _], [0.1, 0.5, 0.2]],
}


def test_clip_cov_of_uneven_lengths() -> None:
    inputs = UNEVEN | {"ratios": [[1.1, _, _], [1.1, 1.1, 1.1]]}
    tokens, weight = [[0, _, _], [1.1, 1.1, 1.1]], [[0, _, _], [1.1, 1.1, 1.1]]
    check("clip_cov", {"cov_low": 2.9}, **inputs, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})
    tokens, weight = [[-3.3, _, _], [1.1, 1.1, 0]], [[1.1, _, _], [1.1, 1.1, 0]]
    check("clip_cov", {"cov_low": 0.9}, **inputs, tokens=tokens, weight=weight, metrics={"picked_fraction": 0.25})


def test_clip_cov_of_no_token() -> None:
    none = {"logprobs": [[_, _]], "ratios": [[_, _]], "uniform": [[_, _]], "advantages": [1.0]}
    check("clip_cov", **none, tokens=[[_, _]], weight=[[_, _]], metrics={"picked_fraction": 0})


def test_clip_cov_weight() -> None:
    weight_is("clip_cov", [[1, 1, 1], [1, 1, 0]], {"cov_low": 0.9}, **UNEVEN)
    weight_is("clip_cov", [[0, 1, 1], [1, 0, 0]], {"cov_low": 0.9, "share": 1.0}, **UNEVEN)
    weight_is("clip_cov", [[1, 1, 1], [1, 1, 1]], {"cov_low": 1.0, "cov_high": 3.0}, **UNEVEN)


# mean A = 0, mean log pi = -2: cov = 2 * (1, -1) and -2 * (0.5, -0.5) = 2, -2, -1, 1
KL_COV = {
    "logprobs": [[-1.0, -3.0, _], [-1.5, -2.5, _]],
    "ratios": [[0.9, 1.1, _], [1.1, 1.1, _]],
    "advantages": [2.0, -2.0],
}


@pytest.mark.parametrize(
    ("options", "coefficient", "penalized"),
    [
        ({}, 1, [[1, 0, _], [0, 0, _]]),
        ({"share": 0.49}, 1, [[1, 0, _], [0, 0, _]]),
        ({"share": 0.5}, 1, [[1, 0, _], [0, 1, _]]),
        ({"share": 0.75}, 1, [[1, 0, _], [0, 1, _]]),  # the third largest lowers the covariance
        ({"coefficient": 0.1}, 0.1, [[1, 0, _], [0, 0, _]]),
    ],
)
def test_kl_cov(options: dict[str, Any], coefficient: float, penalized: Rows) -> None:
    # -r A, plus |log 0.9| or log 1.1 with gradient -1 or 1
    loss, distance, sign = [[-1.8, -2.2], [2.2, 2.2]], [[-log(0.9), log(1.1)], 2 * [log(1.1)]], [[-1, 1], [1, 1]]
    added = [[[coefficient * p * x for p, x in zip(*r, strict=False)] for r in zip(penalized, by, strict=True)]
             for by in (distance, sign)]  # fmt: skip
    tokens, gradient = (
        [[x + y for x, y in zip(*rows, strict=True)] + [_] for rows in zip(loss, more, strict=True)] for more in added
    )
    share = sum(x == 1 for row in penalized for x in row) / 4
    check("kl_cov", options, **KL_COV, tokens=tokens, gradient=gradient, metrics={"penalized_fraction": share})


def test_kl_cov_ties_and_zeros() -> None:
    # both tokens of cov = 2 are penalized, although one is the share
    inputs = {"logprobs": COV["logprobs"], "ratios": COV["ratios"], "advantages": [2.0, -2.0]}
    tokens = [[-2.2 + log(1.1), -2.2, _], [2.2, 2.2 + log(1.1), _]]
    gradient = [[-1.2, -2.2, _], [2.2, 3.2, _]]
    check("kl_cov", **inputs, tokens=tokens, gradient=gradient, metrics={"penalized_fraction": 0.5})
    # mean A = 2, so 3 and 1 are as far from it as 2 and -2 from 0, and the same tokens have the largest cov
    tokens, gradient = [[-3.3 + log(1.1), -3.3, _], [-1.1, -1.1 + log(1.1), _]], [[-2.3, -3.3, _], [-1.1, -0.1, _]]
    far = inputs | {"advantages": [3.0, 1.0]}
    check("kl_cov", **far, tokens=tokens, gradient=gradient, metrics={"penalized_fraction": 0.5})
    # no covariance, no penalty; one token has none; no token, neither
    one = {"logprobs": [[-2.0]], "ratios": [[1.1]], "advantages": [-2.0], "tokens": [[2.2]], "gradient": [[2.2]]}
    check("kl_cov", **one, metrics={"penalized_fraction": 0})
    zero = [[0, 0, _], [0, 0, _]]
    inputs |= {"advantages": [0.0, 0.0]}
    check("kl_cov", **inputs, tokens=zero, gradient=zero, metrics={"penalized_fraction": 0})
    none = {"logprobs": [[_, _]], "ratios": [[_, _]], "advantages": [1.0], "tokens": [[_, _]]}
    check("kl_cov", **none, gradient=[[_, _]], metrics={"penalized_fraction": 0})
