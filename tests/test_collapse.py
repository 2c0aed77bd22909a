"""The collapse verdict on made-up curves: alarms where there is reason, and only there."""

import numpy as np
import pytest

from lagbench.harness.config import CollapseRules
from lagbench.harness.evaluate.collapse import Collapse, find_collapse

RULES = CollapseRules()
U = 100
HEALTHY = {
    "response_tokens": 8.0,
    "reward": 0.3,
    "entropy": 0.4,
    "gradient_norm": 0.5,
    "nll": 0.4,
    "truncated_fraction": 0.05,
}


def rows(**curves: np.ndarray) -> list[dict[str, float]]:
    """A healthy run with some of its measurements replaced."""
    constant = {name: np.full(U, value) for name, value in HEALTHY.items()}
    return [{name: float(values[u]) for name, values in (constant | curves).items()} for u in range(U)]


def step(before: float, after: float, at: int) -> np.ndarray:
    return np.where(np.arange(U) < at, before, after)


def noisy(values: np.ndarray, size: float) -> np.ndarray:
    return values + size * np.random.default_rng(0).standard_normal(len(values))


@pytest.mark.parametrize(
    ("reason", "curve", "update", "limit"),
    [
        # the mean of ten goes from 0.5 down by 0.04 an update: below 0.25 at the seventh update of 0.1
        (
            "reward_of_best",
            {"reward": np.concatenate([np.linspace(0.1, 0.5, 40), np.full(10, 0.5), np.full(50, 0.1)])},
            56,
            0.25,
        ),
        # from 0.30 down by 0.03 an update: below 0.7 * 0.3 at the fourth, sooner than half of its best
        ("reward_of_start", {"reward": step(0.3, 0.0, 50)}, 53, 0.21),
        ("entropy", {"entropy": step(0.4, 0.0, 50)}, 59, 0.01),  # the whole window has to be at zero
        ("gradient", {"gradient_norm": step(0.5, 50.0, 50)}, 51, 10.0),  # 0.5 * 0.8 + 50 * 0.2 = 10.4
        ("nll", {"nll": step(0.4, 3.0, 50)}, 53, 1.2),  # 0.4 * 0.6 + 3 * 0.4 = 1.44
        ("truncation", {"truncated_fraction": step(0.05, 0.99, 50)}, 57, 0.715),  # 0.05 * 0.2 + 0.99 * 0.8 = 0.80
        (
            "truncation",
            {"truncated_fraction": step(0.6, 0.99, 50)},
            57,
            0.88,
        ),  # 0.6 + 0.7 * 0.4; 0.6 * 0.2 + 0.99 * 0.8 = 0.91
        ("length", {"response_tokens": step(8.0, 100.0, 50)}, 51, 24.0),  # 8 * 0.8 + 100 * 0.2 = 26.4
        # no gradient at first (all groups alike), then the first that is not zero counts: 0.05, mean of ten
        ("gradient", {"gradient_norm": step(0.0, 0.5, 30) + step(0.0, 50.0, 60)}, 60, 1.0),
    ],
)
def test_alarm(reason: str, curve: dict[str, np.ndarray], update: int, limit: float) -> None:
    found = find_collapse(rows(**curve), RULES)
    assert found is not None and (found.reason, found.update) == (reason, update)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "curve",
    [
        {},
        {"reward": noisy(np.linspace(0.25, 0.6, U), 0.08)},  # learns
        {"reward": noisy(np.full(U, 0.3), 0.1)},  # learns nothing
        {"reward": np.where(np.arange(U) == 50, 0.0, 0.5)},  # one bad batch
        {"reward": np.concatenate([np.linspace(0.2, 0.6, 50), np.full(50, 0.4)])},  # loses a third
        {"reward": noisy(np.full(U, 0.04), 0.01).clip(0)},  # too small to fall: drops below 0.05 are noise
        {"entropy": np.linspace(0.4, 0.05, U)},  # sharpens
        {"entropy": np.linspace(0.002, 0.001, U)},  # was sharp to begin with
        {"gradient_norm": step(0.0, 0.5, 50)},  # no group teaches anything at first
        {"response_tokens": np.linspace(8, 20, U)},
        {"gradient_norm": noisy(np.linspace(0.5, 5.0, U), 0.5)},
        {"gradient_norm": np.where(np.arange(U) == 50, 40.0, 0.5)},  # one spike
        {"nll": np.linspace(0.4, 1.1, U)},
        {"truncated_fraction": np.full(U, 1.0)},  # base models that never stop
    ],
)
def test_no_alarm(curve: dict[str, np.ndarray]) -> None:
    assert find_collapse(rows(**curve), RULES) is None


def test_the_first_alarm_is_the_reason() -> None:
    found = find_collapse(rows(reward=step(0.5, 0.0, 60), nll=step(0.4, 4.0, 30)), RULES)
    assert found == Collapse("nll", 32, pytest.approx(0.4 * 0.7 + 4 * 0.3), pytest.approx(1.2))


def test_thresholds_are_the_suites() -> None:
    curve = rows(reward=np.concatenate([np.linspace(0.2, 0.6, 50), np.full(50, 0.4)]))
    assert find_collapse(curve, CollapseRules(reward_of_best=0.8)).reason == "reward_of_best"
    assert find_collapse(curve, CollapseRules(reward_of_best=0.8, reward_drop=0.3)) is None
    spike = rows(gradient_norm=np.where(np.arange(U) == 50, 40.0, 0.5))
    assert find_collapse(spike, CollapseRules(window=1)).update == 50


def test_too_short_for_a_verdict() -> None:
    assert find_collapse(rows(reward=np.zeros(U))[:9], RULES) is None
    assert find_collapse([], RULES) is None
