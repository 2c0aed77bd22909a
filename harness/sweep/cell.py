"""One cell from its configuration to its result, in a folder of its own. Runs in a process of its own."""

from __future__ import annotations

import dataclasses
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from .. import store
from ..config import Run
from ..evaluate.attempts import Attempt, attempts
from ..evaluate.passk import scores
from ..lag import Scene, make_plan
from ..lag.trace import read_trace
from ..learn.loop import Trainer, train
from ..learn.policy import Policy
from ..models import locate
from ..models.load import default_device, load_model, load_tokenizer
from ..noise import prompt_order
from ..prompts import prompt_form
from ..registry import OBJECTIVES
from ..rollout import Sampler
from ..rollout.mismatch import Bf16Sampler, Mismatch, make_mismatch
from ..rollout.text import Codec, stop_ids
from ..rollout.torch_sampler import NO_DISTURBANCE, TorchSampler
from ..types import NonFinite, Problem, Task
from ..verify import Verifier
from .beginnings import Beginnings, SharingSampler, initial_lengths
from .expand import task_of
from .integrity import seal
from .provenance import environment

LOCK_S = 30  # a killed suite's cells notice within this that they are orphans


@dataclasses.dataclass(frozen=True)
class Execution:
    """What changes how cells are carried out, and nothing that they measure."""

    command: str  # that makes them again
    workers: int  # cells at a time
    checkpoint_every_s: float


def run_cell(run: Run, folder: Path, how: Execution, on_update: Callable[[int], None]) -> None:
    """Train and evaluate; leaves a result, or the reason of the failure. Goes on where an interrupted one stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / store.LOCK, timeout=LOCK_S):
        if (folder / store.RESULT).exists():
            return
        (folder / store.FAILED).unlink(missing_ok=True)
        try:
            result = seal(work(run, folder, how, on_update), folder)
        except Exception as error:
            if store.is_unwritable(error):
                raise
            failed: dict[str, Any] = {"reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
            if isinstance(error, NonFinite):
                failed["non_finite_update"] = len(store.read_lines(folder / store.METRICS))
            store.write_json(folder / store.FAILED, failed)
        else:
            store.write_json(folder / store.RESULT, result)
            (folder / store.CHECKPOINT).unlink(missing_ok=True)


def work(run: Run, folder: Path, how: Execution, on_update: Callable[[int], None]) -> dict[str, Any]:
    """Train to the end, evaluate, and return what `result.json` holds."""
    task = task_of(run)
    with Verifier(task) as verifier:
        trainer = assemble_trainer(run, task, verifier, Beginnings.of(run, folder.parent / store.BEGINNINGS))
        store.write_json(folder / store.ENVIRONMENT, environment(how.command))
        store.write_json(folder / store.PLAN, trainer.plan.to_json())
        if run.objective is not None:
            for row in train(trainer, OBJECTIVES.get(run.objective), folder, how.checkpoint_every_s):
                on_update(row["update"] + 1)
        graded = list(
            attempts(
                task.test[: run.eval_problems],
                run.eval_samples,
                run.prompts_per_update * run.responses_per_prompt,
                trainer.evaluator,
                trainer.codec,
                verifier,
            )
        )
    store.write_lines(folder / store.ATTEMPTS, (_line(problem, made) for problem, made in graded))
    save_model(trainer, folder)
    return summarize(trainer, folder, [made for _, made in graded])


def assemble_trainer(run: Run, task: Task, verifier: Verifier, beginnings: Beginnings | None = None) -> Trainer:
    """Model, samplers and plan of a run, at version 0; what the initial policy draws comes from `beginnings`."""
    folder = locate(run.model)
    model, tokenizer = load_model(folder, default_device()), load_tokenizer(folder)
    policy, codec = Policy(model, run), Codec(tokenizer, task, prompt_form(run.prompt))
    mismatch = make_mismatch(run.mismatch)

    def sampler(model: Any, mismatch: Mismatch = NO_DISTURBANCE) -> TorchSampler:
        ends = stop_ids(model, tokenizer)
        return TorchSampler(
            model, lambda: policy.version, ends, codec.pad_id, run.max_tokens, run.temperature, mismatch
        )

    evaluator = sampler(model)
    order = prompt_order(run.seed, run.updates, run.prompts_per_update, len(task.train))

    def lengths() -> np.ndarray:
        def measure() -> torch.Tensor:
            return torch.from_numpy(initial_lengths(run, task.train, order, evaluator, codec))

        return (beginnings(measure, "lengths", order.tolist(), run.seed) if beginnings else measure()).numpy()

    scene = Scene(run.updates, run.prompts_per_update, run.max_tokens, run.seed, lengths)
    training: Sampler = Bf16Sampler.of(model, sampler) if mismatch.bf16 else sampler(model, mismatch)
    if beginnings:
        training = SharingSampler(training, lambda: policy.version, beginnings)
    return Trainer(
        run=run,
        problems=task.train,
        order=order,
        plan=make_plan(run.lag, scene),
        policy=policy,
        sampler=training,
        evaluator=evaluator,
        codec=codec,
        verifier=verifier,
    )


def save_model(trainer: Trainer, folder: Path) -> None:
    """The final weights as a Hugging Face folder; a half-written one is never left behind under its name."""
    temporary, final = folder / f".{store.MODEL}", folder / store.MODEL
    for old in (temporary, final):
        shutil.rmtree(old, ignore_errors=True)
    trainer.policy.model.save_pretrained(temporary)
    trainer.codec.tokenizer.save_pretrained(temporary)
    temporary.rename(final)


def summarize(trainer: Trainer, folder: Path, graded: list[list[Attempt]]) -> dict[str, Any]:
    """Scores, cost, and digests that prove what was trained: planned and realized lag, final weights."""
    run, plan = trainer.run, trainer.plan
    metrics = store.read_lines(folder / store.METRICS)
    flat = [attempt for made in graded for attempt in made]
    correct = np.array([[attempt.verdict.correct for attempt in made] for made in graded])
    return {
        "id": run.id,
        "scores": {name: dataclasses.asdict(estimate) for name, estimate in scores(correct).items()},
        "eval_truncated_fraction": float(np.mean([not attempt.stopped for attempt in flat])),
        "eval_unparsed_fraction": float(np.mean([attempt.verdict.method == "unparsed" for attempt in flat])),
        "eval_timeouts": sum(attempt.verdict.method == "timeout" for attempt in flat),
        "planned_lag_digest": plan.digest,
        "realized_lag_digest": read_trace(folder / store.TRACE).digest if metrics else plan.digest,
        **realized_lag(metrics),
        "weights_digest": trainer.policy.digest(),
        "updates": len(metrics),
        "train_s": sum(row["generate_s"] + row["learn_s"] for row in metrics),
        "final_reward": metrics[-1]["reward"] if metrics else None,
    }


def realized_lag(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """Mean and largest lag of all tokens trained on, in updates; 0 where nothing was trained."""
    tokens = sum(row["response_tokens"] for row in metrics)
    mean = sum(row["lag_mean"] * row["response_tokens"] for row in metrics) / tokens if tokens else 0.0
    return {"lag_mean": mean, "lag_max": max((row["lag_max"] for row in metrics), default=0.0)}


def _line(problem: Problem, made: list[Attempt]) -> dict[str, Any]:
    return dataclasses.asdict(problem) | {"attempts": [dataclasses.asdict(attempt) for attempt in made]}
