"""Whether a well-formed advertisement is for this virtual router: RFC 9568 section 7.1, RFC 3768 section 7.1.

What may be different between routers of one group without harm (interval in version 3, address list) is not asked
here: that is noticed by ``peers`` and never a reason to drop.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from vrrpd.protocol.datagram import Datagram, IPAddress, IPNetwork
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.packet import NO_AUTHENTICATION, SIMPLE_PASSWORD, Advertisement
from vrrpd.protocol.timing import CENTISECONDS_PER_SECOND, Version

HOP_LIMIT: Final = 255
"""TTL and hop limit of every advertisement: proof that no router was in between (RFC 9568 section 5.1.1.3)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The hop limits that are accepted from a unicast peer; None does not check that end."""

    min_ttl: int | None = None
    max_ttl: int | None = None


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What one virtual router accepts."""

    version: Version
    max_advertise_interval: int
    """Centiseconds; version 2 drops every other interval (RFC 3768 section 7.1)."""
    group: IPAddress | None
    """The multicast group; None in unicast mode."""
    peers: dict[IPAddress, Peer] = field(default_factory=dict)
    """Unicast mode: the only sources that are accepted."""
    accept_sources: tuple[IPNetwork, ...] = ()
    """The only sources that are accepted, in either mode; empty: no such limit."""
    password: bytes | None = None
    """Version 2: the 8 bytes of a PASS password; None for no authentication."""
    strict: bool = False
    """Discard IPv6 advertisements whose first address is not link-local (RFC 9568 section 7.1, erratum 8300)."""
    ignore_all: bool = False
    """An address owner that was told to listen to nobody (``owner_ignore_adverts``)."""


def admit(
    advertisement: Advertisement, datagram: Datagram, policy: AdmissionPolicy, own_addresses: Collection[IPAddress]
) -> None:
    """Returns when the advertisement is for this router and raises ``Discard`` otherwise."""
    _check_path(datagram, policy)
    # Before all that is said about the content: what a stranger sends is nobody's misconfiguration.
    _check_listed(datagram, policy, own_addresses)
    _check_version(advertisement, policy)
    _check_source(datagram, policy, own_addresses)
    if advertisement.version is Version.V2:
        _check_v2(advertisement, policy)
    if policy.strict and datagram.source.version == 6 and not advertisement.addresses[0].is_link_local:
        raise Discard(
            DiscardReason.FIRST_ADDRESS,
            f"first address is {advertisement.addresses[0]}, vrrp_strict expects a link-local address",
        )
    if policy.ignore_all:
        raise Discard(DiscardReason.OWNER, "this router owns the addresses and was told to ignore advertisements")


def _check_path(datagram: Datagram, policy: AdmissionPolicy) -> None:
    seen = "not delivered" if datagram.hop_limit is None else str(datagram.hop_limit)
    if policy.group is not None:
        if datagram.destination != policy.group:
            raise Discard(DiscardReason.DESTINATION, f"sent to {datagram.destination}, expected {policy.group}")
        if datagram.hop_limit != HOP_LIMIT:
            raise Discard(DiscardReason.HOP_LIMIT, f"hop limit is {seen}, expected 255")
        return
    if datagram.destination.is_multicast:
        raise Discard(DiscardReason.DESTINATION, f"sent to {datagram.destination}, expected unicast")
    peer = policy.peers.get(datagram.source)
    if peer is None:
        return  # _check_source names it
    low, high = peer.min_ttl, peer.max_ttl
    if low is None and high is None:
        return
    low, high = low or 0, HOP_LIMIT if high is None else high
    if datagram.hop_limit is None or not low <= datagram.hop_limit <= high:
        raise Discard(DiscardReason.HOP_LIMIT, f"hop limit is {seen}, expected {low} to {high} from this peer")


def _check_listed(datagram: Datagram, policy: AdmissionPolicy, own_addresses: Collection[IPAddress]) -> None:
    listed = policy.accept_sources
    if not listed or datagram.source in own_addresses:
        return  # _check_source names our own
    if not any(datagram.source in network for network in listed):
        raise Discard(DiscardReason.UNLISTED_SOURCE, f"source address {datagram.source} is not in accept_sources")


def _check_version(advertisement: Advertisement, policy: AdmissionPolicy) -> None:
    if advertisement.version is not policy.version:
        raise Discard(DiscardReason.VERSION, f"version is {advertisement.version}, expected {policy.version}")


def _check_source(datagram: Datagram, policy: AdmissionPolicy, own_addresses: Collection[IPAddress]) -> None:
    source = datagram.source
    if source.is_unspecified or source.is_multicast:
        raise Discard(DiscardReason.SOURCE, f"source address is {source}, expected a router's own address")
    if source in own_addresses:
        raise Discard(
            DiscardReason.OWN_SOURCE,
            f"source address {source} is ours: another router uses the same address, or our packets are looped back",
        )
    if policy.group is None:
        if source not in policy.peers:
            raise Discard(DiscardReason.SOURCE, f"source address {source} is not a unicast_peer")
    elif source.version == 6 and not source.is_link_local:
        raise Discard(DiscardReason.SOURCE, f"source address is {source}, expected a link-local address")


def _check_v2(advertisement: Advertisement, policy: AdmissionPolicy) -> None:
    expected_type = NO_AUTHENTICATION if policy.password is None else SIMPLE_PASSWORD
    if advertisement.authentication_type != expected_type:
        raise Discard(
            DiscardReason.AUTHENTICATION_TYPE,
            f"authentication type is {advertisement.authentication_type}, expected {expected_type}"
            f" ({'none' if policy.password is None else 'PASS'})",
        )
    if policy.password is not None and not hmac.compare_digest(advertisement.authentication_data, policy.password):
        raise Discard(DiscardReason.AUTHENTICATION_DATA, "authentication data (auth_pass) differs from ours")
    if advertisement.max_advertise_interval != policy.max_advertise_interval:
        raise Discard(
            DiscardReason.INTERVAL,
            f"interval is {advertisement.max_advertise_interval // CENTISECONDS_PER_SECOND} s, "
            f"expected {policy.max_advertise_interval // CENTISECONDS_PER_SECOND} s (version 2 does not learn it)",
        )
