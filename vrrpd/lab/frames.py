"""What a captured frame says about failover: VRRP, ARP and neighbour advertisements, taken apart without judging.

RFC 9568 section 5.2, RFC 3768 section 5.3, RFC 826, RFC 4861 section 4.4. Written apart from the daemon's codec, so
that a lab is a second opinion; it verifies no checksum and refuses nothing: what cannot be read as one of them is None.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address

ETH_P_IP: Final = 0x0800
ETH_P_ARP: Final = 0x0806
ETH_P_IPV6: Final = 0x86DD
IPPROTO_ICMPV6: Final = 58
IPPROTO_VRRP: Final = 112
BROADCAST_MAC: Final = "ff:ff:ff:ff:ff:ff"

_ETHERNET_HEADER: Final = 14
_IPV6_HEADER: Final = 40
_NEIGHBOUR_ADVERTISEMENT: Final = 136
_TARGET_LINK_LAYER_ADDRESS: Final = 2


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A VRRP packet as seen on the wire."""

    source: IPAddress
    destination: IPAddress
    hop_limit: int
    """TTL (IPv4) or hop limit (IPv6)."""
    version: int
    type: int
    vrid: int
    priority: int
    interval: int
    """As on the wire: centiseconds in version 3, seconds in version 2."""
    addresses: tuple[IPAddress, ...]
    payload: bytes
    """The VRRP packet itself."""


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet for IPv4 over Ethernet."""

    operation: int
    """1 request, 2 reply."""
    sender_mac: str
    sender: IPv4Address
    target_mac: str
    target: IPv4Address

    @property
    def is_gratuitous(self) -> bool:
        """Whether it tells its sender's own address (RFC 5227 calls it an announcement) and asks for nobody's."""
        return self.sender == self.target


@dataclass(frozen=True, slots=True)
class NeighbourAdvertisement:
    """An ICMPv6 neighbour advertisement and its flags."""

    source: IPv6Address
    destination: IPv6Address
    target: IPv6Address
    mac: str | None
    """The target link-layer address option."""
    router: bool
    solicited: bool
    override: bool


Content: TypeAlias = Advertisement | Arp | NeighbourAdvertisement | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that crossed a bridge."""

    time_ns: int
    """When the kernel took it from the first wire: CLOCK_REALTIME, nanoseconds."""
    data: bytes
    content: Content

    @property
    def time(self) -> float:
        """``time_ns`` in seconds, as ``time.time()`` counts them."""
        return self.time_ns / 1e9

    @property
    def destination_mac(self) -> str:
        """Where it goes."""
        return mac_text(self.data[:6])

    @property
    def source_mac(self) -> str:
        """Where it comes from."""
        return mac_text(self.data[6:12])

    @property
    def ethertype(self) -> int:
        """What it carries."""
        return int.from_bytes(self.data[12:14], "big")


def mac_text(mac: bytes) -> str:
    """A hardware address as people write it."""
    return mac.hex(":")


def parse(data: bytes) -> Content:
    """What an Ethernet frame holds, or None when that is none of our business or cut short."""
    if len(data) < _ETHERNET_HEADER:
        return None
    payload = data[_ETHERNET_HEADER:]
    try:
        match int.from_bytes(data[12:14], "big"):
            case 0x0806:
                return _arp(payload)
            case 0x0800:
                return _ipv4(payload)
            case 0x86DD:
                return _ipv6(payload)
    except (struct.error, IndexError, ValueError):
        return None
    return None


def _arp(packet: bytes) -> Arp | None:
    hardware, protocol, hardware_length, protocol_length, operation = struct.unpack_from("!HHBBH", packet)
    if (hardware, protocol, hardware_length, protocol_length) != (1, ETH_P_IP, 6, 4):
        return None
    sender_mac, sender, target_mac, target = struct.unpack_from("!6s4s6s4s", packet, 8)
    return Arp(operation, mac_text(sender_mac), IPv4Address(sender), mac_text(target_mac), IPv4Address(target))


def _ipv4(packet: bytes) -> Advertisement | None:
    header = (packet[0] & 0x0F) * 4
    length = int.from_bytes(packet[2:4], "big")
    if packet[9] != IPPROTO_VRRP:
        return None
    source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    return _vrrp(packet[header:length], source, destination, packet[8])


def _ipv6(packet: bytes) -> Content:
    length, next_header, hop_limit = struct.unpack_from("!HBB", packet, 4)
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    payload = packet[_IPV6_HEADER : _IPV6_HEADER + length]
    if next_header == IPPROTO_VRRP:
        return _vrrp(payload, source, destination, hop_limit)
    if next_header == IPPROTO_ICMPV6 and payload[0] == _NEIGHBOUR_ADVERTISEMENT:
        return _neighbour_advertisement(payload, source, destination)
    return None


def _vrrp(payload: bytes, source: IPAddress, destination: IPAddress, hop_limit: int) -> Advertisement:
    first, vrid, priority, count, word = struct.unpack_from("!BBBBH", payload)
    version = first >> 4
    # Version 2 has the authentication type in the first half of the word, version 3 the reserved bits.
    interval = word & (0x0FFF if version == 3 else 0x00FF)
    family: type[IPv4Address] | type[IPv6Address] = IPv4Address if source.version == 4 else IPv6Address
    size = 4 if source.version == 4 else 16
    listed = payload[8 : 8 + count * size]
    addresses = tuple(family(listed[at : at + size]) for at in range(0, len(listed) - size + 1, size))
    return Advertisement(
        source, destination, hop_limit, version, first & 0x0F, vrid, priority, interval, addresses, payload
    )


def _neighbour_advertisement(payload: bytes, source: IPv6Address, destination: IPv6Address) -> NeighbourAdvertisement:
    flags = payload[4]
    target = IPv6Address(payload[8:24])
    mac, at = None, 24
    while at + 8 <= len(payload) and payload[at + 1] > 0:
        if payload[at] == _TARGET_LINK_LAYER_ADDRESS:
            mac = mac_text(payload[at + 2 : at + 8])
        at += payload[at + 1] * 8
    return NeighbourAdvertisement(
        source, destination, target, mac, bool(flags & 0x80), bool(flags & 0x40), bool(flags & 0x20)
    )
