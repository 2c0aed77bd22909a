"""Other systems' knobs in optimizer updates: each alias against the arithmetic of its unit, written again here."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lagbench import InputError
from lagbench.harness.lag import Scene, make_plan, resolve
from lagbench.harness.lag.aliases import ALIASES
from lagbench.harness.registry import REQUIRED, SCHEDULES

UPTO9, FROM1TO6 = st.integers(0, 9), st.integers(1, 6)
SHARES = st.sampled_from(["0", "0.1", "0.25", "0.5", "0.75", "1.0", "1.5", "2"])

KNOBS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "areal": {"max_head_offpolicyness": UPTO9, "ppo_n_minibatches": FROM1TO6},
    "skyrl": {"max_staleness_steps": UPTO9},
    "verl": {"staleness_threshold": SHARES, "trigger_parameter_sync_step": FROM1TO6},
    "verl_one_step_off": {},
    "verl_v1": {"max_off_policy_threshold": UPTO9, "parameter_sync_step": FROM1TO6},
    "trl": {"max_staleness": UPTO9, "weight_sync_steps": FROM1TO6},
    "prime_rl": {"max_off_policy_steps": UPTO9},
    "nemo_rl": {"max_trajectory_age_steps": UPTO9},
    "pipeline_rl": {"max_lag": st.integers(0, 4096), "samples_per_update": st.sampled_from([256, 512, 1000])},
    "roll": {"async_generation_ratio": SHARES, "minibatches": FROM1TO6},
    "openrlhf": {"async_queue_size": UPTO9, "minibatches": FROM1TO6},
    "torchforge": {"off_by_n": UPTO9},
    "slime": {"update_weights_interval": FROM1TO6, "updates_per_rollout": FROM1TO6},
    "trinity": {"sync_interval": FROM1TO6, "sync_offset": UPTO9},
    "vcpo": {"staleness_threshold": UPTO9},
}

BOUNDS: dict[str, Callable[..., tuple[int, int]]] = {  # smallest and largest lag of the first tokens, past the cut
    "areal": lambda eta, m: (eta * m, eta * m + (m - 1)),
    "skyrl": lambda steps: (steps, steps),
    "verl": lambda tau, p: (math.ceil(Fraction(tau) * p), math.ceil((1 + Fraction(tau)) * p) - 1),
    "verl_one_step_off": lambda: (1, 1),
    "verl_v1": lambda t, p: (t * p, t * p + (p - 1)),
    "trl": lambda a, w: (a * w, a * w + (w - 1)),
    "prime_rl": lambda k: (k, k),
    "nemo_rl": lambda n: (n, n),
    "pipeline_rl": lambda samples, each: (math.floor(Fraction(samples, each)),) * 2,
    "roll": lambda r, m: (math.ceil(Fraction(r)) * m, (math.ceil(Fraction(r)) + 1) * m - 1),
    "openrlhf": lambda q, m: ((q + 1) * m, (q + 2) * m - 1),
    "torchforge": lambda n: (n, n),
    "slime": lambda u, s: (s, (u + 1) * s - 1),
    "trinity": lambda i, o: (o, o + i - 1),
    "vcpo": lambda k: (k, k),
}

DEFAULTS: dict[str, list[Any]] = {  # of the knobs in their order
    "areal": [REQUIRED, 1],
    "skyrl": [REQUIRED],
    "verl": [REQUIRED, 1],
    "verl_one_step_off": [],
    "verl_v1": [8, 1],
    "trl": [4, 1],
    "prime_rl": [8],
    "nemo_rl": [1],
    "pipeline_rl": [REQUIRED, REQUIRED],
    "roll": [REQUIRED, 1],
    "openrlhf": [1, 1],
    "torchforge": [1],
    "slime": [1, 1],
    "trinity": [REQUIRED, 0],
    "vcpo": [REQUIRED],
}

SOFT = {"areal", "skyrl", "verl", "openrlhf", "vcpo"}  # what these systems enforce is an aggregate, a queue or a speed
HARD = {"verl_one_step_off", "verl_v1", "trl", "prime_rl", "nemo_rl", "pipeline_rl"}
HARD |= {"roll", "torchforge", "slime", "trinity"}


def spelled(alias: str, settings: list[Any]) -> str:
    return ":".join([alias, ",".join(map(str, settings))]) if settings else alias


def past_the_cut(text: str, oldest: int) -> np.ndarray:
    """The lags of a schedule where no run is too young for them, over 40 updates; admission rules without spread."""
    resolved = resolve(text)
    if resolved.entry.name == "capacity":
        options = {**resolved.options, "spread": 0.0}
        text = "capacity:" + ",".join(f"{name}={value}" for name, value in options.items())
    return make_plan(text, Scene(oldest + 40, 2, 16, 0, lambda: np.ones((oldest + 40, 2)))).lag[oldest:]


@pytest.mark.parametrize("alias", sorted(ALIASES))
@settings(deadline=None)
@given(data=st.data())
def test_lags_are_the_knob_in_updates(alias: str, data: st.DataObject) -> None:
    given = [data.draw(knob, name) for name, knob in KNOBS[alias].items()]
    smallest, largest = BOUNDS[alias](*given)
    lag = past_the_cut(spelled(alias, given), largest)
    assert (lag.min(), lag.max()) == (smallest, largest)


@pytest.mark.parametrize(
    ("text", "smallest", "largest"),
    [
        ("areal:4,2", 8, 9),
        ("areal:16", 16, 16),
        ("skyrl:4", 4, 4),
        ("verl:0,4", 0, 3),
        ("verl:0.5,4", 2, 5),
        ("verl:0.1,4", 1, 4),
        ("verl:0.28,25", 7, 31),
        ("verl:0.5", 1, 1),
        ("verl_one_step_off", 1, 1),
        ("verl_v1", 8, 8),
        ("verl_v1:8,2", 16, 17),
        ("trl", 4, 4),
        ("trl:4,2", 8, 9),
        ("trl:0,5", 0, 4),
        ("prime_rl", 8, 8),
        ("nemo_rl", 1, 1),
        ("pipeline_rl:1024,256", 4, 4),
        ("pipeline_rl:1023,256", 3, 3),
        ("roll:1,2", 2, 3),
        ("roll:1.5", 2, 2),
        ("roll:0.5,4", 4, 7),
        ("openrlhf", 2, 2),
        ("openrlhf:1,2", 4, 5),
        ("openrlhf:0", 1, 1),
        ("torchforge", 1, 1),
        ("slime", 1, 1),
        ("slime:1,2", 2, 3),
        ("slime:2,4", 4, 11),
        ("trinity:10", 0, 9),
        ("trinity:10,2", 2, 11),
        ("vcpo:12", 12, 12),
    ],
)
def test_lags_by_hand(text: str, smallest: int, largest: int) -> None:
    lag = past_the_cut(text, largest)
    assert (lag.min(), lag.max()) == (smallest, largest)


def oldest_by_counting(syncs_behind: int, updates_per_sync: int, updates: int = 80) -> int:
    """The largest lag of a run in which no response is of weights more than `syncs_behind` syncs back."""
    lags = [0]
    for update in range(updates):
        synced = update - update % updates_per_sync
        for weights in range(0, synced + 1, updates_per_sync):
            if (synced - weights) // updates_per_sync <= syncs_behind:
                lags.append(update - weights)
    return max(lags)


@settings(deadline=None, max_examples=30)
@given(UPTO9, FROM1TO6)
def test_bounds_in_syncs_are_reached_and_kept(behind: int, updates_per_sync: int) -> None:
    for alias in ("trl", "verl_v1", "areal", "roll"):
        lag = past_the_cut(f"{alias}:{behind},{updates_per_sync}", 60)
        assert lag.max() == oldest_by_counting(behind, updates_per_sync)
    if behind:
        lag = past_the_cut(f"openrlhf:{behind - 1},{updates_per_sync}", 60)
        assert lag.max() == oldest_by_counting(behind, updates_per_sync)


@settings(deadline=None, max_examples=30)
@given(FROM1TO6, FROM1TO6)
def test_slime_by_its_loop(interval: int, updates_per_rollout: int) -> None:
    """A rollout is asked for before the one before it is trained; every `interval` rollouts the weights go out."""
    lags, weights, waiting, update = [], 0, 0, 0  # `waiting`: the weights of the rollout that is trained next
    for rollout in range(90):
        mine, waiting = waiting, weights
        for _ in range(updates_per_rollout):
            lags.append(update - mine)
            update += 1
        if (rollout + 1) % interval == 0:
            weights = update
    lag = past_the_cut(f"slime:{interval},{updates_per_rollout}", 60)
    settled = lags[2 * interval * updates_per_rollout :]
    assert lag.max() == max(settled) and lag.min() == min(settled)


def test_in_flight_is_younger_token_by_token() -> None:
    """PipelineRL's bound is on the oldest token; the last ones are of the weights that are trained."""
    plan = make_plan("pipeline_rl:1024,256", Scene(20, 2, 15, 0, lambda: np.ones((20, 2))))
    assert (19 - plan.token_versions(19, 15)).tolist() == [[4] * 3 + [3] * 3 + [2] * 3 + [1] * 3 + [0] * 3] * 2


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_knobs_have_the_systems_defaults(alias: str) -> None:
    assert ALIASES[alias].options == dict(zip(KNOBS[alias], DEFAULTS[alias], strict=True))
    if REQUIRED in DEFAULTS[alias]:
        first = next(iter(KNOBS[alias]))
        with pytest.raises(
            InputError, match=f"^lag schedule '{alias}': {alias}: '{first}' is missing; expected {alias}:"
        ):
            resolve(alias)
    else:
        assert resolve(alias).text == resolve(spelled(alias, DEFAULTS[alias])).text


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_soft_bounds_are_called_soft_and_hard_ones_hard(alias: str) -> None:
    assert (alias in SOFT) != (alias in HARD)
    kind, other = ("Soft", "hard") if alias in SOFT else ("Hard", "soft")
    assert ALIASES[alias].description.startswith(kind) and other not in ALIASES[alias].description.lower()


