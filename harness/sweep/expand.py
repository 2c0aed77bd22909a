"""From a suite to its cells, with everything checked that can be wrong about the input before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch

from ..config import COLDEST, NO_MISMATCH, PAPER, Run, Settings, Suite, validated
from ..lag import LagPlan, Scene, make_plan, resolve
from ..learn.advantages import make_advantage
from ..learn.aggregate import make_aggregate
from ..learn.packing import require_packable
from ..learn.recompute import recomputable
from ..models import locate
from ..models.load import context_length, load_tokenizer, model_without_weights
from ..noise import chosen_problems
from ..prompts import prompt_form
from ..registry import OBJECTIVES, Entry, did_you_mean, load_task
from ..rollout.mismatch import make_mismatch, spelled
from ..rollout.text import Codec
from ..rollout.vllm_engine import BF16_ON_GPU, require_vllm
from ..types import InputError, Task

LAG_0 = ("constant:0", "sync")  # two names of one plan


def cells(suite: Suite) -> list[Run]:
    """The base model, evaluated as it is, then objectives x lags x mismatches x seeds, hyperparameters resolved."""
    shared = suite.settings()
    runs = [validated(Run, shared | {"updates": 0, "objective": None, "lag": "sync", "seed": 0})]
    for seed in suite.seeds:
        for lag, mismatch, name in product(suite.lags, suite.mismatch, suite.objectives):
            entry = OBJECTIVES.get(name)
            hyperparameters = entry.check_options(suite.hyperparameters.get(name, {}))
            axes = {"lag": resolve(lag).text, "mismatch": spelled(mismatch), "seed": seed}
            cell = {"objective": name, "hyperparameters": hyperparameters} | axes
            runs.append(validated(Run, shared | conventions(suite, entry) | cell))
    return runs


def references(suite: Suite, runs: Sequence[Run]) -> list[Run]:
    """What gains are measured by, as far as it is not among `runs`: the baseline at lag 0 with every seed.

    Without a disturbance of the sampler, where the suite runs anything so.
    """
    entry = OBJECTIVES.get(suite.baseline)
    mismatches = [spelled(mismatch) for mismatch in suite.mismatch]
    mismatch = NO_MISMATCH if NO_MISMATCH in mismatches else sorted(mismatches)[0]
    if any(run.lag in LAG_0 and run.objective == entry.name and run.mismatch == mismatch for run in runs):
        return []
    lag = next((run.lag for run in runs if run.lag in LAG_0 and run.objective), LAG_0[0])
    hyperparameters = entry.check_options(suite.hyperparameters.get(entry.name, {}))
    cell = {"objective": entry.name, "hyperparameters": hyperparameters, "lag": lag, "mismatch": mismatch}
    shared = suite.settings() | conventions(suite, entry) | cell
    return [validated(Run, shared | {"seed": seed}) for seed in suite.seeds]


def conventions(suite: Settings, entry: Entry) -> dict[str, str]:
    """Advantage, aggregate and denominator of an objective: the suite's, or those of its paper where it says so."""
    papers = entry.conventions.names
    return {key: papers[key] if getattr(suite, key) == PAPER else getattr(suite, key) for key in papers}


def check(suite: Suite) -> dict[str, Task]:
    """All tasks of a suite by name, its own first; an InputError for what would make a cell fail before its end."""
    for name in suite.hyperparameters:
        if name not in (*suite.objectives, suite.baseline):
            raise InputError(
                f"hyperparameters.{name}: the suite has no objective {name!r}{did_you_mean(name, suite.objectives)}"
            )
    OBJECTIVES.get(suite.baseline)
    check_sampler(suite)
    check_learner(suite)
    for lag in suite.lags:
        planned(lag, suite, suite.seeds[0])
    for name in suite.objectives:
        around = conventions(suite, OBJECTIVES.get(name))
        make_advantage(around["advantage"])
        make_aggregate(around["aggregate"], suite.max_tokens)
    task = task_of(suite)
    if not task.train:
        raise InputError(f"task {suite.task}: no problems to train on; use it in eval_tasks")
    exams = exam_tasks(suite, task)
    check_exams(exams, suite)
    check_prompts({suite.task: task} | exams, suite)
    return {suite.task: task} | exams


def check_sampler(suite: Suite) -> None:
    """An InputError where the engine is not installed, or cannot draw what the suite wants.

    What depends on the machine is left to the cells where they run on others.
    """
    if suite.sampler == "torch":
        return
    here = suite.executor == "local"
    if here:
        require_vllm(f"sampler={suite.sampler}")
    for text in suite.mismatch:
        mismatch = make_mismatch(text)
        if mismatch.bf16 and here and torch.cuda.is_available():
            raise InputError(BF16_ON_GPU)
        if mismatch.temperature is not None and mismatch.temperature < COLDEST:
            raise InputError(
                f"mismatch {text!r}: vLLM draws at {COLDEST} or above; expected a temperature from there on, or "
                "sampler=torch"
            )
        if mismatch.logit_noise:
            raise InputError(
                f"mismatch {text!r}: sampler=vllm adds no noise to logits; expected none, temperature:T, top_p:P or "
                "bf16, or sampler=torch"
            )
    if suite.learner_processes > 1:
        raise InputError(
            f"learner_processes={suite.learner_processes} with sampler=vllm: the engine is in the learner's process, "
            "of which there is one; use sampler=torch, or lagbench live, where engines are workers"
        )


