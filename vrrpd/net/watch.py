"""Who else speaks for an address: ARP and Neighbor Discovery as other hosts send them, and the question who is there.

RFC 826, RFC 5227 (sections 1.1 and 2.4), RFC 4861 (section 4.4), RFC 4862 (section 5.4.2). A packet socket for each
interface and family, with a filter in the kernel that passes only what names a watched address and comes from another
hardware address: while nobody else speaks for them, nothing wakes up. Frames are decoded here and not believed: what a
sighting means is for somebody else to say. Knows neither routers nor the event loop.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from vrrpd.net.announce import FrameSender
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage
from vrrpd.net.sockets import Instruction, attach_filter
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.packet import internet_checksum

ETH_P_ARP: Final = 0x0806
ETH_P_IPV6: Final = 0x86DD
RECEIVE_BUFFER: Final = 1 << 16
"""Bytes: what does not fit is dropped by the kernel, and whoever sends that much has been noticed."""
MOST_FILTERED: Final = 1500
"""Addresses that the filter in the kernel can tell apart (BPF_MAXINSNS is 4096); with more, all are looked at here."""

_ANY: Final = IPv4Address(0)
_UNSPECIFIED: Final = IPv6Address(0)
_BROADCAST: Final = b"\xff" * 6
_ARP_FOR_IPV4: Final = bytes.fromhex("000108000604")
_ARP_LENGTH: Final = 42
_REQUEST, _REPLY = 1, 2
_ICMPV6: Final = 58
_NEIGHBOR_SOLICITATION, _NEIGHBOR_ADVERTISEMENT = 135, 136
_ND_LENGTH: Final = 14 + 40 + 24
_TARGET_LINK_LAYER_ADDRESS: Final = 2
_LONGEST_FRAME: Final = 256
"""Bytes of a frame that are read: all that is looked at is in front."""
_SIOCGIFHWADDR: Final = 0x8927

# Classic BPF (linux/filter.h).
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_WHOLE_PACKET: Final = 0xFFFF
_PACKET_TYPE: Final = 0xFFFFF004
_INTERFACE_INDEX: Final = 0xFFFFF008
"""What the kernel knows of a packet besides its bytes (SKF_AD_OFF)."""
_PACKET_OTHERHOST: Final = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """Another host has spoken for an address."""

    address: IPAddress
    mac: bytes
    claims: bool
    """True: it says that the address is its own. False: it asks whether somebody has it (a probe)."""


def decode_arp(frame: bytes) -> Sighting | None:
    """What an Ethernet frame with ARP says about its sender's address; None when it says nothing or is no ARP."""
    if len(frame) < _ARP_LENGTH or frame[12:14] != b"\x08\x06" or frame[14:20] != _ARP_FOR_IPV4:
        return None
    if int.from_bytes(frame[20:22], "big") not in (_REQUEST, _REPLY):
        return None
    mac, sender = frame[22:28], IPv4Address(frame[28:32])
    if sender == _ANY:
        return Sighting(IPv4Address(frame[38:42]), mac, claims=False)
    return Sighting(sender, mac, claims=True)


def decode_neighbor(frame: bytes) -> Sighting | None:
    """What an Ethernet frame with a Neighbor Advertisement, or a question of duplicate address detection, says.

    The checksum is not verified: a frame that was damaged on the way is not sent twice.
    """
    if len(frame) < _ND_LENGTH or frame[12:14] != b"\x86\xdd" or frame[14] >> 4 != 6:
        return None
    next_header, hop_limit, kind, code = frame[20], frame[21], frame[54], frame[55]
    if (next_header, hop_limit, code) != (_ICMPV6, 255, 0):
        return None
    target, mac = IPv6Address(frame[62:78]), frame[6:12]
    if kind == _NEIGHBOR_ADVERTISEMENT:
        return Sighting(target, _link_layer_address(frame) or mac, claims=True)
    if kind == _NEIGHBOR_SOLICITATION and IPv6Address(frame[22:38]) == _UNSPECIFIED:
        return Sighting(target, mac, claims=False)
    return None


def _link_layer_address(frame: bytes) -> bytes | None:
    """The target link-layer address option of a Neighbor Advertisement (RFC 4861 section 4.6.1)."""
    offset = _ND_LENGTH
    while offset + 8 <= len(frame) and frame[offset + 1] > 0:
        if frame[offset] == _TARGET_LINK_LAYER_ADDRESS:
            return frame[offset + 2 : offset + 8]
        offset += frame[offset + 1] * 8
    return None


def question(mac: bytes, address: IPAddress) -> bytes:
    """Builds the frame that asks whether another host has an address, without claiming it or changing any cache.

    IPv4: an ARP probe (RFC 5227 section 1.1). IPv6: a Neighbor Solicitation from the unspecified address, as duplicate
    address detection sends it (RFC 4862 section 5.4.2).
    """
    if isinstance(address, IPv4Address):
        return b"".join(
            (
                _BROADCAST + mac + b"\x08\x06",
                _ARP_FOR_IPV4 + b"\x00\x01",
                mac + _ANY.packed,
                bytes(6) + address.packed,
            )
        )
    low = address.packed[13:]
    destination = IPv6Address("ff02::1:ff00:0").packed[:13] + low
    body = bytes((_NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0)) + address.packed
    pseudo_header = _UNSPECIFIED.packed + destination + len(body).to_bytes(4, "big") + bytes((0, 0, 0, _ICMPV6))
    checksum = internet_checksum(pseudo_header + body)
    return b"".join(
        (
            b"\x33\x33\xff" + low + mac + b"\x86\xdd",
            b"\x60\x00\x00\x00" + len(body).to_bytes(2, "big") + bytes((_ICMPV6, 255)),
            _UNSPECIFIED.packed + destination,
            body[:2] + checksum.to_bytes(2, "big") + body[4:],
        )
    )


