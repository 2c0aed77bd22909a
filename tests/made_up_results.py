"""Results folders with scores that were made up: every file that a report reads, written as a run writes it."""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lagbench.harness import store
from lagbench.harness.checksums import seal, write_manifest
from lagbench.harness.config import Run, Suite, digest_of, load_suite
from lagbench.harness.gate import DETERMINISM, PARITY, Gate
from lagbench.harness.lag import trace
from lagbench.harness.statistics.intervals import score_interval
from lagbench.harness.sweep.cell import Execution
from lagbench.harness.sweep.claim import claim
from lagbench.harness.sweep.expand import cells, planned

Score = Callable[[Run], float | str | None]  # pass@1; the reason of a failure; None of a cell that has not finished
INPUTS = {
    "model_digest": "0" * 64,
    "data_digest": {"chain": "1" * 64},
    "data_rows": {"chain": {"train": 3488, "test": 512}},
}
HOW = Execution("lagbench run quick", workers=1, checkpoint_every_s=15.0)
NON_FINITE = "NonFinite: update 3"
SAMPLES = 8


def made_up(folder: Path, score: Score, overrides: Sequence[str] = (), manifest: bool = True) -> Suite:
    """The results of suite `quick` under overrides, as if `score` had been measured; 20 problems x 8 samples."""
    suite = load_suite("quick", ["updates=12", "prompts_per_update=4", *overrides])
    runs = cells(suite)
    claim(suite, runs, INPUTS, folder, HOW)
    gates = [dataclasses.asdict(Gate(name, True, "made up")) for name in (PARITY, DETERMINISM)]
    store.write_json(folder / store.GATES, {"cells": {}, "gates": gates})
    for run in runs:
        write_cell(run, folder / run.name, score(run))
    if manifest:
        write_manifest(folder)
    return suite


def write_cell(run: Run, folder: Path, score: float | str | None) -> None:
    if score is None:
        return
    store.write_json(folder / store.ENVIRONMENT, {"command": "lagbench run quick", "packages": {}, "processor": "none"})
    if isinstance(score, str):
        failed: dict[str, Any] = {"reason": score, "traceback": ""}
        store.write_json(folder / store.FAILED, failed | ({"non_finite_update": 3} if score == NON_FINITE else {}))
        return
    plan = planned(run.lag, run, run.seed)
    tokens = np.arange(run.updates)[:, None] - plan.source if run.objective else np.zeros((0, 1))
    rows = [
        measured(run, update, float(tokens[update].mean())) for update in range(run.updates if run.objective else 0)
    ]
    store.write_json(folder / store.PLAN, plan.to_json())
    if run.objective:
        store.write_lines(folder / store.TRACE, trace.lines(plan))
        store.write_lines(folder / store.METRICS, rows)
    store.write_lines(folder / store.attempts_file(run.updates), [attempted(i, score) for i in range(20)])
    scores = {
        "pass@1": dataclasses.asdict(score_interval(np.full(20, score))),
        "pass@2": dataclasses.asdict(score_interval(np.full(20, score))),  # all attempts at a problem end alike
        f"pass@{SAMPLES}": dataclasses.asdict(score_interval(np.full(20, min(1.0, 2 * score)))),
    }
    evaluation = {"version": run.updates, "exam": "chain", "problems": 20, "samples": SAMPLES, "scores": scores}
    result = {
        "scores": scores,
        "evaluations": [evaluation],
        "planned_lag_digest": plan.digest,
        "lag_mean": float(tokens.mean()) if tokens.size else 0.0,
        "lag_max": float(tokens.max(initial=0)),
        "weights_digest": digest_of([run.id, score]),
    }
    store.write_json(folder / store.RESULT, seal(result, folder))


def measured(run: Run, update: int, lag: float) -> dict[str, Any]:
    """One update's line; no measurement collapses."""
    noise = np.random.default_rng(zlib.crc32(f"{run.name} {update}".encode())).normal(0, 0.01)
    nll = 0.45 + noise
    return {
        "update": update, "reward": 0.3 + 0.1 * update / run.updates + noise, "response_tokens": 8.0,
        "truncated_fraction": 0.0, "lag_mean": lag, "lag_max": lag, "nll": nll, "nll_positive": nll - 0.1,
        "nll_negative": nll + 0.1, "nll_ratio": (nll + 0.1) / (nll - 0.1), "entropy": 0.4, "ess_token": 1 / (1 + lag),
        "ess_sequence": 1 / (1 + lag), "kl_k1": 0.01 * lag, "kl_k3": 0.01 * lag, "ratio_p99": 1 + lag,
        "removed_positive": 0.0, "removed_negative": 0.0, "gradient_norm": 1.0, "gradient_cosine": 0.1,
        "prompts": digest_of([run.seed, update]), "generate_s": 0.01, "learn_s": 0.09,
    }  # fmt: skip


def attempted(problem: int, score: float) -> dict[str, Any]:
    verdict = {"correct": problem < 20 * score, "answer": "1", "method": "exact"}
    attempt = {"text": "1;1#1", "tokens": 5, "stopped": True, "verdict": verdict, "cluster": 0}
    return {"exam": "chain", "question": f"{problem}+1=", "answer": "1", "attempts": [attempt] * SAMPLES}
