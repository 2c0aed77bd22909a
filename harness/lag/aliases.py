"""Other systems' knobs as lag schedules: each function gives the text of the schedule that stands for a setting.

These knobs are bounds, intervals or queue sizes in units of their own. An alias converts the unit to optimizer updates
and plans the lag at its bound; a bound that the system itself enforces per batch or in aggregate, not for every sample,
is named soft. Read from the sources of each system in 2026; tests/test_aliases.py holds the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from ..registry import Entry, Registry

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of a batch
BOUNDS: dict[str, Literal["soft", "hard"]] = {}
"""By alias: whether its system keeps the bound for every sample."""
_REGISTRY = Registry("alias", "", (), defaults_needed=False)


def _alias(bound: Literal["soft", "hard"]) -> Callable[[Callable[..., str]], Callable[..., str]]:
    def register(function: Callable[..., str]) -> Callable[..., str]:
        BOUNDS[function.__name__] = bound
        return _REGISTRY.register(function)

    return register


def _sawtooth(interval: int, offset: int) -> str:
    """Lag offset to offset + interval - 1."""
    return f"constant:{offset}" if interval == 1 else f"periodic:{interval}+{offset}"


@_alias("soft")
def areal(*, max_head_offpolicyness: NonNegativeInt, ppo_n_minibatches: PositiveInt = 1) -> str:
    """Soft bound of eta training batches, by an admission rule; in updates eta * minibatches + (minibatches - 1)."""
    return f"capacity:eta={max_head_offpolicyness},minibatches={ppo_n_minibatches}"


@_alias("soft")
def skyrl(*, max_staleness_steps: NonNegativeInt) -> str:
    """Soft bound of S training steps, by the same admission rule as AReaL; violators are trained with a warning."""
    return f"capacity:eta={max_staleness_steps}"


@_alias("soft")
def verl(*, staleness_threshold: Share, trigger_parameter_sync_step: PositiveInt = 1) -> str:
    """Soft bound (fully_async_policy): weights every P updates, tau * P ahead; lag tau * P to (1 + tau) * P - 1."""
    ahead = math.ceil(Fraction(str(staleness_threshold)) * trigger_parameter_sync_step)
    return _sawtooth(trigger_parameter_sync_step, ahead)


@_alias("hard")
def verl_one_step_off() -> str:
    """Hard: exactly one batch ahead (one_step_off_policy)."""
    return "constant:1"


@_alias("hard")
def verl_v1(*, max_off_policy_threshold: NonNegativeInt = 8, parameter_sync_step: PositiveInt = 1) -> str:
    """Hard bound (V1 trainer) of T model versions of P updates each; lag T * P to T * P + P - 1."""
    return _sawtooth(parameter_sync_step, max_off_policy_threshold * parameter_sync_step)


@_alias("hard")
def trl(*, max_staleness: NonNegativeInt = 4, weight_sync_steps: PositiveInt = 1) -> str:
    """Hard bound of A weight syncs of W updates each, older samples are dropped; lag A * W to A * W + W - 1."""
    return _sawtooth(weight_sync_steps, max_staleness * weight_sync_steps)


@_alias("hard")
def prime_rl(*, max_off_policy_steps: NonNegativeInt = 8) -> str:
    """Hard bound of K updates on the oldest version of a response, older ones are dropped."""
    return f"constant:{max_off_policy_steps}"


@_alias("hard")
def nemo_rl(*, max_trajectory_age_steps: NonNegativeInt = 1) -> str:
    """Hard: a group is generated for the update N versions later (legacy async_grpo); in-flight updates come on top."""
    return f"constant:{max_trajectory_age_steps}"


@_alias("hard")
def pipeline_rl(*, max_lag: NonNegativeInt, samples_per_update: PositiveInt) -> str:
    """Hard bound in samples on the oldest token of a response in flight; in updates max_lag / samples_per_update."""
    return f"in_flight:{max_lag // samples_per_update}"


@_alias("hard")
def roll(*, async_generation_ratio: Share, minibatches: PositiveInt = 1) -> str:
    """Hard bound of ceil(r) batches generated ahead; lag ceil(r) * minibatches to (ceil(r) + 1) * minibatches - 1."""
    return _sawtooth(minibatches, math.ceil(async_generation_ratio) * minibatches)


@_alias("soft")
def openrlhf(*, async_queue_size: NonNegativeInt = 1, minibatches: PositiveInt = 1) -> str:
    """Soft bound: Q batches queued and one in generation; lag (Q + 1) * minibatches to (Q + 2) * minibatches - 1."""
    return _sawtooth(minibatches, (async_queue_size + 1) * minibatches)


@_alias("hard")
def torchforge(*, off_by_n: NonNegativeInt = 1) -> str:
    """Hard bound of n policy versions in the replay buffer (max_policy_age)."""
    return f"constant:{off_by_n}"


@_alias("hard")
def slime(*, update_weights_interval: PositiveInt = 1, updates_per_rollout: PositiveInt = 1) -> str:
    """Hard: one rollout ahead, weights every U rollouts of s updates (train_async); lag s to (U + 1) * s - 1."""
    return _sawtooth(update_weights_interval * updates_per_rollout, updates_per_rollout)


@_alias("hard")
def trinity(*, sync_interval: PositiveInt, sync_offset: NonNegativeInt = 0) -> str:
    """Hard: weights every I updates, the explorer O updates ahead (sync_style fixed); lag O to O + I - 1."""
    return _sawtooth(sync_interval, sync_offset)


@_alias("soft")
def vcpo(*, staleness_threshold: NonNegativeInt) -> str:
    """Soft bound: k is the largest lag between sampler and learner, in updates (with one update per sync)."""
    return f"constant:{staleness_threshold}"


ALIASES: dict[str, Entry] = _REGISTRY.all()
