r"""The tables of a report for a paper: a LaTeX fragment with booktabs, its captions saying what the numbers are.

Everything that a user or a model may have named is escaped, so that the fragment compiles whatever it holds. Only
ASCII comes out: a letter that a font may lack is written as its code point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from . import tables
from .document import Report, Row
from .grid import LONGEST_NAME, NOTHING, Grid, in_one_line
from .text import number_list, one_line, what_lacks

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": "{`}",  # it makes other characters of a question mark and of its like
    "[": "{[}",  # this and the star would be an argument of the line break before a row
    "]": "{]}",
    "*": "{*}",
    "\u00b1": r"$\pm$",
    NOTHING: "--",
    "\u2026": r"\ldots{}",
}
WIDEST = 6  # columns of numbers side by side; more are set below each other
DOUBLED = re.compile(r"([-,'])(?=\1)")  # two of these would be one other character
MOST_REMARKS = 6  # on rows that lack cells, below a table


def latex_text(text: str) -> str:
    """The text as LaTeX source that typesets it: one line, printable ASCII, no command that was not meant."""
    parts = DOUBLED.split(in_one_line(text))
    return "".join(f"{part}{{}}" if i % 2 else "".join(map(_character, part)) for i, part in enumerate(parts))


def _character(c: str) -> str:
    return SPECIAL.get(c) or (c if c.isascii() else f"{{[}}U+{ord(c):04X}{{]}}")


def to_latex(report: Report) -> str:
    r"""Leaderboard and pass@1 by objective and lag, as two `table` environments; needs `\usepackage{booktabs}`.

    The gates stand above them as comments, and in every caption.
    """
    digest = (report.suite_id or report.suite_digest)[:16]
    gates = [tables.gate_line(gate) for gate in report.gates] or [tables.NO_GATES]
    comments = [
        *gates,
        f"LagBench {report.version}, suite {report.name}, {digest}",
        r"needs \usepackage{booktabs} in the preamble",
    ]
    head = [f"% {in_one_line(line).encode('ascii', 'backslashreplace').decode()}" for line in comments]
    return "\n".join([*head, "", *_leaderboard(report), "", *_matrix(report)]) + "\n"


def _leaderboard(report: Report) -> list[str]:
    grid = tables.leaderboard(report)
    reads = [i for i, column in enumerate(grid.columns) if column.name == "reads"]
    rows = [[_initials(text) if i in reads else text for i, text in enumerate(row)] for row in grid.rows]
    surely_first = _surely_first(report, grid)
    baseline = latex_text(report.family.baseline)
    caption = [
        r"Gain: gain in pass@1 over the base model. Gain under lag (how much is gained under lag?): its mean over",
        rf"$\log_2(1 + \mathrm{{lag}})$ in units of the gain of {baseline} at lag 0. Own retention (how much of its",
        "own gain does an objective keep?): the same in units of its own gain at lag 0.",
        "Rank: place by each, and in parentheses the ranks that differences with a mark leave open"
        + ("; bold: surely the first." if surely_first else "."),
        r"Held, lost: highest lag tested up to which surely at most 10\,\% of the own gain is lost, lowest at which",
        "surely more is.",
        "Collapsed: of all runs.",
        "Reads: log-probabilities besides the current policy's, b of the behavior, p of the proximal policy.",
        *([f"Tuned: {latex_text(report.search.text)}"] if report.search else []),
        *_common(report),
    ]
    tuned = [i for i, column in enumerate(grid.columns) if column.name.startswith("tuned")]
    fixed = [i for i in range(len(grid.columns)) if i not in tuned]
    body = _tabulars(grid, rows, [*_parts(grid, fixed), *_parts(grid, tuned)], surely_first)
    return _table(report, "leaderboard", "Objectives by gain under lag and own retention", caption, body)


def _surely_first(report: Report, grid: Grid) -> set[tuple[int, int]]:
    """Where a measure stands that no rank interval disputes the first place by."""
    columns = {column.name: i for i, column in enumerate(grid.columns)}
    return {
        (i, columns[name])
        for i, standing in enumerate(report.standings)
        for name, found in (("gain under lag", standing.gain_under_lag), ("own retention", standing.own_retention))
        if report.family.claims and found.place == found.best_rank == found.worst_rank == 1
    }


def _initials(text: str) -> str:
    return ", ".join({"behavior": "b", "proximal": "p"}.get(name, name) for name in text.split(", "))


def _matrix(report: Report) -> list[str]:
    grid = tables.by_schedule(report, digits=1, scale=100.0)
    family, base = report.family, report.base.get("pass@1")
    test = (
        f"$^{{*}}$: differs from {latex_text(family.baseline)} under the same schedule ({family.tests} planned tests). "
        f"{latex_text(family.mark)} Bold: the highest of a schedule, where it is so marked."
        if family.claims
        else latex_text(family.text)
    )
    caption = [
        r"Held-out pass@1 in \% by objective and lag in optimizer updates; other columns are schedules of lags.",
        *([f"Base model: {base.mean:.1%}.".replace("%", r"\,\%")] if base else []),
        test,
        *_common(report),
    ]
    body = _tabulars(grid, grid.rows, _parts(grid, range(len(grid.columns))), _best(report, grid))
    return _table(report, "matrix", r"Held-out pass@1 by objective and lag", caption, [*body, *_incomplete(report)])


def _common(report: Report) -> list[str]:
    """What every caption ends with: seeds, problems, intervals, what lag is, gates."""
    scored = [row for row in report.rows if row.seeds]
    over = {row.interval_over for row in scored if len(row.seeds) != 2}
    seeds = sorted({seed for row in scored for seed in row.seeds})
    fewest = min((len(row.seeds) for row in scored), default=0)
    count = f"{fewest} to {len(seeds)}" if fewest < len(seeds) else str(len(seeds))
    method = {
        frozenset({"seeds"}): "over seeds (Student $t$; of ratios Fieller)",
        frozenset({"problems"}): "over problems, which says nothing about other seeds",
    }.get(frozenset(over), "over seeds where there are several, else over problems")
    return [
        *([f"{count} seed{'' if len(seeds) == 1 else 's'} ({latex_text(number_list(seeds))})."] if seeds else []),
        *([f"Scores are on {latex_text(report.exam)}."] if report.exam else []),
        *([rf"$\pm$: longer side of the 95\,\% interval, {method}."] if over else []),
        *(["Of two seeds both values."] if any(len(row.seeds) == 2 for row in scored) else []),
        "Lag is simulated: every token is drawn by the version of the policy that the schedule prescribes.",
        _gates(report),
    ]


def _gates(report: Report) -> str:
    named = {
        what: ", ".join(latex_text(gate.name) for gate in report.gates if (gate.passed, gate.promised) == state)
        for what, state in (("failed", (False, True)), ("not looked at", (None, True)), ("not so", (None, False)))
    }
    if not report.valid:
        return rf"\textbf{{Not valid}}: failed: {named['failed']}."
    if named["not looked at"] or not report.gates:
        return f"Validity gates not looked at: {named['not looked at'] or 'all'}."
    if named["not so"]:
        return f"Validity gates that the sampler does not promise, tried and not so: {named['not so']}."
    return f"All {len(report.gates)} validity gates have passed."


def _best(report: Report, grid: Grid) -> set[tuple[int, int]]:
    """The highest score of every schedule and mismatch, where it is significantly better than the baseline's."""
    found, keys = tables.rows_by_place(report), tables.objectives(report)
    first = len(grid.columns) - len(report.schedules)
    best = set()
    for j, lag in enumerate(report.schedules):
        for mismatch in {mismatch for _, mismatch in keys}:
            at = {i: found.get((*key, lag)) for i, key in enumerate(keys) if key[1] == mismatch}
            scores = {i: row.scores["pass@1"].mean for i, row in at.items() if row and "pass@1" in row.scores}
            winner = max(scores, key=lambda i: scores[i], default=None)
            if winner is not None and _is_better(report, at[winner]):
                best.add((winner, first + j))
    return best


