"""What options have to be, and the one line for what is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from ..types import InputError


def expect_number(option: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"{option} {value} is not valid: expected a whole number from {least} on")


def positive_ratio(option: str, text: str) -> Fraction:
    try:
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError):
        ratio = Fraction(0)
    if ratio <= 0:
        raise InputError(f"{option} {text!r} is not valid: expected a number above 0, as in 4 or 1/256")
    return ratio


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}; give {option} another file") from None
