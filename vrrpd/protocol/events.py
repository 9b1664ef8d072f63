"""What happens to a virtual router: everything from outside comes in as one of these. The answers: ``router``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.packet import Advertisement
from vrrpd.protocol.parameters import RouterParameters


class FaultKind(Enum):
    """Why a router cannot serve. The values are public names (``status``, metrics)."""

    INTERFACE = "interface"
    SOURCE_ADDRESS = "source_address"
    CHECK = "check"
    AWAITING_CHECK = "awaiting_check"
    """A check that decides has no result yet: nothing is wrong so far, and nobody is notified."""
    TRACKED_INTERFACE = "tracked_interface"
    INSTALL = "install"
    """The kernel refused a virtual address."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that keeps a router in FAULT."""

    kind: FaultKind
    subject: str
    """Which interface, check or address."""
    detail: str
    """The sentence for the log, subject included: ``interface eth0 is down``."""

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two faults the same one, whatever their wording."""
        return (self.kind.value, self.subject)


@dataclass(frozen=True, slots=True)
class Startup:
    """Begin (RFC 9568 section 6.4.1). The router's faults and its source address have been delivered before."""

    resume_until: float | None = None
    """A MASTER before us has handed over: until when nobody misses it. The addresses it left are still there."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Give up and go back to INIT."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give up for a successor on this very host, which goes on as MASTER before anybody misses us.

    Where that cannot be, this is a shutdown like any other.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """The time of ``VirtualRouter.deadline`` has come. Too early, it does nothing."""


@dataclass(frozen=True, slots=True)
class AdvertisementReceived:
    """An advertisement that was decoded and admitted."""

    source: IPAddress
    advertisement: Advertisement


@dataclass(frozen=True, slots=True)
class FaultsChanged:
    """All faults there are now; an empty tuple when all is well."""

    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class WeightChanged:
    """The sum of the weights of everything tracked with a weight, and what moved it."""

    weight: int
    cause: str


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """The address that our advertisements come from, which decides between equal priorities."""

    source: IPAddress


@dataclass(frozen=True, slots=True)
class AddressesTaken:
    """Virtual addresses that somebody else removed from the interface."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """New parameters for a running router (from or to priority 255, another vrid or version: that is a restart).

    What is no longer configured has been withdrawn before: another router may be about to take it over.
    """

    parameters: RouterParameters
    added: frozenset[IPAddress] = frozenset()


Event: TypeAlias = (
    Startup
    | Shutdown
    | HandOver
    | TimerExpired
    | AdvertisementReceived
    | FaultsChanged
    | WeightChanged
    | SourceChanged
    | AddressesTaken
    | Reconfigured
)
