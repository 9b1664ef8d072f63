"""The image under test, and the rule when these tests are skipped: where no image can be built or no lab made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.availability import unavailable
from tests.image.cluster import Cluster
from tests.image.container import podman, remove_leftovers
from vrrpd.lab import LabUnavailable, ensure_privileges

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/vrrpd:test"
TOOLS = ("podman", "runc", "mmdebstrap", "iptables", "nft")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known; ``make image-test`` sets up what it needs."""
    config.addinivalue_line("markers", "image: containers of the real image (needs root; see make image-test)")


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The image of this source, built now; what an earlier test run has left behind is removed."""
    if os.geteuid() != 0:
        unavailable("needs root to build and run the image")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        unavailable(f"needs {', '.join(missing)}: `make image-test` installs what is missing")
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        unavailable(str(reason))
    built = subprocess.run(
        [ROOT / "tools" / "build-image", "--engine", "private", "--tag", IMAGE],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    if built.returncode:
        pytest.fail(f"the image cannot be built:\n{built.stdout}", pytrace=False)
    remove_leftovers()
    yield IMAGE
    remove_leftovers()
    # Layers of earlier builds that nothing refers to any more; the newest are what makes the next build fast.
    podman("image", "prune", "--force", "--filter", "until=24h", check=False)


@pytest.fixture(scope="module")
def cluster(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes with their service, and a client."""
    built = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield built
    finally:
        built.close()