def _is_better(report: Report, row: Row | None) -> bool:
    difference = row.against_baseline if row else None
    return bool(tables.mark(difference, report)) and difference is not None and difference.value.mean > 0


def _incomplete(report: Report) -> list[str]:
    """What a dash is, and which rows lack cells and why, in their order."""
    lacking = [row for row in report.rows if not row.scores or what_lacks(row)]
    told = [
        f"{tables.where(row)}: {tables.what_happened(row)}"
        + (f" ({one_line('; '.join(row.reasons), 80)})" if row.reasons else "")
        for row in lacking[:MOST_REMARKS]
    ]
    more = [f"{len(lacking) - MOST_REMARKS} more rows"] if len(lacking) > MOST_REMARKS else []
    dash = f"{NOTHING}: no score. " if any(not row.scores for row in lacking) else ""
    remark = latex_text(f"{dash}Incomplete: {'; '.join([*told, *more])}.")
    return [rf"\par\smallskip{{\footnotesize {remark}\par}}"] if lacking else []


# ---- environments


def _table(report: Report, label: str, title: str, caption: Iterable[str], body: Iterable[str]) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9]+", "-", report.name).strip("-").lower() or "report"
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption[{title}]{{{' '.join(caption)}}}",
        rf"\label{{tab:{name}-{label}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3.5pt}",
        *body,
        r"\end{table}",
    ]


