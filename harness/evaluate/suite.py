"""A suite of tasks, run through lm-eval's `evaluate()` on LagBench's sampler; the results are lm-eval's own files.

Not through `simple_evaluate()`: that one seeds random, numpy and torch under whoever calls it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from lm_eval.api.metrics import mean, mean_stderr
from lm_eval.evaluator import evaluate
from lm_eval.loggers import EvaluationTracker

from .. import store
from ..config import LATER
from ..data import data_digest
from ..models import digest, locate
from ..models.load import context_length, default_device, end_of_sequence, load_model, load_tokenizer, numerics
from ..prompts import prompt_form
from ..rollout.stopping import StopStrings
from ..rollout.text import Codec, ends, stop_ids
from ..rollout.torch_sampler import TorchSampler
from ..rollout.vllm_engine import engine_packages, shared_engine
from ..rollout.vllm_sampler import VllmSampler
from ..types import InputError
from .lm_eval_model import SamplerLM, Sampling
from .lm_eval_names import FILTER
from .lm_eval_tasks import Evaluation, load_tasks
from .responses import ResponseFile, Responses

RESPONSES, SETTINGS = "responses.jsonl", "settings.json"
Results = dict[str, Any]  # as lm-eval makes them


def run_evaluation(
    asked: Evaluation, folder: Path, rows: int, about: Mapping[str, Any], on_known: Callable[[int, int], object]
) -> Results:
    """lm-eval's results, written into `folder`. Responses that are there already are not drawn again.

    `rows` are the responses drawn at a time, `about` is recorded, and `on_known` is told how many responses there are,
    and of how many.
    """
    tasks = load_tasks(asked)
    with _alone_in(folder):
        lm = make_lm(asked, list(tasks["tasks"].values()), ResponseFile(folder / RESPONSES), rows, on_known)
        digests = {name: data_digest(task.origin) for name, task in tasks["tasks"].items()}
        settings = {**asdict(asked), "model_digest": lm.policy, "data_digest": digests}
        claim(folder, settings, bool(lm.file.found))
        results: Results = evaluate(lm, tasks, limit=asked.limit, apply_chat_template=lm.codec.form.chat)
    for name, drawn in lm.answers.items():
        results["results"][name] |= measures_of(drawn)
    results["config"] = {"model": "lagbench", "model_args": {"pretrained": asked.model}, **asdict(asked), **about}
    results |= {"date": time.time(), "lm_eval_version": version("lm_eval"), "model_digest": lm.policy}
    write(results, asked.model, folder)
    return results


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / store.LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another evaluation is writing there; wait for it or give --out") from None
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}; give --out another folder") from None
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, settings: Mapping[str, Any], drawn: bool) -> None:
    """Record what a folder is for; once something is `drawn` there, other settings are an InputError."""
    wanted = json.loads(json.dumps(settings))
    held = store.read_json(folder / SETTINGS)
    changed = [key for key in wanted if held is not None and held.get(key, LATER.get(key)) != wanted[key]]
    if drawn and changed:
        raise InputError(
            f"{folder} holds an evaluation with other settings ({', '.join(changed)}); give --out another folder"
        )
    store.write_json(folder / SETTINGS, wanted)


def make_lm(
    asked: Evaluation, tasks: Sequence[Any], file: ResponseFile, rows: int, on_known: Callable[[int, int], object]
) -> SamplerLM:
    """The model behind lm-eval's interface; an InputError where its tokenizer cannot spell the tasks' prompts."""
    folder = locate(asked.model)
    tokenizer, form = load_tokenizer(folder), prompt_form(asked.prompt)
    codecs = [Codec(tokenizer, task.origin, form) for task in tasks]
    for codec in codecs:
        codec.check(codec.task.test[: asked.limit], None)
    context, device = context_length(folder), default_device()
    if asked.sampler == "vllm":
        drawn_by = " ".join([*(f"{name} {version(name)}" for name in engine_packages("vllm")), numerics(device)])
        draw = vllm_samplers(folder, tokenizer)
        return SamplerLM(draw, digest(folder), drawn_by, codecs[0], context, rows, file, on_known)
    model = load_model(folder, device)

    def make_sampler(sampling: Sampling) -> TorchSampler:
        return TorchSampler(
            model=model,
            version=lambda: 0,
            stop_ids=stop_ids(model, tokenizer),
            pad_id=codecs[0].pad_id,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            stops=StopStrings(sampling.stops, tokenizer),
        )

    return SamplerLM(make_sampler, digest(folder), numerics(device), codecs[0], context, rows, file, on_known)


def vllm_samplers(folder: Path, tokenizer: Any) -> Callable[[Sampling], VllmSampler]:
    """Samplers of one engine, which holds the model in `folder`; nothing else loads it."""
    engine, stop_ids = shared_engine(folder, bf16=False), ends(end_of_sequence(folder), tokenizer)

    def make_sampler(sampling: Sampling) -> VllmSampler:
        stops = StopStrings(sampling.stops, tokenizer)
        return VllmSampler(engine, stop_ids, sampling.max_tokens, sampling.temperature, stops=stops)

    return make_sampler


def measures_of(drawn: Sequence[Responses]) -> dict[str, float]:
    """What only the sampler knows, over all problems of a task: share of truncated responses, and their length."""
    values = {
        "truncated": [1 - np.mean(found.stopped) for found in drawn],
        "tokens": [np.mean(found.tokens) for found in drawn],
    }
    means = {f"{name},{FILTER}": float(mean(each)) for name, each in values.items()}
    errors = {f"{name}_stderr,{FILTER}": float(mean_stderr(each)) for name, each in values.items() if len(each) > 1}
    return means | errors


def write(results: Results, model: str, folder: Path) -> None:
    """lm-eval's results_*.json and one samples_*.jsonl for each task; `results` are left without the samples."""
    samples = results.pop("samples")
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args("lagbench", {"pretrained": model}, None, None, False)
    tracker.save_results_aggregated(results, samples)
    for name, lines in samples.items():
        tracker.save_results_samples(name, lines)
    if len(list(folder.rglob(f"*_{tracker.date_id}.json*"))) != 1 + len(samples):  # lm-eval only logs why
        raise InputError(
            f"{folder}: not all result files could be written there; make room or give --out another folder"
        )