@pytest.mark.parametrize("alias", sorted(ALIASES))
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_remark_names_the_canonical_schedule(alias: str, data: st.DataObject) -> None:
    text = spelled(alias, [data.draw(knob, name) for name, knob in KNOBS[alias].items()])
    found = resolve(text)
    assert found.given == text and found.alias is ALIASES[alias]
    assert found.entry is not found.alias and found.entry.name in SCHEDULES.all()
    assert found.remark == f"{text} stands for {found.text}: {ALIASES[alias].description}"
    assert "\n" not in found.remark

    canonical = resolve(found.text)
    assert canonical.text == found.text and canonical.options == found.options
    assert canonical.alias is None and canonical.remark == ""

    where = Scene(30, 2, 16, 3, lambda: np.ones((30, 2)))
    plan = make_plan(text, where)
    assert plan.name == found.text and plan.digest == make_plan(found.text, where).digest


@pytest.mark.parametrize("alias", sorted(alias for alias in ALIASES if KNOBS[alias]))
def test_knobs_may_be_named(alias: str) -> None:
    values = [index + 2 for index in range(len(KNOBS[alias]))]
    named = [f"{name}={value}" for name, value in zip(KNOBS[alias], values, strict=True)]
    texts = [spelled(alias, values), spelled(alias, named), spelled(alias, named[::-1])]
    assert len({resolve(text).text for text in texts}) == 1


