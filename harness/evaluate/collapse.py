"""When a run has collapsed, and why: rules over the measurements of its updates. The thresholds are the suite's.

Every rule looks at a measurement's mean over the last `window` updates, so that one bad batch is no collapse, and fires
at the first update at which that mean crosses its limit. Its start is the mean over the first `window` updates: of
the base model where the lag is at least that, else of one that has hardly been trained. Rewards are those of the
responses trained on, so under lag k a cliff shows up to k updates late.

| reason | fires when |
|---|---|
| reward_of_best | mean reward below `reward_of_best` times its own best so far, and at least `reward_drop` below it |
| reward_of_start | mean reward below `reward_of_start` times its start, and at least `reward_drop` below it |
| entropy | mean entropy below `entropy_floor` nats, having started above it |
| gradient | mean gradient norm above `gradient_growth` times its start (the first that is not zero) |
| nll | mean NLL of the responses trained on above `nll_growth` times its start |
| length | mean response length above `length_growth` times its start |
| truncation | share of truncated responses risen by more than `truncated_rise` of what its start leaves |
| non_finite | a loss, a gradient or a log-probability is not finite: the run ends |
| score | the trained model's held-out pass@1 is below `score_of_base` times the base model's |

All but the last two need `window` updates. The report applies the rules, so other thresholds need no new training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import CollapseRules


@dataclass(frozen=True)
class Collapse:
    """Which rule fired first, at which update, and the value that crossed its limit (None where there is none)."""

    reason: str
    update: int
    value: float | None = None
    limit: float | None = None


def find_collapse(rows: Sequence[Mapping[str, Any]], rules: CollapseRules) -> Collapse | None:
    """The first rule that fires over the measurements of updates 0, 1, ...; None if none does."""
    if len(rows) < rules.window:
        return None

    def smooth(name: str) -> np.ndarray:
        values = np.array([row[name] for row in rows], float)
        return np.lib.stride_tricks.sliding_window_view(values, rules.window).mean(1)  # [U - window + 1]

    reward, gradient = smooth("reward"), smooth("gradient_norm")
    entropy, nll, length, truncated = map(smooth, ("entropy", "nll", "response_tokens", "truncated_fraction"))
    best, first_gradient = np.maximum.accumulate(reward), next((g for g in gradient if g > 0), np.inf)
    limits = {
        "reward_of_best": (reward, np.less, np.minimum(rules.reward_of_best * best, best - rules.reward_drop)),
        "reward_of_start": (reward, np.less, min(rules.reward_of_start * reward[0], reward[0] - rules.reward_drop)),
        "entropy": (entropy, np.less, rules.entropy_floor if entropy[0] >= rules.entropy_floor else -np.inf),
        "gradient": (gradient, np.greater, rules.gradient_growth * first_gradient),
        "nll": (nll, np.greater, rules.nll_growth * nll[0]),
        "length": (length, np.greater, rules.length_growth * length[0]),
        "truncation": (truncated, np.greater, truncated[0] + rules.truncated_rise * (1 - truncated[0])),
    }
    found = []
    for reason, (values, crosses, limit) in limits.items():
        limit = np.broadcast_to(limit, values.shape)
        crossed = crosses(values, limit).nonzero()[0]
        if len(crossed):
            first = crossed[0]
            found.append(Collapse(reason, int(first) + rules.window - 1, float(values[first]), float(limit[first])))
    return min(found, key=lambda collapse: collapse.update, default=None)
