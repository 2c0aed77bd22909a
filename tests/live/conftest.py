"""Where Ray may be started: in network namespaces with nothing but loopback."""

import shutil
import subprocess

import pytest
from loopback import in_loopback


@pytest.fixture(scope="session")
def loopback() -> None:
    """Skips where such a namespace cannot be made, and says so."""
    able = shutil.which("unshare") and subprocess.run(in_loopback("true"), capture_output=True).returncode == 0
    if not able:
        pytest.skip("no network namespace with loopback can be made here (unshare --net, root only)")
