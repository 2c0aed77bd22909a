"""Objectives and tasks by name. Built-ins come through the same entry points as anybody's plug-in.

The signature of an objective is its contract: positional arguments name the `Batch` fields it reads, keyword-only
ones are its hyperparameters. It is given nothing else.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from .source import function_digest
from .types import Batch, Conventions, InputError, Task

Function = TypeVar("Function", bound=Callable[..., Any])

BATCH_FIELDS = tuple(f.name for f in dataclasses.fields(Batch))
SCENE_FIELDS = ("updates", "groups", "tokens", "rng", "lengths")  # what a lag schedule can read
THIS_PROCESS = "this process"  # where an entry comes from that no distribution announces
REQUIRED = "required"  # in the place of the default of an option that has to be given
NO_CONVENTIONS = Conventions()  # of whoever states none, and of tasks
STRICT = ConfigDict(strict=True, validate_default=True, protected_namespaces=())


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered function: what it reads (objectives only), its keyword-only options and where it comes from."""

    name: str
    function: Callable[..., Any]
    reads: tuple[str, ...]
    schema: type[BaseModel]  # of the options
    distribution: str
    conventions: Conventions = NO_CONVENTIONS  # objectives only

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution})"

    @property
    def module(self) -> str:
        return self.function.__module__

    @cached_property
    def code(self) -> str:
        """Digest of its source, and of what that uses of its own package."""
        return function_digest(self.function, self.distribution)

    @property
    def options(self) -> dict[str, Any]:
        """Names and defaults; `REQUIRED` for an option that has none."""
        fields = self.schema.model_fields.items()
        return {name: REQUIRED if field.is_required() else field.default for name, field in fields}

    @property
    def description(self) -> str:
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    @property
    def page(self) -> str:
        """The docstring of the function's module: formula, conditions, where shipped code differs."""
        return inspect.getdoc(inspect.getmodule(self.function)) or ""

    @property
    def source(self) -> str:
        """The text after `Source:` in the docstring of the function or of its module, up to the end of the line."""
        pages = (inspect.getdoc(self.function) or "", self.page)
        found = (re.search(r"^Source: (.+)$", page, re.MULTILINE) for page in pages)
        return next((match[1] for match in found if match), "")

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options with `given` filled in; an unknown name or a value of the wrong type is an InputError."""
        for option in given:
            if option not in self.options:
                raise InputError(
                    f"{self.name} has no option {option!r}{did_you_mean(option, self.options)}; "
                    f"it has {', '.join(self.options) or 'none'}"
                )
        try:
            return dict(self.schema(**given))
        except ValidationError as error:
            first = error.errors()[0]
            option = str(first["loc"][0])
            if first["type"] == "missing":
                raise InputError(f"{self.name}: {option!r} is missing") from None
            default = self.options[option]
            hint = "" if default == REQUIRED else f"; the default is {default!r}"
            raise InputError(f"{self.name}: {option}={first['input']!r} is not valid: {first['msg']}{hint}") from None


def plain_value(text: str) -> Any:
    """A value as TOML writes it, or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # TOMLDecodeError, or a number of thousands of digits
        return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Registry:
    """Entries of one kind, filled by a decorator when the entry points of `group` are imported."""

    def __init__(self, kind: str, group: str, reads_from: tuple[str, ...], defaults_needed: bool = True):
        self.kind, self.group, self.reads_from, self.defaults_needed = kind, group, reads_from, defaults_needed
        self._entries: dict[str, Entry] = {}
        self._loaded = False
        self._loading = THIS_PROCESS

    def register(self, function: Function, conventions: Conventions = NO_CONVENTIONS) -> Function:
        """Register `function` under its own name and return it unchanged."""
        name = function.__name__
        known = self._entries.get(name)
        if known and (known.module, known.function.__qualname__) != (function.__module__, function.__qualname__):
            raise InputError(
                f"two {self.kind}s are named {name!r}: {known.module} ({known.distribution}) and "
                f"{function.__module__} ({self._loading}); rename one"
            )
        reads, schema = self._contract(function)
        entry = Entry(name, function, reads, schema, self._loading, conventions)
        if REQUIRED not in entry.options.values():
            entry.check_options({})  # a default of the wrong type is told now
        self._entries[name] = entry
        return function

    def get(self, name: str) -> Entry:
        """The entry called `name`; an unknown name is an InputError with the nearest known one."""
        entries = self.all()
        if name not in entries:
            raise InputError(
                f"unknown {self.kind} {name!r}{did_you_mean(name, entries)}; "
                f"`lagbench list {self.kind}s` prints all {len(entries)}"
            )
        return entries[name]

    def all(self) -> dict[str, Entry]:
        """Every registered entry, sorted by name; imports the entry points on the first call."""
        if not self._loaded:
            self._loaded = True  # before importing: a plug-in may itself look something up
            for point in entry_points(group=self.group):
                self._load(point)
        return dict(sorted(self._entries.items()))

    def _load(self, point: EntryPoint) -> None:
        self._loading = point.dist.name if point.dist else point.value
        try:
            point.load()
        except Exception as error:
            self._loaded = False
            raise InputError(
                f"the {self.kind} plug-in {point.name!r} of distribution {self._loading!r} failed on import: "
                f"{type(error).__name__}: {error}; fix it or run: pip uninstall {self._loading}"
            ) from error
        finally:
            self._loading = THIS_PROCESS
        for name, entry in self._entries.items():  # a module that somebody had imported before registered itself then
            if entry.distribution == THIS_PROCESS and f"{entry.module}.".startswith(f"{point.module}."):
                self._entries[name] = dataclasses.replace(entry, distribution=point.dist.name if point.dist else "")

    def _contract(self, function: Callable[..., Any]) -> tuple[tuple[str, ...], type[BaseModel]]:
        """What the signature says: the fields that are read, and a schema of the keyword-only options."""
        reads: list[str] = []
        options: dict[str, Any] = {}
        where = f"{self.kind} {function.__name__} ({function.__module__})"
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                missing = parameter.default is parameter.empty
                if parameter.annotation is parameter.empty or (missing and self.defaults_needed):
                    needs = "a type and a default value" if self.defaults_needed else "a type"
                    raise InputError(f"{where}: keyword-only {parameter.name!r} needs {needs}")
                default = ... if missing else parameter.default
                options[parameter.name] = (_evaluated(parameter.annotation, function), default)
            elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name in self.reads_from:
                reads.append(parameter.name)
            else:
                fields = ", ".join(self.reads_from) or "nothing"
                raise InputError(
                    f"{where}: {parameter.name!r} is not something {self.kind}s can read"
                    f"{did_you_mean(parameter.name, self.reads_from)}; they can read {fields}; "
                    "options come after a bare *"
                )
        return tuple(reads), create_model(function.__name__, __config__=STRICT, **options)


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation as a type, where `from __future__ import annotations` left it as text.

    Of options only: the types of tensors may be imported for type checkers alone.
    """
    return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation


OBJECTIVES = Registry("objective", "lagbench.objectives", BATCH_FIELDS)
TASKS = Registry("task", "lagbench.tasks", (), defaults_needed=False)
SCHEDULES = Registry("schedule", "lagbench.schedules", SCENE_FIELDS, defaults_needed=False)


@overload
def objective(function: Function, /) -> Function: ...


@overload
def objective(
    *,
    advantage: str = ...,
    aggregate: str = ...,
    denominator: Literal["all", "kept"] = ...,
    on_policy_weight: Callable[..., Any] | None = ...,
    regularized: bool = ...,
    balanced: bool = ...,
) -> Callable[[Function], Function]: ...


def objective(function: Any = None, /, **conventions: Any) -> Any:
    """Register an objective: a function of `Batch` fields that returns a `Loss`. It is returned unchanged.

    Bare, or with what its paper uses around the formula: see `Conventions`.
    """
    if function is not None:
        return OBJECTIVES.register(function)
    return lambda function: OBJECTIVES.register(function, Conventions(**conventions))


def task(function: Function) -> Function:
    """Register a task: a function of keyword-only options that returns a `Task`. It is returned unchanged."""
    return TASKS.register(function)


def schedule(function: Function) -> Function:
    """Register a lag schedule: how old every group is, [U, P] in updates. It is returned unchanged.

    Its positional arguments name what it reads: `updates` (U), `groups` (P of an update), `tokens` (longest response),
    `rng` (a numpy Generator of the run's seed), `lengths` ([U, P], mean response length of the initial policy to each
    group's problem; measured only if somebody reads it). Keyword-only arguments are its options, in the order in which
    they follow the colon: `NAME:first,second` or `NAME:first,other=value`. A group can be no older than the run: lags
    are cut at the update's number. For responses whose tokens are of several ages it returns (lag, switches), switches
    an integer array [N, 4] of rows (update, group, token, lag): from that token on the group is that old.
    """
    return SCHEDULES.register(function)


def load_task(text: str, options: Mapping[str, Any]) -> Task:
    """The task written NAME or NAME:DATA, its data read. DATA is its option `data`: a folder, a file, a hub id."""
    name, colon, data = text.partition(":")
    entry = TASKS.get(name)
    given = {**options, "data": data} if colon else options
    if colon and "data" not in entry.options:
        raise InputError(f"task {text}: {name} reads no data; write {name}")
    if colon and "data" in options:
        raise InputError(f"task {text}: data={options['data']} is given, too; leave one of the two out")
    if "data" in entry.options and not given.get("data", entry.options["data"] != REQUIRED):
        raise InputError(f"task {text}: no data; write {name}:DATA")
    made = entry.function(**entry.check_options(given))
    if not isinstance(made, Task):
        raise InputError(f"task {text}: {entry} made a {type(made).__name__}; expected a Task")
    return made
