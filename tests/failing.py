"""Processes that do not come to an end; every function is called by all of them."""

import os
import signal
from collections.abc import Callable

from lagbench.harness.learn.world import World


def killed(tell: Callable) -> None:
    world = World.current()
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    world.wait()


def raising(tell: Callable) -> None:
    world = World.current()
    if world.rank == 1:
        raise ValueError("no such luck")
    world.wait()


def waiting(tell: Callable) -> None:
    """For ever, once all have told their process ids."""
    tell(os.getpid())
    World.current().wait()
    signal.pause()
