"""Kill a suite with SIGKILL at random moments, resume it each time, and compare it with one that was left alone.

    python benchmarks/survival.py [KILLS] [SEED]

Several schedules, generation in flight and a measured one among them; every other kill leaves the cells' processes to
notice that their parent is gone. Exit code 1 unless weights and tables are identical.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUITE = [
    str(Path(sys.executable).with_name("lagbench")), "run", "quick", "objectives=asympo,grpo,decoupled_ppo",
    "lags=0,16,periodic:4,uniform:0-8,heavy_tail_by_length,in_flight:6", "updates=120", "prompts_per_update=8",
    "responses_per_prompt=4", "learning_rate=1e-3", "eval_problems=16", "eval_samples=4", "--checkpoint-every", "0.5",
]  # fmt: skip


def outcome(folder: Path) -> tuple[dict[str, str], str]:
    """Digest of every cell's weights, and the leaderboard."""
    digests = {p.parent.name: json.loads(p.read_text())["weights_digest"] for p in folder.glob("*/result.json")}
    return digests, (folder / "report" / "leaderboard.csv").read_text()


def start(folder: Path) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*SUITE, "--results", str(folder)], start_new_session=True, **quiet)


def updates_made(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*/metrics.jsonl"))


def kill_at_a_random_moment(folder: Path, rng: random.Random, whole_group: bool) -> bool:
    """Some updates after the start, so that no kill falls on a suite that does nothing yet.

    False where the suite came to its end before.
    """
    process, target = start(folder), updates_made(folder) + rng.randint(5, 120)
    while process.poll() is None and updates_made(folder) < target:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    if process.poll() is not None:
        return False
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return True


def main(kills: int, seed: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole, cut = Path(scratch) / "whole", Path(scratch) / "cut"
        started = time.monotonic()
        if start(whole).wait() != 0:
            raise SystemExit("the suite that was left alone failed")
        print(f"left alone: {len(outcome(whole)[0])} cells in {time.monotonic() - started:.0f} s", flush=True)
        done = 0
        while done < kills and kill_at_a_random_moment(cut, rng, whole_group=done % 2 == 0):
            done += 1
            finished = len(list(cut.glob("*/result.json")))
            print(f"kill {done}: {finished} cells finished, {updates_made(cut)} updates written", flush=True)
        code = start(cut).wait()
        same = code == 0 and outcome(cut) == outcome(whole)
        print(f"{done} kills, then to the end: weights and tables {'identical' if same else 'DIFFER'}")
        raise SystemExit(0 if same and done == kills else 1)


if __name__ == "__main__":
    main(*(int(given) for given in [*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :]]))
