"""One cell from its configuration to its result, in a folder of its own. Runs in a process of its own."""

from __future__ import annotations

import dataclasses
import shutil
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from .. import store
from ..checksums import seal
from ..config import Run
from ..evaluate.attempts import Exam, attempts, line
from ..evaluate.summary import by_exam, summarize
from ..lag import Scene, make_plan
from ..lag.trace import read_trace
from ..learn.agreement import BF16, ROUNDING, Agreement
from ..learn.loop import Trainer, train
from ..learn.policy import Policy
from ..learn.shared import make_verifier, shared
from ..learn.world import World
from ..models import locate
from ..models.load import default_device, load_model, load_tokenizer
from ..noise import prompt_order
from ..prompts import prompt_form
from ..record import changed_code
from ..registry import OBJECTIVES
from ..rollout import Sampler
from ..rollout.mismatch import Bf16Sampler, Mismatch, make_mismatch
from ..rollout.text import Codec, stop_ids
from ..rollout.torch_sampler import NO_DISTURBANCE, TorchSampler
from ..rollout.vllm_engine import engine_packages, shared_engine
from ..rollout.vllm_sampler import FollowingSampler, VllmSampler
from ..track import NO_TRACKER, Tracker, open_tracker
from ..types import InputError, NonFinite, Task
from ..verify import Verifier
from .beginnings import Beginnings, SharingSampler, initial_lengths
from .code import distributions, named_code
from .expand import exam_tasks, task_of
from .provenance import environment

LOCK_S = 30  # a killed suite's cells notice within this that they are orphans


@dataclasses.dataclass(frozen=True)
class Execution:
    """What changes how cells are carried out, and nothing that they measure."""

    command: str  # that makes them again
    workers: int  # cells at a time; 0, on a cluster alone: as many as it has room for
    checkpoint_every_s: float
    tracker: str | None = None  # one of track.WRITERS
    executor: str = "local"  # as Suite.executor
    address: str | None = None  # as Suite.address
    keep_stale: bool = False  # finished cells that other code has made are kept


def run_cell(run: Run, folder: Path, how: Execution, on_update: Callable[[int], None]) -> None:
    """Train and evaluate; leaves a result, or the reason of the failure. Goes on where an interrupted one stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / store.LOCK, timeout=LOCK_S):
        if (folder / store.RESULT).exists():
            return
        (folder / store.FAILED).unlink(missing_ok=True)
        tracker, result = open_tracker(how.tracker, run, folder), None
        try:
            result = seal(work(run, folder, how, on_update, tracker), folder)
        except Exception as error:
            if store.is_unwritable(error):
                raise
            write_failure(error, folder)
        else:
            store.write_json(folder / store.RESULT, result)
            (folder / store.CHECKPOINT).unlink(missing_ok=True)
        finally:
            tracker.close(result)


def write_failure(error: BaseException, folder: Path) -> None:
    """Why a cell has failed, for its folder; with the traceback of the exception that is being handled."""
    failed: dict[str, Any] = {"reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    if isinstance(error, NonFinite):
        failed["non_finite_update"] = len(store.read_lines(folder / store.METRICS))
    store.write_json(folder / store.FAILED, failed)


def work(
    run: Run, folder: Path, how: Execution, on_update: Callable[[int], None], tracker: Tracker = NO_TRACKER
) -> dict[str, Any]:
    """Train to the end, evaluate, and return what `result.json` holds."""
    require_same_code(run, folder)
    task = task_of(run)
    with ExitStack() as held:
        verifier = held.enter_context(make_verifier(task))
        trainer = assemble_trainer(run, task, verifier, Beginnings.of(run, folder.parent / store.BEGINNINGS))
        exams = [assemble_exam(trainer, name, its, held) for name, its in exam_tasks(run, task).items()]
        evaluate = partial(examine, exams, run, folder)
        packages = (*engine_packages(run.sampler), *distributions(run))
        store.write_json(folder / store.ENVIRONMENT, environment(how.command, *packages))
        store.write_json(folder / store.PLAN, trainer.plan.to_json())
        if run.objective is not None:
            for row in train(trainer, OBJECTIVES.get(run.objective), folder, how.checkpoint_every_s, evaluate):
                tracker.log(row["update"], row)
                on_update(row["update"] + 1)
        evaluate(run.updates)
    save_model(trainer, folder)
    return summary(trainer, folder)


def require_same_code(run: Run, folder: Path) -> None:
    """An InputError where the command that claimed the folder knew other code than this process does."""
    recorded = (store.read_json(folder / store.RUN) or {}).get("code")
    if recorded and (changed := changed_code(recorded, named_code(run))):
        raise InputError(
            f"{' and '.join(changed)}: other code than when the command began; it was edited since, or this machine "
            "has another version of it: give the same command again"
        )


def assemble_trainer(run: Run, task: Task, verifier: Verifier, beginnings: Beginnings | None = None) -> Trainer:
    """Model, sampler and plan of a run, at version 0; what the initial policy draws comes from `beginnings`."""
    folder = locate(run.model)
    model, tokenizer = load_model(folder, default_device()), load_tokenizer(folder)
    policy, codec = Policy(model, run, World.current()), Codec(tokenizer, task, prompt_form(run.prompt))
    mismatch = make_mismatch(run.mismatch)
    order = prompt_order(run.seed, run.updates, run.prompts_per_update, len(task.train))

    def lengths() -> np.ndarray:
        def measure() -> torch.Tensor:
            return torch.from_numpy(initial_lengths(run, task.train, order, make_sampler(policy, codec), codec))

        def find() -> torch.Tensor:
            return beginnings(measure, "lengths", order.tolist(), run.seed) if beginnings else measure()

        return policy.world.from_first(find).numpy()

    scene = Scene(run.updates, run.prompts_per_update, run.max_tokens, run.seed, lengths)
    training: Sampler
    if mismatch.bf16 and run.sampler == "torch":
        training = Bf16Sampler.of(model, lambda rounded: make_sampler(policy, codec, model=rounded))
    else:
        training = make_sampler(policy, codec, mismatch)
    if beginnings:
        training = SharingSampler(training, lambda: policy.version, beginnings)
    return Trainer(
        run=run,
        problems=task.train,
        order=order,
        plan=make_plan(run.lag, scene),
        policy=policy,
        sampler=shared(training, policy.world),
        codec=codec,
        verifier=verifier,
        agreement=None if run.sampler == "torch" else agreement(policy, codec, mismatch),
    )


def agreement(policy: Policy, codec: Codec, mismatch: Mismatch) -> Agreement:
    """The comparison of an engine's log-probabilities with the policy's; without a bound under top_p."""
    bound = BF16 if mismatch.bf16 or policy.device.type == "cuda" else ROUNDING
    temperature = mismatch.temperature or policy.run.temperature
    return Agreement(policy, codec.pad_id, temperature, bound if mismatch.top_p == 1.0 else None)


def make_sampler(policy: Policy, codec: Codec, mismatch: Mismatch = NO_DISTURBANCE, model: Any = None) -> Sampler:
    """Draws responses from the policy, or from a copy of its model, under the settings of its run.

    A cell has one engine, of the precision that it trains with; what is not to be disturbed by that is drawn by torch.
    """
    run = policy.run
    if run.sampler == "vllm" and mismatch.bf16 == make_mismatch(run.mismatch).bf16:
        return make_vllm_sampler(policy, codec, mismatch)
    model = policy.model if model is None else model
    return TorchSampler(
        model=model,
        version=lambda: policy.version,
        stop_ids=stop_ids(model, codec.tokenizer),
        pad_id=codec.pad_id,
        max_tokens=run.max_tokens,
        temperature=run.temperature,
        mismatch=mismatch,
        stops=codec.stops,
    )


def make_vllm_sampler(policy: Policy, codec: Codec, mismatch: Mismatch) -> FollowingSampler:
    """Draws with the one engine of this process, which gets the policy's weights whenever they have changed."""
    run = policy.run
    sampler = VllmSampler(
        engine=shared_engine(locate(run.model), mismatch.bf16),
        stop_ids=stop_ids(policy.model, codec.tokenizer),
        max_tokens=run.max_tokens,
        temperature=run.temperature,
        mismatch=mismatch,
        stops=codec.stops,
    )
    return FollowingSampler(sampler, weakref.ref(policy), policy.weights, lambda: policy.version)


