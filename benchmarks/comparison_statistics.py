"""Do a report's intervals hold the truth, and does a leaderboard of copies stay silent? By simulation.

    python benchmarks/comparison_statistics.py [--boards 10000] [--seed 0]

A board is 10 objectives under 6 schedules (constant lags 0, 4, 16, 64 and two others) with some seeds. Coverage is
measured in the published setting: means, spreads and correlations over seeds are those of results/published/tiny-v1,
and the base model is measured with the error that it had there. False alarms are counted on boards whose objectives
have the same mean under every schedule, with 23 kinds of noise; a collapsed run scores 0, and is known to have
collapsed. Power is that of one pair of objectives on 200 problems, 16 samples of each. The functions under test are
those of harness/statistics.

Exit code 1 where a requirement is missed: 95 % intervals cover 93 to 97 % on average over objectives, and 91 % of the
worst one (a share of few runs takes few values, so its interval has to cover at least 93 %); at most 5.5 % of boards
have any false mark; 95 % of rank intervals hold; pairing by seed at least doubles the power at 5 seeds.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import special, stats

from lagbench.harness.statistics.charged import Runs, charged_p, charged_retention_p, filled
from lagbench.harness.statistics.families import holm
from lagbench.harness.statistics.fieller import fieller
from lagbench.harness.statistics.intervals import clustered_share, highest_share, proportion_interval, student
from lagbench.harness.statistics.lag_numbers import Base, base_of, held_and_lost, lag_weights
from lagbench.harness.statistics.paired import LEVEL, paired, t_test
from lagbench.harness.statistics.ranks import rank_intervals
from lagbench.harness.statistics.retention import Gains, difference_of_retention

PUBLISHED = Path(__file__).parents[1] / "results" / "published" / "tiny-v1" / "report.json"
LAGS = np.array([0, 4, 16, 64])  # the first schedules
WEIGHTS = lag_weights(LAGS)
SEEDS = (3, 5, 8)
AT_ONCE = 1000  # boards
TRUTH = 50_000  # seeds that stand for all there are
MEANS = np.array([0.45, 0.43, 0.41, 0.40, 0.42, 0.40])  # of copies, by schedule
NAMES, SCHEDULES = 10, len(MEANS)
FIRST, SECOND = np.triu_indices(NAMES, 1)
SD = 0.02  # over seeds, of a run's own noise and of what the runs of a seed share
FAMILIES = ("against the baseline", "pairs, gain under lag", "pairs, own retention")
PROBLEMS, SAMPLES, DIFFICULTY = 200, 16, (0.4, 0.9)  # of the comparison of tests
EFFECT, RESAMPLES = 0.3, 500
OF_GAINS = (
    "gain in units of the baseline's at lag 0", "gain under lag", "own retention", "difference in gain under lag",
    "difference in own retention",
)  # fmt: skip
Interval = tuple[np.ndarray, np.ndarray, np.ndarray]
Noise = Callable[[np.random.Generator, tuple[int, int, int, int]], np.ndarray]  # of shape [B, N, L, S]


@dataclass
class Report:
    """What was required, and missed."""

    missed: list[str] = field(default_factory=list)

    def require(self, what: str, holds: bool) -> str:
        if not holds:
            self.missed.append(what)
        return "ok" if holds else "MISSED"


def chunks(boards: int) -> Iterator[int]:
    yield from [AT_ONCE] * (boards // AT_ONCE) + [boards % AT_ONCE] * bool(boards % AT_ONCE)


# ---- coverage in the published setting


@dataclass(frozen=True)
class Setting:
    """Means [N, L] over seeds, residuals [N, L, K] whose covariance is that of a seed, and the base model."""

    names: list[str]
    means: np.ndarray
    residuals: np.ndarray
    base: Base
    reference: int

    def draw(self, rng: np.random.Generator, boards: int, seeds: int, noise: str, centered: bool = False) -> np.ndarray:
        """Scores [B, N, L, S]: every seed a random mixture of the published ones' residuals.

        Centered, the means over seeds are the true ones.
        """
        kinds = {
            "normal": rng.standard_normal,
            "t(3) tails": lambda shape: rng.standard_t(3, shape) / 3**0.5,
            "left skew": lambda shape: 1 - rng.standard_exponential(shape),
        }
        mixture = kinds[noise]((boards, seeds, self.residuals.shape[-1]))
        mixture = mixture - mixture.mean(1, keepdims=True) if centered else mixture
        return self.means[..., None] + np.einsum("nlk,bsk->bnls", self.residuals, mixture)


def published() -> Setting:
    report = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    names = [standing["objective"] for standing in report["standings"]]
    by_row = {(row["objective"], row["lag"]): list(row["by_seed"].values()) for row in report["rows"]}
    scores = np.array([[by_row[name, lag] for lag in report["schedules"]] for name in names])  # [N, L, S]
    means = scores.mean(-1)
    residuals = (scores - means[..., None]) / (scores.shape[-1] - 1) ** 0.5
    base = (report["base"][metric]["mean"] for metric in ("pass@1", "pass@2"))
    problems = report["inputs"]["data_rows"]["chain"]["test"]
    base = base_of(*base, problems, report["settings"]["eval_samples"])
    return Setting(names, means, residuals, base, names.index(report["family"]["baseline"]))


def intervals(scores: np.ndarray, base: Base, reference: int) -> dict[str, Interval]:
    """Every interval of means that a table shows: value, low and high [B, ...], of scores [B, N, L, S]."""
    gains = scores - base.score
    own, error = gains[:, :, 0], base.error
    under_lag = over_lags(gains)
    unit = own[:, [reference]]
    first, second = (Gains(under_lag[:, index], own[:, index]) for index in (FIRST, SECOND))
    others = np.delete(np.arange(scores.shape[1]), reference)
    return {
        "pass@1": student(scores, 0.0, 1.0),
        "difference from the baseline": student(scores[:, others] - scores[:, [reference]], -1.0, 1.0),
        "change from lag 0": student(scores[:, :, 1:] - scores[:, :, :1], -1.0, 1.0),
        "gain in units of the baseline's at lag 0": over(gains, unit[:, :, None], (error, error)),
        "gain under lag": over(under_lag, unit, (error, error)),
        "own retention": over(under_lag, own, (error, error)),
        "difference in gain under lag": over(under_lag[:, FIRST] - under_lag[:, SECOND], unit, (0.0, error)),
        "difference in own retention": difference_of_retention(first, second, error).interval,
        "interquartile mean over schedules": student(np.sort(scores, 2)[:, :, 1:-1].mean(2), 0.0, 1.0),
    }  # fmt: skip


def over(numerators: np.ndarray, denominators: np.ndarray, shared: tuple[float, float]) -> Interval:
    return fieller(numerators, np.broadcast_to(denominators, numerators.shape), shared)


def coverage(
    rng: np.random.Generator, setting: Setting, boards: int, seeds: int, noise: str = "normal", known: bool = False
) -> dict[str, np.ndarray]:
    """By interval, how often each one of a board [2, K] holds the truth and has ends, of so many boards.

    `known`: the intervals take the base model's score as known, and it is not.
    The base model's error is put into all scores with the opposite sign: the gains are the same. Numbers that are the
    same by construction, as an objective's divided by itself, are left out.
    """
    everything = intervals(setting.draw(rng, 1, TRUTH, noise, centered=True), setting.base, setting.reference)
    truth = {name: value.ravel() for name, (value, _, _) in everything.items()}
    varies = {name: (high - low).ravel() > 1e-9 for name, (_, low, high) in everything.items()}
    held = {name: np.zeros((2, len(values))) for name, values in truth.items()}
    for size in chunks(boards):
        scores = setting.draw(rng, size, seeds, noise)
        error = setting.base.error * rng.standard_normal((size, 1, 1, 1))
        base = replace(setting.base, error=0.0) if known else setting.base
        measured = [intervals(s, base, setting.reference) for s in (scores, scores - error)]
        for name, true in truth.items():
            _, low, high = (ends.reshape(size, -1) for ends in measured[name in OF_GAINS][name])
            held[name] += [((low <= true) & (true <= high)).sum(0), np.isfinite(low).sum(0)]
    return {name: counts[:, varies[name]] for name, counts in held.items()}


def show_coverage(report: Report, setting: Setting, boards: int, seed: int) -> None:
    print(f"\nCoverage of 95 % intervals in the published setting, {boards} boards: mean over objectives (worst one)\n")
    print("| interval | 3 seeds | 5 seeds | 8 seeds | 5, t(3) tails | 5, left skew | 8, base as known | required | |")
    print("|---|---|---|---|---|---|---|---|---|")
    cases: list[tuple[int, str, bool]] = [(s, "normal", False) for s in SEEDS]
    cases += [(5, "t(3) tails", False), (5, "left skew", False), (8, "normal", True)]
    found = [coverage(np.random.default_rng([seed, 1, i]), setting, boards, *case) for i, case in enumerate(cases)]
    for name in found[0]:
        shares = [board[name][0] / board[name][1] for board in found]
        texts = [f"{share.mean():.3f} ({share.min():.3f})" for share in shares]
        holds = all(0.93 <= share.mean() <= 0.97 and share.min() >= 0.91 for share in shares[: len(SEEDS)])
        print(f"| {name} | {' | '.join(texts)} | 0.93 to 0.97 (0.91) | {report.require(f'coverage, {name}', holds)} |")
    without = 1 - min((board[name][1] / boards).min() for board in found for name in board)
    print(f"\nAt most {without:.4f} of any one had no ends.", flush=True)


# ---- shares of runs, and lags that are held


def rate_laws(rng: np.random.Generator, boards: int, seeds: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """Name, true rate, and which runs collapse [B, L, S]."""
    shape = (boards, SCHEDULES, seeds)
    for rate in (0.05, 0.1, 0.2, 0.3, 0.5):
        yield f"each run by itself, {rate}", rate, rng.random(shape) < rate
    for bad, rate in ((0.3, 0.5), (0.5, 0.5), (0.2, 1.0)):
        name = f"{bad:.0%} of seeds are bad, there {rate:.0%}"
        yield name, bad * rate, (rng.random((boards, 1, seeds)) < bad) & (rng.random(shape) < rate)
    by_schedule = np.resize([0.0, 0.0, 0.8, 0.0, 0.4, 0.6], SCHEDULES)
    yield "by schedule, 0 to 0.8", float(by_schedule.mean()), rng.random(shape) < by_schedule[:, None]


def show_rates(report: Report, boards: int, seed: int) -> None:
    print(f"\nCollapse rate of an objective with {SCHEDULES} schedules, {boards} boards: coverage\n")
    print("| collapses | 3 seeds | 5 seeds | 8 seeds | required | |")
    print("|---|---|---|---|---|---|")
    rows: dict[str, list[float]] = {}
    for seeds in SEEDS:
        for name, rate, collapsed in rate_laws(np.random.default_rng([seed, 2, seeds]), boards, seeds):
            _, low, high = clustered_share(collapsed.sum(1), np.full((boards, seeds), SCHEDULES))
            rows.setdefault(name, []).append(float(np.mean((low <= rate) & (rate <= high))))
    for seeds in SEEDS:
        ends = [proportion_interval(count, seeds) for count in range(seeds + 1)]
        for rate in (0.1, 0.3):
            covers = sum(stats.binom.pmf(k, seeds, rate) for k, end in enumerate(ends) if end.low <= rate <= end.high)
            rows.setdefault(f"one schedule, {rate} (Clopper and Pearson)", []).append(float(covers))
    for name, shares in rows.items():
        verdict = report.require(f"collapse rate, {name}", min(shares) >= 0.93)
        print(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} | at least 0.93 | {verdict} |", flush=True)


CURVES = {  # own retained gain at lags 0, 4, 16, 64
    "falls steadily": (1, 0.95, 0.8, 0.5),
    "a step after 4": (1, 1, 0.6, 0.6),
    "flat, then falls": (1, 1, 0.88, 0.5),
    "falls at once": (1, 0.6, 0.4, 0.2),
    "a tenth is lost everywhere": (1, 0.9, 0.9, 0.9),
    "nothing is lost": (1, 1, 1, 1),
}


def show_held(report: Report, setting: Setting, boards: int, seed: int) -> None:
    print(
        f"\nLags held and lost, {boards} boards: share of statements that are true (mean of lags left open between)\n"
    )
    print("| own retained gain | 3 seeds | 5 seeds | 8 seeds | required | |")
    print("|---|---|---|---|---|---|")
    gain, base = 0.2, setting.base
    for name, curve in CURVES.items():
        broken = [i for i, kept in enumerate(curve) if kept < 0.9]
        first = broken[0] if broken else len(curve)  # where more than a tenth is lost first
        texts, shares = [], []
        for seeds in SEEDS:
            rng = np.random.default_rng([seed, 3, seeds])
            errors = base.error * rng.standard_normal((boards, 1, 1))
            noise = SD / 2 * rng.standard_normal((boards, seeds, len(LAGS)))
            scores = base.score + gain * np.array(curve) + noise - errors
            found = [held_and_lost(board, LAGS, base) for board in scores]
            places = [
                (list(LAGS).index(one.held), list(LAGS).index(one.lost) if one.lost else len(LAGS))
                for one in found
                if one
            ]
            shares.append(float(np.mean([held < first <= lost for held, lost in places])))
            texts.append(f"{shares[-1]:.3f} ({np.mean([lost - held - 1 for held, lost in places]):.1f})")
        verdict = report.require(f"held and lost, {name}", min(shares) >= 0.93)
        print(f"| {name} | {' | '.join(texts)} | at least 0.93 | {verdict} |", flush=True)


# ---- false alarms on boards of copies


def normal(
    rng: np.random.Generator, shape: tuple[int, int, int, int], sd: np.ndarray | float = SD, shared: float = SD
) -> np.ndarray:
    return sd * rng.standard_normal(shape) + shared * rng.standard_normal((shape[0], 1, 1, shape[3]))


def unequal(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    return normal(rng, shape, np.geomspace(0.004, 0.08, NAMES)[rng.permutation(NAMES), None, None])


def nearly_the_same_at_lag_0(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    noise = normal(rng, shape)
    noise[:, 1:, 0] = noise[:, :1, 0] + 1e-4 * rng.standard_normal(noise[:, 1:, 0].shape)
    return noise


def one_run_of(objectives: int, rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    """One random run of so many objectives, the same of each board, which ones is drawn."""
    collapsed = np.zeros(shape, bool)
    names = rng.permuted(np.tile(np.arange(NAMES), (shape[0], 1)), axis=1)[:, :objectives]
    at = [rng.integers(size, size=names.shape) for size in shape[2:]]
    collapsed[np.arange(shape[0])[:, None], names, at[0], at[1]] = True
    return collapsed


def bad_seeds(share: float, rate: float, rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    return (rng.random((shape[0], 1, 1, shape[3])) < share) & (rng.random(shape) < rate)


def rates(by_name: list[float], rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    return rng.random(shape) < np.array(by_name)[:, None, None]


def no_run(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    return np.zeros(shape, bool)


@dataclass(frozen=True)
class Kind:
    """Noise, and which runs collapse; `rate` by objective is made up for by better other runs where means are equal."""

    noise: Noise = normal
    collapsed: Noise = no_run
    rate: tuple[float, ...] = (0.0,) * NAMES
    worse: tuple[int, ...] = ()  # objectives that are worse in truth: findings on them are no false alarms
    claimed: bool = True


def law(*rate: float, sd: float = SD) -> Kind:
    """These rates in turn, one alone that of the baseline, and means that are equal all the same."""
    by_name = tuple(np.resize(rate, NAMES).tolist()) if len(rate) > 1 else (rate[0], *(0.0,) * (NAMES - 1))
    return Kind(partial(normal, sd=sd, shared=sd), partial(rates, list(by_name)), by_name)


KINDS = {
    "equal normal": Kind(),
    "nothing shared by seed": Kind(partial(normal, shared=0.0)),
    "unequal normal, sd 0.004 to 0.08": Kind(unequal),
    "t(3)": Kind(lambda rng, shape: SD * rng.standard_t(3, shape)),
    "t(2)": Kind(lambda rng, shape: SD * rng.standard_t(2, shape)),
    "left skew": Kind(lambda rng, shape: SD * (1 - rng.standard_exponential(shape))),
    "nearly the same at lag 0": Kind(nearly_the_same_at_lag_0),
    "one run of the board collapses": Kind(collapsed=partial(one_run_of, 1)),
    "one run of each objective collapses": Kind(collapsed=partial(one_run_of, NAMES)),
    **{f"each run collapses, {p:.0%}": Kind(collapsed=partial(rates, [p] * NAMES)) for p in (0.1, 0.2, 0.3, 0.5)},
    "30 % of seeds are bad, half their runs collapse": Kind(collapsed=partial(bad_seeds, 0.3, 0.5)),
    "one objective only collapses, 30 %": Kind(collapsed=partial(rates, [0.0, 0.3, *[0.0] * 8]), worse=(1,)),
    **{f"unequal laws, equal means: the baseline collapses, {p:.0%}": law(p) for p in (0.05, 0.1, 0.2, 0.3)},
    **{f"unequal laws, equal means: every second collapses, {p:.0%}": law(p, 0.0) for p in (0.1, 0.2)},
    "the same, the baseline, 20%, little noise (sd 0.004)": law(0.2, sd=0.004),
    "the same, every second, 15%, little noise (sd 0.004)": law(0.15, 0.0, sd=0.004),
    "beyond the claim: the baseline collapses on all runs of a seed or none, 20 %": Kind(
        collapsed=lambda rng, shape: bad_seeds(0.2, 1.0, rng, shape) & (np.arange(NAMES) == 0)[:, None, None],
        rate=(0.2, *(0.0,) * 9), claimed=False,
    ),
}  # fmt: skip


def over_lags(values: np.ndarray) -> np.ndarray:
    """Mean over constant lags [B, N, S] of [B, N, L, S]."""
    return np.einsum("bnls,l->bns", values[:, :, : len(LAGS)], WEIGHTS)


def healthy(scores: np.ndarray, collapsed: np.ndarray) -> np.ndarray:
    """Mean score of an objective's runs that have not collapsed, 1 without any: [B, N] of [B, N, L, S]."""
    count = (~collapsed).sum((2, 3))
    return np.where(count > 0, np.where(collapsed, 0.0, scores).sum((2, 3)) / np.maximum(count, 1), 1.0)


