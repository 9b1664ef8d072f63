"""The four states of a virtual router, each with its own timers.

A state that carries its timers cannot hold another state's: leaving it is cancelling them. All times are the caller's
clock in float seconds; ``deadline`` is when the state wants to be called again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import Fault


@dataclass(frozen=True, slots=True)
class Init:
    """Not started, or shut down (RFC 9568 section 6.4.1)."""

    name: ClassVar[StateName] = StateName.INIT

    @property
    def deadline(self) -> float | None:
        """Never: only Startup leads out."""
        return None


@dataclass(frozen=True, slots=True)
class Backup:
    """Watching the master (RFC 9568 section 6.4.2)."""

    name: ClassVar[StateName] = StateName.BACKUP

    master_down_timer: float
    """When the master counts as gone."""
    master_adver_interval: int
    """Centiseconds: our own until an accepted advertisement says otherwise (version 3 only)."""
    preempt_delay_until: float | None = None
    """Until when lower-priority advertisements still count; None while none was heard."""
    master: IPAddress | None = None
    """Who sent the last accepted advertisement."""
    master_priority: int | None = None

    @property
    def deadline(self) -> float | None:
        """The master-down timer."""
        return self.master_down_timer


@dataclass(frozen=True, slots=True)
class Master:
    """Serving the addresses (RFC 9568 section 6.4.3)."""

    name: ClassVar[StateName] = StateName.MASTER

    adver_timer: float
    """When the next advertisement is due."""
    second_round: float | None = None
    """When the addresses are announced once more after becoming MASTER."""
    refresh: float | None = None
    """When the next periodic announcement is due."""
    lower_priority_round: float | None = None
    """When they are announced once more after a losing advertisement."""
    lower_priority_answered: float = float("-inf")
    """When the last losing advertisement led to announcements."""

    @property
    def announcement_deadline(self) -> float | None:
        """The earliest of its timers but the advertisement's; None where only that one runs."""
        earliest = self.second_round
        if self.refresh is not None and (earliest is None or self.refresh < earliest):
            earliest = self.refresh
        if self.lower_priority_round is not None and (earliest is None or self.lower_priority_round < earliest):
            earliest = self.lower_priority_round
        return earliest

    @property
    def deadline(self) -> float | None:
        """The earliest of its timers."""
        announcement = self.announcement_deadline
        return self.adver_timer if announcement is None else min(self.adver_timer, announcement)


@dataclass(frozen=True, slots=True)
class Faulty:
    """Out of service until every fault is gone: keepalived's FAULT, unknown to the RFC."""

    name: ClassVar[StateName] = StateName.FAULT

    faults: tuple[Fault, ...]

    @property
    def deadline(self) -> float | None:
        """Never: only a change of the faults leads out."""
        return None


State: TypeAlias = Init | Backup | Master | Faulty
