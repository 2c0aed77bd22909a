"""From a suite to its cells, with everything checked that can be wrong about the input before any work is done."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ..config import Run, Settings, Suite, validated
from ..lag import LagPlan, Scene, make_plan, resolve
from ..learn.advantages import make_advantage
from ..learn.aggregate import make_aggregate
from ..models import locate
from ..models.load import context_length, load_tokenizer
from ..prompts import prompt_form
from ..registry import OBJECTIVES, Entry, did_you_mean, load_task
from ..rollout.mismatch import spelled
from ..rollout.text import Codec
from ..types import InputError, Task

PAPER = "paper"  # stands for what each objective's own paper uses


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


def conventions(suite: Settings, entry: Entry) -> dict[str, str]:
    """Advantage, aggregate and denominator of an objective: the suite's, or those of its paper where it says so."""
    papers = entry.conventions.names
    return {key: papers[key] if getattr(suite, key) == PAPER else getattr(suite, key) for key in papers}


def check(suite: Suite) -> Task:
    """The suite's task; an InputError for anything that would make a cell fail before its first update."""
    for name in suite.hyperparameters:
        if name not in suite.objectives:
            raise InputError(
                f"hyperparameters.{name}: the suite has no objective {name!r}{did_you_mean(name, suite.objectives)}"
            )
    for lag in suite.lags:
        planned(lag, suite, suite.seeds[0])
    for name in suite.objectives:
        around = conventions(suite, OBJECTIVES.get(name))
        make_advantage(around["advantage"])
        make_aggregate(around["aggregate"], suite.max_tokens)
    task = task_of(suite)
    if not task.train:
        raise InputError(f"task {suite.task}: no problems to train on")
    if suite.eval_problems > len(task.test):
        raise InputError(
            f"eval_problems={suite.eval_problems}, but task {suite.task} holds {len(task.test)} test problems; lower it"
        )
    folder = locate(suite.model)
    context = context_length(folder)
    room = None if context is None else context - suite.max_tokens
    Codec(load_tokenizer(folder), task, prompt_form(suite.prompt)).check(
        [*task.train, *task.test[: suite.eval_problems]], room
    )
    return task


def planned(lag: str, settings: Settings, seed: int) -> LagPlan:
    """The plan of a schedule, as far as it can be known without a model: with all lengths equal where it reads them."""
    size = (settings.updates, settings.prompts_per_update)
    return make_plan(lag, Scene(*size, settings.max_tokens, seed, lambda: np.ones(size)))


def task_of(settings: Settings) -> Task:
    """The task of a suite or a run, its data read."""
    options: dict[str, Any] = {} if settings.data is None else {"data": settings.data}
    return load_task(settings.task, options)