def watch_filter(index: int, family: Literal[4, 6], mac: bytes, addresses: Collection[IPAddress]) -> list[Instruction]:
    """Builds a classic BPF program that passes frames of others about these addresses.

    IPv4 addresses are compared whole, of IPv6 addresses the last 32 bits. Frames of VLANs are somebody else's, who may
    well use the same addresses: the kernel shows them on the trunk, too, without their tags, as meant for the VLAN's
    interface, or for another host where there is none.
    """
    high, low = int.from_bytes(mac[:4], "big"), int.from_bytes(mac[4:], "big")
    drop: Instruction = (_RETURN, 0, 0, 0)
    program: list[Instruction] = [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        (_JUMP_IF_EQUAL, 0, 1, _PACKET_OTHERHOST),
        drop,
        (_LOAD_WORD, 0, 0, _INTERFACE_INDEX),
        (_JUMP_IF_EQUAL, 1, 0, index),
        drop,
    ]
    if family == 4:
        program += [*_unless_from(22, high, low), (_LOAD_WORD, 0, 0, 28)]
        # A sender of 0.0.0.0 asks for the target.
        program += [(_JUMP_IF_EQUAL, 0, 1, 0), (_LOAD_WORD, 0, 0, 38)]
    else:
        program += [
            (_LOAD_BYTE, 0, 0, 20),
            (_JUMP_IF_EQUAL, 1, 0, _ICMPV6),
            drop,
            (_LOAD_BYTE, 0, 0, 54),
            (_JUMP_IF_EQUAL, 2, 0, _NEIGHBOR_ADVERTISEMENT),
            (_JUMP_IF_EQUAL, 1, 0, _NEIGHBOR_SOLICITATION),
            drop,
            *_unless_from(6, high, low),
            (_LOAD_WORD, 0, 0, 74),
        ]
    if len(addresses) > MOST_FILTERED:
        return [*program, (_RETURN, 0, 0, _WHOLE_PACKET)]
    for number in sorted({int(address) & 0xFFFFFFFF for address in addresses}):
        program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _WHOLE_PACKET)]
    return [*program, drop]


def _unless_from(offset: int, high: int, low: int) -> list[Instruction]:
    """Drops frames with this hardware address at an offset."""
    return [
        (_LOAD_WORD, 0, 0, offset),
        (_JUMP_IF_EQUAL, 0, 3, high),
        (_LOAD_HALF, 0, 0, offset + 4),
        (_JUMP_IF_EQUAL, 0, 1, low),
        (_RETURN, 0, 0, 0),
    ]


def hardware_addresses() -> frozenset[bytes]:
    """The Ethernet addresses of all interfaces of this network namespace: a host may answer from any of them."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFHWADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # It has just gone.
            found.add(answer[18:24])
    return frozenset(found)


class AddressWatch:
    """Hears what others say about addresses on one Ethernet interface, for one family, and can ask them.

    Raises ``OSError`` when it cannot be opened (no privilege, no such interface).
    """

    def __init__(self, index: int, family: Literal[4, 6], mac: bytes) -> None:
        self.index = index
        self.family: Literal[4, 6] = family
        self.mac = mac
        self.addresses: frozenset[IPAddress] = frozenset()
        self._decode = decode_arp if family == 4 else decode_neighbor
        # Protocol 0 hears nothing: the filter is there before the first frame is.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            attach_filter(self._socket, [(_RETURN, 0, 0, 0)])
            self._socket.bind((socket.if_indextoname(index), ETH_P_ARP if family == 4 else ETH_P_IPV6))
            self._sender = FrameSender(index)
        except BaseException:
            self._socket.close()
            raise

    def watch(self, addresses: frozenset[IPAddress]) -> None:
        """Hears from now on of these addresses and no others."""
        self.addresses = addresses
        self.listen()

    def listen(self) -> None:
        """Hears again of the addresses that are watched."""
        attach_filter(self._socket, watch_filter(self.index, self.family, self.mac, self.addresses))

    def mute(self) -> None:
        """Hears nothing until ``listen``; the kernel drops it unseen. What is waiting is thrown away."""
        attach_filter(self._socket, [(_RETURN, 0, 0, 0)])
        while self._take() is not None:
            pass  # At most what the small buffer holds: nothing new comes in.

    def receive(self) -> Sighting | Literal[False] | None:
        """The next sighting of a watched address; None for a frame that is none, False when nothing is waiting."""
        frame = self._take()
        if frame is None:
            return False
        sighting = self._decode(frame)
        if sighting is None or sighting.mac == self.mac or sighting.address not in self.addresses:
            return None
        return sighting

    def ask(self, address: IPAddress) -> None:
        """Asks whether another host has an address; a full queue or a link that is down loses the question."""
        self._sender.send(OutgoingBatch([OutgoingMessage(question(self.mac, address))]))

    def _take(self) -> bytes | None:
        try:
            return self._socket.recv(_LONGEST_FRAME)
        except OSError:
            # Nothing there, or an error of the interface (ENETDOWN), which netlink tells in full. Reading it clears it.
            return None

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the sockets; again is harmless."""
        self._socket.close()
        self._sender.close()
