"""The picture of a probe: cosine with the on-policy gradient, objectives down, lags across."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .fidelity import Fidelity

COLORMAP = "cividis"  # reads the same for the common forms of color blindness; the numbers say it again


def cosine_by_lag(fidelity: Fidelity, path: Path) -> None:
    """Write the picture to `path` (PNG)."""
    values = np.array([[fidelity.cosine[name, lag].mean for lag in fidelity.lags] for name in fidelity.objectives])
    size = (1.9 + 0.62 * len(fidelity.lags), 1.0 + 0.24 * len(fidelity.objectives))
    figure, axes = plt.subplots(figsize=size, dpi=150, layout="constrained")
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    image = axes.imshow(values, cmap=COLORMAP, vmin=low, vmax=1.0, aspect="auto")
    axes.set_xticks(range(len(fidelity.lags)), [str(lag) for lag in fidelity.lags])
    axes.set_yticks(range(len(fidelity.objectives)), fidelity.objectives, fontsize=8)
    axes.set_xlabel("lag of the responses (optimizer updates)")
    axes.set_title("Cosine with the on-policy gradient", fontsize=10)
    for (i, j), value in np.ndenumerate(values):
        color = "black" if value > low + 0.55 * (1 - low) else "white"
        axes.text(
            j, i, "failed" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", color=color, fontsize=7
        )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.5)
    figure.savefig(path, format="png", metadata={"Software": None})
    plt.close(figure)
