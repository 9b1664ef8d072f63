"""Is a well-formed advertisement for this router? Hop limit, path, version, source, password, interval, strictness."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from tests.protocol.builders import GLOBAL_VIP, GROUP, GROUP6, HIGHER, LINK_LOCAL_VIP, OURS, VIP, advertisement
from vrrpd.protocol.admission import AdmissionPolicy, Peer, admit
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.packet import Advertisement
from vrrpd.protocol.timing import Version

MULTICAST = AdmissionPolicy(Version.V3, 100, GROUP)
MULTICAST6 = AdmissionPolicy(Version.V3, 100, GROUP6)
MULTICAST_V2 = AdmissionPolicy(Version.V2, 100, GROUP)
UNICAST = AdmissionPolicy(Version.V3, 100, None, peers={HIGHER: Peer()})
ROUTER6 = IPv6Address("fe80::9")

GOOD = advertisement()
GOOD6 = advertisement(addresses=(LINK_LOCAL_VIP, GLOBAL_VIP))
GOOD_V2 = advertisement(version=Version.V2)


def arrived(source: IPAddress = HIGHER, destination: IPAddress = GROUP, hop_limit: int | None = 255) -> Datagram:
    """A packet from a router of the group; the message in it has been decoded already."""
    return Datagram(source, destination, hop_limit, b"")


def arrived6(source: IPAddress = ROUTER6, hop_limit: int | None = 255) -> Datagram:
    """The same over IPv6."""
    return Datagram(source, GROUP6, hop_limit, b"")


def discarded(
    advertised: Advertisement, datagram: Datagram, policy: AdmissionPolicy, own: Collection[IPAddress] = ()
) -> Discard:
    """Why an advertisement is not for this router."""
    with pytest.raises(Discard) as caught:
        admit(advertised, datagram, policy, own)
    return caught.value


@pytest.mark.requirement("RX-2", "RX-3", "RX-4", "RX-10", "RX-14", "HDR-11", "V2-7")
def test_an_advertisement_of_the_group_is_admitted() -> None:
    admit(GOOD, arrived(), MULTICAST, {OURS})
    admit(GOOD6, arrived6(), MULTICAST6, {IPv6Address("fe80::2")})
    admit(GOOD_V2, arrived(), MULTICAST_V2, {OURS})


@pytest.mark.counter_case("RX-3")
@pytest.mark.parametrize("hop_limit", [0, 1, 64, 254])
def test_a_hop_limit_below_255_is_discarded(hop_limit: int) -> None:
    for discard in (
        discarded(GOOD, arrived(hop_limit=hop_limit), MULTICAST),
        discarded(GOOD6, arrived6(hop_limit=hop_limit), MULTICAST6),
    ):
        assert discard.reason is DiscardReason.HOP_LIMIT
        assert discard.detail == f"hop limit is {hop_limit}, expected 255"


@pytest.mark.counter_case("RX-3")
def test_a_hop_limit_that_was_not_delivered_is_discarded() -> None:
    discard = discarded(GOOD6, arrived6(hop_limit=None), MULTICAST6)
    assert discard.reason is DiscardReason.HOP_LIMIT
    assert discard.detail == "hop limit is not delivered, expected 255"


@pytest.mark.counter_case("RX-2")
@pytest.mark.parametrize("destination", ["192.0.2.2", "224.0.0.1", "255.255.255.255"])
def test_another_destination_than_the_group_is_discarded(destination: str) -> None:
    discard = discarded(GOOD, arrived(destination=IPv4Address(destination)), MULTICAST)
    assert discard.reason is DiscardReason.DESTINATION
    assert discard.detail == f"sent to {destination}, expected 224.0.0.18"


@pytest.mark.counter_case("RX-4")
def test_the_other_version_is_discarded() -> None:
    discard = discarded(GOOD_V2, arrived(), MULTICAST)
    assert (discard.reason, discard.detail) == (DiscardReason.VERSION, "version is 2, expected 3")
    discard = discarded(GOOD, arrived(), MULTICAST_V2)
    assert (discard.reason, discard.detail) == (DiscardReason.VERSION, "version is 3, expected 2")


@pytest.mark.counter_case("RX-14")
@pytest.mark.parametrize("source", ["0.0.0.0", "224.0.0.18"])
def test_a_source_that_is_no_routers_address_is_discarded(source: str) -> None:
    assert discarded(GOOD, arrived(IPv4Address(source)), MULTICAST).reason is DiscardReason.SOURCE


@pytest.mark.counter_case("RX-14")
def test_a_global_ipv6_source_is_discarded_in_multicast_mode() -> None:
    discard = discarded(GOOD6, arrived6(IPv6Address("2001:db8::9")), MULTICAST6)
    assert discard.reason is DiscardReason.SOURCE
    assert discard.detail == "source address is 2001:db8::9, expected a link-local address"
    assert discarded(GOOD6, arrived6(IPv6Address("::")), MULTICAST6).reason is DiscardReason.SOURCE


@pytest.mark.counter_case("HDR-11", "RX-14")
def test_our_own_source_address_is_discarded() -> None:
    discard = discarded(GOOD, arrived(OURS), MULTICAST, {OURS, VIP})
    assert discard.reason is DiscardReason.OWN_SOURCE
    assert "192.0.2.2 is ours" in discard.detail


@pytest.mark.requirement("K-UNICAST")
@pytest.mark.counter_case("K-UNICAST")
def test_unicast_admits_listed_peers_only() -> None:
    admit(GOOD, arrived(HIGHER, OURS), UNICAST, {OURS})
    discard = discarded(GOOD, arrived(IPv4Address("192.0.2.77"), OURS), UNICAST)
    assert (discard.reason, discard.detail) == (
        DiscardReason.SOURCE,
        "source address 192.0.2.77 is not a unicast_peer",
    )


@pytest.mark.counter_case("K-UNICAST")
def test_unicast_discards_packets_to_the_group() -> None:
    discard = discarded(GOOD, arrived(HIGHER, GROUP), UNICAST)
    assert (discard.reason, discard.detail) == (DiscardReason.DESTINATION, "sent to 224.0.0.18, expected unicast")


@pytest.mark.requirement("K-UNICAST")
@pytest.mark.parametrize("hop_limit", [None, 1, 64, 255])
def test_unicast_does_not_look_at_the_hop_limit_unless_told(hop_limit: int | None) -> None:
    admit(GOOD, arrived(HIGHER, OURS, hop_limit), UNICAST, ())


@pytest.mark.requirement("RX-3", "K-UNICAST")
@pytest.mark.counter_case("RX-3", "K-UNICAST")
@pytest.mark.parametrize(
    ("peer", "good", "bad", "bounds"),
    [
        (Peer(min_ttl=250), (250, 255), (0, 249), "250 to 255"),
        (Peer(max_ttl=64), (0, 64), (65, 255), "0 to 64"),
        (Peer(min_ttl=60, max_ttl=64), (60, 64), (59, 65), "60 to 64"),
        (Peer(min_ttl=255), (255, 255), (254, None), "255 to 255"),
        (Peer(min_ttl=0, max_ttl=0), (0, 0), (1, None), "0 to 0"),
    ],
)
def test_unicast_keeps_to_the_peers_own_hop_limits(
    peer: Peer, good: tuple[int, int], bad: tuple[int, int | None], bounds: str
) -> None:
    policy = replace(UNICAST, peers={HIGHER: peer})
    for hop_limit in good:
        admit(GOOD, arrived(HIGHER, OURS, hop_limit), policy, ())
    for wrong in bad:
        discard = discarded(GOOD, arrived(HIGHER, OURS, wrong), policy)
        seen = "not delivered" if wrong is None else wrong
        assert discard.reason is DiscardReason.HOP_LIMIT
        assert discard.detail == f"hop limit is {seen}, expected {bounds} from this peer"


def test_unicast_peers_may_use_global_ipv6_addresses() -> None:
    peer, ours = IPv6Address("2001:db8::9"), IPv6Address("2001:db8::2")
    policy = replace(UNICAST, peers={peer: Peer()})
    admit(GOOD6, Datagram(peer, ours, 64, b""), policy, {ours})


@pytest.mark.counter_case("V2-5", "RX-10")
def test_version_2_discards_another_authentication_type() -> None:
    with_password = replace(MULTICAST_V2, password=b"s3cret\0\0")
    discard = discarded(GOOD_V2, arrived(), with_password)
    assert discard.reason is DiscardReason.AUTHENTICATION_TYPE
    assert discard.detail == "authentication type is 0, expected 1 (PASS)"
    for authentication_type in (1, 2, 3, 255):
        other = replace(GOOD_V2, authentication_type=authentication_type)
        discard = discarded(other, arrived(), MULTICAST_V2)
        assert discard.reason is DiscardReason.AUTHENTICATION_TYPE
        assert discard.detail == f"authentication type is {authentication_type}, expected 0 (none)"


@pytest.mark.requirement("V2-4", "V2-5", "K-AUTH")
@pytest.mark.counter_case("V2-4", "V2-5", "K-AUTH", "RX-10")
@pytest.mark.parametrize("data", [b"s3cret  ", b"s3cret\0x", b"S3cret\0\0", b"\0s3cret\0", bytes(8)])
def test_version_2_compares_all_8_bytes_of_the_password(data: bytes) -> None:
    policy = replace(MULTICAST_V2, password=b"s3cret\0\0")
    admit(replace(GOOD_V2, authentication_type=1, authentication_data=b"s3cret\0\0"), arrived(), policy, ())
    wrong = replace(GOOD_V2, authentication_type=1, authentication_data=data)
    discard = discarded(wrong, arrived(), policy)
    assert discard.reason is DiscardReason.AUTHENTICATION_DATA
    assert "s3cret" not in discard.detail


@pytest.mark.requirement("V2-3")
def test_version_2_without_authentication_ignores_the_data() -> None:
    admit(replace(GOOD_V2, authentication_data=b"\xde\xad\xbe\xef\1\2\3\4"), arrived(), MULTICAST_V2, ())


@pytest.mark.counter_case("V2-7", "RX-10")
def test_version_2_discards_another_interval() -> None:
    discard = discarded(replace(GOOD_V2, max_advertise_interval=200), arrived(), MULTICAST_V2)
    assert discard.reason is DiscardReason.INTERVAL
    assert discard.detail == "interval is 2 s, expected 1 s (version 2 does not learn it)"


@pytest.mark.requirement("RX-16", "RX-17", "V2-9")
def test_another_address_list_is_admitted_and_in_version_3_another_interval() -> None:
    admit(replace(GOOD, max_advertise_interval=300, addresses=(OURS, HIGHER)), arrived(), MULTICAST, ())
    admit(replace(GOOD_V2, addresses=(OURS, HIGHER)), arrived(), MULTICAST_V2, ())


@pytest.mark.requirement("RX-12")
@pytest.mark.counter_case("RX-12")
def test_a_global_first_ipv6_address_is_discarded_under_vrrp_strict_only() -> None:
    global_first = replace(GOOD6, addresses=(GLOBAL_VIP, LINK_LOCAL_VIP))
    strict = replace(MULTICAST6, strict=True)
    admit(global_first, arrived6(), MULTICAST6, ())
    admit(GOOD6, arrived6(), strict, ())
    discard = discarded(global_first, arrived6(), strict)
    assert discard.reason is DiscardReason.FIRST_ADDRESS
    assert discard.detail == ("first address is 2001:db8:0:1::1, vrrp_strict expects a link-local address")


def test_vrrp_strict_asks_nothing_of_the_first_ipv4_address() -> None:
    admit(GOOD, arrived(), replace(MULTICAST, strict=True), ())


@pytest.mark.requirement("K-OWNER2")
@pytest.mark.counter_case("RX-15")
def test_an_owner_listens_to_nobody_when_told_so() -> None:
    discard = discarded(GOOD, arrived(), replace(MULTICAST, ignore_all=True))
    assert discard.reason is DiscardReason.OWNER


@pytest.mark.parametrize(
    "policy", [MULTICAST, replace(UNICAST, peers={HIGHER: Peer(), IPv4Address("192.0.2.9"): Peer()})]
)
def test_with_a_list_of_sources_all_others_are_discarded(policy: AdmissionPolicy) -> None:
    destination = GROUP if policy.group is not None else OURS
    listed = replace(policy, accept_sources=(ip_network("198.51.100.0/24"), ip_network("192.0.2.3/32")))
    admit(GOOD, arrived(HIGHER, destination), listed, {OURS})
    discard = discarded(GOOD, arrived(IPv4Address("192.0.2.9"), destination), listed, {OURS})
    assert discard.reason is DiscardReason.UNLISTED_SOURCE
    assert discard.detail == "source address 192.0.2.9 is not in accept_sources"


def test_over_ipv6_the_list_holds_link_local_sources() -> None:
    listed = replace(MULTICAST6, accept_sources=(ip_network("fe80::8/125"),))
    admit(GOOD6, arrived6(), listed, ())
    discard = discarded(GOOD6, arrived6(IPv6Address("fe80::10")), listed, ())
    assert discard.reason is DiscardReason.UNLISTED_SOURCE


def test_a_source_that_is_not_listed_is_no_misconfigured_router() -> None:
    listed = replace(MULTICAST_V2, accept_sources=(ip_network("192.0.2.1/32"),))
    assert discarded(GOOD, arrived(), listed).reason is DiscardReason.UNLISTED_SOURCE
    assert discarded(GOOD_V2, arrived(OURS), listed, {OURS}).reason is DiscardReason.OWN_SOURCE
