"""Trust regions that remove tokens or responses, and clips that adapt, against numbers derived by hand.

Conventions as in golden.py. Probabilities or ratios lie just on either side of each bound.
"""

from math import exp, log
from typing import Any

import pytest
from golden import Rows, _, check, double, logs


def moved(pi: Rows, mu: Rows, advantages: list[float]) -> dict[str, Any]:
    """Tokens whose probability has moved from mu to pi."""
    ratios = [[p / m for p, m in zip(*rows, strict=True)] for rows in zip(pi, mu, strict=True)]
    return {"logprobs": logs(pi), "ratios": ratios, "advantages": advantages}


HALVES = [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]
IPO = moved(pi=[[0.599, 0.601, 0.401, 0.399], [0.599, 0.601, 0.401, 0.399]], mu=HALVES, advantages=[0.5, -0.5])
IPO_TOKENS = [[-0.599, 0, -0.401, 0], [0.599, 0, 0.401, 0]]  # r A = (pi / 0.5) * 0.5


def test_ipo() -> None:
    # |pi - 0.5| up to 0.1 stays, whatever the sign of A
    weight = [[1.198, 0, 0.802, 0], [1.198, 0, 0.802, 0]]
    check("ipo", {"log_ratio_penalty": 0.0}, **IPO, tokens=IPO_TOKENS, weight=weight)
    tokens, weight = [[-0.599, -0.601, -0.401, -0.399], 4 * [0]], [[1.198, 1.202, 0.802, 0.798], 4 * [0]]
    inputs = moved(pi=[[0.599, 0.601, 0.401, 0.399], 4 * [0.8]], mu=HALVES, advantages=[0.5, -0.5])
    check("ipo", {"limit": 0.2, "log_ratio_penalty": 0.0}, **inputs, tokens=tokens, weight=weight)


def test_ipo_penalty() -> None:
    # 0.001 d^2 on all tokens, removed ones included; its gradient is 0.002 d. That of -r A is -r A itself.
    d, loss = double(logs([[1.198, 1.202, 0.802, 0.798]] * 2)), double(IPO_TOKENS)
    check("ipo", **IPO, tokens=(loss + 0.001 * d**2).tolist(), gradient=(loss + 0.002 * d).tolist())


def test_ipo_at_the_limit() -> None:
    still = {"logprobs": [[-1.0, _], [-1.0, _]], "log_ratios": [[0.0, _], [0.0, _]], "advantages": [2.0, -3.0]}
    check("ipo", {"limit": 0.0}, **still, tokens=[[-2, _], [3, _]], weight=[[1, _], [1, _]])


# D(1/2, p) = -log(4 p (1 - p)) / 2: 0.09909 at 0.712 and 0.288, 0.10117 at 0.714 and 0.286, more than D(p, 1/2).
# D(0.08, 0.01) = 0.08 log 8 + 0.92 log(0.92 / 0.99) = 0.09889, D(0.09, 0.01) = 0.09 log 9 + 0.91 log(0.91 / 0.99) =
# 0.12107; the other way 0.01 log(1 / 9) + 0.99 log(0.99 / 0.91) = 0.06145
KPOP = moved(
    pi=[[0.712, 0.714, 0.288, 0.286], [0.08, 0.09, 0.01, 0.01], [0.712, 0.714, 0.288, 0.286]],
    mu=[[0.5, 0.5, 0.5, 0.5], [0.01, 0.01, 0.08, 0.09], [0.5, 0.5, 0.5, 0.5]],
    advantages=[0.5, 0.5, -0.5],
)
KPOP_TOKENS = [[-0.712, 0, -0.288, 0], [-4, 0, -0.0625, 0], [0.712, 0, 0.288, 0]]


def test_kpop() -> None:
    weight = [[1.424, 0, 0.576, 0], [8, 0, 0.125, 0], [1.424, 0, 0.576, 0]]
    check("kpop", {"log_ratio_penalty": 0.0}, **KPOP, tokens=KPOP_TOKENS, weight=weight)


def test_kpop_penalty() -> None:
    d = double(logs([[1.424, 1.428, 0.576, 0.572], [8, 9, 1 / 8, 1 / 9], [1.424, 1.428, 0.576, 0.572]]))
    loss = double(KPOP_TOKENS)
    check("kpop", **KPOP, tokens=(loss + 0.001 * d**2).tolist(), gradient=(loss + 0.002 * d).tolist())


