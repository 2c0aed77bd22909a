"""Where Ray may be started: in network namespaces with nothing but loopback."""

import os
import shutil
import subprocess

import pytest
from loopback import in_loopback


@pytest.fixture(scope="session")
def loopback() -> None:
    """Skips where such a namespace cannot be made; in CI that is a failure."""
    able = shutil.which("unshare") and subprocess.run(in_loopback("true"), capture_output=True).returncode == 0
    if not able:
        reason = "no network namespace with loopback can be made here (unshare --net, root only)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