def marks(scores: np.ndarray, collapsed: np.ndarray, base: Base) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By family, what Holm's method flags by paired t alone, and what gets a mark: [B, K] each."""
    boards, _, schedules, seeds = scores.shape
    rate = highest_share(collapsed.sum((2, 3)), schedules * seeds)  # [B, N]
    fill = filled(scores, collapsed, healthy(scores, collapsed)[:, :, None])
    rows = [Runs(scores[:, at], fill[:, at], rate[:, at, None]) for at in (slice(1, None), slice(1))]
    under_lag, at_lag_0 = (
        tuple(Runs(how(scores)[:, at], how(fill)[:, at], rate[:, at]) for at in (FIRST, SECOND))
        for how in (over_lags, lambda values: values[:, :, 0])
    )
    gains = [Gains(a.scores - base.score, z.scores - base.score) for a, z in zip(under_lag, at_lag_0, strict=True)]
    p = {
        FAMILIES[0]: t_test(rows[0].scores - rows[1].scores).reshape(boards, -1),
        FAMILIES[1]: t_test(under_lag[0].scores - under_lag[1].scores),
        FAMILIES[2]: difference_of_retention(*gains, base.error).p,
    }
    charged = {
        FAMILIES[0]: charged_p(*rows).reshape(boards, -1),
        FAMILIES[1]: charged_p(*under_lag),
        FAMILIES[2]: charged_retention_p(under_lag, at_lag_0, base),
    }
    plain = {name: holm(found, found.shape[1]) <= LEVEL for name, found in p.items()}
    return plain, {name: plain[name] & (holm(found, found.shape[1]) <= LEVEL) for name, found in charged.items()}