def assemble_exam(trainer: Trainer, name: str, task: Task, held: ExitStack) -> Exam:
    """The held-out problems of a task for the trainer's policy, never disturbed; `held` will close its verifier."""
    run, own = trainer.run, name == trainer.run.task
    codec = trainer.codec if own else Codec(trainer.codec.tokenizer, task, trainer.codec.form)
    verifier = trainer.verifier if own else held.enter_context(make_verifier(task))
    sampler = shared(make_sampler(trainer.policy, codec), trainer.policy.world)
    return Exam(name, task.test[: run.eval_problems], sampler, codec, verifier)


def examine(exams: Sequence[Exam], run: Run, folder: Path, version: int) -> None:
    """Let the current policy sit all exams, if the run wants that of this version and it has not happened yet."""
    path = folder / store.attempts_file(version)
    if version not in (*run.eval_at, run.updates) or path.exists():
        return
    rows = run.prompts_per_update * run.responses_per_prompt
    made = (line(exam, *graded) for exam in exams for graded in attempts(exam, run.eval_samples, rows))
    store.write_lines(path, made)


def save_model(trainer: Trainer, folder: Path) -> None:
    """The final weights as a Hugging Face folder; a half-written one is never left behind under its name."""
    temporary, final = folder / f".{store.MODEL}", folder / store.MODEL
    for old in (temporary, final):
        shutil.rmtree(old, ignore_errors=True)
    trainer.policy.save(temporary)
    trainer.codec.tokenizer.save_pretrained(temporary)
    temporary.rename(final)


def summary(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Scores, cost, and digests that prove what was trained: planned and realized lag, final weights.

    `scores` are those of the final version on the first of the exams; `evaluations` holds all, by version.
    """
    run, plan = trainer.run, trainer.plan
    metrics = store.read_lines(folder / store.METRICS)
    evaluations = [
        {"version": version, "exam": exam} | summarize(lines)
        for version in sorted({*run.eval_at, run.updates})
        for exam, lines in by_exam(store.read_lines(folder / store.attempts_file(version))).items()
    ]
    final = next(found for found in evaluations if found["version"] == run.updates)
    return {
        "id": run.id,
        "scores": final["scores"],
        "evaluations": evaluations,
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
