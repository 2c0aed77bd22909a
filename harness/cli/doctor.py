"""What this machine can run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..doctor.machine import Machine
    from ..doctor.trial import Trial

TESTS = ["objectives=asympo", "lags=0", "updates=2", "eval_problems=2"]  # of `quick`, for a trial


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of tables.")] = False,
) -> None:
    """Say what this machine has, which tier of suites it can run, and what the next one needs.

    Makes a real update of the embedded model, which takes seconds. Exit code 1
    if not even that one trains. The tiers: docs/tiers.md
    """
    import torch

    from ..doctor.machine import look
    from ..doctor.tiers import LAPTOP
    from .printing import print_all

    torch.set_num_threads(1)  # as a cell has
    machine, trial = look(), _trial()
    if as_json:
        print(json.dumps(_document(machine, trial), indent=1))
    else:
        print_all(lambda width: _tables(machine, trial))
    raise typer.Exit(1 if LAPTOP.missing(machine, trial) else 0)


def _trial() -> Trial:
    from ..config import load_suite
    from ..doctor.trial import Trial, attempt
    from ..sweep.cell import assemble_trainer
    from ..sweep.expand import cells, task_of
    from ..verify import Verifier

    run = cells(load_suite("quick", TESTS))[1]
    try:
        with Verifier(task := task_of(run)) as verifier:
            return attempt(assemble_trainer(run, task, verifier))
    except Exception as error:  # whatever it is, the rest of what is found is told, too
        return Trial(False, 0.0, f"{type(error).__name__}: {error}")


def _document(machine: Machine, trial: Trial) -> dict[str, Any]:
    from ..doctor.tiers import TIERS, reached

    runs = reached(machine, trial)
    return {
        "machine": asdict(machine) | {"extras": {one.name: one.installed or one.command for one in machine.extras}},
        "trial": asdict(trial),
        "tier": runs[-1].name if runs else None,
        "tiers": [
            {"name": tier.name, "what": tier.what, "command": tier.command, "missing": tier.missing(machine, trial)}
            for tier in TIERS
        ],
    }


def _tables(machine: Machine, trial: Trial) -> list[Any]:
    from rich.table import Table
    from rich.text import Text

    from ..doctor.tiers import TIERS, gib, reached

    def table(title: str, *columns: str) -> Table:
        made = Table(title=title, title_justify="left", show_header=bool(columns), box=None, padding=(0, 2, 0, 0))
        for column in columns or ("", ""):
            made.add_column(column, overflow="fold")
        return made

    here = table("This machine")
    rows = {
        "Python": f"{machine.python}, {machine.platform}",
        "packages": ", ".join(f"{name} {version}" for name, version in machine.packages.items()),
        "cores, memory": f"{machine.cores}, {gib(machine.memory)}",
        "free disk": gib(machine.disk),
        "GPUs": "; ".join(
            f"{gpu.name}, {gib(gpu.memory)}, {'bf16' if gpu.bf16 else 'no bf16'}" for gpu in machine.gpus
        ) or "none",
        "embedded model": trial.text if trial.trained else f"does not train: {trial.text}",
    }  # fmt: skip
    for name, value in rows.items():
        here.add_row(name, Text(value))
    extras = table("Extras", "extra", "state", "for")
    for one in machine.extras:
        extras.add_row(one.name, Text("installed" if one.installed else one.command), Text(one.purpose))
    runs = reached(machine, trial)
    tiers = table("Tiers", "tier", "here", "command")
    for tier in TIERS:
        state = "runs" if tier in runs else "needs " + "; ".join(tier.missing(machine, trial) or ["what is before it"])
        tiers.add_row(tier.name, Text(state), Text(tier.command))
    return [here, "", extras, "", tiers]