def _parts(grid: Grid, columns: Iterable[int]) -> list[list[int]]:
    """As many columns side by side as a page is wide; a mismatch takes the room of two."""
    numbers = [i for i in columns if not grid.columns[i].key]
    most = WIDEST - 2 * any(column.name == "mismatch" for column in grid.columns)
    width = math.ceil(len(numbers) / max(math.ceil(len(numbers) / most), 1))
    return [numbers[i : i + width] for i in range(0, len(numbers), width)] if numbers else []


def _tabulars(
    grid: Grid, rows: Sequence[Sequence[str]], parts: Iterable[Sequence[int]], bold: set[tuple[int, int]]
) -> Iterator[str]:
    """The columns of each part behind the key columns, one part below the other."""
    keys = [i for i, column in enumerate(grid.columns) if column.key]
    for part in parts:
        columns = [*keys, *part]
        words = [i for i in columns if grid.columns[i].key or grid.columns[i].wraps]
        yield r"\par\medskip"
        yield rf"\begin{{tabular}}{{@{{}}{''.join('l' if i in words else 'r' for i in columns)}@{{}}}}"
        yield r"\toprule"
        yield _row(latex_text(grid.columns[i].name) for i in columns)
        yield r"\midrule"
        for line, row in enumerate(rows):
            yield _row(
                latex_text(one_line(row[i], LONGEST_NAME)) if i in words else _numbers(row[i], (line, i) in bold)
                for i in columns
            )
        yield r"\bottomrule"
        yield r"\end{tabular}"


def _row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _numbers(text: str, bold: bool) -> str:
    """A cell of numbers: its half width small, its mark outside of the column, a minus as long as a plus."""
    mark = r"\rlap{$^{*}$}" if text.endswith(tables.SIGNIFICANT) else ""
    mean, plus_minus, half = text.removesuffix(tables.SIGNIFICANT).partition(" \u00b1")
    value = "$-$".join(map(latex_text, re.split(r"(?<!\w)-(?=\d)", mean)))
    small = rf"\,{{\scriptsize$\pm$\,{half}}}" if plus_minus else ""
    return (rf"\textbf{{{value}}}" if bold else value) + small + mark
