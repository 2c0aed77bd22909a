"""The files of a results folder, written so that a kill at any moment leaves each of them old, new or absent.

results/runs/quick-1a2b3c4d/            one suite
    suite.json                          what its cells share, the baseline, the code that counts, all that was planned
    commands.jsonl                      every command that worked in it, with its resolved suite
    asympo-constant-8-seed0/            one cell
        run.json                        resolved configuration, its id, digests of code, model and data
        environment.json                command, versions, hardware
        plan.json                       the plan: which version draws what, made before the run
        trace.jsonl                     one line per update: which version did draw it; lag=trace:FILE replays it
        metrics.jsonl                   one line per update
        checkpoint.pt                   while it runs: weights, optimizer, last gradient, rollouts generated ahead
        attempts-100.jsonl              of version 100: every held-out problem with its responses and their verdicts
        model/                          the final weights, a Hugging Face folder
        result.json                     scores and digests; its presence means finished
        failed.json                     instead of it: the reason
    beginnings/                         until all cells are finished: what the initial policy drew, for all to read
    gates.json                          proofs that were run with the suite
    search/                             where the suite has a search for learning rates
        lr-0.0003/                      one rate, on seeds and problems of the search: a folder like this one
        chosen.json                     the rate of each objective, its scores by rate, what the search cost
    tuned/                              the suite's own seeds and test problems once more
        lr-0.0003/                      for the objectives that chose this rate: a folder like this one
    SHA256SUMS                          of what is above, when the last command ended: `sha256sum -c SHA256SUMS`
    report/                             page, tables and picture
    tracking/                           with --tracker: what TensorBoard, W&B or trackio reads; no part of the results

results/runs/eval-tiny-1a2b3c4d/        one `lagbench eval`
    settings.json                       what was asked, digests of model and data: others are refused here
    responses.jsonl                     every response, as it was drawn; an interrupted evaluation goes on from it
    tiny/                               lm-eval's own results_*.json and samples_*.jsonl

results/runs/probe-quick-1a2b3c4d/      one probe
    probe.json                          its settings, command, versions, hardware
    seed0.json                          one per seed: cosine and norm ratio by objective and lag
    report/                             tables and picture
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .types import InputError

RUN, ENVIRONMENT, PLAN = "run.json", "environment.json", "plan.json"
TRACE, METRICS = "trace.jsonl", "metrics.jsonl"
CHECKPOINT, MODEL, RESULT, FAILED = "checkpoint.pt", "model", "result.json", "failed.json"
PROBE = "probe.json"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM)
COMMANDS, BEGINNINGS, GATES = "commands.jsonl", "beginnings", "gates.json"
SUITE, CHECKSUMS = "suite.json", "SHA256SUMS"
LIVE_RULES = "live.json"
SEARCH, TUNED, CHOSEN = "search", "tuned", "chosen.json"
OWN = "."  # in chosen.json, in the place of a folder: the suite's own cells were trained at the chosen rate
REPORT, LOCK = "report", ".lock"


def is_unwritable(error: BaseException) -> bool:
    """Whether a write was stopped: disk full, over quota, read-only, no permission. Some libraries tell it in words."""
    return any(os.strerror(code) in str(error) for code in UNWRITABLE)


def attempts_file(version: int | str) -> str:
    """Of a cell's evaluation while `version` was current; of any with *."""
    return f"attempts-{version}.jsonl"


def seed_file(seed: int) -> str:
    """Of one seed of a probe."""
    return f"seed{seed}.json"


def write_atomically(path: Path, write: Callable[[Path], object], mark: str = "") -> None:
    """Let `write` fill a temporary neighbor of `path`, then put it in the place of `path` in one step.

    Writers that may do so at the same time tell their neighbors apart by a `mark`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{mark}.tmp")  # one that a killed writer left is overwritten by the next
    try:
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_tensors(value: Any, path: Path) -> None:
    """Write `value` as torch does."""
    import torch

    with path.open("wb") as file:  # given a path, torch would not say that the disk is full
        torch.save(value, file)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is no such file; a damaged one is an InputError."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); delete its folder and run the suite again") from None


def append_line(path: Path, value: Any) -> None:
    with path.open("a") as file:
        file.write(json.dumps(value, allow_nan=False) + "\n")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    write_text(path, "".join(json.dumps(value) + "\n" for value in values))


def read_lines(path: Path) -> list[Any]:
    """The values of a JSON-lines file; empty where there is no such file. A damaged line is an InputError."""
    values = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines() if path.exists() else [], 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: damaged ({error}); run the suite again") from None
    return values


def keep_lines(path: Path, count: int) -> None:
    """Cut a JSON-lines file back to its first `count` lines; what a kill tore is behind them."""
    kept = first_lines(path, count)
    write_atomically(path, lambda temporary: temporary.write_bytes(kept))


def first_lines(path: Path, count: int) -> bytes:
    """The first lines of a file, as they are; none where there is no such file."""
    return b"".join(path.read_bytes().splitlines(keepends=True)[:count]) if path.exists() else b""
