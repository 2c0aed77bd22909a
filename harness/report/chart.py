"""The picture: held-out pass@1 against lag, one line an objective."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ..config import NO_MISMATCH
from .document import Interval, Report, Row

# Okabe and Ito's palette: tells apart under the common forms of color blindness; markers say it once more.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*<>h"  # not as many as colors, so that no pair comes again before the 77th objective
matplotlib.rcParams["text.parse_math"] = False  # a name may hold dollar signs


def pass_at_1_against_lag(report: Report, path: Path) -> None:
    """Write the picture to `path` (PNG): constant lags on a log2(1 + lag) axis, other schedules beside them by name.

    Without mismatch, where a suite has several.
    """
    shown = min((row.mismatch for row in report.rows), key=lambda name: (name != NO_MISMATCH, name), default="")
    rows = [row for row in report.rows if row.mismatch == shown]
    lags = sorted({row.constant_lag for row in rows if row.constant_lag is not None})
    others = sorted({row.lag for row in rows if row.constant_lag is None})
    shares = [max(len(lags), 3), len(others)] if others else [1]
    figure, panels = plt.subplots(
        1, len(shares), figsize=(7.2 + 0.9 * len(others), 4.2), dpi=150, sharey=True, squeeze=False,
        width_ratios=shares, layout="constrained",
    )  # fmt: skip
    names = sorted({row.objective for row in rows})
    for i, name in enumerate(names):
        mine = [row for row in rows if row.objective == name and row.seeds]
        constant = [(np.log2(1 + row.constant_lag), row) for row in mine if row.constant_lag is not None]
        line = "-" if i < len(COLORS) else "--"
        _points(panels[0, 0], name, constant, i, line, 0.03 * (i - (len(names) - 1) / 2))
        if others:
            named = [(others.index(row.lag), row) for row in mine if row.lag in others]
            _points(panels[0, 1], "", named, i, "none", 0.8 / len(names) * (i - (len(names) - 1) / 2))
    for axes in panels[0]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9")
    if report.base:
        _mark_base(panels[0], report.base["pass@1"].mean)
    axes = panels[0, 0]
    axes.set_xticks([np.log2(1 + lag) for lag in lags], [str(lag) for lag in lags])
    axes.set_xlabel("constant lag (optimizer updates)")
    axes.set_ylabel("held-out pass@1")
    axes.set_ylim(bottom=0)
    if others:
        panels[0, 1].set_xticks(range(len(others)), others, rotation=30, ha="right", fontsize=8)
        panels[0, 1].set_xlabel("other schedules")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=min(len(names), 5), frameon=False, fontsize=8.5)
    if not report.valid:
        figure.suptitle("NOT VALID: a gate has failed", color="#D55E00")
    figure.savefig(path, format="png", metadata={"Software": None})
    plt.close(figure)


def _mark_base(panels: Sequence[plt.Axes], base: float) -> None:
    for axes in panels:
        axes.axhline(base, color="0.4", linestyle=":", linewidth=1.2)
    panels[-1].annotate("base model", (1.0, base), (2, 2), xycoords=("axes fraction", "data"),
                        textcoords="offset points", color="0.4", fontsize=8, annotation_clip=False, rotation=90,
                        ha="left", va="center")  # fmt: skip


def _points(axes: plt.Axes, name: str, points: Sequence[tuple[float, Row]], i: int, line: str, aside: float) -> None:
    """Means with intervals of objective number i, a little aside of these places so that intervals stand apart."""
    if not points:
        return
    scores = [row.scores["pass@1"] for _, row in points]
    x = [place + aside for place, _ in points]
    reach = np.array([_reach(score) for score in scores]).T  # [2, N], down and up
    axes.errorbar(x, [estimate.mean for estimate in scores], yerr=reach, label=name or None, linestyle=line,
                  color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)], markersize=5, linewidth=1.6,
                  elinewidth=1, capsize=2)  # fmt: skip


def _reach(score: Interval) -> tuple[float, float]:
    """Of an error bar, down and up; none without an interval."""
    if score.low is None or score.high is None:
        return 0.0, 0.0
    return score.mean - score.low, score.high - score.mean
