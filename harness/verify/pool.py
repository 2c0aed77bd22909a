"""Worker processes for questions that may hang, run out of memory or crash: a reply to each of them in time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe, connection
from pathlib import Path

from .worker import ASLEEP_S, ENVIRONMENT, HARD_LIMIT_S, Reply

START = "from lagbench.harness.verify.worker import main; main({})"
START_LIMIT_S = 60
Question = tuple[str, tuple[str, ...]]  # the name of one of the worker's functions, and its arguments


class Worker:
    """One process, in the parent's eyes. Its time for a question begins when it is ready and has been asked."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", START.format(theirs.fileno())],
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self.ready = False
        self.asked: int | None = None  # which question it is at
        self.since, self.spent = time.monotonic(), 0.0

    @property
    def alive(self) -> bool:
        """False once the process has ended, for whatever reason."""
        return self.process.poll() is None

    @property
    def time_left(self) -> float:
        """Seconds before it may be out of time for starting or for its question: the processor's, or the clock's."""
        left = self.since + (ASLEEP_S if self.ready else START_LIMIT_S) - time.monotonic()
        return min(left, self.spent + HARD_LIMIT_S - self._processor_time()) if self.ready else left

    def ask(self, index: int, question: Question) -> None:
        """Begin a question; its reply comes over the connection."""
        self.asked, self.since, self.spent = index, time.monotonic(), self._processor_time()
        with suppress(OSError):  # one that has just died is noticed when its reply is due
            self.connection.send(question)

    def reply(self) -> Reply | None:
        """The reply that has arrived, or None if it was the word that the process is ready. EOFError if it has died."""
        reply = self.connection.recv()
        self.ready, self.asked = True, None
        return reply

    def _processor_time(self) -> float:
        """Seconds of the processor that it has had; where nothing tells, none since the question."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return self.spent
        user, system = status.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Leave no process behind."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


class Workers:
    """At most `size` processes, started for the first questions that need them, replaced when they die. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[Worker] = []
        self._lock = threading.Lock()

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """A reply to every question, in order; without a value and not in time where its process had to be killed."""
        replies: dict[int, Reply] = {}
        waiting = deque(enumerate(questions))
        with self._lock:
            try:
                while len(replies) < len(questions):
                    self._hand_out(waiting, len(questions) - len(replies))
                    self._collect(replies)
            except BaseException:  # interrupted: what is under way would be taken for replies to later questions
                self._dismiss(self._workers)
                raise
        return [replies[i] for i in range(len(questions))]

    def close(self) -> None:
        """End all processes; a later question starts new ones."""
        with self._lock:
            self._dismiss(self._workers)

    def _hand_out(self, waiting: deque[tuple[int, Question]], unanswered: int) -> None:
        self._dismiss(
            [worker for worker in self._workers if worker.ready and worker.asked is None and not worker.alive]
        )
        while len(self._workers) < min(self._size, unanswered):
            self._workers.append(Worker())
        for worker in self._workers:
            if waiting and worker.ready and worker.asked is None:
                worker.ask(*waiting.popleft())

    def _collect(self, replies: dict[int, Reply]) -> None:
        """Wait for what comes next: a reply, a process that is ready, one that has died, or the end of its time."""
        at_work = [worker for worker in self._workers if worker.asked is not None or not worker.ready]
        arrived = connection.wait([w.connection for w in at_work], max(0.0, min(w.time_left for w in at_work)))
        for worker in at_work:
            index, reply, dead = worker.asked, None, worker.time_left <= 0
            if worker.connection in arrived:
                try:
                    reply, dead = worker.reply(), False
                except (EOFError, OSError):
                    dead = True
            if dead and index is None:
                self._dismiss([worker])
                raise RuntimeError("a verification worker ended before it was ready; its message is above, if any")
            if index is not None and (reply or dead):
                replies[index] = reply or Reply(None, 1000 * (time.monotonic() - worker.since), in_time=False)
            if dead or (reply and reply.last):
                self._dismiss([worker])

    def _dismiss(self, workers: list[Worker]) -> None:
        for worker in list(workers):
            worker.end()
            self._workers.remove(worker)
