"""The lab as a fixture; where no network namespace can be made these tests are skipped, or fail where they count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrrpd
from tests.availability import unavailable
from tests.netns.daemons import Daemons
from vrrpd.lab import Bridge, Host, Lab, LabUnavailable, ensure_privileges


@pytest.fixture(scope="session")
def privileges(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Be root, or root of a user namespace (for the rest of the test run), or else skip or fail with the reason."""
    # While we still are who we are: pytest refuses a directory that bears another user's name.
    tmp_path_factory.getbasetemp()
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        unavailable(str(reason))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a Python that is to import this source, and the packages that we have."""
    source = str(Path(vrrpd.__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": source if not inherited else os.pathsep.join([source, inherited])}


@pytest.fixture
def lab(privileges: None) -> Iterator[Lab]:
    """An empty lab, gone after the test."""
    with Lab() as built:
        yield built


@pytest.fixture
def lan(lab: Lab) -> Bridge:
    """A bridge without hosts."""
    return lab.bridge("lan")


@pytest.fixture
def r1(lab: Lab, lan: Bridge) -> Host:
    """A host on the bridge: 192.0.2.1, 2001:db8::1."""
    host = lab.host("r1")
    host.connect(lan, "eth0", "192.0.2.1/24", "2001:db8::1/64")
    return host


@pytest.fixture
def r2(lab: Lab, lan: Bridge) -> Host:
    """Another host on the bridge: 192.0.2.2, 2001:db8::2."""
    host = lab.host("r2")
    host.connect(lan, "eth0", "192.0.2.2/24", "2001:db8::2/64")
    return host


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    """Starts daemons; none of them may ever log a traceback."""
    started = Daemons(tmp_path)
    yield started
    started.check()
