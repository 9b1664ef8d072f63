"""Many datagrams in one system call: sendmmsg(2), which Python's socket module does not have.

A message is laid out for the kernel once (``struct mmsghdr``, with what it points to), long before it is sent. Sending
a batch then copies 64 bytes for each into one array: no address is parsed and nothing is allocated. Knows no protocol.
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
from typing import Final

from vrrpd.protocol.datagram import IPAddress

MESSAGES_PER_CALL: Final = 256
"""The kernel takes 1024 (UIO_MAXIOV)."""


class _Buffer(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("buffers", ctypes.c_void_p),
        ("buffer_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MessageHeader(ctypes.Structure):
    """``struct mmsghdr``: a message and how much of it was sent."""

    _fields_ = (("message", _Message), ("sent", ctypes.c_uint))


_HEADER_SIZE: Final = ctypes.sizeof(_MessageHeader)

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_sendmmsg.restype = ctypes.c_int

# One array for all calls: the daemon has one thread that sends.
_array = ctypes.create_string_buffer(_HEADER_SIZE * MESSAGES_PER_CALL)
_array_address: Final = ctypes.addressof(_array)
_array_view: Final = memoryview(_array).cast("B")


class OutgoingMessage:
    """One datagram, ready to be sent any number of times; ``destination`` None where the socket is bound to one."""

    __slots__ = ("_kept", "destination", "header")

    def __init__(self, data: bytes, destination: IPAddress | None = None) -> None:
        self.destination = destination
        content = ctypes.create_string_buffer(data, len(data))
        buffer = _Buffer(ctypes.addressof(content), len(data))
        name = None if destination is None else ctypes.create_string_buffer(_socket_address(destination))
        # The name's buffer ends with a zero byte of its own, which is no part of it.
        name_length = 0 if name is None else len(name) - 1
        message = _Message(None if name is None else ctypes.addressof(name), name_length, ctypes.addressof(buffer), 1)
        self.header = bytes(_MessageHeader(message))
        self._kept = (content, buffer, name)


@dataclass(frozen=True, slots=True)
class SendError:
    """The kernel's refusal of one message of a batch."""

    position: int
    """In the batch, from 0."""
    errno: int

    def __str__(self) -> str:
        return os.strerror(self.errno)


def send_all(descriptor: int, messages: Sequence[OutgoingMessage]) -> list[SendError]:
    """Sends all of them, in order, without waiting, and returns those that the kernel refused. Never raises.

    A refused one does not stop those behind it, except where the queue is full: then the rest is refused alike.
    """
    errors: list[SendError] = []
    for start in range(0, len(messages), MESSAGES_PER_CALL):
        chunk = messages[start : start + MESSAGES_PER_CALL]
        headers = b"".join([message.header for message in chunk])
        _array_view[: len(headers)] = headers
        done = 0
        while done < len(chunk):
            sent: int = _sendmmsg(descriptor, _array_address + done * _HEADER_SIZE, len(chunk) - done, 0)
            if sent > 0:
                done += sent
                continue
            code = ctypes.get_errno()
            if code == errno.EINTR:
                continue
            last = len(chunk) if code == errno.EAGAIN else done + 1
            errors += [SendError(start + position, code) for position in range(done, last)]
            done = last
    return errors


def _socket_address(address: IPAddress) -> bytes:
    # No port, and no scope: the socket is bound to an interface.
    if isinstance(address, IPv4Address):
        return struct.pack("=H2x4s8x", socket.AF_INET, address.packed)
    return struct.pack("=H6x16sI", socket.AF_INET6, address.packed, 0)
