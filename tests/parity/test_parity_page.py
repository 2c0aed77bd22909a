"""docs/parity.md and `make parity` name the same packages as the test files; runs without any of them."""

import re
from pathlib import Path

import pytest
from page import FILES, HERE, page, peers, version

ROOT = HERE.parent.parent


def test_the_page_is_made_from_the_test_files() -> None:
    assert (ROOT / "docs" / "parity.md").read_text() == page(), "python tests/parity/page.py > docs/parity.md"


def test_make_installs_every_package_and_each_is_pinned() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installed = re.search(r"^PEERS := (.*)$", makefile, re.MULTILINE)[1].split()
    packages = {peer.package for peer in peers()}
    assert packages <= {*installed, "trl"}
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version(package)) for package in [*installed, "trl"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_difference_says_what_and_whose(path: Path) -> None:
    """Read without the packages: a test named for a difference has a sentence for the page."""
    for head, docstring in re.findall(r"def (test_differs_\w+)\([^)]*\) -> None:\n    (.*)\n", path.read_text()):
        assert docstring.startswith('"""') and docstring.endswith('."""'), head
