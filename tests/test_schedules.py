"""Every built-in schedule: by value, by property, and against naive simulations and closed forms; how they are written.

The expectations are worked out by hand or by loops that know nothing of the code under test.
"""

import itertools
import json
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import NonNegativeFloat, NonNegativeInt
from scipy import stats

from lagbench import InputError
from lagbench.harness.config import load_suite
from lagbench.harness.lag import LagPlan, Scene, make_plan, resolve, split_schedules
from lagbench.harness.lag.aliases import ALIASES
from lagbench.harness.noise import SCHEDULE, stream
from lagbench.harness.registry import SCHEDULES, schedule

BUILTIN = [name for name, entry in SCHEDULES.all().items() if entry.distribution == "lagbench"]
RANDOM = {"uniform", "heavy_tail", "heavy_tail_by_length", "capacity", "window"}

UPTO12, FROM1TO12 = st.integers(0, 12), st.integers(1, 12)
POSITIVE = st.sampled_from([0.25, 0.5, 1.0, 1.75, 4.0, 30.0])
TAILS = st.sampled_from([0.01, 0.25, 0.5, 1.0, 1.75, 4.0, 10.0])
HEAVY = {"law": st.sampled_from(["lognormal", "power"]), "median": POSITIVE, "tail": TAILS}
OPTIONS = {  # of every schedule: those that have to be given, those that may be
    "sync": ({}, {}),
    "constant": ({"k": st.integers(0, 70)}, {}),
    "uniform": ({"low": UPTO12, "high": st.integers(12, 70)}, {}),
    "periodic": ({"interval": FROM1TO12}, {"offset": UPTO12}),
    "staged": ({"stages": st.integers(1, 70)}, {}),
    "heavy_tail": ({}, HEAVY),
    "heavy_tail_by_length": ({}, HEAVY),
    "burst": ({"stall": FROM1TO12, "drain": FROM1TO12}, {}),
    "capacity": (
        {"eta": UPTO12},
        {"duration": POSITIVE, "spread": st.sampled_from([0.0, 0.5, 1.0, 10.0]), "minibatches": st.integers(1, 4)},
    ),
    "window": ({"k": UPTO12}, {"order": st.sampled_from(["freshest", "oldest"])}),
    "in_flight": ({"span": UPTO12}, {"stride": UPTO12}),
    "trace": ({"file": st.just("FILE")}, {}),
}


def nobody_measures() -> np.ndarray:
    raise AssertionError("lengths are measured for a schedule that does not read them")


def scene(updates: int, groups: int = 2, tokens: int = 8, seed: int = 0, lengths: Any = None) -> Scene:
    measure = nobody_measures if lengths is None else lambda: np.asarray(lengths, float)
    return Scene(updates, groups, tokens, seed, measure)


def some_lengths(updates: int, groups: int) -> np.ndarray:
    """With ties, in no order."""
    return np.arange(updates * groups).reshape(updates, groups) * 7 % 5 + 1.0


def spelled(name: str, options: dict[str, Any]) -> str:
    """A schedule with its options by name; the trace's one option is all that follows the colon."""
    if name == "trace":
        return f"trace:{options['file']}"
    return ":".join([name, ",".join(f"{option}={value}" for option, value in options.items())]) if options else name


def lags(text: str, updates: int, **facts: Any) -> list[int]:
    """The lags of a schedule that gives all groups of an update the same."""
    lag = make_plan(text, scene(updates, **facts)).lag
    assert (lag == lag[:, :1]).all()
    return lag[:, 0].tolist()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """For every number of groups a trace of 60 updates, every third response of two versions."""
    files = {}
    for groups in range(1, 7):
        lines: list[dict[str, Any]] = [{"format": "lagbench-trace-1", "name": "recorded", "groups": groups}]
        for update in range(60):
            row: list[Any] = [max(0, update - (7 * update + 3 * group) % 5) for group in range(groups)]
            for group in range(groups):
                if (update + group) % 3 == 0 and row[group] < update:
                    row[group] = [[row[group], 2], [update, None]]
            lines.append({"update": update, "groups": row})
        files[groups] = tmp_path_factory.mktemp("recorded") / "trace.jsonl"
        files[groups].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return files


@st.composite
def scenes(draw: st.DrawFn, updates: int = 60, groups: int = 6) -> Scene:
    num_updates, num_groups = draw(st.integers(0, updates)), draw(st.integers(1, groups))
    lengths = some_lengths(num_updates, num_groups)
    return scene(num_updates, num_groups, draw(st.integers(1, 20)), draw(st.integers(0, 2**40)), lengths)


def options_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    needed, optional = OPTIONS[name]
    return st.fixed_dictionaries(needed, optional=optional)


def test_every_schedule_has_an_example_here() -> None:
    assert set(OPTIONS) == set(BUILTIN) and set(BUILTIN) >= RANDOM


# Of every schedule


def drawn_by_versions(plan: LagPlan, tokens: int) -> np.ndarray:
    """Who draws each token according to `drawn_by`, each exactly once: [U, P, tokens]."""
    updates, groups = plan.source.shape
    times, who = np.zeros((updates, groups, tokens), int), np.full((updates, groups, tokens), -1)
    for version in range(updates):
        before = -1
        for segments in plan.drawn_by(version):
            assert before < segments.update
            before = segments.update
            assert len(segments.groups) == len(segments.starts) == len(segments.ends) > 0
            for group, start, end in zip(segments.groups, segments.starts, segments.ends, strict=True):
                assert start < end
                times[segments.update, group, start:end] += 1
                who[segments.update, group, start:end] = version
    assert (times == 1).all()
    return who


@pytest.mark.parametrize("name", BUILTIN)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_plans_of_every_schedule(name: str, recorded: dict[int, Path], data: st.DataObject) -> None:
    where = data.draw(scenes())
    text = spelled(name, data.draw(options_of(name))).replace("FILE", str(recorded[where.groups]))
    plan = make_plan(text, where)

    latest = np.arange(where.updates)[:, None]
    assert plan.source.shape == plan.lag.shape == (where.updates, where.groups)
    assert ((plan.source >= 0) & (plan.source <= latest) & (plan.lag == latest - plan.source)).all()
    assert plan.name == resolve(text).text

    same = make_plan(plan.name, replace(where))
    assert same.digest == plan.digest and (same.source == plan.source).all()

    again = LagPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.digest == plan.digest and again.name == plan.name
    assert (again.source == plan.source).all() and (again.switches == plan.switches).all()

    versions = [plan.token_versions(update, where.tokens) for update in range(where.updates)]
    versions = np.array(versions, int).reshape(where.updates, where.groups, where.tokens)
    assert (drawn_by_versions(plan, where.tokens) == versions).all()
    assert (versions[:, :, 0] == plan.source).all()
    assert (np.diff(versions, axis=2) >= 0).all() and (versions <= latest[:, :, None]).all()
    if name not in ("in_flight", "trace"):
        assert len(plan.switches) == 0


@pytest.mark.parametrize("name", BUILTIN)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_plans_depend_on_nothing_else(name: str, recorded: dict[int, Path], data: st.DataObject) -> None:
    where = data.draw(scenes())
    text = spelled(name, data.draw(options_of(name))).replace("FILE", str(recorded[where.groups]))
    digest = make_plan(text, where).digest
    np.random.seed(data.draw(st.integers(0, 9)))
    if name != "heavy_tail_by_length":
        assert make_plan(text, replace(where, measure_lengths=nobody_measures)).digest == digest
    if name != "in_flight":
        assert make_plan(text, replace(where, tokens=where.tokens + 1)).digest == digest
    if name not in RANDOM:
        assert make_plan(text, replace(where, seed=where.seed + 1)).digest == digest


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_seeds_differ(name: str) -> None:
    text = {"uniform": "uniform:0-16", "capacity": "capacity:4", "window": "window:8"}.get(name, name)
    digests = {make_plan(text, scene(40, 6, seed=s, lengths=some_lengths(40, 6))).digest for s in range(8)}
    assert len(digests) == 8


