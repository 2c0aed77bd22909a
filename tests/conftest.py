"""Shared fixtures. One thread everywhere: bit-identical results are part of what is tested."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from small_suites import LAGBENCH, ROOT

from lagbench.harness.cli import main
from lagbench.harness.config import Run

pytest.register_assert_rewrite("golden")
collect_ignore = ["plugin"]  # a package of its own; importing it here would register its objective
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real math data beside the repository; its tests are skipped only where there is no such folder."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data here: tests on real data are skipped")
    return SHARED_DATA


@pytest.fixture
def run() -> Callable[..., Run]:
    """A small run on the embedded model, any key of it changed."""

    def make(**changes: object) -> Run:
        small = {
            "objective": "policy_gradient",
            "lag": "sync",
            "seed": 0,
            "updates": 5,
            "prompts_per_update": 4,
            "responses_per_prompt": 4,
            "learning_rate": 1e-3,
            "eval_problems": 4,
            "eval_samples": 4,
        }
        return Run(**(small | changes))

    return make


@pytest.fixture
def lagbench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, run in an empty folder."""

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LAGBENCH, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=200, **options
        )

    return call


@pytest.fixture
def lagbench_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same without a process of its own, whose start costs seconds: for what ends before any cell is run."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["lagbench", *arguments])
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as errors:
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())

    return call