@pytest.mark.parametrize(("limit", "kept"), [(0.0822, 1), (0.0821, 0)])
def test_kpop_of_a_certain_token(limit: float, kept: int) -> None:
    # pi = 1 counts as 1 - 1e-6: D(0.99, pi) = 0.99 log(0.99 / 0.999999) + 0.01 log(0.01 / 1e-6) = 0.082155, the other
    # way 0.0100. Mirrored for pi = 0, whose log-ratio is limited to -20 and constant, and A = e^20 makes it comparable.
    inputs = {"logprobs": [[0.0], [-60.0]], "log_ratios": [[-log(0.99)], [-60 - log(0.01)]]}
    options = {"limit": limit, "log_ratio_penalty": 0.0}
    tokens, weight = [[-2 * kept / 0.99], [-kept]], [[kept / 0.99], [0]]
    check("kpop", options, **inputs, advantages=[2.0, exp(20)], tokens=tokens, weight=weight)


def test_geo_mask() -> None:
    # means 0.0099 and -0.0100 are inside [log 0.99, log 1.01] = [-0.01005, 0.00995]; 0.0101 and -0.0102 are not. The
    # empty response is none. PPO's clip by token then: 2 * 1.2, 2 e^-0.4802; 3 * 0.8, 3 e^0.48
    a, b = exp(-0.4802), exp(0.48)
    check(
        "geo_mask",
        log_ratios=[[0.5, -0.4802], [0.5, -0.4798], [-0.5, 0.48], [-0.5, 0.4796], [_, _]],
        advantages=[2.0, 2.0, -3.0, -3.0, 1.0],
        tokens=[[-2.4, -2 * a], [_, _], [2.4, 3 * b], [_, _], [_, _]],
        weight=[[0, a], [0, 0], [0, b], [0, 0], [_, _]],
        kept=[[1, 1], [0, 0], [1, 1], [0, 0], [1, 1]],
        metrics={"rejected_fraction": 2 / 4},
    )


def test_geo_mask_bounds() -> None:
    inputs = {"log_ratios": [[0.0, 0.0], [_, _]], "advantages": [2.0, 1.0]}  # both bounds are inside
    expected = {"tokens": [[-2, -2], [_, _]], "weight": [[1, 1], [_, _]], "kept": [[1, 1], [1, 1]]}
    for options in ({"low": 1.0}, {"high": 1.0}):
        check("geo_mask", options, **inputs, **expected, metrics={"rejected_fraction": 0})
    # clip 0.5 and 1.1, band from 0.5 to 2
    options = {"low": 0.5, "high": 2.0, "clip_low": 0.5, "clip_high": 0.1}
    inputs = {"ratios": [[1.05, 1.2], [0.6, 0.49], [2.1, _]], "advantages": [2.0, -3.0, 1.0]}
    tokens, weight, kept = [[-2.1, -2.2], [1.8, 1.5], [_, _]], [[1.05, 0], [0.6, 0], [0, _]], [[1, 1], [1, 1], [0, 0]]
    metrics = {"rejected_fraction": 1 / 3}
    check("geo_mask", options, **inputs, tokens=tokens, weight=weight, kept=kept, metrics=metrics)
    none = {"log_ratios": [[_, _]], "advantages": [1.0], "tokens": [[_, _]], "weight": [[_, _]], "kept": [[1, 1]]}
    check("geo_mask", **none, metrics={"rejected_fraction": 0})
    one = {"log_ratios": [[0.1]], "advantages": [1.0], "tokens": [[_]], "weight": [[0]], "kept": [[0]]}
    check("geo_mask", **one, metrics={"rejected_fraction": 1})


# 30 tokens: 26 of |d| = 0.01, then 0.15, then three of 0.18; the 27th, q = 0.15, is the first that 0.9 do not exceed.
# factor at 0.18: 1 / (1 + 1.2^2) = 1 / 2.44. All ratios are inside PPO's own clip.
SAT = {
    "log_ratios": [8 * [0.01] + [0.15, 0.18], 9 * [-0.01] + [-0.18], 9 * [0.01] + [-0.18]],
    "advantages": [2.0, -3.0, 2.0],
}


