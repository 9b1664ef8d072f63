"""A storm on the LAN: ``storm.py junk|arp INTERFACE COUNT RATE`` sends so many frames, so many a second.

``junk``: VRRP packets for virtual router id 51 that no router may take: cut off, damaged, of another version, from
afar, of no interval, without addresses, noise. ``arp``: requests for the virtual address and for others, from many
senders. Prints how many seconds it took. Standard library only: it must start fast.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import time

GROUP = "224.0.0.18"
VIP = "192.0.2.100"
BATCH = 50
"""Frames between two looks at the clock."""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(payload: bytes, source: str, ttl: int = 255) -> bytes:
    """A VRRP packet to the group."""
    ends = socket.inet_aton(source) + socket.inet_aton(GROUP)
    header = struct.pack("!BBHHHBBH8s", 0x45, 0xC0, 20 + len(payload), 0, 0, ttl, 112, 0, ends)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def vrrp(source: str, first: int = 0x31, priority: int = 254, count: int = 1, interval: int = 20) -> bytes:
    """A version 3 advertisement with a right checksum; a better priority than anybody's, if it were taken."""
    message = struct.pack("!BBBBHH4s", first, 51, priority, count, interval, 0, socket.inet_aton(VIP))
    pseudo = socket.inet_aton(source) + socket.inet_aton(GROUP) + struct.pack("!BBH", 0, 112, len(message))
    return message[:6] + struct.pack("!H", checksum(pseudo + message)) + message[8:]


def junk(mac: bytes, noise: random.Random) -> list[bytes]:
    """Frames of all kinds of junk."""
    frames = []
    for number in range(20):
        source = f"192.0.2.{30 + number}"
        good = vrrp(source)
        for packet in (
            ipv4(good, source, ttl=64),
            ipv4(good[:6] + b"\0\0" + good[8:], source),
            ipv4(good[:7], source),
            ipv4(good[:8], source),
            ipv4(vrrp(source, first=0x21), source),
            ipv4(vrrp(source, first=0x41), source),
            ipv4(vrrp(source, first=0x32), source),
            ipv4(vrrp(source, count=0), source),
            ipv4(vrrp(source, count=200), source),
            ipv4(vrrp(source, interval=0), source),
            ipv4(bytes([0x31, 51]) + noise.randbytes(noise.randrange(1, 900)), source),
        ):
            frames.append(b"\x01\x00\x5e\x00\x00\x12" + mac + b"\x08\x00" + packet)
    return frames


def arp(mac: bytes) -> list[bytes]:
    """Broadcast requests, a third of them for the virtual address."""
    frames = []
    for number in range(180):
        target = VIP if number % 3 == 0 else f"192.0.2.{number + 1}"
        sender = f"192.0.2.{30 + number % 60}"
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(sender)
        frames.append(b"\xff" * 6 + mac + b"\x08\x06" + body + bytes(6) + socket.inet_aton(target) + bytes(18))
    return frames


def main(kind: str, interface: str, count: int, rate: int) -> None:
    """Send them."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        mac = sender.getsockname()[4]
        frames = junk(mac, random.Random(1)) if kind == "junk" else arp(mac)
        began = time.monotonic()
        for number in range(count):
            if number % BATCH == 0:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
            sender.send(frames[number % len(frames)])
    print(f"sent {count} in {time.monotonic() - began:.2f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