def test_lengths_are_measured_once_and_only_for_who_reads_them() -> None:
    measured = []

    def measure() -> np.ndarray:
        measured.append(True)
        return np.ones((5, 2))

    where = Scene(5, 2, 8, 0, measure)
    for name in set(BUILTIN) - {"heavy_tail_by_length", "trace"}:
        needed = {"low": 0, "high": 3} if name == "uniform" else dict.fromkeys(OPTIONS[name][0], 2)
        make_plan(spelled(name, needed), where)
    assert not measured
    make_plan("heavy_tail_by_length", where)
    make_plan("heavy_tail_by_length:power", where)
    assert len(measured) == 1


@pytest.mark.parametrize("text", ["constant:2", "in_flight:3", "capacity:2"])
def test_digest_covers_every_number(text: str) -> None:
    """One source or one switch that differs makes another plan, and so does another shape of the same numbers."""
    plan = make_plan(text, scene(9, 2))
    digests = {plan.digest, LagPlan("", plan.source[:8], plan.switches[plan.switches[:, 0] < 8]).digest}
    for at in np.argwhere(plan.source > 0):
        source = plan.source.copy()
        source[tuple(at)] = 0
        digests.add(LagPlan("", source, plan.switches).digest)
    for row in range(len(plan.switches)):
        digests.add(LagPlan("", plan.source, np.delete(plan.switches, row, axis=0)).digest)
        later = plan.switches.copy()
        later[row, 2] += 1
        digests.add(LagPlan("", plan.source, later).digest)
    assert len(digests) == 2 + (plan.source > 0).sum() + 2 * len(plan.switches)
    zeros = [LagPlan("", np.zeros(shape, np.int32)).digest for shape in ((2, 3), (3, 2), (6, 1), (1, 6))]
    assert len(set(zeros)) == 4
    changed = plan.to_json()
    changed["source"][8][1] = 0
    with pytest.raises(ValueError, match="does not fit its sources"):
        LagPlan.from_json(changed)


# By value


def test_sync_by_value() -> None:
    assert make_plan("sync", scene(3)).source.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_constant_by_value() -> None:
    plan = make_plan("constant:2", scene(5))
    assert plan.source.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1], [2, 2]]
    assert plan.lag.tolist() == [[0, 0], [1, 1], [2, 2], [2, 2], [2, 2]]


def test_uniform_by_value() -> None:
    assert lags("uniform:3-3", 6) == [0, 1, 2, 3, 3, 3]


def test_periodic_by_value() -> None:
    assert lags("periodic:3", 8) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert lags("periodic:3+1", 8) == [0, 1, 2, 1, 2, 3, 1, 2]
    assert lags("periodic:1+4", 7) == [0, 1, 2, 3, 4, 4, 4]


def test_staged_by_value() -> None:
    assert lags("staged:4", 12) == [0, 1, 2] * 4
    assert lags("staged:4", 10) == [0, 1, 2, 0, 1, 0, 1, 2, 0, 1]  # stages begin at 0, 2.5, 5, 7.5, rounded up
    assert lags("staged:1", 5) == [0, 1, 2, 3, 4]
    assert lags("staged:9", 5) == [0, 0, 0, 0, 0]


def test_burst_by_value() -> None:
    assert lags("burst:3,3", 14) == [0, 1, 2, 3, 2, 1] * 2 + [0, 1]
    assert lags("burst:3,2", 12) == [0, 1, 2, 3, 2, 0, 1, 2, 3, 2, 0, 1]
    assert lags("burst:2,4", 8) == [0, 1, 2, 2, 1, 1, 0, 1]
    assert lags("burst:1,1", 5) == [0, 1, 0, 1, 0]


@dataclass(frozen=True)
class Rigged(Scene):
    """A run whose random numbers are chosen."""

    drawn: Any = None

    @property
    def rng(self) -> Any:
        return self.drawn


def rigged(
    updates: int, groups: int, lengths: Any = None, shuffle: Callable[[Any], Any] = list, **numbers: list[float]
) -> Rigged:
    drawn = {name: lambda size, of=of: np.array(of).reshape(size) for name, of in numbers.items()}
    measure = nobody_measures if lengths is None else lambda: np.asarray(lengths, float)
    return Rigged(updates, groups, 8, 0, measure, SimpleNamespace(permutation=shuffle, **drawn))


def test_heavy_tail_by_value() -> None:
    """4 exp(z) with z = -2, 0, ln 2.1; Lomax with median 4 at survival probabilities 0.5, 0.24 and 0.9."""
    normal = rigged(60, 1, standard_normal=[-2.0, 0.0, math.log(2.1)] * 20)
    assert make_plan("heavy_tail", normal).lag[57:, 0].tolist() == [0, 4, 8]
    assert make_plan("heavy_tail:lognormal,3,2", normal).lag[57:, 0].tolist() == [0, 3, 13]  # 3 * 2.1 ** 2 = 13.23
    power = rigged(60, 1, random=[0.5, 0.76, 0.1] * 20)
    assert make_plan("heavy_tail:power", power).lag[57:, 0].tolist() == [4, 12, 0]  # 4 (1 / s - 1)
    assert make_plan("heavy_tail:power,4.1,2", power).lag[57:, 0].tolist() == [4, 22, 0]  # 4.1 / 3 (s ** -2 - 1)


def test_heavy_tail_by_length_by_value() -> None:
    """Lags 8, 0, 4 of 4 exp(z) go to the longest, the shortest and the middle; equally long ones keep their order."""
    lengths = [[5, 20, 7]] * 9 + [[6, 3, 3]]
    numbers = [math.log(2.1), -2.0, 0.1]
    plan = make_plan("heavy_tail_by_length", rigged(10, 3, lengths, standard_normal=numbers * 10))
    assert plan.lag[8:].tolist() == [[0, 8, 4], [8, 0, 4]]


def test_capacity_by_value() -> None:
    """Batches of two, eta 1; groups take as long as training a batch, but the second 6.5 and the last three 9.

    Version 0 begins groups 0 to 3, done at 1, 6.5, 1, 1; batch {0, 2} is trained until 2. Version 1 begins 4 and 5,
    done at 3; {3, 4} until 4. Version 2 begins 6 and 7, done at 5 and 13; {5, 6} until 6. Version 3 begins 8 and 9,
    done at 15: it waits for groups 1 and 7.
    """
    slow = rigged(4, 2, standard_normal=[0, math.log(6.5), 0, 0, 0, 0, 0, *[math.log(9)] * 3])
    assert make_plan("capacity:1", slow).source.tolist() == [[0, 0], [0, 1], [1, 2], [0, 2]]
    assert make_plan("capacity:1", slow).lag.tolist() == [[0, 0], [1, 0], [1, 0], [3, 1]]


def late(second: float, updates: int = 5, groups: int = 2, shuffle: Callable[[Any], Any] = list) -> Rigged:
    """Five batches of two, eta 2; groups take 0.5, but the second one `second`.

    Version 0 begins groups 0 to 5: {0, 2} are trained from 0.5 on, {3, 4} from 1.5 on, when version 1 begins 6 and 7,
    done at 2. From 2.5 on 5 is trained, and the second of all if it is done by then, though 6 and 7 were done before;
    else 6, and the second of all with 7 from 3.5 on. Version 2 began 8 and 9, trained last.
    """
    return rigged(updates, groups, None, shuffle, standard_normal=[0, math.log(second / 0.5), *[0] * 12])


