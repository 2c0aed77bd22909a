"""When a run has collapsed, and why: rules over the measurements of its updates. The thresholds are the suite's.

Every rule looks at a measurement's mean over the last `window` updates, so that one bad batch is no collapse, and fires
at the first update at which that mean crosses its limit. `start` is the mean over the first `window` updates: at lag 0
those of a model that has hardly been trained, at a larger lag those of the base model itself. Rewards are those of the
responses trained on, so under lag k a cliff shows up to k updates late.

| reason | fires when |
|---|---|
| reward_of_best | mean reward below `reward_of_best` times its own best so far, and at least `reward_drop` below it |
| reward_of_base | mean reward below `reward_of_base` times its start, and at least `reward_drop` below it |
| entropy | mean entropy below `entropy_floor` nats, having started above it |
| gradient | mean gradient norm above `gradient_growth` times its start |
| nll | mean NLL of the responses trained on above `nll_growth` times its start |
| truncation | share of truncated responses more than `truncated_rise` above its start |
| non_finite | a loss, a gradient or a log-probability is not finite: the run ends |
| score | the trained model's held-out pass@1 is below `score_of_base` times the base model's |

The first six need `window` updates. `non_finite` is told by the run, `score` by the report, which knows the base.
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

    reward, entropy, gradient, nll = (smooth(name) for name in ("reward", "entropy", "gradient_norm", "nll"))
    truncated, best = smooth("truncated_fraction"), np.maximum.accumulate(reward)
    limits = {
        "reward_of_best": (reward, np.less, np.minimum(rules.reward_of_best * best, best - rules.reward_drop)),
        "reward_of_base": (reward, np.less, min(rules.reward_of_base * reward[0], reward[0] - rules.reward_drop)),
        "entropy": (entropy, np.less, rules.entropy_floor if entropy[0] >= rules.entropy_floor else -np.inf),
        "gradient": (gradient, np.greater, rules.gradient_growth * gradient[0]),
        "nll": (nll, np.greater, rules.nll_growth * nll[0]),
        "truncation": (truncated, np.greater, rules.truncated_rise + truncated[0]),
    }
    found = []
    for reason, (values, crosses, limit) in limits.items():
        limit = np.broadcast_to(limit, values.shape)
        crossed = crosses(values, limit).nonzero()[0]
        if len(crossed):
            first = crossed[0]
            found.append(Collapse(reason, int(first) + rules.window - 1, float(values[first]), float(limit[first])))
    return min(found, key=lambda collapse: collapse.update, default=None)
