"""Proofs that cost a few updates, run once with every suite: lag 0 is synchronous training, and a cell repeats itself.

What can be read from the finished cells' files alone is checked by the report (report/gates.py).
"""

from __future__ import annotations

import dataclasses
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import store
from ..config import Run
from ..gate import DETERMINISM, PARITY, Gate
from ..lag import LagPlan
from ..learn.diagnostics import OF_ENGINES
from ..learn.loop import Trainer, generate, learn, train
from ..learn.shared import make_verifier
from ..record import HARNESS, read_record
from ..registry import OBJECTIVES
from ..types import InputError
from .cell import assemble_trainer
from .code import code_of
from .executor import warm_context
from .expand import task_of

UPDATES = 3  # of each proof
ASIDE = {"generate_s", "learn_s", *OF_ENGINES}  # of an update, what is no part of what it trained
Rows = list[dict[str, Any]]  # what the updates measured
Proof = Callable[[], list[Gate]]


def in_a_process(proofs: Sequence[Proof]) -> list[Gate]:
    """The gates of proofs that are run in a process of their own."""
    try:
        with ProcessPoolExecutor(1, warm_context(__name__), initializer=_begin) as pool:
            return [gate for future in [pool.submit(proof) for proof in proofs] for gate in future.result()]
    except BrokenProcessPool as error:
        return [Gate(name, None, f"its process ended early: {error}") for name in (PARITY, DETERMINISM)]


def prove(
    runs: list[Run],
    folder: Path,
    say: Callable[[str], object],
    carry_out: Callable[[Sequence[Proof]], list[Gate]] = in_a_process,
) -> None:
    """Run the proofs and write their gates; `folder` holds the cells of `runs`.

    Nothing is done where the cells that they are about are those of the last time, and all code is. A cell that other
    code has made, and that was kept, cannot be repeated.
    """
    record = read_record(folder)
    kept = record.kept if record else ()
    trained = [
        run for run in runs if (folder / run.name / store.RESULT).exists() and run.updates and run.name not in kept
    ]
    if not trained:
        (folder / store.GATES).unlink(missing_ok=True)
        return
    hardest = max(trained, key=lambda run: ("in_flight" in run.lag, run.lag not in ("sync", "constant:0")))
    cells = {run.name: store.read_json(folder / run.name / store.RESULT)["digest"] for run in (trained[0], hardest)}
    code = code_of(trained[0]) | code_of(hardest)
    if _proven(folder / store.GATES, cells, code):
        return
    say(f"proving {PARITY} and {DETERMINISM}")
    proofs = partial(both, trained[0], hardest, (folder / hardest.name).resolve())
    processes = trained[0].learner_processes
    gates = carry_out([proofs if processes == 1 else partial(by_processes, processes, proofs)])
    held = {"cells": cells, "code": code, "gates": [dataclasses.asdict(gate) for gate in gates]}
    store.write_json(folder / store.GATES, held)


def both(run: Run, hardest: Run, folder: Path) -> list[Gate]:
    """The gates of both proofs, one of them about the cell of `hardest` in `folder`."""
    return [lag_0_parity(run), determinism(hardest, folder)]


def by_processes(processes: int, proofs: Proof) -> list[Gate]:
    """The gates of proofs that several processes carry out together, as they did the cells."""
    from .torchrun import Ended, launch

    try:
        return launch(processes, partial(_in_each, proofs))
    except Ended as error:
        return [Gate(name, None, f"its processes ended early: {error}") for name in (PARITY, DETERMINISM)]


def _in_each(proofs: Proof, tell: Callable[[Any], None]) -> list[Gate]:
    return proofs()


def _proven(path: Path, cells: Mapping[str, str], code: Mapping[str, str]) -> bool:
    """Whether the file holds the passed proofs of these cells by this code."""
    try:
        held = store.read_json(path)
        return (
            held is not None
            and held["cells"] == cells
            and held.get("code") == code
            and all(gate["passed"] or not gate.get("promised", True) for gate in held["gates"])
        )
    except (InputError, KeyError, TypeError):
        return False  # damaged: proven again


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    torch.set_num_threads(1)


