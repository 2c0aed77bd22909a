"""A probe's seeds as one table: cosine and norm ratio by objective and lag, with intervals over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from .. import store
from ..statistics.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class Fidelity:
    """Estimates by (objective, lag), over seeds."""

    name: str
    objectives: tuple[str, ...]  # by their mean cosine, the best first
    lags: tuple[int, ...]
    seeds: int
    cosine: dict[tuple[str, int], Estimate]
    norm_ratio: dict[tuple[str, int], Estimate]
    reference_agreement: Estimate
    failures: tuple[str, ...]  # why an objective has no value somewhere; its estimates are nan there
    settings: dict[str, Any]


def read_fidelity(folder: Path, seeds_to_read: Sequence[int]) -> Fidelity:
    """The table of a probe's folder, over seeds that it has finished."""
    settings = store.read_json(folder / store.PROBE)["settings"]
    seeds = [store.read_json(folder / store.seed_file(seed)) for seed in seeds_to_read]
    keys = [(row["objective"], row["lag"]) for row in seeds[0]["rows"]]

    def over_seeds(name: str) -> dict[tuple[str, int], Estimate]:
        values = np.array([[row[name] for row in seed["rows"]] for seed in seeds], float)  # [seeds, rows], None is nan
        return {key: mean_interval(values[:, i]) for i, key in enumerate(keys)}

    cosine, lags = over_seeds("cosine"), tuple(sorted({lag for _, lag in keys}))
    order = {name: np.nan_to_num(np.mean([cosine[name, lag].mean for lag in lags]), nan=-1) for name, _ in keys}
    objectives = sorted(order, key=lambda name: (-order[name], name))
    agreement = mean_interval(np.array([seed["reference_agreement"] for seed in seeds]))
    return Fidelity(
        folder.resolve().name,
        tuple(objectives),
        lags,
        len(seeds),
        cosine,
        over_seeds("norm_ratio"),
        agreement,
        tuple(sorted({row["failure"] for seed in seeds for row in seed["rows"] if row["failure"]})),
        settings,
    )


def to_csv(fidelity: Fidelity) -> str:
    """One line for each objective and lag."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{name}{end}" for name in ("cosine", "norm_ratio") for end in ("", "_low", "_high")]
    writer.writerow(["objective", "lag", "seeds", *names])
    for name in fidelity.objectives:
        for lag in fidelity.lags:
            cosine, ratio = fidelity.cosine[name, lag], fidelity.norm_ratio[name, lag]
            values = (cosine.mean, cosine.low, cosine.high, ratio.mean, ratio.low, ratio.high)
            writer.writerow([name, lag, fidelity.seeds, *(f"{value:.6f}" for value in values)])
    return text.getvalue()


def to_markdown(fidelity: Fidelity) -> str:
    """Two tables, means with half the width of their intervals, and how to read them."""
    sections = (("Cosine with the on-policy gradient", fidelity.cosine), ("Norm over its norm", fidelity.norm_ratio))
    parts = [f"## {title}\n\n{_table(fidelity, values)}" for title, values in sections]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(fidelity))]) + "\n"


def _table(fidelity: Fidelity, values: dict[tuple[str, int], Estimate]) -> str:
    lines = [["objective", *(f"lag {lag}" for lag in fidelity.lags)], ["---"] + ["--:"] * len(fidelity.lags)]
    lines += [[name, *(_text(values[name, lag]) for lag in fidelity.lags)] for name in fidelity.objectives]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(estimate: Estimate) -> str:
    if np.isnan(estimate.mean):
        return "failed"
    half = estimate.high - estimate.mean
    return f"{estimate.mean:.2f}" if np.isnan(half) else f"{estimate.mean:.2f} ± {half:.2f}"


def notes(fidelity: Fidelity) -> list[str]:
    """What a reader has to know to read the tables."""
    suite, probe = fidelity.settings["suite"], fidelity.settings["probe"]
    batch = f"{suite['prompts_per_update']} x {suite['responses_per_prompt']} responses"
    history = fidelity.settings["history"]
    agreement = fidelity.reference_agreement
    if agreement.mean > 0:
        exact = (2 * agreement.mean / (1 + agreement.mean)) ** 0.5  # Spearman and Brown: twice the data, then its root
        reliable = f"an exact gradient would have one of about {exact:.2f} with the whole"
    else:
        reliable = "they do not agree, so the table says nothing; raise --fresh"
    intervals = ", ± half of the 95 % Student t interval over them" if fidelity.seeds > 1 else ""
    return [
        f"Mean over {fidelity.seeds} seed{'s' if fidelity.seeds > 1 else ''}{intervals}.",
        f"At version {suite['updates']} of a history trained with {history} at lag 0; responses drawn by the version "
        f"that many updates earlier, {probe['batches']} batches of {batch} for each lag, the same prompts and noise at "
        "all lags and for all objectives.",
        f"Reference: the gradient of {history} on {probe['fresh']} fresh batches. Its two halves have a cosine of "
        f"{_text(agreement)}; {reliable}.",
        f"{probe['batches']} batches are a noisy sample too: {history} itself at lag 0 shows the cosine (and the norm "
        "above 1) that no lag leaves. Compare down a column and along a row, not with 1.",
        f"Advantage {suite['advantage']}, aggregate {suite['aggregate']}, denominator {suite['denominator']}.",
        *fidelity.failures,
    ]


def to_terminal(fidelity: Fidelity) -> Table:
    """The cosines alone; the intervals are in the files."""
    title = "cosine with the on-policy gradient"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, min_width=len(title))
    table.add_column("objective", no_wrap=True)
    for lag in fidelity.lags:
        table.add_column(f"lag {lag}", justify="right", no_wrap=True)
    for name in fidelity.objectives:
        table.add_row(name, *(_text(fidelity.cosine[name, lag]).partition(" ")[0] for lag in fidelity.lags))
    return table


def write_fidelity(fidelity: Fidelity, folder: Path) -> None:
    """The tables as Markdown and CSV, and the picture, into `folder`."""
    from .heatmap import cosine_by_lag  # matplotlib is slow to import

    store.write_text(folder / "gradient_fidelity.md", f"# {fidelity.name}\n\n{to_markdown(fidelity)}")
    store.write_text(folder / "gradient_fidelity.csv", to_csv(fidelity))
    store.write_atomically(folder / "gradient_fidelity.png", lambda path: cosine_by_lag(fidelity, path))
