"""From results to a report.

Scores are compared seed by seed: the seeds of all objectives meet the same prompts and the same noise. A run that ended
non-finite counts, with scores of 0; one that failed for reasons of its machine does not, and is told.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import version
from itertools import product

from ..record import suite_id
from . import document as doc
from .curves import curves
from .family import differences, family_of, tests_against_baseline
from .gates import gates
from .groups import table_of
from .manifest import manifest, sources
from .numbers import interval
from .power import power_of
from .remarks import remarks
from .results import Results
from .rows import evaluations, row
from .samples import samples
from .standings import THRESHOLDS, standings_and_pairs
from .tuning import search_of


def compare(results: Results) -> doc.Report:
    """Everything that a report says of these results."""
    table = table_of(results)
    tests = tests_against_baseline(table)
    family = family_of(table, tests)
    against_baseline = differences(table, tests, family)
    rows = tuple(
        row(table.groups[key], table, against_baseline.get(key))
        for key in product(table.objectives, table.mismatches, table.schedules)
        if key in table.groups
    )
    standings, pairs = standings_and_pairs(table)
    checked = tuple(doc.Gate(**asdict(gate)) for gate in gates(results))
    power = power_of(table, family)
    return doc.Report(
        name=results.name,
        suite_digest=results.suite.digest,
        suite_id=suite_id(results.suite),
        code=code_of_cells(results),
        settings=results.suite.settings,
        inputs=results.suite.inputs,
        version=version("lagbench"),
        sources=sources(results),
        valid=all(gate.passed is not False for gate in checked),
        gates=checked,
        exam=_exam(results),
        base={metric: interval(found) for metric, found in table.base.items()},
        base_error=table.measured_base.error if table.measured_base else None,
        family=family,
        power=power,
        search=search_of(results),
        schedules=table.schedules,
        thresholds=THRESHOLDS,
        standings=standings,
        rows=rows,
        pairs=pairs,
        curves=tuple(curves(table.groups.values())),
        evaluations=tuple(evaluations(table)),
        cells=tuple(map(manifest, [*results.cells, *results.tuned])),
        samples=tuple(samples(results)),
        notes=tuple(remarks(table, rows, family, power)),
    )


def code_of_cells(results: Results) -> dict[str, str]:
    """By what it is of, the digests of the code behind the cells that count: several where cells of other code do."""
    found: dict[str, set[str]] = defaultdict(set)
    for cell in results.cells:
        for what, digest in (cell.run.get("code") or {}).items() if cell.scores else ():
            found[what].add(digest)
    return {what: ", ".join(sorted(digests)) for what, digests in found.items()}


def _exam(results: Results) -> str:
    """What the scores are of: the first exam of the final version."""
    cell = next((cell for cell in results.cells if cell.evaluations), None)
    if cell is None:
        return ""
    final = next(found for found in cell.evaluations if found["version"] == cell.run["updates"])
    return f"{final['exam']}: {final['problems']} problems, {final['samples']} samples of each"