def lag_0_parity(run: Run) -> Gate:
    """The training loop under a plan of lag 0 does, bit for bit, what a plain synchronous loop without a plan does."""
    run = run.model_copy(update={"lag": "sync", "updates": min(run.updates, UPDATES)})

    def proof() -> str:
        made: list[tuple[str, Rows]] = []
        for loop in (_planned, _plain):
            with make_verifier(task := task_of(run)) as verifier, tempfile.TemporaryDirectory() as folder:
                trainer = assemble_trainer(run, task, verifier)
                rows = loop(trainer, Path(folder))
                made.append((trainer.policy.digest(), rows))
        (weights, rows), (plain_weights, plain_rows) = made
        same = weights == plain_weights
        return _difference(rows, plain_rows) or ("" if same else f"weights {weights[:12]} and {plain_weights[:12]}")

    what = f"{run.updates} updates of {run.objective} at lag 0 and in a plain synchronous loop"
    return _gate(PARITY, run, f"{what} measure the same and give the same weights, bit for bit", proof)


def determinism(run: Run, folder: Path) -> Gate:
    """The first updates of a finished cell, carried out once more, measure what its folder has recorded."""
    updates = min(run.updates, UPDATES)

    def proof() -> str:
        recorded = store.read_lines(folder / store.METRICS)[:updates]
        with make_verifier(task := task_of(run)) as verifier, tempfile.TemporaryDirectory() as scratch:
            trainer = assemble_trainer(run, task, verifier)
            plan = beginning(trainer.plan, updates)
            shorter = replace(trainer, run=run.model_copy(update={"updates": updates}), plan=plan)
            problem = _difference(recorded, _planned(shorter, Path(scratch)))
            return problem and problem + _since(run, folder)

    return _gate(DETERMINISM, run, f"the first {updates} updates of {run.name}, repeated, measure the same", proof)


def _since(run: Run, folder: Path) -> str:
    """What follows where LagBench's own code has changed since a cell was made."""
    made = (store.read_json(folder / store.RUN) or {}).get("code", {}).get(HARNESS)
    if made in (None, code_of(run)[HARNESS]):
        return ""
    return "; LagBench's own code has changed since: delete the cells that it made, the same command makes them again"


def beginning(plan: LagPlan, updates: int) -> LagPlan:
    """The first updates of a plan."""
    return LagPlan(plan.name, plan.source[:updates].copy(), plan.switches[plan.switches[:, 0] < updates].copy())


def _planned(trainer: Trainer, folder: Path) -> Rows:
    return list(train(trainer, OBJECTIVES.get(trainer.run.objective or ""), folder))


def _plain(trainer: Trainer, folder: Path) -> Rows:
    """Synchronous training as anybody would write it: draw, learn, and again. No plan, no inbox, nothing ahead."""
    objective, groups = OBJECTIVES.get(trainer.run.objective or ""), np.arange(trainer.run.prompts_per_update)
    return [
        learn(trainer, objective, update, generate(trainer, update, groups)) for update in range(trainer.run.updates)
    ]


def _difference(rows: Rows, others: Rows) -> str:
    """The first measurement that differs, but for the times; nothing where all are equal."""
    for update, (row, other) in enumerate(zip(rows, others, strict=True)):
        for name in (row.keys() | other.keys()) - ASIDE:
            if row.get(name) != other.get(name):
                return f"update {update}: {name} is {row.get(name)} and {other.get(name)}"
    return ""


def _gate(name: str, run: Run, holds: str, proof: Callable[[], str]) -> Gate:
    try:
        problem = proof()
    except Exception as error:  # whatever keeps a proof from its end is a gate that failed, but for a full disk
        return Gate(name, None if store.is_unwritable(error) else False, f"{type(error).__name__}: {error}")
    if problem and run.sampler != "torch":
        return Gate(name, None, f"sampler={run.sampler} may round differently each time, and did: {problem}", False)
    return Gate(name, not problem, problem or holds)
