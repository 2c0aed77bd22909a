"""The claims of arXiv 2606.03070, one by one, on the results of the suite `asympo`.

    python benchmarks/asympo_claims.py OUT [RESULTS...]

Writes OUT/runs.csv, a line for every run of the results folders, and from it OUT/claims.md: each claim with the
numbers that speak for or against it. Without results folders the runs.csv of OUT is read.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lagbench.harness.report.results import Cell, read_results
from lagbench.harness.statistics.intervals import Estimate, mean_interval

VERSIONS = (75, 150, 225, 300, 375)  # that the suite evaluates; also the ends of the parts of a run
ASYNCHRONOUS = "periodic:16+8"  # verl:0.5,16, the paper's
LAGS = {"constant:0": "sync", "periodic:16": "periodic:16", ASYNCHRONOUS: "verl:0.5,16"}
NAIVE = ("policy_gradient", "gpg")
STABLE = ("spo", "asympo", "asympo_stable")
MARGIN = 0.05  # of pass@1: what "competitive" and "stable" allow
COLUMNS = ["objective", "neg_scale", "lag", "seed", "collapsed", "base"]
SCORES = [f"pass@1 at {version}" for version in VERSIONS]
IMBALANCES = [f"nll_ratio to {version}" for version in VERSIONS]


@dataclass(frozen=True)
class Runs:
    """The lines of runs.csv."""

    lines: Sequence[dict[str, str]]

    def of(self, objective: str, lag: str = ASYNCHRONOUS, neg_scale: str = "") -> list[dict[str, str]]:
        """One objective's under one schedule, by seed; of `spo` those with the paper's scale unless told otherwise."""
        scale = neg_scale or ("0.2" if objective == "spo" else "")
        key = (objective, scale, lag)
        found = [line for line in self.lines if (line["objective"], line["neg_scale"], line["lag"]) == key]
        return sorted(found, key=lambda line: int(line["seed"]))

    def values(self, column: str, *place: str) -> np.ndarray:
        """[S], by seed."""
        return np.array([float(line[column]) for line in self.of(*place)])

    def matrix(self, columns: Sequence[str], *place: str) -> np.ndarray:
        """[S, columns]."""
        return np.stack([self.values(column, *place) for column in columns], 1)

    def final(self, *place: str) -> np.ndarray:
        return self.values(SCORES[-1], *place)

    def collapsed(self, *place: str) -> str:
        found = [line["collapsed"] for line in self.of(*place)]
        return f"{sum(map(bool, found))} of {len(found)}"

    def gain(self, *place: str) -> np.ndarray:
        """Final pass@1 minus the base model's, [S]."""
        return self.final(*place) - self.values("base", *place)


def lines_of(folder: Path) -> Iterator[dict[str, object]]:
    """A line for every finished run of a results folder."""
    results = read_results(folder, folder.name)
    if results.base is None:
        raise SystemExit(f"{folder}: the base model has not been evaluated")
    base = results.base.scores["pass@1"].mean
    for cell in results.trained:
        if cell.scores:
            yield _line(cell, base)


def _line(cell: Cell, base: float) -> dict[str, object]:
    by_version = {found["version"]: found["scores"]["pass@1"]["mean"] for found in cell.evaluations}
    found = cell.collapse(base)
    ratio = cell.measures["nll_ratio"]  # [U]
    parts = zip((0, *VERSIONS), VERSIONS, strict=False)
    return {
        "objective": cell.axes.objective,
        "neg_scale": cell.run["hyperparameters"].get("neg_scale", ""),
        "lag": cell.axes.lag,
        "seed": cell.axes.seed,
        "collapsed": f"{found.reason} at {found.update}" if found else "",
        "base": f"{base:.5f}",
        **{name: f"{by_version[version]:.5f}" for name, version in zip(SCORES, VERSIONS, strict=True)},
        **{name: f"{ratio[a:b].mean():.4f}" for name, (a, b) in zip(IMBALANCES, parts, strict=True)},
    }