def test_capacity_takes_what_was_begun_first() -> None:
    begun_first = make_plan("capacity:2,0.5", late(2.2))
    assert begun_first.source.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1], [2, 2]]
    overtaken = make_plan("capacity:2,0.5", late(2.7))
    assert overtaken.source.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [2, 2]]
    assert overtaken.lag.max() == 3  # beyond eta


def test_capacity_shuffles_each_batch_by_value() -> None:
    """Versions of two updates each; reversed, the youngest of a batch are trained first."""
    text = "capacity:2,0.5,minibatches=2"
    assert make_plan(text, late(2.7, 10, 1)).source[:, 0].tolist() == [0, 0, 0, 0, 0, 2, 0, 2, 4, 4]
    backwards = late(2.7, 10, 1, lambda batch: batch[::-1])
    assert make_plan(text, backwards).source[:, 0].tolist() == [0, 0, 0, 0, 2, 0, 2, 0, 4, 4]
    assert make_plan(text, backwards).lag[:, 0].tolist() == [0, 1, 2, 3, 2, 5, 4, 7, 4, 5]


def test_capacity_of_minibatches_by_value() -> None:
    """Batches of two one-group updates: a version of the sampler is two updates, the second update of a batch older."""
    assert lags("capacity:0,minibatches=2", 6, groups=1) == [0, 1, 0, 1, 0, 1]
    assert lags("capacity:1,spread=0,minibatches=2", 7, groups=1) == [0, 1, 2, 3, 2, 3, 2]
    assert lags("capacity:2,spread=0,minibatches=3", 12, groups=1) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 6, 7, 8]


def finishing(finished: list[int], groups: int) -> Rigged:
    """A run in which version v finishes `finished[v]` groups."""
    drawn = SimpleNamespace(standard_exponential=np.ones, poisson=lambda mean: np.array(finished))
    return Rigged(len(finished), groups, 8, 0, nobody_measures, drawn)


def test_window_by_value() -> None:
    run = finishing([5, 0, 0, 3, 1], 2)
    assert make_plan("window:2", run).lag.tolist() == [[0, 0], [1, 1], [2, 0], [0, 0], [0, 1]]
    assert make_plan("window:2,oldest", run).lag.tolist() == [[0, 0], [1, 1], [2, 0], [0, 0], [1, 0]]
    assert make_plan("window:1", run).lag.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0], [0, 1]]
    assert (make_plan("window:0", run).lag == 0).all()


def test_in_flight_by_value() -> None:
    plan = make_plan("in_flight:2", scene(4, groups=1, tokens=6))
    assert [plan.token_versions(update, 6)[0].tolist() for update in range(4)] == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 2, 2],
        [1, 1, 2, 2, 3, 3],
    ]
    assert plan.switches.tolist() == [[1, 0, 4, 1], [2, 0, 2, 1], [2, 0, 4, 2], [3, 0, 2, 2], [3, 0, 4, 3]]
    assert plan.lag.tolist() == [[0], [1], [2], [2]]
    documented = make_plan("in_flight:2", scene(8, tokens=12)).token_versions(7, 12)
    assert documented.tolist() == [[5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7]] * 2
    short = make_plan("in_flight:2,1", scene(4, groups=1, tokens=6))
    assert short.token_versions(3, 6)[0].tolist() == [1, 2, 3, 3, 3, 3]
    uneven = make_plan("in_flight:3", scene(6, groups=1, tokens=5))  # versions begin at 0, 1.25, 2.5, 3.75, rounded up
    assert uneven.token_versions(5, 5)[0].tolist() == [2, 2, 3, 4, 5]
    crowded = make_plan("in_flight:3", scene(6, groups=1, tokens=2))
    assert crowded.token_versions(5, 2)[0].tolist() == [2, 4]


# Bounds and brute force


@settings(deadline=None, max_examples=60)
@given(scenes(), st.integers(0, 70))
def test_constant_is_k_from_update_k_on(where: Scene, k: int) -> None:
    lag = make_plan(f"constant:{k}", where).lag.tolist()
    assert lag == [[min(update, k)] * where.groups for update in range(where.updates)]


@settings(deadline=None, max_examples=60)
@given(scenes(), st.integers(0, 20), st.integers(0, 20))
def test_uniform_stays_between_low_and_high(where: Scene, low: int, width: int) -> None:
    lag = make_plan(f"uniform:{low}-{low + width}", where).lag
    for update, row in enumerate(lag):
        assert (row >= min(low, update)).all() and (row <= min(low + width, update)).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), FROM1TO12, UPTO12)
def test_periodic_counts_from_the_last_new_weights(updates: int, interval: int, offset: int) -> None:
    expected, age = [], offset
    for update in range(updates):
        expected.append(min(age, update))
        age = offset if age == offset + interval - 1 else age + 1
    assert lags(f"periodic:{interval}+{offset}", updates) == expected


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.integers(1, 70))
def test_staged_begins_every_stage_on_time(updates: int, stages: int) -> None:
    begins = [math.ceil(Fraction(stage * updates, stages)) for stage in range(stages)]
    lag = lags(f"staged:{stages}", updates)
    assert lag == [update - max(b for b in begins if b <= update) for update in range(updates)]
    assert lag.count(0) == min(stages, updates)
    assert max(lag, default=0) < math.ceil(updates / stages) or not updates


def queue_ages(updates: int, stall: int, drain: int) -> list[int]:
    """The ages of the batches that a learner takes from a first-in-first-out queue.

    In ticks: an update takes `drain`, a batch of the samplers stall + drain; a batch is as old as the weights it is
    begun with. Every stall puts a pile of one version into the queue, which has to be empty by then.
    """
    ages: list[int] = []
    queue: deque[int] = deque()
    for tick in range(updates * drain):
        version, in_cycle = tick // drain, tick % ((stall + drain) * drain)
        if in_cycle == 0:
            assert not queue
            queue.extend([version] * stall)
        if in_cycle % (stall + drain) == 0:
            queue.append(version)
        if tick % drain == 0:
            ages.append(version - queue.popleft())
    return ages


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), FROM1TO12, FROM1TO12)
def test_burst_is_a_queue(updates: int, stall: int, drain: int) -> None:
    lag = lags(f"burst:{stall},{drain}", updates)
    assert lag == queue_ages(updates, stall, drain)
    assert max(lag, default=0) == min(max(updates - 1, 0), stall)


def areal_versions(batch: int, batches: int, eta: int, times: np.ndarray) -> list[list[int]]:
    """The version that begins each group of each batch, in the order in which groups were begun."""
    free, trained = 0.0, []  # when the learner is
    begun_by: list[int] = []
    ends: dict[int, float] = {}  # of the groups that no batch has had
    for version in range(batches):
        for group in range(len(begun_by), (eta + version + 1) * batch):
            begun_by.append(version)
            ends[group] = free + times[group]
        moment = max(free, sorted(ends.values())[batch - 1])
        finished = sorted(group for group, end in ends.items() if end <= moment)
        trained.append([begun_by[group] for group in finished[:batch]])
        for group in finished[:batch]:
            del ends[group]
        free = moment + 1.0
    return trained


