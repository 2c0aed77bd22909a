"""The rows of a split, from a local folder, a file or a hub id; a wrong number of them is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..types import InputError
from .files import SUFFIXES, objects
from .rows import Row

Place = tuple[str, ...]  # files, or patterns of files, that together are a split


def read_rows(
    data: str,
    task: str,
    split: str,
    *,
    rows: int | None = None,
    files: Sequence[str] = (),
    hub_split: str = "",
    config: str | None = None,
    optional: bool = False,
) -> list[Row]:
    """All rows of a task's split, in order, from `data`: a local folder, a file or a hub id. `rows` is how many it has.

    On a hub they are `hub_split` (`split` where it is empty; `train+test` joins two) of `config`. In a folder they are
    TASK_SPLIT.jsonl, or what the hub's own folder holds, or SPLIT.jsonl, there or in a folder TASK, or one of `files`;
    `optional` says that a folder may hold none of these.
    """
    source, hub_split = Path(data).expanduser(), hub_split or split
    found: Iterable[tuple[str, Any]]
    if source.is_file():
        found = objects(source)
    elif source.is_dir():
        places = [*_places(task, split, hub_split, config), *((name,) for name in files)]
        found = (pair for path in _paths(data, places, f"{split} split of {task}", optional) for pair in objects(path))
    else:
        values = _from_hub(data, hub_split, config)
        found = ((f"data={data}, {hub_split}, row {number}", value) for number, value in enumerate(values, 1))
    read = [Row(task, split, index, where, fields) for index, (where, fields) in enumerate(found)]
    if rows is not None and len(read) != rows and (read or not optional):
        raise InputError(
            f"data={data}: {len(read)} rows in the {split} split of {task}, but its official set has {rows}; "
            "for problems of your own use the task jsonl:FILE"
        )
    return read


def _places(task: str, split: str, hub_split: str, config: str | None) -> list[Place]:
    parts = tuple(re.sub(r"\[.*?\]", "", hub_split).split("+"))
    names = [(f"{task}_{split}",), parts, (split,), tuple(f"{task}/{part}" for part in parts), (f"{task}/{split}",)]
    places = [tuple(name + suffix for name in place) for place in names for suffix in SUFFIXES]
    return [*dict.fromkeys(places), tuple(f"{config or 'data'}/{part}-*.parquet" for part in parts)]


def _paths(data: str, places: list[Place], what: str, optional: bool) -> list[Path]:
    """The files of the first place of which nothing is missing."""
    folder = Path(data).expanduser()
    for place in places:
        found = [sorted(folder.glob(name)) for name in place]
        if all(found):
            return [path for paths in found for path in paths]
    if optional:
        return []
    lines = {place: tuple(str(Path(name).with_suffix(".jsonl")) for name in place) for place in places}
    named = [" and ".join(place) for place in places if place == lines[place] or lines[place] not in lines]
    raise InputError(f"data={data}: the folder holds no {what}; expected one of {', '.join(named)}")


def _from_hub(data: str, split: str, config: str | None) -> Any:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data) or data.startswith("."):
        raise InputError(f"data={data}: no such folder; expected a folder or a file with the task's rows, or a hub id")
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError(
            f"data={data}: no such folder, and reading a hub id needs an extra; run: pip install 'lagbench[hub]'"
        ) from None
    try:
        return load_dataset(data, config, split=split)
    except Exception as error:  # whatever the hub client's transport raises
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"data={data}: no such folder, and as a hub id: {reason}") from None
