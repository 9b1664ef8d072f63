"""A dataplane whose calls come to nothing, to have its code and the kernel's in the processor's caches when it counts.

A takeover is three calls: advertisements on a raw socket, addresses by netlink, frames on a packet socket. Here the
same code makes the same calls, each of which goes a good part of the way through the kernel and changes nothing: a
datagram that only looks for its way (MSG_PROBE), a request that is invalid in its last field, a frame on the loopback
interface that no protocol claims. (A hop limit of 0 would not do: Linux lets such a datagram out.)
Nothing of it is seen by anybody on the network.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from vrrpd.config.model import VirtualAddress
from vrrpd.net.dataplane import LinuxDataplane, PreparedAddress
from vrrpd.net.interfaces import Interface
from vrrpd.net.netlink import encode_invalid
from vrrpd.net.outgoing import OutgoingMessage, SendError
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_LOOPBACK_INDEX: Final = 1
"""The loopback interface is the first in every network namespace."""
_UNCLAIMED: Final = struct.pack("!6s6sH28x", b"\0" * 6, b"\0" * 6, 0x88B5)
"""An Ethernet frame of the type that IEEE 802 sets aside for local experiments."""


class PracticeDataplane(LinuxDataplane):
    """Sends, installs and announces nothing, by all the code that would do it."""

    def prepare_address(self, virtual: VirtualAddress, interface: Interface) -> PreparedAddress:
        """Builds a request that is refused, and a frame that nobody takes."""
        self.open_sender(_LOOPBACK_INDEX)
        invalid = encode_invalid(virtual, interface.index)
        return PreparedAddress(virtual, _LOOPBACK_INDEX, invalid, invalid, _UNCLAIMED, OutgoingMessage(_UNCLAIMED))

    def open_transmitter(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> Transmitter:
        """Opens a socket that only looks for the way of what it is given."""
        return _PracticeTransmitter(interface, index, source, hop_limit)


class _PracticeTransmitter(Transmitter):
    def __init__(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> None:
        super().__init__(interface, index, source, hop_limit)
        self._empty: dict[IPAddress | None, OutgoingMessage] = {}

    def send(self, messages: Sequence[OutgoingMessage]) -> list[SendError]:
        """Probes the ways of these messages; whatever comes of it."""
        probes = []
        for message in messages:
            probe = self._empty.get(message.destination)
            if probe is None:
                probe = self._empty[message.destination] = OutgoingMessage(b"", message.destination)
            probes.append(probe)
        self.probe(probes)
        return []
