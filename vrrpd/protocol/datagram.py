"""The IP side of a received packet: who sent it to whom, with what hop limit, and the VRRP message inside.

An IPv4 raw socket hands over the IP header, an IPv6 one does not; behind this file both look the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

from vrrpd.protocol.discard import Discard, DiscardReason

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

VRRP_PROTOCOL: Final = 112
"""IP protocol number / IPv6 next header of VRRP (RFC 9568 sections 5.1.1.4 and 5.1.2.4)."""

_MINIMUM_IPV4_HEADER: Final = 20


@dataclass(frozen=True, slots=True)
class Datagram:
    """One VRRP message with the facts of the packet that carried it."""

    source: IPAddress
    destination: IPAddress
    hop_limit: int | None
    """TTL or hop limit, 0 to 255; None where the kernel did not deliver it."""
    message: bytes
    """The VRRP message alone: no IP header, no Ethernet padding."""


def datagram_from_ipv4(packet: bytes) -> Datagram:
    """Takes an IPv4 packet apart by its own header length and total length (options allowed, padding cut off).

    Raises ``Discard`` (reason IP_HEADER) for anything that is not a whole, unfragmented IPv4 packet of protocol 112.
    """
    if len(packet) < _MINIMUM_IPV4_HEADER:
        raise Discard(DiscardReason.IP_HEADER, f"IPv4 packet has {len(packet)} bytes, expected at least 20")
    version, header_length = packet[0] >> 4, (packet[0] & 0x0F) * 4
    total_length = int.from_bytes(packet[2:4], "big")
    if version != 4 or header_length < _MINIMUM_IPV4_HEADER:
        raise Discard(
            DiscardReason.IP_HEADER,
            f"IP version is {version} with a header of {header_length} bytes, expected version 4 with at least 20",
        )
    if not header_length <= total_length <= len(packet):
        raise Discard(
            DiscardReason.IP_HEADER,
            f"IPv4 total length is {total_length}, expected {header_length} to {len(packet)}",
        )
    if packet[6] & 0x3F or packet[7]:
        raise Discard(DiscardReason.IP_HEADER, "packet is an IPv4 fragment, expected a whole packet")
    if packet[9] != VRRP_PROTOCOL:
        raise Discard(DiscardReason.IP_HEADER, f"IP protocol is {packet[9]}, expected 112")
    return Datagram(
        source=IPv4Address(packet[12:16]),
        destination=IPv4Address(packet[16:20]),
        hop_limit=packet[8],
        message=packet[header_length:total_length],
    )
