"""What a suite will not show, told before it is run; nothing here stops it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..config import Run, Suite
from ..data import overlaps
from ..lag.planning import resolve, share_cut
from ..learn.advantages import compares_nothing
from ..registry import OBJECTIVES
from ..types import Task
from .expand import LAG_0, conventions, planned, scene_of

CUT = 0.5  # share of a schedule's groups that a run is too young for, from which on it is told


def notes(suite: Suite, tasks: Mapping[str, Task], added: Sequence[Run]) -> Iterator[str]:
    """A line each; `added` are the cells that the suite does not name and needs."""
    yield from (f"Note: {overlap}." for overlap in overlaps(tasks))
    yield from _references(suite, added)
    yield from _too_short(suite)
    yield from _compares_nothing(suite)


def _references(suite: Suite, added: Sequence[Run]) -> Iterator[str]:
    """What is added, and what is missing besides."""
    if added:
        cells = added[0].name if len(added) == 1 else f"{len(added)} cells ({added[0].name}, ...)"
        yield f"Adding {cells}: gains are measured by {suite.baseline} at lag 0."
    lags = [lag for lag in suite.lags if resolve(lag).text not in LAG_0]
    if lags and suite.baseline not in suite.objectives:
        every = ",".join((suite.baseline, *suite.objectives))
        yield f"Note: no comparison with {suite.baseline} at lag {', '.join(lags)}; for that: objectives={every}"
    if len(lags) == len(suite.lags):
        every = ",".join(("0", *lags)) if "," not in "".join(lags) else f"'{';'.join(('0', *lags))}'"
        yield f"Note: no own retention and no change from lag 0 without a lag 0; for that: lags={every}"


def _too_short(suite: Suite) -> Iterator[str]:
    """Schedules that want most of their groups older than the run is."""
    scene = scene_of(suite, suite.seeds[0])
    for lag in suite.lags:
        share = share_cut(lag, scene)
        if share > CUT:
            mean = planned(lag, suite, suite.seeds[0]).lag.mean()
            yield (
                f"Note: lag {lag} in {suite.updates} updates: for {share:.0%} of the groups the run is younger than "
                f"that, so that the mean lag is {mean:.1f}; raise updates"
            )


def _compares_nothing(suite: Suite) -> Iterator[str]:
    """Groups of one, whose rewards are equal by construction."""
    names = [conventions(suite, OBJECTIVES.get(name))["advantage"] for name in suite.objectives]
    for advantage in dict.fromkeys(names):
        if compares_nothing(advantage, suite.responses_per_prompt):
            yield (
                f"Note: responses_per_prompt={suite.responses_per_prompt} under advantage={advantage}: a response is "
                "compared with itself alone, so no reward teaches anything; set responses_per_prompt=2 or more"
            )
