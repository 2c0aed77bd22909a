"""Real asynchrony beside its simulation: an objective live, then the trace of each run carried out by `lagbench run`.

    unshare --net sh -c 'ip link set lo up && python benchmarks/live_against_replay.py'

Options: --objective, --seeds (how many), --updates, --max-lag, --in-flight, --work (a folder for the runs, from which
an interrupted benchmark goes on), --out (for the table). The network namespace only keeps Ray's look-ups from leaving
the machine. Two workers, a grader and a learner share the cores; lag is what comes of it. The replay has the same seed,
so it meets the same prompts and the same luck, and it draws every token by the version that drew it live. What is left
is rounding: two workers draw halves of what the replay draws as one batch.
"""

import argparse
import csv
import datetime
import shlex
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lagbench.harness import store
from lagbench.harness.config import Run
from lagbench.harness.lag.trace import read_trace
from lagbench.harness.statistics.intervals import Estimate, mean_interval
from lagbench.harness.statistics.paired import paired
from lagbench.harness.sweep.cell import Execution
from lagbench.harness.sweep.executor import default_workers, run_cells

COLUMNS = (
    *("seed", "live", "replay", "difference", "same bits", "lag mean", "lag max"),
    *("dropped", "wait s", "idle", "live s"),
)


def live(folder: Path, given: argparse.Namespace) -> list[str]:
    """The command that trains live; run here, to its end."""
    suite = ["quick", f"objectives={given.objective}", f"seeds={','.join(map(str, range(given.seeds)))}"]
    rules = ["--workers", "2", "--max-lag", str(given.max_lag)]
    rules += ["--in-flight", str(given.in_flight)] if given.in_flight else []
    command = ["lagbench", "live", *suite, f"updates={given.updates}", *rules]
    program = str(Path(sys.executable).with_name("lagbench"))
    subprocess.run([program, *command[1:], "--results", str(folder)], check=True)
    return command


def replays(cells: list[Path]) -> list[Run]:
    """The traces of live cells as cells of the simulated loop."""
    runs = []
    for cell in cells:
        kept = {key: value for key, value in store.read_json(cell / store.RUN).items() if key in Run.model_fields}
        runs.append(Run(**kept | {"lag": f"trace:{(cell / store.TRACE).resolve()}"}))
    return runs


def row(cell: Path, replay: Path) -> dict[str, Any]:
    """One seed: both scores, and the lag that was measured."""
    found, again = (store.read_json(folder / store.RESULT) for folder in (cell, replay))
    assert found["realized_lag_digest"] == again["realized_lag_digest"], f"{replay} is not the replay of {cell}"
    scores = [result["scores"]["pass@1"]["mean"] for result in (found, again)]
    rows = store.read_lines(cell / store.METRICS)
    idle, busy = (sum(line[name] for line in rows) for name in ("generate_s", "learn_s"))
    values = (
        store.read_json(cell / store.RUN)["seed"],
        *scores,
        scores[0] - scores[1],
        "yes" if found["weights_digest"] == again["weights_digest"] else "no",
        found["lag_mean"],
        found["lag_max"],
        found["live"]["groups_dropped"],
        found["live"]["wait_s"],
        idle / (idle + busy),
        idle + busy,
    )
    return dict(zip(COLUMNS, values, strict=True))


def distribution(cells: list[Path]) -> str:
    """At which lags prompt groups were begun, over all cells."""
    counts = Counter(np.concatenate([read_trace(cell / store.TRACE).lag.ravel() for cell in cells]).tolist())
    return ", ".join(f"{lag}: {count / counts.total():.1%}" for lag, count in sorted(counts.items()))


def page(rows: list[dict[str, Any]], cells: list[Path], command: list[str]) -> str:
    """The table as Markdown, with what follows from it."""
    live, replay = (np.array([row[name] for row in rows]) for name in ("live", "replay"))
    difference = paired(live, replay)
    environment = store.read_json(cells[0] / store.ENVIRONMENT)
    lines = [f"| {' | '.join(texts(row))} |" for row in rows]
    return f"""# Real asynchrony and its replay

`python benchmarks/live_against_replay.py`, {datetime.date.today():%d %B %Y}: {environment["cores"]} cores of an \
{environment["processor"]}, torch {version("torch")}, ray {version("ray")}. Live:

```
{shlex.join(command)}
```

Then the trace of every run, carried out by the simulated loop of `lagbench run` with the same seed. pass@1 of the final
version, the same held-out problems and noise for all.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{chr(10).join(lines)}

- live {told(mean_interval(live))}, standard deviation over seeds {np.std(live, ddof=1):.4f}
- replay {told(mean_interval(replay))}, standard deviation over seeds {np.std(replay, ddof=1):.4f}
- live minus replay, paired by seed: **{told(difference.estimate, "+")}**, p = {difference.p:.2f}
- prompt groups begun at lag {distribution(cells)}

[..., ...] are 95 % intervals over {len(rows)} seeds. Lag in updates, of all tokens trained on. wait s: seconds in which
workers were kept from drawing by the bound; idle: share of the learner's time (live s) in which it waited for a batch;
same bits: whether both end in the same weights, bit for bit, or apart by rounding and what it led to. How it works:
[docs/live.md](../../../docs/live.md).
"""


def texts(row: dict[str, Any]) -> list[str]:
    """The cells of a row, in the order of `COLUMNS`."""
    forms = ("d", ".4f", ".4f", "+.4f", "s", ".2f", ".0f", "d", ".1f", ".0%", ".0f")
    return [f"{row[name]:{form}}" for name, form in zip(COLUMNS, forms, strict=True)]


def told(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.mean:{sign}.4f} [{estimate.low:{sign}.4f}, {estimate.high:{sign}.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objective", default="asympo")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--max-lag", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("results/runs/live_against_replay"))
    parser.add_argument("--out", type=Path, default=Path("results/published/live"))
    given = parser.parse_args()
    command = live(given.work / "live", given)
    cells = [given.work / "live" / f"{given.objective}-live-seed{seed}" for seed in range(given.seeds)]
    runs = replays(cells)
    how = Execution(shlex.join(command), default_workers(), 15.0)
    for run in run_cells(runs, given.work / "replay", how, lambda run, version: None):
        failed = store.read_json(given.work / "replay" / run.name / store.FAILED)
        assert failed is None, failed
    rows = [row(cell, given.work / "replay" / run.name) for cell, run in zip(cells, runs, strict=True)]
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "live_against_replay.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    made = page(rows, cells, command)
    (given.out / "live_against_replay.md").write_text(made)
    print(made)


if __name__ == "__main__":
    main()
