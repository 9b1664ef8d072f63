"""A dataplane whose calls come to nothing, to have its code and the kernel's in the processor's caches when it counts.

A takeover is three calls: advertisements on a raw socket, addresses by netlink, frames on a packet socket. Here the
same code makes the first two, each of which goes a good part of the way through the kernel and changes nothing: a
datagram that only looks for its way (MSG_PROBE), and a request that is refused before the kernel takes its lock for the
network's configuration, which others may hold for long. The frame is laid out for the loopback interface and not sent,
since what is refused is not announced; to send it gains nothing. (A hop limit of 0 would not do: Linux lets such a
datagram out.) Nothing of it is seen by anybody on the network.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from vrrpd.config.model import VirtualAddress, VirtualRouterConfig
from vrrpd.net.batch import PreparedAddress
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import Interface
from vrrpd.net.netlink import encode_invalid
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.net.port import RouterPort
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_LOOPBACK_INDEX: Final = 1
"""The loopback interface is the first in every network namespace."""
_EXPERIMENTAL: Final = 0x88B5
"""The type of Ethernet frames that IEEE 802 sets aside for local experiments."""
_FRAME: Final = struct.pack("!6s6sH28x", b"\0" * 6, b"\0" * 6, _EXPERIMENTAL)


class PracticeDataplane(LinuxDataplane):
    """Sends, installs and announces nothing, by all the code that would do it."""

    def port(self, config: VirtualRouterConfig, on_refused: Callable[[IPAddress, str], None]) -> PracticePort:
        """The dataplane of one router, which minds no refusal: that is what was asked for."""
        return PracticePort(self, self._table, config, on_refused)

    def prepare_address(self, virtual: VirtualAddress, interface: Interface) -> PreparedAddress:
        """Builds a request that is refused, and a frame that would say nothing to anybody."""
        self.open_sender(_LOOPBACK_INDEX)
        invalid = encode_invalid(virtual, interface.index)
        return PreparedAddress(virtual, _LOOPBACK_INDEX, invalid, invalid, _FRAME, OutgoingMessage(_FRAME))

    def open_transmitter(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> Transmitter:
        """Opens a socket that only looks for the way of what it is given."""
        return _PracticeTransmitter(interface, index, source, hop_limit)


class PracticePort(RouterPort):
    """The dataplane of a router that practises."""

    refusals = 0
    """Requests that the kernel has refused: all that were made."""

    def refused(self, address: IPAddress, installs: bool, code: int) -> None:
        """Hears that the kernel refused a request, as it had to."""
        self.refusals += 1
        super().refused(address, installs, code)


class _PracticeTransmitter(Transmitter):
    def __init__(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> None:
        super().__init__(interface, index, source, hop_limit)
        self._empty: dict[IPAddress | None, OutgoingMessage] = {}

    def lay_out(self, messages: Sequence[OutgoingMessage]) -> OutgoingBatch:
        """Makes one batch of probes for the ways of these messages."""
        probes = []
        for message in messages:
            probe = self._empty.get(message.destination)
            if probe is None:
                probe = self._empty[message.destination] = OutgoingMessage(b"", message.destination)
            probes.append(probe)
        return super().lay_out(probes)

    def send(self, batch: OutgoingBatch) -> list[SendError]:
        """Probes the ways, whatever comes of it."""
        self.probe(batch)
        return []