def check_learner(suite: Suite) -> None:
    """An InputError where an update cannot be divided as the suite wants it, or the model cannot save what it asks."""
    processes, groups = suite.learner_processes, suite.prompts_per_update
    if processes == 1 and suite.learner_sharding != "none":
        raise InputError(
            f"learner_sharding={suite.learner_sharding} divides a model among processes, but learner_processes=1; set "
            "learner_processes=2 or more, or leave it out"
        )
    if processes > groups:
        raise InputError(
            f"learner_processes={processes}, but an update has {groups} prompt groups to share; set "
            f"learner_processes={groups} or less, or raise prompts_per_update"
        )
    devices = torch.cuda.device_count()
    if suite.executor == "local" and 0 < devices < processes:
        raise InputError(
            f"learner_processes={processes}, but this machine has {devices} GPUs, one for each; set "
            f"learner_processes={devices} or less"
        )
    if suite.group_packing or suite.gradient_checkpointing:
        model = model_without_weights(locate(suite.model))
        if suite.group_packing:
            require_packable(model)
        if suite.gradient_checkpointing:
            recomputable(model)


def check_exams(exams: Mapping[str, Task], suite: Suite) -> None:
    """An InputError where there is too little to evaluate on. Of several test sets the smaller ones are taken whole."""
    sizes = {name: len(task.test) for name, task in exams.items()}
    for name, size in sizes.items():
        if size < 2:
            raise InputError(f"task {name}: {size} test problems, but an interval needs at least two")
    largest = max(sizes, key=lambda name: sizes[name])
    if suite.eval_problems > sizes[largest]:
        raise InputError(
            f"eval_problems={suite.eval_problems}, but task {largest} holds {sizes[largest]} test problems; lower it"
        )


def check_prompts(tasks: Mapping[str, Task], suite: Suite) -> None:
    """An InputError for prompts that the model cannot spell, or that leave no room for a response."""
    folder = locate(suite.model)
    context, tokenizer = context_length(folder), load_tokenizer(folder)
    room = None if context is None else context - suite.max_tokens
    for name, task in tasks.items():
        trained_on = task.train if name == suite.task else ()
        codec = Codec(tokenizer, task, prompt_form(suite.prompt))
        codec.check([*trained_on, *task.test[: suite.eval_problems]], room)


def exam_tasks(settings: Settings, own: Task) -> dict[str, Task]:
    """The tasks to evaluate on by name, their data read; `own` is the one that is trained on."""
    names = settings.eval_tasks or (settings.task,)
    return {name: own if name == settings.task else load_task(name, {}) for name in names}


def planned(lag: str, settings: Settings, seed: int) -> LagPlan:
    """The plan of a schedule, as far as it can be known without a model: see `scene_of`."""
    return make_plan(lag, scene_of(settings, seed))


def scene_of(settings: Settings, seed: int) -> Scene:
    """What a schedule can read of a run before there is a model: all lengths are equal."""
    size = (settings.updates, settings.prompts_per_update)
    return Scene(*size, settings.max_tokens, seed, lambda: np.ones(size))


def task_of(settings: Settings) -> Task:
    """The task of a suite or a run, its data read.

    Under `train_problems=N` only N of its training problems are left. Under `validation=N` the last N of these stand
    in the place of the test set, which is not looked at. An InputError where fewer problems would be left to train on
    than one update asks, or with `eval_tasks`.
    """
    options: dict[str, Any] = {} if settings.data is None else {"data": settings.data}
    task, held_out = _with_fewer_problems(load_task(settings.task, options), settings), settings.validation
    if not held_out:
        return task
    if settings.eval_tasks:
        raise InputError(
            f"validation={held_out} evaluates on training problems of {settings.task}; leave eval_tasks out"
        )
    left = len(task.train) - held_out
    if left < settings.prompts_per_update:
        raise InputError(
            f"validation or search.problems={held_out} leaves {max(left, 0)} of {len(task.train)} problems of task "
            f"{settings.task} to train on, but an update asks {settings.prompts_per_update}; lower it"
        )
    return replace(task, train=task.train[:left], test=task.train[left:])


def _with_fewer_problems(task: Task, settings: Settings) -> Task:
    """The task with as many training problems as the settings want; an InputError where it has fewer."""
    wanted, held = settings.train_problems, len(task.train)
    if not wanted:
        return task
    if not settings.prompts_per_update <= wanted <= held:
        raise InputError(
            f"train_problems={wanted}: expected {settings.prompts_per_update}, what one update asks, to {held}, what "
            f"task {settings.task} has to train on"
        )
    return replace(task, train=[task.train[i] for i in chosen_problems(wanted, held)])
