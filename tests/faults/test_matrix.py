"""Every fault of the matrix, for the MASTER and for the BACKUP, with real daemons on real kernels."""

from __future__ import annotations

import pytest

import tests.faults.rows  # noqa: F401 (fills the list)
from tests.faults.conftest import Outcome
from tests.faults.registry import ROWS, Role

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

IN_ORDER = sorted(ROWS.values(), key=lambda row: row.alone)
"""Those that are played last are asked for last."""


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("key", [row.key for row in IN_ORDER])
def test_what_must_happen_happens(outcome: Outcome, key: str, role: Role) -> None:
    result = outcome(key, role)
    logs = "\n".join(f"--- {name} ---\n{log}" for name, log in result.logs.items())
    assert not result.unmet, "\n".join(
        [ROWS[key].title, f"done: {ROWS[key].done}", *(f"did not hold: {what}" for what in result.unmet), logs]
    )
