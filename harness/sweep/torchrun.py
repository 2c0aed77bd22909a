"""Work that several processes carry out together, started by torchrun on this machine: torchrun_process.py is each."""

from __future__ import annotations

import logging
import pickle
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import parse_args
from torch.distributed.run import run as torchrun

PROCESS = "lagbench.harness.sweep.torchrun_process"
Made = TypeVar("Made")
Tell = Callable[[Any], None]
LOOK_S = 0.1  # between two looks for news
LAST_LINES = 20  # of what a process has written to stderr, told where it gave no reason


class Ended(RuntimeError):
    """Processes that did not come to an end: which of them was the first, if one, and why.

    `record` is what `failed.json` holds of it; `cause` its reason without the process.
    """

    def __init__(self, record: dict[str, Any], process: str = ""):
        self.cause = record["reason"]
        super().__init__(f"{process}{self.cause}")
        self.record = record | {"reason": str(self)}


def launch(processes: int, work: Callable[[Tell], Made], hear: Tell = lambda told: None) -> Made:
    """What `work` returns in process 0 of several that all call it, and are one process group.

    `work` is sent to them, so it has to be picklable; what one of them tells by its argument is heard here. `Ended`
    where one of them failed or died, which ends the others. For the main thread of a process.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lagbench-", ignore_cleanup_errors=True) as scratch,
        socket.socket(socket.AF_UNIX) as door,
    ):
        address = str(Path(scratch) / "door")
        door.bind(address)
        door.listen(processes)
        news, over = _News(), threading.Event()
        listener = threading.Thread(target=_listen, args=(door, pickle.dumps(work), hear, news, over), daemon=True)
        listener.start()
        died: dict[int, ProcessFailure] = {}
        before = signal.getsignal(signal.SIGTERM)  # torchrun takes it, and does not give it back
        logging.disable()  # what torchrun logs of a failure is told below
        try:
            torchrun(parse_args(_options(processes, scratch, address)))
        except ChildFailedError as error:
            died = error.failures
        except SignalException as error:
            sys.exit(128 + error.sigval)
        finally:
            logging.disable(logging.NOTSET)
            signal.signal(signal.SIGTERM, before)
            over.set()
            listener.join()
        if died:
            raise _reason(processes, died, news.failed, Path(scratch))
        return news.made


def _options(processes: int, scratch: str, address: str) -> list[str]:
    """Of torchrun's command line. The first process's stderr is shown, all other output kept for a reason."""
    shown = ",".join(["0:1", *(f"{rank}:3" for rank in range(1, processes))])
    return [
        *("--standalone", "--nproc-per-node", str(processes), "--local-addr", "localhost"),
        *("--signals-to-handle", "SIGTERM", "--log-dir", scratch, "--redirects", shown),
        *("--module", PROCESS, address),
    ]


class _News:
    """What the processes have told of their end."""

    made: Any = None  # by process 0
    failed: tuple[int, dict[str, Any]] | None = None  # the first that did, and its record


def _listen(door: socket.socket, sent: bytes, hear: Tell, news: _News, over: threading.Event) -> None:
    """Give every process that comes its work, and take what they tell, until all have gone."""
    channels: list[Connection] = []
    while True:
        ready = wait([door, *channels], LOOK_S)
        if not ready and over.is_set():
            return
        for one in ready:
            if one is door:
                channels.append(_enter(door, sent))
                continue
            assert isinstance(one, Connection)
            try:
                rank, kind, value = pickle.loads(one.recv_bytes())
            except (EOFError, OSError):
                channels.remove(one)
                continue
            if kind == "told":
                hear(value)
            elif kind == "failed":
                news.failed = news.failed or (rank, value)
            elif rank == 0:
                news.made = value


def _enter(door: socket.socket, sent: bytes) -> Connection:
    channel = Connection(door.accept()[0].detach())
    with suppress(OSError):  # it has died meanwhile, which shows when it is read from
        channel.send_bytes(sent)
    return channel


def _reason(
    processes: int, died: dict[int, ProcessFailure], failed: tuple[int, dict[str, Any]] | None, logs: Path
) -> Ended:
    """The cause of a failure: a kill comes first, since what it makes the others say is a lost connection."""
    killed = [rank for rank, end in died.items() if end.exitcode < 0 and end.exitcode != -signal.SIGTERM]
    rank = killed[0] if killed else failed[0] if failed else min(died, key=lambda rank: died[rank].timestamp)
    who = f"process {rank} of {processes}"
    if failed and not killed:
        return Ended(failed[1], f"{who}: ")
    code = died[rank].exitcode
    how = f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    told = [path.read_text(errors="replace").splitlines() for path in logs.glob(f"**/{rank}/stderr.log")]
    last = "\n".join(line for lines in told for line in lines[-LAST_LINES:]) or None
    return Ended({"reason": f"{who} ended early: {how}", "traceback": last})
