"""Who advertises, heard on the bridge: one packet socket that passes nothing but the two routers' VRRP packets.

A whole capture would drown in the rows that flood the LAN. Routers are told apart by the last byte of their hardware
address, for one of the faults changes the address that they send from. See packet(7).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass
from typing import Final

from vrrpd.lab import Bridge
from vrrpd.lab.frames import Advertisement, parse

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_PROMISCUOUS: Final = 1
_SO_TIMESTAMPNS: Final = 35
_SO_ATTACH_FILTER: Final = 26
_RECEIVE_BUFFER: Final = 4 << 20

_LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06


@dataclass(frozen=True, slots=True)
class Heard:
    """One advertisement of one of the routers."""

    time_ns: int
    """CLOCK_REALTIME, by the kernel."""
    router: int
    """The last byte of the hardware address."""
    source: str
    priority: int


class Ear:
    """Hears from the moment it exists; ``heard`` takes in what has come since."""

    def __init__(self, bridge: Bridge, routers: tuple[int, int]) -> None:
        self._heard: Final[list[Heard]] = []
        self._socket: Final = bridge.namespace.call(lambda: _open(bridge.name, routers))

    def heard(self) -> list[Heard]:
        """Everything so far, in order."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return self._heard
            content = parse(data)
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and isinstance(content, Advertisement):
                    seconds, nanoseconds = struct.unpack("@ll", value)
                    time_ns = seconds * 1_000_000_000 + nanoseconds
                    self._heard.append(Heard(time_ns, data[11], str(content.source), content.priority))

    def close(self) -> None:
        """Stop listening; again is harmless."""
        self._socket.close()


def _open(bridge: str, routers: tuple[int, int]) -> socket.socket:
    first, second = routers
    program = [
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 0, 6, 0x0800),
        (_LOAD_BYTE, 0, 0, 14 + 9),
        (_JUMP_EQUAL, 0, 4, 112),
        (_LOAD_BYTE, 0, 0, 11),
        (_JUMP_EQUAL, 1, 0, first),
        (_JUMP_EQUAL, 0, 1, second),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        code = b"".join(struct.pack("@HBBI", *instruction) for instruction in program)
        buffer = ctypes.create_string_buffer(code, len(code))
        opened.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer))
        )
        membership = struct.pack("@iHH8s", socket.if_nametoindex(bridge), _PROMISCUOUS, 0, b"")
        opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        opened.bind((bridge, _ETH_P_ALL))
    except BaseException:
        opened.close()
        raise
    return opened
