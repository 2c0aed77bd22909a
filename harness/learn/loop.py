"""The training loop: draw ahead what the plan assigns to this version, consume this update's inbox, train."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import store
from ..apply import apply_objective
from ..config import Run
from ..lag import LagPlan, Segments
from ..lag.trace import header
from ..noise import TRAINING, Noise
from ..registry import Entry
from ..rollout import Sampler
from ..rollout.text import Codec
from ..types import Batch, Loss, NonFinite, Problem, Rollouts, Verdict
from ..verify import Verifier
from . import checkpoint
from .advantages import make_advantage
from .aggregate import make_aggregate, reduced, reduced_by_sign
from .agreement import Agreement
from .collate import collate, groups_of, prompts_digest, realized_versions, require_planned, uniform_of
from .diagnostics import measure
from .forward import Forward
from .inbox import Inbox, Waiting, assemble, pack, take
from .policy import Policy
from .sequences import sequences


@dataclass(frozen=True)
class Trainer:
    """Everything that one run's loop works with."""

    run: Run
    problems: Sequence[Problem]  # to train on
    order: np.ndarray  # [U, P], which of them each group of each update is asked
    plan: LagPlan
    policy: Policy
    sampler: Sampler  # of what is trained on
    codec: Codec
    verifier: Verifier
    agreement: Agreement | None = None  # of a sampler that does not draw with the learner's own model

    def asked(self, update: int) -> list[Problem]:
        """The problem of every group of an update."""
        return [self.problems[i] for i in self.order[update]]


def train(
    trainer: Trainer,
    objective: Entry,
    folder: Path,
    checkpoint_every_s: float = math.inf,
    at_version: Callable[[int], object] = lambda version: None,
) -> Iterator[dict[str, Any]]:
    """Carry out the plan from the last checkpoint on, yielding each update's measurements as they are written.

    `at_version` is called with every version but the last while it is current, again after an interruption.
    """
    policy = trainer.policy
    inbox = resume(trainer, folder)
    saved_at = time.monotonic()
    for version in range(policy.version, trainer.run.updates):
        at_version(version)
        started = time.perf_counter()
        gap: dict[str, float] = {}
        for segments in trainer.plan.drawn_by(version):
            drawn = draw(trainer, segments, inbox[segments.update])
            if trainer.agreement and not gap:
                gap = trainer.agreement.measure(drawn)
        generated = time.perf_counter()
        _, rollouts = assemble(inbox.pop(version))
        row = learn(trainer, objective, version, rollouts)
        row |= gap | {"generate_s": generated - started, "learn_s": time.perf_counter() - generated}
        record(folder, trainer.plan, version, rollouts, row)
        if policy.world.gathered(time.monotonic() - saved_at >= checkpoint_every_s)[0]:  # by one clock
            checkpoint.save(folder, policy, inbox)
            saved_at = time.monotonic()
        yield row


def resume(trainer: Trainer, folder: Path) -> Inbox:
    """Put the policy where the last checkpoint left it and return what was waiting; a new trace begins."""
    inbox = checkpoint.restore(folder, trainer.policy)
    if trainer.policy.version == 0:
        store.write_lines(folder / store.TRACE, [header(trainer.plan.name, trainer.run.prompts_per_update)])
    return inbox


def record(folder: Path, plan: LagPlan, update: int, rollouts: Rollouts, row: dict[str, Any]) -> None:
    """Write an update's lines: who drew what it was trained on, and what was measured."""
    realized = {"update": update, "groups": realized_versions(plan, update, rollouts)}
    store.append_line(folder / store.TRACE, realized)
    store.append_line(folder / store.METRICS, row)


def draw(trainer: Trainer, segments: Segments, waiting: list[Waiting]) -> list[Rollouts]:
    """Begin responses with the current policy, or continue those that `waiting` holds the beginnings of."""
    drawn = []
    fresh = segments.starts == 0
    for these, begins in ((fresh, True), (~fresh, False)):
        groups, ends = segments.groups[these], segments.ends[these]
        if not len(groups):
            continue
        begun = None if begins else take(waiting, groups)
        drawn.append(generate(trainer, segments.update, groups, ends, begun))
        waiting.append(pack(groups, drawn[-1]))
    return drawn


