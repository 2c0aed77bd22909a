"""Change one character of every objective's code at a time, and see the tests go red.

    python tests/mutations.py [OBJECTIVE ...]

Every operator and every number in the code of each file in objectives/ (docstrings, annotations and recorded metrics
aside) is changed: + to -, * to /, < to >, & to |, a minus or ~ is dropped, the last digit of a number is raised. Each
mutant lives in a forked process, where the golden values and the conformance of the objective run against it (of
arithmetic.py: all golden values). First, every file has to pass as it is. Prints the mutants that
no test noticed; exit code 1 if they are more than one in twenty.
"""

import ast
import contextlib
import importlib
import io
import multiprocessing as mp
import os
import sys
import tokenize
from collections import Counter
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from lagbench.harness.check import check_objective
from lagbench.harness.registry import OBJECTIVES

TESTS = Path(__file__).parent
OBJECTIVE_FILES = TESTS.parent / "objectives"
GOLDEN = [str(path) for path in sorted(TESTS.glob("test_golden_values*.py"))]
SWAPS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": ">", ">": "<", "&": "|", "|": "&", "**": "*", "~": "",
         ">=": "<=", "<=": ">="}  # fmt: skip


class Mutant(NamedTuple):
    """One changed character, and the whole file with it."""

    module: str
    line: int
    column: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        text = self.source.splitlines()[self.line - 1].strip()
        return f"{self.module}.py:{self.line}:{self.column}: {self.before!r} -> {self.after!r}   {text}"


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file."""
    source = path.read_text()
    lines = source.splitlines(keepends=True)
    ignored = not_formula(ast.parse(source))
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (line, column), text = token.start, token.string
        bare = text == "*" and lines[line - 1][column + 1 :].lstrip().startswith(",")  # of a signature
        if bare or any(start <= (line, column) < end for start, end in ignored):
            continue
        changed = (
            SWAPS.get(text) if token.type == tokenize.OP else raised(text) if token.type == tokenize.NUMBER else None
        )
        if changed is not None:
            whole = lines[line - 1]
            mutated = whole[:column] + changed + whole[column + len(text) :]
            found.append(
                Mutant(path.stem, line, column, text, changed, "".join([*lines[: line - 1], mutated, *lines[line:]]))
            )
    return found


def raised(number: str) -> str:
    """The number with its last digit raised by one."""
    return f"{number[:-1]}{(int(number[-1]) + 1) % 10}"


def not_formula(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations, imports and recorded metrics stand."""
    nodes: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            nodes += [a for a in (node.returns, *(x.annotation for x in (*node.args.args, *node.args.kwonlyargs))) if a]
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Dict):  # a dictionary holds metrics
            nodes.append(node)
        if isinstance(node, ast.FunctionDef) and node.name == "_metrics":
            nodes.append(node)
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in nodes]


def noticed(mutant: Mutant) -> bool:
    """Whether a test goes red; in a process of its own, which the mutant spoils."""
    context = mp.get_context("fork")
    process = context.Process(target=_try, args=(mutant,))
    process.start()
    process.join(timeout=60)
    if process.is_alive():  # it does not come to an end: noticed
        process.kill()
        process.join()
    return process.exitcode != 0


def _try(mutant: Mutant) -> None:
    """Exit code 0 if everything passes."""
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            sys.exit(0 if survives(mutant) else 1)
        except Exception:
            sys.exit(1)


def survives(mutant: Mutant) -> bool:
    shared = mutant.module == "arithmetic"
    module = importlib.import_module(f"lagbench.objectives.{mutant.module}")
    exec(compile(mutant.source, f"mutant of {mutant.module}", "exec"), vars(module))
    if shared:
        for path in OBJECTIVE_FILES.glob("[a-z]*.py"):
            if path.stem != "arithmetic":
                importlib.reload(importlib.import_module(f"lagbench.objectives.{path.stem}"))
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *GOLDEN]) == 0
    chosen = ["-k", f"test_{mutant.module}"]
    outcome = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *GOLDEN, *chosen])
    if outcome == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"no golden value of {mutant.module}")
    if outcome != pytest.ExitCode.OK:
        return False
    return not any(problem for _, problem in check_objective(OBJECTIVES.get(mutant.module)))


def main(names: list[str]) -> None:
    OBJECTIVES.all()
    check_objective(OBJECTIVES.get("grpo"))
    for module in ("golden", "transformers.models.qwen3.modeling_qwen3"):
        importlib.import_module(module)
    paths = sorted(p for p in OBJECTIVE_FILES.glob("[a-z]*.py") if not names or p.stem in names)
    for path in paths:
        unchanged = Mutant(path.stem, 1, 0, "", "", path.read_text())
        if path.stem != "__init__" and noticed(unchanged):
            sys.exit(f"{path} turns a test red as it is, or has no test: mutants would show nothing")
    everything = [mutant for path in paths for mutant in mutants(path)]
    results: list[bool] = []
    with ThreadPool(len(os.sched_getaffinity(0))) as pool:
        for mutant, red in zip(everything, pool.imap(noticed, everything), strict=True):
            results.append(red)
            if not red:
                print(f"unnoticed: {mutant}", flush=True)
    made = Counter(mutant.module for mutant in everything)
    red = Counter(mutant.module for mutant, seen in zip(everything, results, strict=True) if seen)
    for path in paths:
        print(f"{path.stem:18} {red[path.stem]:3} of {made[path.stem]:3} mutants turn a test red")
    print(f"{sum(red.values())} of {sum(made.values())} one-character mutants noticed, in {len(paths)} files")
    sys.exit(sum(red.values()) < 0.95 * sum(made.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
