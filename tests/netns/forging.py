"""What an attacker on the LAN sends: advertisements from any source with any hop limit, ARP and neighbour frames."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from vrrpd.lab import Host
from vrrpd.protocol.datagram import VRRP_PROTOCOL, IPAddress
from vrrpd.protocol.packet import (
    NO_AUTHENTICATION,
    SIMPLE_PASSWORD,
    Advertisement,
    ChecksumForm,
    encode,
    internet_checksum,
)
from vrrpd.protocol.timing import Version

GROUP4, GROUP6 = IPv4Address("224.0.0.18"), IPv6Address("ff02::12")


def forged(
    source: str,
    *,
    vrid: int = 51,
    priority: int = 254,
    addresses: Sequence[str] = ("192.0.2.100",),
    destination: str | None = None,
    hop_limit: int = 255,
    version: Version = Version.V3,
    interval: int = 100,
    password: bytes | None = None,
    form: ChecksumForm = ChecksumForm.PSEUDO_HEADER,
) -> bytes:
    """A whole IP packet with an advertisement that is right in itself; ``interval`` is in centiseconds."""
    sender = ip_address(source)
    group = GROUP4 if sender.version == 4 else GROUP6
    receiver = group if destination is None else ip_address(destination)
    message = encode(
        Advertisement(
            version=version,
            vrid=vrid,
            priority=priority,
            max_advertise_interval=interval,
            addresses=tuple(map(ip_address, addresses)),
            authentication_type=NO_AUTHENTICATION if password is None else SIMPLE_PASSWORD,
            authentication_data=bytes(8) if password is None else password.ljust(8, b"\0"),
        ),
        sender,
        receiver,
        checksum_form=form,
    )
    return packet(message, sender, receiver, hop_limit)


def packet(message: bytes, source: IPAddress, destination: IPAddress, hop_limit: int = 255) -> bytes:
    """A VRRP message, right or wrong, in an IP packet."""
    if isinstance(source, IPv6Address):
        head = struct.pack("!IHBB", 0x60000000, len(message), VRRP_PROTOCOL, hop_limit)
        return head + source.packed + destination.packed + message
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(message), 0, 0, hop_limit, VRRP_PROTOCOL, 0)
    head += source.packed + destination.packed
    return head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:] + message


def arp(mac: str, sender: str, target: str, *, operation: int = 1, to_mac: str = "ff:ff:ff:ff:ff:ff") -> bytes:
    """An Ethernet frame with ARP for IPv4."""
    ours, theirs = bytes.fromhex(mac.replace(":", "")), bytes.fromhex(to_mac.replace(":", ""))
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += ours + IPv4Address(sender).packed + theirs + IPv4Address(target).packed
    return theirs + ours + b"\x08\x06" + body


class Repeater:
    """Sends packets out of a host's eth0 in the background, again and again; a context manager."""

    def __init__(self, host: Host, packets: Sequence[bytes], every: float, to_mac: str | None = None) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind(("eth0", 0))
        source = bytes.fromhex(host.mac().replace(":", ""))
        self._frames = [_frame(one, source, to_mac) for one in packets]
        self._every = every
        self._stop = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            for frame in self._frames:
                self._socket.send(frame)
                self.sent += 1
            due += self._every
            self._stop.wait(max(0.0, due - time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


def _frame(content: bytes, source: bytes, to_mac: str | None) -> bytes:
    """An IP packet in a frame to its group, or to ``to_mac``; a frame stays as it is."""
    if content[12:14] == b"\x08\x06" and content[14:16] == b"\x00\x01":
        return content
    if to_mac is not None:
        target = bytes.fromhex(to_mac.replace(":", ""))
    elif content[0] >> 4 == 6:
        target = b"\x33\x33" + content[36:40]
    else:
        target = bytes.fromhex("01005e") + (int.from_bytes(content[17:20], "big") & 0x7FFFFF).to_bytes(3, "big")
    return target + source + (b"\x86\xdd" if content[0] >> 4 == 6 else b"\x08\x00") + content
