"""The tables that a report has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ...statistics.paired import LEVEL
from ..document import Cell as ManifestLine
from ..document import (
    Collapse,
    Cost,
    Difference,
    Evaluation,
    Held,
    Interval,
    Measure,
    Pair,
    Report,
    Row,
    Sample,
    Standing,
    Tuned,
)
from ..remarks import GAIN_ASKS, RETENTION_ASKS
from ..tables import lost_text
from ..text import (
    NOTHING,
    bounds,
    count,
    duration,
    excerpt,
    number_list,
    one_line,
    plain,
    probability,
    schedule_name,
    share,
    signed,
    what_lacks,
)
from .table import MOST_LINES, Column, Entry, Naming, Table, interval, metrics_of, number, pass_at

MOST_METRICS = 12  # columns of metrics, where there are more rows than can be written out
LONGEST_TEXT = 4_000  # characters of a question, an answer or a response
MOST_SAMPLE_TEXT = 1_000_000  # characters of all samples
BETTER, WORSE = "\u25b2 better", "\u25bc worse"
UNIT_OF_GAIN = "in units of the baseline's gain at lag 0: 1 is that gain at every lag, 0 the base model."
UNIT_OF_RETENTION = "in units of the objective's own gain at lag 0: 1 is all of it at every lag."
OF_SEEDS = "More than the noise of seeds? Paired t, by Holm's method"
OF_CHARGED = "More than collapses, seen or not seen yet, could explain? The same test charged for them."
BOLD = "Bold: surely better than all others."


RANKS = (
    "From 1 + how many are better by a difference with a mark, to how many there are less those that are worse by one. "
    "Equal ranks are no order."
)


def leaderboard(report: Report) -> Table:
    """One line an objective and mismatch, the greatest gain under lag first."""
    several = Naming(report).several
    columns = (
        Column("objective"),
        *([Column("mismatch", select=True)] if several else []),
        Column("gain under lag", "number", f"{GAIN_ASKS} Mean gain over log2(1 + lag), {UNIT_OF_GAIN} {BOLD}"),
        Column("", "bar", "Gain under lag with its 95 % interval; the lines are 0 and 1."),
        Column("rank by gain", "number", f"Ranks by gain under lag that the differences leave open. {RANKS}"),
        Column("own retention", "number", f"{RETENTION_ASKS} Mean gain over log2(1 + lag), {UNIT_OF_RETENTION} {BOLD}"),
        Column("", "bar", "Own retention with its 95 % interval; the lines are 0 and 1."),
        Column("rank by retention", "number", "The same by own retention."),
        Column(
            "held, lost",
            "text",
            "Highest lag tested up to which an objective surely holds its own gain (loses at most a tenth of it), and "
            "the lowest at which it surely does not; open: surely neither. Between the two nothing is known.",
        ),
        Column("gain at lag 0", "number", "Over the base model, divided by the baseline's."),
        Column(
            "collapsed",
            "number",
            "Share of runs with its 95 % interval, for runs of a seed that may collapse together; how many, and by "
            "which update half of them had. Collapsed runs stay in all scores.",
        ),
        Column("IQM", "number", "Interquartile mean of pass@1 over evaluation tasks and schedules."),
        Column("optimality gap", "number", "How far retained gain falls short of 1, at the mean over runs."),
        *(_tuned_columns() if report.search else []),
        Column("reads", "text", "Log-probabilities besides the current policy's that the objective's formula takes."),
        Column("tokens", "number", "Generated, all runs together; below it those that reached the loss."),
        Column(
            "time",
            "number",
            "Of generation and learning, wall time of all runs, on whatever else the machine did; "
            "below it updates per second.",
        ),
    )
    return Table(
        "standings",
        "Gain under lag, and what is kept of the own gain",
        columns,
        tuple(_standing(standing, report, several) for standing in report.standings),
    )


def _tuned_columns() -> list[Column]:
    found = "At the learning rate that the search found best for the objective."
    return [
        Column("tuned gain under lag", "number", found),
        Column("tuned own retention", "number", found),
        Column("tuned held, lost", "text", found),
        Column("tuned rate", "number", "That learning rate."),
    ]


def _standing(standing: Standing, report: Report, several: bool) -> tuple[Entry, ...]:
    return (
        Entry(standing.objective, "baseline" if standing.objective == report.family.baseline else ""),
        *([Entry(standing.mismatch)] if several else []),
        *_measure(standing.gain_under_lag, standing, report),
        *_measure(standing.own_retention, standing, report),
        _held(standing.held),
        interval(standing.gain_at_lag_0),
        _collapsed(standing),
        interval(standing.iqm),
        number(standing.optimality_gap, share),
        *(_tuned(standing.tuned) if report.search else ()),
        Entry(_reads(standing), tone="" if standing.reads else "weak"),
        number(standing.cost.tokens_generated, count, f"{count(standing.cost.tokens_trained)} trained"),
        number(standing.cost.seconds, duration, _speed(standing.cost)),
    )


def _measure(measure: Measure, standing: Standing, report: Report) -> tuple[Entry, Entry, Entry]:
    """Value, bar and rank; bold where it is surely better than all others."""
    others = sum(s.mismatch == standing.mismatch for s in report.standings) > 1
    alone = measure.best_rank == measure.worst_rank == 1 and others
    return interval(measure.value, tone="best" if alone else ""), _bar(measure.value), _rank(measure)


def _held(held: Held | None) -> Entry:
    if held is None:
        return Entry(NOTHING, tone="weak")
    return Entry(f"held at {held.held}", lost_text(held), held.held)


def _tuned(tuned: Tuned | None) -> tuple[Entry, ...]:
    if tuned is None:
        return (Entry(NOTHING, tone="weak"),) * 4
    measures = (interval(tuned.gain_under_lag), interval(tuned.own_retention))
    return (*measures, _held(tuned.held), number(tuned.learning_rate))


def _reads(standing: Standing) -> str:
    """Which log-probabilities, in words."""
    return ", ".join(name.removesuffix("_logprobs") for name in standing.reads) or "none"


def _bar(found: Interval | None) -> Entry:
    if found is None or found.low is None or found.high is None:
        return Entry()
    return Entry(value=found.mean, bar=(found.low, found.mean, found.high))


def _speed(cost: Cost) -> str:
    return "" if cost.updates_per_second is None else f"{plain(cost.updates_per_second)} updates/s"


def _collapsed(standing: Standing) -> Entry:
    half = "" if standing.median_collapse is None else f", half by update {standing.median_collapse}"
    told = f"{standing.collapsed} of {standing.runs}{half}"
    if standing.collapse_rate is None:
        return Entry(NOTHING, told, tone="weak")
    tone = "bad" if standing.collapsed else ""
    return Entry(
        share(standing.collapse_rate.mean),
        f"{told} {bounds(standing.collapse_rate)}",
        standing.collapse_rate.mean,
        tone,
    )


def history(report: Report) -> Table | None:
    """The leaderboard as it once was; None where there is no history."""
    if len(report.history) < 2:
        return None
    several = Naming(report).several
    columns = (
        Column("date", select=True),
        Column("objective", select=True),
        *([Column("mismatch", select=True)] if several else []),
        Column("gain under lag", "number"),
        Column("rank by gain", "number"),
        Column("own retention", "number"),
        Column("rank by retention", "number"),
        Column("from", "long", "Results folders, with the first digits of their manifests' digests."),
    )
    lines = tuple(
        (
            Entry(moment.date),
            Entry(entry.objective),
            *([Entry(entry.mismatch)] if several else []),
            *(
                found
                for measure in (entry.gain_under_lag, entry.own_retention)
                for found in (interval(measure.value), _rank(measure))
            ),
            Entry(", ".join(f"{name} {digest[:12]}" for name, digest in moment.sources.items())),
        )
        for moment in report.history
        for entry in moment.entries
    )
    return Table("moments", "The leaderboard at every moment", columns, lines)


def _rank(measure: Measure) -> Entry:
    if measure.place is None:
        return Entry(NOTHING, tone="weak")
    best, worst = measure.best_rank, measure.worst_rank
    return Entry(str(best) if best == worst else f"{best}\u2013{worst}", value=best + worst / 1e4)


def settings_of_objectives(report: Report) -> Table:
    """How each objective was run, and at which learning rates it was tried."""
    several = Naming(report).several
    columns = (
        Column("objective"),
        *([Column("mismatch")] if several else []),
        Column("hyperparameters", "long"),
        Column("conventions", "long"),
        Column("its paper's", "long", "Where the objective's paper uses another convention than was run."),
        *([Column("search", "long", "Mean pass@1 in the search, by learning rate.")] if report.search else []),
    )
    lines = tuple(
        (
            Entry(standing.objective),
            *([Entry(standing.mismatch)] if several else []),
            Entry(pairs_of(standing.hyperparameters)),
            Entry(pairs_of(standing.conventions)),
            Entry(
                pairs_of({k: v for k, v in standing.paper.items() if standing.conventions.get(k) != v}) or "the same"
            ),
            *([Entry(_searched(standing))] if report.search else []),
        )
        for standing in report.standings
    )
    return Table("settings", "Hyperparameters and conventions", columns, lines)


def _searched(standing: Standing) -> str:
    if standing.tuned is None:
        return NOTHING
    return ", ".join(f"{rate}: {share(score)}" for rate, score in standing.tuned.search.items())


def tuned_scores(report: Report) -> Table | None:
    """pass@1 of each objective at the learning rate found for it, by schedule."""
    if report.search is None:
        return None
    several = Naming(report).several
    columns = (
        Column("objective", select=True),
        *([Column("mismatch", select=True)] if several else []),
        Column("learning rate", "number"),
        *(Column(schedule_name(schedule), "number") for schedule in report.schedules),
    )
    lines = tuple(
        (
            Entry(standing.objective),
            *([Entry(standing.mismatch)] if several else []),
            number(standing.tuned.learning_rate),
            *(interval(standing.tuned.scores.get(schedule)) for schedule in report.schedules),
        )
        for standing in report.standings
        if standing.tuned
    )
    return Table("tuned", "pass@1 at the learning rate found by the search", columns, lines)


def pairs_of(values: dict[str, Any]) -> str:
    """`key = value` of a dictionary, on one line."""
    return ", ".join(f"{key} = {_json(value)}" for key, value in values.items())


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def matrix(report: Report) -> Table:
    """One line an objective, schedule and mismatch."""
    naming = Naming(report)
    largest = pass_at(metrics_of(row.scores for row in report.rows))
    last = largest[-1][1] if largest and largest[-1][0] > 1 else None
    columns = (
        *naming.columns(),
        Column("mean lag", "number", "Realized, over the tokens trained on; below it the largest."),
        Column(
            "pass@1",
            "number",
            "Held-out problems solved by one response, with the 95 % interval over seeds; over problems "
            "where there is one seed. Bold: the highest under its schedule, where it is significantly different from "
            "the baseline; the baseline itself, where all others are.",
        ),
        *([Column(last, "number", "Estimate of the chance that one of so many responses is right.")] if last else []),
        Column("retained gain", "number", "Gain over the base model, divided by the reference's at lag 0."),
        Column("change from lag 0", "number", "In pass@1, over the seeds that both have."),
        Column(
            "against baseline",
            "number",
            f"pass@1 minus that of {one_line(report.family.baseline, 60)} under the same schedule, paired by seed.",
        ),
        Column("p, seeds", "number", f"{OF_SEEDS} over the whole family; below it unadjusted, and an exact test."),
        Column("p, charged", "number", OF_CHARGED),
        Column(
            "claim",
            "text",
            f"{BETTER} or {WORSE} than the baseline: both adjusted p-values at most {report.family.level:g}. no "
            "difference shown: that of paired t is above it. collapses could explain it: the charged one is. same "
            "formula: known before the run not to differ. no claim: too few seeds in this row."
            if report.family.claims
            else "Too few seeds to say anything.",
            select=True,
        ),
        Column("seeds", "number", "Those that came to an end."),
        Column("collapsed", "number"),
        Column(
            "what went wrong",
            "long",
            "Seeds that failed, are unfinished or were never begun, and when and why runs collapsed.",
        ),
    )
    best = best_rows(report)
    return Table(
        "matrix",
        "All objectives under all schedules",
        columns,
        tuple(
            (*naming.entries(row.objective, row.lag, row.mismatch), *_measured(row, report, last, row in best))
            for row in report.rows
        ),
    )


def best_rows(report: Report) -> list[Row]:
    """Rows with the highest pass@1 under their schedule and mismatch, where that is more than noise.

    The baseline, if highest, has to be significantly better than every other.
    """
    best = []
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        if "pass@1" in row.scores:
            groups.setdefault((row.lag, row.mismatch), []).append(row)
    for rows in groups.values():
        first = max(rows, key=lambda row: row.scores["pass@1"].mean)
        judged = [first] if first.against_baseline else [row for row in rows if row is not first]
        if judged and all(row.against_baseline and row.against_baseline.significant for row in judged):
            best.append(first)
    return best


def _measured(row: Row, report: Report, last: str | None, best: bool) -> Iterable[Entry]:
    yield number(row.lag_mean, plain, f"at most {plain(row.lag_max)}" if row.lag_max is not None else "")
    yield interval(row.scores.get("pass@1"), tone="best" if best else "")
    if last:
        yield interval(row.scores.get(last))
    yield interval(row.retained)
    yield interval(row.change_from_lag_0, signed)
    yield from _compared(row, report.family.baseline)
    yield Entry(str(len(row.seeds)), number_list(sorted(row.seeds)), len(row.seeds), "" if row.seeds else "bad")
    yield Entry(
        str(len(row.collapses)), bounds(row.collapse_rate), len(row.collapses), "bad" if row.collapses else "weak"
    )
    yield Entry(troubles(row))


def _compared(row: Row, baseline: str) -> tuple[Entry, ...]:
    if row.against_baseline is None:
        nothing = Entry(NOTHING, tone="weak")
        named = Entry("baseline" if row.objective == baseline else NOTHING, tone="weak")
        return named, nothing, nothing, Entry()
    return _tested(row.against_baseline)


def _tested(found: Difference) -> tuple[Entry, ...]:
    """The difference, both p-values, and what may be said."""
    parts = [f"t {probability(found.p)}"] if found.p is not None else []
    parts += [f"{found.exact} {probability(found.p_exact)}"] if found.p_exact is not None else []
    of_seeds = number(found.p_adjusted, probability, "; ".join(parts))
    return interval(found.value, signed), of_seeds, number(found.p_charged, probability), claim(found)


def claim(found: Difference) -> Entry:
    """What a difference allows to say."""
    if found.same_formula:
        return Entry("same formula", tone="weak")
    if found.significant is None:
        return Entry("no claim", tone="weak")
    if found.significant:
        return Entry(BETTER, tone="good") if found.value.mean > 0 else Entry(WORSE, tone="bad")
    beyond_seeds = found.p_adjusted is not None and found.p_adjusted <= LEVEL
    return Entry("collapses could explain it" if beyond_seeds else "no difference shown", tone="weak")


def troubles(row: Row) -> str:
    """Why a row's seeds are not all there, or not all well, and whether its objective is what it promises."""
    broken = row.broken_balance
    promise = [] if broken is None else [f"balance {broken:.2f}, 0 under the conventions of its paper"]
    return "; ".join([*what_lacks(row), *promise, *row.reasons, *map(_told, row.collapses)])


