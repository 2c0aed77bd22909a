"""Reports of any size, straight from the model: for what is made of a report, not for what is measured."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from lagbench.harness.report.document import (
    Cell,
    Collapse,
    Cost,
    Curve,
    Difference,
    Entry,
    Evaluation,
    Family,
    Finds,
    Gate,
    Held,
    Interval,
    Measure,
    Moment,
    Pair,
    Power,
    Report,
    Row,
    Sample,
    Search,
    Source,
    Standing,
    Step,
    Tuned,
)

NAMES = ("policy_gradient", "asympo", "grpo", "decoupled_ppo", "spo", "m2po", "vcpo", "icepop", "tis", "cispo")
SCHEDULES = ("constant:0", "constant:4", "constant:16", "constant:64", "periodic:10", "in_flight:8")
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(-4, 25))
UPDATES = 200

# What a model or a file name may hold: markup, ends of scripts and comments, separators, control and bidi characters.
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=2'>\"'><svg onload=window.pwned=3>"
    "\u2028\u2029]]>-->\x00\x07\x1b[31m\u202etxt\u202c{{7*7}}{%raw%}$x^2_{$ &amp; \\u003c \ud800 \ufeff</style></title>"
)


def made_up_report(
    objectives: tuple[str, ...] = NAMES[:5],
    schedules: tuple[str, ...] = SCHEDULES,
    mismatches: tuple[str, ...] = ("none",),
    seeds: int = 5,
    points: int = 40,
    samples: int = 2,
    search: bool = False,
    claims: bool = True,
    gates: tuple[bool | None, ...] = (True, True, True, True, None),
    moments: int = 0,
) -> Report:
    """A report whose scores fall with lag, at a rate of each objective's own; the last objective collapses at lag 64.

    At `schedules[-1]` the last objective has a failed and a missing seed. The same arguments give the same report.
    """
    draws = np.random.default_rng(7)
    made = [(mismatch, objective) for mismatch in mismatches for objective in objectives]
    rows = [
        _row(draws, objectives, i, schedules, j, mismatch, seeds, claims)
        for mismatch in mismatches
        for i in range(len(objectives))
        for j in range(len(schedules))
    ]
    standings = [
        _standing(
            i, mismatch, objectives, [r for r in rows if (r.mismatch, r.objective) == (mismatch, objective)], search
        )
        for mismatch in mismatches
        for i, objective in enumerate(objectives)
    ]
    return Report(
        name="made-up",
        suite_digest="5f3c" * 16,
        settings={"task": "chain", "model": "tiny", "updates": UPDATES, "eval_problems": 128, "eval_samples": 16},
        inputs={"model": "sha256:" + "ab" * 32, "data": {"chain": "cd" * 32}},
        version="0.1.0",
        sources=(Source(name="runs/made-up", digest="9e" * 32, cells=len(rows) * seeds, remark=""),),
        valid=False not in gates,
        gates=tuple(
            Gate(name=name, passed=passed, detail=f"what {name} found")
            for name, passed in zip(("lag-0 parity", "determinism", "lag", "prompts", "groups"), gates, strict=True)
        ),
        exam="128 held-out problems of chain, 16 samples each",
        base=_scores(0.312, 0.02),
        base_error=0.0047,
        family=Family(
            baseline=objectives[0],
            tests=(len(objectives) - 1) * len(schedules) * len(mismatches),
            same_formula=0,
            level=0.05,
            claims=claims,
            mark="A mark is more than the noise of seeds, and more than collapses could explain.",
            text="Every objective against the baseline, at every schedule: one family, Holm at 0.05."
            if claims
            else "No claim of significance: fewer than three seeds.",
        ),
        power=Power(
            seeds=seeds,
            finds=tuple(
                Finds(lag=lag, mismatch=mismatch, sd=0.0123, detectable=0.0217, marked=0.0391,
                      seeds_for={"0.01": 17, "0.02": 6, "0.05": None})
                for mismatch in mismatches
                for lag in schedules
            ),
            text="What the suite finds four times out of five.",
        ),
        search=Search(
            learning_rates=(3e-5, 1e-4, 3e-4), lags=(schedules[0],), seeds=(100, 101), problems=64,
            runs_per_objective=6, text="Six runs an objective, on seeds and problems of their own.",
        ) if search else None,
        schedules=schedules,
        thresholds=THRESHOLDS,
        standings=tuple(standings),
        rows=tuple(rows),
        pairs=tuple(
            _pair(first, second, mismatch, abs(objectives.index(first) - objectives.index(second)), claims)
            for mismatch in mismatches
            for first, second in combinations(objectives, 2)
        ),
        curves=tuple(_curve(draws, row, points) for row in rows if row.seeds),
        evaluations=tuple(
            Evaluation(objective=row.objective, lag=row.lag, mismatch=row.mismatch, version=version, exam=exam,
                       tokens=4096.0 * version, scores=_scores(0.3 + 0.001 * version, 0.02))
            for row in rows[:12]
            for version in (0, 100, 200)
            for exam in ("chain", "countdown")
        ),
        cells=tuple(_cell(row, seed) for row in rows for seed in range(seeds)),
        samples=tuple(
            Sample(objective=objective, lag=schedules[0], mismatch=mismatch, seed=0, question=f"What is {k} + 4?",
                   answer=str(k + 4), response=f"{k} + 4 =\n\\boxed{{{k + 4 + k % 2}}}", correct=k % 2 == 0)
            for mismatch, objective in made
            for k in range(samples)
        ),
        history=tuple(_moment(i, standings) for i in range(moments)),
        notes=("Lag in optimizer updates; mean lag over the tokens trained on.", "Advantage of all: group_mean_std."),
    )  # fmt: skip


def large_report(cells: int = 5000) -> Report:
    """50 objectives under 20 schedules, as many seeds as give that many cells."""
    names = tuple(f"objective_{i:02d}" for i in range(50))
    schedules = tuple(f"constant:{lag}" for lag in (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256))
    schedules += ("periodic:4", "periodic:10", "uniform:0-16", "heavy_tail", "in_flight:8")
    return made_up_report(names, schedules, seeds=cells // 1000, search=True)


def empty_report() -> Report:
    """Nothing has been run: rows that are planned and have no score, and none of what is made from scores."""
    full = made_up_report(NAMES[:2], SCHEDULES[:2])
    nothing = {"seeds": (), "missing": 5, "failed": 0, "unfinished": 0, "reasons": (), "scores": {}, "by_seed": {},
               "retained": None, "change_from_lag_0": None, "against_baseline": None, "collapses": (),
               "collapse_rate": None, "diagnostics": {}, "lag_mean": None, "lag_max": None}  # fmt: skip
    rows = tuple(row.model_copy(update=nothing) for row in full.rows)
    states = {"state": "missing", "pass_at_1": None, "seconds": None, "weights_digest": "", "packages": {}}
    return full.model_copy(
        update={"rows": rows, "standings": (), "pairs": (), "curves": (), "evaluations": (), "samples": (), "base": {},
                "power": None, "notes": (), "cells": tuple(cell.model_copy(update=states) for cell in full.cells)}
    )  # fmt: skip


def bare_report() -> Report:
    """No row, no cell, no gate."""
    none: dict[str, Any] = dict.fromkeys(("rows", "cells", "gates", "sources", "schedules", "thresholds"), ())
    return empty_report().model_copy(update=none)


def hostile_report(text: str = HOSTILE) -> Report:
    """A small report with `text` in every string, names of objectives and keys of dictionaries too."""
    kept = {"format", "interval_over", "exact", "state"}  # one of few words, by the model

    def with_text(value: Any) -> Any:
        if isinstance(value, str):
            return value + text
        if isinstance(value, dict):
            known = {key: item if key in kept else with_text(item) for key, item in value.items()}
            return known | {
                key + text: known[key]
                for key in ("pass@1", "reward", "entropy", "torch", "0.01", "task")
                if key in known
            }
        return [with_text(item) for item in value] if isinstance(value, list | tuple) else value

    small = made_up_report(NAMES[:3], SCHEDULES[:3], seeds=3, points=5, search=True, moments=2)
    return Report.model_validate(with_text(small.model_dump()))


def _estimate(mean: float, half: float) -> Interval:
    return Interval(mean=mean, low=mean - half, high=mean + half)


def _scores(mean: float, half: float) -> dict[str, Interval]:
    """pass@1, 2, 4, 8, 16 and majority votes of somebody who solves this share."""
    scores = {f"pass@{k}": _estimate(1 - (1 - mean) ** (1 + 0.6 * math.log2(k)), half) for k in (1, 2, 4, 8, 16)}
    return scores | {"maj@16": _estimate(mean + 0.0313, half)}


def _constant(schedule: str) -> int | None:
    kind, _, lag = schedule.partition(":")
    return int(lag) if kind == "constant" else None


def _strength(schedule: str) -> float:
    """How hard a schedule is, in doublings of 1 + lag."""
    lag = _constant(schedule)
    return math.log2(1 + (lag if lag is not None else 6))


def _score(i: int, count: int, schedule: str) -> float:
    """Mean pass@1 of objective i of `count`: all start alike, each loses at a rate of its own."""
    return max(0.05, 0.6213 - 0.0407 * (0.2 + i / count) * _strength(schedule))


def _row(
    draws: np.random.Generator, names: tuple[str, ...], i: int, schedules: tuple[str, ...], j: int, mismatch: str,
    seeds: int, claims: bool,
) -> Row:  # fmt: skip
    name, schedule, last = names[i], schedules[j], i == len(names) - 1
    collapses = last and _constant(schedule) == 64
    troubled = last and j == len(schedules) - 1
    mean = 0.0731 if collapses else _score(i, len(names), schedule)
    finished = tuple(range(seeds - 2 if troubled else seeds))
    by_seed = {seed: round(float(mean + 0.01 * draws.standard_normal()), 5) for seed in finished}
    lag = _constant(schedule)
    shift = mean - _score(0, len(names), schedule)
    difference = Difference(
        value=_estimate(shift, 0.0119), p=0.0021 * (1 + j), p_exact=0.0625, exact="sign flips",
        p_adjusted=min(1.0, 0.0163 * (1 + j)), p_charged=min(1.0, 0.0189 * (1 + j)),
        significant=abs(shift) > 0.02 if claims else None,
    )  # fmt: skip
    return Row(
        objective=name,
        lag=schedule,
        constant_lag=lag,
        mismatch=mismatch,
        lag_mean=0.97 * (lag if lag is not None else 6.2),
        lag_max=float(lag if lag is not None else 10),
        seeds=finished,
        failed=1 if troubled else 0,
        unfinished=0,
        missing=1 if troubled else 0,
        reasons=("seed 3: OSError: no space left on device",) if troubled else (),
        scores=_scores(mean, 0.0143) if finished else {},
        interval_over="seeds" if len(finished) > 1 else "problems",
        by_seed=by_seed,
        retained=_estimate((mean - 0.312) / 0.3093, 0.0471),
        change_from_lag_0=None if lag == 0 else _estimate(mean - 0.6213, 0.0151),
        against_baseline=None if i == 0 else difference,
        collapses=tuple(Collapse(seed=s, reason="entropy", update=90 + s, value=0.0041, limit=0.01) for s in finished)
        if collapses
        else (),
        collapse_rate=Interval(mean=1.0, low=0.478, high=1.0) if collapses else Interval(mean=0.0, low=0.0, high=0.522),
        cost=Cost(tokens_generated=4_096_000 + i, tokens_trained=4_000_000, seconds=361.7, updates_per_second=2.77),
        diagnostics={
            "ess_token": 1 / (1 + 0.1 * (i + 1) * _strength(schedule)), "kl_k1": 0.0031 * 2 ** _strength(schedule),
            "kl_k3": 0.0033 * 2 ** _strength(schedule), "nll_ratio": 1.21 + 0.1 * i, "entropy": 0.71, "reward": 0.62,
        },
    )  # fmt: skip


def _standing(i: int, mismatch: str, names: tuple[str, ...], rows: list[Row], search: bool) -> Standing:
    count = len(names)
    collapsed = sum(len(row.collapses) for row in rows)
    runs = sum(len(row.seeds) for row in rows)
    steps = (Step(update=0, alive=1.0, low=1.0, high=1.0),)
    if collapsed:
        steps += (Step(update=90, alive=1 - collapsed / runs, low=0.61, high=0.94),)
    return Standing(
        objective=names[i],
        mismatch=mismatch,
        reads=((), ("behavior_logprobs",), ("behavior_logprobs", "proximal_logprobs"))[i % 3],
        hyperparameters={"epsilon": 0.2} if i % 2 else {},
        conventions={"advantage": "group_mean_std", "aggregate": "seq_mean_token_mean", "denominator": "all"},
        paper={"advantage": "group_mean_std", "aggregate": "token_mean", "denominator": "all"},
        gain_under_lag=_measure(i, count, 0.9312 - 0.4 * i / count),
        own_retention=_measure(count - 1 - i, count, 0.8312 - 0.3 * (count - 1 - i) / count),
        held=Held(held=4, lost=16 if i % 2 else None, highest=64),
        gain_at_lag_0=_estimate(0.3093 - 0.001 * i, 0.0117),
        iqm=_estimate(0.5713 - 0.01 * i / count, 0.0091),
        optimality_gap=0.0817 + 0.01 * i,
        profile=tuple(1 / (1 + math.exp(12 * (t - 0.9312 + 0.4 * i / count))) for t in THRESHOLDS),
        collapsed=collapsed,
        runs=runs,
        collapse_rate=Interval(mean=collapsed / max(runs, 1), low=0.0, high=min(1.0, collapsed / max(runs, 1) + 0.116)),
        highest_rate=0.095,
        median_collapse=None,
        survival=steps,
        cost=Cost(tokens_generated=24_576_000, tokens_trained=24_000_000, seconds=2170.4, updates_per_second=2.77),
        tuned=Tuned(
            learning_rate=3e-4, search={"3e-05": 0.4417, "0.0001": 0.5519, "0.0003": 0.5823},
            scores={row.lag: _estimate(0.6013, 0.0129) for row in rows},
            gain_under_lag=_estimate(0.9517 - 0.01 * i, 0.0577), own_retention=_estimate(0.9017, 0.0577),
            held=Held(held=16, lost=64, highest=64),
        ) if search else None,
    )  # fmt: skip


def _measure(i: int, count: int, value: float) -> Measure:
    """Of place i + 1."""
    ranks = {"best_rank": max(1, i - 1), "worst_rank": min(count, i + 3)}
    return Measure(value=_estimate(value, 0.0613), place=i + 1, **ranks)


def _moment(i: int, standings: list[Standing]) -> Moment:
    """Each a month after the last, measures a little lower than they became."""
    before = 0.0171 * (9 - i)
    entries = tuple(
        Entry(
            objective=s.objective, mismatch=s.mismatch, gain_under_lag=_lower(s.gain_under_lag, before),
            own_retention=_lower(s.own_retention, before),
        )
        for s in standings
    )  # fmt: skip
    return Moment(
        date=f"2026-{i + 1:02d}-01", suite_digest="5f3c" * 16, sources={"runs/made-up": "9e" * 32}, entries=entries
    )


def _lower(measure: Measure, by: float) -> Measure:
    mean = measure.value.mean if measure.value else 0.0
    return measure.model_copy(update={"value": _estimate(mean - by, 0.0613)})


def _pair(first: str, second: str, mismatch: str, apart: int, claims: bool) -> Pair:
    return Pair(
        first=first,
        second=second,
        mismatch=mismatch,
        gain_under_lag=_paired(0.0277 * apart, apart, claims),
        own_retention=_paired(-0.0311 * apart, apart, claims),
        probability_of_improvement=min(0.99, 0.5 + 0.0713 * apart),
    )  # fmt: skip


def _paired(mean: float, apart: int, claims: bool) -> Difference:
    return Difference(
        value=_estimate(mean, 0.0511), p=0.0113 / apart, p_exact=0.0079, exact="label permutation",
        p_adjusted=min(1.0, 0.113 / apart), p_charged=min(1.0, 0.12 / apart),
        significant=apart > 2 if claims else None,
    )  # fmt: skip


def _curve(draws: np.random.Generator, row: Row, points: int) -> Curve:
    updates = [round(i * (UPDATES - 1) / max(points - 1, 1)) for i in range(points)]
    progress = np.array(updates) / UPDATES
    reward = (
        0.3 + (row.scores["pass@1"].mean - 0.3) * (1 - np.exp(-4 * progress)) + 0.005 * draws.standard_normal(points)
    )
    positive = 0.9 * np.exp(-1.2 * progress) + 0.1
    unlike = sum(map(ord, row.objective)) % 7
    ratio = 1.1 + 0.3 * progress * (_strength(row.lag) + unlike) / 7
    measures = {
        "reward": reward, "nll_positive": positive, "nll_negative": ratio * positive, "nll_ratio": ratio,
        "ess_token": np.full(points, row.diagnostics["ess_token"]), "kl_k1": np.full(points, row.diagnostics["kl_k1"]),
        "entropy": 0.7 * np.exp(-progress),
    }  # fmt: skip
    lone = len(row.seeds) < 2
    return Curve(
        objective=row.objective,
        lag=row.lag,
        mismatch=row.mismatch,
        updates=tuple(updates),
        tokens=tuple(4096.0 * (u + 1) for u in updates),
        reward_low=tuple(None if lone else round(float(r) - 0.02, 5) for r in reward),
        reward_high=tuple(None if lone else round(float(r) + 0.02, 5) for r in reward),
        measures={name: tuple(round(float(v), 5) for v in values) for name, values in measures.items()},
    )


def _cell(row: Row, seed: int) -> Cell:
    finished = seed in row.seeds
    name = f"{row.objective}-{row.lag.replace(':', '-')}-seed{seed}"
    failed = row.failed and seed == len(row.seeds)
    return Cell(
        name=name,
        objective=row.objective,
        lag=row.lag,
        mismatch=row.mismatch,
        seed=seed,
        state="finished" if finished else "failed" if failed else "missing",
        pass_at_1=row.by_seed[seed] if finished else None,
        reason="" if finished or not failed else row.reasons[0],
        id=f"{hash_of(name):016x}",
        weights_digest=f"{hash_of(name + 'w'):016x}" * 4 if finished else "",
        seconds=72.3 if finished else None,
        command=f"lagbench run tiny objectives={row.objective} lags={row.lag} seeds={seed} updates={UPDATES}",
        packages={"torch": "2.13.0", "numpy": "2.4.6", "lagbench": "0.1.0"},
        processor="x86_64, 2 cores",
        source="runs/made-up",
    )


def hash_of(text: str) -> int:
    """64 bits, the same in every process."""
    return int(np.uint64(sum((i + 1) * 1_000_003 * ord(c) ** 3 for i, c in enumerate(text)) % 2**64))
