"""A report as files."""

from __future__ import annotations

from pathlib import Path

from .. import store
from .document import Report
from .latex import to_latex
from .results import Results
from .tables import csv_files, to_csv, to_markdown

PAGE, DOCUMENT, MARKDOWN, CSV = "report.html", "report.json", "report.md", "report.csv"
LATEX, PICTURE, EVALUATIONS = "report.tex", "pass1_against_lag.png", "evaluations.csv"


def write_report(report: Report, results: Results, folder: Path) -> None:
    """Page, document, Markdown, LaTeX, CSV files, picture, and all evaluations of all cells, into `folder`."""
    from . import evaluations
    from .chart import pass_at_1_against_lag  # matplotlib is slow to import
    from .page.page import to_html

    store.write_text(folder / PAGE, to_html(report))
    store.write_text(folder / DOCUMENT, report.model_dump_json(indent=1) + "\n")
    store.write_text(folder / MARKDOWN, to_markdown(report))
    store.write_text(folder / CSV, to_csv(report))
    for name, text in csv_files(report).items():
        store.write_text(folder / name, text)
    store.write_text(folder / LATEX, to_latex(report))
    store.write_text(folder / EVALUATIONS, evaluations.to_csv(results.cells))
    store.write_atomically(folder / PICTURE, lambda path: pass_at_1_against_lag(report, path))
