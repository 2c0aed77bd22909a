"""math-verify in worker processes that can be killed: what neither text nor numbers decide.

math-verify's own time limits need a main thread and can be lost inside C code, so each comparison runs in a child with
pure-Python integers and a hard limit from outside.
"""

from __future__ import annotations

import os
from multiprocessing import get_context

from pebble import ProcessPool

SOFT_LIMIT_S, HARD_LIMIT_S = 2, 6  # whole seconds: math-verify rejects everything silently when given a float
LONGEST_ANSWER = 2000  # characters


def equivalent(gold: str, answer: str) -> bool:
    """Whether math-verify takes `answer` to mean `gold`. Runs in a worker."""
    from math_verify import parse, verify

    expected = parse(rf"\boxed{{{gold}}}", parsing_timeout=SOFT_LIMIT_S)
    given = parse(rf"\boxed{{{answer}}}", parsing_timeout=SOFT_LIMIT_S)
    return bool(verify(expected, given, timeout_seconds=SOFT_LIMIT_S))


class SymbolicWorkers:
    """One worker process, replaced whenever it dies, started when the first comparison is asked for."""

    def __init__(self) -> None:
        self._pool: ProcessPool | None = None

    def compare(self, pairs: list[tuple[str, str]]) -> list[bool | None]:
        """For each (gold, answer): equivalent or not, or None where no answer came: time limit, death, error."""
        futures = [self._started().schedule(equivalent, pair, timeout=HARD_LIMIT_S) for pair in pairs]
        results: list[bool | None] = []
        for future in futures:
            try:
                results.append(future.result())
            except Exception:  # the limit, a dead worker, or whatever model text makes it raise
                results.append(None)
        return results

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _started(self) -> ProcessPool:
        if self._pool is None:
            os.environ.setdefault("SYMPY_GROUND_TYPES", "python")  # gmpy2 cannot be interrupted
            os.environ.setdefault("MPMATH_NOGMPY", "1")
            self._pool = ProcessPool(max_workers=1, context=get_context("spawn"))
        return self._pool
