"""Plays all selected rows of the matrix when the first test asks: side by side where they do not disturb each other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from bench.daemons import vrrpd
from tests.availability import unavailable
from tests.faults.play import SIDE_BY_SIDE, Case, play_all, watching
from tests.faults.registry import ROWS, Role
from tests.faults.stage import Result
from vrrpd.lab import LabUnavailable, ensure_privileges

Outcome: TypeAlias = Callable[[str, Role], Result]


@pytest.fixture(scope="session")
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """What came of a row for a role; waits until it has been played."""
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        unavailable(str(reason))
    if shutil.which("nft") is None:
        unavailable("needs nft (nftables)")
    program = vrrpd()
    cases = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "outcome" in item.fixturenames:
            key, role = item.callspec.params["key"], item.callspec.params["role"]
            assert isinstance(key, str)
            assert isinstance(role, Role)
            cases.append(Case(ROWS[key], role, program))
    with watching() as watch:
        results = play_all(cases, watch, SIDE_BY_SIDE)
        yield lambda key, role: results[key, role].result()