def test_sat() -> None:
    # A > 0 and up: 1 + 0.2 / 2.44; A < 0 and down: 1 - 0.2 / 2.44; A > 0 and down: as it is. 0.15 itself is not gated.
    near, at, back = exp(0.01), exp(0.15), exp(-0.18)
    check(
        "sat",
        **SAT,
        tokens=[8 * [-2 * near] + [-2 * at, -2 * (1 + 0.2 / 2.44)], 9 * [3 / near] + [3 * (1 - 0.2 / 2.44)],
                9 * [-2 * near] + [-2 * back]],
        weight=[8 * [near] + [at, 0], 9 * [1 / near] + [0], 9 * [near] + [back]],
        metrics={"gated_fraction": 3 / 30},
    )  # fmt: skip


def test_sat_of_another_clip() -> None:
    # 0.5 down and 0.1 up: 1 + 0.1 / 2.44 and 1 - 0.5 / 2.44 = 0.795, below e^-0.18 = 0.835; 0.15 is beyond 1.1
    near, at, back = exp(0.01), exp(0.15), exp(-0.18)
    check(
        "sat",
        {"clip_low": 0.5, "clip_high": 0.1},
        **SAT,
        tokens=[8 * [-2 * near] + [-2.2, -2 * (1 + 0.1 / 2.44)], 9 * [3 / near] + [3 * back],
                9 * [-2 * near] + [-2 * back]],
        weight=[8 * [near] + [0, 0], 9 * [1 / near] + [back], 9 * [near] + [back]],
        metrics={"gated_fraction": 3 / 30},
    )  # fmt: skip
    assert at > 1.1


def test_sat_only_on_the_side_to_which_a_token_has_moved() -> None:
    # q = 0.01; d = -0.3 and A < 0: low = 1 - 0.2 / (1 + 30^2), r is below it. d = 0.3 and A < 0: high is not asked.
    # d = 0.01 and A > 0 below high, d = -0.3 and A > 0 above nothing: r A.
    inputs = {"log_ratios": [18 * [0.01] + [-0.3], 18 * [0.01] + [0.3], 18 * [0.01] + [-0.3]]}
    near, low = exp(0.01), 1 - 0.2 / 901
    check(
        "sat",
        **inputs,
        advantages=[-3.0, -3.0, 2.0],
        tokens=[18 * [3 * near] + [3 * low], 18 * [3 * near] + [3 * exp(0.3)], 18 * [-2 * near] + [-2 * exp(-0.3)]],
        weight=[18 * [near] + [0], 18 * [near] + [exp(0.3)], 18 * [near] + [exp(-0.3)]],
        metrics={"gated_fraction": 3 / 57},
    )


def test_sat_quantile() -> None:
    # of three tokens the second is the first that half do not exceed: q = 0.1, and 0.15 is gated, 1 / (1 + 1.5^2)
    inputs = {"log_ratios": [[0.15, 0.05, 0.1]], "advantages": [2.0]}
    a, b = exp(0.05), exp(0.1)
    tokens, weight, metrics = [[-2 * (1 + 0.2 / 3.25), -2 * a, -2 * b]], [[0, a, b]], {"gated_fraction": 1 / 3}
    check("sat", {"quantile": 0.5}, **inputs, tokens=tokens, weight=weight, metrics=metrics)
    tokens, weight, metrics = [[-2 * exp(0.15), -2 * a, -2 * b]], [[exp(0.15), a, b]], {"gated_fraction": 0}
    check("sat", {"quantile": 1.0}, **inputs, tokens=tokens, weight=weight, metrics=metrics)


def test_sat_of_a_quantile_of_zero_and_of_no_token() -> None:
    # nine tokens are where they were: q = 0, and nothing is gated
    far = exp(0.18)
    inputs = {"log_ratios": [9 * [0.0] + [0.18]], "advantages": [2.0], "metrics": {"gated_fraction": 0}}
    check("sat", **inputs, tokens=[9 * [-2] + [-2 * far]], weight=[9 * [1] + [far]])
    none = {"log_ratios": [[_, _]], "advantages": [2.0], "tokens": [[_, _]], "weight": [[_, _]]}
    check("sat", **none, metrics={"gated_fraction": 0})


def test_sat_sequence() -> None:
    # means 0.01 of nine responses and 0.18 of one, of which the first token alone is 0.5: q = 0.01, 1 / (1 + 18^2)
    near = exp(0.01)
    check(
        "sat",
        {"level": "sequence"},
        log_ratios=[[0.3, -0.28] for i in range(9)] + [[0.5, -0.14]],
        advantages=10 * [2.0],
        tokens=9 * [[-2 * near, -2 * near]] + [2 * [-2 * (1 + 0.2 / 325)]],
        weight=9 * [[near, near]] + [[0, 0]],
        metrics={"gated_fraction": 2 / 20},
    )
