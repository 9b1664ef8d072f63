"""The golden frames and receive vectors of ``vectors.json``, typed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import Datagram, IPAddress, datagram_from_ipv4
from vrrpd.protocol.discard import DiscardReason
from vrrpd.protocol.packet import Advertisement, ChecksumForm
from vrrpd.protocol.timing import Version


@dataclass(frozen=True)
class Golden:
    """A frame as other software sends it."""

    name: str
    packet: bytes
    """From the IP header on."""
    advertisement: Advertisement
    source: IPAddress
    destination: IPAddress
    hop_limit: int
    form: ChecksumForm


@dataclass(frozen=True)
class Vector:
    """A packet to receive, who receives it, and what must come of it."""

    name: str
    packet: bytes
    """From the IP header on."""
    policy: AdmissionPolicy
    vrid: int
    reason: DiscardReason | None
    """None for a packet to accept."""


def datagram_of(packet: bytes) -> Datagram:
    """Takes a whole IPv4 or IPv6 packet apart; IPv6 is parsed here, since the kernel does it for the daemon."""
    if packet[0] >> 4 == 4:
        return datagram_from_ipv4(packet)
    length = int.from_bytes(packet[4:6], "big")
    return Datagram(IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), packet[7], packet[40 : 40 + length])


def _golden(row: dict[str, Any]) -> Golden:
    fields = row["fields"]
    packet = bytes.fromhex(row["hex"])
    version = Version(fields["version"])
    form = ChecksumForm.PSEUDO_HEADER if row["checksum_form"] == "with pseudo-header" else ChecksumForm.MESSAGE_ONLY
    return Golden(
        name=row["id"],
        packet=packet,
        advertisement=Advertisement(
            version=version,
            vrid=fields["vrid"],
            priority=fields["priority"],
            max_advertise_interval=fields["interval_cs"] if version is Version.V3 else fields["interval_s"] * 100,
            addresses=tuple(ip_address(address) for address in fields["addresses"]),
            authentication_type=fields.get("auth", 0),
            authentication_data=bytes.fromhex(fields.get("auth_data", "0000000000000000")),
        ),
        source=ip_address(fields["src"]),
        destination=ip_address(fields["dst"]),
        hop_limit=fields["ttl"],
        form=form,
    )


def _vector(row: dict[str, Any]) -> Vector:
    receiver, reason = row["receiver"], row["reason"]
    group = IPv6Address("ff02::12") if receiver == "v3-6" else IPv4Address("224.0.0.18")
    return Vector(
        name=row["id"],
        packet=bytes.fromhex(row["hex"]),
        policy=AdmissionPolicy(
            version=Version.V2 if receiver.startswith("v2") else Version.V3,
            max_advertise_interval=100,
            group=group,
            password=b"s3cret\0\0" if receiver == "v2p" else None,
        ),
        vrid=row["vrid"],
        reason=None if reason is None else DiscardReason(reason),
    )


_DOCUMENT = json.loads((Path(__file__).parent / "vectors.json").read_text())
GOLDEN: tuple[Golden, ...] = tuple(_golden(row) for row in _DOCUMENT["golden"])
VECTORS: tuple[Vector, ...] = tuple(_vector(row) for row in _DOCUMENT["vectors"])