def false_alarms(rng: np.random.Generator, kind: Kind, boards: int, seeds: int, base: Base) -> np.ndarray:
    """Share of boards with any false finding [2, families]: by paired t and Holm alone, and marked."""
    worse = np.isin(np.arange(NAMES), kind.worse)
    null = {
        FAMILIES[0]: np.repeat(~worse[1:], SCHEDULES),
        **{name: ~(worse[FIRST] | worse[SECOND]) for name in FAMILIES[1:]},
    }
    rate = np.array(kind.rate)[:, None]
    counted = np.zeros((2, len(FAMILIES)))
    for size in chunks(boards):
        shape = (size, NAMES, SCHEDULES, seeds)
        collapsed = kind.collapsed(rng, shape)
        scores = np.clip(MEANS / (1 - rate), 0, 1)[..., None] + kind.noise(rng, shape)
        scores = np.where(collapsed, 0.0, np.clip(scores, 0, 1)) - base.error * rng.standard_normal((size, 1, 1, 1))
        for i, found in enumerate(marks(scores, collapsed, base)):
            counted[i] += [np.any(found[name] & null[name], 1).sum() for name in FAMILIES]
    return counted / boards


def show_false_alarms(report: Report, base: Base, boards: int, seed: int) -> None:
    print(f"\nFalse alarms: {NAMES} objectives of equal means, {SCHEDULES} schedules, {boards} boards: share with any")
    print("mark in a family, in brackets with any adjusted p of paired t up to 0.05. Families: against the baseline /")
    print("pairs by gain under lag / pairs by own retention.\n")
    print("| noise | 3 seeds | 5 seeds | 8 seeds | required | |")
    print("|---|---|---|---|---|---|")
    for number, (name, kind) in enumerate(KINDS.items()):
        texts, worst = [], 0.0
        for seeds in SEEDS:
            plain, marked = false_alarms(np.random.default_rng([seed, 4, number, seeds]), kind, boards, seeds, base)
            worst = max(worst, float(marked.max()))
            texts.append(" / ".join(f"{m:.3f} ({p:.3f})" for p, m in zip(plain, marked, strict=True)))
        required = "at most 0.055 | " if kind.claimed else "none | "
        required += report.require(f"false alarms, {name}: {worst:.3f}", worst <= 0.055) if kind.claimed else ""
        print(f"| {name} | {' | '.join(texts)} | {required} |", flush=True)


