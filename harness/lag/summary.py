"""A plan in numbers and as text. Lags count optimizer updates; a token weighs the same wherever it stands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..noise import LENGTHS, stream
from .plan import LagPlan
from .planning import Resolved, Scene
from .trace import read_trace

UPDATES, GROUPS, TOKENS = 200, 32, 16  # of a scene that nobody describes
MADE_UP_LENGTHS = "response lengths are made up here; a run measures them on its model"
COLUMNS, ROWS, BAR = 64, 8, 50  # characters of the plot and of the longest bar, for terminals of 80 columns


@dataclass(frozen=True)
class Statistics:
    """Of the versions that begin the groups, and of all tokens."""

    mean: float
    median: float
    p95: float
    max: int
    share_at_0: float  # of the groups
    token_mean: float


class TokenLags(NamedTuple):
    """How old the tokens are, by stretches that one version draws of one group; sorted by update."""

    update: np.ndarray  # [M]
    lag: np.ndarray  # [M]
    tokens: np.ndarray  # [M], at least 1


class Timeline(NamedTuple):
    """Over the tokens of each update."""

    low: np.ndarray  # [U]
    mean: np.ndarray  # [U]
    high: np.ndarray  # [U]


class Bin(NamedTuple):
    """Lags first to last, both included, and their share of the tokens."""

    first: int
    last: int
    share: float

    @property
    def label(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def imagined_scene(found: Resolved, updates: int | None, groups: int | None, tokens: int | None, seed: int) -> Scene:
    """A run to plan for where there is none, with made-up response lengths; a trace brings its own size."""
    if found.entry.name == "trace":
        recorded = read_trace(found.options["file"])
        size, last_switch = recorded.source.shape, int(recorded.switches[:, 2].max(initial=0))
        updates, groups, tokens = updates or size[0], groups or size[1], tokens or max(TOKENS, last_switch + 1)
    updates, groups, tokens = updates or UPDATES, groups or GROUPS, tokens or TOKENS
    return Scene(updates, groups, tokens, seed, lambda: made_up_lengths(updates, groups, tokens, seed))


def made_up_lengths(updates: int, groups: int, tokens: int, seed: int) -> np.ndarray:
    """Mean response lengths from 1 to `tokens`, [U, P], from a stream that no schedule draws from."""
    return stream(LENGTHS, seed).uniform(1, tokens, (updates, groups))


def note_on(found: Resolved) -> str:
    """What of a schedule's plan is different in a run; else nothing."""
    return MADE_UP_LENGTHS if "lengths" in found.entry.reads else ""


def statistics(plan: LagPlan, tokens: int) -> Statistics:
    """Every response taken as `tokens` long."""
    lag, drawn = plan.lag, token_lags(plan, tokens)
    return Statistics(
        mean=float(lag.mean()),
        median=float(np.median(lag)),
        p95=float(np.percentile(lag, 95)),
        max=int(lag.max()),
        share_at_0=float((lag == 0).mean()),
        token_mean=float(np.average(drawn.lag, weights=drawn.tokens)),
    )


def token_lags(plan: LagPlan, tokens: int) -> TokenLags:
    """Every response taken as `tokens` long."""
    update, _, start, end, version = plan.segments[plan.segments[:, 2] < tokens].T
    return TokenLags(update, update - version, np.minimum(end, tokens) - start)


def timeline(drawn: TokenLags) -> Timeline:
    """Least, mean and greatest lag of every update."""
    begins = np.flatnonzero(np.diff(drawn.update, prepend=-1))
    total = np.add.reduceat(drawn.lag * drawn.tokens.astype(np.int64), begins)
    mean = total / np.add.reduceat(drawn.tokens.astype(np.int64), begins)
    return Timeline(np.minimum.reduceat(drawn.lag, begins), mean, np.maximum.reduceat(drawn.lag, begins))


def histogram(drawn: TokenLags, most: int = 12) -> list[Bin]:
    """At most `most` equally wide bins; ones that double (0, 1, 2-3, 4-7, ...) where half would be in the first."""
    counts = np.bincount(drawn.lag, weights=drawn.tokens)  # [max lag + 1]
    width = -(-len(counts) // most)
    edges = np.arange(0, len(counts) + width, width)
    if width > 1 and counts[:width].sum() > counts.sum() / 2:
        edges = np.r_[0, 2 ** np.arange(int(len(counts) - 1).bit_length() + 1)]
    below = np.r_[0, counts.cumsum()]  # tokens of a lag less than the index
    edges = np.minimum(edges, len(counts)).tolist()
    return [Bin(a, b - 1, float((below[b] - below[a]) / below[-1])) for a, b in itertools.pairwise(edges)]


def brief(plan: LagPlan) -> str:
    """One line."""
    switched = len(np.unique(plan.switches[:, :2], axis=0))
    lag = f"lag of groups mean {plan.lag.mean():.4g}, max {plan.lag.max()}"
    return f"{size(plan)}, {lag}, {_counted(switched, 'group')} in flight"


def page(plan: LagPlan, tokens: int) -> str:
    """Numbers, histogram and plot of a plan: ASCII, at most 80 columns."""
    numbers, drawn = statistics(plan, tokens), token_lags(plan, tokens)
    return "\n".join(
        [
            f"{size(plan)}, plan {plan.digest[:12]}",
            f"groups: mean lag {numbers.mean:.4g}, median {numbers.median:.4g}, 95th percentile {numbers.p95:.4g}, "
            f"max {numbers.max}",
            f"        {100 * numbers.share_at_0:.1f} % at lag 0",
            f"tokens: mean lag {numbers.token_mean:.4g} (every response taken as {_counted(tokens, 'token')} long)",
            "",
            "lag of tokens, and their share",
            *_bars(histogram(drawn)),
            "",
            *_plot(timeline(drawn)),
        ]
    )


def _bars(bins: list[Bin]) -> Iterator[str]:
    greatest, width = max(bin.share for bin in bins), max(len(bin.label) for bin in bins)
    for bin in bins:
        share = "<0.1" if 0 < bin.share < 0.0005 else f"{100 * bin.share:.1f}"
        yield f"{bin.label:>{width + 2}} {share:>6} % {'#' * int(np.ceil(BAR * bin.share / greatest))}".rstrip()


def _plot(line: Timeline) -> Iterator[str]:
    """Columns stand for equally many updates each, rows for equally many lags."""
    updates = len(line.mean)
    each = -(-updates // COLUMNS)  # updates of a column
    begins = np.arange(0, updates, each)
    mean = np.add.reduceat(line.mean, begins) / np.diff(begins, append=updates)
    high = np.maximum.reduceat(line.high, begins)
    unit = max(-(-int(high.max()) // ROWS), 1)  # lags of a row
    wide, label = COLUMNS // len(begins), len(str(unit * ROWS))
    yield f"lag of tokens by update; a column is {_counted(each, 'update')}, # to their mean, : to their max"
    for row in range(-(-int(high.max()) // unit), 0, -1):
        marks = np.where(mean >= (row - 0.5) * unit, "#", np.where(high > (row - 1) * unit, ":", " "))
        yield f"{row * unit:>{label + 2}} |{''.join(np.repeat(marks, wide))}".rstrip()
    yield f"{0:>{label + 2}} +{'-' * (wide * len(begins))}"
    yield f"{'':{label + 4}}0{updates - 1:>{wide * len(begins) - 1}}" if updates > 1 else f"{'':{label + 4}}0"


def size(plan: LagPlan) -> str:
    updates, groups = plan.source.shape
    return f"{_counted(updates, 'update')} x {_counted(groups, 'group')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
