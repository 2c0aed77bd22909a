"""The family of tests that a suite fixes: every other objective against the baseline, at every schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..statistics.charged import charged_p
from ..statistics.families import holm
from ..statistics.intervals import FEWEST_SEEDS
from ..statistics.paired import LEVEL, paired
from . import document as doc
from .copies import same_formula
from .groups import Group, Table, shared_seeds
from .numbers import Tested, difference, interval

Key = tuple[str, str, str]  # objective, mismatch, lag
MARK = (
    f"A mark needs two p-values of at most {LEVEL}, each by Holm's method over the family: that of paired t over seeds "
    "(more than the noise of seeds), and that of the same test charged for collapses (more than collapses that have "
    "happened, or that nobody has seen yet, could explain). Charged: the better one's scores count with the share of "
    "runs that surely do not collapse, a collapsed run of the worse one counts as the mean of its others (where all "
    "have collapsed, only in the part that this leaves to chance, and as its runs under other schedules). It assumes "
    "that differences over seeds are about normal, and that an objective's runs collapse independently and at one rate."
)


def planned(table: Table) -> list[Key]:
    """Every row to be compared with the baseline: what is planned, and not what no command has asked for."""
    return [key for key in table.groups if key[0] != table.baseline]


def family_of(table: Table, tests: Mapping[Key, Tested]) -> doc.Family:
    """Fixed in the suite: rows that are known not to differ are no part of it."""
    keys = planned(table)
    same = sum(same_formula(table.results.suite, *key) for key in keys)
    claims = any(not np.isnan(test.paired.p) for test in tests.values())
    return doc.Family(
        baseline=table.baseline,
        tests=len(keys) - same,
        same_formula=same,
        level=LEVEL,
        claims=claims,
        text=_family_text(table, len(keys) - same, same, claims),
        mark=MARK,
    )


def _family_text(table: Table, size: int, same: int, claims: bool) -> str:
    against = f"each objective against {table.baseline} at each schedule, in pass@1"
    if not size:
        return f"No test: the suite has nothing to compare with {table.baseline}."
    if not any(objective == table.baseline for objective, *_ in table.groups):
        return f"No significance is claimed: {table.baseline} has not been run here. Planned: {size} tests, {against}."
    if not claims:
        return (
            f"No significance is claimed: a paired test needs {FEWEST_SEEDS} seeds that both objectives have. "
            f"Planned: {size} tests, {against}."
        )
    left_out = (
        f" {same} comparison{'s' * (same > 1)} at lag 0 {'are' if same > 1 else 'is'} left out: on fresh responses the "
        "two are one formula."
    )
    return (
        f"Tests: {against}; {size} in the family that the suite fixes, missing ones counted.{left_out if same else ''}"
    )


def tests_against_baseline(table: Table) -> dict[Key, Tested]:
    """Of every row that is tested, over the seeds that both have."""
    return {key: _test(group, other, table) for key, group, other in compared(table)}


def compared(table: Table) -> Iterator[tuple[Key, Group, Group]]:
    """Every row that is tested, with that of the baseline; they have a seed in common."""
    for key in planned(table):
        group = table.groups[key]
        other = _baseline_of(group, table)
        if shared_seeds(group, other) and not same_formula(table.results.suite, *key):
            yield key, group, other


def _baseline_of(group: Group, table: Table) -> Group:
    return table.get(table.baseline, group.mismatch, group.lag)


def _test(group: Group, other: Group, table: Table) -> Tested:
    seeds = shared_seeds(group, other)
    first, second = table.runs(group, seeds), table.runs(other, seeds)
    return Tested(paired(first.scores, second.scores), float(charged_p(first, second)))


def differences(table: Table, tests: Mapping[Key, Tested], family: doc.Family) -> dict[Key, doc.Difference]:
    """Of every row but the baseline's, p-values adjusted for the whole family; none where the formula is the same."""
    found = {}
    adjusted = _adjusted([test.paired.p for test in tests.values()], family)
    charged = _adjusted([test.p_charged for test in tests.values()], family)
    for (key, test), *p in zip(tests.items(), adjusted, charged, strict=True):
        group = table.groups[key]
        found[key] = difference(test, interval(test.paired.estimate, _by_seed(group, table)), *p)
    return found | {
        key: _untested(group, table)
        for key in planned(table)
        if key not in found and shared_seeds(group := table.groups[key], _baseline_of(group, table))
    }


def _adjusted(p: list[float], family: doc.Family) -> list[float]:
    return holm(np.array(p), family.tests).tolist() if p else []


def _by_seed(group: Group, table: Table) -> np.ndarray:
    other = _baseline_of(group, table)
    seeds = shared_seeds(group, other)
    return group.scores(seeds) - other.scores(seeds)


def _untested(group: Group, table: Table) -> doc.Difference:
    values = _by_seed(group, table)
    return doc.Difference(
        value=interval(paired(values, np.zeros(len(values))).estimate, values),
        p=None, p_exact=None, exact="", p_adjusted=None, p_charged=None, significant=None, same_formula=True,
    )  # fmt: skip
