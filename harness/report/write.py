"""The report of a results folder, as files beside its cells."""

from __future__ import annotations

from pathlib import Path

from .. import store
from . import evaluations
from .comparison import Comparison
from .tables import to_csv, to_json, to_markdown

MARKDOWN, CSV, JSON, PICTURE = "leaderboard.md", "leaderboard.csv", "leaderboard.json", "pass1_against_lag.png"
EVALUATIONS = "evaluations.csv"


def write_report(comparison: Comparison, results: Path, folder: Path) -> None:
    """Leaderboard of `results` as Markdown, CSV and JSON, its picture, and all evaluations, into `folder`."""
    from .chart import pass_at_1_against_lag  # matplotlib is slow to import

    mark = "" if comparison.valid else " (NOT VALID)"
    store.write_text(folder / MARKDOWN, f"# {comparison.name}{mark}\n\n{to_markdown(comparison)}")
    store.write_text(folder / CSV, to_csv(comparison))
    store.write_json(folder / JSON, to_json(comparison))
    store.write_text(folder / EVALUATIONS, evaluations.to_csv(results))
    store.write_atomically(folder / PICTURE, lambda path: pass_at_1_against_lag(comparison, path))
