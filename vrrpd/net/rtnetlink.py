"""Takes rtnetlink messages about interfaces and addresses apart: bytes in, values out.

Written out by hand (linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h) because a takeover makes the
kernel report every address it installs while advertisements are due: these functions need about 10 microseconds for a
message where a general library needs 150 to 400. Attributes that are not known here are skipped. Opens no sockets.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from vrrpd.config.model import IPAddress
from vrrpd.net.interfaces import Interface, InterfaceAddress

NEW_LINK: Final = 16
DELETE_LINK: Final = 17
GET_LINK: Final = 18
NEW_ADDRESS: Final = 20
DELETE_ADDRESS: Final = 21
GET_ADDRESS: Final = 22
ERROR: Final = 2
DONE: Final = 3
REQUEST: Final = 0x001
DUMP_INTERRUPTED: Final = 0x010
DUMP: Final = 0x300
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400

NO_DAD: Final = 0x002
NO_PREFIX_ROUTE: Final = 0x200
_SECONDARY: Final = 0x001
_DAD_FAILED: Final = 0x008
_DEPRECATED: Final = 0x020
_TENTATIVE: Final = 0x040
_PERMANENT: Final = 0x080

FOREVER: Final = 0xFFFFFFFF
"""The kernel's number of seconds for a lifetime without an end."""

ADDRESS_PROTOCOL: Final = 112
"""IFA_PROTO of the addresses this program installs: its mark, shown by ``ip address`` as ``proto``."""

ADDRESS_PRIORITY: Final = 112_112
"""IFA_RT_PRIORITY of the addresses this program installs where the kernel has no IFA_PROTO: the mark, and the metric of
the subnet's route if the prefix has one."""

HEADER: Final = struct.Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence number, port."""
SEQUENCE_OFFSET: Final = 8
BODY: Final = HEADER.size

_LINK: Final = struct.Struct("=BxHiII")
"""``struct ifinfomsg``: family, hardware type, index, flags, change."""
_ADDRESS: Final = struct.Struct("=BBBBi")
"""``struct ifaddrmsg``: family, prefix length, flags, scope, index."""
_INDEX_OFFSET: Final = BODY + 4
_ATTRIBUTE: Final = struct.Struct("=HH")
_ATTRIBUTE_TYPE: Final = 0x3FFF
_NUMBER: Final = struct.Struct("=I")
_LIFETIMES: Final = struct.Struct("=II")

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_OPERSTATE: Final = 16
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_LABEL: Final = 3
_IFA_BROADCAST: Final = 4
_IFA_CACHEINFO: Final = 6
_IFA_FLAGS: Final = 8
_CACHE_INFORMATION: Final = struct.Struct("=HHIIII")
"""The attribute with lifetimes: its length and type, preferred, valid, and two times that the kernel fills in."""
_FLAGS: Final = struct.Struct("=HHI")
_IFA_RT_PRIORITY: Final = 9
_IFA_PROTO: Final = 11

_IFF_UP: Final = 0x1
_IFF_BROADCAST: Final = 0x2
_IFF_LOOPBACK: Final = 0x8
_IFF_RUNNING: Final = 0x40
_IFF_NOARP: Final = 0x80
_IFF_MULTICAST: Final = 0x1000
_IFF_LOWER_UP: Final = 0x10000

_OPERATIONAL_STATES: Final = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")


_NO_FAMILY: Final = bytes([socket.AF_UNSPEC])
_MALFORMED: Final = (struct.error, IndexError, ValueError)
"""What comes of taking apart what no kernel sends."""


class Message(NamedTuple):
    """One netlink message: what its header says, and all its bytes, header included."""

    kind: int
    flags: int
    sequence: int
    data: bytes


def split(data: bytes) -> Iterator[Message]:
    """Cuts what one read returned into messages; stops at one that is cut off."""
    offset = 0
    while offset + BODY <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < BODY or offset + length > len(data):
            return
        yield Message(kind, flags, sequence, data[offset : offset + length])
        offset += (length + 3) & ~3


def error_of(message: bytes) -> int:
    """Reads the errno (0: success) of an ``ERROR`` message."""
    return -int.from_bytes(message[BODY : BODY + 4], sys.byteorder, signed=True)


def as_replacement(
    message: bytes, *, preferred: int = FOREVER, valid: int = FOREVER, flags: int | None = None
) -> bytes:
    """Makes of a request that adds an address one that changes it where it is: its lifetimes in seconds, its flags.

    Of two attributes of a kind the kernel takes the last one.
    """
    more = _CACHE_INFORMATION.pack(_CACHE_INFORMATION.size, _IFA_CACHEINFO, preferred, valid, 0, 0)
    if flags is not None:
        more += _FLAGS.pack(_FLAGS.size, _IFA_FLAGS, flags)
    _, kind, _, sequence, port = HEADER.unpack_from(message)
    length = len(message) + len(more)
    return HEADER.pack(length, kind, REQUEST | CREATE | REPLACE, sequence, port) + message[HEADER.size :] + more


def is_bridge_port(message: bytes) -> bool:
    """Tells whether a link message is about a bridge's port and not about the interface itself.

    Leaving a bridge is reported as ``DELETE_LINK`` of family AF_BRIDGE.
    """
    return message[BODY : BODY + 1] != _NO_FAMILY


def interface_index(message: bytes) -> int:
    """Reads the interface's index of a link or address message."""
    return int.from_bytes(message[_INDEX_OFFSET : _INDEX_OFFSET + 4], sys.byteorder)


