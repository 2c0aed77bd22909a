"""What `lagbench live` prints when all cells have ended: scores, and the lag that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from .. import store

COLUMNS = ("objective", "seed", "pass@1", "lag mean", "lag max", "dropped", "waits", "waited s", "tokens/s", "idle")
REASON = 60  # characters of one that are shown; all of it is in failed.json
NOTES = [
    "pass@1 of the final version with its 95 % interval over problems. Lag as measured, in updates, over all tokens",
    "trained on. dropped: responses that were too old and drawn again. waits: how often, and how long in all, a worker",
    "was kept from drawing by the bound or the queue. tokens/s: tokens trained on per second of the learner's time;",
    "idle: share of it in which the learner waited for a batch.",
]


def live_table(cells: Sequence[Path]) -> Table:
    """A row for each cell; of one that failed, its reason."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "objective" else "right")
    for cell in cells:
        table.add_row(*row(cell))
    return table


def row(cell: Path) -> list[str]:
    """The texts of a cell's row."""
    run, result = store.read_json(cell / store.RUN), store.read_json(cell / store.RESULT)
    which = run["objective"] if run["mismatch"] == "none" else f"{run['objective']} {run['mismatch']}"
    if result is None:
        failed = store.read_json(cell / store.FAILED) or {"reason": "not finished"}
        reason = escape(shorten(failed["reason"], REASON, placeholder=" ..."))
        return [which, str(run["seed"]), f"failed: {reason}", *[""] * (len(COLUMNS) - 3)]
    live, score = result["live"], result["scores"]["pass@1"]
    cost = learner_time(store.read_lines(cell / store.METRICS), run)
    return [
        which,
        str(run["seed"]),
        f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]",
        f"{result['lag_mean']:.2f}",
        f"{result['lag_max']:.0f}",
        str(live["groups_dropped"] * run["responses_per_prompt"]),
        str(live["waits"]),
        f"{live['wait_s']:.1f}",
        f"{cost['tokens_per_s']:.0f}",
        f"{cost['idle']:.0%}",
    ]


def learner_time(rows: Sequence[dict[str, Any]], run: dict[str, Any]) -> dict[str, float]:
    """Tokens trained on per second of the learner's time, and the share of it that was spent waiting."""
    tokens = sum(row["response_tokens"] for row in rows) * run["prompts_per_update"] * run["responses_per_prompt"]
    idle, busy = (sum(row[name] for row in rows) for name in ("generate_s", "learn_s"))
    return {"tokens_per_s": tokens / (idle + busy), "idle": idle / (idle + busy)}
