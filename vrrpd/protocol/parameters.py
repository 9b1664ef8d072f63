"""What one virtual router is told: the parameters of RFC 9568 section 6.1 and keepalived's additions to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.timing import DEFAULT_DOWN_ADVERTISEMENTS, Version

OWNER_PRIORITY: Final = 255
"""The priority of the router that owns the addresses (RFC 9568 section 5.2.4)."""
LOWEST_PRIORITY: Final = 1
HIGHEST_PRIORITY: Final = 254
"""The bounds of everyone else, however much weight checks add or take (RFC 9568 section 6.1)."""


@dataclass(frozen=True, slots=True)
class AnnouncementTimes:
    """When addresses are announced and how often; seconds, counts for each address. Defaults as keepalived's."""

    master_repeat: int = 5
    master_delay: float = 5.0
    """From becoming MASTER to a second round; 0 for none."""
    refresh: float = 0.0
    """Between rounds while MASTER; 0 for none."""
    refresh_repeat: int = 1
    lower_priority_repeat: int = 5
    """In answer to a losing advertisement; 0 for none."""
    lower_priority_delay: float = 5.0
    """From that answer to a second round; 0 for none."""


@dataclass(frozen=True, slots=True)
class RouterParameters:
    """The configuration of one virtual router as far as the protocol cares."""

    vrid: int
    version: Version
    priority: int
    """1 to 255 as configured, before tracked weights."""
    max_advertise_interval: int
    """Centiseconds between our own advertisements."""
    addresses: tuple[IPAddress, ...]
    """Advertised addresses, in order."""
    preempt: bool = True
    preempt_delay: float = 0.0
    """Seconds from the first lower-priority advertisement heard as BACKUP to the moment they no longer count."""
    owner_starts_as_master: bool = True
    """False for an address owner with an explicit ``state BACKUP``: it waits like everybody else."""
    advertisement_phase: float | None = None
    """Seconds by which our advertisements follow the multiples of their interval on the router's clock, 0 and more.

    Routers of one daemon that have different phases never come all at once, neither to their master nor, when that is
    gone, to their backup; those of the same phase share a wake-up. Only one of the first two intervals of a MASTER is
    shorter for it. None: an interval after the first.
    """
    down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS
    answer_lower_priority: bool = True
    """Answer a losing advertisement at once (RFC 9568 section 6.4.3)."""
    advertise_before_yielding: bool = False
    """Send one more advertisement before giving way, so that the new master announces itself again."""
    announcements: AnnouncementTimes = field(default_factory=AnnouncementTimes)

    @property
    def is_owner(self) -> bool:
        """True for the router that has the addresses as its own."""
        return self.priority == OWNER_PRIORITY

    @property
    def preempts(self) -> bool:
        """True for a router that takes over from a lower priority; an address owner always does."""
        return self.preempt or self.is_owner

    def effective_priority(self, weight: int) -> int:
        """The priority with tracked weights added, kept within 1 to 254; the owner's 255 never moves."""
        if self.is_owner:
            return OWNER_PRIORITY
        return min(HIGHEST_PRIORITY, max(LOWEST_PRIORITY, self.priority + weight))