def link_name(message: bytes) -> str | None:
    """Reads the interface's name of a link message where it comes first, as the kernel puts it; else None."""
    offset = BODY + _LINK.size
    if len(message) < offset + _ATTRIBUTE.size:
        return None
    length, kind = _ATTRIBUTE.unpack_from(message, offset)
    return _text(message[offset + _ATTRIBUTE.size : offset + length]) if kind == _IFLA_IFNAME else None


def _attributes(message: bytes, offset: int) -> dict[int, bytes]:
    found = {}
    end = len(message)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & _ATTRIBUTE_TYPE] = message[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="surrogateescape")


def _number(data: bytes | None) -> int | None:
    return None if data is None else int(_NUMBER.unpack(data)[0])


def decode_interface(message: bytes) -> Interface | None:
    """Decodes ``NEW_LINK``; None where it does not describe an interface (wireless events) or is malformed."""
    try:
        return _interface(message)
    except _MALFORMED:
        return None


def _interface(message: bytes) -> Interface | None:
    _, _, index, flags, _ = _LINK.unpack_from(message, BODY)
    attributes = _attributes(message, BODY + _LINK.size)
    name = attributes.get(_IFLA_IFNAME)
    if name is None:
        return None
    state = attributes.get(_IFLA_OPERSTATE, b"\0")[0]
    return Interface(
        index=index,
        name=_text(name),
        mac=attributes.get(_IFLA_ADDRESS, b""),
        mtu=_number(attributes.get(_IFLA_MTU)) or 0,
        admin_up=bool(flags & _IFF_UP),
        carrier=flags & (_IFF_RUNNING | _IFF_LOWER_UP) == (_IFF_RUNNING | _IFF_LOWER_UP),
        operational_state=_OPERATIONAL_STATES[state] if state < len(_OPERATIONAL_STATES) else str(state),
        broadcast_capable=bool(flags & _IFF_BROADCAST),
        multicast_capable=bool(flags & _IFF_MULTICAST),
        arp=not flags & _IFF_NOARP,
        is_loopback=bool(flags & _IFF_LOOPBACK),
    )


def decode_address(message: bytes) -> InterfaceAddress | None:
    """Decodes ``NEW_ADDRESS`` and ``DELETE_ADDRESS``; None where no IPv4 or IPv6 address can be read."""
    try:
        return _interface_address(message)
    except _MALFORMED:
        return None


def _interface_address(message: bytes) -> InterfaceAddress | None:
    family, prefix_length, flags, scope, index = _ADDRESS.unpack_from(message, BODY)
    attributes = _attributes(message, BODY + _ADDRESS.size)
    remote = attributes.get(_IFA_ADDRESS)
    local = attributes.get(_IFA_LOCAL, remote)
    if local is None or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    if _IFA_FLAGS in attributes:
        (flags,) = _NUMBER.unpack(attributes[_IFA_FLAGS])  # All 32 bits; the header has room for 8.
    preferred, valid = FOREVER, FOREVER
    if _IFA_CACHEINFO in attributes:
        preferred, valid = _LIFETIMES.unpack_from(attributes[_IFA_CACHEINFO])
    protocol = attributes.get(_IFA_PROTO, b"\0")[0]
    broadcast = attributes.get(_IFA_BROADCAST)
    label = attributes.get(_IFA_LABEL)
    return InterfaceAddress(
        index=index,
        address=_address(family, local),
        prefix_length=prefix_length,
        scope=scope,
        secondary=bool(flags & _SECONDARY),
        tentative=bool(flags & _TENTATIVE),
        dad_failed=bool(flags & _DAD_FAILED),
        deprecated=bool(flags & _DEPRECATED),
        permanent=bool(flags & _PERMANENT),
        no_prefix_route=bool(flags & NO_PREFIX_ROUTE),
        ours=protocol == ADDRESS_PROTOCOL or _number(attributes.get(_IFA_RT_PRIORITY)) == ADDRESS_PRIORITY,
        peer=None if remote is None or remote == local else _address(family, remote),
        label=None if label is None else _text(label),
        broadcast=None if broadcast is None else IPv4Address(broadcast),
        preferred_lifetime=None if preferred == FOREVER else preferred,
        valid_lifetime=None if valid == FOREVER else valid,
        protocol=protocol,
    )


def _address(family: int, packed: bytes) -> IPAddress:
    return IPv4Address(packed) if family == socket.AF_INET else IPv6Address(packed)
