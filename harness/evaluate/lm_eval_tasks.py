"""What `lagbench eval` was asked for, and lm-eval's tasks and groups that it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lm_eval.api.metrics import mean
from lm_eval.config.group import AggMetricConfig
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from ..registry import TASKS, did_you_mean
from ..types import InputError
from .lm_eval_names import PREFIX, SHARED, TASK_FILES


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated, and how."""

    model: str
    suite: tuple[str, ...]  # tasks and groups, NAME or NAME:DATA
    samples: int
    prompt: str
    max_tokens: int | None  # None: each task's own
    temperature: float
    limit: int | None  # problems of each task; None: all
    sampler: str = "torch"  # or vllm

    @property
    def generation(self) -> dict[str, Any]:
        """What replaces the tasks' own settings, as `lm_eval --gen_kwargs` would."""
        return {"temperature": self.temperature} | ({"max_gen_toks": self.max_tokens} if self.max_tokens else {})


def load_tasks(asked: Evaluation) -> dict[str, dict[str, Any]]:
    """lm-eval's tasks and groups of the suite, set up as asked."""
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for text in asked.suite:
        loaded = _load(text, asked)
        if twice := set(loaded["tasks"]) & set(tasks):
            raise InputError(f"suite={','.join(asked.suite)}: {min(twice)} is in it twice; leave one out")
        tasks |= loaded["tasks"]
        groups |= loaded["groups"]
    for task in tasks.values():
        task.set_config("generation_kwargs", asked.generation, update=True)
        means = [name for name, aggregate in task.aggregation().items() if aggregate is mean]
    for group in groups.values():
        group.aggregate_metric_list = [AggMetricConfig(name, weight_by_size=False) for name in means]
    return {"tasks": tasks, "groups": groups}


def _load(text: str, asked: Evaluation) -> dict[str, dict[str, Any]]:
    """lm-eval's tasks and groups behind NAME or NAME:DATA; a registered task without a file gets one in memory."""
    name, colon, data = text.partition(":")
    about = {"samples": asked.samples, "prompt": asked.prompt} | ({"data": data} if colon else {})
    manager = TaskManager(include_path=str(TASK_FILES), include_defaults=False, metadata=about)
    if PREFIX + name in manager.all_tasks:
        return manager.load(PREFIX + name)
    names = {*TASKS.all(), *(task.removeprefix(PREFIX) for task in manager.all_tasks)}
    if name not in names:
        raise InputError(f"suite={text}: no such task{did_you_mean(name, names)}; expected {', '.join(sorted(names))}")
    return manager.load(load_yaml(SHARED) | {"task": PREFIX + name, "dataset_name": name})