@settings(deadline=None, max_examples=80)
@given(
    scenes(updates=24, groups=4),
    st.integers(0, 5),
    st.sampled_from([0.1, 1.0, 7.0]),
    st.sampled_from([0.0, 0.3, 1.0, 3.0]),
    st.integers(1, 3),
)
def test_capacity_is_the_admission_rule(where: Scene, eta: int, duration: float, spread: float, m: int) -> None:
    """In the order of beginning where nothing is shuffled; else each batch holds the same versions in some order."""
    batch, batches = m * where.groups, math.ceil(where.updates / m)
    assume(eta <= batches and m <= max(where.updates, 1))
    drawn = stream(SCHEDULE, where.seed).standard_normal(batch * (batches + eta))
    trained = areal_versions(batch, batches, eta, duration * np.exp(spread * drawn))
    text = f"capacity:{eta},duration={duration},spread={spread},minibatches={m}"

    unshuffled = make_plan(text, rigged(where.updates, where.groups, standard_normal=drawn.tolist()))
    expected = m * np.array(trained, int).reshape(-1, where.groups)[: where.updates]
    assert (unshuffled.source == expected).all()

    source = make_plan(text, where).source
    for number, versions in enumerate(trained):
        mine = Counter(source[number * m : number * m + m].ravel().tolist())
        theirs = Counter(m * version for version in versions)
        assert mine == theirs if where.updates >= number * m + m else mine < theirs  # the run may end within a batch


@settings(deadline=None, max_examples=60)
@given(scenes(), st.integers(0, 12), st.sampled_from([0.1, 1.0, 7.0]), st.sampled_from([0.5, 1.0, 3.0]))
def test_capacity_against_constant(where: Scene, eta: int, duration: float, spread: float) -> None:
    """Without spread the two are one. With it what is left over at the end is older, so what is trained is younger."""
    constant = make_plan(f"constant:{eta}", where)
    assert make_plan(f"capacity:{eta},duration={duration},spread=0", where).digest == constant.digest
    spread_out = make_plan(f"capacity:{eta},duration={duration},spread={spread}", where)
    assert spread_out.lag.sum() <= constant.lag.sum()
    sync = make_plan("sync", where).digest
    assert make_plan(f"capacity:0,duration={duration},spread={spread}", where).digest == sync


def test_capacity_is_soft() -> None:
    """Groups that others overtake grow older than eta; a wider spread makes the oldest older."""
    plans = [make_plan(f"capacity:4,spread={spread}", scene(400, 8)) for spread in (0.0, 0.5, 1.0, 1.5)]
    oldest = [int(plan.lag.max()) for plan in plans]
    assert oldest[0] == 4 < oldest[1] < oldest[2] < oldest[3]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("eta", "m"), [(4, 1), (16, 1), (1, 2), (4, 4)])
@pytest.mark.parametrize(("spread", "precision"), [(0.0, 1e-9), (0.5, 0.01), (1.0, 0.05)])
def test_capacity_is_eta_on_average(eta: int, m: int, spread: float, precision: float, seed: int) -> None:
    """(eta + 1) * batch groups are under way at every version, of which it consumes a batch: by Little's law each is
    consumed eta versions after its own. The m updates of a batch add 0 to m - 1.
    """
    lag = make_plan(f"capacity:{eta},1,{spread},{m}", scene(400 * m, 8, seed=seed)).lag
    assert lag[50 * m : -50 * m].mean() == pytest.approx(m * eta + (m - 1) / 2, abs=precision)


def window_lags(finished: list[int], groups: int, k: int, freshest: bool) -> list[list[int]]:
    """Group by group: a buffer of versions, of which the learner takes the first or the last."""
    buffer: list[int] = []
    rows = []
    for update, count in enumerate(finished):
        buffer = [version for version in buffer + [update] * count if update - version <= k]
        taken = [buffer.pop(-1 if freshest else 0) for _ in range(min(groups, len(buffer)))]
        rows.append([update - version for version in taken] + [0] * (groups - len(taken)))
    return rows


@settings(deadline=None, max_examples=60)
@given(scenes(), UPTO12, st.booleans(), st.data())
def test_window_is_a_buffer(where: Scene, k: int, freshest: bool, data: st.DataObject) -> None:
    text = f"window:{k},{'freshest' if freshest else 'oldest'}"
    counts = st.integers(0, 2 * where.groups)
    finished = data.draw(st.lists(counts, min_size=where.updates, max_size=where.updates))
    lag = make_plan(text, finishing(finished, where.groups)).lag
    assert lag.tolist() == window_lags(finished, where.groups, k, freshest)
    assert (make_plan(text, where).lag <= k).all()


@settings(deadline=None, max_examples=60)
@given(scenes(), UPTO12, UPTO12)
def test_in_flight_gets_one_update_younger_every_stride(where: Scene, span: int, stride: int) -> None:
    plan = make_plan(f"in_flight:{span},{stride}", where)
    width = Fraction(stride) if stride else Fraction(where.tokens, span + 1)
    lag = [max(span - math.floor(token / width), 0) for token in range(where.tokens)]
    assert (plan.switches[:, 2] < where.tokens).all()
    assert lag[0] == span and (stride or lag[-1] == 0 or where.tokens <= span)
    if not stride and where.tokens > span:  # evenly: every version draws, none two tokens more than another
        assert max(map(lag.count, lag)) - min(map(lag.count, lag)) <= 1 and set(lag) == set(range(span + 1))
    for update in range(where.updates):
        expected = [max(update - age, 0) for age in lag]
        assert plan.token_versions(update, where.tokens).tolist() == [expected] * where.groups


@settings(deadline=None, max_examples=60)
@given(scenes(), HEAVY["law"], POSITIVE, TAILS, st.data())
def test_heavy_tail_by_length_permutes(where: Scene, law: str, median: float, tail: float, data: st.DataObject) -> None:
    size = where.updates * where.groups
    lengths = np.array(data.draw(st.lists(st.integers(1, 9), min_size=size, max_size=size)), float)
    lengths = lengths.reshape(where.updates, where.groups)
    options = f"{law},{median},{tail}"
    plain = make_plan(f"heavy_tail:{options}", where).lag
    coupled = make_plan(f"heavy_tail_by_length:{options}", replace(where, measure_lengths=lambda: lengths)).lag
    for mine, theirs, long in zip(coupled, plain, lengths, strict=True):
        assert sorted(mine) == sorted(theirs)
        assert all(mine[a] <= mine[b] for a in range(len(long)) for b in range(len(long)) if long[a] < long[b])


# Distributions. The seeds are fixed, so these tests do not flicker; at 4.5 standard errors a right schedule fails one
# of a hundred thousand seeds, and tens of thousands of draws tell deviations of a few percent.

SIGMAS = 4.5


def test_uniform_is_uniform() -> None:
    """Past the cut: mean (low + high) / 2, variance ((high - low + 1)^2 - 1) / 12, every value equally often."""
    low, high, updates, groups = 3, 18, 2018, 16
    lag = make_plan(f"uniform:{low}-{high}", scene(updates, groups)).lag[high:]
    assert (lag.min(), lag.max()) == (low, high)
    standard_error = math.sqrt(((high - low + 1) ** 2 - 1) / 12 / lag.size)
    assert abs(lag.mean() - (low + high) / 2) < SIGMAS * standard_error
    assert stats.chisquare(np.bincount(lag.ravel())[low:]).pvalue > 1e-5


