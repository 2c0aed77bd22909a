"""Commands that train: a suite, a probe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..types import InputError
from .printing import print_table
from .reporting import print_report


def run(
    suite: Annotated[str, typer.Argument(help="A packaged suite (lagbench list suites) or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override any key of the suite.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the cells go; by default results/runs/SUITE-DIGEST.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cells at a time; by default cores / learner_processes, one on a GPU, all that fit on Ray."
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints of a cell.")
    ] = 15.0,
    keep_stale: Annotated[
        bool,
        typer.Option(
            "--keep-stale", help="Keep cells whose objective, task or schedule was edited since, and mark them."
        ),
    ] = False,
    tracker: Annotated[
        str | None, typer.Option(help="Log cells to tensorboard, wandb or trackio, below FOLDER/tracking.")
    ] = None,
) -> None:
    """Train and evaluate objectives x lags x seeds, then print the leaderboard.

    Finished cells are skipped, interrupted ones go on from their last
    checkpoint, failed ones are tried again: give the same command once more.
    Cells whose code has changed since are made again.

    lagbench run quick
    lagbench run quick objectives=asympo,spo lags=0,16 updates=50
    lagbench run tiny hyperparameters.spo.neg_scale=0.1
    lagbench run gsm8k model=FOLDER data=FOLDER objectives=asympo lags=0,2 updates=3

    Every key: lagbench list settings
    """
    from ..config import load_suite
    from ..extras import require_extra
    from ..track import require_tracker

    require_tracker(tracker)  # before the slow imports: a typing mistake is told at once
    chosen = load_suite(suite, overrides or [])
    if chosen.executor == "ray":
        require_extra("ray", "executor=ray", "ray")
    from ..report.comparison import compare
    from ..report.gather import gather
    from ..report.narrow import narrowed
    from ..store import REPORT
    from ..sweep.cell import Execution
    from ..sweep.executor import default_workers
    from ..sweep.run import run_suite

    folder = results or Path("results") / "runs" / chosen.label
    how = Execution(
        command=shlex.join(["lagbench", *sys.argv[1:]]),
        workers=workers or (default_workers(chosen.learner_processes) if chosen.executor == "local" else 0),
        checkpoint_every_s=checkpoint_every,
        tracker=tracker,
        executor=chosen.executor,
        address=chosen.address,
        keep_stale=keep_stale,
    )
    try:
        asked = run_suite(chosen, folder, how)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
        raise typer.Exit(130) from None
    found = narrowed(gather([folder]), asked.cells)
    made = compare(found)
    print_report(made, found, folder / REPORT)
    raise typer.Exit(1 if asked.unfinished or not made.valid else 0)


def probe(
    suite: Annotated[str, typer.Argument(help="A packaged suite (lagbench list suites) or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override any key of the suite.")
    ] = None,
    lags: Annotated[str, typer.Option(help="Ages of the stale batches, in updates.")] = "0,1,2,4,8,16,32,64",
    history: Annotated[
        str, typer.Option(metavar="OBJECTIVE", help="Trains the history, at lag 0, and is the reference.")
    ] = "policy_gradient",
    batches: Annotated[int, typer.Option(help="Stale batches at each lag, whose gradients are averaged.")] = 8,
    fresh: Annotated[int, typer.Option(help="Fresh batches behind the reference gradient.")] = 64,
    results: Annotated[
        Path | None, typer.Option(help="Where the seeds go; by default results/runs/probe-SUITE-DIGEST.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Seeds at a time; by default one per core.")] = None,
) -> None:
    """Compare every objective's gradient on stale responses with the on-policy gradient.

    Trains one history per seed at lag 0, keeps responses of its earlier versions, and at its end
    measures cosine and norm of each objective's gradient on them. Minutes instead of a sweep.

    lagbench probe quick objectives=all seeds=0,1,2
    """
    from ..config import load_suite

    chosen, ages = load_suite(suite, overrides or []), _ages(lags)
    if chosen.executor == "ray":
        raise InputError("executor=ray: a probe runs on this machine alone; leave it out, or spread seeds by hand")
    if any(override.startswith(("lag=", "lags=")) for override in overrides or []):
        raise InputError("a probe takes the ages of its batches from --lags, as in --lags 0,8,64")
    from ..probe.fidelity import Probe
    from ..probe.run import run_probe
    from ..report.fidelity import notes, read_fidelity, to_terminal, write_fidelity
    from ..store import REPORT
    from ..sweep.executor import default_workers

    command = shlex.join(["lagbench", *sys.argv[1:]])
    plan = Probe(ages, batches, fresh)
    try:
        folder = run_probe(chosen, history, plan, results, workers or default_workers(), command)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the seeds that are missing", file=sys.stderr)
        raise typer.Exit(130) from None
    fidelity = read_fidelity(folder, chosen.seeds)
    write_fidelity(fidelity, folder / REPORT)
    print_table(to_terminal(fidelity), notes(fidelity), folder / REPORT)


def _ages(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError(f"--lags {text!r} is not valid: expected whole numbers, as in 0,1,8") from None
