"""What some routers want of the kernel, and the same laid out as system calls.

Laying out is the part of the work that can be done before its time: arrays for ``sendmmsg``, one write of netlink
requests, announcements by interface. When the time has come there are three calls to make and next to nothing between
them, which counts: after each call the interpreter's code is cold again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from vrrpd.config.model import VirtualAddress
from vrrpd.net.netlink import AddressRequests
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

if TYPE_CHECKING:
    from vrrpd.net.announce import FrameSender
    from vrrpd.net.port import RouterPort

Sent: TypeAlias = "tuple[RouterPort, OutgoingMessage]"


@dataclass(frozen=True, slots=True)
class PreparedAddress:
    """One virtual address, ready for the kernel."""

    virtual: VirtualAddress
    index: int
    install: bytes
    withdraw: bytes
    frame: bytes | None
    """The announcement; None on interfaces without ARP."""
    outgoing: OutgoingMessage | None
    """The same, ready to be sent."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One netlink message on its way, and whom to tell when the kernel refuses it."""

    port: RouterPort
    address: IPAddress
    installs: bool
    again: bool = False
    """We had installed it before: that it is there already is what we want."""
    leaves: bool = False
    """It gives the address a lifetime; one that the kernel does not want to end by itself is taken off at once."""


@dataclass(slots=True)
class Part:
    """Some addresses of a batch, and the announcements that may leave when the kernel has taken them."""

    first_message: int
    end_message: int
    requests: AddressRequests | None
    first_frame: int
    end_frame: int
    announcements: list[tuple[int, FrameSender, OutgoingBatch]]
    """By interface."""


@dataclass(slots=True)
class LaidOut:
    """A batch as system calls: all advertisements, and the first addresses. The others are laid out one part ahead."""

    advertisements: list[tuple[Transmitter, OutgoingBatch, Sequence[Sent]]]
    first: Part


@dataclass(slots=True)
class Batch:
    """What some routers want of the kernel, in the order in which it leaves."""

    advertisements: dict[Transmitter, list[Sent]] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    """For netlink."""
    pending: list[Pending | None] = field(default_factory=list)
    """Of each of these."""
    frames: list[PreparedAddress] = field(default_factory=list)
    """To announce, in the order of the messages that install them."""
    laid_out: LaidOut | None = None

    @property
    def empty(self) -> bool:
        """True when nobody wants anything."""
        return not (self.advertisements or self.messages or self.frames)
