"""An objective's signature is its contract; mistakes are told when it is loaded."""

import pytest
import torch

from lagbench import Batch, InputError, Loss
from lagbench.harness.apply import apply_objective
from lagbench.harness.registry import BATCH_FIELDS, OBJECTIVES, TASKS, Registry


@pytest.fixture
def registry() -> Registry:
    """An empty registry of objectives that loads no entry points."""
    return Registry("objective", "lagbench.nothing", BATCH_FIELDS)


def a_batch(**changes: torch.Tensor) -> Batch:
    matrix = -torch.rand(2, 3)
    fields = {
        "logprobs": matrix.clone().requires_grad_(),
        "behavior_logprobs": matrix,
        "proximal_logprobs": matrix,
        "advantages": torch.tensor([1.0, -1.0]),
        "rewards": torch.tensor([1.0, 0.0]),
        "mask": torch.ones(2, 3, dtype=torch.bool),
        "group": torch.zeros(2, dtype=torch.int64),
        "lag": torch.zeros(2, 3, dtype=torch.int32),
    }
    return Batch(**(fields | changes))


def test_builtins() -> None:
    assert set(OBJECTIVES.all()) >= {"policy_gradient", "grpo", "decoupled_ppo", "spo", "asympo"}
    assert set(TASKS.all()) >= {"chain", "gsm8k"}
    for name in ("policy_gradient", "spo", "asympo"):
        assert not {"behavior_logprobs", "proximal_logprobs"} & set(OBJECTIVES.get(name).reads)
    assert OBJECTIVES.get("grpo").reads == ("logprobs", "behavior_logprobs", "advantages", "mask")
    assert OBJECTIVES.get("grpo").options == {"clip_low": 0.2, "clip_high": 0.2}
    assert all(entry.source and entry.description for entry in OBJECTIVES.all().values())
    assert OBJECTIVES.get("asympo").source == "arXiv 2606.03070"
    assert OBJECTIVES.get("asympo").distribution == "lagbench"


def test_registering_returns_the_function_unchanged(registry: Registry) -> None:
    def mine(logprobs, advantages, *, scale: float = 1.0):
        return Loss(-scale * advantages[:, None] * logprobs)

    assert registry.register(mine) is mine
    assert registry.get("mine").reads == ("logprobs", "advantages")


def test_unknown_field(registry: Registry) -> None:
    def mine(logprobs, behaviour_logprobs): ...

    with pytest.raises(
        InputError, match=r"'behaviour_logprobs' is not .*did you mean 'behavior_logprobs'.*options come"
    ):
        registry.register(mine)


def test_hyperparameter_without_type_or_default(registry: Registry) -> None:
    def untyped(logprobs, *, cap=2.0): ...

    def without_default(logprobs, *, cap: float): ...

    for function in (untyped, without_default):
        with pytest.raises(InputError, match="'cap' needs a type and a default value"):
            registry.register(function)


def test_default_of_the_wrong_type(registry: Registry) -> None:
    def mine(logprobs, *, cap: float = "two"): ...

    with pytest.raises(InputError, match="mine: cap='two' is not valid"):
        registry.register(mine)


def test_annotations_may_be_text(registry: Registry) -> None:
    """As after `from __future__ import annotations`, with Tensor imported for type checkers only."""

    def mine(logprobs: "Tensor", *, cap: "float" = 2.0) -> "Loss": ...  # noqa: F821

    registry.register(mine)
    assert registry.get("mine").check_options({"cap": 3}) == {"cap": 3.0}


def test_name_collision_names_both_modules(registry: Registry) -> None:
    def mine(logprobs): ...

    registry.register(mine)
    other = type(mine)(mine.__code__, {"__name__": "elsewhere"}, "mine")
    other.__module__ = "elsewhere"
    with pytest.raises(InputError, match=r"two objectives are named 'mine': test_registry .* and elsewhere"):
        registry.register(other)


def test_unknown_name() -> None:
    with pytest.raises(InputError, match=r"unknown objective 'asymppo' .did you mean 'asympo'"):
        OBJECTIVES.get("asymppo")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_hihg": 0.3}, "grpo has no option 'clip_hihg' .did you mean 'clip_high'"),
        ({"clip_high": "wide"}, "grpo: clip_high='wide' is not valid: .*the default is 0.2"),
        ({"clip_high": True}, "clip_high=True is not valid"),
    ],
)
def test_wrong_hyperparameters(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OBJECTIVES.get("grpo").check_options(given)


def test_options_are_resolved() -> None:
    assert OBJECTIVES.get("grpo").check_options({"clip_high": 1}) == {"clip_low": 0.2, "clip_high": 1.0}
    with pytest.raises(InputError, match="bound='cut' is not valid"):
        OBJECTIVES.get("decoupled_ppo").check_options({"bound": "cut"})


def test_only_declared_tensors_are_passed(registry: Registry) -> None:
    received = []

    def spy(*tensors):
        received.extend(tensors)
        return Loss(tensors[0] * 1.0)

    def mine(lag, logprobs): ...

    registry.register(mine)
    entry, batch = registry.get("mine"), a_batch()
    object.__setattr__(entry, "function", lambda lag, logprobs: spy(logprobs, lag))
    apply_objective(entry, batch, {})
    assert [id(tensor) for tensor in received] == [id(batch.logprobs), id(batch.lag)]


def test_what_comes_back_is_checked(registry: Registry) -> None:
    def scalar(logprobs):
        return Loss(logprobs.sum())

    def number(logprobs):
        return logprobs.sum()

    def constant(logprobs):
        return Loss(torch.ones_like(logprobs))

    for function, message in (
        (scalar, r"shape \(\), expected \[B, T\] = \(2, 3\)"),
        (number, "returned Tensor, expected lagbench.Loss"),
        (constant, "without a gradient"),
    ):
        registry.register(function)
        with pytest.raises(InputError, match=message):
            apply_objective(registry.get(function.__name__), a_batch(), {})


def test_batch_checks_shapes() -> None:
    with pytest.raises(ValueError, match=r"advantages has shape \(3,\), expected \[B\] = \(2,\)"):
        a_batch(advantages=torch.zeros(3))
    with pytest.raises(ValueError, match=r"lag has shape \(2, 4\), expected \[B, T\] = \(2, 3\)"):
        a_batch(lag=torch.zeros(2, 4))
