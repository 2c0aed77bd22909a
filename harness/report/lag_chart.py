"""The picture of a plan: lag against update, and how often each lag occurs."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ..lag import LagPlan
from ..lag.summary import Bin, Timeline, histogram, size, timeline, token_lags
from .chart import COLORS


def lag_of_plan(plan: LagPlan, tokens: int, path: Path) -> None:
    """Write the picture to `path` (PNG), every response taken as `tokens` long."""
    drawn = token_lags(plan, tokens)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), dpi=150, layout="constrained", width_ratios=(5, 3))
    figure.suptitle(f"{_shortened(plan.name)}: {size(plan)}", fontsize=11)
    _draw_timeline(left, timeline(drawn))
    _draw_histogram(right, histogram(drawn, most=16))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", metadata={"Software": None})
    plt.close(figure)


def _draw_timeline(axes: plt.Axes, line: Timeline) -> None:
    updates = np.arange(len(line.mean))
    marker = "o" if len(updates) == 1 else None
    axes.fill_between(updates, line.low, line.high, color=COLORS[5], alpha=0.45, linewidth=0, label="least to greatest")
    axes.plot(updates, line.mean, color=COLORS[0], linewidth=1.4, marker=marker, label="mean")
    axes.set_xlabel("update")
    axes.set_ylabel("lag of tokens (optimizer updates)")
    axes.set_ylim(0, max(1.05 * line.high.max(), 1))
    axes.margins(x=0.01)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False, fontsize=8.5
    )


def _draw_histogram(axes: plt.Axes, bins: list[Bin]) -> None:
    shares = [100 * bin.share for bin in bins]
    axes.barh(range(len(bins)), shares, color=COLORS[0], height=0.8)
    axes.set_yticks(range(len(bins)), [bin.label for bin in bins], fontsize=8.5)
    axes.set_ylim(-0.6, max(len(bins), 6) - 0.4)  # a few bars stay slim
    axes.set_ylabel("lag of tokens")
    axes.set_xlabel("share of tokens (%)")
    axes.set_xlim(0, 1.05 * max(shares))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def _shortened(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 + 3 :]}"