@pytest.mark.parametrize(
    ("law", "median", "tail"),
    [
        *(("lognormal", 4, 1.0), ("lognormal", 10, 0.5), ("lognormal", 1, 2.0), ("lognormal", 4, 10.0)),
        *(("power", 4, 0.01), ("power", 4, 0.25), ("power", 2, 1.5), ("power", 4, 10.0)),
    ],
)
def test_heavy_tail_follows_its_law(law: str, median: int, tail: float) -> None:
    """Of whole parts cut at u: mean sum of P(X >= k), second moment sum of (2 k - 1) P(X >= k), both over k <= u."""
    updates, groups = 1000, 64
    scale = median / (2**tail - 1)
    exact = stats.lognorm(s=tail, scale=median) if law == "lognormal" else stats.lomax(c=1 / tail, scale=scale)
    lag = make_plan(f"heavy_tail:{law},{median},{tail}", scene(updates, groups, seed=1)).lag

    k = np.arange(1, updates)
    means = np.r_[0, np.cumsum(exact.sf(k))]  # by update
    variances = np.r_[0, np.cumsum((2 * k - 1) * exact.sf(k))] - means**2
    assert abs((lag.mean(1) - means).sum()) < SIGMAS * math.sqrt(variances.sum() / groups)

    for value in (1, median, 2 * median, 5 * median, 20 * median):
        uncut = lag[value:] >= value
        expected = exact.sf(value)
        assert abs(uncut.mean() - expected) < SIGMAS * math.sqrt(expected * (1 - expected) / uncut.size)
    assert exact.sf(median) == pytest.approx(0.5)

    if law == "power" and tail < 1:  # the mean in the docstring, of the numbers before they are made whole
        assert exact.mean() == pytest.approx(scale * tail / (1 - tail))


def test_window_finishes_a_geometric_number_of_groups() -> None:
    """Gamma-Poisson with shape 1 and mean 1 is geometric: P(N = n) = 2^-(n + 1).

    With one group per update and k = 1 the lag is 1 where a version finishes none and the one before finished two or
    more: probability 1/2 * 1/4. (A plain Poisson number would give 0.097.)
    """
    lag = make_plan("window:1", scene(40_001, groups=1, seed=1)).lag[1:]
    assert abs((lag == 1).mean() - 1 / 8) < SIGMAS * math.sqrt(1 / 8 * 7 / 8 / 40_000)


@pytest.mark.parametrize("seed", range(3))
def test_capacity_mixes_the_minibatches(seed: int) -> None:
    """`areal:4,4`: where a group stands in its batch does not tell how old it is, in minibatches and within them.

    Under a random order the mean of n out of N numbers strays from that of all by sqrt(S^2 / n * (1 - n / N)).
    """
    m, groups = 4, 32
    lag = make_plan("areal:4,4", scene(400 * m, groups, seed=seed)).lag
    age = (lag - np.arange(len(lag))[:, None] % m) / m  # of the version, in versions
    batches = age.reshape(-1, m, groups)[50:]
    size, count = m * groups, len(batches)
    variance = batches.reshape(count, size).var(1, ddof=1)
    strays = batches - batches.mean((1, 2), keepdims=True)
    for of, n in ((strays.mean(2), groups), (strays.reshape(count, size), 1)):  # [count, minibatches], [count, groups]
        error = np.sqrt((variance / n * (1 - n / size)).sum()) / count
        assert (abs(of.mean(0)) < SIGMAS * error).all()
    assert batches.std() > 1  # there is something to mix


# How schedules are written


def spellings(name: str, options: dict[str, Any], order: list[str], spaces: str) -> list[str]:
    """By position as far as 0, 1, 2, ... options, the rest by name in any order; with spaces."""
    by_position = list(itertools.takewhile(options.__contains__, SCHEDULES.get(name).options))
    texts = []
    for count in range(len(by_position) + 1):
        parts = [str(options[option]) for option in by_position[:count]]
        parts += [f"{o}{spaces}={spaces}{options[o]}" for o in order if o not in by_position[:count]]
        texts.append(f"{spaces},{spaces}".join(parts))
    if name in ("uniform", "periodic") and len(by_position) == 2:
        texts.append(f"{spaces}{'-' if name == 'uniform' else '+'}{spaces}".join(parts))
    return [f"{spaces}{name}{spaces}:{spaces}{text}" if text else name for text in texts]


