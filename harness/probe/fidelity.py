"""One seed of the probe: a history, stale batches drawn along it, and the gradients at its end.

A policy is trained at lag 0 for U updates. While version U - k is current, it also answers the probe's prompts: these
are the batches that are k updates old for version U. Nothing is kept but those responses. At version U, the reference
is the gradient of the history's own objective (the policy gradient, unless told otherwise) on many fresh batches; each
objective's gradient on the stale ones (the mean over a few batches, the same prompts and the same noise at every lag)
is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import Run
from ..learn.forward import Forward
from ..learn.loop import Trainer, differentiate, generate, grade, learn, rewards_of
from ..learn.policy import Policy, cosine
from ..learn.sequences import sequences
from ..noise import prompt_order
from ..registry import OBJECTIVES
from ..sweep.cell import assemble_trainer
from ..sweep.expand import task_of
from ..types import InputError, NonFinite, Rollouts
from ..verify import Verifier


@dataclass(frozen=True)
class Probe:
    """What is compared, apart from the suite's settings."""

    lags: tuple[int, ...]
    batches: int  # stale ones at each lag, whose gradients are averaged
    fresh: int  # batches behind the reference


def probe_seed(history: Run, runs: Sequence[Run], probe: Probe, advance: Callable[[], None]) -> dict[str, Any]:
    """Cosine and norm ratio of each run's objective at every lag, and how well the reference knows itself.

    `advance` is called once for each of the `work_units`.
    """
    task = task_of(history)
    with Verifier(task) as verifier:
        trainer = _with_more_prompts(assemble_trainer(history, task, verifier), probe)
        stale = _train_and_draw(trainer, probe, advance)
        halves = _reference(trainer, probe, advance)
        reference = (halves[0] + halves[1]) / 2
        if not reference.any():
            raise InputError(
                f"seed {history.seed}: the reference gradient is zero, all fresh responses to each prompt were graded "
                "alike; raise --fresh or responses_per_prompt"
            )
        rows = []
        for lag in probe.lags:
            for run, gradient in zip(runs, _gradients(trainer, runs, stale[lag], advance), strict=True):
                rows.append({"objective": run.objective, "lag": lag, **_compared(gradient, reference)})
    return {"seed": history.seed, "reference_agreement": cosine([halves[0]], [halves[1]]), "rows": rows}


def work_units(history: Run, probe: Probe) -> int:
    """Calls of `advance` that one seed makes."""
    return history.updates + probe.fresh + probe.batches * len(probe.lags)


def norm_ratio(gradient: Tensor, reference: Tensor) -> float:
    return float(gradient.norm() / reference.norm())


def _compared(gradient: Tensor | str, reference: Tensor) -> dict[str, Any]:
    """Cosine and norm ratio; without numbers where there is a reason instead of a gradient."""
    if isinstance(gradient, str):
        return {"cosine": None, "norm_ratio": None, "failure": gradient}
    measured = {"cosine": cosine([gradient], [reference]), "norm_ratio": norm_ratio(gradient, reference)}
    return measured | {"failure": None}


def _with_more_prompts(trainer: Trainer, probe: Probe) -> Trainer:
    """Prompts for the probe's own batches, as updates after the last one."""
    updates = trainer.run.updates + probe.batches + probe.fresh
    prompts = trainer.run.prompts_per_update
    return replace(trainer, order=prompt_order(trainer.run.seed, updates, prompts, len(trainer.problems)))


def _train_and_draw(trainer: Trainer, probe: Probe, advance: Callable[[], None]) -> dict[int, list[Rollouts]]:
    """Train the history; by lag, the probe's batches as the version of that age drew them."""
    run, stale = trainer.run, {}
    groups = np.arange(run.prompts_per_update)
    objective = OBJECTIVES.get(run.objective or "")
    for version in range(run.updates + 1):
        if run.updates - version in probe.lags:
            drawn = [generate(trainer, run.updates + batch, groups) for batch in range(probe.batches)]
            stale[run.updates - version] = drawn
        if version < run.updates:
            learn(trainer, objective, version, generate(trainer, version, groups))
            advance()
    return stale


def _reference(trainer: Trainer, probe: Probe, advance: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """The on-policy gradient of the history's objective from fresh batches: two independent halves."""
    run, policy = trainer.run, trainer.policy
    halves: list[list[Tensor]] = [[], []]
    objective = OBJECTIVES.get(run.objective or "")
    for i in range(probe.fresh):
        update = run.updates + probe.batches + i
        rollouts = generate(trainer, update, np.arange(run.prompts_per_update))
        forward = _forward(trainer, rollouts)
        rewards = rewards_of(grade(trainer, trainer.asked(update), rollouts))
        found = differentiate(run, objective, run.updates, rollouts, forward, rewards)
        forward.backward(found.gradient)
        halves[i % 2].append(_taken(policy))
        advance()
    first, second = (torch.stack(half).mean(0) for half in halves)
    return first, second


def _gradients(
    trainer: Trainer, runs: Sequence[Run], stale: list[Rollouts], advance: Callable[[], None]
) -> list[Tensor | str]:
    """Each objective's gradient by the weights, the mean over the stale batches of one lag; or why it has none."""
    updates = trainer.run.updates
    found: list[Tensor | str] = [torch.zeros(()) for _ in runs]
    for i, rollouts in enumerate(stale):
        forward = _forward(trainer, rollouts)
        rewards = rewards_of(grade(trainer, trainer.asked(updates + i), rollouts))
        for j, run in enumerate(runs):
            total = found[j]
            if isinstance(total, str):
                continue
            try:
                made = differentiate(run, OBJECTIVES.get(run.objective or ""), updates, rollouts, forward, rewards)
            except (InputError, NonFinite) as error:
                found[j] = str(error)
                continue
            forward.backward(made.gradient, again=True)
            found[j] = total + made.loss.step_scale * _taken(trainer.policy) / len(stale)
        advance()
    return found


def _forward(trainer: Trainer, rollouts: Rollouts) -> Forward:
    return trainer.policy.forward(sequences(rollouts, trainer.codec.pad_id, trainer.policy.device))


def _taken(policy: Policy) -> Tensor:
    """The accumulated gradient, flat and in float64; the policy's is emptied."""
    gradient = [p.grad.flatten().double().cpu() for p in policy.model.parameters() if p.grad is not None]
    policy.model.zero_grad(set_to_none=True)
    return torch.cat(gradient)
