"""Do `lm_eval --model hf` and `lagbench eval` measure the same? From their samples_*.jsonl of the same problems.

Each problem's mean over its samples differs between the two by the noise of sampling only, if they agree: then its
difference is as likely as its negative. So the sign of every problem's difference is flipped at random, 100 000 times,
and p is the share in which the mean difference is at least as far from 0 (two-sided; exact for any number of problems
and any distribution). Measures are judged together by Holm's method: they agree unless an adjusted p is below 0.05.

python benchmarks/evaluation_agreement.py SAMPLES_OF_LM_EVAL SAMPLES_OF_LAGBENCH [OUT.json]
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FLIPS, LEVEL = 100_000, 0.05


def measures(path: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Prompts of the problems, and every measure of each: [M]."""
    lines = [json.loads(line) for line in Path(path).read_text().split("\n") if line]
    names = [name for name in lines[0]["metrics"] if name not in ("correct", "timeout")]
    found = {name: np.array([line[name] for line in lines]) for name in names}
    found["characters"] = np.array([np.mean([len(text) for text in line["resps"][0]]) for line in lines])
    return [line["arguments"]["gen_args_0"]["arg_0"] for line in lines], found


def compare(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Both means, their difference with its standard error, and p of the sign-flip test."""
    difference = one - other  # [M]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, len(difference)))
    extreme = np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9
    error = difference.std(ddof=1) / len(difference) ** 0.5
    values = (one.mean(), other.mean(), difference.mean(), error, (extreme.sum() + 1) / (FLIPS + 1))
    return dict(zip(("lm_eval", "lagbench", "difference", "standard_error", "p"), map(float, values), strict=True))


def holm(rows: dict[str, dict[str, float]]) -> None:
    """Add each row's p adjusted for the number of rows."""
    least = 0.0
    for rank, row in enumerate(sorted(rows.values(), key=lambda row: row["p"])):
        least = row["p_holm"] = max(least, min(1.0, row["p"] * (len(rows) - rank)))


def main(lm_eval: str, lagbench: str, out: str | None = None) -> None:
    (asked, one), (asked_too, other) = measures(lm_eval), measures(lagbench)
    assert asked == asked_too, "the prompts differ"
    rows = {name: compare(one[name], other[name]) for name in one}
    holm(rows)
    print(f"{'':12}{'lm_eval':>10}{'lagbench':>10}{'difference':>12}{'± error':>10}{'p':>8}{'Holm':>8}")
    for name, row in rows.items():
        cells = (f"{value:>{width}.3f}" for value, width in zip(row.values(), (10, 10, 12, 10, 8, 8), strict=True))
        print(f"{name:12}{''.join(cells)}")
    agree = all(row["p_holm"] >= LEVEL for row in rows.values())
    print(f"{len(asked)} problems, the same prompts: {'agree' if agree else 'DIFFER'}")
    if out:
        found: dict[str, Any] = {"problems": len(asked), "agree": agree, "measures": rows}
        Path(out).write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not agree)


if __name__ == "__main__":
    main(*sys.argv[1:])
