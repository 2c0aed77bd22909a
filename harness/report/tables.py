"""The tables of a report: what stands in them, and their forms for terminals, Markdown and CSV files.

Gates stand above everything. A number that there is none of is a dash, and what is missing is told beside it. `*` marks
a difference from the baseline that is `significant`, and nothing else.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ..config import NO_MISMATCH
from ..gate import Gate as Checked
from . import grid
from .document import Cell, Cost, Difference, Entry, Gate, Held, Interval, Measure, Pair, Report, Row, Standing
from .grid import DASH, NOTHING, Column, Grid
from .remarks import told
from .text import count, duration, what_lacks

MOST_LINES = 60  # of the matrix in a terminal; a longer one is shown by objective and lag
MOST_NOTES = 40  # in a terminal
MOST_DATES = 6  # of a leaderboard's history
SIGNIFICANT = "*"
NEEDS_SEEDS = ("rank by gain", "rank by retention", "held, lost")
Key = tuple[str, str]  # objective, mismatch


# ---- numbers as texts


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """With so many digits behind the point, and no sign of a zero but `sign`; a dash for None."""
    return NOTHING if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def half_width(interval: Interval) -> float | None:
    """The longer side of an interval, so that it never looks narrower than it is; None where there is none."""
    if interval.low is None or interval.high is None:
        return None
    return max(interval.high - interval.mean, interval.mean - interval.low)


def estimate(interval: Interval | None, digits: int = 3, sign: str = "", scale: float = 1.0) -> str:
    """0.513 ±0.006; with too few seeds for that the values of each, 0.513, 0.526."""
    if interval is None:
        return NOTHING
    if interval.values:
        return ", ".join(number(value * scale, digits, sign) for value in interval.values)
    half = half_width(interval)
    mean = number(interval.mean * scale, digits, sign)
    return mean if half is None else f"{mean} ±{number(half * scale, digits)}"


def bounds(interval: Interval | None, digits: int = 3) -> str:
    """0.507–0.519; with too few seeds for that the values of each."""
    if interval and interval.values:
        return estimate(interval, digits)
    if interval is None or interval.low is None or interval.high is None:
        return NOTHING
    return f"{number(interval.low, digits)}{DASH}{number(interval.high, digits)}"


def mark(difference: Difference | None, report: Report) -> str:
    """The mark of significance, or nothing; nothing anywhere where the family makes no claim."""
    return SIGNIFICANT if report.family.claims and difference and difference.significant else ""


def lag_text(lag: str, constant: int | None) -> str:
    return lag if constant is None else str(constant)


def place(measure: Measure) -> str:
    """2 (1–3): the place, and in parentheses the ranks that the differences leave open."""
    if measure.place is None:
        return NOTHING
    ranks = "" if measure.best_rank == measure.worst_rank else f" ({measure.best_rank}{DASH}{measure.worst_rank})"
    return f"{measure.place}{ranks}"


def held_text(held: Held | None) -> str:
    """Held at 4, lost at 16: lags tested, and nothing between them."""
    return NOTHING if held is None else ", ".join(filter(None, (f"held at {held.held}", lost_text(held))))


def lost_text(held: Held) -> str:
    """Where it is lost, if anywhere; empty where it is held at the highest lag."""
    if held.lost is not None:
        return f"lost at {held.lost}"
    return "" if held.held == held.highest else f"open to {held.highest}"


# ---- what every form begins and ends with


def gate_line(gate: Gate) -> str:
    return str(Checked(**gate.model_dump()))


def gates_in_a_word(report: Report) -> str:
    """ok, not all run, not all promised, or FAILED."""
    if not report.valid:
        return "FAILED"
    if not report.gates or any(gate.passed is None and gate.promised for gate in report.gates):
        return "not all run"
    return "ok" if all(gate.passed for gate in report.gates) else "not all promised"


NO_GATES = "not run: no gate has been looked at"
NOT_VALID = "NOT VALID: a gate has failed. The numbers below mean nothing until it passes."


def sentences(report: Report) -> list[str]:
    """The notes, and what the parts of the document say of themselves where the notes do not."""
    marks = [report.family.mark] if report.family.claims else []
    texts = [report.family.text, *marks, *(part.text for part in (report.power, report.search) if part)]
    exam = [f"Scores are on {report.exam}."] if report.exam else []
    ends = ["± is the longer side of a 95 % interval; the CSV files hold both ends."]
    told_already = "\n".join(report.notes)
    untold = [text for text in [*_reasons(report), *texts, *ends] if text and text not in told_already]
    return [*exam, *report.notes, *untold, *_origin(report)]


def _origin(report: Report) -> list[str]:
    """What was compared, and from where; what of a folder was refused."""
    folders = [f"{source.name} ({source.cells} cells)" for source in report.sources]
    remarks = [f"{source.name}: {source.remark}" for source in report.sources if source.remark]
    made = f"Suite {(report.suite_id or report.suite_digest)[:16]}, LagBench {report.version}"
    return [f"{made}{'; results: ' if folders else ''}{', '.join(folders)}.", *remarks]


def _reasons(report: Report) -> list[str]:
    """Why seeds failed, by row."""
    return [f"{where(row)}: {reason}" for row in report.rows for reason in row.reasons]


def where(row: Row) -> str:
    return f"{row.objective} at {row.lag}" + ("" if row.mismatch == NO_MISMATCH else f" under {row.mismatch}")


# ---- grids


def objectives(report: Report) -> list[Key]:
    """Objectives under each mismatch, in the order of the leaderboard."""
    parts: tuple[Standing | Row, ...] = (*report.standings, *report.rows)
    return list(dict.fromkeys((part.objective, part.mismatch) for part in parts))


def rows_by_place(report: Report) -> dict[tuple[str, str, str], Row]:
    """By objective, mismatch and lag."""
    return {(row.objective, row.mismatch, row.lag): row for row in report.rows}


def _keys(report: Report) -> tuple[Column, ...]:
    """The columns that say whose line it is: one for the mismatch only where there is one."""
    several = any(mismatch != NO_MISMATCH for _, mismatch in objectives(report))
    mismatch = (Column("mismatch", "left", key=True),) if several else ()
    return (Column("objective", "left", key=True), *mismatch)


def _named(report: Report, key: Key) -> tuple[str, ...]:
    return key[: len(_keys(report))]


def leaderboard(report: Report) -> Grid:
    """One line a standing: both measures with their ranks, held and lost, gain at lag 0, collapses, what is read."""
    tuned = ("tuned learning rate", "tuned gain under lag", "tuned own retention", "tuned held, lost")
    columns = (
        *_keys(report),
        Column("gain under lag"),
        Column("rank by gain", "left"),
        Column("own retention"),
        Column("rank by retention", "left"),
        Column("held, lost", "left"),
        Column("gain at lag 0", drop=3),
        Column("collapsed"),
        Column("reads", "left", drop=2, wraps=True),
        *((Column(name, drop=name.endswith("lost")) for name in tuned) if report.search else ()),
    )
    rows = tuple(
        (
            *_named(report, (standing.objective, standing.mismatch)),
            estimate(standing.gain_under_lag.value, 2),
            place(standing.gain_under_lag),
            estimate(standing.own_retention.value, 2),
            place(standing.own_retention),
            held_text(standing.held),
            estimate(standing.gain_at_lag_0, 2),
            f"{standing.collapsed}/{standing.runs}",
            ", ".join(name.removesuffix("_logprobs") for name in standing.reads) or "none",
            *(_tuned(standing) if report.search else ()),
        )
        for standing in report.standings
    )
    title = f"{report.name}: gain under lag, and what is kept of the own gain{_invalid(report)}"
    return _without_unsaid(Grid(title, columns, rows))


def _without_unsaid(found: Grid) -> Grid:
    """Without ranks, and lags held and lost, where there are too few seeds to say any of them."""
    unsaid = [
        i
        for i, column in enumerate(found.columns)
        if column.name in NEEDS_SEEDS and all(row[i] == NOTHING for row in found.rows)
    ]
    return found.only([i for i in range(len(found.columns)) if i not in unsaid])


def _tuned(standing: Standing) -> tuple[str, ...]:
    if standing.tuned is None:
        return (NOTHING,) * 4
    found = standing.tuned
    measures = (estimate(measure, 2) for measure in (found.gain_under_lag, found.own_retention))
    return f"{found.learning_rate:g}", *measures, held_text(found.held)


def _invalid(report: Report) -> str:
    return "" if report.valid else " (NOT VALID)"


def by_schedule(report: Report, digits: int = 3, scale: float = 1.0, intervals: bool = True) -> Grid:
    """pass@1 of every objective under every schedule, with its mark; a dash where there is no score."""
    found = rows_by_place(report)
    titles = {row.lag: lag_text(row.lag, row.constant_lag) for row in report.rows}
    columns = (*_keys(report), *(Column(titles.get(lag, lag), "left") for lag in report.schedules))
    rows = tuple(
        (
            *_named(report, key),
            *(_score(found.get((*key, lag)), report, digits, scale, intervals) for lag in report.schedules),
        )
        for key in objectives(report)
    )
    return Grid(f"{report.name}: held-out pass@1 by objective and lag{_invalid(report)}", columns, rows)


def _score(row: Row | None, report: Report, digits: int, scale: float, intervals: bool) -> str:
    if row is None or "pass@1" not in row.scores:
        return NOTHING
    score = row.scores["pass@1"]
    text = estimate(score, digits, scale=scale) if intervals else number(score.mean * scale, digits)
    return text + mark(row.against_baseline, report)


def by_schedule_tuned(report: Report) -> Grid:
    """pass@1 of every objective under every schedule, each at the learning rate that the search found for it."""
    titles = {row.lag: lag_text(row.lag, row.constant_lag) for row in report.rows}
    tuned = [(standing, standing.tuned) for standing in report.standings if standing.tuned]
    lags = [lag for lag in report.schedules if any(lag in found.scores for _, found in tuned)]
    columns = (*_keys(report), Column("learning rate"), *(Column(titles.get(lag, lag), "left") for lag in lags))
    rows = tuple(
        (
            *_named(report, (standing.objective, standing.mismatch)),
            f"{found.learning_rate:g}",
            *(estimate(found.scores.get(lag)) for lag in lags),
        )
        for standing, found in tuned
    )
    return Grid(f"{report.name}: held-out pass@1 at the learning rates found{_invalid(report)}", columns, rows)


def aggregates(report: Report) -> Grid:
    """One line a standing: scores over tasks and schedules, when runs collapsed, what they cost, hyperparameters."""
    heads = ("IQM", "optimality gap", "collapse rate", "half collapsed by", "generated", "trained", "time", "updates/s")
    columns = (*_keys(report), *(Column(name) for name in heads), Column("hyperparameters", "left", wraps=True))
    rows = tuple(
        (
            *_named(report, (standing.objective, standing.mismatch)),
            estimate(standing.iqm),
            number(standing.optimality_gap),
            bounds(standing.collapse_rate, 2),
            NOTHING if standing.median_collapse is None else f"update {standing.median_collapse}",
            *_cost(standing.cost),
            ", ".join(f"{name}={value}" for name, value in standing.hyperparameters.items()) or "none",
        )
        for standing in report.standings
    )
    return Grid(f"{report.name}: aggregates and cost{_invalid(report)}", columns, rows)


def _cost(cost: Cost) -> tuple[str, str, str, str]:
    return (
        count(cost.tokens_generated),
        count(cost.tokens_trained),
        duration(cost.seconds),
        number(cost.updates_per_second, 2),
    )


def history(report: Report) -> Grid:
    """Both measures and their ranks at a leaderboard's last dates, the newest first."""
    moments = report.history[: -MOST_DATES - 1 : -1]
    entries = [{(entry.objective, entry.mismatch): entry for entry in moment.entries} for moment in moments]
    keys = list(dict.fromkeys(key for known in entries for key in known))
    rows = tuple(
        (*_named(report, key), *(_entry(known[key]) if key in known else NOTHING for known in entries)) for key in keys
    )
    return Grid("History", (*_keys(report), *(Column(moment.date, "left") for moment in moments)), rows)


