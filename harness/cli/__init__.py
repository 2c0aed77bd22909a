"""The command line. Commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

import sys

import typer

from ..store import is_unwritable
from ..types import InputError
from . import doctor, evaluating, lags, live, looking, making, reporting, training

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="How much policy lag can an RL objective take before it stops learning?\n\n"
    "Trains objectives under exactly controlled lag, evaluates them on held-out problems and prints the comparison. "
    "Start with: lagbench run quick",
)
lag = typer.Typer(no_args_is_help=True, help="Lag schedules: list them, look at a plan, import a trace.")
new = typer.Typer(no_args_is_help=True, help="Start a package of your own.")

app.command()(training.run)
app.command()(live.live)
app.command()(reporting.report)
app.command()(reporting.leaderboard)
app.command()(reporting.diff)
app.command("list")(looking.list_)
app.command()(looking.check)
app.command()(doctor.doctor)
app.command()(training.probe)
app.command("eval")(evaluating.eval_)
app.command()(evaluating.verify)
app.add_typer(lag, name="lag")
app.add_typer(new, name="new")
app.command()(making.convert_gguf)
lag.command("show")(lags.lag_show)
lag.command("list")(lags.lag_list)
lag.command("import")(lags.lag_import)
new.command("objective")(making.new_objective_)


def main() -> None:
    """Entry point: wrong input ends in one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not is_unwritable(error):
            raise
        where = f"cannot write to {error.filename}" if error.filename else "cannot write"
        print(f"error: {where}: {error.strerror or error}; make room there, then try again", file=sys.stderr)
        sys.exit(2)
