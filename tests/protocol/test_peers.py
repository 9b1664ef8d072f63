"""What is remembered about other routers, and which differences are remarked upon: once for each source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.protocol.builders import GLOBAL_VIP, HIGHER, LINK_LOCAL_VIP, LOWER, OTHER_VIP, VIP, advertisement
from vrrpd.protocol.actions import Notice, NoticeKind
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import DiscardReason
from vrrpd.protocol.packet import Advertisement, ChecksumForm, Decoded
from vrrpd.protocol.peers import PeerLedger
from vrrpd.protocol.timing import Version

USUAL = ChecksumForm.PSEUDO_HEADER
GOOD = advertisement()


def ledger(
    addresses: tuple[IPAddress, ...] = (VIP,), version: Version = Version.V3, sends: ChecksumForm = USUAL
) -> PeerLedger:
    """The ledger of a router that advertises each second."""
    return PeerLedger(version, 100, addresses, sends)


def remarks(
    book: PeerLedger, advertised: Advertisement, source: IPAddress = HIGHER, form: ChecksumForm = USUAL
) -> Sequence[Notice]:
    """What is said about one more accepted advertisement."""
    return book.accepted(source, Decoded(advertised, form), 10.0)


def test_a_peer_that_is_configured_alike_deserves_no_word() -> None:
    book = ledger()
    assert [remarks(book, GOOD) for _ in range(3)] == [[], [], []]
    (peer,) = book.peers
    assert (peer.source, peer.accepted, peer.last, peer.checksum_form, peer.last_heard) == (
        HIGHER, 3, GOOD, USUAL, 10.0,
    )  # fmt: skip


@pytest.mark.requirement("RX-16", "K-LISTLOG")
def test_another_interval_is_remarked_once_for_each_source() -> None:
    book = ledger()
    other = replace(GOOD, max_advertise_interval=250)
    (notice,) = remarks(book, other)
    assert notice.kind is NoticeKind.INTERVAL_DIFFERS
    assert notice.text == "192.0.2.3 advertises every 2.5 s, ours is 1 s (advert_int)"
    assert remarks(book, other) == []
    assert [notice.kind for notice in remarks(book, other, LOWER)] == [NoticeKind.INTERVAL_DIFFERS]


def test_a_new_difference_of_a_known_source_is_remarked_alone() -> None:
    book = ledger()
    remarks(book, replace(GOOD, max_advertise_interval=250))
    both = replace(GOOD, max_advertise_interval=250, addresses=(OTHER_VIP,))
    assert [notice.kind for notice in remarks(book, both)] == [NoticeKind.ADDRESSES_DIFFER]


@pytest.mark.requirement("K-LISTLOG")
def test_remarks_are_made_again_after_a_change_of_state() -> None:
    book = ledger()
    other = replace(GOOD, max_advertise_interval=250)
    remarks(book, other)
    book.forget_remarks()
    assert [notice.kind for notice in remarks(book, other)] == [NoticeKind.INTERVAL_DIFFERS]


def test_remarks_that_somebody_has_dropped_are_made_with_the_next_advertisement() -> None:
    book = ledger()
    other = replace(GOOD, max_advertise_interval=250)
    remarks(book, other)
    peer = book.peer(HIGHER)
    assert peer is not None
    peer.remark_again = True
    assert peer.remarks == {NoticeKind.INTERVAL_DIFFERS}
    assert [notice.kind for notice in remarks(book, other)] == [NoticeKind.INTERVAL_DIFFERS]
    assert remarks(book, other) == []


@pytest.mark.requirement("FMT-9", "RX-9")
@pytest.mark.parametrize(
    ("sends", "seen", "remarked"),
    [
        (ChecksumForm.PSEUDO_HEADER, ChecksumForm.PSEUDO_HEADER, False),
        (ChecksumForm.PSEUDO_HEADER, ChecksumForm.EITHER, False),
        (ChecksumForm.PSEUDO_HEADER, ChecksumForm.MESSAGE_ONLY, True),
        (ChecksumForm.PSEUDO_HEADER, ChecksumForm.MULTICAST_PSEUDO_HEADER, True),
        (ChecksumForm.MESSAGE_ONLY, ChecksumForm.MESSAGE_ONLY, False),
        (ChecksumForm.MESSAGE_ONLY, ChecksumForm.PSEUDO_HEADER, True),
    ],
)
def test_a_peer_with_the_other_checksum_form_is_named_once(
    sends: ChecksumForm, seen: ChecksumForm, remarked: bool
) -> None:
    book = ledger(sends=sends)
    found = [notice for _ in range(3) for notice in remarks(book, GOOD, form=seen)]
    assert [notice.kind for notice in found] == [NoticeKind.CHECKSUM_FORM] * remarked
    for notice in found:
        assert f"of the form {seen.value}, we send {sends.value}" in notice.text
        assert "both will be MASTER" in notice.text
        assert notice.source == HIGHER


def test_version_2_has_no_checksum_form_to_remark_upon() -> None:
    book = ledger(version=Version.V2, sends=ChecksumForm.MESSAGE_ONLY)
    assert remarks(book, advertisement(version=Version.V2), form=ChecksumForm.MESSAGE_ONLY) == []


@pytest.mark.counter_case("RX-17")
def test_address_lists_are_compared_as_sets() -> None:
    book = ledger(addresses=(VIP, OTHER_VIP))
    assert remarks(book, replace(GOOD, addresses=(OTHER_VIP, VIP))) == []


@pytest.mark.requirement("RX-17", "K-SKIP")
def test_missing_and_additional_addresses_are_named() -> None:
    book = ledger(addresses=(VIP, OTHER_VIP))
    (notice,) = remarks(book, replace(GOOD, addresses=(VIP,)))
    assert notice.text == "the address list of 192.0.2.3 lacks 192.0.2.101"
    more = tuple(IPv4Address(f"192.0.2.{last}") for last in (100, 101, 115, 114, 113, 112, 111))
    (notice,) = remarks(book, replace(GOOD, addresses=more), LOWER)
    assert notice.text == (
        "the address list of 192.0.2.1 has 192.0.2.111, 192.0.2.112, 192.0.2.113, 192.0.2.114 and 1 more besides"
    )
    (notice,) = remarks(book, replace(GOOD, addresses=(VIP, LOWER)), IPv4Address("192.0.2.5"))
    assert notice.text == "the address list of 192.0.2.5 lacks 192.0.2.101 and has 192.0.2.1 besides"


@pytest.mark.requirement("RX-17")
def test_a_list_with_nothing_in_common_looks_like_a_collision() -> None:
    (notice,) = remarks(ledger(), replace(GOOD, addresses=(OTHER_VIP,)))
    assert notice.kind is NoticeKind.ADDRESSES_DIFFER
    assert "192.0.2.3 advertises 192.0.2.101, none of which is ours (192.0.2.100)" in notice.text


@pytest.mark.requirement("RX-12")
@pytest.mark.counter_case("RX-12")
def test_a_global_first_ipv6_address_is_remarked_once() -> None:
    book = ledger(addresses=(GLOBAL_VIP, LINK_LOCAL_VIP))
    advertised = replace(GOOD, addresses=(GLOBAL_VIP, LINK_LOCAL_VIP))
    source = IPv6Address("fe80::9")
    (notice,) = remarks(book, advertised, source)
    assert notice.kind is NoticeKind.FIRST_ADDRESS_GLOBAL
    assert notice.text == "fe80::9 advertises 2001:db8:0:1::1 first, RFC 9568 expects a link-local address"
    assert remarks(book, advertised, source) == []
    assert remarks(ledger((LINK_LOCAL_VIP,)), replace(GOOD, addresses=(LINK_LOCAL_VIP,)), source) == []


@pytest.mark.requirement("RX-18")
def test_discarded_packets_are_counted_by_source_and_reason() -> None:
    book = ledger()
    for reason in (DiscardReason.HOP_LIMIT, DiscardReason.HOP_LIMIT, DiscardReason.VERSION):
        book.discarded(HIGHER, reason, 11.0)
    (peer,) = book.peers
    assert peer.discarded == {DiscardReason.HOP_LIMIT: 2, DiscardReason.VERSION: 1}
    assert (peer.accepted, peer.last, peer.last_heard) == (0, None, 11.0)


def test_invented_sources_push_out_the_one_heard_least_recently() -> None:
    book = ledger()
    remarks(book, GOOD, LOWER)
    remarks(book, GOOD, HIGHER)
    remarks(book, GOOD, LOWER)
    for last in range(31):
        book.discarded(IPv4Address("198.51.100.0") + last, DiscardReason.SOURCE, 12.0)
    sources = [peer.source for peer in book.peers]
    assert len(sources) == 32
    assert LOWER in sources
    assert HIGHER not in sources
    assert sources[-1] == IPv4Address("198.51.100.30")
    assert book.peer(HIGHER) is None
    known = book.peer(LOWER)
    assert known is not None
    assert known.accepted == 2
