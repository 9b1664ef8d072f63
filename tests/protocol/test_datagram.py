"""Received IPv4 packets, taken apart: the right message from a good one, IP_HEADER from everything else."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from vrrpd.protocol.datagram import Datagram, datagram_from_ipv4
from vrrpd.protocol.discard import Discard, DiscardReason

# 192.0.2.1 -> 224.0.0.18, TTL 255, protocol 112, vrid 51, priority 150, 192.0.2.100
PACKET = bytes.fromhex("45c0002000010000ff701899c0000201e0000012313396010064d371c0000264")
MESSAGE = bytes.fromhex("313396010064d371c0000264")


def with_bytes(changes: dict[int, int]) -> bytes:
    """``PACKET`` with some bytes replaced."""
    packet = bytearray(PACKET)
    for offset, value in changes.items():
        packet[offset] = value
    return bytes(packet)


def detail_of(packet: bytes) -> str:
    """Why a packet is discarded; the reason is always IP_HEADER."""
    with pytest.raises(Discard) as caught:
        datagram_from_ipv4(packet)
    assert caught.value.reason is DiscardReason.IP_HEADER
    assert str(caught.value) == caught.value.detail
    return caught.value.detail


def test_a_packet_gives_its_addresses_its_ttl_and_its_message() -> None:
    expected = Datagram(IPv4Address("192.0.2.1"), IPv4Address("224.0.0.18"), 255, MESSAGE)
    assert datagram_from_ipv4(PACKET) == expected


@pytest.mark.requirement("RX-1")
def test_options_are_skipped_by_the_header_length() -> None:
    packet = bytes.fromhex("46c00024") + PACKET[4:20] + bytes.fromhex("94040000") + MESSAGE
    assert datagram_from_ipv4(packet).message == MESSAGE


@pytest.mark.requirement("RX-1")
def test_ethernet_padding_is_cut_off_at_the_total_length() -> None:
    assert datagram_from_ipv4(PACKET + b"\xa5" * 14).message == MESSAGE


def test_a_header_without_a_message_gives_an_empty_message() -> None:
    assert datagram_from_ipv4(with_bytes({3: 20})[:20]).message == b""


@pytest.mark.requirement("RX-21")
@pytest.mark.counter_case("RX-1")
@pytest.mark.parametrize("length", range(20))
def test_a_packet_shorter_than_an_ip_header_is_discarded(length: int) -> None:
    assert detail_of(PACKET[:length]) == f"IPv4 packet has {length} bytes, expected at least 20"


def test_another_ip_version_is_discarded() -> None:
    assert detail_of(with_bytes({0: 0x65})) == (
        "IP version is 6 with a header of 20 bytes, expected version 4 with at least 20"
    )


@pytest.mark.counter_case("RX-1")
@pytest.mark.parametrize("words", range(5))
def test_a_header_length_below_20_is_discarded(words: int) -> None:
    assert "expected version 4 with at least 20" in detail_of(with_bytes({0: 0x40 | words}))


@pytest.mark.counter_case("RX-1")
def test_a_packet_shorter_than_its_total_length_is_discarded() -> None:
    assert detail_of(PACKET[:-1]) == "IPv4 total length is 32, expected 20 to 31"


@pytest.mark.counter_case("RX-1")
def test_a_total_length_below_the_header_length_is_discarded() -> None:
    assert detail_of(with_bytes({3: 19})) == "IPv4 total length is 19, expected 20 to 32"
    assert detail_of(with_bytes({0: 0x4F})) == "IPv4 total length is 32, expected 60 to 32"


@pytest.mark.parametrize(("offset", "value"), [(6, 0x20), (6, 0x01), (6, 0x10), (7, 0x01), (7, 0x80)])
def test_fragments_are_discarded(offset: int, value: int) -> None:
    assert detail_of(with_bytes({offset: value})) == "packet is an IPv4 fragment, expected a whole packet"


def test_the_dont_fragment_bit_is_no_fragment() -> None:
    assert datagram_from_ipv4(with_bytes({6: 0x40})).message == MESSAGE


@pytest.mark.counter_case("RX-2")
def test_another_ip_protocol_is_discarded() -> None:
    assert detail_of(with_bytes({9: 51})) == "IP protocol is 51, expected 112"