def _told(collapse: Collapse) -> str:
    limit = ""
    if collapse.value is not None and collapse.limit is not None:
        limit = f" {plain(collapse.value)} (limit {plain(collapse.limit)})"
    return f"seed {collapse.seed} collapsed at update {collapse.update}: {collapse.reason}{limit}"


def all_scores(report: Report) -> Table:
    """Every metric of every row; of many rows the means alone."""
    naming = Naming(report)
    metrics = metrics_of(row.scores for row in report.rows)
    many = len(report.rows) > MOST_LINES
    shown = metrics[:MOST_METRICS] if many else metrics
    lines = tuple(
        (
            *naming.entries(row.objective, row.lag, row.mismatch),
            *(_mean(row.scores.get(name)) if many else interval(row.scores.get(name)) for name in shown),
        )
        for row in report.rows
    )
    note = "Means alone, of the first metrics; intervals and the rest are in report.json." if many else ""
    columns = (*naming.columns(), *(Column(name, "number") for name in shown))
    return Table("scores", "Every metric of every row", columns, lines, note=note)


def _mean(found: Interval | None) -> Entry:
    return number(found.mean if found else None, share)


def diagnostics(report: Report) -> Table:
    """Means over the second half of the updates, of every row."""
    naming = Naming(report)
    names = list(dict.fromkeys(name for row in report.rows for name in row.diagnostics))
    lines = tuple(
        (*naming.entries(row.objective, row.lag, row.mismatch), *(number(row.diagnostics.get(name)) for name in names))
        for row in report.rows
    )
    columns = (*naming.columns(), *(Column(name, "number") for name in names))
    return Table("diagnostics", "Diagnostics of every row, over the second half of its updates", columns, lines)


