"""Seconds of one update of the `quick` suite (256 responses: generate, verify, learn) on one core, by objective.

    python benchmarks/update_time.py [UPDATES]

Also prints how many such updates fit into the 0.3 s that an update may take (limit / median): above 1 is within.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import torch

from lagbench.harness.config import load_suite
from lagbench.harness.learn.loop import train
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.expand import cells, task_of
from lagbench.harness.verify import Verifier

LIMIT_S = 0.3


def main(updates: int) -> None:
    torch.set_num_threads(1)
    suite = load_suite("quick", [f"updates={updates}", "lags=8"])
    task = task_of(suite)
    for run in cells(suite):
        if run.objective is None:
            continue
        with tempfile.TemporaryDirectory() as folder, Verifier(task) as verifier:
            rows = list(train(assemble_trainer(run, task, verifier), OBJECTIVES.get(run.objective), Path(folder)))
        generate, learn = (statistics.median(row[key] for row in rows) for key in ("generate_s", "learn_s"))
        total = statistics.median(row["generate_s"] + row["learn_s"] for row in rows)
        print(
            f"{run.objective:16} {total:.3f} s (generate {generate:.3f}, learn {learn:.3f})  "
            f"limit / median: {LIMIT_S / total:.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
