"""From the text of a schedule ("uniform:0-16", "areal:4") to a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..noise import SCHEDULE, stream
from ..registry import REQUIRED, SCHEDULES, Entry, did_you_mean, plain_value
from ..types import InputError
from .aliases import ALIASES
from .plan import END, NO_SWITCHES, LagPlan

Made = TypeVar("Made")
SEPARATORS = {"uniform": "-", "periodic": "+"}  # beside the comma, where a range or an offset reads better


@dataclass(frozen=True)
class Scene:
    """The run that a plan is made for: everything that a schedule may read."""

    updates: int
    groups: int  # of one update
    tokens: int  # longest response
    seed: int
    measure_lengths: Callable[[], np.ndarray]  # mean length of the initial policy's responses, [U, P] tokens

    @property
    def rng(self) -> np.random.Generator:
        """The same numbers for every schedule and every objective of a seed."""
        return stream(SCHEDULE, self.seed)

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.measure_lengths()


@dataclass(frozen=True)
class Resolved:
    """What the text of a schedule or of an alias stands for."""

    given: str
    text: str  # in canonical spelling
    entry: Entry
    options: Mapping[str, Any]
    alias: Entry | None

    @property
    def remark(self) -> str:
        """That an alias was resolved, to what, and what it keeps of the other system's knob; else nothing."""
        return "" if self.alias is None else f"{self.given} stands for {self.text}: {self.alias.description}"


def resolve(given: str) -> Resolved:
    """A schedule or alias with its options, checked; an InputError names what is wrong. A number k is constant:k."""
    entries = SCHEDULES.all()
    for name in entries.keys() & ALIASES.keys():
        raise InputError(f"the lag schedule {entries[name]} has the name of another system's setting; rename it")
    if given.strip().isdecimal():
        return resolve(f"constant:{given.strip()}")
    name = given.partition(":")[0].strip()
    if name in ALIASES:
        alias = ALIASES[name]
        found = resolve(alias.function(**_options(alias, given)))
        return Resolved(given, found.text, found.entry, found.options, alias)
    if name not in entries:
        raise InputError(
            f"unknown lag schedule {given!r}{did_you_mean(name.lower(), [*entries, *ALIASES])}; "
            f"`lagbench lag list` explains all {len(entries) + len(ALIASES)}"
        )
    options = _options(entries[name], given)
    return Resolved(given, _spelled(entries[name], options), entries[name], options, None)


def split_schedules(text: str) -> list[str]:
    """Several schedules in one text, with commas between them and within them: "0,burst:16,16,window:8,oldest".

    A name of a schedule or an alias begins the next one, and so does a number where the last one can take no more. A
    number that could be either is an InputError. With a semicolon anywhere, semicolons alone part schedules.

    >>> split_schedules("0,burst:16,16,8,window:8,oldest,capacity:4,spread=0,uniform:0-16,16")
    ['0', 'burst:16,16', '8', 'window:8,oldest', 'capacity:4,spread=0', 'uniform:0-16', '16']
    >>> split_schedules("areal:4,2;16")
    ['areal:4,2', '16']
    """
    if ";" in text:
        return [part.strip() for part in text.split(";") if part.strip()]
    entries = {**SCHEDULES.all(), **ALIASES}
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        name, colon, held = found[-1].partition(":") if found else ("", "", "")
        last = entries.get(name.strip()) if colon else None
        if last is None or ":" in part or part in entries:
            found.append(part)
        elif not isinstance(plain_value(part), int | float) or _lacks_a_value(last, held):
            found[-1] += f",{part}"
        elif _takes_too(last, held, part):
            raise InputError(
                f"lags={text!r}: {part} may belong to {found[-1]!r} or be a lag of its own; put semicolons between "
                f"lags, as in '{found[-1]};{part}' or '{found[-1]},{part};'"
            )
        else:
            found.append(part)
    return found


def _lacks_a_value(entry: Entry, held: str) -> bool:
    given = held.replace(SEPARATORS.get(entry.name, ","), ",").count(",") + 1
    return given < list(entry.options.values()).count(REQUIRED)


def _takes_too(entry: Entry, held: str, value: str) -> bool:
    """Whether a further value could belong to it: not where that has a separator of its own."""
    if entry.name in SEPARATORS or held.count(",") + 1 >= len(entry.options):
        return False
    if "=" in held:
        return True
    try:
        return bool(_options(entry, f"{entry.name}:{held},{value}"))
    except InputError:
        return False


def make_plan(given: str, scene: Scene) -> LagPlan:
    """The plan of a schedule for a run; an InputError where it makes no sense."""
    return _carried_out(
        given, scene, lambda text, lag, switches: LagPlan(text, _sources(lag), _switches(lag, switches))
    )


def share_cut(given: str, scene: Scene) -> float:
    """Share of the groups of a run that a schedule wants older than the run is at their update; 0 without updates."""
    age = np.arange(scene.updates)[:, None]  # [U, 1]
    return _carried_out(given, scene, lambda text, lag, switches: float((lag > age).mean()) if lag.size else 0.0)