def costs(report: Report) -> Table:
    """What every row has cost, all its seeds together."""
    naming = Naming(report)
    columns = (
        *naming.columns(),
        Column("tokens generated", "number"),
        Column("tokens trained", "number"),
        Column("time", "number"),
        Column("updates/s", "number"),
    )
    lines = tuple(
        (
            *naming.entries(row.objective, row.lag, row.mismatch),
            number(row.cost.tokens_generated, count),
            number(row.cost.tokens_trained, count),
            number(row.cost.seconds, duration),
            number(row.cost.updates_per_second),
        )
        for row in report.rows
    )
    return Table("costs", "Cost of every row, all its seeds together", columns, lines)


def pairs(report: Report) -> Table:
    """Differences of every two objectives in both measures."""
    several = Naming(report).several
    columns = (
        Column("first", select=True),
        Column("second", select=True),
        *([Column("mismatch", select=True)] if several else []),
        Column("gain under lag", "number", "First minus second, paired by seed, with its 95 % interval."),
        Column("p, seeds", "number", f"{OF_SEEDS} over all pairs."),
        Column("p, charged", "number", OF_CHARGED),
        Column("claim by gain", select=True),
        Column("own retention", "number", "First minus second, paired by seed, with its 95 % interval."),
        Column("p, seeds", "number", f"{OF_SEEDS} over all pairs."),
        Column("p, charged", "number", OF_CHARGED),
        Column("claim by retention", select=True),
        Column(
            "first scores higher",
            "number",
            "Probability that a run of the first scores higher than one of the second, at the "
            "mean over schedules and tasks.",
        ),
    )
    return Table("pairs", "Every two objectives", columns, tuple(_pair(pair, several) for pair in report.pairs))


