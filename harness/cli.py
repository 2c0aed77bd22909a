"""The command line. Sub-commands import what they need, so that --help is quick."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .types import InputError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="How much policy lag can an RL objective take before it stops learning?\n\n"
    "Trains objectives under exactly controlled lag, evaluates them on held-out problems and prints the comparison. "
    "Start with: lagbench run quick",
)


@app.command()
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
        typer.Option(min=1, help="Cells at a time, one thread each; by default one per core (one on a GPU)."),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints of a cell.")
    ] = 15.0,
) -> None:
    """Train and evaluate objectives x lags x seeds, then print the leaderboard.

    Finished cells are skipped, interrupted ones go on from their last checkpoint, failed ones are
    tried again: after an interruption give the same command once more.

    lagbench run quick
    lagbench run quick objectives=asympo,spo lags=0,16 updates=50
    lagbench run tiny hyperparameters.spo.neg_scale=0.1
    lagbench run gsm8k model=FOLDER data=FOLDER objectives=asympo lags=2 updates=3

    Every key: lagbench list settings
    """
    from .config import load_suite

    chosen = load_suite(suite, overrides or [])  # before the slow imports: a typing mistake is told at once
    from .sweep.cell import Execution
    from .sweep.executor import default_workers
    from .sweep.run import run_suite

    folder = results or Path("results") / "runs" / chosen.label
    how = Execution(shlex.join(["lagbench", *sys.argv[1:]]), workers or default_workers(), checkpoint_every)
    try:
        unfinished = run_suite(chosen, folder, how)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
        raise typer.Exit(130) from None
    _print_report(folder)
    raise typer.Exit(1 if unfinished else 0)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="The folder that `lagbench run` printed.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of the table.")] = False,
) -> None:
    """Compare everything in a results folder: print it, and write Markdown, CSV, JSON and a picture beside it."""
    if as_json:
        from .report.comparison import compare
        from .report.tables import to_json

        print(json.dumps(to_json(compare(results)), indent=1))
    else:
        _print_report(results)


class Kind(StrEnum):
    """What can be listed."""

    objectives = "objectives"
    tasks = "tasks"
    suites = "suites"
    lags = "lags"
    settings = "settings"
    collapse = "collapse"
    diagnostics = "diagnostics"


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of a table.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page with each one's formula, source and remarks.")
    ] = False,
) -> None:
    """List objectives, tasks, suites, lag schedules, the settings of a suite, or what is measured."""
    from .listing import LISTINGS, markdown

    if as_markdown:
        print(markdown(kind.value), end="")
        return
    rows = LISTINGS[kind.value]()
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print_rows(rows)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A registered objective (lagbench list objectives).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of lines.")] = False,
) -> None:
    """Check that an objective keeps what every objective has to, built-in or of a plug-in.

    Zero advantages give no gradient, padding does not matter, values stay finite, the gradient is
    the loss's own, and more. Exit code 1 if it breaks something.

    lagbench check asympo
    """
    from .check import CHECKS, check_objective
    from .registry import OBJECTIVES

    found = dict(check_objective(OBJECTIVES.get(name)))
    if as_json:
        print(json.dumps([{"check": check, "problem": problem} for check, problem in found.items()], indent=1))
    else:
        for check, problem in found.items():
            what = (CHECKS[check].__doc__ or "").splitlines()[0]
            print(f"{'FAILED' if problem else 'ok':8}{check:18}{problem or what}")
    raise typer.Exit(1 if any(found.values()) else 0)


@app.command()
def convert_gguf(
    source: Annotated[Path, typer.Argument(help="A .gguf file.")],
    folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write.")],
) -> None:
    """Convert a GGUF checkpoint into a Hugging Face folder in fp32, for model=FOLDER. Needs the extra `gguf`."""
    from .models.gguf import convert

    convert(source, folder)
    print(f"wrote {folder}; use it as model={folder}")


def _print_report(folder: Path) -> None:
    from rich.console import Console

    from .report.comparison import compare
    from .report.tables import notes, to_terminal
    from .report.write import write_report
    from .store import REPORT

    comparison = compare(folder)
    write_report(comparison, folder / REPORT)
    console = Console()
    console = console if console.is_terminal else Console(width=100)
    console.print(to_terminal(comparison))
    for line in notes(comparison):
        print(line)
    print(f"Report: {folder / REPORT}")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """A block for each row: its name and what it is on the first line, the rest below."""
    for row in rows:
        name, description = row["name"], row["description"]
        print(f"{name:20} {description}".rstrip())
        for key, value in row.items():
            if key not in ("name", "description", "page") and value not in ("", {}, []):
                print(f"{'':20} {key}: {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={default}" for key, default in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Entry point: wrong input ends in one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
