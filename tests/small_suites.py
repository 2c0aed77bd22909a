"""Suites small enough for tests, and what is looked up in their folders."""

import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent  # of the repository
LAGBENCH = str(Path(sys.executable).with_name("lagbench"))
SMALL = ("prompts_per_update=4", "responses_per_prompt=4", "learning_rate=1e-3", "eval_problems=16", "eval_samples=4")
LAGS = "lags=6,in_flight:4"
LONGER = ("run", "quick", "objectives=asympo", LAGS, "updates=16", *SMALL, "--checkpoint-every", "0.05")


def knowing(site: Path) -> dict[str, str]:
    """This environment with one more folder of installed packages, before all that it has."""
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def lines_written(folder: Path) -> int:
    """Updates that all cells have recorded."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*/metrics.jsonl"))


def table(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's report, without what the clock has a part in."""
    rows = json.loads((folder / "report" / "report.json").read_text())["rows"]
    return [{key: value for key, value in row.items() if key != "cost"} for row in rows]