@pytest.mark.parametrize("name", [name for name in BUILTIN if name != "trace"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_equal_schedules_are_spelled_alike(name: str, data: st.DataObject) -> None:
    options = data.draw(options_of(name))
    texts = spellings(name, options, data.draw(st.permutations(list(options))), data.draw(st.sampled_from(["", " "])))
    found = [resolve(text) for text in texts]
    canonical = resolve(found[0].text)
    assert {resolved.text for resolved in found} == {canonical.text}
    assert all(resolved.options == canonical.options for resolved in found)
    assert canonical.options == SCHEDULES.get(name).options | options
    assert canonical.text == canonical.given and canonical.alias is None and canonical.remark == ""


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_different_schedules_are_spelled_differently(data: st.DataObject) -> None:
    names = st.sampled_from([name for name in BUILTIN if name != "trace"])
    first, second = ((name := data.draw(names), data.draw(options_of(name))) for _ in range(2))
    one, other = resolve(spelled(*first)), resolve(spelled(*second))
    assume((one.entry.name, one.options) != (other.entry.name, other.options))
    assert one.text != other.text


@pytest.mark.parametrize("median", ["1234567.5", "4.0000001", "0.1234567890123", "1e-300", "1e20"])
def test_no_digit_is_lost_in_the_spelling(median: str) -> None:
    found = resolve(f"heavy_tail:median={median}")
    assert resolve(found.text).text == found.text and resolve(found.text).options == found.options


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("constant:+4", "constant:4"),
        ("constant:0x10", "constant:16"),
        ("sync:", "sync"),
        ("uniform:0,16", "uniform:0-16"),
        ("uniform: high=16, low=0", "uniform:0-16"),
        ("periodic:10+0", "periodic:10"),
        ("periodic:10,5", "periodic:10+5"),
        ("window:8,freshest", "window:8"),
        ('window:8,"oldest"', "window:8,oldest"),
        ("heavy_tail:lognormal,4,1", "heavy_tail"),
        ("heavy_tail:median=2", "heavy_tail:lognormal,2"),
        ("capacity:4,minibatches=2", "capacity:4,1,1,2"),
        ("capacity:4,1.50", "capacity:4,1.5"),
        ("burst:drain=2,stall=8", "burst:8,2"),
        ("in_flight:4,stride=0", "in_flight:4"),
        ("trace:a b,c=1:2.jsonl", "trace:a b,c=1:2.jsonl"),
        ("trace:12", "trace:12"),
    ],
)
def test_canonical_spelling(given: str, text: str) -> None:
    assert resolve(given).text == text and resolve(given).given == given
    assert resolve(text).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("constnat:4", "unknown lag schedule 'constnat:4' (did you mean 'constant'?); `lagbench lag list`"),
        ("prime-rl:4", "did you mean 'prime_rl'"),
        ("", "unknown lag schedule ''"),
        ("sync:3", "lag schedule 'sync:3': '3' is one value too many; expected sync"),
        ("Constant:4", "unknown lag schedule 'Constant:4' (did you mean 'constant'?)"),
        ("constant", "constant: 'k' is missing; expected constant:k"),
        ("constant:", "constant: 'k' is missing; expected constant:k"),
        ("constant:-1", "k=-1 is not valid: Input should be greater than or equal to 0"),
        ("constant:1.5", "k=1.5 is not valid: Input should be a valid integer"),
        ("constant:true", "k=True is not valid"),
        ("constant:four", "k='four' is not valid"),
        ("constant:4,5", "'5' is one value too many"),
        ("constant:4,k=4", "'k' is given twice"),
        ("constant:lag=4", "constant has no option 'lag'; it has k"),
        ("uniform:4", "'high' is missing; expected uniform:low-high"),
        ("uniform:0--5", "one value too many"),
        ("periodic:0", "interval=0 is not valid: Input should be greater than 0; expected periodic:interval[+offset]"),
        ("periodic:intervall=4", "no option 'intervall' (did you mean 'interval'?)"),
        ("staged:0", "stages=0 is not valid"),
        ("burst:4", "'drain' is missing; expected burst:stall,drain"),
        ("burst:0,1", "stall=0 is not valid"),
        ("heavy_tail:cauchy", "law='cauchy' is not valid: Input should be 'lognormal' or 'power'; the default is"),
        (
            "heavy_tail:median=0",
            "greater than 0; the default is 4.0; expected heavy_tail[:law[,median][,tail]]",
        ),
        ("heavy_tail:median=inf", "median=inf is not valid: Input should be a finite number"),
        ("heavy_tail:median=nan", "median=nan is not valid"),
        ("heavy_tail:tail=nan", "tail=nan is not valid"),
        ("heavy_tail:power,4,1e-17", "tail=1e-17 is not valid: Input should be greater than or equal to 0.01"),
        ("heavy_tail:tail=0.0099", "tail=0.0099 is not valid: Input should be greater than or equal to 0.01"),
        ("heavy_tail_by_length:tail=10.1", "tail=10.1 is not valid: Input should be less than or equal to 10"),
        ("heavy_tail:tail=1000", "tail=1000 is not valid: Input should be less than or equal to 10; the default is"),
        ("capacity:4,0", "duration=0 is not valid: Input should be greater than 0; the default is 1.0"),
        ("capacity:4,inf", "duration=inf is not valid: Input should be a finite number"),
        ("capacity:4,spread=-1", "spread=-1 is not valid: Input should be greater than or equal to 0"),
        ("capacity:4,spread=10.1", "spread=10.1 is not valid: Input should be less than or equal to 10"),
        ("capacity:4,spread=nan", "spread=nan is not valid"),
        ("capacity:4,minibatches=0", "minibatches=0 is not valid"),
        ("window:8,newest", "order='newest' is not valid: Input should be 'freshest' or 'oldest'"),
        ("in_flight:-2", "span=-2 is not valid"),
        ("trace", "'file' is missing; expected trace:file"),
    ],
)
def test_wrong_spelling(text: str, words: str) -> None:
    with pytest.raises(InputError) as told:
        resolve(text)
    assert words in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uniform:5-4", "lag schedule 'uniform:5-4': low=5 is above high=4"),
        ("trace:no/such.jsonl", "lag schedule 'trace:no/such.jsonl': trace no/such.jsonl: No such file"),
        ("constant:99999999999999999999", "lag schedule 'constant:99999999999999999999'"),
        ("uniform:0-99999999999999999999", "high is out of bounds"),
        ("burst:99999999999999999999,1", "lag schedule 'burst:99999999999999999999,1'"),
    ],
)
def test_plans_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(InputError) as told:
        make_plan(text, scene(6))
    assert words in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("staged:4611686018427387904", [0, 0, 0, 0, 0, 0]),
        ("staged:99999999999999999999", [0, 0, 0, 0, 0, 0]),
        ("constant:9223372036854775807", [0, 1, 2, 3, 4, 5]),
        ("periodic:9223372036854775807", [0, 1, 2, 3, 4, 5]),
        ("burst:5,4611686018427387904", [0, 1, 2, 3, 4, 5]),
        ("capacity:99999999999999999999,spread=0", [0, 1, 2, 3, 4, 5]),
        ("capacity:0,minibatches=99999999999999999999", [0, 1, 2, 3, 4, 5]),
        ("areal:99999999999999999999,99999999999999999999", [0, 1, 2, 3, 4, 5]),
        ("capacity:0,1e250,10", [0, 0, 0, 0, 0, 0]),
        ("window:99999999999999999999,oldest", [0, 0, 0, 0, 1, 0]),
        ("in_flight:4611686018427387904", [0, 1, 2, 3, 4, 5]),
        ("heavy_tail:power,1e300,0.01", [0, 1, 2, 3, 4, 5]),
        ("heavy_tail:power,1e-300,0.01", [0, 0, 0, 0, 0, 0]),
        ("heavy_tail:lognormal,1e300,0.01", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_extreme_values_by_value(text: str, expected: list[int]) -> None:
    assert lags(text, 6) == expected


@settings(deadline=None, max_examples=40)
@given(scenes(), st.integers(0, 10**6))
def test_more_stages_than_updates_are_lag_0(where: Scene, more: int) -> None:
    assert (make_plan(f"staged:{where.updates + 1 + more}", where).lag == 0).all()


@pytest.mark.timeout(20)
def test_absurd_capacities_cost_nothing() -> None:
    """From some eta on everything is the same; a batch that is larger than the run is the run."""
    where = scene(50, 4)
    one, other, small = (make_plan(f"capacity:{eta}", where) for eta in (10**6, 10**18, 4))
    assert one.digest == other.digest and other.lag.sum() > 2 * small.lag.sum()
    for minibatches in (50, 51, 10**18):
        plan = make_plan(f"capacity:4,minibatches={minibatches}", where)
        assert plan.lag.tolist() == [[update] * 4 for update in range(50)]


@pytest.mark.parametrize(
    ("text", "schedules"),
    [
        ("sync", ["sync"]),
        ("0,4,16", ["0", "4", "16"]),
        (" 0 , sync,constant:4 ,8", ["0", "sync", "constant:4", "8"]),
        ("burst:16,16", ["burst:16,16"]),
        ("burst:16,16,4", ["burst:16,16", "4"]),
        ("burst:stall=16,16,4", ["burst:stall=16,16", "4"]),
        ("burst:16,drain=16,4", ["burst:16,drain=16", "4"]),
        ("uniform:0-16,4,periodic:10+5,8", ["uniform:0-16", "4", "periodic:10+5", "8"]),
        ("window:8,oldest,window:8", ["window:8,oldest", "window:8"]),
        ("capacity:4,duration=1,spread=0,minibatches=2,16", ["capacity:4,duration=1,spread=0,minibatches=2", "16"]),
        ("heavy_tail,4", ["heavy_tail", "4"]),
        ("heavy_tail:power,tail=0.5,median=3,4", ["heavy_tail:power,tail=0.5,median=3", "4"]),
        ("pipeline_rl:64,32,areal:4,trl", ["pipeline_rl:64,32", "areal:4", "trl"]),
        ("verl:0.5,trigger_parameter_sync_step=4,8", ["verl:0.5,trigger_parameter_sync_step=4", "8"]),
        ("uniform:0,16,4", ["uniform:0,16", "4"]),
        ("uniform:0,16,uniform:3,high=9,2", ["uniform:0,16", "uniform:3,high=9", "2"]),
        ("periodic:10,5", ["periodic:10", "5"]),
        ("pipeline_rl:64,32,4", ["pipeline_rl:64,32", "4"]),
        ("areal:4,ppo_n_minibatches=2,2", ["areal:4,ppo_n_minibatches=2", "2"]),
        ("areal:4,2;16", ["areal:4,2", "16"]),
        ("in_flight:8,16;", ["in_flight:8,16"]),
        (" capacity:4,1,1,2 ; 0;sync ", ["capacity:4,1,1,2", "0", "sync"]),
        ("in_flight:8,stride=16,16", ["in_flight:8,stride=16", "16"]),
        ("in_flight:8,constant:16", ["in_flight:8", "constant:16"]),
        ("trl,2", ["trl", "2"]),
        ("constant:8,16,vcpo:4,2", ["constant:8", "16", "vcpo:4", "2"]),
        ("sync:,4", ["sync:", "4"]),
        ("burst : 16 , 16 , 4 , window :8, oldest", ["burst : 16,16", "4", "window :8,oldest"]),
        (" in_flight : 8 , stride = 4 , 16", ["in_flight : 8,stride = 4", "16"]),
        ("trace:a,b.jsonl,sync", ["trace:a,b.jsonl", "sync"]),
        ("trace:a.jsonl,4", ["trace:a.jsonl", "4"]),
        ("nonsense:1,2", ["nonsense:1", "2"]),
    ],
)
def test_several_schedules_in_one_text(text: str, schedules: list[str]) -> None:
    assert split_schedules(text) == schedules


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("in_flight:8,{}", "in_flight:8"),
        ("0,in_flight:8,{},constant:2", "in_flight:8"),
        ("capacity:4,{}", "capacity:4"),
        ("heavy_tail:power,{},2,3", "heavy_tail:power"),
        ("heavy_tail_by_length:power,{}", "heavy_tail_by_length:power"),
        ("areal:4,{}", "areal:4"),
        ("trl:4,{},8", "trl:4"),
        ("trl : 4 , {}", "trl : 4"),
        ("verl:0.5,{}", "verl:0.5"),
        ("verl_v1:8,{}", "verl_v1:8"),
        ("roll:1,{}", "roll:1"),
        ("openrlhf:1,{}", "openrlhf:1"),
        ("slime:2,{}", "slime:2"),
        ("trinity:10,{}", "trinity:10"),
        ("capacity:4,spread=0,{}", "capacity:4,spread=0"),
        ("areal:max_head_offpolicyness=4,{}", "areal:max_head_offpolicyness=4"),
    ],
)
@pytest.mark.parametrize("number", ["16", "2", "0x10"])
def test_a_number_that_may_be_an_option_or_a_lag_is_refused(text: str, last: str, number: str) -> None:
    text = text.format(number)
    with pytest.raises(InputError) as told:
        split_schedules(text)
    assert str(told.value) == (
        f"lags={text!r}: {number} may belong to {last!r} or be a lag of its own; put semicolons between lags, "
        f"as in '{last};{number}' or '{last},{number};'"
    )


