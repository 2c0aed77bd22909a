"""A leaderboard's folder: its report, and the history of what stood on it before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from .. import store
from ..types import InputError
from .document import Entry, Moment, Report

HISTORY = "history.jsonl"


def with_history(report: Report, folder: Path, today: date) -> Report:
    """The report with every moment of the leaderboard in `folder`, itself the last of them.

    What is made from the same folders as the last moment is no new one. Moments of another suite are an InputError.
    """
    moments = read_history(folder)
    for moment in moments:
        if moment.suite_digest != report.suite_digest:
            raise InputError(
                f"{folder / HISTORY} is of suite {moment.suite_digest}, these results of {report.suite_digest}; "
                "use another --out folder"
            )
    now = moment_of(report, today)
    if not moments or set(moments[-1].sources.values()) != set(now.sources.values()):
        moments.append(now)
    return report.model_copy(update={"history": tuple(moments)})


def moment_of(report: Report, today: date) -> Moment:
    """What a report's leaderboard says, for its history."""
    return Moment(
        date=today.isoformat(),
        suite_digest=report.suite_digest,
        sources={source.name: source.digest for source in report.sources},
        entries=tuple(
            Entry(
                objective=standing.objective,
                mismatch=standing.mismatch,
                gain_under_lag=standing.gain_under_lag,
                own_retention=standing.own_retention,
            )
            for standing in report.standings
        ),
    )


def read_history(folder: Path) -> list[Moment]:
    """The moments so far, the first one first."""
    try:
        return [Moment(**line) for line in store.read_lines(folder / HISTORY)]
    except (ValidationError, TypeError) as error:
        raise InputError(
            f"{folder / HISTORY} is damaged or of another version ({str(error).splitlines()[0]}); "
            "delete it or use another --out folder"
        ) from None


def write_history(moments: Sequence[Moment], folder: Path) -> None:
    store.write_lines(folder / HISTORY, (moment.model_dump() for moment in moments))
