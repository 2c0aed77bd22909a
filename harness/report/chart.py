"""The picture: held-out pass@1 against lag, one line an objective."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .comparison import Comparison, Row, constant_lag

# Okabe and Ito's palette: tells apart under the common forms of color blindness; markers say it once more.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def pass_at_1_against_lag(comparison: Comparison, path: Path) -> None:
    """Write the picture to `path` (PNG). Constant lags only; the axis is log2(1 + lag)."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    names = sorted({row.objective for row in comparison.rows})
    for i, name in enumerate(names):
        _line(axes, name, [row for row in comparison.rows if row.objective == name], i)
    if comparison.base_scores:
        _mark_base(axes, comparison.base_scores["pass@1"].mean)
    lags = sorted({lag for row in comparison.rows if (lag := constant_lag(row.lag)) is not None})
    axes.set_xticks([np.log2(1 + lag) for lag in lags], [str(lag) for lag in lags])
    axes.set_xlabel("lag (optimizer updates)")
    axes.set_ylabel("held-out pass@1")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=min(len(names), 5), frameon=False, fontsize=8.5)
    figure.savefig(path, format="png", metadata={"Software": None})
    plt.close(figure)


def _mark_base(axes: plt.Axes, base: float) -> None:
    axes.axhline(base, color="0.4", linestyle=":", linewidth=1.2)
    axes.annotate("base model", (1.0, base), (2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                  color="0.4", fontsize=8, annotation_clip=False, rotation=90, ha="left", va="center")  # fmt: skip


def _line(axes: plt.Axes, name: str, rows: list[Row], i: int) -> None:
    points = [(lag, row.scores["pass@1"]) for row in rows if (lag := constant_lag(row.lag)) is not None and row.seeds]
    if not points:
        return
    shift = 0.03 * (i - 2)  # so that intervals at one lag stand beside each other
    x = [np.log2(1 + lag) + shift for lag, _ in points]
    mean = np.array([estimate.mean for _, estimate in points])
    half = np.array([np.nan_to_num(estimate.high - estimate.mean) for _, estimate in points])
    axes.errorbar(x, mean, yerr=half, label=name, color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)],
                  markersize=5, linewidth=1.6, elinewidth=1, capsize=2)  # fmt: skip
