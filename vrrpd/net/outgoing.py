"""Many datagrams in one system call: sendmmsg(2).

A message is laid out for the kernel once (``struct mmsghdr``, with what it points to), long before it is sent. A batch
is one array with 64 bytes of each: no address is parsed for it. It is laid out ahead of its time where that is known,
and once where it is sent again and again. Knows no protocol.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from vrrpd.net.mmsg import HEADER_SIZE, Buffer, Message, MessageHeader, sendmmsg
from vrrpd.protocol.datagram import IPAddress


class OutgoingMessage:
    """One datagram, ready to be sent any number of times; ``destination`` None where the socket is bound to one."""

    __slots__ = ("_kept", "destination", "header")

    def __init__(self, data: bytes, destination: IPAddress | None = None) -> None:
        self.destination = destination
        content = ctypes.create_string_buffer(data, len(data))
        buffer = Buffer(ctypes.addressof(content), len(data))
        name = None if destination is None else ctypes.create_string_buffer(_socket_address(destination))
        # The name's buffer ends with a zero byte of its own, which is no part of it.
        name_length = 0 if name is None else len(name) - 1
        message = Message(None if name is None else ctypes.addressof(name), name_length, ctypes.addressof(buffer), 1)
        self.header = bytes(MessageHeader(message))
        self._kept = (content, buffer, name)


@dataclass(frozen=True, slots=True)
class SendError:
    """The kernel's refusal of one message of a batch."""

    position: int
    """In the batch, from 0."""
    errno: int

    def __str__(self) -> str:
        return os.strerror(self.errno)


class OutgoingBatch:
    """Datagrams that are sent together, any number of times."""

    __slots__ = ("_address", "_array", "_messages")

    def __init__(self, messages: Sequence[OutgoingMessage]) -> None:
        self._messages = tuple(messages)  # what the array points to
        self._array = bytearray().join([message.header for message in messages])
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._array)) if messages else 0

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, descriptor: int, flags: int = 0) -> list[SendError]:
        """Sends all of them, in order, without waiting, and returns those that the kernel refused. Never raises.

        A refused one does not stop those behind it, except where the queue is full: then the rest is refused alike.
        """
        errors: list[SendError] = []
        count, done = len(self._messages), 0
        while done < count:
            # The kernel takes up to 1024 at once (UIO_MAXIOV), and says so.
            sent: int = sendmmsg(descriptor, self._address + done * HEADER_SIZE, count - done, flags)
            if sent > 0:
                done += sent
                continue
            code = ctypes.get_errno()
            if code == errno.EINTR:
                continue
            last = count if code == errno.EAGAIN else done + 1
            errors += [SendError(position, code) for position in range(done, last)]
            done = last
        return errors


def _socket_address(address: IPAddress) -> bytes:
    # No port, and no scope: the socket is bound to an interface.
    if isinstance(address, IPv4Address):
        return struct.pack("=H2x4s8x", socket.AF_INET, address.packed)
    return struct.pack("=H6x16sI", socket.AF_INET6, address.packed, 0)
