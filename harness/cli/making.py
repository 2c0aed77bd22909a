"""Commands that make folders to begin from: a package with an objective, a converted model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_objective_(
    name: Annotated[str, typer.Argument(help="Its name, a Python name in lower case.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write it; by default lagbench-NAME.")] = None,
) -> None:
    """Write a small installable package with an objective: its function, entry point and tests.

    lagbench new objective truncated_is
    """
    from ..scaffold import new_objective

    target = folder or Path(f"lagbench-{name.replace('_', '-')}")
    for path in new_objective(name, target):
        print(f"wrote {path}")
    print(f"Next: pip install -e {target} && lagbench check {name} && pytest {target}")


def convert_gguf(
    source: Annotated[Path, typer.Argument(help="A .gguf file.")],
    folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write.")],
) -> None:
    """Convert a GGUF checkpoint into a Hugging Face folder in fp32, for model=FOLDER. Needs the extra `gguf`."""
    from ..models.gguf import convert

    convert(source, folder)
    print(f"wrote {folder}; use it as model={folder}")
