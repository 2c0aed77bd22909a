"""What is installed is lagbench and nothing else, and the command line is quick to ask for help."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built through the sdist, from what git tracks: what lies around in the tree must not get in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    subprocess.run(
        ["tar", "--null", "-T", "-", "-cf", str(out / "tree.tar")], input=tracked.stdout, cwd=ROOT, check=True
    )
    subprocess.run(["tar", "-xf", str(out / "tree.tar")], cwd=source, check=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_wheel_holds_nothing_but_lagbench(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lagbench"}


def test_wheel_holds_the_whole_tree(wheel: zipfile.ZipFile) -> None:
    held = set(wheel.namelist())
    for folder in ("harness", "objectives", "tasks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert f"lagbench/{path.relative_to(ROOT)}" in held
    for path in (ROOT / "harness" / "models" / "tiny").iterdir():
        assert f"lagbench/harness/models/tiny/{path.name}" in held
    assert {f"lagbench/harness/suites/{name}.toml" for name in ("quick", "tiny", "gsm8k")} <= held
    assert "lagbench/py.typed" in held
    for path in (ROOT / "tasks" / "lm_eval").glob("*.yaml"):
        assert f"lagbench/tasks/lm_eval/{path.name}" in held


def test_wheel_works_where_it_is_unpacked(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = (
        "import lagbench\n"
        "from lagbench.harness.config import load_suite\n"
        "print(lagbench.__file__, load_suite('tiny').name)"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert ran.stdout.split() == [str(tmp_path / "lagbench" / "__init__.py"), "tiny"], ran.stderr


def test_help_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; sys.argv = ['lagbench', '--help']\n"
        "from lagbench.harness.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'scipy', 'matplotlib', 'sympy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().endswith("[]")
    assert "lagbench run quick" in ran.stdout


@pytest.mark.parametrize("folder", ["harness", "objectives", "tasks"])
def test_flat_import_is_refused(folder: str) -> None:
    ran = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode != 0 and f"import lagbench.{folder}, not {folder}" in ran.stderr


def test_nothing_committed_is_downloaded_private_or_absolute() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if name.startswith("results/runs/") or name.endswith((".gguf", ".pt"))]
    for name in tracked:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".toml", ".md", ".json", ".csv", ".txt"}:
            assert str(ROOT.parent) + "/" not in path.read_text(), name