def _pair(pair: Pair, several: bool) -> tuple[Entry, ...]:
    return (
        Entry(pair.first),
        Entry(pair.second),
        *([Entry(pair.mismatch)] if several else []),
        *_difference(pair.gain_under_lag),
        *_difference(pair.own_retention),
        number(pair.probability_of_improvement, share),
    )


def _difference(found: Difference | None) -> tuple[Entry, ...]:
    nothing = Entry(NOTHING, tone="weak")
    return _tested(found) if found else (nothing, nothing, nothing, Entry("no claim", tone="weak"))


def evaluations(report: Report) -> Table | None:
    """Scores by version and exam; None where every row has one evaluation and the matrix says it."""
    if len({(found.exam, found.version) for found in report.evaluations if found.objective}) < 2:
        return None
    naming = Naming(report)
    metrics = metrics_of(found.scores for found in report.evaluations)
    ks = pass_at(metrics)
    many = len(report.evaluations) > MOST_LINES
    shown = [name for _, name in ([ks[0], ks[-1]] if len(ks) > 1 else ks)] if many else metrics
    columns = (
        *naming.columns(),
        Column("exam", select=True),
        Column("version", "number", "Optimizer updates that the policy had seen."),
        Column("tokens", "number", "Generated by then, by one seed."),
        *(Column(name, "number") for name in shown),
    )
    return Table(
        "evaluations",
        "Scores by version and exam",
        columns,
        tuple(_evaluation(found, naming, shown) for found in report.evaluations),
    )


