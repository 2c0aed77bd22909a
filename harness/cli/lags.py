"""Commands on lag: schedules explained and drawn, traces imported."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .looking import Kind, list_
from .options import expect_number, positive_ratio, writing
from .printing import wrapped


def lag_show(
    schedule: Annotated[str, typer.Argument(help="As in lags=...: constant:4, uniform:0-16, areal:4, trace:FILE.")],
    updates: Annotated[int | None, typer.Option(help="U; 200, or what a trace holds.", show_default=False)] = None,
    groups: Annotated[
        int | None, typer.Option(help="P, of an update; 32, or what a trace holds.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the schedules that draw lags.")] = 0,
    tokens: Annotated[
        int | None, typer.Option(help="Longest response; 16, or what a trace needs.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan and its numbers as JSON.")] = False,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture of it, too.")] = None,
) -> None:
    """Make the plan of a schedule without a run: numbers, histogram, and lag against update.

    lagbench lag show periodic:10

    lagbench lag show areal:4,2 --updates 100 --png areal.png
    """
    for option, value in (("--updates", updates), ("--groups", groups), ("--tokens", tokens)):
        expect_number(option, value, least=1)
    expect_number("--seed", seed, least=0)
    from dataclasses import asdict

    from ..lag import make_plan, resolve
    from ..lag.summary import imagined_scene, note_on, page, statistics

    found = resolve(schedule)
    scene, note = imagined_scene(found, updates, groups, tokens, seed), note_on(found)
    plan = make_plan(schedule, scene)
    if as_json:
        about = {"given": schedule, "remark": found.remark, "note": note, "tokens": scene.tokens, "seed": seed}
        print(json.dumps(plan.to_json() | about | asdict(statistics(plan, scene.tokens))))
    else:
        heading = [found.remark, f"{plan.name}: {found.entry.description}", note and f"Note: {note}."]
        print("\n".join(wrapped(line) for line in heading if line), page(plan, scene.tokens), sep="\n\n")
    if png is not None:
        from ..report.lag_chart import lag_of_plan
        from ..store import write_atomically

        with writing(png, "--png"):
            write_atomically(png, lambda path: lag_of_plan(plan, scene.tokens, path))
        print(f"wrote {png}", file=sys.stderr if as_json else sys.stdout)


def lag_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of a table.")] = False,
) -> None:
    """Explain every lag schedule, and every setting of another system that stands for one."""
    list_(Kind.lags, as_json)


def lag_import(
    system: Annotated[str, typer.Argument(help="areal, verl, trl, prime_rl or pipeline_rl.")],
    file: Annotated[Path, typer.Argument(help="Its record: one JSON object per response, in the order of training.")],
    out: Annotated[Path, typer.Option(metavar="TRACE", help="The trace to write.")],
    groups: Annotated[int, typer.Option(help="P, prompt groups of an update.")],
    responses: Annotated[int, typer.Option(help="G, responses of a group.")],
    updates_per_version: Annotated[
        str, typer.Option(metavar="NUMBER", help="Optimizer updates per version of that system: 4, or 1/256.")
    ] = "1",
    tokens: Annotated[
        int | None, typer.Option(help="Longest response of the run to come, to which token numbers are scaled.")
    ] = None,
) -> None:
    """Turn the versions that another system recorded into a trace, to be run as lags=trace:FILE.

    lagbench lag import areal dump.jsonl --out areal.jsonl --groups 32 --responses 16
    """
    for option, value in (("--groups", groups), ("--responses", responses), ("--tokens", tokens)):
        expect_number(option, value, least=1)
    ratio = positive_ratio("--updates-per-version", updates_per_version)
    from ..lag import trace
    from ..lag.importers import import_trace
    from ..lag.summary import brief
    from ..store import write_lines

    found = import_trace(system, file, groups=groups, responses=responses, updates_per_version=ratio, tokens=tokens)
    with writing(out, "--out"):
        write_lines(out, trace.lines(found.plan))
    for remark in found.remarks:
        print(wrapped(remark))
    print(f"wrote {out}: {brief(found.plan)}")
    overrides = [f"lags=trace:{out}", f"updates={len(found.plan.source)}", f"prompts_per_update={groups}"]
    print(f"Next: {shlex.join(['lagbench', 'run', 'SUITE', *overrides])}")