def _entry(entry: Entry) -> str:
    measures = (entry.gain_under_lag, entry.own_retention)
    return "; ".join(
        f"{number(found.value.mean if found.value else None, 2)}, rank {place(found)}" for found in measures
    )


def matrix(report: Report) -> Grid:
    """One line for each objective and schedule, with everything that is said of it."""
    last = largest_pass_at_k(report)
    columns = (
        *_keys(report),
        Column("lag", "left", key=True),
        Column("mean lag", drop=3),
        Column("pass@1"),
        Column("95 % CI"),
        *((Column(last, drop=4),) if last != "pass@1" else ()),
        Column("retained", drop=2),
        Column("vs baseline", "left"),
        Column("vs lag 0", drop=5),
        Column("seeds"),
        Column("note", "left", wraps=True),
    )
    rows = tuple(_line(row, report, last) for row in report.rows)
    several_lags = len({row.lag for row in report.rows}) > 1
    begins = [i for i, row in enumerate(report.rows) if i and row.objective != report.rows[i - 1].objective]
    found = Grid(
        title=f"{report.name}: held-out pass@1{_invalid(report)}",
        columns=columns,
        rows=rows,
        red=frozenset(i for i, row in enumerate(report.rows) if is_collapsed(row)),
        sections=frozenset(begins if several_lags else ()),
    )
    return grid.without_empty_columns(found)


