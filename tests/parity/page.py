"""docs/parity.md, made from the test files beside this one without importing any peer: what is there is what is told.

python tests/parity/page.py > docs/parity.md
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lagbench.harness.learn.advantages import ADVANTAGES
from lagbench.harness.learn.aggregate import AGGREGATES
from lagbench.harness.registry import OBJECTIVES

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("test_*.py") if path.stem != "test_parity_page")
PINS = HERE.parent.parent / "constraints-parity.txt"

INTRODUCTION = """\
# Parity with the code of others

<!-- made from tests/parity/ by make docs -->

`make parity` gives the same tensors to an objective of ours and to the function that another package ships, in float64,
and compares loss and gradient of every token: responses of 1 to 7 tokens, ratios from about 0.2 to 5, both signs of
advantages, a group of equal rewards. Each number among the options is moved, too, and the gradient has to move with it.
Advantages and aggregates are compared by value. Where a package computes in float32 the tolerance is 1e-5. What stands
around a formula is the package's where it differs from the objective's own: its aggregate, its denominator.

The packages are installed without what they depend on into `.venv-parity`, pinned by `constraints-parity.txt`. Most are
entered past the `__init__` of packages that import an engine, and some modules that the formulas never call are
stand-ins without content while they are imported (`past` and `without` in the test files). Each file runs in a process
of its own, because one package changes another: ms-swift takes away the constructor of TRL's trainer.
"""

LEFT_OUT = """\
## Left out

| package | why |
|---|---|
| nemo-rl, torchforge | the registry holds their names without code |
| prime-rl, ROLL, slime | not on the registry (`roll` and `slime` are other projects); miles is of slime's lineage |
| siirl | its functions are copies of an earlier verl |
| tinker-cookbook | its losses are computed by a service |
| unsloth-zoo | restates TRL; its file says AGPL, its metadata LGPL |
| xtuner | PPO's clip and nothing else |
| oat-llm, skyrl from 0.4 on | not for Python 3.11 |
"""


class Compared(NamedTuple):
    package: str
    kind: str  # Case or Pair
    theirs: str
    ours: str


class Peer(NamedTuple):
    """What a test file says of the package that it compares with."""

    package: str
    compared: list[Compared]
    differences: list[str]


def peers() -> list[Peer]:
    return [read(ast.parse(path.read_text())) for path in FILES]


def read(tree: ast.Module) -> Peer:
    package = next(
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGE"
    )
    differences = [
        str(ast.get_docstring(node))
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_differs_")
    ]
    return Peer(package, list(comparisons(tree, package)), differences)


def comparisons(tree: ast.Module, package: str) -> Iterator[Compared]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Case", "Pair"):
            theirs, ours = (argument.value for argument in node.args[:2])
            yield Compared(package, ast.unparse(node.func), theirs, ours.partition(":")[0])


def version(package: str) -> str:
    return re.search(rf"^{package}==(\S+)$", PINS.read_text(), re.MULTILINE)[1]


def page() -> str:
    found = peers()
    everything = [one for peer in found for one in peer.compared]
    parts = [
        INTRODUCTION,
        packages(found),
        table("Objectives", [one for one in everything if one.kind == "Case"], own_objectives()),
        table("Advantages", [one for one in everything if one.kind == "Pair"], list(ADVANTAGES)),
        table("Aggregates", [one for one in everything if one.kind == "Pair"], list(AGGREGATES)),
        "## Different on purpose\n\n" + "\n".join(f"- {text}" for peer in found for text in peer.differences) + "\n",
        LEFT_OUT,
    ]
    return "\n".join(parts)


def own_objectives() -> list[str]:
    return [name for name, entry in OBJECTIVES.all().items() if entry.function.__module__.startswith("lagbench.")]


def packages(found: list[Peer]) -> str:
    rows = [
        f"| {peer.package} | {version(peer.package)} | {of_ours(peer, 'Case')} | {of_ours(peer, 'Pair')} "
        f"| {len(peer.differences)} |"
        for peer in found
    ]
    head = (
        "| package | version | objectives | advantages and aggregates | different on purpose |",
        "|---|---|---|---|---|",
    )
    return "\n".join(["## Packages\n", *head, *rows, ""])


def of_ours(peer: Peer, kind: str) -> int:
    return len({one.ours for one in peer.compared if one.kind == kind})


def table(title: str, everything: list[Compared], names: list[str]) -> str:
    """One line for each of ours, and those that nobody ships."""
    lines, alone = [], []
    for name in sorted(names):
        theirs: dict[str, list[str]] = {}
        for one in everything:
            if one.ours == name and one.theirs not in theirs.setdefault(one.package, []):
                theirs[one.package].append(one.theirs)
        if theirs:
            told = "; ".join(f"{package}: {', '.join(f'`{t}`' for t in there)}" for package, there in theirs.items())
            lines.append(f"| `{name}` | {told} |")
        else:
            alone.append(f"`{name}`")
    nobody = [f"\nIn no package above: {', '.join(alone)}."] if alone else []
    return "\n".join([f"## {title}\n", "| ours | theirs |\n|---|---|", *lines, *nobody, ""])


if __name__ == "__main__":
    print(page(), end="")
