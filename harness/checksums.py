"""Checksums of a results folder: a cell's own in its result, those of everything else in a manifest beside the cells.

The manifest `SHA256SUMS` is what `sha256sum -c` reads. It lists what results, table and gates are made from; the other
files of a finished cell are listed with their checksums in its result. `lagbench run` takes it away when it begins to
write, and writes it when it ends: a folder without one is of an older version, is being written, or was left by a kill.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from . import store
from .config import digest_of
from .types import InputError

THREADS = 8  # hashing and reading release the interpreter
MANY = 200  # cells; fewer are read before a process has started
OF_FOLDER = (store.SUITE, store.COMMANDS, store.GATES, f"{store.SEARCH}/{store.CHOSEN}")
OF_CELL = (store.RUN, store.RESULT, store.FAILED)
OF_FAILED = (store.METRICS, store.TRACE)  # which no result covers
PARTS = (store.SEARCH, store.TUNED)  # folders of results folders
Found = TypeVar("Found")
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def seal(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A cell's result with the sha256 of every file that belongs to it, and its own digest."""
    sealed = result | {"files": file_digests(folder)}
    return sealed | {"digest": digest_of(sealed)}


def file_digests(folder: Path) -> dict[str, str]:
    """sha256 of the files that a cell has written, by their path in its folder."""
    paths = [folder / name for name in (store.ENVIRONMENT, store.PLAN, store.TRACE, store.METRICS)]
    paths += sorted(folder.glob(store.attempts_file("*"))) + sorted((folder / store.MODEL).rglob("*"))
    return {str(path.relative_to(folder)): _sha256(path) for path in paths if path.is_file()}


def damaged_files(cell: Path) -> list[str]:
    """What is wrong with the files of a finished cell, a clause for each; a model that was cleared for room is not."""
    try:
        result = json.loads((cell / store.RESULT).read_text())
        if result.pop("digest") != digest_of(result):
            return [f"{store.RESULT}: its digest does not fit it"]
        files = dict(result["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [f"{store.RESULT}: {type(error).__name__}: {error}"]
    present = file_digests(cell)
    cleared = not (cell / store.MODEL).exists()
    wrong = [name for name, digest in files.items() if digest != present.get(name)]
    wrong = [name for name in wrong if not (cleared and name.startswith(f"{store.MODEL}/"))]
    return [f"{name}: {'not what the cell wrote' if name in present else 'missing'}" for name in wrong]


def damaged_cells(folder: Path) -> list[str]:
    """What is wrong with the files of all finished cells, searched and tuned ones too, by their own checksums."""
    places = [folder, *(folder / part for part in _parts(folder))]
    cells = sorted(path.parent for place in places for path in place.glob(f"*/{store.RESULT}"))
    found = zip(cells, map_cells(damaged_files, cells), strict=True)
    return [f"{cell.relative_to(folder)}/{wrong}" for cell, its in found for wrong in its]


def map_cells(read: Callable[[Path], Found], cells: Sequence[Path]) -> Iterator[Found]:
    """`read` of each of the cells' folders in order; of many by several processes, for most of the work is parsing."""
    if len(cells) < MANY:
        yield from map(read, cells)
        return
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        yield from pool.map(read, cells, chunksize=50)


def write_manifest(folder: Path) -> None:
    """Write the checksums of what a results folder holds, the manifests of its search and its tuned cells included."""
    digests = _digests(folder, list(_listed(folder)))
    store.write_text(folder / store.CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()))


def manifest_digest(folder: Path) -> str | None:
    """sha256 of the manifest, which stands for all that it lists; None where there is none."""
    path = folder / store.CHECKSUMS
    return _sha256(path) if path.is_file() else None


def verify_manifest(folder: Path, deep: bool = False) -> list[str]:
    """What is not as `lagbench run` left it, a sentence for each: files missing, changed or added by hand.

    With `deep` also the files of finished cells. The folders of a search and of tuned cells are verified with the
    rest, unless a kill has left them without a manifest. Empty if all is well; without a manifest, which is for the
    caller to judge (`manifest_digest` is None), the first sentence says so.
    """
    found = _verify(folder)
    for part in _parts(folder):
        if manifest_digest(folder / part):
            found += [f"{part}/{sentence}" for sentence in _verify(folder / part)]
    return found + (damaged_cells(folder) if deep else [])


def _verify(folder: Path) -> list[str]:
    path = folder / store.CHECKSUMS
    if not path.is_file():
        return [f"{store.CHECKSUMS}: missing: lagbench run is at work here, was killed, or was too old to write it"]
    try:
        expected = _read(path)
    except InputError as error:
        return [str(error)]
    actual = _digests(folder, list(expected))
    wrong = [name for name in expected if actual[name] != expected[name]]
    changes = [f"{name}: {'missing' if actual[name] is None else 'not what lagbench run left'}" for name in wrong]
    added = [f"{name}: added since lagbench run" for name in _listed(folder) if name not in expected]
    return [*changes, *added]


def _read(path: Path) -> dict[str, str]:
    """The checksums of a manifest by path; a line of another form, or of a file outside it, is an InputError."""
    expected = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = LINE.fullmatch(line)
        inside = match and not PurePosixPath(match[2]).is_absolute() and ".." not in PurePosixPath(match[2]).parts
        if not match or not inside:
            raise InputError(f"{path.name}, line {number}: not the checksum of a file in this folder")
        expected[match[2]] = match[1]
    return expected


def _listed(folder: Path) -> Iterator[str]:
    """Paths of the files that a manifest of this folder lists, in their order."""
    cells = sorted(
        path.name for path in folder.iterdir() if (path / store.RUN).is_file() or (path / store.RESULT).is_file()
    )
    of_cells = (f"{cell}/{name}" for cell in cells for name in _names(folder / cell))
    of_parts = (f"{part}/{store.CHECKSUMS}" for part in _parts(folder))
    return (name for name in chain(OF_FOLDER, of_cells, of_parts) if (folder / name).is_file())


def _names(cell: Path) -> tuple[str, ...]:
    finished = (cell / store.RESULT).is_file()
    return OF_CELL if finished or not (cell / store.FAILED).is_file() else OF_CELL + OF_FAILED


def _parts(folder: Path) -> list[str]:
    """The results folders within this one: of every learning rate that was searched, or chosen."""
    return [f"{part}/{path.name}" for part in PARTS for path in sorted((folder / part).glob("*")) if path.is_dir()]


def _digests(folder: Path, names: list[str]) -> dict[str, str | None]:
    """sha256 by path; None where there is no such file."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda name: _sha256(folder / name) if (folder / name).is_file() else None, names)
        return dict(zip(names, found, strict=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
