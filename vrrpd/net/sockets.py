"""Raw sockets for IP protocol 112: what a router hears on an interface, and what it says there.

RFC 9568 sections 5.1.1 and 5.1.2 (addresses, TTL and hop limit 255, groups). All sockets are non-blocking and belong to
one interface and one address family. Checks nothing of what it receives, not even a checksum: bad packets reach the
code that counts them. Knows no routers, no state, no configuration.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, TypeAlias

from vrrpd.net.incoming import HEAD, Inbox, Lengths
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.protocol.datagram import VRRP_PROTOCOL, Datagram, IPAddress, datagram_from_ipv4
from vrrpd.protocol.discard import Discard, DiscardReason

TRAFFIC_CLASS: Final = 0xC0
"""TOS / traffic class "internetwork control", as every VRRP implementation sends it."""

RECEIVE_BUFFER: Final = 1 << 20
"""Bytes of kernel memory for packets not yet read (the kernel doubles it; net.core.rmem_max is the cap without
privilege)."""

_IPV4_WITHOUT_OPTIONS: Final = 0x45
_LONGEST_PACKET: Final = 8 + 255 * 16 + 128
"""Bytes: the longest IPv6 message and, with room to spare, the longest IPv4 packet (60 + 8 + 255 * 4)."""

_CONTROL_PRIORITY: Final = 7
_BEST_UNPRIVILEGED_PRIORITY: Final = 6

# Constants of Linux (asm-generic/socket.h, linux/in.h, linux/in6.h) that Python's socket module does not name.
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_SO_RCVBUFFORCE: Final = 33
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_PACKET_INFORMATION: Final = struct.Struct("16si")

_MSG_PROBE: Final = 0x10
_SO_TIMESTAMPNS: Final = 35
_CONTROL_HEADER: Final = struct.Struct("@Nii")
"""``struct cmsghdr``: length with this header, level, type."""
_STAMPED: Final = "@Niill"
"""A control message with a ``struct timespec``: seconds and nanoseconds of the wall clock. It comes first."""
_STAMP_SPACE: Final = socket.CMSG_SPACE(struct.calcsize("@ll"))
_IPV4_FRONT: Final = 12
_IPV4_VRID: Final = 21
_IPV4_HEAD: Final = f"@4s2x4s2x{HEAD - _IPV4_FRONT}s"
"""Without identification and header checksum, which differ from packet to packet."""
_IPV6_HEAD: Final = "@xB"
"""The virtual router id."""
_SOCKADDR_IN6: Final = 28
PACKETS_PER_CALL: Final = 64

RawPacket: TypeAlias = tuple[int, Lengths]
"""Where a packet is, and how long its parts are."""

_ANCILLARY_SPACE: Final = _STAMP_SPACE + socket.CMSG_SPACE(4) + socket.CMSG_SPACE(_PACKET_INFORMATION.size)

# Classic BPF (linux/filter.h): class | size | mode, or class | operation | source.
_LOAD_BYTE_AT_X: Final = 0x50
_LOAD_CONSTANT: Final = 0x00
_LOAD_LENGTH: Final = 0x80
_LOAD_SCRATCH: Final = 0x60
_LOAD_X_CONSTANT: Final = 0x01
_LOAD_X_IPV4_HEADER_LENGTH: Final = 0xB1
_STORE_SCRATCH: Final = 0x02
_SUBTRACT_X: Final = 0x1C
_AND: Final = 0x54
_SHIFT_RIGHT: Final = 0x74
_SHIFT_RIGHT_BY_X: Final = 0x7C
_COPY_TO_X: Final = 0x07
_JUMP: Final = 0x05
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_WHOLE_PACKET: Final = 0xFFFFFFFF

Instruction: TypeAlias = tuple[int, int, int, int]
"""Code, jump if true, jump if false (both relative), constant: ``struct sock_filter``."""


def vrid_filter(family: Literal[4, 6], vrids: Iterable[int]) -> list[Instruction]:
    """Builds a classic BPF program that passes messages of these vrids, and messages too short to have one.

    A raw IPv4 socket's filter starts at the IP header, a raw IPv6 socket's at the VRRP message. The set is a bitmap in
    eight words: the program's length does not depend on it, and no jump comes near the limit of 255 instructions.
    """
    bitmap = 0
    for vrid in vrids:
        bitmap |= 1 << vrid
    words = [(word, bitmap >> (32 * word) & 0xFFFFFFFF) for word in range(8)]
    words = [(word, bits) for word, bits in words if bits]
    program: list[Instruction] = [
        (_LOAD_X_IPV4_HEADER_LENGTH if family == 4 else _LOAD_X_CONSTANT, 0, 0, 0),
        (_LOAD_LENGTH, 0, 0, 0),
        (_SUBTRACT_X, 0, 0, 0),
        (_JUMP_IF_AT_LEAST, 1, 0, 2),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_LOAD_BYTE_AT_X, 0, 0, 1),
        (_STORE_SCRATCH, 0, 0, 0),
        (_AND, 0, 0, 31),
        (_COPY_TO_X, 0, 0, 0),
        (_LOAD_SCRATCH, 0, 0, 0),
        (_SHIFT_RIGHT, 0, 0, 5),
    ]
    for position, (word, bits) in enumerate(words):
        remaining = 3 * (len(words) - 1 - position)
        program += [
            (_JUMP_IF_EQUAL, 0, 2, word),
            (_LOAD_CONSTANT, 0, 0, bits),
            (_JUMP, 0, 0, remaining + 1),
        ]
    program += [
        (_RETURN, 0, 0, 0),
        (_SHIFT_RIGHT_BY_X, 0, 0, 0),
        (_JUMP_IF_ANY_BIT, 0, 1, 1),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    return program


def attach_filter(sock: socket.socket, program: list[Instruction]) -> None:
    """Lets the kernel pass only what a classic BPF program passes; takes the place of the filter before."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
    )  # The kernel copies the program: ``code`` has to live only until here.


