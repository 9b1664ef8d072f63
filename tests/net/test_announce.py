"""Announcement frames to the byte, and the queue that spaces them out."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.net.announce import Pacer, announcement, gratuitous_arp, unsolicited_na
from vrrpd.net.outgoing import OutgoingMessage

VMAC4 = bytes.fromhex("00005e000133")
VMAC6 = bytes.fromhex("00005e00023d")

GRATUITOUS_ARP = bytes.fromhex("ffffffffffff00005e0001330806000108000604000100005e000133c0000264ffffffffffffc0000264")
GLOBAL_NA = bytes.fromhex(
    "33330000000100005e00023d86dd6000000000203aff20010db8000000010000000000000001ff020000000000000000000000000001"
    "88001aeca000000020010db8000000010000000000000001020100005e00023d"
)
LINK_LOCAL_NA = bytes.fromhex(
    "33330000000100005e00023d86dd6000000000203afffe800000000000000000000000050001ff020000000000000000000000000001"
    "88007954a0000000fe800000000000000000000000050001020100005e00023d"
)
NA_WITHOUT_ROUTER_FLAG = bytes.fromhex(
    "33330000000100005e00023d86dd6000000000203aff20010db8000000010000000000000001ff020000000000000000000000000001"
    "88009aec2000000020010db8000000010000000000000001020100005e00023d"
)


@pytest.mark.requirement("ARP-1", "ARP-2")
def test_a_gratuitous_arp_is_the_broadcast_request_that_keepalived_sends() -> None:
    assert gratuitous_arp(VMAC4, IPv4Address("192.0.2.100")) == GRATUITOUS_ARP
    assert len(GRATUITOUS_ARP) == 42


@pytest.mark.requirement("ND-1", "ND-2", "ND-3")
def test_a_neighbor_advertisement_for_a_global_address_has_router_and_override_set() -> None:
    assert unsolicited_na(VMAC6, IPv6Address("2001:db8:0:1::1")) == GLOBAL_NA
    assert len(GLOBAL_NA) == 86


@pytest.mark.requirement("ND-1", "ND-4")
def test_a_neighbor_advertisement_for_a_link_local_address_comes_from_that_address() -> None:
    assert unsolicited_na(VMAC6, IPv6Address("fe80::5:1")) == LINK_LOCAL_NA


@pytest.mark.counter_case("ND-2")
def test_a_neighbor_advertisement_without_the_router_flag_is_never_built() -> None:
    frame = unsolicited_na(VMAC6, IPv6Address("2001:db8:0:1::1"))
    assert frame != NA_WITHOUT_ROUTER_FLAG
    assert frame[58] == 0xA0
    assert NA_WITHOUT_ROUTER_FLAG[58] == 0x20


def test_an_announcement_has_the_form_of_its_address_family() -> None:
    assert announcement(VMAC4, IPv4Address("192.0.2.100")) == GRATUITOUS_ARP
    assert announcement(VMAC6, IPv6Address("fe80::5:1")) == LINK_LOCAL_NA


@pytest.mark.parametrize("mac", [b"", b"\x02" * 5, b"\x02" * 20])
def test_a_hardware_address_that_is_not_ethernet_is_refused(mac: bytes) -> None:
    with pytest.raises(ValueError, match=f"has {len(mac)} bytes, expected 6"):
        gratuitous_arp(mac, IPv4Address("192.0.2.100"))
    with pytest.raises(ValueError, match=f"has {len(mac)} bytes, expected 6"):
        unsolicited_na(mac, IPv6Address("fe80::5:1"))


FIRST = IPv4Address("192.0.2.1")
SECOND = IPv4Address("192.0.2.2")
A, B, C = OutgoingMessage(b"a"), OutgoingMessage(b"b"), OutgoingMessage(b"c")


def test_paced_frames_keep_their_order_and_their_distance() -> None:
    pacer = Pacer(0.5)
    pacer.add(FIRST, A)
    pacer.add(SECOND, B)
    assert pacer.deadline == float("-inf")
    assert pacer.take(10.0) is A
    assert pacer.deadline == 10.5
    assert pacer.take(10.25) is None
    assert pacer.take(10.5) is B
    assert pacer.deadline is None
    assert pacer.take(11.0) is None


def test_a_frame_added_after_a_pause_still_keeps_its_distance_to_the_last_one() -> None:
    pacer = Pacer(0.5)
    pacer.add(FIRST, A)
    assert pacer.take(10.0) is A
    pacer.add(SECOND, B)
    assert pacer.deadline == 10.5
    assert pacer.take(10.4) is None
    assert pacer.take(12.0) is B


@pytest.mark.counter_case("ARP-6", "ND-6")
def test_a_withdrawn_address_is_not_announced_any_more() -> None:
    pacer = Pacer(0.5)
    for address, frame in ((FIRST, A), (SECOND, B), (FIRST, C)):
        pacer.add(address, frame)
    pacer.cancel(FIRST)
    assert len(pacer) == 1
    assert pacer.take(10.0) is B