def test_no_alias_is_named_as_a_schedule() -> None:
    assert not set(ALIASES) & set(SCHEDULES.all())


@pytest.mark.parametrize(
    ("text", "text_of_the_schedule"),
    [
        ("areal:4", "capacity:4"),
        ("areal:4,1", "capacity:4"),
        ("trl:4,2", "periodic:2+8"),
        ("trl:4,1", "constant:4"),
        ("trl:0,3", "periodic:3"),
        ("pipeline_rl:1024,256", "in_flight:4"),
        ("verl:0", "constant:0"),
    ],
)
def test_equal_settings_stand_for_one_schedule(text: str, text_of_the_schedule: str) -> None:
    assert resolve(text).text == text_of_the_schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trl:-1", "trl: max_staleness=-1 is not valid: Input should be greater than or equal to 0; the default is 4"),
        ("trl:4,0", "trl: weight_sync_steps=0 is not valid"),
        ("trl:4,2,1", "'1' is one value too many; expected trl[:max_staleness[,weight_sync_steps]]"),
        ("trl:4.5", "max_staleness=4.5 is not valid"),
        ("areal:eta=4", "areal has no option 'eta'; it has max_head_offpolicyness, ppo_n_minibatches"),
        ("verl:-0.1", "staleness_threshold=-0.1 is not valid"),
        ("verl:nan", "staleness_threshold=nan is not valid"),
        ("verl:inf", "staleness_threshold=inf is not valid: Input should be a finite number"),
        ("roll:inf", "async_generation_ratio=inf is not valid: Input should be a finite number"),
        ("pipeline_rl:1024", "pipeline_rl: 'samples_per_update' is missing"),
        ("pipeline_rl:1024,0", "samples_per_update=0 is not valid"),
        ("verl_one_step_off:2", "'2' is one value too many; expected verl_one_step_off"),
        ("areall:4", "did you mean 'areal'"),
    ],
)
def test_wrong_settings(text: str, words: str) -> None:
    with pytest.raises(InputError) as told:
        resolve(text)
    assert words in str(told.value) and repr(text) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("tau", "steps", "ahead"),
    [
        ("0.28", 25, 7),
        ("0.56", 25, 14),
        ("1.12", 25, 28),
        ("0.1", 10, 1),
        ("0.3", 10, 3),
        ("1e-9", 25, 1),
        ("1.1", 1, 2),
    ],
)
def test_shares_are_multiplied_exactly(tau: str, steps: int, ahead: int) -> None:
    """In floating point 0.28 * 25 is 7.000000000000001."""
    assert math.ceil(Fraction(tau) * steps) == ahead
    assert resolve(f"verl:{tau},{steps}").options == resolve(_sawtooth(steps, ahead)).options
    assert resolve(f"roll:{tau},{steps}").options == resolve(_sawtooth(steps, math.ceil(Fraction(tau)) * steps)).options


def _sawtooth(interval: int, offset: int) -> str:
    return f"periodic:{interval}+{offset}" if interval > 1 else f"constant:{offset}"


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 300), st.integers(1, 100))
def test_shares_of_hundredths_are_exact(hundredths: int, steps: int) -> None:
    """ceil(hundredths * steps / 100), in whole numbers."""
    ahead = -(-hundredths * steps // 100)
    assert resolve(f"verl:{hundredths / 100},{steps}").text == resolve(_sawtooth(steps, ahead)).text
