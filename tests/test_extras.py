"""Without an extra, asking for what it is for ends in one line that names the command to install."""

from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest

from lagbench.harness import extras

ASKED = [  # a module that is not there, the command that needs it, and the extra
    ("ray", ("run", "quick", "executor=ray"), "executor=ray needs an extra; run: pip install 'lagbench[ray]'"),
]


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


def test_settings_of_a_cluster(lagbench_here: Callable) -> None:
    ran = lagbench_here("run", "quick", "address=head:6379")
    assert ran.returncode == 2 and ran.stderr == "error: address=head:6379 is of a Ray cluster: add executor=ray\n"
    ran = lagbench_here("probe", "quick", "executor=ray")
    assert ran.returncode == 2 and ran.stderr.startswith("error: executor=ray: a probe runs on this machine alone")
