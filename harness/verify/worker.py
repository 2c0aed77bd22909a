"""A worker process: answers one question at a time, within limits of time and memory, until nobody asks any more.

Started as a fresh interpreter with pure-Python integers in its environment, because no limit interrupts C code. An
alarm ends what takes too much processor time and repeats, because a library may swallow the first one; whoever asked
kills the process if even that does not help. Processor time, so that no verdict depends on what else the machine does.
"""

from __future__ import annotations

import logging
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import NamedTuple, NoReturn

SOFT_LIMIT_S, HARD_LIMIT_S = 2, 3  # of processor time since the question: the alarm, and the end of the process
ASLEEP_S = 30  # of the clock since the question, after which a process that does nothing is ended
MEMORY_LIMIT = 1 << 30  # bytes of address space
TIRED_KIB = 200 << 10  # memory gained since the start, after which a process is replaced
ENVIRONMENT = {"SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1", "PYTHONHASHSEED": "0"}


class Reply(NamedTuple):
    """What a question gave and how long it took; `in_time` is False where a limit ended it or its process died.

    After its `last` reply a process ends.
    """

    value: object
    ms: float
    in_time: bool = True
    last: bool = False


class OutOfTime(BaseException):
    """The alarm; no Exception, so that a library's `except Exception` does not swallow it."""


def main(descriptor: int) -> None:
    """Serve questions (name of a function, its arguments) that arrive at a connection, after a first message."""
    _limit_memory()
    logging.disable(logging.CRITICAL)  # math-verify logs whole answers
    signal.signal(signal.SIGPROF, _out_of_time)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption ends the parent, and that the worker
    functions = _functions()
    connection, at_start = Connection(descriptor), _most_memory()
    connection.send(None)
    reply = Reply(None, 0)
    try:
        while not reply.last:
            name, arguments = connection.recv()
            reply = _answer(functions[name], arguments)
            reply = reply._replace(last=_most_memory() - at_start > TIRED_KIB)
            connection.send(reply)
    except (EOFError, OSError):  # nobody is there any more
        return


def _answer(function: Callable[..., object], arguments: tuple[str, ...]) -> Reply:
    """The function's value within the soft limit; no value where it, or the memory limit, or an error came first."""
    start = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_PROF, SOFT_LIMIT_S, 1)
        value, in_time = function(*arguments), True
    except (OutOfTime, Exception):
        value, in_time = None, False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Reply(value, 1000 * (time.perf_counter() - start), in_time)


def _functions() -> dict[str, Callable[..., object]]:
    from .compare import decide
    from .second_opinion import same
    from .symbolic import equivalent, extract

    def compared(gold: str, given: str) -> object:
        return decide(gold, given, equivalent)

    return {"compare": compared, "extract": extract, "second_opinion": same}


def _limit_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if most == resource.RLIM_INFINITY else min(MEMORY_LIMIT, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _most_memory() -> int:
    """KiB this process has had at most; on Linux no less than its parent had when it was started."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _out_of_time(signum: int, frame: FrameType | None) -> NoReturn:
    raise OutOfTime