def _evaluation(found: Evaluation, naming: Naming, metrics: Sequence[str]) -> tuple[Entry, ...]:
    return (
        *naming.entries(found.objective, found.lag, found.mismatch),
        Entry(found.exam),
        number(found.version, lambda version: f"{version:.0f}"),
        number(found.tokens, count),
        *(interval(found.scores.get(name)) for name in metrics),
    )


def environments(report: Report) -> tuple[Table, dict[str, int]]:
    """Processors and packages that cells ran with, and the number of each cell's, by its name."""
    numbers: dict[tuple[str, str], int] = {}
    by_cell = {}
    for cell in report.cells:
        if cell.packages or cell.state == "finished":
            key = cell.processor, ", ".join(f"{name} {version}" for name, version in cell.packages.items())
            by_cell[cell.name] = numbers.setdefault(key, len(numbers) + 1)
    columns = (
        Column("environment", "number"),
        Column("processor", "long"),
        Column("packages", "long"),
        Column("cells", "number"),
    )
    lines = tuple(
        (Entry(str(i), value=i), Entry(processor), Entry(packages), number(list(by_cell.values()).count(i), count))
        for (processor, packages), i in numbers.items()
    )
    return Table("environments", "Environments", columns, lines), by_cell


def manifest(report: Report, environment: dict[str, int]) -> Table:
    """One line a cell, with the command that makes it again."""
    naming = Naming(report)
    several = len(report.sources) > 1
    columns = (
        Column("cell"),
        *naming.columns(),
        Column("seed", "number"),
        Column("state", select=True),
        Column("pass@1", "number"),
        Column("time", "number"),
        Column("command", "command", "Makes this cell again."),
        Column("configuration", "text", "The first digits of its digest, as of the weights': whole in report.json."),
        Column("weights", "text"),
        Column("environment", "number"),
        *([Column("from", select=True)] if several else []),
        Column("reason", "long"),
    )
    return Table(
        "cells", "Cells", columns, tuple(_manifest_line(cell, naming, environment, several) for cell in report.cells)
    )