def is_collapsed(row: Row) -> bool:
    """At least half of the seeds that came to an end have collapsed."""
    return bool(row.collapses) and 2 * len(row.collapses) >= len(row.seeds)


def _line(row: Row, report: Report, last: str) -> tuple[str, ...]:
    score, against = row.scores.get("pass@1"), row.against_baseline
    is_baseline = row.objective == report.family.baseline
    return (
        *_named(report, (row.objective, row.mismatch)),
        lag_text(row.lag, row.constant_lag),
        number(row.lag_mean, 1),
        number(score.mean if score else None),
        bounds(score),
        *((number(row.scores[last].mean if last in row.scores else None),) if last != "pass@1" else ()),
        estimate(row.retained, 2),
        "" if is_baseline else _against(against, report),
        estimate(row.change_from_lag_0, sign="+"),
        str(len(row.seeds)),
        what_happened(row),
    )


def _against(difference: Difference | None, report: Report) -> str:
    if difference and difference.same_formula:
        return "same formula"
    return estimate(difference.value if difference else None, sign="+") + mark(difference, report)


def what_happened(row: Row) -> str:
    """Collapses, a broken balance, and cells without a score or of other code, counted; the notes give the reasons."""
    remarks = [f"collapsed {len(row.collapses)}/{len(row.seeds)}"] if row.collapses else []
    remarks += [] if row.broken_balance is None else [f"balance {row.broken_balance:.2f}"]
    return ", ".join([*remarks, *what_lacks(row)])