# ---- ranks


def published_boards(
    rng: np.random.Generator, setting: Setting, boards: int, seeds: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Boards of the published setting without collapses: by family what is marked [B, K], and values [B, N]."""
    scores = setting.draw(rng, boards, seeds, "normal")
    scores = scores - setting.base.error * rng.standard_normal((boards, 1, 1, 1))
    gains = (scores - setting.base.score).mean(-1, keepdims=True)
    under_lag = over_lags(gains)[..., 0]
    values = {FAMILIES[1]: under_lag, FAMILIES[2]: under_lag / gains[:, :, 0, 0]}
    return marks(scores, np.zeros(scores.shape, bool), setting.base)[1], values


def ranks_of(marked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Best and worst rank [2, N] of one board."""
    pairs = zip(FIRST.tolist(), SECOND.tolist(), marked, strict=True)
    sure = [(a, b) if values[a] > values[b] else (b, a) for a, b, is_sure in pairs if is_sure]
    return np.array([(rank.best, rank.worst) for rank in rank_intervals(sure, NAMES)]).T


def show_ranks(report: Report, setting: Setting, boards: int, seed: int) -> None:
    print(
        f"\nThe published setting, if nothing collapses, {boards} boards: share in which all rank intervals hold (mean"
    )
    print("width in ranks, share of comparisons that get a mark)\n")
    print("| family | 3 seeds | 5 seeds | 8 seeds | required | |")
    print("|---|---|---|---|---|---|")
    gains = setting.means[..., None] - setting.base.score
    under_lag = over_lags(gains[None])[0, :, 0]
    found = [published_boards(np.random.default_rng([seed, 5, s]), setting, boards, s) for s in SEEDS]
    print(f"| {FAMILIES[0]} | {' | '.join(f'({marked[FAMILIES[0]].mean():.2f})' for marked, _ in found)} | none | |")
    for family, true in ((FAMILIES[1], under_lag), (FAMILIES[2], under_lag / gains[:, 0, 0])):
        places = 1 + np.argsort(np.argsort(-true))
        texts, shares = [], []
        for marked, values in found:
            ranks = np.array([ranks_of(*board) for board in zip(marked[family], values[family], strict=True)])
            holds = (ranks[:, 0] <= places) & (places <= ranks[:, 1])  # [B, N]
            shares.append(holds.all(1).mean())
            width = (ranks[:, 1] - ranks[:, 0] + 1).mean()
            texts.append(f"{shares[-1]:.3f} ({width:.1f}, {marked[family].mean():.2f})")
        verdict = report.require(f"ranks, {family}", min(shares) >= 0.95)
        print(f"| {family} | {' | '.join(texts)} | at least 0.95 | {verdict} |", flush=True)


# ---- which test finds most


def problem_scores(rng: np.random.Generator, effects: np.ndarray, seeds: int, shared: float) -> np.ndarray:
    """Scores of every problem [A, S, M]; sd in log-odds: 0.15 of a run, `shared` of a seed, 0.5 of a run's problem."""
    problems = special.logit(np.clip(rng.beta(*DIFFICULTY, PROBLEMS), 1e-12, 1 - 1e-12))
    shifts = effects[:, None] + 0.15 * rng.standard_normal((len(effects), seeds)) + shared * rng.standard_normal(seeds)
    logits = problems + shifts[..., None] + 0.5 * rng.standard_normal((len(effects), seeds, PROBLEMS))
    return rng.binomial(SAMPLES, special.expit(logits)) / SAMPLES


def excludes_0(resampled: np.ndarray) -> bool:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return bool(low > 0 or high < 0)


def single_tests(rng: np.random.Generator, pairs: int, seeds: int, effect: float, shared: float) -> dict[str, float]:
    """How often each 5 % test flags one pair of objectives that differ by this effect in log-odds."""
    found: dict[str, int] = dict.fromkeys(
        ("paired t", "exact", "Welch t", "bootstrap of seeds", "bootstrap of problems"), 0
    )
    for _ in range(pairs):
        scores = problem_scores(rng, np.array([1 + effect, 1.0]), seeds, shared)
        first, second = scores.mean(axis=-1)
        result = paired(first, second)
        drawn = rng.integers(seeds, size=(2, RESAMPLES, seeds))  # each objective's seeds by themselves, as rliable does
        problems = rng.multinomial(PROBLEMS, np.full(PROBLEMS, 1 / PROBLEMS), RESAMPLES) / PROBLEMS
        found["paired t"] += result.p <= LEVEL
        found["exact"] += result.p_exact <= LEVEL
        found["Welch t"] += stats.ttest_ind(first, second, equal_var=False).pvalue <= LEVEL
        found["bootstrap of seeds"] += excludes_0(first[drawn[0]].mean(1) - second[drawn[1]].mean(1))
        found["bootstrap of problems"] += excludes_0(problems @ (scores[0] - scores[1]).mean(0))
    return {test: flags / pairs for test, flags in found.items()}


def show_single_tests(report: Report, pairs: int, seed: int) -> None:
    print(f"\nOne pair of objectives, 5 % tests, {pairs} pairs: how often flagged\n")
    print("| noise shared by seed | effect | seeds | paired t | exact | Welch t | bootstrap of seeds | of problems |")
    print("|---|---|---|---|---|---|---|---|")
    for shared in (0.0, 0.3):
        for effect in (0.0, EFFECT):
            for seeds in SEEDS:
                rng = np.random.default_rng([seed, 6, round(10 * shared), round(10 * effect), seeds])
                found = single_tests(rng, pairs, seeds, effect, shared)
                print(
                    f"| {shared} | {effect} | {seeds} | {' | '.join(f'{t:.3f}' for t in found.values())} |", flush=True
                )
                if shared and effect and seeds == 5:
                    ratio = found["paired t"] / max(found["Welch t"], 1 / pairs)
    verdict = report.require(f"power of paired t over Welch's: {ratio:.1f}", ratio >= 2)
    print(f"\nPairing at 5 seeds where noise is shared: {ratio:.1f} x the power of Welch's t (required: 2) {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--boards", type=int, default=10_000, help="simulated of each kind (pairs of objectives: a tenth)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report, started, setting = Report(), time.monotonic(), published()
    show_coverage(report, setting, options.boards, options.seed)
    show_rates(report, options.boards, options.seed)
    show_held(report, setting, max(options.boards // 10, 1), options.seed)
    show_false_alarms(report, setting.base, options.boards, options.seed)
    show_ranks(report, setting, max(options.boards // 10, 1), options.seed)
    show_single_tests(report, max(options.boards // 10, 1), options.seed)
    print(f"\n{time.monotonic() - started:.0f} s. " + ("Every requirement holds." if not report.missed else "Missed:"))
    for line in report.missed:
        print(line)
    raise SystemExit(1 if report.missed else 0)


if __name__ == "__main__":
    main()
