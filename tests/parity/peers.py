"""How code of others is reached and run beside ours.

A peer is a package that ships losses or advantages of its own.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from lagbench.harness.apply import apply_objective
from lagbench.harness.learn.advantages import make_advantage
from lagbench.harness.learn.aggregate import make_aggregate, reduced
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.types import Batch

ALL_HERE = "LAGBENCH_ALL_PEERS"  # set by `make parity`: a peer that is missing is then a failure
GROUPS, GROUP_SIZE, WIDTH, MAX_TOKENS = 4, 3, 7, 9
ROWS = GROUPS * GROUP_SIZE
LENGTHS = [7, 4, 1, 5, 6, 3, 2, 7, 5, 4, 6, 7]
FAR = 1e9  # a clip or cap out of reach: log-ratios end at 20 nats
SINGLE = {"rtol": 1e-5, "atol": 1e-7}  # tolerances where a peer computes in float32

UPPER_END = {"share": 1.0}  # of options that end somewhere

Outcome = tuple[Tensor, Tensor]  # the loss, and its gradient [B, T]
same = torch.testing.assert_close


class Case(NamedTuple):
    """A loss of theirs and the objective of ours that it has to equal."""

    theirs: str
    ours: str
    options: Mapping[str, Any]
    peer_options: Mapping[str, Any]
    aggregate: str = ""  # where the peer's is not the objective's own
    denominator: str = ""


class Pair(NamedTuple):
    """An advantage or a reduction of theirs and the same of ours."""

    theirs: str
    ours: str
    peer_options: Mapping[str, Any] = {}


def peer(module: str, *, past: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Any:
    """A module of a peer; the test file is skipped where the package is missing, unless all have to be here.

    The __init__ of the packages in `past` is not run, and the modules in `without` are stand-ins while it is imported:
    both only where they would bring an engine that the formulas never call.
    """
    package = module.partition(".")[0]
    if find_spec(package) is None and ALL_HERE not in os.environ:
        pytest.skip(f"{package} is not installed: make parity", allow_module_level=True)
    _enter(past)
    with _stand_ins(without):
        return import_module(module)


def _enter(packages: tuple[str, ...]) -> None:
    """Make packages known by their folders alone, so that modules in them can be imported one by one."""
    for name in packages:
        top, *inner = name.split(".")
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(Path(find_spec(top).submodule_search_locations[0], *inner))]
        sys.modules[name] = module_from_spec(spec)


class _StandIn(ModuleType):
    """A module that a peer imports beside its formulas. Each of its names is an empty class, which computes nothing."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _stand_ins(names: tuple[str, ...]) -> Iterator[None]:
    made = {name: _StandIn(name) for name in names if name not in sys.modules}
    sys.modules.update(made)
    yield
    for name in made:
        del sys.modules[name]


def ours(batch: Batch, name: str, options: Mapping[str, Any], aggregate: str = "", denominator: str = "") -> Outcome:
    """With the objective's own aggregate and denominator, unless others are given."""
    entry = OBJECTIVES.get(name)
    loss = reduced(
        apply_objective(entry, batch, entry.check_options(dict(options))),
        batch.mask,
        batch.group,
        make_aggregate(aggregate or entry.conventions.aggregate, MAX_TOKENS),
        denominator or entry.conventions.denominator,
    )
    return outcome(loss, batch)


def reduction(name: str, tokens: Tensor, batch: Batch) -> Tensor:
    """A scalar, of losses [B, T]."""
    return make_aggregate(name, MAX_TOKENS)(tokens, batch.mask, batch.group)


def advantage(batch: Batch, name: str) -> Tensor:
    """[B]."""
    return make_advantage(name)(batch.rewards, batch.group, batch.mask.sum(1))


def rewards_of_tokens(batch: Batch) -> Tensor:
    """Rewards [B, T], those of the responses on their last tokens."""
    last = torch.nn.functional.one_hot(batch.mask.sum(1) - 1, batch.mask.shape[1])  # [B, T]
    return batch.rewards[:, None] * last


def in_order(batch: Batch) -> Batch:
    """Our random numbers grow from token to token, as if tokens were taken as they come."""
    return replace(batch, uniform=torch.linspace(0, 0.9, batch.mask.numel()).reshape(batch.mask.shape))


def with_far_token(batch: Batch, nats: float = 25, row: int = 0) -> Batch:
    """A negative response's first token far above the behavior policy, which no clip of PPO's catches."""
    assert batch.advantages[row] < 0
    far = batch.logprobs.detach().clone()
    far[row, 0] = batch.behavior_logprobs[row, 0] + nats
    return replace(batch, logprobs=far.requires_grad_())


def limited(mine: Outcome, theirs: Outcome, **tolerance: float) -> None:
    """After `with_far_token`: the peer follows the far ratio, ours has no gradient there; all else is the same."""
    assert theirs[1][0, 0] > 1e6
    assert mine[1][0, 0] == 0
    same(mine[1][1:], theirs[1][1:], **tolerance)
    same(mine[1][0, 1:], theirs[1][0, 1:], **tolerance)


def without_a_response(batch: Batch) -> Batch:
    """The first response has no tokens."""
    return replace(batch, mask=batch.mask & (torch.arange(ROWS) != 0)[:, None])


def counted_by_peer_only(mine: Outcome, theirs: Outcome, **tolerance: float) -> None:
    """After `without_a_response`: the peer's mean over responses counts the empty one."""
    more = ROWS / (ROWS - 1)
    same(mine, (theirs[0] * more, theirs[1] * more), **tolerance)


def label(one: Case | Pair) -> str:
    """The name of a parametrized test."""
    return f"{one.theirs}-{one.ours}"


def outcome(loss: Tensor, batch: Batch) -> Outcome:
    """A loss with its gradient, in float64."""
    return loss.detach().double(), torch.autograd.grad(loss, batch.logprobs)[0].double()


def agree(batch: Batch, case: Case, theirs: Outcome, **tolerance: float) -> None:
    """Loss and gradient are the same, and each number among the options acts on this batch when it is moved."""

    def mine(**changed: float) -> Outcome:
        return ours(batch, case.ours, {**case.options, **changed}, case.aggregate, case.denominator)

    same(mine(), theirs, **tolerance)
    assert theirs[1].abs().max() > 1e-3
    for option, value in case.options.items():
        if isinstance(value, float):
            others = min(4 * value + 0.5, UPPER_END.get(option, FAR)), value / 4
            moved = [mine(**{option: other})[1] - theirs[1] for other in others]
            assert max(change.abs().max() for change in moved) > 1e-3, f"{option} does nothing on this batch"
