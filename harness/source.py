"""A digest of the source behind a function: its own definition and all that this uses of its own package.

Edits that change nothing leave the digest alone: comments, docstrings, layout, and definitions that are used from
nowhere here. What other packages hold, data files, and modules whose names are put together at run time have no part
in it. Python versions agree on it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from .types import InputError

HOME = __name__.partition(".")[0]  # of this package, whose parts know each other by public names only
ALL = "*"  # in the place of a name: everything that a module holds
PLAIN = (bool, int, float, complex, str, bytes, type(None))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Name = tuple[str, str]  # a module, and what it calls something


def function_digest(function: Callable[..., Any], distribution: str = "") -> str:
    """Of a function in somebody's package, as 16 hex digits; `distribution` may hold further modules that it uses.

    What a function was made with counts, too: functions and plain values that it closes over. An InputError where there
    is no source.
    """
    functions, values = _closed_over(function)
    roots = [(one.__module__, one.__qualname__.partition(".")[0]) for one in functions]
    texts = [_plain(ast.parse(_own_source(one))) for one in functions if _parsed(one.__module__) is None]
    prefixes = {_package(function.__module__), *_modules_of(distribution)}
    return _digest([_statements(roots, prefixes), texts, values])


def definition_digest(module: str, name: str, package: str) -> str:
    """Of what `module` calls `name`, as 16 hex digits, with all that it uses of `package`."""
    return _digest(_statements([(module, name)], {package}))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _package(module: str) -> str:
    """The package that a module's own code is in; of LagBench's own ones the innermost."""
    top = module.partition(".")[0]
    return module.rpartition(".")[0] if top == HOME else top


def _modules_of(name: str) -> Iterator[str]:
    """Top-level modules and packages of an installed distribution, but for LagBench's."""
    try:
        found = distribution(name) if name and name != HOME else None
    except PackageNotFoundError:
        found = None
    if found:
        yield from (found.read_text("top_level.txt") or "").split()
        yield from (path.parts[0].removesuffix(".py") for path in found.files or () if path.suffix == ".py")


def _closed_over(function: Callable[..., Any]) -> tuple[list[Callable[..., Any]], list[Any]]:
    """The function, those that it was made with, and the plain values; of other values the type."""
    functions, values = [function], []
    for one in functions:
        held = inspect.getclosurevars(one).nonlocals if inspect.isfunction(one) else {}
        for name, value in sorted(held.items()):
            shown = value if inspect.isfunction(value) else type(value)
            values.append([name, repr(value) if isinstance(value, PLAIN) else shown.__qualname__])
            if inspect.isfunction(value) and value not in functions:
                functions.append(value)
    return functions, values


