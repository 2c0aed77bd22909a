"""What the YAML files beside it have in common. lm-eval loads this file by its path.

What `--metadata samples=16 data=FOLDER prompt=boxed` may say:

| key | what it sets | default |
|---|---|---|
| samples | responses to each problem; pass@k is reported for k up to that | 8 |
| data | where the task's problems are: a folder, a file or a hub id | the task's own |
| prompt | what stands around a question: plain, question, boxed or chat (that one with --apply_chat_template) | plain |
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import numpy as np
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from lagbench.harness.config import MOST_SAMPLES
from lagbench.harness.evaluate.majority import maj_at_k
from lagbench.harness.evaluate.metrics import powers_of_two
from lagbench.harness.evaluate.passk import pass_at_k
from lagbench.harness.prompts import PromptForm, prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.types import InputError, Task
from lagbench.harness.verify import Verifier

SAMPLING = {
    "do_sample": True,  # said outright: else --use_cache hands the same response to every sample of a problem
    "temperature": 1.0,
    "top_p": 1.0,  # this and the next two: else those of the backend or of the model's generation_config.json apply
    "top_k": 0,
    "repetition_penalty": 1.0,
}
UNDECIDED = ("unparsed", "timeout")  # no answer found in a response; no verdict on it in time

_open = ExitStack()
atexit.register(_open.close)


class SampledTask(ConfigurableTask):
    """Problems of a LagBench task with several sampled responses each, scored by its verifier."""

    def __init__(self, config: Mapping[str, Any]):
        self.form = prompt_form(config["metadata"].get("prompt", "plain"))
        self.origin, _ = opened(source(config))
        if not self.origin.test:
            raise InputError(f"{source(config)}: no problem is held out there; add some to its test split")
        super().__init__(config=completed(config, self.form, self.origin))

    @property
    def task_name(self) -> str:
        """Its name; lm-eval's own property draws a random number on the way, which would disturb a caller's."""
        return self.config.task

    def download(self, dataset_kwargs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Take the problems from LagBench; lm-eval calls this once."""
        self.dataset = {"test": Dataset.from_list(docs(self.origin, source(self.config), self.form))}

    def build_all_requests(self, *, apply_chat_template: bool = False, **options: Any) -> None:
        """Build them afresh: a cache of requests would go on to ask about problems that have been edited since."""
        if apply_chat_template != self.form.chat:
            needed = "needs" if self.form.chat else "must be without"
            raise InputError(f"{self.config.task}: prompt={self.form.name} {needed} --apply_chat_template")
        super().build_all_requests(apply_chat_template=apply_chat_template, **{**options, "cache_requests": False})


def completed(config: Mapping[str, Any], form: PromptForm, task: Task) -> dict[str, Any]:
    """`config` with the number of samples, metrics that fit it, sampling and the stop strings of the prompt's form."""
    samples = config["metadata"].get("samples", config["repeats"])
    if not isinstance(samples, int) or not 1 <= samples <= MOST_SAMPLES:
        raise InputError(f"samples={samples!r} is not valid: expected a whole number from 1 to {MOST_SAMPLES}")
    stops = list(form.stops(task))  # stated even if empty: else lm-eval stops at a blank line
    return {
        **{key: value for key, value in config.items() if key != "class"},
        "metadata": {**config["metadata"], "samples": samples, "prompt": form.name},
        "repeats": samples,
        "generation_kwargs": SAMPLING | {"until": stops} | config.get("generation_kwargs", {}),
        "metric_list": [
            *(
                {"metric": name, "aggregation": "mean", "higher_is_better": name not in UNDECIDED}
                for name in measures([False] * samples, [-1] * samples, ["unparsed"] * samples)
            ),
            {"metric": "correct", "aggregation": total, "higher_is_better": True},
        ],
    }


def source(config: Mapping[str, Any]) -> str:
    """The task as LagBench writes it: NAME, or NAME:DATA."""
    data = config["metadata"].get("data")
    return config["dataset_name"] if data is None else f"{config['dataset_name']}:{data}"


@cache
def opened(name: str) -> tuple[Task, Verifier]:
    """The task called `name` with its verifier, which stays open until the process ends."""
    task = load_task(name, {})
    return task, _open.enter_context(Verifier(task))


def docs(task: Task, name: str, form: PromptForm) -> list[dict[str, Any]]:
    """The test problems as lm-eval's documents; `index` is the position in the task, whichever of them are asked."""
    return [
        {
            "id": problem.id,
            "index": index,
            "source": name,
            "prompt": form.text(task, problem.question),
            "answer": problem.answer,
            "level": problem.level,
            "subject": problem.subject,
        }
        for index, problem in enumerate(task.test)
    ]


def process_results(doc: Mapping[str, Any], results: Sequence[Sequence[str]]) -> dict[str, Any]:
    """All measures of one problem from its responses, and `correct`: which of those are right."""
    (responses,) = results
    if isinstance(responses, str):
        raise InputError("one response instead of all of them: expected a filter that keeps them, as `filter: []` does")
    task, verifier = opened(doc["source"])
    verdicts = verifier.grade([task.test[doc["index"]]] * len(responses), responses)
    (clusters,) = verifier.clusters([[verdict.answer for verdict in verdicts]])
    correct = [verdict.correct for verdict in verdicts]
    return measures(correct, clusters, [verdict.method for verdict in verdicts]) | {"correct": correct}


def measures(correct: Sequence[bool], clusters: Sequence[int], methods: Sequence[str]) -> dict[str, float]:
    """pass@k and maj@k of n responses for k = 1, 2, 4, ... up to n (maj@1 is pass@1), and the shares left undecided."""
    right, classes = np.array([correct]), np.array([clusters])  # [1, n]
    ks = powers_of_two(right)
    return {
        **{f"pass@{k}": float(pass_at_k(right, k)[0]) for k in ks},
        **{f"maj@{k}": float(maj_at_k(right, classes, k)[0]) for k in ks[1:]},
        **{method: methods.count(method) / len(methods) for method in UNDECIDED},
    }


def total(rows: Sequence[Sequence[bool]]) -> int:
    """Right responses to all problems."""
    return sum(map(sum, rows))
