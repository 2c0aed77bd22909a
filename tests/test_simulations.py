"""The comparison against simulated truth, in short; benchmarks/comparison_statistics.py is the long form.

Seeds are fixed, so these do not fail by chance. A share may be four standard errors of so few repeats away from its
nominal value; what they must notice is further away (a normal quantile in place of Student's covers 0.878 at 5 seeds).
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "comparison_statistics.py"
BENCHMARKS, LEADERBOARDS = 800, 300


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def margin(share: float, repeats: int) -> float:
    """Four standard errors."""
    return 4 * (share * (1 - share) / repeats) ** 0.5


def test_intervals_cover(simulation) -> None:
    found = simulation.coverage(np.random.default_rng(1), BENCHMARKS, 5, simulation.Noise())
    for name in ("cell (seeds)", "seed-paired difference", "retained gain", "lag tolerance", "checkpoint (problems)"):
        assert found[name].share == pytest.approx(0.95, abs=margin(0.95, BENCHMARKS)), name
        assert found[f"{name} unbounded"].share < 0.02
    assert found["largest lag"].share > 0.95 - margin(0.95, BENCHMARKS)


def test_a_leaderboard_of_copies_stays_silent(simulation) -> None:
    found = simulation.copies(np.random.default_rng(2), LEADERBOARDS, 5, simulation.Noise(), naive=20)
    for family in simulation.OURS:
        assert found[family].share <= 0.05 + margin(0.05, LEADERBOARDS), family
    assert found["against the baseline, paired t, each at 5 %"].share > 0.5  # what adjustment is for
    assert found["against the baseline, paired t over problems, Holm"].share > 0.5  # what seeds are for


def test_pairing_by_seed_doubles_the_power(simulation) -> None:
    found = simulation.single_tests(np.random.default_rng(3), LEADERBOARDS, 5, simulation.EFFECT, simulation.Noise())
    assert found["paired t"].share > 2 * found["Welch t"].share
    assert found["paired t"].share == pytest.approx(0.62, abs=margin(0.62, LEADERBOARDS))


def test_rank_intervals_hold_every_true_rank_at_once(simulation) -> None:
    found, width = simulation.true_ranks(np.random.default_rng(4), 100, 8, simulation.Noise())
    assert found.share >= 0.95
    assert width < 8  # of 10: they say something
