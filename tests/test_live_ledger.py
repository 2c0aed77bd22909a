"""The ledger of a live run: every ticket trained exactly once, whoever dies; the bound holds for every token."""

import random
from typing import Any

import pytest

from lagbench import InputError
from lagbench.harness.lag.trace import decoded
from lagbench.harness.live.ledger import Drawing, Ledger, account
from lagbench.harness.live.rules import Rules

UPDATES, GROUPS = 12, 5


def simulated(rules: Rules, seed: int, deaths: float) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """A run in which anything may happen at any time: the lines of its ledger, and the trace of what was trained."""
    rng = random.Random(seed)
    lines: list[dict[str, Any]] = []
    ledger = Ledger(rules, UPDATES, GROUPS, lines.append)
    ledger.restored(0)
    out: list[Drawing] = []
    saved, published = 0, 0
    trained: dict[int, list[Any]] = {}
    while ledger.version < UPDATES:
        event = rng.choice(["ask", "graded", "learn"])
        if event == "ask" and len(out) < rules.workers and (drawing := ledger.ask(published)):
            assert drawing.ticket.update - published <= rules.ahead
            out.append(drawing)
        elif event == "graded" and out:
            drawing = out.pop(rng.randrange(len(out)))
            if rng.random() < deaths:
                ledger.lost(drawing)
            elif rng.random() < 0.3 and published > drawing.runs[-1][0]:  # in flight: it goes on under newer weights
                drawing.runs.append((published, drawing.runs[-1][1] + 3))
                out.append(drawing)
            else:
                ledger.graded(drawing)
        elif event == "learn" and (batch := ledger.batch()):
            update = ledger.version
            if rng.random() < deaths:
                survived = rng.random() < 0.5 and update + 1 > saved  # its last word: a checkpoint nobody heard of
                saved = update + 1 if survived else saved
                trained |= {update: [drawing.group for drawing in batch]} if survived else {}
                ledger.restored(saved)
                published = max(published, saved)  # what a learner begins with
                continue
            again = [drawing.group for drawing in batch]
            assert trained.setdefault(update, again) == again  # fed again, it is the same batch
            saved = update + 1 if rng.random() < 0.3 else saved
            ledger.trained(saved)
            if (update + 1) % rules.broadcast_every == 0:
                published = max(published, update + 1)
    return lines, [trained[update] for update in range(UPDATES)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "rules",
    [
        Rules(workers=1, max_lag=0, queue=0),
        Rules(workers=3, max_lag=4, queue=8),
        Rules(workers=2, max_lag=2, at_bound="drop", queue=6),
        Rules(workers=7, max_lag=3, queue=2, broadcast_every=3),
    ],
    ids=["lag 0", "wait", "drop", "more workers than groups"],
)
def test_every_ticket_is_trained_once_and_the_bound_holds(rules: Rules, seed: int) -> None:
    lines, trained = simulated(rules, seed, deaths=0.2)
    found = account(lines, UPDATES, GROUPS)
    again = sum(line["event"] in ("lost", "dropped") for line in lines)
    assert found.tickets_asked == UPDATES * min(rules.workers, GROUPS) + again
    plan = decoded("live", len(trained[0]), trained)  # proves, too, that no version is from the future
    assert plan.lag.max() <= rules.max_lag
    assert (found.groups_dropped > 0) == any(line["event"] == "dropped" for line in lines)
    if rules.at_bound == "wait":
        assert found.groups_dropped == 0


def test_what_is_too_old_is_dropped_and_asked_again_of_the_current_version() -> None:
    """Bound 1, one worker two updates ahead: all of update 2 is begun by version 0, and so are 0 and 1."""
    lines: list[dict[str, Any]] = []
    ledger = Ledger(Rules(workers=1, max_lag=1, at_bound="drop", queue=2), 4, GROUPS, lines.append)
    ledger.restored(0)
    for update in range(3):
        drawing = ledger.ask(0)
        assert drawing is not None and drawing.ticket == (update, 0)
        ledger.graded(drawing)
    assert ledger.ask(0) is None  # update 3 is further ahead than the queue
    for _ in range(2):
        assert ledger.batch() is not None
        ledger.trained(0)
    assert ledger.batch() is None  # lag 2
    again = ledger.ask(2)
    assert again is not None and again.ticket == (2, 0) and again.lag == 0
    ledger.graded(again)
    assert ledger.batch() == [again]
    assert [line["groups"] for line in lines if line["event"] == "dropped"] == [GROUPS]


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"event": "fed", "update": 0, "asked": [0]}, "update 0 was trained twice"),
        ({"event": "asked", "asked": 0, "update": 1, "groups": [0]}, "ticket 0 was asked twice"),
        ({"event": "restored", "version": 1}, r"updates \[1\] were not trained"),
    ],
)
def test_an_account_that_does_not_add_up_is_refused(event: dict[str, Any], complaint: str) -> None:
    lines: list[dict[str, Any]] = []
    ledger = Ledger(Rules(workers=1), 2, 1, lines.append)
    ledger.restored(0)
    for update in range(2):
        drawing = ledger.ask(update)
        assert drawing is not None
        ledger.graded(drawing)
        assert ledger.batch() == [drawing]
        ledger.trained(0)
    assert account(lines, 2, 1).tickets_asked == 2
    with pytest.raises(RuntimeError, match=complaint):
        account([*lines, event], 2, 1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"workers": 0}, "--workers 0 is not valid: expected a whole number from 1 on"),
        ({"max_lag": -1}, "--max-lag -1"),
        ({"in_flight": 0}, "--in-flight 0"),
        ({"at_bound": "stop"}, "--at-bound 'stop' is not valid: expected wait or drop"),
        ({"max_lag": 2, "broadcast_every": 4}, "--broadcast-every 4 makes lags up to 3, but --max-lag is 2"),
        ({"queue": 0, "broadcast_every": 2}, "--broadcast-every 2 makes lags up to 1, but --queue is 0"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Rules(**changes)
