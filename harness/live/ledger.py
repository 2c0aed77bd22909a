"""The ledger of a live run: which prompt groups have been asked, drawn, graded, trained, and what became of the rest.

Tickets are asked in the order of training: update u trains on tickets (u, 0), (u, 1), ..., whoever drew them, whenever
they came back. So prompts and sampling noise are those of a simulated run, and its trace replays it. Everything that
happens is a line of `ledger.jsonl`; `account` adds these up and proves that nothing was trained twice or lost.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..lag.trace import Group, as_group
from .rules import Rules

Line = Mapping[str, Any]


class Ticket(NamedTuple):
    """One request: some consecutive prompt groups of an update, the `part`-th."""

    update: int
    part: int


@dataclass
class Drawing:
    """A ticket that has been asked, until its update is trained for good.

    `runs` holds [version, token that it began with]: one, or several in flight. `rollouts` and `verdicts` are whatever
    stands for them, None until they are there.
    """

    ticket: Ticket
    asked: int  # its number among all that were asked
    runs: list[tuple[int, int]]
    rollouts: Any = None
    verdicts: Any = None
    gap: dict[str, float] = field(default_factory=dict)  # of an engine's log-probabilities to the learner's

    @property
    def group(self) -> Group:
        """Who drew it, as a trace writes it."""
        (source, _), *later = self.runs
        return as_group(source, [[token, version] for version, token in later])

    @property
    def lag(self) -> int:
        """Of its oldest token, when its turn comes."""
        return self.ticket.update - self.runs[0][0]


class Ledger:
    """All tickets of a run with U updates of P groups; `write` keeps what happens, as a line of JSON values."""

    def __init__(
        self, rules: Rules, updates: int, groups: int, write: Callable[[dict[str, Any]], object], asked: int = 0
    ):
        self.rules, self.updates, self.write, self.asked = rules, updates, write, asked
        self.parts = [part.tolist() for part in np.array_split(np.arange(groups), min(rules.workers, groups))]
        self.version = 0  # updates trained by the learner as it is now; a new one begins at its checkpoint
        self.furthest = 0  # updates ever trained
        self._next = Ticket(0, 0)
        self._again: list[Ticket] = []  # a heap: the first to be trained comes first
        self._ready: dict[Ticket, Drawing] = {}
        self._kept: dict[int, list[Drawing]] = {}  # batches since the checkpoint, should the learner be lost

    def restored(self, version: int) -> None:
        """A learner has begun at `version`: 0, or that of the last checkpoint."""
        self.version, self.furthest = version, max(version, self.furthest)
        self._next = max(self._next, Ticket(version, 0))  # what is later has been asked already, if by this command
        self.write({"event": "restored", "version": version})

    def ask(self, version: int) -> Drawing | None:
        """The next ticket, to be drawn by `version`; None where the bound, or the end of the run, forbids any."""
        ticket = self._again[0] if self._again else self._next
        if ticket.update >= self.updates or ticket.update - version > self.rules.ahead:
            return None
        if self._again:
            heapq.heappop(self._again)
        else:
            update, part = ticket
            self._next = Ticket(update, part + 1) if part + 1 < len(self.parts) else Ticket(update + 1, 0)
        drawing = Drawing(ticket, self.asked, [(version, 0)])
        self.asked += 1
        self._log("asked", drawing, update=ticket.update, groups=self.parts[ticket.part], version=version)
        return drawing

    @property
    def all_asked(self) -> bool:
        return not self._again and self._next.update >= self.updates

    def lost(self, drawing: Drawing) -> None:
        """Whoever drew it is gone; it will be asked again."""
        self._log("lost", drawing)
        heapq.heappush(self._again, drawing.ticket)

    def graded(self, drawing: Drawing) -> None:
        """It waits for its turn."""
        self._log("graded", drawing)
        self._ready[drawing.ticket] = drawing

    def batch(self) -> list[Drawing] | None:
        """What the learner trains on next, given to it by this call; None while some of it is not there.

        Where that is too old, it is dropped, with everything else that is there and would be too old when its turn
        comes; all of it will be asked again.
        """
        if self.version in self._kept:  # trained once before, by a learner that was lost
            return self._feed(self._kept[self.version])
        if self.version >= self.updates:
            return None
        turn = [Ticket(self.version, part) for part in range(len(self.parts))]
        if any(ticket in self._ready and self._too_old(self._ready[ticket]) for ticket in turn):
            for drawing in [drawing for drawing in self._ready.values() if self._too_old(drawing)]:
                self._log("dropped", drawing, groups=len(self.parts[drawing.ticket.part]))
                del self._ready[drawing.ticket]
                heapq.heappush(self._again, drawing.ticket)
        if not all(ticket in self._ready for ticket in turn):
            return None
        self._kept[self.version] = [self._ready.pop(ticket) for ticket in turn]
        return self._feed(self._kept[self.version])

    def trained(self, saved: int) -> None:
        """The learner has made the update that it was given; its last checkpoint is of version `saved`."""
        self.version += 1
        self.furthest = max(self.furthest, self.version)
        self._kept = {update: batch for update, batch in self._kept.items() if update >= saved}

    def _feed(self, batch: list[Drawing]) -> list[Drawing]:
        self.write({"event": "fed", "update": self.version, "asked": [drawing.asked for drawing in batch]})
        return batch

    def _too_old(self, drawing: Drawing) -> bool:
        return drawing.lag > self.rules.max_lag

    def _log(self, event: str, drawing: Drawing, **more: Any) -> None:
        self.write({"event": event, "asked": drawing.asked, **more})


@dataclass(frozen=True)
class Account:
    """What a ledger comes to. Groups are prompt groups; `waits` are workers that had nothing they might draw."""

    tickets_asked: int
    tickets_lost: int
    groups_dropped: int
    waits: int
    wait_s: float
    learners_lost: int
    workers_lost: int
    graders_lost: int


def account(lines: Sequence[Line], updates: int, groups: int) -> Account:
    """The sums of a finished run's ledger.

    A RuntimeError where an update was not trained exactly once, or on other groups than its own, or on any that were
    lost or dropped. A learner that begins at version v takes back what was fed for v and later.
    """
    asked: dict[int, Line] = {}
    ready: set[int] = set()
    fed: dict[int, list[int]] = {}
    for line in lines:
        if line["event"] == "asked":
            _expect(line["asked"] not in asked, f"ticket {line['asked']} was asked twice")
            asked[line["asked"]] = line
        elif line["event"] == "graded":
            ready.add(line["asked"])
        elif line["event"] == "dropped":
            ready.remove(line["asked"])
        elif line["event"] == "fed":
            update = line["update"]
            _expect(update not in fed, f"update {update} was trained twice")
            _expect(all(number in ready for number in line["asked"]), f"update {update} was fed what was not there")
            _expect(all(asked[number]["update"] == update for number in line["asked"]), f"update {update}: not its own")
            fed[update] = line["asked"]
        elif line["event"] == "restored":
            fed = {update: numbers for update, numbers in fed.items() if update < line["version"]}
    _expect(sorted(fed) == list(range(updates)), f"updates {sorted(set(range(updates)) - set(fed))} were not trained")
    for update, numbers in fed.items():
        mine = [group for number in numbers for group in asked[number]["groups"]]
        _expect(mine == list(range(groups)), f"update {update} was trained on groups {mine}")
    numbers = [number for numbers in fed.values() for number in numbers]
    _expect(len(numbers) == len(set(numbers)), "a ticket was trained by two updates")
    return Account(
        tickets_asked=len(asked),
        tickets_lost=_count(lines, "lost"),
        groups_dropped=sum(line["groups"] for line in lines if line["event"] == "dropped"),
        waits=_count(lines, "waited"),
        wait_s=sum(line["seconds"] for line in lines if line["event"] == "waited"),
        **{f"{role}s_lost": _replaced(lines, role) for role in ("learner", "worker", "grader")},
    )


def _count(lines: Iterable[Line], event: str) -> int:
    return sum(line["event"] == event for line in lines)


def _replaced(lines: Iterable[Line], role: str) -> int:
    return sum(line["event"] == "died" and line["who"].startswith(role) for line in lines)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RuntimeError(f"the ledger does not add up: {otherwise}")
