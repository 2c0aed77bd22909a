"""New plug-in packages from templates: `lagbench new objective NAME`."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ..registry import OBJECTIVES
from ..types import InputError

RESERVED = ("all", "objective", "torch")  # stand for something else in suites and in the files made here
TEMPLATES = Path(str(files("lagbench.harness.scaffold"))) / "objective"


def new_objective(name: str, folder: Path) -> list[Path]:
    """Write an installable package with the objective `name` into `folder`, which must not exist; its files."""
    if not re.fullmatch("[a-z]([a-z0-9_]*[a-z0-9])?", name) or keyword.iskeyword(name) or name in RESERVED:
        raise InputError(
            f"{name!r} cannot name an objective: expected lower-case letters, digits and _ between them, "
            f"as in truncated_is, and none of {', '.join(RESERVED)}"
        )
    known = OBJECTIVES.all().get(name)
    if known:
        raise InputError(f"an objective {name!r} is registered already, by {known.distribution}; choose another name")
    if folder.exists():
        raise InputError(f"{folder} exists; remove it or choose another --folder")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}; choose another --folder") from None
    written = []
    for template in sorted(TEMPLATES.glob("*.template")):
        path = folder / Template(template.stem.replace("NAME", "$name")).substitute(name=name)
        text = Template(template.read_text()).substitute(name=name, dashed=name.replace("_", "-"))
        path.write_text(text)
        written.append(path)
    return written
