"""What changed between two reports, and whether it is more than the noise of seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb, isnan
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import ValidationError
from rich.console import RenderableType
from rich.text import Text
from scipy import special

from ..config import JUDGMENT, NO_MISMATCH
from ..gate import Gate as Checked
from ..statistics.families import holm
from ..statistics.intervals import CONFIDENCE, FEWEST_SEEDS, ROUNDING, Estimate
from ..statistics.paired import LEVEL, Paired, paired
from ..store import REPORT
from ..types import InputError
from . import grid, tables
from .document import Cell, Format, Gate, Report, Row, Standing
from .grid import NOTHING, Column, Grid
from .numbers import interval, known
from .text import number_list, probability
from .write import DOCUMENT

BEYOND, WITHIN, NO_CLAIM = "more than noise", "within noise", f"no claim (fewer than {FEWEST_SEEDS} seeds)"
IDENTICAL, SAME_SCORES = "identical (same weights)", "same scores"
NOT_COMPARABLE, NO_SCORE = "not comparable", "no score"
VERDICTS = (BEYOND, WITHIN, NO_CLAIM, NOT_COMPARABLE, IDENTICAL, SAME_SCORES, NO_SCORE)
UNCHANGED = (IDENTICAL, SAME_SCORES, NO_SCORE)
ABSENT = "absent"
STANDS = ("gain under lag", "rank by gain", "own retention", "rank by retention", "held, lost")
MOST_LINES = 60  # of rows in a terminal; of more, those beyond noise
MOST_CHANGES = 20  # of a kind, in a terminal
Test = Literal["", "paired t", "Welch t"]
Place = tuple[str, str, str]  # objective, mismatch, lag


@dataclass(frozen=True)
class Changed:
    """Something that the two reports state differently, in words."""

    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.what}: {self.first} → {self.second}"


@dataclass(frozen=True)
class RowChange:
    """pass@1 of a row that both reports have, second minus first; None where nothing can be said.

    `p_adjusted` is `p` of the `test` by Holm's method over all rows in both but the identical ones; `p_exact` is of an
    exact test on the same pairs of seeds.
    """

    objective: str
    mismatch: str
    lag: str
    label: str  # of the schedule
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    scores: tuple[float | None, float | None]
    change: Estimate | None
    test: Test
    p: float | None
    p_exact: float | None
    p_adjusted: float | None
    collapsed: tuple[int, int]
    verdict: str


@dataclass(frozen=True)
class StandingChange:
    """Where an objective stands in the two reports, None in one that lacks it."""

    objective: str
    mismatch: str
    first: Standing | None
    second: Standing | None

    @property
    def is_change(self) -> bool:
        """Whether a measure, a rank or the lags held and lost differ, as they are shown."""
        return _stand(self.first) != _stand(self.second)


def _stand(standing: Standing | None) -> tuple[str, ...]:
    """Both measures with place and ranks, lags held and lost."""
    if standing is None:
        return (ABSENT,) * 5
    measures = (standing.gain_under_lag, standing.own_retention)
    texts = (text for found in measures for text in (tables.estimate(found.value, 2), tables.place(found)))
    return *texts, tables.held_text(standing.held)


@dataclass(frozen=True)
class Diff:
    """What changed from a first report to a second one. `incomparable` names the settings that forbid a comparison."""

    names: tuple[str, str]  # each report in words, its gates among them
    valid: tuple[bool, bool]
    incomparable: tuple[str, ...]
    settings: tuple[Changed, ...]
    made_with: tuple[Changed, ...]  # versions and processors
    grid: tuple[Changed, ...]  # objectives, schedules, mismatches, seeds: those of one report only
    gates: tuple[Changed, ...]
    cells: tuple[Changed, ...]  # state, and reason of failure
    same_weights: tuple[int, int]  # cells, of those that both have finished
    rows: tuple[RowChange, ...]
    tests: int  # size of the family
    standings: tuple[StandingChange, ...]

    @property
    def changed_beyond_noise(self) -> bool:
        """Whether any row's pass@1 has changed by more than the noise of seeds."""
        return any(row.verdict == BEYOND for row in self.rows)

    @property
    def nothing_changed(self) -> bool:
        """Whether the two say the same of everything that is compared."""
        same, compared = self.same_weights
        lists = (self.incomparable, self.settings, self.made_with, self.grid, self.gates, self.cells)
        rows = all(row.verdict in UNCHANGED and row.collapsed[0] == row.collapsed[1] for row in self.rows)
        return rows and same == compared and not any(lists) and not any(part.is_change for part in self.standings)


