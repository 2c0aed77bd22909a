"""Learning curves and means of what every update measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy import special

from ..statistics.intervals import CONFIDENCE, FEWEST_SEEDS
from . import document as doc
from .groups import Group
from .results import MEASURES, Cell

POINTS, FEW_POINTS = 60, 24  # of a curve; few where there are many curves
MANY_CURVES = 100
DIGITS = 4  # significant ones: more than a picture shows


def diagnostics(cells: Sequence[Cell]) -> dict[str, float]:
    """Mean of every measurement over the second half of the updates, then over seeds; none of what was not measured."""
    measured = [cell for cell in cells if len(cell.tokens)]
    if not measured:
        return {}
    columns = [np.stack([cell.measures[name][len(cell.tokens) // 2 :] for name in MEASURES], 1) for cell in measured]
    means = _mean(np.stack([_mean(updates) for updates in columns]))  # [measures]
    return {name: value for name, value in zip(MEASURES, means.tolist(), strict=True) if np.isfinite(value)}


def curves(groups: Iterable[Group]) -> Iterator[doc.Curve]:
    """One of every row whose cells have measured anything: means over seeds, of bins of equally many updates.

    A run that ended early is in the mean for as long as it went on.
    """
    measured = [(group, [cell for cell in group.cells if len(cell.tokens)]) for group in groups]
    measured = [(group, cells) for group, cells in measured if cells]
    points = FEW_POINTS if len(measured) > MANY_CURVES else POINTS
    for group, cells in measured:
        yield _curve(group, cells, points)


def _curve(group: Group, cells: Sequence[Cell], points: int) -> doc.Curve:
    updates = max(len(cell.tokens) for cell in cells)
    edges = np.unique(np.linspace(0, updates, min(points, updates) + 1).round().astype(int))  # [points + 1]
    binned = {name: _binned([cell.measures[name] for cell in cells], edges) for name in MEASURES}  # [seeds, points]
    reward = binned["reward"]
    half = _half_width(reward)
    tokens = np.nanmean(_padded([np.cumsum(cell.tokens) for cell in cells], updates), 0)[edges[1:] - 1]
    return doc.Curve(
        objective=group.objective,
        lag=group.lag,
        mismatch=group.mismatch,
        updates=tuple((edges[1:] - 1).tolist()),
        tokens=tuple(tokens.round().tolist()),
        reward_low=_plain(np.maximum(_mean(reward) - half, 0.0)),
        reward_high=_plain(np.minimum(_mean(reward) + half, 1.0)),
        measures={name: _plain(_mean(values)) for name, values in binned.items() if np.isfinite(values).any()},
    )


def _padded(columns: Sequence[np.ndarray], updates: int) -> np.ndarray:
    """[seeds, updates], nan behind the end of a run that ended early."""
    rows = np.full((len(columns), updates), np.nan)
    for row, column in zip(rows, columns, strict=True):
        row[: len(column)] = column
    return rows


def _binned(columns: Sequence[np.ndarray], edges: np.ndarray) -> np.ndarray:
    """[seeds, points]: mean of the measurements in each bin; nan where there are none."""
    rows = _padded(columns, edges[-1])
    known = np.isfinite(rows)
    sums = np.add.reduceat(np.where(known, rows, 0), edges[:-1], 1)
    counts = np.add.reduceat(known, edges[:-1], 1)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _mean(rows: np.ndarray) -> np.ndarray:
    """Over the first axis, of what is there; nan where nothing is."""
    known = np.isfinite(rows)
    counts = known.sum(0)
    return np.divide(np.where(known, rows, 0).sum(0), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _half_width(rows: np.ndarray) -> np.ndarray:
    """Half the width of the t interval over seeds; nan with fewer than three."""
    known = np.isfinite(rows)
    n = known.sum(0)
    squares = np.where(known, (rows - _mean(rows)) ** 2, 0).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            n >= FEWEST_SEEDS, special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * np.sqrt(squares / (n - 1) / n), np.nan
        )


def _plain(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)
