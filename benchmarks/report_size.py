"""What a report over thousands of cells costs: time, memory, the page's size, and how fast a browser opens it.

    python benchmarks/report_size.py

Makes a results folder of made-up scores, with files like those of `lagbench run quick` (100 updates of 32 groups), and
reports it with the command line. Exits with 1 above 20 s, 1 GB, or 3 s to open the page. The browser is Debian's
chromium; without it the page is not opened.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from made_up_results import made_up

from lagbench.harness.config import Run
from lagbench.harness.registry import OBJECTIVES

MOST_S, MOST_GB, MOST_OPENING_S = 20.0, 1.0, 3.0


def score(run: Run) -> float:
    """Falls with the lag, differently for every objective; seeds are noisy."""
    if run.objective is None:
        return 0.25
    rng = np.random.default_rng([len(run.objective), int(run.id, 16) % 2**32])
    age = float(run.lag.partition(":")[2])
    return float(np.clip(0.55 - 0.01 * len(run.objective) * np.log2(1 + age) / 6 + rng.normal(0, 0.02), 0, 1))


def make(folder: Path, cells: int) -> int:
    """A folder of about so many cells: 32 objectives, five seeds, as many lags as it takes; how many they are."""
    os.fsync = lambda file: None  # type: ignore[assignment]  # a disk that keeps nothing is good enough here
    lags = max(2, -(-cells // (32 * 5)))
    names = ",".join(list(OBJECTIVES.all())[:32])
    grid = (f"objectives={names}", f"lags={','.join(map(str, range(lags)))}", "seeds=0,1,2,3,4")
    made_up(folder, score, [*grid, "baseline=policy_gradient", "updates=100", "prompts_per_update=32"])
    return 32 * 5 * lags


def opening_s(page: Path) -> float | None:
    """Seconds until a browser has loaded the page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        begun = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load")
        taken = time.perf_counter() - begun
        browser.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=5000, help="about how many (5000)")
    cells = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "results", Path(scratch) / "out"
        print(f"making about {cells} cells", file=sys.stderr)
        made = make(folder, cells)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{made} cells, {size / 1e6:.0f} MB")
        begun = time.perf_counter()
        command = [Path(sys.executable).with_name("lagbench"), "report", folder, "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # of the largest process
        opened = opening_s(out / "report.html")
        for path in sorted(out.iterdir()):
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    print(f"report: {taken:.1f} s (at most {MOST_S:g}), {memory:.2f} GB in its largest process (at most {MOST_GB:g})")
    print(
        "no chromium here: the page was not opened"
        if opened is None
        else f"page opened in {opened:.2f} s (at most {MOST_OPENING_S:g})"
    )
    sys.exit(taken > MOST_S or memory > MOST_GB or (opened or 0) > MOST_OPENING_S)


if __name__ == "__main__":
    main()
