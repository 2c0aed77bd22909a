"""Commands that evaluate models and grade answers."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..extras import require_extra
from ..types import InputError
from .options import expect_number
from .printing import print_table


def _print_include_path(wanted: bool) -> None:
    if wanted:
        from ..evaluate.lm_eval_names import TASK_FILES

        print(TASK_FILES)
        raise typer.Exit


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
    sampler: Annotated[str, typer.Option(metavar="torch|vllm", help="What draws responses.")] = "torch",
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

    lagbench eval FOLDER --suite math:DATA --sampler vllm --batch 1024

    lm_eval takes the same tasks, without LagBench's sampler: give it
    --include_path $(lagbench eval --include-path) --tasks lagbench_gsm8k
    """
    for option, value in (("--samples", samples), ("--limit", limit), ("--max-tokens", max_tokens), ("--batch", batch)):
        expect_number(option, value, least=1)
    from ..config import COLDEST, HOTTEST, digest_of, identifying

    if not COLDEST <= temperature <= HOTTEST:
        raise InputError(f"--temperature {temperature} is not valid: expected a number from {COLDEST} to {HOTTEST}")
    require_extra("eval", "lagbench eval", "lm_eval")
    if sampler not in ("torch", "vllm"):
        raise InputError(f"--sampler {sampler} is unknown; expected torch or vllm")
    from ..rollout.vllm_engine import engine_packages, require_vllm

    if sampler == "vllm":
        require_vllm("--sampler vllm")
    os.environ.setdefault("TQDM_DISABLE", "1")  # lm-eval's bars, which would tear ours
    from dataclasses import asdict

    from rich.console import Console

    from ..evaluate.lm_eval_tasks import Evaluation
    from ..evaluate.suite import run_evaluation
    from ..prompts import prompt_form
    from ..report.suite import NOTES, to_terminal
    from ..sweep.progress import progress_bar
    from ..sweep.provenance import environment

    names = tuple(name.strip() for name in suite.split(","))
    asked = Evaluation(model, names, samples, prompt_form(prompt).name, max_tokens, temperature, limit, sampler)
    folder = out or Path("results") / "runs" / f"eval-{Path(model).name}-{digest_of(identifying(asdict(asked)))[:8]}"
    about = environment(shlex.join(["lagbench", *sys.argv[1:]]), *engine_packages(sampler))
    with progress_bar("responses", Console(stderr=True)) as progress:
        bar = progress.add_task("responses", total=None)
        try:
            results = run_evaluation(
                asked, folder, batch, about, lambda known, total: progress.update(bar, completed=known, total=total)
            )
        except KeyboardInterrupt:
            print("interrupted; the same command goes on with the responses that are missing", file=sys.stderr)
            raise typer.Exit(130) from None
    print_table(to_terminal(results), NOTES, folder)


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

    from ..sweep.progress import progress_bar
    from ..verify.graded_file import grade, read, report, summary

    lines = read(file)
    with progress_bar("answers", Console(stderr=True)) as progress:
        graded = grade(lines, workers or os.cpu_count() or 1, second_opinion)
        rows = list(progress.track(graded, total=len(lines), description="answers"))
    if as_json:
        print(json.dumps(summary(rows) | {"rows": rows}))
    else:
        print("\n".join(report(rows)))
