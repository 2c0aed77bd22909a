"""The comparison against simulated truth, in short; benchmarks/comparison_statistics.py is the long form.

Seeds are fixed, so these do not fail by chance. A share may be four standard errors of so few repeats away from its
nominal value; what they must notice is further away (a normal quantile in place of Student's covers 0.878 at 5 seeds).
"""

import numpy as np
import pytest
from small_suites import benchmark

from lagbench.harness.statistics.intervals import clustered_share

BOARDS, PAIRS = 1000, 300


@pytest.fixture(scope="module")
def simulation():
    return benchmark("comparison_statistics")


@pytest.fixture(scope="module")
def setting(simulation):
    return simulation.published()


def margin(share: float, repeats: int) -> float:
    """Four standard errors."""
    return 4 * (share * (1 - share) / repeats) ** 0.5


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_every_interval_of_a_table_covers(simulation, setting, seeds: int) -> None:
    for name, (held, bounded) in simulation.coverage(np.random.default_rng(1), setting, BOARDS, seeds).items():
        assert np.mean(held / bounded) == pytest.approx(0.95, abs=0.02), name
        assert np.min(held / bounded) > 0.95 - margin(0.95, BOARDS) - 0.01, name
        assert (bounded == BOARDS).all(), name


def test_gains_need_the_base_models_own_error(simulation, setting) -> None:
    """Taken as known, what is narrow falls short: the audit found .88 to .91 at 5 to 8 seeds."""
    found = simulation.coverage(np.random.default_rng(1), setting, BOARDS, 8, known=True)
    for name in ("gain under lag", "own retention", "gain in units of the baseline's at lag 0"):
        held, bounded = found[name]
        assert np.min(held / bounded) < 0.88, name


@pytest.mark.parametrize(
    "name",
    [
        "equal normal",
        "each run collapses, 30%",
        "unequal laws, equal means: the baseline collapses, 10%",
        "unequal laws, equal means: every second collapses, 20%",
    ],
)
@pytest.mark.parametrize("seeds", [3, 8])
def test_a_leaderboard_of_copies_gets_no_mark(simulation, setting, name: str, seeds: int) -> None:
    rng = np.random.default_rng(2)
    plain, marked = simulation.false_alarms(rng, simulation.KINDS[name], BOARDS, seeds, setting.base)
    assert marked.max() <= 0.055
    if name.startswith("unequal") or (seeds == 3 and "30%" in name):
        assert plain.max() > 0.15  # what the charge for collapses is for
    else:
        assert plain.max() <= 0.05 + margin(0.05, BOARDS)


def test_what_differs_gets_marks(simulation, setting) -> None:
    marked, values = simulation.published_boards(np.random.default_rng(3), setting, 200, 8)
    found = [marked[family].mean() for family in simulation.FAMILIES]
    assert min(found) > 0.3
    ranks = simulation.ranks_of(marked[simulation.FAMILIES[1]][0], values[simulation.FAMILIES[1]][0])
    assert np.mean(ranks[1] - ranks[0] + 1) < 8  # of 10: they say something


def test_shares_of_runs_that_come_by_seed_cover(simulation) -> None:
    for name, rate, collapsed in simulation.rate_laws(np.random.default_rng(4), 2000, 5):
        _, low, high = clustered_share(collapsed.sum(1), np.full((2000, 5), simulation.SCHEDULES))
        assert np.mean((low <= rate) & (rate <= high)) > 0.95 - margin(0.95, 2000) - 0.01, name


def test_pairing_by_seed_doubles_the_power(simulation) -> None:
    found = simulation.single_tests(np.random.default_rng(3), PAIRS, 5, simulation.EFFECT, 0.3)
    assert found["paired t"] > 2 * found["Welch t"]
    assert found["paired t"] == pytest.approx(0.62, abs=margin(0.62, PAIRS))
