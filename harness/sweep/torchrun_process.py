"""One of the processes that torchrun starts for `launch`; its argument is the address of the launcher's socket.

It is told there what to do and tells there how it went. When the socket closes, whatever ended the launcher, it ends.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .. import store
from .torchrun import Ended

PATIENCE = timedelta(hours=2)  # with a process that draws longer responses than the others, or grades them


def main(address: str) -> None:
    """Join the others, do what the launcher says, and say how it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides what an interrupt means
    channel, rank = Client(address, "AF_UNIX"), int(os.environ["RANK"])
    say = partial(_say, channel, rank)
    try:
        work = pickle.loads(channel.recv_bytes())
        tempfile.tempdir = str(Path(address).parent)  # goes when the launcher does
        threading.Thread(target=_end_with, args=(channel, address), daemon=True).start()
        _join()
        say("made", work(partial(say, "told")))
    except Exception as error:
        say("failed", error.record if isinstance(error, Ended) else _record(error))
        os._exit(1)  # not held up by what the others do not answer any more
    dist.destroy_process_group()


def _join() -> None:
    """The process group of all: on GPUs one for each, where what has to do with the CPU still goes over gloo."""
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)


def _say(channel: Connection, rank: int, kind: str, value: Any) -> None:
    channel.send_bytes(pickle.dumps((rank, kind, value)))  # not send(): torch would share memory, not copy


def _record(error: Exception) -> dict[str, Any]:
    return {
        "reason": f"{type(error).__name__}: {error}",
        "traceback": traceback.format_exc(),
        "unwritable": store.is_unwritable(error),
    }


def _end_with(channel: Connection, address: str) -> None:
    """Leave as soon as the launcher is gone, however it went: an orphan would write where the resumed suite does."""
    try:
        channel.recv_bytes()
    finally:
        shutil.rmtree(Path(address).parent, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
