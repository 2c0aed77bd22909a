"""Responses drawn so far, in a file that grows with every batch: an interrupted evaluation goes on behind the last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import store
from ..types import InputError


@dataclass(frozen=True)
class Responses:
    """All responses to one question. `stopped` is False for those that were cut at the token limit."""

    key: str  # of the question and of everything else that the responses depend on
    task: str
    problem: str
    texts: Sequence[str]
    tokens: Sequence[int]
    stopped: Sequence[bool]

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.tokens) == len(self.stopped):
            raise ValueError("a text, a length and an end are needed for each response")


class ResponseFile:
    """A file of responses and what is `found` in it, by key.

    A last line that a kill tore is cut off; other damage is an InputError.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.exists():
            store.keep_lines(path, path.read_bytes().count(b"\n"))
        self.found = {responses.key: responses for responses in _read(path)}

    def add(self, drawn: Iterable[Responses]) -> None:
        """Write them behind the others."""
        new = {responses.key: responses for responses in drawn}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write("".join(json.dumps(asdict(responses)) + "\n" for responses in new.values()))
        self.found |= new


def _read(path: Path) -> Iterator[Responses]:
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            yield Responses(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise InputError(
                f"{path}, line {number}: damaged; delete the file, and all its responses are drawn again"
            ) from None
