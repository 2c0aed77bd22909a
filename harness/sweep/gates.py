"""Proofs that cost a few updates, run once with every suite: lag 0 is synchronous training, and a cell repeats itself.

What can be read from the finished cells' files alone is checked by the report (report/gates.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import store
from ..config import Run
from ..lag import LagPlan
from ..learn.loop import Trainer, generate, learn, train
from ..registry import OBJECTIVES
from ..verify import Verifier
from .cell import assemble_trainer
from .executor import warm_context
from .expand import task_of

UPDATES = 3  # of each proof
TIMES = ("generate_s", "learn_s")  # what may differ between two runs of a cell


def prove(runs: list[Run], folder: Path) -> None:
    """Run the proofs in a process of their own and write their verdicts; `folder` holds the cells of `runs`."""
    trained = [run for run in runs if (folder / run.name / store.RESULT).exists() and run.updates]
    if not trained:
        return
    hardest = max(trained, key=lambda run: ("in_flight" in run.lag, run.lag not in ("sync", "constant:0")))
    with ProcessPoolExecutor(1, warm_context(__name__), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = [pool.submit(lag_0_parity, trained[0]), pool.submit(determinism, hardest, folder / hardest.name)]
        store.write_json(folder / store.GATES, [future.result() for future in found])


def lag_0_parity(run: Run) -> dict[str, Any]:
    """The training loop under a plan of lag 0 ends in the same bits as a plain synchronous loop without a plan."""
    run = run.model_copy(update={"lag": "sync", "updates": min(run.updates, UPDATES)})
    what = f"{run.updates} updates of {run.objective} at lag 0 and in a plain synchronous loop"

    def proof() -> str:
        digests = []
        for loop in (_planned, _plain):
            with Verifier(task := task_of(run)) as verifier, tempfile.TemporaryDirectory() as folder:
                trainer = assemble_trainer(run, task, verifier)
                loop(trainer, Path(folder))
                digests.append(trainer.policy.digest())
        return "" if digests[0] == digests[1] else f"weights {digests[0][:12]} and {digests[1][:12]}"

    return _verdict("lag-0 parity", f"{what} give the same weights, bit for bit", proof)


def determinism(run: Run, folder: Path) -> dict[str, Any]:
    """The first updates of a finished cell, carried out once more, measure what its folder has recorded."""
    updates = min(run.updates, UPDATES)

    def proof() -> str:
        recorded = store.read_lines(folder / store.METRICS)[:updates]
        with Verifier(task := task_of(run)) as verifier, tempfile.TemporaryDirectory() as scratch:
            trainer = assemble_trainer(run, task, verifier)
            plan = beginning(trainer.plan, updates)
            repeated = _planned(replace(trainer, run=run.model_copy(update={"updates": updates}), plan=plan), scratch)
        for update, (once, again) in enumerate(zip(recorded, repeated, strict=True)):
            wrong = [name for name in once if name not in TIMES and once[name] != again[name]]
            if wrong:
                return f"update {update}: {wrong[0]} was {once[wrong[0]]} and is {again[wrong[0]]}"
        return ""

    return _verdict("determinism", f"the first {updates} updates of {run.name}, repeated, measure the same", proof)


def beginning(plan: LagPlan, updates: int) -> LagPlan:
    """The first updates of a plan."""
    return LagPlan(plan.name, plan.source[:updates].copy(), plan.switches[plan.switches[:, 0] < updates].copy())


def _planned(trainer: Trainer, folder: Path | str) -> list[dict[str, Any]]:
    return list(train(trainer, OBJECTIVES.get(trainer.run.objective or ""), Path(folder)))


def _plain(trainer: Trainer, folder: Path) -> None:
    """Synchronous training as anybody would write it: draw, learn, and again. No plan, no inbox, nothing ahead."""
    for update in range(trainer.run.updates):
        rollouts = generate(trainer, update, np.arange(trainer.run.prompts_per_update))
        learn(trainer, OBJECTIVES.get(trainer.run.objective or ""), update, rollouts)


def _verdict(name: str, holds: str, proof: Callable[[], str]) -> dict[str, Any]:
    try:
        problem = proof()
    except Exception as error:  # whatever keeps the proof from its end is a gate that failed
        problem = f"{type(error).__name__}: {error}"
    return {"name": name, "passed": not problem, "detail": problem or holds}