def largest_pass_at_k(report: Report) -> str:
    """The pass@k of the largest k that anything was scored with."""
    metrics = {metric for scores in (report.base, *(row.scores for row in report.rows)) for metric in scores}
    scored = [metric for metric in metrics if re.fullmatch(r"pass@\d+", metric)]
    return max(scored, key=lambda metric: int(metric.partition("@")[2]), default="pass@1")


# ---- terminals and Markdown


def to_terminal(report: Report, width: int = 120) -> list[RenderableType]:
    """Gates, leaderboard, matrix and notes, for a console of that width.

    A matrix of more than `MOST_LINES` lines gives way to pass@1 by objective and lag, and of more than `MOST_NOTES`
    notes the first are shown; both say where the rest is.
    """
    shown: list[RenderableType] = [_gate_text(gate) for gate in report.gates] or [Text(NO_GATES)]
    shown += [] if report.valid else [Text(NOT_VALID, style="bold red")]
    long = len(report.rows) > MOST_LINES
    for table in (
        grid.without_dashes(leaderboard(report)),
        by_schedule(report, intervals=False) if long else matrix(report),
    ):
        shown += [Text(), *grid.to_terminal(table, width)] if table.rows else []
    if long:
        shown.append(Text(f"All {len(report.rows)} lines with intervals are in the report's files.", style="dim"))
    notes = [grid.in_one_line(note) for note in sentences(report)]
    shown += [Text(), *map(Text, notes[:MOST_NOTES])]
    if len(notes) > MOST_NOTES:
        shown.append(Text(f"{len(notes) - MOST_NOTES} more notes are in the report's files.", style="dim"))
    return shown