def test_what_the_refusal_says_to_write_is_understood() -> None:
    with pytest.raises(InputError, match=r"as in 'in_flight:8;16' or 'in_flight:8,16;'$"):
        split_schedules("in_flight:8,16")
    assert split_schedules("in_flight:8;16") == ["in_flight:8", "16"]
    assert split_schedules("in_flight:8,16;") == ["in_flight:8,16"]


def test_lists_are_not_taken_apart() -> None:
    """Of TOML, in a file or on the command line; text is."""
    suite = load_suite("quick", ['lags=["areal:4,2", "in_flight:8,16", 16, "2"]'])
    assert suite.lags == ("areal:4,2", "in_flight:8,16", "16", "2")
    assert load_suite("quick", ["lags=burst:4,2,16,areal:4"]).lags == ("burst:4,2", "16", "areal:4")
    with pytest.raises(InputError, match="put semicolons between lags"):
        load_suite("quick", ["lags=areal:4,2"])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_schedules_with_named_options_come_apart_again(data: st.DataObject) -> None:
    """Numbers stand where no option is left, or where the schedule has its own separator."""
    texts = []
    for name in data.draw(st.lists(st.sampled_from([name for name in BUILTIN if name != "trace"]), min_size=1)):
        separator = {"uniform": "-", "periodic": "+"}.get(name, ",")
        needed = [str(data.draw(values)) for values in OPTIONS[name][0].values()]
        optional = [f"{o}={data.draw(values)}" for o, values in OPTIONS[name][1].items() if data.draw(st.booleans())]
        rest = [separator.join(needed), *optional]
        texts.append(":".join([name, ",".join(filter(None, rest))] if any(rest) else [name]))
        given, known = len(needed) + len(optional), len(OPTIONS[name][0]) + len(OPTIONS[name][1])
        ambiguous = 0 < given < known and separator == ","
        texts += data.draw(st.sampled_from([[], ["trl"]] if ambiguous else [[], ["8"], ["8", "2"], ["trl"]]))
    assert split_schedules(",".join(texts)) == texts
    assert split_schedules(" , ".join(texts)) == texts


