"""Commands that compare: a report, a leaderboard, what changed between two of them."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..types import InputError
from .printing import print_all

if TYPE_CHECKING:
    from ..report.document import Report
    from ..report.results import Results

PARTIAL = 2  # exit code: there is a report, but cells are missing


def _print_schema(wanted: bool) -> None:
    if wanted:
        from ..report.document import Report

        print(json.dumps(Report.model_json_schema(), indent=1))
        raise typer.Exit


def report(
    results: Annotated[list[Path], typer.Argument(help="Folders that `lagbench run` printed, of one suite.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it is written; by default report/ in the results folder.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON instead of tables, write nothing.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", is_eager=True, callback=_print_schema, help="Print the JSON's schema.")
    ] = False,
) -> None:
    """Compare everything in results folders: gates, leaderboard, matrix; as page, Markdown, CSV, LaTeX and JSON.

    Gates come first: conditions of validity. Exit code 1 if one of them has
    failed; 2 if cells are missing (the report shows which), or for a folder
    that is none, is damaged, or is of another suite than the first.

    lagbench report results/runs/tiny-1a2b3c4d --out paper
    """
    from ..report.comparison import compare
    from ..report.gather import gather

    if len(results) > 1 and out is None and not as_json:
        raise InputError(f"a report of {len(results)} folders needs a place of its own: --out DIR")
    found = gather(results)
    _require_finished(found)
    place = None if as_json else _writable(out or _own(results[0]))
    made = compare(found)
    if place is None:
        print(made.model_dump_json(indent=1))
    else:
        print_report(made, found, place)
    raise typer.Exit(_exit_code(made))


def print_report(made: Report, results: Results, folder: Path) -> None:
    """Print gates, leaderboard, matrix and notes, and write the report into `folder`."""
    from ..report.tables import to_terminal
    from ..report.write import PAGE, write_report

    write_report(made, results, folder)
    print_all(lambda width: to_terminal(made, width))
    print(f"Report: {folder / PAGE}")


def _require_finished(found: Results) -> None:
    if not any(cell.scores for cell in found.trained):
        names = ", ".join(found.folders)
        raise InputError(f"{names}: none of {len(found.cells)} cells has finished; `lagbench run` goes on")


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; give --out another folder") from None
    return folder


def _own(results: Path) -> Path:
    from ..store import REPORT

    return results / REPORT


def _exit_code(made: Report) -> int:
    """After one line on what is missing."""
    without = [cell for cell in made.cells if cell.state != "finished"]
    if without:
        rest = f" and {len(without) - 1} more" if len(without) > 1 else ""
        states = ", ".join(dict.fromkeys(cell.state for cell in without))
        print(
            f"incomplete: {len(without)} of {len(made.cells)} cells without result ({states}): {without[0].name}{rest};"
            " run the suite again, it goes on with them",
            file=sys.stderr,
        )
    return 1 if not made.valid else PARTIAL if without else 0


def leaderboard(
    folders: Annotated[list[Path], typer.Argument(help="Results folders, of several people or machines.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The leaderboard: its page, and the history that it keeps.")
    ] = Path("leaderboard"),
) -> None:
    """Merge results folders of one suite into a leaderboard, ranked by gain under lag and by own retention.

    A folder that has been changed since its run, or is of another suite than
    the first, is refused and named. What stood on the leaderboard before is
    kept in DIR/history.jsonl, and shown.

    lagbench leaderboard mine/tiny-1a2b3c4d theirs/tiny-1a2b3c4d --out board
    """
    from ..report.comparison import compare
    from ..report.gather import gather_fitting
    from ..report.leaderboard import with_history, write_history

    found, refused = gather_fitting(folders)
    _require_finished(found)
    made = with_history(compare(found), _writable(out), date.today())
    for one in refused:
        print(f"refused: {one.folder}: {one.why}", file=sys.stderr)
    print_report(made, found, out)
    write_history(made.history, out)
    raise typer.Exit(_exit_code(made))


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A report: its folder, or its report.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The one to compare with it.")],
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Tell what changed between two reports, and whether it is more than the noise of seeds.

    Exit code 1 if something did change by more than noise.

    lagbench diff results/runs/tiny-1a2b3c4d/report board
    """
    from ..report import diff as forms

    changes = forms.diff(forms.load_report(first), forms.load_report(second))
    if as_markdown:
        print(forms.to_markdown(changes), end="")
    else:
        print_all(lambda width: forms.to_terminal(changes, width))
    raise typer.Exit(1 if changes.changed_beyond_noise else 0)