def shown(estimate: Estimate, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{estimate.mean:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def verdict(supported: bool, contradicted: bool) -> str:
    return "**supported**" if supported else "**contradicted**" if contradicted else "**undecided**"


def claims(runs: Runs) -> Iterator[str]:
    """Markdown."""
    seeds, base = len(runs.of("asympo")), runs.of("asympo")[0]["base"]
    yield "# The claims of arXiv 2606.03070, one by one\n"
    yield "Made by `python benchmarks/asympo_claims.py results/published/asympo` from `runs.csv` beside it. Scores are"
    yield f"held-out pass@1 on chain after {VERSIONS[-1]} updates, means over {seeds} seeds with 95 % t intervals;"
    yield "differences are paired by seed, and nothing is adjusted for the number of claims. Unless a column says"
    yield f"otherwise: under `verl:0.5,16`, the paper's asynchrony, lag 8 to 23. The base model scores {base}.\n"
    for letter, claim in zip("aabcdef", CLAIMS, strict=True):
        yield f"## ({letter}) {claim.__doc__}\n"
        yield from claim(runs)
        yield ""


def collapse(runs: Runs) -> Iterator[str]:
    """The naive loss and GPG collapse under lag."""
    changes = {name: mean_interval(runs.gain(name)) for name in NAIVE}
    lost = {name: mean_interval(runs.final(name) - runs.final(name, "constant:0")) for name in NAIVE}
    all_do = all(line["collapsed"] for name in NAIVE for line in runs.of(name))
    above = [change.low > 0 for change in changes.values()]
    yield (
        f"{verdict(all_do and not any(above), all(above))}; supported if all runs collapse by the rules "
        "([docs/collapse.md](../../../docs/collapse.md)) and neither ends surely above the base model.\n"
    )
    yield "| objective | pass@1 at sync | pass@1 | minus base | minus its own sync | collapsed by the rules |"
    yield "|---|---|---|---|---|---|"
    for name in NAIVE:
        scores = [mean_interval(runs.final(name, "constant:0")), mean_interval(runs.final(name))]
        texts = [*map(shown, scores), shown(changes[name], True), shown(lost[name], True), runs.collapsed(name)]
        yield f"| {name} | {' | '.join(texts)} |"


def high_first(runs: Runs) -> Iterator[str]:
    """Both reach a high reward first."""
    peaks = {name: runs.matrix(SCORES, name).max(1) - runs.values("base", name) for name in NAIVE}
    shares = {name: mean_interval(peak / runs.gain("grpo")) for name, peak in peaks.items()}
    high, low = (all(s.low > 0.5 for s in shares.values()), all(s.high < 0.5 for s in shares.values()))
    yield f"{verdict(high, low)}; supported if the best of their five evaluations has half of GRPO's final gain.\n"
    yield "| objective | best evaluation minus base | as a share of GRPO's final gain |"
    yield "|---|---|---|"
    for name in NAIVE:
        yield f"| {name} | {shown(mean_interval(peaks[name]), True)} | {shown(shares[name])} |"


def stable(runs: Runs) -> Iterator[str]:
    """SPO and ASymPO stay stable."""
    scores = {name: runs.matrix(SCORES, name) for name in STABLE}
    falls = {name: mean_interval(found[:, -1] - found.max(1)) for name, found in scores.items()}
    gains = {name: mean_interval(runs.gain(name)) for name in STABLE}
    holds = [falls[name].low > -MARGIN and gains[name].low > 0 for name in STABLE]
    yield (
        f"{verdict(all(holds), not any(holds))}; supported if all end above the base model and within {MARGIN} of "
        "their best evaluation.\n"
    )
    yield "| objective | final minus base | final minus its best evaluation | collapsed by the rules |"
    yield "|---|---|---|---|"
    for name in STABLE:
        yield f"| {name} | {shown(gains[name], True)} | {shown(falls[name], True)} | {runs.collapsed(name)} |"


def competitive(runs: Runs) -> Iterator[str]:
    """They are competitive with GRPO."""
    found = [mean_interval(runs.final(name) - runs.final("grpo")) for name in STABLE]
    fine, worse = all(one.low > -MARGIN for one in found), any(one.high < -MARGIN for one in found)
    yield f"{verdict(fine, worse)}; supported if none is worse by {MARGIN} (non-inferiority).\n"
    yield from differences(runs, STABLE, "grpo")


def against_spo(runs: Runs) -> Iterator[str]:
    """ASymPO against SPO is mixed."""
    found = [mean_interval(runs.final("asympo", lag) - runs.final("spo", lag)) for lag in LAGS]
    ahead, behind = [one.low > 0 for one in found], [one.high < 0 for one in found]
    yield (
        f"{verdict(any(ahead) and any(behind), all(ahead) or all(behind))}; supported if each is ahead under some "
        "schedule, contradicted if one is ahead under all.\n"
    )
    yield from differences(runs, ("asympo", "asympo_stable"), "spo")


def differences(runs: Runs, names: Sequence[str], other: str) -> Iterator[str]:
    yield f"| minus {other} | {' | '.join(LAGS.values())} |"
    yield "|---|" + "---|" * len(LAGS)
    for name in names:
        texts = [shown(mean_interval(runs.final(name, lag) - runs.final(other, lag)), True) for lag in LAGS]
        yield f"| {name} | {' | '.join(texts)} |"


def alpha(runs: Runs) -> Iterator[str]:
    """SPO depends on its constant: 1 is the naive loss and collapses, 0 is weak."""
    places = {"0": ("positive_only",), "0.2": ("spo",), "0.5": ("spo", ASYNCHRONOUS, "0.5"), "1": ("policy_gradient",)}
    found = {scale: mean_interval(runs.final(*place) - runs.final("spo")) for scale, place in places.items()}
    one, none = found["1"], found["0"]
    yield f"1 collapses: {verdict(one.high < 0, one.low > 0)}; supported if it is worse than 0.2."
    yield f"0 is weak: {verdict(none.high < 0, none.low > 0)}; likewise.\n"
    yield "| alpha | objective | pass@1 | minus that of 0.2 |"
    yield "|---|---|---|---|"
    for scale, place in places.items():
        difference = "" if scale == "0.2" else shown(found[scale], True)
        yield f"| {scale} | {place[0]} | {shown(mean_interval(runs.final(*place)))} | {difference} |"


def imbalance(runs: Runs) -> Iterator[str]:
    """The negative side's NLL outgrows the positive side's before the naive loss collapses."""
    names = (*NAIVE, "grpo", *STABLE)
    grown = {name: mean_interval(np.diff(runs.matrix(IMBALANCES[:2], name), axis=1)[:, 0]) for name in names}
    naive = grown["policy_gradient"]
    yield (
        f"{verdict(naive.low > 0, naive.high < 0)}; supported if the ratio of theorem 4 for the naive loss, S_N / S_P, "
        "is larger in the second fifth of its updates than in the first.\n"
    )
    yield f"| S_N / S_P, mean of updates | {' | '.join(f'to {v}' for v in VERSIONS)} | second fifth minus first |"
    yield "|---|" + "---|" * (len(VERSIONS) + 1)
    for name in names:
        means = [f"{mean:.2f}" for mean in runs.matrix(IMBALANCES, name).mean(0)]
        yield f"| {name} | {' | '.join(means)} | {shown(grown[name], True)} |"


CLAIMS = (collapse, high_first, stable, competitive, against_spo, alpha, imbalance)


def main(out: Path, folders: Sequence[Path]) -> None:
    path = out / "runs.csv"
    if folders:
        out.mkdir(parents=True, exist_ok=True)
        found = [line for folder in folders for line in lines_of(folder)]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS + SCORES + IMBALANCES, lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    with path.open(newline="") as file:
        runs = Runs(list(csv.DictReader(file)))
    (out / "claims.md").write_text("\n".join(claims(runs)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
