"""The list of faults: one entry for each row of the matrix, for the tests, for ``make faults`` and for docs/faults.md.

A row is data and one function, which does the harm on a stage where r1 is MASTER and r2 is BACKUP, says what must hold
meanwhile, and makes everything whole again. What must hold at the end of every row is the stage's affair. The modules
in ``rows`` fill the list when they are imported; it knows neither daemons nor namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from tests.faults.stage import Stage

Act: TypeAlias = "Callable[[Stage], None]"

INTERVAL: Final = 0.2
"""Seconds between two advertisements, unless a row says otherwise."""


class Role(Enum):
    """Which of the two routers the fault happens to."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault."""

    key: str
    title: str
    done: str
    """What is done, in words."""
    master: str
    """What must happen when it happens to the MASTER."""
    backup: str
    """What must happen when it happens to the BACKUP."""
    act: Act
    interval: float = INTERVAL
    alone: bool = False
    """It needs the processors, or something that namespaces share: nothing else may run beside it."""
    check: str | None = None
    """Lines of a shell script that both routers track; see ``Stage.trigger``."""
    settings: tuple[str, ...] = ()
    """More lines for the virtual router's configuration; ``{directory}`` is the router's own."""
    only_vrrpd: str | None = None
    """Why it cannot be done to another daemon."""


ROWS: Final[dict[str, Row]] = {}


def row(
    key: str,
    title: str,
    *,
    done: str,
    master: str,
    backup: str,
    interval: float = INTERVAL,
    alone: bool = False,
    check: str | None = None,
    settings: tuple[str, ...] = (),
    only_vrrpd: str | None = None,
) -> Callable[[Act], Act]:
    """Put a function on the list."""

    def register(act: Act) -> Act:
        if key in ROWS:
            raise ValueError(f"there is a row {key!r} already")
        ROWS[key] = Row(key, title, done, master, backup, act, interval, alone, check, settings, only_vrrpd)
        return act

    return register
