"""Many datagrams in one system call: recvmmsg(2), into buffers that are there for good. Knows no protocol."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from vrrpd.net.mmsg import HEADER_SIZE, Buffer, Message, MessageHeader, recvmmsg

_LENGTHS: Final = struct.Struct(
    f"{MessageHeader.message.offset + Message.name_length.offset}x"
    f"I{Message.control_length.offset - Message.name_length.offset - 4}x"
    f"N{Message.flags.offset - Message.control_length.offset - ctypes.sizeof(ctypes.c_size_t)}x"
    f"i{MessageHeader.length.offset - Message.flags.offset - 4}x"
    f"I{HEADER_SIZE - MessageHeader.length.offset - 4}x"
)
"""Of one ``struct mmsghdr``: the lengths of name and control, the flags, the length of the data."""

Lengths: TypeAlias = tuple[int, int, int, int]
"""Those four."""


HEAD: Final = 64
"""Bytes of every datagram that are taken out for all of a batch at once."""


class Inbox:
    """Room for ``count`` datagrams of up to ``size`` bytes, with ``control`` and ``name`` bytes about each.

    ``head`` and ``about`` say how the first ``HEAD`` bytes of a datagram, and the first bytes of its control messages,
    are taken apart: all of a batch in one go, which costs a fraction of looking at them one by one.
    """

    def __init__(self, count: int, size: int, control: int, name: int, head: str, about: str) -> None:
        self.exhausted = True
        """The last ``receive`` left nothing waiting."""
        self._count, self._size, self._control, self._name = count, size, control, name
        self._data_area = ctypes.create_string_buffer(count * size)
        self._control_area = ctypes.create_string_buffer(count * control)
        self._name_area = ctypes.create_string_buffer(count * max(name, 1))
        self._buffers = (Buffer * count)()
        headers = (MessageHeader * count)()
        for position in range(count):
            self._buffers[position] = Buffer(ctypes.addressof(self._data_area) + position * size, size)
            headers[position].message = Message(
                ctypes.addressof(self._name_area) + position * name if name else None,
                name,
                ctypes.addressof(self._buffers) + position * ctypes.sizeof(Buffer),
                1,
                ctypes.addressof(self._control_area) + position * control,
                control,
            )
        self._headers = headers
        self._address = ctypes.addressof(headers)
        self._fresh = bytes(headers)
        self._header_view = memoryview(headers).cast("B")
        self._data = memoryview(self._data_area).cast("B")
        self._controls = memoryview(self._control_area).cast("B")
        self._names = memoryview(self._name_area).cast("B")
        self._head = _padded(head, size)
        self._about = _padded(about, control)

    def receive(
        self, descriptor: int, limit: int, go_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[Lengths, tuple[Any, ...], tuple[Any, ...], int]]:
        """Takes up to ``limit`` datagrams off a non-blocking socket, as long as ``go_on`` says so between two calls.

        Of each: its lengths, its head and what is about it, taken apart, and its place for ``datagram``, which is good
        until the next one is asked for. What is behind the lengths is left over from earlier datagrams. Fewer where
        there are no more (``exhausted``), or where the socket has an error, which reading it clears.
        """
        self.exhausted = False
        while limit > 0 and go_on():
            wanted = min(limit, self._count)
            # The kernel writes what it used over what it may use.
            self._header_view[:] = self._fresh
            received: int = recvmmsg(descriptor, self._address, wanted, 0, None)
            if received <= 0:
                self.exhausted = True
                return
            yield from zip(
                _LENGTHS.iter_unpack(self._header_view[: received * HEADER_SIZE]),
                self._head.iter_unpack(self._data[: received * self._size]),
                self._about.iter_unpack(self._controls[: received * self._control]),
                range(received),
                strict=True,
            )
            limit -= received
            if received < wanted:
                self.exhausted = True
                return

    def datagram(self, place: int, lengths: Lengths) -> tuple[bytes, bytes, bytes]:
        """A datagram that was just received: data, control messages and name."""
        name_length, control_length, _, length = lengths
        at, about, of = place * self._size, place * self._control, place * self._name
        return (
            bytes(self._data[at : at + length]),
            bytes(self._controls[about : about + control_length]),
            bytes(self._names[of : of + name_length]),
        )


def _padded(layout: str, size: int) -> struct.Struct:
    return struct.Struct(f"{layout}{size - struct.calcsize(layout)}x")