def _gate_text(gate: Gate) -> Text:
    style = "yellow" if gate.passed is None else "" if gate.passed else "bold red"
    return Text(grid.in_one_line(gate_line(gate)), style=style)


def to_markdown(report: Report) -> str:
    """Gates, leaderboard, pass@1 by objective and lag, aggregates and cost, the whole matrix, history, notes."""
    parts: dict[str, Grid | None] = {
        "Leaderboard": grid.without_dashes(leaderboard(report)),
        "pass@1 by objective and lag": by_schedule(report),
        "pass@1 at the learning rates found": by_schedule_tuned(report),
        "Aggregates and cost": aggregates(report),
        "All rows": matrix(report),
        "History: gain under lag; own retention": history(report) if len(report.history) > 1 else None,
    }
    gates = list(map(gate_line, report.gates)) or [NO_GATES]
    lines = [
        f"# {grid.markdown_text(report.name)}{_invalid(report)}",
        "",
        "## Validity gates",
        "",
        *grid.markdown_list(gates),
        "",
    ]
    lines += [] if report.valid else [f"**{NOT_VALID}**", ""]
    for title, table in parts.items():
        lines += [f"## {title}", "", *grid.to_markdown(table), ""] if table and table.rows else []
    return "\n".join([*lines, "## Notes", "", *grid.markdown_list(sentences(report))]) + "\n"


def _heading(report: Report) -> str:
    return grid.markdown_text(report.name).replace("#", r"\#") + _invalid(report)


# ---- CSV files


def csv_files(report: Report) -> dict[str, str]:
    """The content of the CSV files beside that of the rows by their names: standings, their differences, the manifest.

    Those that would hold no line are left out.
    """
    found = {
        "leaderboard.csv": standings_csv(report),
        "pairs.csv": pairs_csv(report),
        "cells.csv": cells_csv(report),
    }
    return {name: text for name, text in found.items() if text}


def to_csv(report: Report) -> str:
    """One line a row of the matrix: numbers as numbers, empty where there is none, `pass@1_seed0` of every seed."""
    tuned = {(standing.objective, standing.mismatch): standing.tuned for standing in report.standings}
    records = []
    for row in report.rows:
        found = tuned.get((row.objective, row.mismatch))
        at_best = {"tuned_learning_rate": found.learning_rate} if found else {}
        records.append(
            _row_record(row, report) | at_best | _interval("tuned_pass@1", found.scores.get(row.lag) if found else None)
        )
    return _csv(records, report)


def _row_record(row: Row, report: Report) -> dict[str, Any]:
    last = largest_pass_at_k(report)
    metrics = dict.fromkeys(["pass@1", last, *row.scores])
    return {
        "objective": row.objective,
        "lag": row.lag,
        "constant_lag": row.constant_lag,
        "mismatch": row.mismatch,
        "lag_mean": row.lag_mean,
        "lag_max": row.lag_max,
        "broken_balance": row.broken_balance,
        "seeds": len(row.seeds),
        "failed": row.failed,
        "unfinished": row.unfinished,
        "missing": row.missing,
        "stale": row.stale,
        "kept": row.kept,
        **{column: value for metric in metrics for column, value in _interval(metric, row.scores.get(metric)).items()},
        "interval_over": row.interval_over if row.seeds else None,
        **{f"pass@1_seed{seed}": score for seed, score in row.by_seed.items()},
        **_interval("retained", row.retained),
        **_interval("change_from_lag_0", row.change_from_lag_0),
        **_difference("against_baseline", row.against_baseline),
        "collapsed": len(row.collapses),
        **_interval("collapse_rate", row.collapse_rate),
        "collapses": "; ".join(f"seed {found.seed} {told(found)}" for found in row.collapses),
        **row.cost.model_dump(),
        **row.diagnostics,
        "reasons": "; ".join(row.reasons),
    }


