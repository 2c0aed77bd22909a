"""The digest of a function's source: what changes it, and what does not."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from lagbench import InputError
from lagbench.harness.registry import OBJECTIVES, SCHEDULES, TASKS
from lagbench.harness.source import definition_digest, function_digest

FILES = {
    "__init__.py": "from .loss import mine\nfrom .other import theirs\n",
    "loss.py": '''
"""A page."""
import math
from .tools import half, unused
from . import constants

SCALE = 2.0

def mine(logprobs):
    """One line."""
    return half(logprobs) * SCALE + constants.SHIFT  # the sign

def theirs(logprobs):
    return logprobs

def make(scale):
    def made(logprobs):
        return scale * logprobs
    return made
''',
    "tools.py": "def half(x):\n    return x / two()\n\ndef two():\n    return 2\n\ndef unused(x):\n    return x\n",
    "constants.py": "SHIFT = 1\n",
    "other.py": "def theirs():\n    return 0\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request) -> tuple[Path, ModuleType]:
    """A package of somebody else's, and its module of objectives."""
    name = f"somebodys_{request.node.name.partition('[')[0]}"
    folder = tmp_path / name
    folder.mkdir()
    for file, text in FILES.items():
        (folder / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder, importlib.import_module(f"{name}.loss")
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("loss.py", "* SCALE", "* -SCALE", True),
        ("loss.py", "SCALE = 2.0", "SCALE = 2", True),
        ("loss.py", "half(logprobs) * SCALE", "(half(logprobs)\n        * SCALE)", False),
        ("loss.py", "# the sign", "", False),
        ("loss.py", '"""One line."""', '"""Another\n\n    page."""', False),
        ("loss.py", '"""A page."""\n', "", False),
        ("loss.py", "return logprobs\n", "return -logprobs\n", False),  # another objective of the file
        ("loss.py", "half, unused", "half", False),
        ("loss.py", "import math", "import math, json", False),
        ("loss.py", "from .tools import half", "from .constants import SHIFT as half", True),
        ("loss.py", "SCALE = 2.0", "SCALE = 2.0\n__all__ = ['mine']", False),
        ("loss.py", "SCALE = 2.0", "SCALE = 2.0\nif SCALE:\n    SCALE = 1.0", True),  # whatever runs on import counts
        ("tools.py", "x / two()", "two() / x", True),
        ("tools.py", "return 2", "return 3", True),  # used by what it uses
        ("tools.py", "return x\n", "return -x\n", False),
        ("constants.py", "SHIFT = 1", "SHIFT = -1", True),
        ("other.py", "return 0", "return 1", False),
        ("__init__.py", "from .other import theirs", "", False),
    ],
)
def test_what_changes_the_digest(package, file: str, old: str, new: str, changed: bool) -> None:
    folder, module = package
    before = function_digest(module.mine)
    assert len(before) == 16 and function_digest(module.mine) == before
    edit(folder / file, old, new)
    assert (function_digest(module.mine) != before) is changed


@pytest.mark.parametrize(
    "use",
    [
        "def mine(logprobs):\n    from .tools import two\n    return two()\n",
        "import somebodys_test_every_import_is_followed.tools as t\ndef mine(logprobs):\n    return t.two()\n",
        "import somebodys_test_every_import_is_followed.tools\n"
        "def mine(logprobs):\n    return somebodys_test_every_import_is_followed.tools.two()\n",
        "from . import tools\ndef mine(logprobs):\n    return tools.two()\n",
        "from .tools import *\ndef mine(logprobs):\n    return two()\n",
        "from .tools import two as zwei\nTABLE = {'two': zwei}\ndef mine(logprobs):\n    return TABLE['two']()\n",
        "try:\n    from .fast import two\nexcept ImportError:\n    from .tools import two\n"
        "def mine(logprobs):\n    return two()\n",
        "from .tools import two\nclass Rule:\n    def __call__(self):\n        return two()\n"
        "def mine(logprobs, rule=Rule()):\n    return rule()\n",
    ],
)
def test_every_import_is_followed(package, use: str) -> None:
    folder, module = package
    (folder / "loss.py").write_text(use)
    before = function_digest(module.mine)
    edit(folder / "tools.py", "return 2", "return 3")
    assert function_digest(module.mine) != before


def test_what_a_function_is_made_with_counts(package) -> None:
    folder, module = package
    digests = [function_digest(module.make(scale)) for scale in (0.1, 0.9, 0.1)]
    assert digests[0] == digests[2] != digests[1]

    def wrapping(function: Callable) -> Callable:
        def wrapped(logprobs):
            return function(logprobs)

        wrapped.__module__, wrapped.__qualname__ = module.__name__, "make"
        return wrapped

    before = function_digest(wrapping(module.mine))
    edit(folder / "tools.py", "return 2", "return 3")
    assert function_digest(wrapping(module.mine)) != before


def test_a_file_that_is_no_source_counts_by_its_bytes(package) -> None:
    folder, module = package
    (folder / "loss.py").write_text("from .compiled import two\ndef mine(logprobs):\n    return two()\n")
    importlib.invalidate_caches()
    without = function_digest(module.mine)
    compiled = folder / f"compiled{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    compiled.write_bytes(b"\x7fELF")
    importlib.invalidate_caches()
    first = function_digest(module.mine)
    compiled.write_bytes(b"\x7fELF2")
    assert len({without, first, function_digest(module.mine)}) == 3


def test_a_function_of_a_notebook_has_the_source_that_python_knows(package) -> None:
    _, module = package
    module.mine.__module__ = "a_notebook"
    assert len(function_digest(module.mine)) == 16
    scope: dict = {"__name__": "a_notebook"}
    exec("def mine(logprobs): return logprobs", scope)
    with pytest.raises(InputError, match=r"a_notebook\.mine: there is no source .*; put it into a file"):
        function_digest(scope["mine"])


def test_every_registered_function_has_a_digest_of_its_own() -> None:
    entries = [entry for registry in (OBJECTIVES, TASKS, SCHEDULES) for entry in registry.all().values()]
    assert len({entry.code for entry in entries if entry.distribution == "lagbench"}) == sum(
        entry.distribution == "lagbench" for entry in entries
    )


def test_the_digest_of_a_cell_covers_what_a_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One edit in the learner, the sampler or the verifier changes it; one in a report or a command does not."""
    from lagbench.harness import source

    def digest() -> str:
        return definition_digest("lagbench.harness.sweep.cell", "work", "lagbench.harness")

    def edited(part: str, read=source._text):
        return lambda spec: (read(spec) or "") + ("\nEDITED = 1\n" if spec.name.endswith(part) else "")

    before = digest()
    for part, changes in (
        *((part, True) for part in ("learn.policy", "rollout.torch_sampler", "verify.verifier", "evaluate.metrics")),
        *((part, False) for part in ("report.rows", "cli.training", "sweep.run", "objectives.grpo")),
    ):
        monkeypatch.setattr(source, "_text", edited(part))
        assert (digest() != before) is changes, part
        monkeypatch.undo()