def _raw_socket(interface: str, family: Literal[4, 6]) -> socket.socket:
    """Opens a raw socket for protocol 112 that is tied to the interface and hears no group it has not joined."""
    sock = socket.socket(
        socket.AF_INET if family == 4 else socket.AF_INET6,
        socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        VRRP_PROTOCOL,
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        if family == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        else:
            with suppress(OSError):  # Linux 4.20 and later; without it groups reach a bound socket that joined none.
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    except BaseException:
        sock.close()
        raise
    return sock


def enlarge_receive_buffer(sock: socket.socket, size: int = RECEIVE_BUFFER) -> None:
    """Sets the receive buffer to ``size`` bytes, or as near as the kernel lets us without CAP_NET_ADMIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


@dataclass(frozen=True, slots=True)
class Ipv4Packet:
    """A packet as an IPv4 raw socket hands it over, not yet taken apart."""

    data: bytes

    def datagram(self) -> Datagram:
        """Takes it apart; raises ``Discard``."""
        return datagram_from_ipv4(self.data)


@dataclass(frozen=True, slots=True)
class Ipv6Packet:
    """A message as an IPv6 raw socket hands it over, with what the kernel says of the packet, not yet taken apart."""

    message: bytes
    ancillary: bytes
    """The control messages."""
    sender: bytes
    """``struct sockaddr_in6``."""
    flags: int

    def datagram(self) -> Datagram:
        """Takes it apart; raises ``Discard``."""
        hop_limit: int | None = None
        destination: IPv6Address | None = None
        source = IPv6Address(self.sender[8:24])
        for level, kind, data in _control_messages(self.ancillary):
            if level != socket.IPPROTO_IPV6:
                continue
            if kind == socket.IPV6_HOPLIMIT and len(data) == 4:
                (hop_limit,) = struct.unpack("=i", data)
            elif kind == socket.IPV6_PKTINFO and len(data) == _PACKET_INFORMATION.size:
                destination = IPv6Address(data[:16])
        if self.flags & socket.MSG_TRUNC:
            raise Discard(
                DiscardReason.LENGTH,
                f"message from {source} is longer than {_LONGEST_PACKET} bytes, expected at most 4088",
            )
        if destination is None:
            raise Discard(DiscardReason.IP_HEADER, f"the kernel did not say where the packet from {source} went")
        return Datagram(source, destination, hop_limit, self.message)


def _stamp(lengths: Lengths, stamped: tuple[int, int, int, int, int]) -> float | None:
    """When the kernel took a packet in, by the wall clock; None where it does not say so."""
    _, level, kind, seconds, nanoseconds = stamped
    if lengths[1] < _STAMP_SPACE or kind != _SO_TIMESTAMPNS or level != socket.SOL_SOCKET:
        return None
    return seconds + nanoseconds * 1e-9


def _control_messages(control: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level, type and data of each control message (``struct cmsghdr``)."""
    at = 0
    while at + _CONTROL_HEADER.size <= len(control):
        length, level, kind = _CONTROL_HEADER.unpack_from(control, at)
        if length < _CONTROL_HEADER.size:
            return
        yield level, kind, control[at + _CONTROL_HEADER.size : at + length]
        at += socket.CMSG_SPACE(length - _CONTROL_HEADER.size)


class Receiver:
    """Hears VRRP on one interface, for one family: unicast to our addresses, and the groups that were joined.

    A raw IPv6 socket also gets the groups that other sockets joined on the interface (``IPV6_MULTICAST_ALL`` does not
    reach unbound raw sockets): the destination has to be checked by whoever admits the packet.

    Raises ``OSError`` when it cannot be opened (no privilege, no such interface).
    """

    def __init__(self, interface: str, index: int, family: Literal[4, 6]) -> None:
        self._index = index
        self._family = family
        name, head = (0, _IPV4_HEAD) if family == 4 else (_SOCKADDR_IN6, _IPV6_HEAD)
        self._inbox = Inbox(PACKETS_PER_CALL, _LONGEST_PACKET, _ANCILLARY_SPACE, name, head, _STAMPED)
        self._socket = _raw_socket(interface, family)
        try:
            enlarge_receive_buffer(self._socket)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if family == 6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        except BaseException:
            self._socket.close()
            raise

    def join(self, group: IPAddress) -> None:
        """Joins a multicast group on the interface; again is harmless. The membership outlives the link going down."""
        try:
            self._membership(group, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise

    def leave(self, group: IPAddress) -> None:
        """Leaves a multicast group; harmless where it was never joined or the interface is gone."""
        with suppress(OSError):
            self._membership(group, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP)

    def _membership(self, group: IPAddress, option4: int, option6: int) -> None:
        if isinstance(group, IPv4Address):
            request = struct.pack("=4s4si", group.packed, b"\0\0\0\0", self._index)
            self._socket.setsockopt(socket.IPPROTO_IP, option4, request)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, option6, struct.pack("=16si", group.packed, self._index))

    def set_vrids(self, vrids: frozenset[int] | None) -> None:
        """Lets the kernel drop messages of all other vrids unseen and uncounted; None hears every vrid."""
        if vrids is not None:
            attach_filter(self._socket, vrid_filter(self._family, vrids))
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        except FileNotFoundError:
            return  # There was none.

    @property
    def exhausted(self) -> bool:
        """The last ``receive``, followed to its end, left nothing waiting."""
        return self._inbox.exhausted

    def receive(
        self, limit: int, go_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[int, Hashable, RawPacket, float | None]]:
        """Takes up to ``limit`` packets off the socket; fewer when there are no more, or when the interface is down.

        ``go_on`` is asked between two system calls.

        Of each: the virtual router id, 0 where there is none or it is behind IP options; a signature, which is equal
        for two packets only if their ``Datagram`` is; where the packet is, for ``packet``; when the kernel took it in,
        by the wall clock.
        """
        return self._receive_ipv4(limit, go_on) if self._family == 4 else self._receive_ipv6(limit, go_on)

    def _receive_ipv4(
        self, limit: int, go_on: Callable[[], bool]
    ) -> Iterator[tuple[int, Hashable, RawPacket, float | None]]:
        inbox = self._inbox
        for lengths, (front, middle, rest), stamped, place in inbox.receive(self._socket.fileno(), limit, go_on):
            length = lengths[3]
            # All but identification and header checksum. The front holds the length.
            if length <= HEAD:
                rest = rest[: length - _IPV4_FRONT] if length > _IPV4_FRONT else b""
            else:
                rest = inbox.datagram(place, lengths)[0][_IPV4_FRONT:]
            known = length > _IPV4_VRID and front[0] == _IPV4_WITHOUT_OPTIONS
            yield (
                rest[_IPV4_VRID - _IPV4_FRONT] if known else 0,
                (front, middle, rest, length),
                (place, lengths),
                _stamp(lengths, stamped),
            )

    def _receive_ipv6(
        self, limit: int, go_on: Callable[[], bool]
    ) -> Iterator[tuple[int, Hashable, RawPacket, float | None]]:
        inbox = self._inbox
        for lengths, (vrid,), stamped, place in inbox.receive(self._socket.fileno(), limit, go_on):
            message, control, sender = inbox.datagram(place, lengths)
            stamp = _stamp(lengths, stamped)
            about = control if stamp is None else control[_STAMP_SPACE:]
            yield vrid if len(message) > 1 else 0, (message, about, sender, lengths[2]), (place, lengths), stamp

    def packet(self, raw: RawPacket) -> Ipv4Packet | Ipv6Packet:
        """The packet by its parts; ask before the next one is received."""
        place, lengths = raw
        message, control, sender = self._inbox.datagram(place, lengths)
        return Ipv4Packet(message) if self._family == 4 else Ipv6Packet(message, control, sender, lengths[2])

    def fileno(self) -> int:
        """The descriptor to wait on for packets."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the socket, which leaves every group; again is harmless."""
        self._socket.close()


class Transmitter:
    """Sends VRRP from one source address on one interface, to its group or to unicast peers; never receives.

    Raises ``OSError`` when the source cannot be used (EADDRNOTAVAIL: not on this node, or an IPv6 address still
    tentative). From an address that is lost later it still sends: priority 0, so that nobody has to wait for us.
    """

    def __init__(self, interface: str, index: int, source: IPAddress, hop_limit: int = 255) -> None:
        self.source = source
        self._index = index
        self._family: Literal[4, 6] = 4 if isinstance(source, IPv4Address) else 6
        self._socket = _raw_socket(interface, self._family)
        try:
            # First of all: what arrives between here and the bind must not be kept either.
            attach_filter(self._socket, [(_RETURN, 0, 0, 0)])
            if self._family == 4:
                self._prepare_ipv4(index, hop_limit)
            else:
                self._prepare_ipv6(index, hop_limit)
            # Setting the TOS also sets a priority: this has to come after it.
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _CONTROL_PRIORITY)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _BEST_UNPRIVILEGED_PRIORITY)
            self._socket.bind(self._socket_address(source))
            # After the bind, which has made sure of the address: when that goes, a farewell can still come from it.
            transparent = (socket.IPPROTO_IP, _IP_TRANSPARENT)
            if self._family == 6:
                transparent = (socket.IPPROTO_IPV6, _IPV6_TRANSPARENT)
            with suppress(PermissionError):
                self._socket.setsockopt(*transparent, 1)
        except BaseException:
            self._socket.close()
            raise

    def _prepare_ipv4(self, index: int, hop_limit: int) -> None:
        ip = socket.IPPROTO_IP
        self._socket.setsockopt(ip, socket.IP_TTL, hop_limit)
        self._socket.setsockopt(ip, socket.IP_MULTICAST_TTL, hop_limit)
        self._socket.setsockopt(ip, socket.IP_TOS, TRAFFIC_CLASS)
        self._socket.setsockopt(ip, socket.IP_MULTICAST_LOOP, 0)
        self._socket.setsockopt(ip, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, index))

    def _prepare_ipv6(self, index: int, hop_limit: int) -> None:
        ipv6 = socket.IPPROTO_IPV6
        self._socket.setsockopt(ipv6, socket.IPV6_UNICAST_HOPS, hop_limit)
        self._socket.setsockopt(ipv6, socket.IPV6_MULTICAST_HOPS, hop_limit)
        self._socket.setsockopt(ipv6, socket.IPV6_TCLASS, TRAFFIC_CLASS)
        self._socket.setsockopt(ipv6, socket.IPV6_MULTICAST_LOOP, 0)
        self._socket.setsockopt(ipv6, socket.IPV6_MULTICAST_IF, index)

    def _socket_address(self, address: IPAddress) -> tuple[str, int] | tuple[str, int, int, int]:
        if isinstance(address, IPv4Address):
            return (str(address), 0)
        scoped = address.is_link_local or (address.is_multicast and address.packed[1] & 0x0F <= 2)
        return (str(address), 0, 0, self._index if scoped else 0)

    def lay_out(self, messages: Sequence[OutgoingMessage]) -> OutgoingBatch:
        """Makes one batch of VRRP messages, for ``send``."""
        return OutgoingBatch(messages)

    def send(self, batch: OutgoingBatch) -> list[SendError]:
        """Sends it; what was refused is the answer, nothing is raised, and a full queue does not wait."""
        return batch.send(self._socket.fileno())

    def probe(self, batch: OutgoingBatch) -> list[SendError]:
        """Has the kernel find the way for empty messages, and send nothing. One with content would be sent."""
        return batch.send(self._socket.fileno(), socket.MSG_CONFIRM | _MSG_PROBE)

    def close(self) -> None:
        """Closes the socket; again is harmless."""
        self._socket.close()