def _carried_out(given: str, scene: Scene, make: Callable[[str, np.ndarray, np.ndarray], Made]) -> Made:
    """What is made of the canonical text, the lags [U, P] and the switches [N, 4] of a schedule."""
    found = resolve(given)
    reads = {name: getattr(scene, name) for name in found.entry.reads}
    try:
        made = found.entry.function(**reads, **found.options)
        return make(found.text, *_parts(found.entry, made, (scene.updates, scene.groups)))
    except (ValueError, OverflowError) as error:
        raise InputError(f"lag schedule {given!r}: {error}") from None
    except Exception as error:  # whatever somebody's own schedule raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"lag schedule {given!r}: {found.entry} failed: {reason}") from error


def _parts(entry: Entry, made: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Lags [U, P] and switches [N, 4] of what a schedule returned, checked; a ValueError says what is wrong."""
    lag, switches = (np.asarray(part) for part in (made if isinstance(made, tuple) else (made, NO_SWITCHES)))
    if lag.shape != size or lag.dtype.kind not in "iu":
        raise ValueError(f"{entry} has to give whole numbers {list(size)}, and gave {lag.dtype} {list(lag.shape)}")
    if lag.size and lag.min() < 0:
        raise ValueError(f"{entry} has to give lags of 0 or more, and gave {lag.min()}")
    if switches.size == 0:
        return lag, NO_SWITCHES
    if switches.ndim != 2 or switches.shape[1] != 4 or switches.dtype.kind not in "iu":
        given = f"{switches.dtype} {list(switches.shape)}"
        raise ValueError(f"{entry} has to give switches in whole numbers [N, 4], and gave {given}")
    outside = (switches < 0).any(1) | (switches[:, :3] >= [*size, END]).any(1)
    if outside.any():
        row = switches[outside][0].tolist()
        raise ValueError(f"{entry} gave the switch {row}, outside of {size[0]} updates x {size[1]} groups")
    return lag, switches


def _sources(lag: np.ndarray) -> np.ndarray:
    """The version that is `lag` updates old, or version 0 where there is none as old: [U, P] int32."""
    return np.maximum(np.arange(len(lag))[:, None] - lag, 0).astype(np.int32)


def _switches(lag: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """Rows (update, group, token, lag) as rows (update, group, token, version), without those that change nothing."""
    rows = switches[np.lexsort((switches[:, 2], switches[:, 1], switches[:, 0]))].astype(np.int64)
    update, group, _, age = rows.T
    version = np.maximum(update - age, 0)
    first = np.r_[True, (np.diff(rows[:, :2], axis=0) != 0).any(1)][: len(rows)]
    before = np.where(first, _sources(lag)[update, group], np.r_[0, version[:-1]][: len(rows)])
    return np.c_[rows[:, :3], version][version != before].astype(np.int32)


def _options(entry: Entry, given: str) -> dict[str, Any]:
    try:
        return entry.check_options(_arguments(entry, given.partition(":")[2].strip()))
    except InputError as error:
        raise InputError(f"lag schedule {given!r}: {error}; expected {form(entry)}") from None


def form(entry: Entry) -> str:
    """How a schedule or alias is written: `NAME:option,option[,option]`, those in brackets with a default."""
    separator, text = SEPARATORS.get(entry.name, ","), ""
    for name, default in entry.options.items():
        text += f"[{separator}{name}]" if default != REQUIRED and text else separator * bool(text) + name
    whole = f"{entry.name}:{text}" if text else entry.name
    return f"{entry.name}[:{text}]" if text and REQUIRED not in entry.options.values() else whole


def _arguments(entry: Entry, text: str) -> dict[str, Any]:
    """The options in the text after the colon: in their order, or as option=value."""
    if not text:
        return {}
    names = list(entry.options)
    if [field.annotation for field in entry.schema.model_fields.values()] == [str]:
        return {names[0]: text}  # a path may hold anything
    if (separator := SEPARATORS.get(entry.name)) and separator in text and "," not in text and "=" not in text:
        text = text.replace(separator, ",")
    given: dict[str, Any] = {}
    for i, part in enumerate(re.split(r"\s*,\s*", text)):
        name, equals, value = part.partition("=")
        if not equals and i >= len(names):
            raise InputError(f"{part!r} is one value too many")
        name, value = (name.strip(), value) if equals else (names[i], part)
        if name in given:
            raise InputError(f"{name!r} is given twice")
        given[name] = plain_value(value.strip())
    return given


def _spelled(entry: Entry, options: Mapping[str, Any]) -> str:
    """The one way to write a schedule: options in their order, defaults at the end left out."""
    values = list(options.items())
    while values and values[-1][1] == entry.options[values[-1][0]]:
        values.pop()
    texts = [f"{name}={str(v).lower()}" if isinstance(v, bool) else _number(v) for name, v in values]
    return ":".join([entry.name, *([SEPARATORS.get(entry.name, ",").join(texts)] if texts else [])])


def _number(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)
