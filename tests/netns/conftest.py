"""The lab as a fixture, and the rule when these tests are skipped: where no network namespace can be made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrrpd
from vrrpd.lab import Lab, LabUnavailable, ensure_privileges


@pytest.fixture(scope="session")
def privileges(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Be root, or root of a user namespace (for the rest of the test run), or skip with the reason."""
    # While we still are who we are: pytest refuses a directory that bears another user's name.
    tmp_path_factory.getbasetemp()
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        pytest.skip(str(reason))


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
