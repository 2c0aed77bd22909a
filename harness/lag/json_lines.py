"""Files of one JSON object per line, from outside: a line that does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..types import InputError


def objects(path: Path, expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object of every line, and the words that name that line in an error."""
    try:
        with path.open(encoding="utf-8") as opened:
            for number, line in enumerate(opened, 1):
                where = f"trace {path}, line {number}"
                yield where, _object(where, line)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"trace {path}: {reason}; expected {expected}") from None


def _object(where: str, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not JSON: {line.strip()[:60]!r}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {line.strip()[:60]!r}")
    return value


def is_whole(value: Any) -> bool:
    """Whether a JSON value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)
