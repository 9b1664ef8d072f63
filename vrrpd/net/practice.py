"""System calls that come to nothing, to have the kernel's code in the processor's caches when it counts.

A takeover is three calls: advertisements on a raw socket, addresses by netlink, frames on a packet socket. Each has a
counterpart here that goes a good part of the way through the kernel and changes nothing: a datagram that only looks for
its way (MSG_PROBE), a request that is invalid in its last field, a frame on the loopback interface that no protocol
claims. (A hop limit of 0 would not do: Linux lets such a datagram out.)
Nothing of it is seen by anybody on the network.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Final

from vrrpd.config.model import VirtualAddress
from vrrpd.net.announce import FrameSender
from vrrpd.net.netlink import AddressWriter, encode_invalid
from vrrpd.net.outgoing import OutgoingMessage
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_LOOPBACK_INDEX: Final = 1
"""The loopback interface is the first in every network namespace."""
_UNCLAIMED: Final = struct.pack("!6s6sH28x", b"\0" * 6, b"\0" * 6, 0x88B5)
"""An Ethernet frame of the type that IEEE 802 sets aside for local experiments."""


class PracticeCalls:
    """One of each; what the kernel has no socket for is left out."""

    def __init__(
        self, virtual: VirtualAddress, interface: str, index: int, source: IPAddress, group: IPAddress
    ) -> None:
        self._writer = AddressWriter()
        self._requests = [encode_invalid(virtual, index)]
        self._frames = [OutgoingMessage(_UNCLAIMED)]
        self._group = group
        self._sender: FrameSender | None = None
        self._transmitter: Transmitter | None = None
        with suppress(OSError):
            self._sender = FrameSender(_LOOPBACK_INDEX)
        with suppress(OSError):
            self._transmitter = Transmitter(interface, index, source)

    def make(self) -> None:
        """Makes each call once."""
        if self._transmitter is not None:
            self._transmitter.probe(self._group)
        self._writer.submit(self._requests)
        if self._sender is not None:
            self._sender.send(self._frames)

    def close(self) -> None:
        """Closes the sockets."""
        self._writer.close()
        if self._sender is not None:
            self._sender.close()
        if self._transmitter is not None:
            self._transmitter.close()
