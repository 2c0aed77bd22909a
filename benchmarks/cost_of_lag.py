"""What lag costs: processor time and peak memory of a whole run at lag LAG and at lag 0, each in a process of its own.

    python benchmarks/cost_of_lag.py [LAG] [UPDATES] [PAIRS]

Prints the ratio of every pair and the median ratio; 1.00 means that lag is free.
"""

import os
import statistics
import subprocess
import sys
import tempfile

CELL = """
import sys, torch
from pathlib import Path
from lagbench.harness.config import load_suite
from lagbench.harness.sweep.cell import Execution, run_cell
from lagbench.harness.sweep.expand import cells
torch.set_num_threads(1)
suite = load_suite("quick", ["objectives=asympo", f"lags={sys.argv[1]}", f"updates={sys.argv[2]}"])
run_cell(cells(suite)[1], Path(sys.argv[3]), Execution("benchmark", 1, 15.0), lambda version: None)
sys.exit(not (Path(sys.argv[3]) / "result.json").exists())
"""


def cost(lag: int, updates: int) -> tuple[float, float]:
    """Processor seconds and peak memory in MiB of one cell."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, "-c", CELL, str(lag), str(updates), folder])
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the cell failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(lag: int, updates: int, pairs: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    times, memories = [], []
    for pair in range(pairs):
        order = (lag, 0) if pair % 2 else (0, lag)  # alternate, so that drift of the machine cancels
        measured = {which: cost(which, updates) for which in order}
        times.append(measured[lag][0] / measured[0][0])
        memories.append(measured[lag][1] / measured[0][1])
        print(
            f"lag {lag}: {measured[lag][0]:.1f} s, {measured[lag][1]:.0f} MiB   "
            f"lag 0: {measured[0][0]:.1f} s, {measured[0][1]:.0f} MiB   "
            f"ratio: {times[-1]:.3f} time, {memories[-1]:.3f} memory",
            flush=True,
        )
    print(f"median ratio: {statistics.median(times):.3f} time, {statistics.median(memories):.3f} memory")


if __name__ == "__main__":
    main(*(int(given) for given in [*sys.argv[1:], *("64", "100", "5")[len(sys.argv) - 1 :]]))