# Somebody else's schedule


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The decorator, whose registrations end with the test."""
    monkeypatch.setattr(SCHEDULES, "_entries", SCHEDULES.all())
    return schedule


def test_their_schedule_by_name_with_options(theirs: Callable[..., Any]) -> None:
    @theirs
    def every_other(updates, groups, *, k: NonNegativeInt, phase: int = 0, weight: NonNegativeFloat = 1.0):
        """Old every other update."""
        return [[k * ((update + phase) % 2)] * groups for update in range(updates)]

    assert resolve("every_other:3").text == "every_other:3"
    assert resolve("every_other:weight=1,phase=1,k=3").text == resolve("every_other:3,1").text == "every_other:3,1"
    assert resolve("every_other:3").entry.description == "Old every other update."
    assert lags("every_other:3", 6) == [0, 1, 0, 3, 0, 3]
    assert lags("every_other:3,phase=1", 6) == [0, 0, 2, 0, 3, 0]
    assert split_schedules("every_other:3,phase=1,weight=2,4") == ["every_other:3,phase=1,weight=2", "4"]
    with pytest.raises(InputError, match="2 may belong to 'every_other:3' or be a lag"):
        split_schedules("every_other:3,2,1")
    with pytest.raises(InputError, match="every_other: 'k' is missing; expected every_other:k"):
        resolve("every_other")
    with pytest.raises(InputError, match=r"unknown lag schedule 'every_othr:3' \(did you mean 'every_other'"):
        resolve("every_othr:3")


def test_numbers_after_their_schedule(theirs: Callable[..., Any]) -> None:
    """Two belong to it; the third might."""

    @theirs
    def needing_two(updates, groups, *, low: int, high: int, cap: float = 9.0): ...

    assert split_schedules("needing_two:1,2,sync") == ["needing_two:1,2", "sync"]
    for text in ("needing_two:1,high=2,3,4", "needing_two:1,2,3,4"):
        with pytest.raises(InputError, match=r"3 may belong to 'needing_two:1,(high=)?2' or be a lag of its own"):
            split_schedules(text)
    assert split_schedules("needing_two:1,2,cap=3,4") == ["needing_two:1,2,cap=3", "4"]


def test_their_schedule_is_gone() -> None:
    assert "every_other" not in SCHEDULES.all()


def test_their_schedule_reads_the_run(theirs: Callable[..., Any]) -> None:
    read = {}

    @theirs
    def curious(tokens, lengths, rng, groups, updates):
        read.update(tokens=tokens, lengths=lengths.tolist(), number=rng.random(), groups=groups, updates=updates)
        return np.zeros((updates, groups), np.uint8)

    make_plan("curious", scene(2, 3, 5, 7, [[1, 2, 3], [4, 5, 6]]))
    number = stream(SCHEDULE, 7).random()
    assert read == {"tokens": 5, "lengths": [[1, 2, 3], [4, 5, 6]], "number": number, "groups": 3, "updates": 2}


def test_their_schedule_reads_nothing_else(theirs: Callable[..., Any]) -> None:
    def mistaken(update, groups): ...

    with pytest.raises(InputError, match=r"'update' is not something schedules can read \(did you mean 'updates'"):
        theirs(mistaken)


def test_their_switches_within_responses(theirs: Callable[..., Any]) -> None:
    """In any order; what lies before version 0 is cut, and a switch that then changes nothing is dropped."""

    @theirs
    def switching(updates, groups):
        rows = [[u, 0, token, age] for token, age in ((4, 0), (2, 1)) for u in reversed(range(updates))]
        return np.full((updates, groups), 2), rows

    plan = make_plan("switching", scene(4))
    assert plan.switches.tolist() == [[1, 0, 4, 1], [2, 0, 2, 1], [2, 0, 4, 2], [3, 0, 2, 2], [3, 0, 4, 3]]
    assert plan.token_versions(3, 6).tolist() == [[1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 1, 1]]


LAG = np.full((6, 2), 2)
GIVE = r"mine \(this process\) has to give "
GAVE = r"mine \(this process\) gave the switch "
WRONG = {
    "negative": (np.full((6, 2), -1), GIVE + "lags of 0 or more, and gave -1$"),
    "one negative": (LAG - 3 * np.eye(6, 2, dtype=int), GIVE + "lags of 0 or more, and gave -1$"),
    "transposed": (LAG.T, GIVE + r"whole numbers \[6, 2\], and gave int64 \[2, 6\]$"),
    "one row": (LAG[0], GIVE + r"whole numbers \[6, 2\], and gave int64 \[2\]$"),
    "nothing": (None, GIVE + r"whole numbers \[6, 2\], and gave object \[\]$"),
    "one number": (2, GIVE + r"whole numbers \[6, 2\], and gave int64 \[\]$"),
    "floats": (LAG * 1.0, GIVE + r"whole numbers \[6, 2\], and gave float64 \[6, 2\]$"),
    "booleans": (LAG > 0, GIVE + r"whole numbers \[6, 2\], and gave bool \[6, 2\]$"),
    "text": (LAG.astype(str), GIVE + r"whole numbers \[6, 2\], and gave <U21 \[6, 2\]$"),
    "beyond 64 bits": ([[10**30] * 2] * 6, GIVE + r"whole numbers \[6, 2\], and gave object \[6, 2\]$"),
    "ragged": ([[0, 0], [0]], ".*inhomogeneous"),
    "three parts": ((LAG, [[3, 0, 1, 0]], 1), "too many values"),
    "narrow switches": (
        (LAG, np.zeros((3, 3), int)),
        GIVE + r"switches in whole numbers \[N, 4\], and gave int64 \[3, 3\]$",
    ),
    "transposed switches": (
        (LAG, np.array([[3, 0, 1, 0]] * 8).T),
        GIVE + r"switches in whole numbers \[N, 4\], and gave int64 \[4, 8\]$",
    ),
    "one switch alone": ((LAG, [3, 0, 1, 0]), GIVE + r"switches in whole numbers \[N, 4\], and gave int64 \[4\]$"),
    "switches that are floats": (
        (LAG, [[3, 0, 1.7, 0.9]]),
        GIVE + r"switches in whole numbers \[N, 4\], and gave float64 \[1, 4\]$",
    ),
    "no switches": ((LAG, None), GIVE + r"switches in whole numbers \[N, 4\], and gave object \[\]$"),
    "switch of no update": ((LAG, [[6, 0, 1, 0]]), GAVE + r"\[6, 0, 1, 0\], outside of 6 updates x 2 groups$"),
    "switch of an update before": ((LAG, [[-1, 0, 1, 0]]), GAVE + r"\[-1, 0, 1, 0\], outside of"),
    "switch of a group too many": ((LAG, [[3, 0, 1, 0], [3, 2, 1, 0]]), GAVE + r"\[3, 2, 1, 0\], outside of"),
    "switch of no group": ((LAG, [[3, -1, 1, 0]]), GAVE + r"\[3, -1, 1, 0\], outside of"),
    "switch at no token": ((LAG, [[3, 0, -1, 0]]), GAVE + r"\[3, 0, -1, 0\], outside of"),
    "switch to the future": ((LAG, [[3, 0, 1, -1]]), GAVE + r"\[3, 0, 1, -1\], outside of"),
    "switch back": ((LAG, [[3, 0, 1, 0], [3, 0, 2, 1]]), ".*group 0 of update 3 switches to version 2 at token 2"),
    "switch at the start": ((LAG, [[3, 0, 0, 0]]), ".*expected a token after 0"),
    "two at one token": ((LAG, [[3, 0, 2, 1], [3, 0, 2, 0]]), ".*expected a token after 2"),
}


@pytest.mark.parametrize(("made", "words"), WRONG.values(), ids=WRONG)
def test_what_their_schedule_gives_is_checked(theirs: Callable[..., Any], made: Any, words: str) -> None:
    @theirs
    def mine(updates, groups):
        return made

    with pytest.raises(InputError, match=f"^lag schedule 'mine': {words}") as told:
        make_plan("mine", scene(6))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "made", [LAG.tolist(), LAG.astype(np.uint8), LAG.astype(np.uint64), (LAG, []), (LAG.tolist(), ())]
)
def test_what_their_schedule_may_give(theirs: Callable[..., Any], made: Any) -> None:
    @theirs
    def mine(updates, groups):
        return made

    plan = make_plan("mine", scene(6))
    assert plan.lag.tolist() == [[min(update, 2)] * 2 for update in range(6)] and len(plan.switches) == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TypeError("no lag"), r"mine \(this process\) failed: TypeError: no lag"),
        (KeyError("lag"), r"mine \(this process\) failed: KeyError: 'lag'"),
        (ZeroDivisionError("by zero"), r"mine \(this process\) failed: ZeroDivisionError: by zero"),
        (RuntimeError("broken"), r"mine \(this process\) failed: RuntimeError: broken"),
        (ValueError("k=3 is odd"), "k=3 is odd"),  # their way to refuse an option, as for built-in schedules
        (InputError("k=3 is odd"), "k=3 is odd"),
    ],
)
def test_what_their_schedule_raises_is_told(theirs: Callable[..., Any], error: Exception, words: str) -> None:
    @theirs
    def mine(updates, groups):
        raise error

    with pytest.raises(InputError, match=f"^lag schedule 'mine': {words}$") as told:
        make_plan("mine", scene(6))
    assert told.value.__cause__ is (None if isinstance(error, ValueError) else error)


def test_what_the_canonical_spelling_cannot_say(theirs: Callable[..., Any]) -> None:
    """Known: TOML has no None, and quotes are left out. Both can be planned; their names do not lead back."""

    @theirs
    def optional(updates, groups, *, cap: int | None = None, name: str = "a", k: int = 0):
        return np.full((updates, groups), k)

    found = resolve("optional:k=3")
    assert found.text == "optional:None,a,3" and found.options == {"cap": None, "name": "a", "k": 3}
    with pytest.raises(InputError, match="cap='None' is not valid"):
        resolve(found.text)
    found = resolve("optional:9,name='12',k=3")
    assert found.text == "optional:9,12,3" and found.options == {"cap": 9, "name": "12", "k": 3}
    with pytest.raises(InputError, match="name=12 is not valid"):
        resolve(found.text)
    assert resolve("optional:9,b,3").options == resolve(resolve("optional:9,b,3").text).options
    assert lags("optional:k=3", 5) == lags("optional:9,name='12',k=3", 5) == [0, 1, 2, 3, 3]


def test_their_schedule_named_as_an_alias_is_refused(theirs: Callable[..., Any]) -> None:
    """Whatever is asked for: else it would depend on the name whether somebody's schedule can be reached."""

    def torchforge(updates, groups, *, age: NonNegativeInt = 0): ...

    assert "torchforge" in ALIASES and resolve("torchforge:3").text == "constant:3"
    theirs(torchforge)
    for text in ("torchforge:age=3", "torchforge", "sync", "trl:4", "no such schedule"):
        words = r"^the lag schedule torchforge \(this process\) has the name of another system's setting; rename it$"
        with pytest.raises(InputError, match=words):
            resolve(text)
    with pytest.raises(InputError, match="has the name of another system's setting"):
        make_plan("constant:4", scene(6))