def standings_csv(report: Report) -> str:
    """One line a standing, its performance profile among them."""
    return _csv([_standing_record(standing, report) for standing in report.standings], report)


def _standing_record(standing: Standing, report: Report) -> dict[str, Any]:
    tuned = standing.tuned
    profile = dict(zip(report.thresholds, standing.profile, strict=False))
    return {
        "objective": standing.objective,
        "mismatch": standing.mismatch,
        **_measure("gain_under_lag", standing.gain_under_lag),
        **_measure("own_retention", standing.own_retention),
        **_held("", standing.held),
        **_interval("gain_at_lag_0", standing.gain_at_lag_0),
        **_interval("iqm", standing.iqm),
        "optimality_gap": standing.optimality_gap,
        "collapsed": standing.collapsed,
        "runs": standing.runs,
        **_interval("collapse_rate", standing.collapse_rate),
        "highest_rate": standing.highest_rate,
        "median_collapse": standing.median_collapse,
        **standing.cost.model_dump(),
        "tuned_learning_rate": tuned.learning_rate if tuned else None,
        **_interval("tuned_gain_under_lag", tuned.gain_under_lag if tuned else None),
        **_interval("tuned_own_retention", tuned.own_retention if tuned else None),
        **_held("tuned_", tuned.held if tuned else None),
        "reads": " ".join(standing.reads),
        **standing.conventions,
        **{f"paper_{name}": value for name, value in standing.paper.items()},
        "hyperparameters": json.dumps(standing.hyperparameters, default=str),
        **{f"retained_above_{threshold:g}": share for threshold, share in profile.items()},
    }


def pairs_csv(report: Report) -> str:
    """One line for each two objectives: differences in both measures, probability of improvement."""
    return _csv([_pair_record(pair) for pair in report.pairs], report)


def _pair_record(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "mismatch": pair.mismatch,
        **_difference("gain_under_lag", pair.gain_under_lag),
        **_difference("own_retention", pair.own_retention),
        "probability_of_improvement": pair.probability_of_improvement,
    }


def cells_csv(report: Report) -> str:
    """One line a cell: the manifest."""
    return _csv([_cell_record(cell) for cell in report.cells], report)


def _cell_record(cell: Cell) -> dict[str, Any]:
    facts = cell.model_dump()
    packages = "; ".join(f"{name} {version}" for name, version in facts.pop("packages").items())
    return {"pass@1" if name == "pass_at_1" else name: value for name, value in facts.items()} | {"packages": packages}


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    """A value under its name, and the ends of its interval beside it."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {name: interval.mean if interval else None, f"{name}_low": low, f"{name}_high": high}


def _measure(name: str, measure: Measure) -> dict[str, float | None]:
    """A measure, its place and the ranks left open."""
    ranks = {"place": measure.place, "best_rank": measure.best_rank, "worst_rank": measure.worst_rank}
    return _interval(name, measure.value) | {f"{name}_{rank}": value for rank, value in ranks.items()}


def _held(prefix: str, held: Held | None) -> dict[str, int | None]:
    return {f"{prefix}held_at": held.held if held else None, f"{prefix}lost_at": held.lost if held else None}


def _difference(name: str, difference: Difference | None) -> dict[str, Any]:
    value = _interval(name, difference.value if difference else None)
    tests = ("p", "p_exact", "exact", "p_adjusted", "p_charged", "significant", "same_formula")
    return value | {f"{name}_{test}": getattr(difference, test) if difference else None for test in tests}


def _csv(records: Sequence[Mapping[str, Any]], report: Report) -> str:
    """The records under the columns of all of them, each with the state of the gates; empty where there are none."""
    columns = [*_columns(records), "gates"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if records:
        writer.writeheader()
    writer.writerows({**record, "gates": gates_in_a_word(report)} for record in records)
    return text.getvalue().encode(errors="backslashreplace").decode()  # half a surrogate pair is in no file


def _columns(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """In the order of the first record; a column that it lacks behind the one that it follows in its own record."""
    ordered: list[str] = []
    for names in dict.fromkeys(map(tuple, records)):
        behind = 0
        for name in names:
            if name not in ordered:
                ordered.insert(behind, name)
            behind = ordered.index(name) + 1
    return ordered
