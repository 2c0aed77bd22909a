"""One cell, live: hands out tickets, weights and batches, replaces who dies, and keeps the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from .. import store
from ..config import Run
from .actors import Begun, Draft, Learned
from .crew import Crew, Member
from .ledger import Drawing, Ledger, account
from .rules import Rules

LEDGER = "ledger.jsonl"
TIMES = ("generate_s", "learn_s")  # of a row, what may differ when an update is made again


@dataclass(frozen=True)
class Call:
    """What a member has been asked to do: what follows when it is done, and what when the member has died."""

    member: Member
    handle: Any
    done: Callable[[Any], object]
    died: Callable[[], object]


@dataclass
class Driver:
    """Carries out one cell with a crew. Everything but the ledger is in the cell's files or can be made again."""

    run: Run
    folder: Path
    rules: Rules
    crew: Crew
    command: str
    checkpoint_every_s: float
    on_update: Callable[[int], None]
    say: Callable[[str], None]
    calls: dict[Any, Call] = field(default_factory=dict)
    idle: dict[str, Member] = field(default_factory=dict)  # workers without work
    barred: dict[str, float] = field(default_factory=dict)  # those of them that the bound keeps from it, since when
    published: tuple[int, Any] = (-1, None)  # the newest version that workers may have, and its weights
    learner_free: bool = False
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)  # since the checkpoint
    result: dict[str, Any] | None = None

    def carry_out(self) -> dict[str, Any]:
        """What `result.json` holds, when all updates are made and the final policy is evaluated."""
        path = self.folder / LEDGER
        store.keep_lines(path, path.read_bytes().count(b"\n") if path.exists() else 0)
        self.repeated = {"updates": 0, "differed": 0}
        before = sum(line["event"] == "asked" for line in store.read_lines(path))
        self.ledger = Ledger(self.rules, self.run.updates, self.run.prompts_per_update, self._write, before)
        for member in self.crew.members:
            self._begin(member)
        while self.result is None:
            self._hand_out()
            self._feed()
            ended, _ = ray.wait(list(self.calls))
            for one in ended:
                self._settle(one)
        lines = store.read_lines(path)
        found = account(lines, self.run.updates, self.run.prompts_per_update)
        return self.result | {"live": asdict(self.rules) | asdict(found) | {"repeated": self.repeated}}

    def _write(self, line: dict[str, Any]) -> None:
        store.append_line(self.folder / LEDGER, line)

    def _call(
        self,
        member: Member,
        reference: Any,
        done: Callable[[Any], object],
        died: Callable[[], object] = lambda: None,
    ) -> None:
        self.calls[reference] = Call(member, member.handle, done, died)

    def _settle(self, reference: Any) -> None:
        call = self.calls.pop(reference)
        try:
            value = ray.get(reference)
        except RayActorError as error:
            if call.handle is call.member.handle:
                self._replace(call.member, str(error).strip().splitlines()[0])
            call.died()
        else:
            call.done(value)

    def _replace(self, member: Member, reason: str) -> None:
        self._write({"event": "died", "who": member.name})
        self.say(f"the {member.name} of {self.run.name} has died ({reason}); another takes its place")
        member.replace(Path.cwd(), reason)
        self._begin(member)

    def _begin(self, member: Member) -> None:
        """Give a member the cell; it is at work as soon as it says that it is ready."""
        if member is self.crew.learner:
            self.learner_free = False
            arguments = (self.run, self.folder, self.command, self.checkpoint_every_s)
            begun, weights = member.handle.begin.options(num_returns=2).remote(*arguments)
            self._call(member, begun, lambda found: self._learner_begun(found, weights))
        else:
            self.idle.pop(member.name, None)
            self.barred.pop(member.name, None)
            self._call(member, member.handle.begin.remote(self.run), lambda pid: self._begun(member, pid))

    def _begun(self, member: Member, pid: int) -> None:
        self._write({"event": "began", "who": member.name, "pid": pid})
        if member is not self.crew.grader:
            self.idle[member.name] = member

    def _learner_begun(self, begun: Begun, weights: Any) -> None:
        self._write({"event": "began", "who": self.crew.learner.name, "pid": begun.pid})
        self.ledger.restored(begun.version)
        self._publish(begun.version, weights)
        self.learner_free = True
        self.on_update(begun.version)

    def _publish(self, version: int, weights: Any) -> None:
        """Weights belong to this process, not to the learner that made them: they outlast it."""
        if version > self.published[0]:
            self.published = (version, weights)

    def _hand_out(self) -> None:
        """Ask as many tickets as there are workers without work, and as the bound allows."""
        version, weights = self.published
        for worker in list(self.idle.values()) if weights is not None else ():
            drawing = self.ledger.ask(version)
            if drawing is not None:
                self._stop_waiting(worker)
                del self.idle[worker.name]
                self._draw(worker, drawing, None, 0)
            elif not self.ledger.all_asked:
                self.barred.setdefault(worker.name, time.monotonic())

    def _stop_waiting(self, worker: Member) -> None:
        if (since := self.barred.pop(worker.name, None)) is not None:
            seconds = round(time.monotonic() - since, 4)
            self._write({"event": "waited", "who": worker.name, "seconds": seconds})

    def _draw(self, worker: Member, drawing: Drawing, begun: Any, token: int) -> None:
        """Let a worker draw from `token` on: to the end, or in flight a few tokens, under the newest weights."""
        version, weights = self.published
        if version != drawing.runs[-1][0]:
            drawing.runs.append((version, token))
        end = None if self.rules.in_flight is None else token + self.rules.in_flight
        update, part = drawing.ticket
        asked = (update, self.ledger.parts[part], end, begun, version, [weights])
        draft, rollouts = worker.handle.draw.options(num_returns=2).remote(*asked)

        def drawn(draft: Draft) -> None:
            worker.deaths = 0
            drawing.gap |= draft.gap
            if not draft.whole:
                self._draw(worker, drawing, rollouts, end or 0)
                return
            self.idle[worker.name] = worker
            drawing.rollouts = rollouts
            self._grade(drawing)

        self._call(worker, draft, drawn, lambda: self.ledger.lost(drawing))

    def _grade(self, drawing: Drawing) -> None:
        verdicts = self.crew.grader.handle.grade.remote(drawing.ticket.update, drawing.rollouts)

        def graded(_: object) -> None:
            self.crew.grader.deaths = 0
            drawing.verdicts = verdicts
            self.ledger.graded(drawing)

        self._call(self.crew.grader, verdicts, graded, lambda: self._grade(drawing))

    def _feed(self) -> None:
        """Give the learner its next batch, if it is free and the batch is there; after the last one, let it finish."""
        if not self.learner_free:
            return
        learner = self.crew.learner
        if self.ledger.version == self.run.updates:
            self.learner_free = False
            self._call(learner, learner.handle.finish.remote(), self._finished)
            return
        batch = self.ledger.batch()
        if batch is None:
            return
        self.learner_free = False
        update = self.ledger.version
        publish = (update + 1) % self.rules.broadcast_every == 0
        groups = [drawing.group for drawing in batch for _ in self.ledger.parts[drawing.ticket.part]]
        parts = [drawing.rollouts for drawing in batch] + [drawing.verdicts for drawing in batch]
        gap = {name: max(one.gap.get(name, 0.0) for one in batch) for drawing in batch for name in drawing.gap}
        learned, weights = learner.handle.learn.options(num_returns=2).remote(update, publish, groups, gap, *parts)
        self._call(learner, learned, lambda found: self._learned(found, weights if publish else None))

    def _learned(self, learned: Learned, weights: Any) -> None:
        update = learned.row["update"]
        if update in self.rows:
            self.repeated["updates"] += 1
            self.repeated["differed"] += _measured(self.rows[update]) != _measured(learned.row)
        self.rows[update] = learned.row
        self.rows = {update: row for update, row in self.rows.items() if update >= learned.saved}
        if update == self.ledger.furthest:  # farther than the learners before it
            self.crew.learner.deaths = 0
        self.ledger.trained(learned.saved)
        if weights is not None:
            self._publish(update + 1, weights)
        self.learner_free = True
        self.on_update(update + 1)

    def _finished(self, result: dict[str, Any]) -> None:
        self.result = result


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}
