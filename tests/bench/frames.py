"""Frames for a synthetic capture: r1 is 198.18.0.1, r2 is 198.18.0.2; times in milliseconds."""

from __future__ import annotations

from ipaddress import IPv4Address

from bench.wire import Side
from vrrpd.lab.frames import Advertisement, Arp, Frame

R1 = Side("198.18.0.1", "02:00:00:00:00:01")
R2 = Side("198.18.0.2", "02:00:00:00:00:02")
GROUP = IPv4Address("224.0.0.18")


def _frame(at_ms: float, sender: Side, content: Advertisement | Arp) -> Frame:
    mac = bytes.fromhex(sender.mac.replace(":", ""))
    return Frame(round(at_ms * 1_000_000), bytes(6) + mac + bytes(2), content)


def advertisement(at_ms: float, sender: Side, vrid: int = 1, priority: int | None = None) -> Frame:
    """An advertisement of r1 (priority 200) or r2 (100)."""
    usual = 200 if sender is R1 else 100
    seen = Advertisement(
        source=IPv4Address(sender.address),
        destination=GROUP,
        hop_limit=255,
        version=3,
        type=1,
        vrid=vrid,
        priority=usual if priority is None else priority,
        interval=10,
        addresses=(),
        payload=b"",
    )
    return _frame(at_ms, sender, seen)


def announcement(at_ms: float, sender: Side, address: str) -> Frame:
    """A gratuitous ARP request."""
    ours = IPv4Address(address)
    return _frame(at_ms, sender, Arp(1, sender.mac, ours, "ff:ff:ff:ff:ff:ff", ours))


def question(at_ms: float, sender: Side, address: str) -> Frame:
    """An ordinary ARP request of somebody who has ``address``."""
    asked = Arp(1, sender.mac, IPv4Address(address), "00:00:00:00:00:00", IPv4Address("198.18.0.10"))
    return _frame(at_ms, sender, asked)
