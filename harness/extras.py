"""Packages that only some commands need, and the one line for where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from .types import InputError


def installed(module: str) -> bool:
    """Whether a top-level module can be imported; a folder of its name in the working directory is not the package."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def require_extra(extra: str, what: str, *modules: str) -> None:
    """An InputError that names the command to install, where `what` needs a module that is not there."""
    if not all(map(installed, modules)):
        raise InputError(f"{what} needs an extra; run: pip install 'lagbench[{extra}]'")
