"""The family of tests that a suite fixes: every other objective against the baseline, at every schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..statistics.families import holm
from ..statistics.paired import FEWEST_SEEDS, LEVEL, Paired, paired
from ..statistics.power import detectable, pooled_sd, seeds_needed
from . import document as doc
from .groups import Table, shared_seeds
from .numbers import difference, known

EFFECTS = (0.01, 0.02, 0.05)  # in pass@1, for advice on seeds
Key = tuple[str, str, str]  # objective, mismatch, lag


def tests_against_baseline(table: Table) -> dict[Key, Paired]:
    """Of every row but the baseline's own, over the seeds that both have."""
    return {key: paired(ours, theirs) for key, ours, theirs in _with_baseline(table)}


def _with_baseline(table: Table) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
    """pass@1 [S] of every row but the baseline's own and that of the baseline, over the seeds that both have."""
    for key, group in table.groups.items():
        other = table.get(table.baseline, group.mismatch, group.lag)
        seeds = shared_seeds(group, other)
        if group.objective != table.baseline and seeds:
            yield key, group.scores(seeds), other.scores(seeds)


def family_of(table: Table, tests: Mapping[Key, Paired]) -> doc.Family:
    """What is planned counts, not what has finished; what no command has asked for does not."""
    size = sum(objective != table.baseline for objective, *_ in table.groups)
    claims = any(not np.isnan(test.p) for test in tests.values())
    text = _family_text(table, size, claims)
    return doc.Family(baseline=table.baseline, tests=size, level=LEVEL, claims=claims, text=text)


def _family_text(table: Table, size: int, claims: bool) -> str:
    against = f"each objective against {table.baseline} at each schedule, in pass@1"
    if not size:
        return f"No test: the suite has {table.baseline} alone."
    if not any(objective == table.baseline for objective, *_ in table.groups):
        return f"No significance is claimed: {table.baseline} has not been run here. Planned: {size} tests, {against}."
    if not claims:
        return (
            f"No significance is claimed: a paired test needs {FEWEST_SEEDS} seeds that both objectives have. "
            f"Planned: {size} tests, {against}."
        )
    return (
        f"Tests: {against}; {size} in the family that the suite fixes, missing ones counted. Paired t over seeds, "
        f"significant and marked where Holm's adjusted p is at most {LEVEL}."
    )


def in_family(tests: Mapping[Key, Paired], family: doc.Family) -> dict[Key, doc.Difference]:
    """The tests with their p-values adjusted for the whole family."""
    p = holm(np.array([test.p for test in tests.values()]), family.tests)
    return {key: difference(test, adjusted) for (key, test), adjusted in zip(tests.items(), p.tolist(), strict=True)}


def power_of(table: Table, family: doc.Family) -> doc.Power | None:
    """From the spread of the differences that were measured; None without at least two seeds of any."""
    differences = [ours - theirs for _, ours, theirs in _with_baseline(table) if len(ours) > 1]
    if not differences or not (sd := pooled_sd(differences)):
        return None
    seeds = len(table.results.suite.seeds)
    one, first_step = detectable(sd, seeds), detectable(sd, seeds, LEVEL / max(family.tests, 1))
    wanted: dict[str, int | None] = {f"{effect:g}": seeds_needed(sd, effect) for effect in EFFECTS}
    return doc.Power(
        seeds=seeds,
        sd=sd,
        detectable=known(one),
        detectable_in_family=known(first_step),
        seeds_for=wanted,
        text=_power_text(seeds, one, first_step, wanted),
    )


def _power_text(seeds: int, one: float, first_step: float, wanted: Mapping[str, int | None]) -> str:
    advice = ", ".join(f"{effect} {n or 'more than 1000'}" for effect, n in wanted.items())
    if seeds < FEWEST_SEEDS:
        return f"Seeds that a single test would take to find differences in pass@1 of: {advice}."
    return (
        f"With {seeds} seeds a single test finds a difference of {one:.3f} in pass@1 four times out of five, the first "
        f"test of the family one of {first_step:.3f}. Seeds that a single test would take for differences of: {advice}."
    )