def generate(
    trainer: Trainer,
    update: int,
    groups: np.ndarray,
    ends: np.ndarray | None = None,
    begun: Rollouts | None = None,
) -> Rollouts:
    """The current policy's responses for some groups of a later (or this) update, as `Sampler.sample` takes them."""
    asked = trainer.asked(update)
    noise = Noise(TRAINING, trainer.run.seed, update, tuple(groups.tolist()), trainer.run.responses_per_prompt)
    prompts = [trainer.codec.encode(asked[group]) for group in groups]
    return trainer.sampler.sample(prompts, noise, None if ends is None else ends.tolist(), begun)


def learn(trainer: Trainer, objective: Entry, update: int, rollouts: Rollouts) -> dict[str, Any]:
    """One optimizer update on what the plan had drawn for it: proven, verified, learned. Returns what was measured."""
    require_planned(trainer.plan, update, rollouts)
    return learn_graded(trainer, objective, update, rollouts, grade(trainer, trainer.asked(update), rollouts))


def learn_graded(
    trainer: Trainer, objective: Entry, update: int, rollouts: Rollouts, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """One optimizer update on rollouts and their verdicts [B]: differentiate, step. Returns what was measured."""
    run, policy = trainer.run, trainer.policy
    forward = policy.forward(sequences(rollouts, trainer.codec.pad_id, policy.device))
    found = differentiate(run, objective, update, rollouts, forward, rewards_of(verdicts))
    forward.backward(found.gradient)
    step = policy.step(found.loss.step_scale)
    loss = (found.total, *found.parts)
    measured = measure(found.batch, rollouts, verdicts, forward.entropy, found.gradient, loss, step)
    return {"update": update, **measured, "objective": found.loss.metrics, "prompts": prompts_digest(rollouts)}


@dataclass(frozen=True)
class Differentiated:
    """An objective's loss on a batch, its scalar, the parts of it by sign of the advantage, and dL/dlogprobs [B, T]."""

    batch: Batch
    loss: Loss
    total: float
    parts: tuple[float, float]
    gradient: Tensor


def differentiate(
    run: Run, objective: Entry, update: int, rollouts: Rollouts, forward: Forward, rewards: Tensor
) -> Differentiated:
    """The objective with the hyperparameters and conventions of `run` on one batch, differentiated; or NonFinite."""
    estimate = make_advantage(run.advantage)
    advantages = estimate(rewards, groups_of(rollouts), rollouts.mask.sum(1))  # [B]
    batch = collate(rollouts, update, forward.logprobs, rewards, advantages)
    if "uniform" in objective.reads:
        batch = replace(batch, uniform=uniform_of(rollouts, run.seed, update).to(batch.mask.device))
    aggregate = make_aggregate(run.aggregate, run.max_tokens)
    loss = apply_objective(objective, batch, run.hyperparameters)
    total = reduced(loss, batch.mask, batch.group, aggregate, run.denominator)
    (gradient,) = torch.autograd.grad(total, forward.logprobs)
    require_finite(objective, update, total, gradient[batch.mask])
    parts = reduced_by_sign(loss, batch.advantages, batch.mask, batch.group, aggregate, run.denominator)
    return Differentiated(batch, loss, total.item(), parts, gradient)


def require_finite(objective: Entry, update: int, total: Tensor, gradient: Tensor) -> None:
    """NonFinite, naming the objective, where its loss or its gradient by log-probabilities is not finite."""
    for what, values in (("loss", total), ("gradient", gradient)):
        if not values.isfinite().all():
            wrong = values[~values.isfinite()].flatten()[0].item()
            raise NonFinite(
                f"update {update}: objective {objective} gave a {what} that is {wrong}; "
                f"`lagbench check {objective.name}` looks for the reason"
            )


def grade(trainer: Trainer, problems: Sequence[Problem], rollouts: Rollouts) -> list[Verdict]:
    """The verdict on every response: B, the responses to each problem side by side."""
    asked = [p for p in problems for _ in range(trainer.run.responses_per_prompt)]
    return trainer.verifier.grade(asked, trainer.codec.decode(rollouts))


def rewards_of(verdicts: Sequence[Verdict]) -> Tensor:
    """1 for a right response, 0 for a wrong one: [B] float32."""
    return torch.tensor([float(verdict.correct) for verdict in verdicts])