def _manifest_line(cell: ManifestLine, naming: Naming, environment: dict[str, int], several: bool) -> tuple[Entry, ...]:
    return (
        Entry(cell.name),
        *naming.entries(cell.objective, cell.lag, cell.mismatch),
        Entry(str(cell.seed), value=cell.seed),
        Entry(cell.state, tone="" if cell.state == "finished" else "bad"),
        number(cell.pass_at_1, share),
        number(cell.seconds, duration),
        Entry(cell.command),
        Entry(cell.id[:12]),
        Entry(cell.weights_digest[:12] or NOTHING),
        number(environment.get(cell.name), lambda i: NOTHING if i is None else f"{i:.0f}"),
        *([Entry(cell.source)] if several else []),
        Entry(cell.reason),
    )


def sources(report: Report) -> Table:
    """Results folders that the report is made from."""
    columns = (
        Column("folder"),
        Column("cells", "number"),
        Column("checksum manifest", "long"),
        Column("remark", "long"),
    )
    lines = tuple(
        (Entry(source.name), number(source.cells, count), Entry(source.digest), Entry(source.remark))
        for source in report.sources
    )
    return Table("sources", "Results folders", columns, lines)


def samples(report: Report) -> Table:
    """Responses with their verdicts; long ones by beginning and end, and no more than a page can carry."""
    naming = Naming(report)
    columns = (
        *naming.columns(),
        Column("seed", "number"),
        Column("verdict", select=True),
        Column("question", "long"),
        Column("answer", "long"),
        Column("response", "long"),
    )
    lines: list[tuple[Entry, ...]] = []
    room = MOST_SAMPLE_TEXT
    for sample in report.samples:
        texts = [excerpt(text, LONGEST_TEXT) for text in (sample.question, sample.answer, sample.response)]
        room -= sum(map(len, texts))
        if room < 0:
            break
        lines.append((*naming.entries(sample.objective, sample.lag, sample.mismatch), *_answered(sample, texts)))
    left = len(report.samples) - len(lines)
    note = f"{left} more are in report.json." if left else ""
    return Table("samples", "Responses to held-out problems", columns, tuple(lines), page=10, note=note)


def _answered(sample: Sample, texts: Sequence[str]) -> tuple[Entry, ...]:
    verdict = Entry("\u2713 right", tone="good") if sample.correct else Entry("\u2717 wrong", tone="bad")
    return Entry(str(sample.seed), value=sample.seed), verdict, *map(Entry, texts)


def dictionary(id: str, caption: str, values: dict[str, Any]) -> Table:
    """Names and values, in the order given."""
    lines = tuple((Entry(key), Entry(_json(value))) for key, value in values.items())
    return Table(id, caption, (Column("name"), Column("value", "long")), lines)


def power(report: Report) -> Table | None:
    """Which differences the suite finds at each schedule, and how many seeds smaller ones would take."""
    if report.power is None:
        return None
    naming, effects = Naming(report), list(report.power.finds[0].seeds_for)
    columns = (
        *naming.columns()[1:],
        Column("spread", "number", "Standard deviation of paired differences in pass@1 over seeds, pooled."),
        Column("one test finds", "number", "Difference in pass@1 that it finds four times out of five."),
        Column(
            "gets a mark", "number", "The same as the first of the family, where no run of the better one collapses."
        ),
        *(Column(f"seeds for {effect}", "number", "With which one test finds that difference.") for effect in effects),
    )
    lines = tuple(
        (
            *naming.entries("", found.lag, found.mismatch)[1:],
            *(number(value, lambda size: share(size, 4)) for value in (found.sd, found.detectable, found.marked)),
            *(number(found.seeds_for[effect], _seeds) for effect in effects),
        )
        for found in report.power.finds
    )
    caption = f"What {report.power.seeds} seeds find at each schedule, objectives of the same formula left out"
    return Table("power", caption, columns, lines, sortable=False)


def _seeds(many: float | None) -> str:
    return "more than a thousand" if many is None else f"{many:.0f}"
