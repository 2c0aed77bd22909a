"""What pairing buys: the variance of the difference of two objectives with one seed for both, and with two.

    lagbench run quick objectives=policy_gradient,grpo,spo,asympo lags=8 seeds=0,1,2,3,4,5,6,7,8,9,10,11 updates=60
    python benchmarks/pairing.py FOLDER

A seed fixes prompt order, plan and sampling noise. Paired: score of a minus score of b with the same seed. Unpaired:
with different seeds. The held-out problems and the noise of the evaluation are the same for all cells.
"""

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np


def scores(folder: Path) -> dict[str, dict[str, dict[int, float]]]:
    """pass@1 by schedule, objective and seed."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for path in folder.glob("*/result.json"):
        run = json.loads((path.parent / "run.json").read_text())
        if run["objective"]:
            score = json.loads(path.read_text())["scores"]["pass@1"]["mean"]
            found[run["lag"]][run["objective"]][run["seed"]] = score
    return found


def variances(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Of the difference, paired and unpaired, both unbiased; scores [S] of two objectives in the same order of seeds.

    Differences over different seeds share scores, so their variance is that of two independent scores: var a + var b.
    """
    return float(np.var(a - b, ddof=1)), float(np.var(a, ddof=1) + np.var(b, ddof=1))


def main(folder: Path) -> None:
    print("| lag | pair | seeds | sd paired | sd unpaired | variance ratio |")
    print("|---|---|--:|--:|--:|--:|")
    ratios = []
    for lag, by_objective in sorted(scores(folder).items()):
        for one, other in itertools.combinations(sorted(by_objective), 2):
            seeds = sorted(by_objective[one].keys() & by_objective[other].keys())
            a, b = (np.array([by_objective[name][seed] for seed in seeds]) for name in (one, other))
            paired, unpaired = variances(a, b)
            ratios.append(paired / unpaired)
            deviations = f"{paired**0.5:.4f} | {unpaired**0.5:.4f}"
            print(f"| {lag} | {one} - {other} | {len(seeds)} | {deviations} | {ratios[-1]:.2f} |")
    print(
        f"\nmedian variance ratio {np.median(ratios):.2f}: unpaired runs need {1 / np.median(ratios):.1f} x the seeds"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
