"""The probe of a suite: its seeds in parallel processes, each resumable, then one table."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from .. import store
from ..config import Run, Suite, digest_of, identifying
from ..record import HARNESS
from ..rollout.vllm_engine import engine_packages
from ..sweep.code import code_of
from ..sweep.executor import warm_context
from ..sweep.expand import cells, check
from ..sweep.progress import progress_bar
from ..sweep.provenance import environment
from ..sweep.provenance import inputs as inputs_of
from ..types import InputError, NonFinite
from .fidelity import Probe, probe_seed, work_units


def run_probe(suite: Suite, history: str, probe: Probe, folder: Path | None, workers: int, command: str) -> Path:
    """Bring every seed of the probe to a file in `folder`, and return the folder."""
    if not probe.lags or max(probe.lags) > suite.updates or min(probe.lags) < 0:
        raise InputError(
            f"lags {list(probe.lags)} do not fit updates={suite.updates}: expected 0 to that, at least one"
        )
    if probe.batches < 1 or probe.fresh < 2:
        raise InputError(f"batches={probe.batches} and fresh={probe.fresh}: expected at least 1 and 2")
    objectives = tuple(dict.fromkeys((*suite.objectives, history)))
    suite = suite.model_copy(update={"lags": ("sync",), "objectives": objectives})
    inputs = inputs_of(suite.model, check(suite))
    runs = [run for run in cells(suite) if run.objective]
    settings = identifying(suite.model_dump(mode="json"))
    shared = {key: value for key, value in settings.items() if key != "seeds"}
    code = {what: digest for run in runs for what, digest in code_of(run).items() if what != HARNESS}
    settings = inputs | {"code": code, "history": history, "probe": dataclasses.asdict(probe), "suite": shared}
    folder = folder or Path("results") / "runs" / f"probe-{suite.name}-{digest_of(settings)[:8]}"
    _claim(folder, json.loads(json.dumps(settings)), environment(command, *engine_packages(suite.sampler)))
    todo = [seed for seed in suite.seeds if not (folder / store.seed_file(seed)).exists()]
    _run_seeds(todo, runs, history, probe, folder, workers)
    return folder


def _claim(folder: Path, settings: dict[str, Any], about: dict[str, Any]) -> None:
    held = store.read_json(folder / store.PROBE)
    if held is not None and held["settings"] != settings:
        raise InputError(f"{folder} holds a probe with other settings; use another --results folder")
    try:
        store.write_json(folder / store.PROBE, {"settings": settings, "environment": about})
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; use another --results folder") from None


def _run_seeds(seeds: list[int], runs: list[Run], history: str, probe: Probe, folder: Path, workers: int) -> None:
    if not seeds:
        return
    context = warm_context("lagbench.harness.probe.fidelity")
    counter = context.Value("L", 0)
    trained = {run.seed: run for run in runs if run.objective == history}
    console = Console(stderr=True)
    bar = progress_bar("batches", console)
    task = bar.add_task("batches", total=sum(work_units(trained[seed], probe) for seed in seeds))
    with bar, ProcessPoolExecutor(workers, context, initializer=_count_into, initargs=(counter,)) as pool:
        pending = {
            pool.submit(_one, trained[seed], [run for run in runs if run.seed == seed], probe, folder): seed
            for seed in seeds
        }
        while pending:
            done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(task, completed=counter.value)
            for future in done:
                seed = pending.pop(future)
                try:
                    future.result()
                except (NonFinite, BrokenProcessPool) as error:
                    raise InputError(f"seed {seed} of the probe came to no end: {error}") from error
                console.print(f"seed {seed} done, {len(pending)} to go", markup=False, highlight=False)


def _count_into(counter: Any) -> None:
    global _counter
    _counter = counter
    torch.set_num_threads(1)


_counter: Any = None  # of work done, shared between the processes of one probe


def _one(history: Run, runs: list[Run], probe: Probe, folder: Path) -> None:
    def advance() -> None:
        with _counter.get_lock():
            _counter.value += 1

    store.write_json(folder / store.seed_file(history.seed), probe_seed(history, runs, probe, advance))
