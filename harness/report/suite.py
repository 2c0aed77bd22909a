"""What `lagbench eval` prints: a column for each task, and one for each group's mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from ..evaluate.lm_eval_names import FILTER, PREFIX

OF_RESPONSES = ("truncated", "unparsed", "timeout")
NOTES = [
    "± standard error over problems, as in lm-eval's files. truncated, unparsed, timeout: share of the responses that",
    "reached the token limit, held no answer, or got no verdict in time.",
]


def to_terminal(results: Mapping[str, Any]) -> Table:
    """From lm-eval's results: pass@k, maj@k, and what kept responses from being scored; empty where not measured."""
    rows = results["results"]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    for name in rows:
        members = results["group_subtasks"].get(name)
        title = name.removeprefix(PREFIX) + (f" (mean of {len(members)})" if members else "")
        table.add_column(title, justify="right")
    table.add_row("problems", *(str(row["sample_len"]) for row in rows.values()))
    scores = {
        key.partition(",")[0]: None for row in rows.values() for key in row if "@" in key and "_stderr" not in key
    }
    for name in [*scores, *OF_RESPONSES]:
        table.add_row(name, *(_cell(row, name) for row in rows.values()))
    return table


def _cell(row: Mapping[str, Any], name: str) -> str:
    value, error = row.get(f"{name},{FILTER}"), row.get(f"{name}_stderr,{FILTER}")
    if value is None:
        return ""
    return f"{value:.3f}" if error in (None, "N/A") or name in OF_RESPONSES else f"{value:.3f} ±{error:.3f}"
