"""A cell that several processes carry out together: the same loop in all of them, each in a folder of its own.

Process 0 works in the cell's folder. The others begin with a copy of what is there, in a temporary folder, so that all
find the same: nothing in the loop asks which of them it is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from .. import store
from ..config import Run
from ..learn.world import World
from .cell import LOCK_S, Execution, run_cell
from .torchrun import Ended, Tell, launch


def run_shared_cell(run: Run, folder: Path, how: Execution, on_update: Callable[[int], None]) -> None:
    """`run_cell` by `run.learner_processes` processes. OSError where the disk stopped one of them."""
    try:
        launch(run.learner_processes, partial(_share, run, folder, how), on_update)
    except Ended as ended:
        if ended.record.pop("unwritable", False):
            raise OSError(str(ended)) from None
        written = store.read_json(folder / store.FAILED) or {"reason": None}
        if not (folder / store.RESULT).exists() and written["reason"] != ended.cause:
            store.write_json(folder / store.FAILED, ended.record)


def _share(run: Run, folder: Path, how: Execution, tell: Tell) -> None:
    """What each of the processes does. One that failed ends the others by raising what it has recorded."""
    world = World.current()
    with own_folder(folder, world) as mine:
        if world.rank == 0:
            run_cell(run, mine, how, tell)
        else:
            run_cell(run, mine, replace(how, tracker=None), lambda version: None)
        if failed := store.read_json(mine / store.FAILED):
            raise Ended(failed)


@contextmanager
def own_folder(folder: Path, world: World) -> Iterator[Path]:
    """The folder that this process works in; what is big and only read is a link to process 0's."""
    if world.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / store.BEGINNINGS).mkdir(exist_ok=True)
        with FileLock(folder / store.LOCK, timeout=LOCK_S):  # an orphan of a killed suite has ended
            (folder / store.FAILED).unlink(missing_ok=True)
    world.wait()
    if world.rank == 0:
        world.wait()
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="lagbench-") as scratch:
        mine = Path(scratch) / folder.name
        shutil.copytree(folder, mine, ignore=shutil.ignore_patterns(store.LOCK, store.CHECKPOINT, f"*{store.MODEL}"))
        (mine / store.CHECKPOINT).symlink_to((folder / store.CHECKPOINT).resolve())
        (mine.parent / store.BEGINNINGS).symlink_to((folder.parent / store.BEGINNINGS).resolve())
        world.wait()
        yield mine
