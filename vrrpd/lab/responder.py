"""The far end of the probe: answers a UDP datagram with its first 8 bytes and a name, from the address that was asked.

``python responder.py PORT NAME`` on every router; it prints ``ready`` when it hears. Standard library only: it must
start fast. An address that comes and goes needs no new socket: it listens on the wildcard address and takes the reply's
source from the request (IP_PKTINFO, IPV6_PKTINFO: ip(7), ipv6(7)).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
from typing import Final

SEQUENCE_LENGTH: Final = 8
"""Bytes at the start of a request that come back in the reply."""

IP_PKTINFO: Final = 8
IPV6_PKTINFO: Final = 50
IPV6_RECVPKTINFO: Final = 49


def answer(listener: socket.socket, name: bytes) -> None:
    """Answer one request; one that came to an address which has gone since is not answered."""
    request, ancillary, _, client = listener.recvmsg(64, 128)
    reply_from = []
    for level, kind, value in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, _, address = struct.unpack("@i4s4s", value)
            # Interface 0: the route decides where the reply leaves.
            reply_from.append((level, kind, struct.pack("@i4s4s", 0, address, address)))
        elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            reply_from.append((level, kind, value))
    with contextlib.suppress(OSError):
        listener.sendmsg([request[:SEQUENCE_LENGTH] + name], reply_from, 0, client)


def listen(port: int) -> list[socket.socket]:
    """A socket for each family that this machine has."""
    listeners = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    listeners[0].setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    listeners[0].bind(("", port))
    with contextlib.suppress(OSError):
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        listener.bind(("::", port))
        listeners.append(listener)
    return listeners


def main(port: int, name: str) -> None:
    """Answer until killed."""
    listeners = listen(port)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select(listeners, [], [])
        for listener in ready:
            answer(listener, name.encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
