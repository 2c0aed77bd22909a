"""The command that trains with real asynchrony."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..extras import require_extra
from ..types import InputError
from .printing import print_table


def live(
    suite: Annotated[str, typer.Argument(help="A packaged suite (lagbench list suites) or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override any key of the suite.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Rollout workers; they share out every update's groups.")] = 2,
    max_lag: Annotated[int, typer.Option(help="Largest lag of a token that is trained on, in updates.")] = 8,
    at_bound: Annotated[
        str, typer.Option(help="wait: what would be too old is not asked. drop: it is dropped and drawn again.")
    ] = "wait",
    queue: Annotated[
        int | None,
        typer.Option(metavar="UPDATES", help="How far workers may run ahead; by default twice max-lag."),
    ] = None,
    broadcast_every: Annotated[int, typer.Option(metavar="UPDATES", help="Between two versions that workers get.")] = 1,
    in_flight: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", help="Take over newer weights within a response after so many tokens."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster; by default that of the suite, or one started here.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the cells go; by default results/runs/live-SUITE-DIGEST.")
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints of the learner.")
    ] = 15.0,
) -> None:
    """Train with real asynchrony on Ray: workers, a grader and a learner at once; lag is measured.

    Every objective x mismatch x seed of the suite, one after another, without its lags. The trace of each
    replays with any objective: lagbench run SUITE lags=trace:CELL/trace.jsonl

    lagbench live quick objectives=asympo
    lagbench live quick objectives=asympo --max-lag 2 --at-bound drop --in-flight 4
    """
    require_extra("ray", "lagbench live", "ray")
    from ..config import load_suite
    from ..live.rules import Rules

    ahead = 2 * max_lag if queue is None else queue
    rules = Rules(workers, max_lag, at_bound, ahead, broadcast_every, in_flight)
    chosen = load_suite(suite, overrides or [])
    if any(override.partition("=")[0] in ("lag", "lags") for override in overrides or []):
        raise InputError("lagbench live measures lag instead of setting it; bound it by --max-lag, as in --max-lag 8")
    from ..live.run import live_label, run_live
    from ..live.table import NOTES, live_table
    from ..store import RESULT
    from ..sweep.cell import Execution

    folder = results or Path("results") / "runs" / live_label(chosen, rules)
    how = Execution(
        command=shlex.join(["lagbench", *sys.argv[1:]]),
        workers=workers,
        checkpoint_every_s=checkpoint_every,
        executor="ray",
        address=address or chosen.address,
    )
    try:
        cells = run_live(chosen, rules, folder, how)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    print_table(live_table(cells), NOTES, folder)
    raise typer.Exit(0 if all((cell / RESULT).exists() for cell in cells) else 1)
