"""Announcements of virtual addresses: gratuitous ARP and unsolicited Neighbor Advertisement frames, built and sent.

RFC 9568 sections 6.4.1 and 6.4.2 (errata 7947, 7949), RFC 826, RFC 4861 section 4.4. Knows neither when to announce nor
how often.
"""

from __future__ import annotations

import socket
from collections import deque
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.packet import internet_checksum

_BROADCAST: Final = b"\xff" * 6
_ALL_NODES: Final = IPv6Address("ff02::1").packed
_ALL_NODES_MAC: Final = bytes.fromhex("333300000001")
_ICMPV6: Final = 58
_NEIGHBOR_ADVERTISEMENT: Final = 136
_ROUTER_AND_OVERRIDE: Final = 0xA0
"""R and O: a virtual router is a router whether or not this node forwards, and the new owner replaces the old."""
_TARGET_LINK_LAYER_ADDRESS: Final = b"\x02\x01"


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """Builds the 42-byte Ethernet frame that tells every host on the link to find ``address`` at ``mac``.

    A broadcast request with sender and target the same; its target hardware address, which receivers of a request
    ignore, is the broadcast address, as keepalived and FRR send it.
    """
    _check(mac)
    return b"".join(
        (
            _BROADCAST + mac + b"\x08\x06",
            b"\x00\x01\x08\x00\x06\x04\x00\x01",  # Ethernet, IPv4, lengths 6 and 4, request
            mac + address.packed,
            _BROADCAST + address.packed,
        )
    )


def unsolicited_na(mac: bytes, address: IPv6Address) -> bytes:
    """Builds the 86-byte Ethernet frame of a Neighbor Advertisement to all nodes, from ``address`` about itself."""
    _check(mac)
    body = (
        bytes((_NEIGHBOR_ADVERTISEMENT, 0, 0, 0, _ROUTER_AND_OVERRIDE, 0, 0, 0))
        + address.packed
        + _TARGET_LINK_LAYER_ADDRESS
        + mac
    )
    pseudo_header = address.packed + _ALL_NODES + len(body).to_bytes(4, "big") + bytes((0, 0, 0, _ICMPV6))
    checksum = internet_checksum(pseudo_header + body)
    return b"".join(
        (
            _ALL_NODES_MAC + mac + b"\x86\xdd",
            b"\x60\x00\x00\x00" + len(body).to_bytes(2, "big") + bytes((_ICMPV6, 255)),
            address.packed + _ALL_NODES,
            body[:2] + checksum.to_bytes(2, "big") + body[4:],
        )
    )


def announcement(mac: bytes, address: IPAddress) -> bytes:
    """Builds the frame that announces an address of either family."""
    return gratuitous_arp(mac, address) if isinstance(address, IPv4Address) else unsolicited_na(mac, address)


def _check(mac: bytes) -> None:
    if len(mac) != 6:
        raise ValueError(f"hardware address has {len(mac)} bytes, expected 6 (Ethernet)")


class FrameSender:
    """Puts whole Ethernet frames on one interface; its protocol is 0, so that it never receives any.

    Raises ``OSError`` when it cannot be opened (no privilege, no such interface).
    """

    def __init__(self, index: int) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.bind((socket.if_indextoname(index), 0))
        except BaseException:
            self._socket.close()
            raise

    def send(self, frames: OutgoingBatch) -> list[SendError]:
        """Sends whole frames; what was refused is the answer, nothing is raised, and a full queue does not wait."""
        return frames.send(self._socket.fileno())

    def close(self) -> None:
        """Closes the socket; again is harmless."""
        self._socket.close()


class Pacer:
    """Frames that wait their turn on one interface where a least time between two is configured.

    Needed only for ``garp_interval`` or ``gna_interval`` above 0, one for each. Pure: the caller brings the time
    (seconds), sends what ``take`` returns, and comes back at ``deadline``.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._waiting: deque[tuple[IPAddress, OutgoingMessage]] = deque()
        self._not_before: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, address: IPAddress, frame: OutgoingMessage) -> None:
        """Puts a frame at the end of the queue."""
        self._waiting.append((address, frame))

    def cancel(self, address: IPAddress) -> None:
        """Forgets the waiting frames of an address: it is being withdrawn and must not be announced any more."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] != address)

    @property
    def deadline(self) -> float | None:
        """When ``take`` has the next frame; None while none waits, minus infinity when it can go at once."""
        if not self._waiting:
            return None
        return float("-inf") if self._not_before is None else self._not_before

    def take(self, now: float) -> OutgoingMessage | None:
        """Takes out the next frame if its time has come."""
        if not self._waiting or (self._not_before is not None and now < self._not_before):
            return None
        self._not_before = now + self.interval
        return self._waiting.popleft()[1]
