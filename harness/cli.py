"""The command line. Sub-commands import what they need, so that --help is quick."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from .store import is_unwritable
from .types import InputError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="How much policy lag can an RL objective take before it stops learning?\n\n"
    "Trains objectives under exactly controlled lag, evaluates them on held-out problems and prints the comparison. "
    "Start with: lagbench run quick",
)


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A packaged suite (lagbench list suites) or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override any key of the suite.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the cells go; by default results/runs/SUITE-DIGEST.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Cells at a time, one thread each; by default one per core (one on a GPU)."),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints of a cell.")
    ] = 15.0,
) -> None:
    """Train and evaluate objectives x lags x seeds, then print the leaderboard.

    Finished cells are skipped, interrupted ones go on from their last
    checkpoint, failed ones are tried again: give the same command once more.

    lagbench run quick
    lagbench run quick objectives=asympo,spo lags=0,16 updates=50
    lagbench run tiny hyperparameters.spo.neg_scale=0.1
    lagbench run gsm8k model=FOLDER data=FOLDER objectives=asympo lags=2 updates=3

    Every key: lagbench list settings
    """
    from .config import load_suite

    chosen = load_suite(suite, overrides or [])  # before the slow imports: a typing mistake is told at once
    from .sweep.cell import Execution
    from .sweep.executor import default_workers
    from .sweep.run import run_suite

    folder = results or Path("results") / "runs" / chosen.label
    how = Execution(shlex.join(["lagbench", *sys.argv[1:]]), workers or default_workers(), checkpoint_every)
    try:
        unfinished = run_suite(chosen, folder, how)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
        raise typer.Exit(130) from None
    valid = _print_report(folder)
    raise typer.Exit(1 if unfinished or not valid else 0)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="The folder that `lagbench run` printed.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of the table.")] = False,
) -> None:
    """Compare everything in a results folder: print it, and write Markdown, CSV, JSON and a picture beside it.

    Gates come first: conditions of validity. Exit code 1 if one of them has failed.
    """
    if as_json:
        from .report.comparison import compare
        from .report.tables import to_json

        comparison = compare(results)
        print(json.dumps(to_json(comparison), indent=1))
        valid = comparison.valid
    else:
        valid = _print_report(results)
    raise typer.Exit(0 if valid else 1)


class Kind(StrEnum):
    """What can be listed."""

    objectives = "objectives"
    tasks = "tasks"
    suites = "suites"
    lags = "lags"
    settings = "settings"
    collapse = "collapse"
    diagnostics = "diagnostics"


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of a table.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page with each one's formula, source and remarks.")
    ] = False,
) -> None:
    """List objectives, tasks, suites, lag schedules, the settings of a suite, or what is measured."""
    from .listing import LISTINGS, markdown, preface

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
        _print_rows(rows)


@app.command()
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

    from .check import Finding
    from .check.named import check_all, subjects

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


@app.command()
def probe(
    suite: Annotated[str, typer.Argument(help="A packaged suite (lagbench list suites) or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override any key of the suite.")
    ] = None,
    lags: Annotated[str, typer.Option(help="Ages of the stale batches, in updates.")] = "0,1,2,4,8,16,32,64",
    history: Annotated[
        str, typer.Option(metavar="OBJECTIVE", help="Trains the history, at lag 0, and is the reference.")
    ] = "policy_gradient",
    batches: Annotated[int, typer.Option(help="Stale batches at each lag, whose gradients are averaged.")] = 8,
    fresh: Annotated[int, typer.Option(help="Fresh batches behind the reference gradient.")] = 64,
    results: Annotated[
        Path | None, typer.Option(help="Where the seeds go; by default results/runs/probe-SUITE-DIGEST.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Seeds at a time; by default one per core.")] = None,
) -> None:
    """Compare every objective's gradient on stale responses with the on-policy gradient.

    Trains one history per seed at lag 0, keeps responses of its earlier versions, and at its end
    measures cosine and norm of each objective's gradient on them. Minutes instead of a sweep.

    lagbench probe quick objectives=all seeds=0,1,2
    """
    from .config import load_suite

    chosen, ages = load_suite(suite, overrides or []), _ages(lags)
    if any(override.startswith("lags=") for override in overrides or []):
        raise InputError("a probe takes the ages of its batches from --lags, as in --lags 0,8,64")
    from .probe.fidelity import Probe
    from .probe.run import run_probe
    from .report.fidelity import notes, read_fidelity, to_terminal, write_fidelity
    from .store import REPORT
    from .sweep.executor import default_workers

    command = shlex.join(["lagbench", *sys.argv[1:]])
    plan = Probe(ages, batches, fresh)
    try:
        folder = run_probe(chosen, history, plan, results, workers or default_workers(), command)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the seeds that are missing", file=sys.stderr)
        raise typer.Exit(130) from None
    fidelity = read_fidelity(folder, chosen.seeds)
    write_fidelity(fidelity, folder / REPORT)
    _print_table(to_terminal(fidelity), notes(fidelity), folder / REPORT)


def _ages(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError(f"--lags {text!r} is not valid: expected whole numbers, as in 0,1,8") from None


def _print_include_path(wanted: bool) -> None:
    if wanted:
        from .evaluate.lm_eval_names import TASK_FILES

        print(TASK_FILES)
        raise typer.Exit


@app.command("eval")
def eval_(
    model: Annotated[str, typer.Argument(help="tiny, a Hugging Face folder (a cell's model/, say) or a hub id.")],
    suite: Annotated[
        str,
        typer.Option(metavar="NAME[:DATA],...", help="Tasks (lagbench list tasks), or math for six of them."),
    ],
    samples: Annotated[int, typer.Option(help="Responses to each problem; pass@k is for k up to this.")] = 16,
    limit: Annotated[int | None, typer.Option(metavar="N", help="The first N problems of each task only.")] = None,
    prompt: Annotated[
        str, typer.Option(help="What stands around a question: plain, question, boxed or chat.")
    ] = "plain",
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest response; by default the task's own.", show_default=False)
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling.")] = 1.0,
    batch: Annotated[int, typer.Option(help="Responses drawn at a time; changes memory, not results.")] = 64,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where it goes; by default results/runs/eval-MODEL-DIGEST.")
    ] = None,
    include_path: Annotated[
        bool,
        typer.Option(
            "--include-path", is_eager=True, callback=_print_include_path, help="Print lm_eval's --include_path."
        ),
    ] = False,
) -> None:
    """Evaluate a model on math benchmarks through lm-eval: pass@k, maj@k, and lm-eval's own result files.

    Interrupted, it goes on with the same command. Needs the extra `eval`.

    lagbench eval tiny --suite chain

    lagbench eval results/runs/SUITE/CELL/model --suite chain --samples 64

    lagbench eval FOLDER --suite math:DATA,gsm8k:DATA --prompt chat --limit 50

    lm_eval takes the same tasks, without LagBench's sampler: give it
    --include_path $(lagbench eval --include-path) --tasks lagbench_gsm8k
    """
    for option, value in (("--samples", samples), ("--limit", limit), ("--max-tokens", max_tokens), ("--batch", batch)):
        _expect_number(option, value, least=1)
    from .config import COLDEST, HOTTEST, digest_of

    if not COLDEST <= temperature <= HOTTEST:
        raise InputError(f"--temperature {temperature} is not valid: expected a number from {COLDEST} to {HOTTEST}")
    if find_spec("lm_eval") is None:
        raise InputError("lagbench eval needs an extra; run: pip install 'lagbench[eval]'")
    os.environ.setdefault("TQDM_DISABLE", "1")  # lm-eval's bars, which would tear ours
    from dataclasses import asdict

    from rich.console import Console

    from .evaluate.lm_eval_tasks import Evaluation
    from .evaluate.suite import run_evaluation
    from .prompts import prompt_form
    from .report.suite import NOTES, to_terminal
    from .sweep.progress import progress_bar
    from .sweep.provenance import environment

    names = tuple(name.strip() for name in suite.split(","))
    asked = Evaluation(model, names, samples, prompt_form(prompt).name, max_tokens, temperature, limit)
    folder = out or Path("results") / "runs" / f"eval-{Path(model).name}-{digest_of(asdict(asked))[:8]}"
    about = environment(shlex.join(["lagbench", *sys.argv[1:]]))
    with progress_bar("responses", Console(stderr=True)) as progress:
        bar = progress.add_task("responses", total=None)
        try:
            results = run_evaluation(
                asked, folder, batch, about, lambda known, total: progress.update(bar, completed=known, total=total)
            )
        except KeyboardInterrupt:
            print("interrupted; the same command goes on with the responses that are missing", file=sys.stderr)
            raise typer.Exit(130) from None
    _print_table(to_terminal(results), NOTES, folder)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Lines of {gold, pred} or {gold, response}.")],
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Also ask a comparer of another kind, and how often it disagrees.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for what needs algebra; by default one per core.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of lines.")] = False,
) -> None:
    """Grade answers against gold answers, line by line.

    pred is an answer, bare or in a sentence; response is a whole response,
    of which only a box or what follows #### counts. Where lines have expected,
    how far the verdicts agree with it is told.

    lagbench verify answers.jsonl --second-opinion
    """
    from rich.console import Console

    from .sweep.progress import progress_bar
    from .verify.graded_file import grade, read, report, summary

    lines = read(file)
    with progress_bar("answers", Console(stderr=True)) as progress:
        graded = grade(lines, workers or os.cpu_count() or 1, second_opinion)
        rows = list(progress.track(graded, total=len(lines), description="answers"))
    if as_json:
        print(json.dumps(summary(rows) | {"rows": rows}))
    else:
        print("\n".join(report(rows)))


lag = typer.Typer(no_args_is_help=True, help="Lag schedules: list them, look at a plan, import a trace.")
app.add_typer(lag, name="lag")


@lag.command("show")
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
        _expect_number(option, value, least=1)
    _expect_number("--seed", seed, least=0)
    from dataclasses import asdict

    from .lag import make_plan, resolve
    from .lag.summary import imagined_scene, note_on, page, statistics

    found = resolve(schedule)
    scene, note = imagined_scene(found, updates, groups, tokens, seed), note_on(found)
    plan = make_plan(schedule, scene)
    if as_json:
        about = {"given": schedule, "remark": found.remark, "note": note, "tokens": scene.tokens, "seed": seed}
        print(json.dumps(plan.to_json() | about | asdict(statistics(plan, scene.tokens))))
    else:
        heading = [found.remark, f"{plan.name}: {found.entry.description}", note and f"Note: {note}."]
        print("\n".join(_wrapped(line) for line in heading if line), page(plan, scene.tokens), sep="\n\n")
    if png is not None:
        from .report.lag_chart import lag_of_plan
        from .store import write_atomically

        with _writing(png, "--png"):
            write_atomically(png, lambda path: lag_of_plan(plan, scene.tokens, path))
        print(f"wrote {png}", file=sys.stderr if as_json else sys.stdout)


@lag.command("list")
def lag_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of a table.")] = False,
) -> None:
    """Explain every lag schedule, and every setting of another system that stands for one."""
    list_(Kind.lags, as_json)


@lag.command("import")
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
        _expect_number(option, value, least=1)
    ratio = _ratio("--updates-per-version", updates_per_version)
    from .lag import trace
    from .lag.importers import import_trace
    from .lag.summary import brief
    from .store import write_lines

    found = import_trace(system, file, groups=groups, responses=responses, updates_per_version=ratio, tokens=tokens)
    with _writing(out, "--out"):
        write_lines(out, trace.lines(found.plan))
    for remark in found.remarks:
        print(_wrapped(remark))
    print(f"wrote {out}: {brief(found.plan)}")
    overrides = [f"lags=trace:{out}", f"updates={len(found.plan.source)}", f"prompts_per_update={groups}"]
    print(f"Next: {shlex.join(['lagbench', 'run', 'SUITE', *overrides])}")


def _expect_number(option: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"{option} {value} is not valid: expected a whole number from {least} on")


def _ratio(option: str, text: str) -> Fraction:
    try:
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError):
        ratio = Fraction(0)
    if ratio <= 0:
        raise InputError(f"{option} {text!r} is not valid: expected a number above 0, as in 4 or 1/256")
    return ratio


@contextmanager
def _writing(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}; give {option} another file") from None


new = typer.Typer(no_args_is_help=True, help="Start a package of your own.")
app.add_typer(new, name="new")


@new.command("objective")
def new_objective_(
    name: Annotated[str, typer.Argument(help="Its name, a Python name in lower case.")],
    folder: Annotated[Path | None, typer.Option(help="Where to write it; by default lagbench-NAME.")] = None,
) -> None:
    """Write a small installable package with an objective: its function, entry point and tests.

    lagbench new objective truncated_is
    """
    from .scaffold import new_objective

    target = folder or Path(f"lagbench-{name.replace('_', '-')}")
    for path in new_objective(name, target):
        print(f"wrote {path}")
    print(f"Next: pip install -e {target} && lagbench check {name} && pytest {target}")


@app.command()
def convert_gguf(
    source: Annotated[Path, typer.Argument(help="A .gguf file.")],
    folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write.")],
) -> None:
    """Convert a GGUF checkpoint into a Hugging Face folder in fp32, for model=FOLDER. Needs the extra `gguf`."""
    from .models.gguf import convert

    convert(source, folder)
    print(f"wrote {folder}; use it as model={folder}")


def _print_report(folder: Path) -> bool:
    """Print gates, table and notes, write the report, and tell whether no gate has failed."""
    from .report.comparison import compare
    from .report.tables import notes, to_terminal
    from .report.write import write_report
    from .store import REPORT

    comparison = compare(folder)
    write_report(comparison, folder, folder / REPORT)
    for gate in comparison.gates:
        print(gate)
    _print_table(to_terminal(comparison), notes(comparison), folder / REPORT)
    return comparison.valid


def _print_table(table: Any, notes: list[str], report: Path) -> None:
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(table)
    for line in notes:
        print(line)
    print(f"Report: {report}")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """A block for each row: its name and what it is on the first line, the rest below."""
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(_wrapped(f"{row['name']:{width}} {row['description']}".rstrip(), width + 1))
        for key, value in row.items():
            if key not in ("name", "description", "page") and value not in ("", {}, []):
                print(_wrapped(f"{'':{width}} {key}: {_text(value)}", width + 3))


def _wrapped(text: str, indent: int = 0) -> str:
    """Lines as wide as the terminal, or 120 columns where there is none; all but the first are indented."""
    columns = shutil.get_terminal_size((120, 24)).columns
    return textwrap.fill(text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={default}" for key, default in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Entry point: wrong input ends in one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not is_unwritable(error):
            raise
        where = f"cannot write to {error.filename}" if error.filename else "cannot write"
        print(f"error: {where}: {error.strerror or error}; make room there, then try again", file=sys.stderr)
        sys.exit(2)
