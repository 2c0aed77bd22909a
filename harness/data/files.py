"""Files of rows: JSON lines, a JSON array, or parquet."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..types import InputError
from .rows import shown

SUFFIXES = (".jsonl", ".json", ".parquet")


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a file, and the words that name its place in an error."""
    for where, value in _parquet(path) if path.suffix == ".parquet" else _json(path):
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object with the fields of a problem, got {shown(value)}")
        yield where, value


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    """An array's values, or those of all lines. Only line feeds end lines: rows of GSM8K hold U+2028."""
    try:
        content = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if path.suffix == ".json" and content.lstrip().startswith(b"["):
        for number, value in enumerate(_parsed(content, str(path)), 1):
            yield f"{path}, row {number}", value
        return
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", _parsed(line, f"{path}, line {number}")


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{where}: not valid JSON in UTF-8") from None
    except ValueError:
        raise InputError(f"{where}: a number has more digits than Python reads; write it as text") from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        from pyarrow.parquet import read_table  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(f"{path}: reading parquet needs an extra; run: pip install 'lagbench[hub]'") from None
    try:
        values = read_table(path).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise InputError(f"{path}: not valid parquet: {str(error).splitlines()[0]}") from None
    for number, value in enumerate(values, 1):
        yield f"{path}, row {number}", value