def _own_source(function: Callable[..., Any]) -> str:
    """Of a function whose module has no file, as in a notebook."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise InputError(
            f"{function.__module__}.{function.__qualname__}: there is no source to tell its versions apart by; put it "
            "into a file"
        ) from None


# ---- from a name to the statements behind it


def _statements(roots: Iterable[Name], prefixes: Iterable[str]) -> dict[str, list[Any]]:
    """By module, in order, the statements that the roots use in modules within the prefixes."""
    inside, read = tuple(prefixes), cache(_parsed)
    todo, seen, used = list(roots), set[Name](), defaultdict[str, dict[int, ast.stmt]](dict)
    while todo:
        module, name = at = todo.pop()
        if at in seen or not _within(module, inside) or (parsed := read(module)) is None:
            continue
        seen.add(at)
        for i in parsed.behind(name) - used[module].keys():
            used[module][i] = statement = parsed.statements[i]
            todo += ((module, mentioned) for mentioned in _mentions(statement))
            todo += _imports(statement, module)
    return {module: [_plain(statement) for _, statement in sorted(its.items())] for module, its in used.items()}


def _within(module: str, prefixes: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{prefix}.") for prefix in prefixes)


@dataclass(frozen=True)
class Module:
    """Statements of a module, an import of several names as several."""

    statements: tuple[ast.stmt, ...]
    bound: Mapping[str, set[int]]  # definitions and imports, by the name that they bind

    def behind(self, name: str) -> set[int]:
        """What a name stands for, and all that runs on import, whatever it binds."""
        every = set(range(len(self.statements)))
        if name == ALL:
            return every
        return self.bound.get(name, set()) | (every - set().union(*self.bound.values()))


def _parsed(module: str) -> Module | None:
    """None of a module that is not there, or has no source."""
    spec = _spec(module)
    return None if spec is None or (text := _text(spec)) is None else _module(text)


@cache
def _module(text: str) -> Module:
    statements = tuple(part for statement in _body(_tree(text)) for part in _parts(statement))
    bound = defaultdict[str, set[int]](set)
    for i, statement in enumerate(statements):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            bound[statement.name].add(i)
        elif isinstance(statement, ast.Import | ast.ImportFrom) and statement.names[0].name != "*":
            alias = statement.names[0]
            bound[alias.asname or alias.name.partition(".")[0]].add(i)
    return Module(statements, dict(bound))


def _parts(statement: ast.stmt) -> Iterator[ast.stmt]:
    """An import name by name; nothing of `__all__`, which changes no function."""
    if isinstance(statement, ast.Import):
        yield from (ast.Import([alias]) for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield from (ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names)
    elif not (isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"):
        yield statement


def _mentions(statement: ast.stmt) -> Iterator[str]:
    """Whatever may be the name of something in its module, a text that could be looked up among them."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _imports(statement: ast.stmt, module: str) -> Iterator[Name]:
    """What the imports in a statement name; a name that is imported from a package may be a module of it."""
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            for alias in node.names:
                yield base, alias.name
                yield f"{base}.{alias.name}", ALL
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                shortest = len(parts) if alias.asname else 1
                yield from ((".".join(parts[:n]), ALL) for n in range(shortest, len(parts) + 1))


def _absolute(node: ast.ImportFrom, module: str) -> str:
    spec = _spec(module)
    package = module if spec and spec.submodule_search_locations is not None else module.rpartition(".")[0]
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # beyond the top
        return ""


# ---- from a module to its source


def _spec(module: str) -> ModuleSpec | None:
    """Where a module is, found without importing it or its parents."""
    above, _, _ = module.rpartition(".")
    try:
        if not above:
            return find_spec(module)
        parent = _spec(above)
        places = parent.submodule_search_locations if parent else None
        return None if places is None else PathFinder.find_spec(module, places)
    except (ImportError, ValueError, AttributeError):  # as of __main__
        return None


def _text(spec: ModuleSpec) -> str | None:
    """Source of a module; of a compiled one an assignment of its sha256; None where there is neither."""
    path = Path(spec.origin or "")
    if path.suffix == ".py" and path.is_file():
        with tokenize.open(path) as file:
            return file.read()
    if path.is_file():
        return f"compiled = {hashlib.sha256(path.read_bytes()).hexdigest()!r}"
    return spec.loader.get_source(spec.name) if isinstance(spec.loader, InspectLoader) else None


def _tree(text: str) -> ast.Module:
    """Of a text that this version of Python cannot read, an assignment of it."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.parse(f"unreadable = {text!r}")


def _body(node: Any) -> list[ast.stmt]:
    """Statements without a docstring."""
    body: list[ast.stmt] = node.body
    return body[1:] if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None else body


def _plain(value: Any) -> Any:
    """A syntax tree as lists that all versions of Python agree on: without positions, docstrings and empty fields."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, ast.AST):
        return value if value is None else repr(value)
    fields = [(name, _body(value) if name == "body" and isinstance(value, DOCUMENTED) else field)
              for name, field in ast.iter_fields(value)]  # fmt: skip
    return [type(value).__name__, *([name, _plain(field)] for name, field in fields if field not in (None, []))]
