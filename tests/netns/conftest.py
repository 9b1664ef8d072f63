"""The lab as a fixture, and the rule when these tests are skipped: where no network namespace can be made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vrrpd.lab import Lab, LabUnavailable, ensure_privileges


@pytest.fixture(scope="session")
def privileges() -> None:
    """Be root, or root of a user namespace (for the rest of the test run), or skip with the reason."""
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def lab(privileges: None) -> Iterator[Lab]:
    """An empty lab, gone after the test."""
    with Lab() as built:
        yield built