# ---- reading


def load_report(path: Path) -> Report:
    """The report in a file, or in a folder that holds report.json or report/report.json.

    An InputError in one line for anything else: nothing there, damaged JSON, another format, another version.
    """
    candidates = [path / DOCUMENT, path / REPORT / DOCUMENT] if path.is_dir() else [path]
    again = "`lagbench report RESULTS` writes it again"
    try:
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is None:
            expected = f"a {DOCUMENT} or a folder that holds one; `lagbench report RESULTS` writes it"
            raise InputError(f"{path}: no report there; expected {expected}")
        value = json.loads(file.read_bytes(), parse_constant=_refused)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a {DOCUMENT}") from None
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else grid.in_one_line(str(error))[:120]
        raise InputError(f"{file} is damaged ({what}); {again}") from None
    known_format, format_ = get_args(Format)[0], value.get("format") if isinstance(value, dict) else None
    if not isinstance(format_, str) or not format_.startswith("lagbench-report@"):
        raise InputError(f"{file} is no report of LagBench; expected a {DOCUMENT} that `lagbench report RESULTS` wrote")
    if format_ != known_format:
        raise InputError(f"{file} has the format {format_[:80]!r}, expected {known_format!r}; {again}")
    try:
        return Report.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        what = grid.in_one_line(f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg']}")
        raise InputError(f"{file} is damaged ({what}); {again}") from None


def _refused(constant: str) -> None:
    """NaN and Infinity are no JSON, and no number of a report."""
    raise ValueError(f"{constant} is not a number")


# ---- comparing


def diff(first: Report, second: Report) -> Diff:
    """Everything that differs. pass@1 of a row is compared over seeds: paired where both reports have the same ones.

    Otherwise Welch's t test; both from three seeds on. Rows whose weights are the same need no test, for they are known
    not to differ; all others that both reports have, scored or not, are the family of Holm's method.
    """
    incomparable = _incomparable(first, second)
    rows = _row_changes(first, second, comparable=not incomparable)
    tests = sum(row.verdict != IDENTICAL for row in rows)
    was, now = ({_address(cell): cell for cell in report.cells} for report in (first, second))
    finished = [key for key in was if key in now and was[key].weights_digest and now[key].weights_digest]
    return Diff(
        names=(_in_words(first), _in_words(second)),
        valid=(first.valid, second.valid),
        incomparable=incomparable,
        settings=tuple(_settings(first, second)),
        made_with=tuple(_changes(_made_with(first), _made_with(second))),
        grid=tuple(_grid(first, second)),
        gates=tuple(_changes(_states(first.gates), _states(second.gates))),
        cells=tuple(_cell_changes(was, now)),
        same_weights=(sum(was[key].weights_digest == now[key].weights_digest for key in finished), len(finished)),
        rows=_judged(rows, tests),
        tests=tests,
        standings=tuple(_standings(first, second)),
    )


def _in_words(report: Report) -> str:
    digest = (report.suite_id or report.suite_digest)[:16]
    return f"{report.name}, suite {digest}, LagBench {report.version}, gates: {tables.gates_in_a_word(report)}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every setting under its dotted name, a text as it is and anything else as JSON."""
    if isinstance(value, Mapping) and (value or not name):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _changes(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> Iterator[Changed]:
    was, now = dict(_flat(first)), dict(_flat(second))
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            yield Changed(f"{prefix}{name}", was.get(name, ABSENT), now.get(name, ABSENT))


def _incomparable(first: Report, second: Report) -> tuple[str, ...]:
    """The settings and inputs that make two reports incomparable; empty where their suites have the same digest."""
    if first.suite_digest == second.suite_digest:
        return ()
    settings = [change.what for change in _changes(first.settings, second.settings)]
    deciding = [name for name in settings if name.partition(".")[0] not in JUDGMENT]
    inputs = [change.what for change in _changes(first.inputs, second.inputs, "input ")]
    return tuple([*deciding, *inputs] or ["suite digest"])


def _settings(first: Report, second: Report) -> Iterator[Changed]:
    """Of the suite, then what it reads, then hyperparameters of objectives that both have."""
    yield from _changes(first.settings, second.settings)
    yield from _changes(first.inputs, second.inputs, "input ")
    was, now = ({standing.objective: standing.hyperparameters for standing in r.standings} for r in (first, second))
    for name in was:
        if name in now:
            yield from _changes(was[name], now[name], f"{name}.")


def _made_with(report: Report) -> dict[str, Any]:
    """Versions and processors behind the cells; several where several were used."""
    packages: dict[str, set[str]] = {}
    for cell in report.cells:
        for name, version in cell.packages.items():
            packages.setdefault(name, set()).add(version)
    processors = {cell.processor for cell in report.cells if cell.processor}
    found = {name: ", ".join(sorted(versions)) for name, versions in packages.items()}
    made = {"LagBench": report.version, "processor": ", ".join(sorted(processors))}
    return made | {"package": found, "code": report.code}


def _grid(first: Report, second: Report) -> Iterator[Changed]:
    axes = [_axes(report) for report in (first, second)]
    for name in axes[0]:
        was, now = axes[0][name], axes[1][name]
        removed, added = (
            [value for value in these if value not in others] for these, others in ((was, now), (now, was))
        )
        if removed or added:
            yield Changed(
                f"{name} of one only", ", ".join(map(str, removed)) or NOTHING, ", ".join(map(str, added)) or NOTHING
            )


def _axes(report: Report) -> dict[str, list[Any]]:
    trained = [cell for cell in report.cells if cell.objective is not None]
    parts: list[Row | Cell] = [*report.rows, *trained]
    seeds = {cell.seed for cell in trained} | {seed for row in report.rows for seed in row.seeds}
    return {
        "objectives": list(dict.fromkeys(part.objective for part in parts)),
        "schedules": list(dict.fromkeys(part.lag for part in parts)),
        "mismatches": list(dict.fromkeys(part.mismatch for part in parts)),
        "seeds": sorted(seeds),
    }


def _states(gates: Iterable[Gate]) -> dict[str, str]:
    """By name; with the detail of one that failed, for that of the others changes with the number of cells."""
    return {
        gate.name: f"FAILED ({gate.detail})" if gate.passed is False else Checked(**gate.model_dump()).state
        for gate in gates
    }


def _address(cell: Cell) -> tuple[str | None, str, str, int]:
    return cell.objective, cell.mismatch, cell.lag, cell.seed


def _cell_changes(first: Mapping[Any, Cell], second: Mapping[Any, Cell]) -> Iterator[Changed]:
    for key, was in first.items():
        now = second.get(key)
        if now and (was.state, was.reason) != (now.state, now.reason):
            yield Changed(
                was.name, *(f"{cell.state} ({cell.reason})" if cell.reason else cell.state for cell in (was, now))
            )


def _standings(first: Report, second: Report) -> Iterator[StandingChange]:
    was, now = ({(s.objective, s.mismatch): s for s in report.standings} for report in (first, second))
    for key in dict.fromkeys([*was, *now]):
        yield StandingChange(*key, was.get(key), now.get(key))


# ---- rows


def _row_changes(first: Report, second: Report, comparable: bool) -> list[RowChange]:
    was, now = tables.rows_by_place(first), tables.rows_by_place(second)
    weights, new_weights = _weights(first.cells), _weights(second.cells)
    changes = []
    for place in (place for place in was if place in now):
        mine, others = weights.get(place, {}), new_weights.get(place, {})
        same = mine == others and mine.keys() == was[place].by_seed.keys() and _same_scores(was[place], now[place])
        changes.append(_row_change(was[place], now[place], bool(mine) and same, comparable))
    return changes


def _weights(cells: Iterable[Cell]) -> dict[Place, dict[int, str]]:
    """Digests of the final weights, by row and seed."""
    found: dict[Place, dict[int, str]] = {}
    for cell in cells:
        if cell.objective is not None and cell.weights_digest:
            found.setdefault((cell.objective, cell.mismatch, cell.lag), {})[cell.seed] = cell.weights_digest
    return found


def _same_scores(was: Row, now: Row) -> bool:
    return was.by_seed.keys() == now.by_seed.keys() and all(
        abs(score - now.by_seed[seed]) <= ROUNDING for seed, score in was.by_seed.items()
    )


def _row_change(was: Row, now: Row, same_weights: bool, comparable: bool) -> RowChange:
    """The change of a row. A verdict that the family has to give is still `WITHIN`, and `p_adjusted` None."""
    first, second = (np.array([row.by_seed[seed] for seed in sorted(row.by_seed)]) for row in (was, now))
    found, test = _tested(first, second, was.by_seed.keys() == now.by_seed.keys())
    asked = comparable and not same_weights
    return RowChange(
        objective=was.objective,
        mismatch=was.mismatch,
        lag=was.lag,
        label=tables.lag_text(was.lag, was.constant_lag),
        seeds=(tuple(sorted(was.by_seed)), tuple(sorted(now.by_seed))),
        scores=(float(first.mean()) if len(first) else None, float(second.mean()) if len(second) else None),
        change=found.estimate if found else None,
        test=test if asked and found and not isnan(found.p) else "",
        p=known(found.p) if asked and found else None,
        p_exact=known(found.p_exact) if asked and found else None,
        p_adjusted=None,
        collapsed=(len(was.collapses), len(now.collapses)),
        verdict=IDENTICAL if same_weights else _verdict(was, now, found, comparable),
    )


def _tested(first: np.ndarray, second: np.ndarray, same_seeds: bool) -> tuple[Paired | None, Test]:
    if not len(first) or not len(second):
        return None, ""
    return (paired(second, first), "paired t") if same_seeds else (welch(second, first), "Welch t")


def _verdict(was: Row, now: Row, found: Paired | None, comparable: bool) -> str:
    if found is None:
        return NO_SCORE
    if _same_scores(was, now):
        return SAME_SCORES
    if not comparable:
        return NOT_COMPARABLE
    return NO_CLAIM if isnan(found.p) else WITHIN


def welch(first: np.ndarray, second: np.ndarray) -> Paired:
    """Difference of two means, first minus second, with Welch's t test: scores [N] and [M] of runs that share no seed.

    With fewer than three on either side p and interval are nan. Where neither side spreads, t has nothing to divide
    by, and the interval is nan: p is 1 without a difference, else the share of relabelings that separate the sides.
    """
    mean, counts = float(np.mean(first) - np.mean(second)), (len(first), len(second))
    unknown = Estimate(mean, float("nan"), float("nan"))
    if min(counts) < FEWEST_SEEDS:
        return Paired(unknown, float("nan"), float("nan"), "")
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    error = sum(errors) ** 0.5
    if error <= ROUNDING:
        separating = 2 if counts[0] == counts[1] else 1
        p = 1.0 if abs(mean) <= ROUNDING else separating / comb(sum(counts), counts[0])
        return Paired(unknown, p, float("nan"), "")
    freedom = error**4 / sum(part**2 / (count - 1) for part, count in zip(errors, counts, strict=True))
    half = float(special.stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    p = float(2 * special.stdtr(freedom, -abs(mean) / error))
    return Paired(Estimate(mean, mean - half, mean + half), p, float("nan"), "")


def _judged(rows: Sequence[RowChange], tests: int) -> tuple[RowChange, ...]:
    """The rows with p-values adjusted for the family, and the verdicts that follow from them."""
    asked = [i for i, row in enumerate(rows) if row.p is not None]
    adjusted = holm(np.array([rows[i].p for i in asked], float), tests).tolist()
    judged = list(rows)
    for i, p in zip(asked, adjusted, strict=True):
        verdict = BEYOND if p <= LEVEL else rows[i].verdict
        judged[i] = replace(rows[i], p_adjusted=p, verdict=verdict)
    return tuple(judged)


# ---- terminals and Markdown


def to_terminal(found: Diff, width: int = 120) -> list[RenderableType]:
    """Gates and names, what can be said, then what differs; for a console of that width."""
    listed = [row for row in found.rows if row.verdict not in UNCHANGED]
    few = listed if len(listed) <= MOST_LINES else [row for row in listed if row.verdict == BEYOND]
    shown: list[RenderableType] = [
        Text(line, style="" if valid else "bold red") for line, valid in zip(_names(found), found.valid, strict=True)
    ]
    shown += [Text(), *(Text(grid.in_one_line(line)) for line in summary(found))]
    for title, changes in _sections(found).items():
        more = [f"{len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
        lines = [*map(str, changes[:MOST_CHANGES]), *more]
        shown += [Text(), Text(title, style="bold"), *(Text(f"  {grid.in_one_line(line)}") for line in lines)]
    for table in (rows_table(few), standings_table(found)):
        shown += [Text(), *grid.to_terminal(table, width)] if table.rows else []
    if len(few) < len(listed):
        left = f"{len(listed) - len(few)} rows are left out: no change beyond noise, or none that is claimed."
        shown.append(Text(left, style="dim"))
    return shown


def to_markdown(found: Diff) -> str:
    """The same, with every row that both reports have."""
    lines = ["# What changed", "", *grid.markdown_list(_names(found)), "", *grid.markdown_list(summary(found)), ""]
    for title, changes in _sections(found).items():
        lines += [f"## {title}", "", *grid.markdown_list(map(str, changes)), ""]
    for table in (rows_table(found.rows), standings_table(found)):
        lines += [f"## {table.title}", "", *grid.to_markdown(table), ""] if table.rows else []
    return "\n".join(lines)


def _names(found: Diff) -> list[str]:
    return [
        grid.in_one_line(f"{which}: {name}{'' if valid else ' (NOT VALID)'}")
        for which, name, valid in zip(("first", "second"), found.names, found.valid, strict=True)
    ]


def summary(found: Diff) -> list[str]:
    """What can be said, in sentences."""
    if found.nothing_changed:
        return ["Nothing changed."]
    counts = {verdict: sum(row.verdict == verdict for row in found.rows) for verdict in VERDICTS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [f"Rows in both: {told or 'none'}."]
    if found.incomparable:
        differ = f"{', '.join(found.incomparable)} {'differs' if len(found.incomparable) == 1 else 'differ'}"
        lines.insert(0, f"Not comparable: {differ}. Scores are shown, and nothing is claimed of them.")
    elif found.tests:
        lines.append(
            "Changes are second minus first, in pass@1 over seeds: paired t where both have the same seeds, else "
            f"Welch's t; Holm's method over the {found.tests} rows in both that are not identical, level {LEVEL:g}."
        )
    same, compared = found.same_weights
    return [
        *lines,
        *([f"{same} of {compared} cells that both have finished have the same weights."] if compared else []),
    ]


def _sections(found: Diff) -> dict[str, tuple[Changed, ...]]:
    """Lists of changes by title, those that are empty left out."""
    sections = {
        "Gates": found.gates,
        "Settings": found.settings,
        "Made with": found.made_with,
        "Grid": found.grid,
        "Cells": found.cells,
    }
    return {title: changes for title, changes in sections.items() if changes}


def rows_table(rows: Sequence[RowChange]) -> Grid:
    """One line a row: scores, change with its interval, p, verdict."""
    several = any(row.mismatch != NO_MISMATCH for row in rows)
    columns = (
        Column("objective", "left", key=True),
        *((Column("mismatch", "left", key=True),) if several else ()),
        Column("lag", "left", key=True),
        Column("pass@1", "left", drop=1),
        Column("change"),
        Column("test", "left", drop=4),
        Column("p", drop=5),
        Column("p exact", drop=6),
        Column("p (Holm)"),
        Column("seeds", drop=3),
        Column("collapsed", drop=2),
        Column("verdict", "left"),
    )
    lines = tuple(
        (
            row.objective,
            *((row.mismatch,) if several else ()),
            row.label,
            _before_and_after(*map(tables.number, row.scores)),
            tables.estimate(interval(row.change) if row.change else None, sign="+"),
            row.test,
            *(probability(p) for p in (row.p, row.p_exact, row.p_adjusted)),
            _before_and_after(*(number_list(list(seeds)) or NOTHING for seeds in row.seeds)),
            _before_and_after(*map(str, row.collapsed)) if any(row.collapsed) else "",
            row.verdict,
        )
        for row in rows
    )
    beyond = frozenset(i for i, row in enumerate(rows) if row.verdict == BEYOND)
    return grid.without_empty_columns(Grid("Rows in both: pass@1", columns, lines, red=beyond))


def standings_table(found: Diff) -> Grid:
    """One line for each objective that a measure, a rank, or the lags held and lost have changed of."""
    changed = [part for part in found.standings if part.is_change]
    several = any(part.mismatch != NO_MISMATCH for part in found.standings)
    columns = (
        Column("objective", "left", key=True),
        *((Column("mismatch", "left", key=True),) if several else ()),
        *(Column(name, "left") for name in STANDS),
    )
    lines = tuple(
        (
            part.objective,
            *((part.mismatch,) if several else ()),
            *map(_before_and_after, _stand(part.first), _stand(part.second)),
        )
        for part in changed
    )
    return Grid("Leaderboard", columns, lines)


def _before_and_after(first: str, second: str) -> str:
    return first if first == second else f"{first} → {second}"
