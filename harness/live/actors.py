"""The actors of a live run. Each lives through a whole suite and is given one cell after another by `begin`.

None of them holds anything that cannot be made again: a worker has the weights that come with a request, the learner
its last checkpoint, and the driver the ledger.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor

from .. import store
from ..config import Run
from ..lag import LagPlan
from ..lag.trace import Group, decoded, read_trace
from ..learn import checkpoint
from ..learn.collate import require_planned
from ..learn.inbox import Waiting, assemble, pack, unpack
from ..learn.loop import Trainer, generate, learn_graded, record, resume
from ..models import locate
from ..models.load import load_tokenizer
from ..noise import prompt_order
from ..prompts import prompt_form
from ..registry import OBJECTIVES
from ..rollout.text import Codec
from ..rollout.vllm_engine import engine_packages
from ..sweep.cell import assemble_exam, assemble_trainer, examine, require_same_code, save_model, summary
from ..sweep.expand import exam_tasks, task_of
from ..sweep.provenance import environment
from ..types import Verdict
from ..verify import Verifier

LIVE = "live"  # in the place of a schedule
Weights = dict[str, Tensor]


def assembled(run: Run, held: ExitStack) -> Trainer:
    """The trainer of a live run, at version 0. It has no plan: who draws what is known when it has been drawn."""
    task = task_of(run)
    verifier = held.enter_context(Verifier(task))
    trainer = assemble_trainer(run.model_copy(update={"lag": "sync"}), task, verifier)
    nobody = np.zeros((0, run.prompts_per_update), np.int32)
    return replace(trainer, run=run, plan=LagPlan(LIVE, nobody))


class Actor:
    """One thread, one cell at a time; `begin` closes what the cell before held."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        os.chdir(folder)  # that the command was given in: paths may begin there
        self.held = ExitStack()

    def anew(self) -> ExitStack:
        self.held.close()
        self.held = ExitStack()
        return self.held


@dataclass(frozen=True)
class Draft:
    """Of what was drawn: whether all responses are whole, and an engine's gap to the learner, where it was measured."""

    whole: bool
    gap: dict[str, float]


class Worker(Actor):
    """Draws responses under the weights that it is given."""

    def begin(self, run: Run) -> int:
        """Returns its process id."""
        self.trainer = assembled(run, self.anew())
        self.trainer.policy.version = -1  # of no weights that anybody has published
        return os.getpid()

    def draw(
        self,
        update: int,
        groups: Sequence[int],
        end: int | None,
        begun: Waiting | None,
        version: int,
        weights: Sequence[Any],
    ) -> tuple[Draft, Waiting]:
        """Responses to some groups of an update, up to token `end`, going on from `begun`.

        They are drawn by `version`, whose weights the one Ray reference in `weights` stands for.
        """
        news = self._take_over(version, weights)
        ends = None if end is None else np.full(len(groups), end)
        before = None if begun is None else unpack(begun)
        rollouts = generate(self.trainer, update, np.asarray(groups), ends, before)
        cut = ~rollouts.stopped & (rollouts.mask.sum(1) < self.trainer.run.max_tokens)
        agreement = self.trainer.agreement if news else None  # of an engine with the weights that it has just got
        gap = agreement.measure([rollouts]) if agreement else {}
        return Draft(not bool(cut.any()), gap), pack(np.asarray(groups), rollouts)

    @torch.no_grad()
    def _take_over(self, version: int, weights: Sequence[Any]) -> bool:
        """Whether these are other weights than before."""
        policy = self.trainer.policy
        if version == policy.version:
            return False
        published = ray.get(weights[0])
        for name, value in policy.model.named_parameters():
            value.copy_(published[name])
        policy.version = version
        return True


