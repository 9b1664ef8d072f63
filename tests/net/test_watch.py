"""What a frame says about who has an address, and the frames that ask."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.net.announce import gratuitous_arp, unsolicited_na
from vrrpd.net.watch import Sighting, decode_arp, decode_neighbor, question

MAC = bytes.fromhex("020000000001")
VIP = IPv4Address("192.0.2.100")
VIP6 = IPv6Address("2001:db8::100")


def test_an_announcement_claims_the_address() -> None:
    assert decode_arp(gratuitous_arp(MAC, VIP)) == Sighting(VIP, MAC, claims=True)
    assert decode_neighbor(unsolicited_na(MAC, VIP6)) == Sighting(VIP6, MAC, claims=True)


def test_a_question_asks_and_claims_nothing() -> None:
    assert decode_arp(question(MAC, VIP)) == Sighting(VIP, MAC, claims=False)
    assert decode_neighbor(question(MAC, VIP6)) == Sighting(VIP6, MAC, claims=False)


def test_a_probe_is_42_bytes_to_everybody_that_change_no_cache() -> None:
    """RFC 5227 section 1.1: a request whose sender is 0.0.0.0."""
    assert question(MAC, VIP).hex() == (
        "ffffffffffff" "020000000001" "0806" "0001" "0800" "06" "04" "0001"
        "020000000001" "00000000" "000000000000" "c0000264"
    )  # fmt: skip


def test_a_solicitation_goes_to_the_solicited_node_group_with_hop_limit_255() -> None:
    """RFC 4862 section 5.4.2."""
    frame = question(MAC, VIP6)
    assert frame[:14].hex() == "3333ff000100" "020000000001" "86dd"  # fmt: skip
    assert frame[14:22].hex() == "60000000" "0018" "3a" "ff"  # fmt: skip
    assert frame[22:38] == bytes(16)
    assert frame[38:54] == IPv6Address("ff02::1:ff00:100").packed
    assert frame[54:56].hex() == "8700"
    assert frame[62:] == VIP6.packed
    words = [int.from_bytes(frame[at : at + 2], "big") for at in range(22, 78, 2)]
    total = sum(words) + 24 + 58
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_the_address_in_the_option_counts_more_than_the_frames_sender() -> None:
    frame = bytearray(unsolicited_na(MAC, VIP6))
    frame[6:12] = bytes.fromhex("020000000009")
    assert decode_neighbor(bytes(frame)) == Sighting(VIP6, MAC, claims=True)
    assert decode_neighbor(bytes(frame[:78])) == Sighting(VIP6, bytes.fromhex("020000000009"), claims=True)


@pytest.mark.parametrize(
    ("at", "value"), [(12, 0x09), (15, 0x06), (18, 0x08), (19, 0x06), (21, 0x03)],
    ids=["ethertype", "hardware", "hardware length", "protocol length", "operation"],
)  # fmt: skip
def test_what_is_no_arp_for_ipv4_says_nothing(at: int, value: int) -> None:
    frame = bytearray(gratuitous_arp(MAC, VIP))
    frame[at] = value
    assert decode_arp(bytes(frame)) is None
    assert decode_arp(gratuitous_arp(MAC, VIP)[:41]) is None


@pytest.mark.parametrize(
    ("at", "value"), [(12, 0x08), (14, 0x40), (20, 17), (21, 254), (54, 134), (55, 1)],
    ids=["ethertype", "IP version", "next header", "hop limit", "type", "code"],
)  # fmt: skip
def test_what_is_no_neighbor_advertisement_says_nothing(at: int, value: int) -> None:
    frame = bytearray(unsolicited_na(MAC, VIP6))
    frame[at] = value
    assert decode_neighbor(bytes(frame)) is None
    assert decode_neighbor(unsolicited_na(MAC, VIP6)[:77]) is None


def test_a_solicitation_that_resolves_an_address_is_no_sighting() -> None:
    frame = bytearray(question(MAC, VIP6))
    frame[22:38] = IPv6Address("fe80::9").packed
    assert decode_neighbor(bytes(frame)) is None
