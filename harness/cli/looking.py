"""Commands that look at what is registered: lists and checks."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from ..types import InputError
from .printing import print_rows


class Kind(StrEnum):
    """What can be listed."""

    objectives = "objectives"
    tasks = "tasks"
    suites = "suites"
    lags = "lags"
    settings = "settings"
    collapse = "collapse"
    diagnostics = "diagnostics"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of a table.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page with each one's formula, source and remarks.")
    ] = False,
) -> None:
    """List objectives, tasks, suites, lag schedules, the settings of a suite, or what is measured."""
    from ..listing import LISTINGS, markdown, preface

    if as_markdown and as_json:
        raise InputError("--json and --markdown exclude each other")
    if as_markdown:
        print(markdown(kind.value), end="")
        return
    rows = LISTINGS[kind.value]()
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        if text := preface(kind.value):
            print(f"{text}\n")
        print_rows(rows)


def check(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Objectives, and tasks as NAME or NAME:DATA (lagbench list).")
    ],
    data: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where the tasks' data is that are named without.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of lines.")] = False,
) -> None:
    """Check that an objective or a task keeps what every one has to, built-in or of a plug-in.

    Objectives: zero advantages give no gradient, padding does not matter,
    values stay finite, the gradient is the loss's own, and more. Tasks: every
    gold answer is right, the next problem's is wrong, ids are unique, nothing
    of the test is trained on; of several also what they share. Exit code 1 if
    something is broken.

    lagbench check asympo

    lagbench check gsm8k math500 --data FOLDER
    """
    from dataclasses import asdict

    from ..check import Finding
    from ..check.named import check_all, subjects

    found: list[Finding] = []
    for finding in check_all(subjects(names, data)):
        if not as_json:
            if len(names) > 1 and (not found or found[-1].name != finding.name):
                print(finding.name)
            print(f"{finding.state:8}{finding.check:18}{finding.text}", flush=True)
        found.append(finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
    raise typer.Exit(1 if any(finding.state == "FAILED" for finding in found) else 0)