class Grader(Actor):
    """Decides which responses are right, off the learner's path."""

    def begin(self, run: Run) -> int:
        """Returns its process id."""
        task = task_of(run)
        self.run, self.problems = run, task.train
        self.order = prompt_order(run.seed, run.updates, run.prompts_per_update, len(task.train))
        self.codec = Codec(load_tokenizer(locate(run.model)), task, prompt_form(run.prompt))
        self.verifier = self.anew().enter_context(Verifier(task))
        return os.getpid()

    def grade(self, update: int, waiting: Waiting) -> list[Verdict]:
        """The verdict on every response, in their order."""
        asked = [self.problems[i] for i in self.order[update, waiting.groups]]
        each = [problem for problem in asked for _ in range(self.run.responses_per_prompt)]
        return self.verifier.grade(each, self.codec.decode(unpack(waiting)))


@dataclass(frozen=True)
class Begun:
    """A learner that is ready, at the version of its checkpoint."""

    pid: int
    version: int


@dataclass(frozen=True)
class Learned:
    """What an update measured, and the version of the last checkpoint."""

    row: dict[str, Any]
    saved: int


class Learner(Actor):
    """Holds the policy and writes the cell's files: what `train` does, on batches that are brought to it."""

    def begin(self, run: Run, folder: Path, command: str, checkpoint_every_s: float) -> tuple[Begun, Weights]:
        """Where the last checkpoint in the cell's folder left the run, and the weights of that version."""
        require_same_code(run, folder)
        held = self.anew()
        self.trainer, self.folder, self.checkpoint_every_s = assembled(run, held), folder, checkpoint_every_s
        exams = [assemble_exam(self.trainer, name, its, held) for name, its in exam_tasks(run, task_of(run)).items()]
        self.examine = partial(examine, exams, run, folder)
        resume(self.trainer, folder)
        store.write_json(folder / store.ENVIRONMENT, environment(command, "ray", *engine_packages(run.sampler)))
        self.saved = self.trainer.policy.version
        self.saved_at, self.idle_since = time.monotonic(), time.perf_counter()
        return Begun(os.getpid(), self.saved), self._weights()

    def learn(
        self,
        update: int,
        publish: bool,
        groups: Sequence[Group],
        gap: dict[str, float],
        *parts: Waiting | list[Verdict],
    ) -> tuple[Learned, Weights | None]:
        """One update on the parts of a batch, followed by their verdicts; `groups` says who drew them, and is proven.

        The row holds `gap`, too; its `generate_s` is how long the learner has waited for the batch. The weights are
        returned if they are to be published.
        """
        idle = time.perf_counter() - self.idle_since
        self.examine(update)
        started, half = time.perf_counter(), len(parts) // 2
        _, rollouts = assemble([part for part in parts[:half] if isinstance(part, Waiting)])
        verdicts = [verdict for graded in parts[half:] if isinstance(graded, list) for verdict in graded]
        plan = of_one_update(update, groups)
        require_planned(plan, update, rollouts)
        objective = OBJECTIVES.get(self.trainer.run.objective or "")
        row = learn_graded(self.trainer, objective, update, rollouts, verdicts)
        row |= gap | {"generate_s": idle, "learn_s": time.perf_counter() - started}
        record(self.folder, plan, update, rollouts, row)
        if time.monotonic() - self.saved_at >= self.checkpoint_every_s:
            checkpoint.save(self.folder, self.trainer.policy, defaultdict(list))  # nothing waits here
            self.saved, self.saved_at = update + 1, time.monotonic()
        weights = self._weights() if publish else None
        self.idle_since = time.perf_counter()
        return Learned(row, self.saved), weights

    def finish(self) -> dict[str, Any]:
        """Evaluate the final policy, save it, and return what `result.json` holds of the run itself."""
        self.examine(self.trainer.run.updates)
        save_model(self.trainer, self.folder)
        realized = read_trace(self.folder / store.TRACE)
        result = summary(replace(self.trainer, plan=realized), self.folder)
        del result["planned_lag_digest"]  # nothing was planned
        return result

    def _weights(self) -> Weights:
        return {name: value.cpu() for name, value in self.trainer.policy.weights()}


def of_one_update(update: int, groups: Sequence[Group]) -> LagPlan:
    """The plan in which these versions draw the groups of an update; of the updates before, nothing is said."""
    nothing: list[list[Group]] = [[0] * len(groups)] * update
    return decoded(LIVE, len(groups), [*nothing, list(groups)])
