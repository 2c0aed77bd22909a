"""Every property of an objective tried, under its defaults and under every other option that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

from ..registry import Entry
from ..types import InputError
from .properties import CHECKS, Broken, Options, microbatches, on_policy_weight


def check_objective(entry: Entry) -> Iterator[tuple[str, str | None]]:
    """Every check's name with None, or with the first that it found."""
    for name, check in CHECKS.items():
        yield name, next((found for given in variants(entry, check) if (found := problem(entry, check, given))), None)


def variants(entry: Entry, check: Callable[[Entry, Options], None]) -> list[dict[str, Any]]:
    """The options to run a check under: all, but what is stated or shown for the defaults is checked for those."""
    return [{}] if check in (on_policy_weight, microbatches) else options_to_check(entry)


def problem(entry: Entry, check: Callable[[Entry, Options], None], given: Options) -> str | None:
    """What a check finds wrong, in one line that names the objective and where it comes from; None if nothing."""
    where = f"objective {entry}" + "".join(f" with {name}={choice}" for name, choice in given.items())
    try:
        check(entry, entry.check_options(given))
    except InputError as error:
        return str(error) if str(entry) in str(error) else f"{where}: {error}"
    except Broken as error:
        return f"{where}: {error}"
    except Exception as error:
        return f"{where} raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def options_to_check(entry: Entry) -> list[dict[str, Any]]:
    """No options; then, one at a time, each value of an option that names its values, but for the default."""
    variants: list[dict[str, Any]] = [{}]
    for name, field in entry.schema.model_fields.items():
        literal = get_origin(field.annotation) is Literal
        choices = get_args(field.annotation) if literal else (True, False) if field.annotation is bool else ()
        variants += [{name: choice} for choice in choices if choice != field.default]
    return variants
