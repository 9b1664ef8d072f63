"""Netlink messages taken apart: literal bytes as a kernel sends them, and what is cut off or not ours to know."""

from __future__ import annotations

import errno
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.net.interfaces import Interface, InterfaceAddress
from vrrpd.net.rtnetlink import (
    ERROR,
    decode_address,
    decode_interface,
    error_of,
    interface_index,
    is_bridge_port,
    link_name,
    split,
)

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the literal messages are little-endian")


def message(body: str, kind: int = 20) -> bytes:
    content = bytes.fromhex(body)
    return (16 + len(content)).to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(10) + content


LINK = "00 00 0100 02000000 43100100 00000000"  # Ethernet, interface 2, UP BROADCAST RUNNING MULTICAST LOWER_UP
NAME = "0900 0300 6574683000 000000"  # eth0
OTHER_ATTRIBUTES = "0800 0400 dc050000 0500 1000 06000000 0a00 0100 020000000001 0000"  # MTU 1500, UP, MAC


def test_a_link_message_gives_the_interface() -> None:
    data = message(LINK + NAME + OTHER_ATTRIBUTES, kind=16)
    assert decode_interface(data) == Interface(
        index=2,
        name="eth0",
        mac=bytes.fromhex("020000000001"),
        mtu=1500,
        admin_up=True,
        carrier=True,
        operational_state="UP",
        broadcast_capable=True,
        multicast_capable=True,
        arp=True,
        is_loopback=False,
    )
    assert interface_index(data) == 2
    assert link_name(data) == "eth0"
    assert not is_bridge_port(data)


@pytest.mark.parametrize(
    ("flags", "admin_up", "carrier", "arp", "loopback"),
    [
        ("43100100", True, True, True, False),
        ("03100000", True, False, True, False),  # no carrier
        ("03100100", True, False, True, False),  # carrier, but dormant: not RUNNING
        ("02100000", False, False, True, False),
        ("c9000100", True, True, False, True),
    ],
)
def test_the_flags_of_a_link_tell_its_state(
    flags: str, admin_up: bool, carrier: bool, arp: bool, loopback: bool
) -> None:
    interface = decode_interface(message(LINK.replace("43100100", flags) + NAME, kind=16))
    assert interface is not None
    assert (interface.admin_up, interface.carrier, interface.arp, interface.is_loopback) == (
        admin_up,
        carrier,
        arp,
        loopback,
    )


@pytest.mark.parametrize(("number", "state"), [("03", "LOWERLAYERDOWN"), ("00", "UNKNOWN"), ("09", "9")])
def test_the_operational_state_has_the_kernels_name(number: str, state: str) -> None:
    interface = decode_interface(message(LINK + NAME + f"0500 1000 {number}000000", kind=16))
    assert interface is not None
    assert interface.operational_state == state


def test_a_link_message_without_a_name_describes_no_interface() -> None:
    wireless_event = message(LINK + "0800 0b00 00000000", kind=16)
    assert decode_interface(wireless_event) is None
    assert link_name(wireless_event) is None
    assert link_name(message(LINK, kind=16)) is None


def test_a_bridge_port_is_told_apart_from_the_interface() -> None:
    assert is_bridge_port(message("07" + LINK[2:] + NAME, kind=17))


def test_an_attribute_with_an_impossible_length_ends_the_message() -> None:
    interface = decode_interface(message(LINK + NAME + "0000 0400 dc050000", kind=16))
    assert interface is not None
    assert interface.mtu == 0


def test_an_ipv4_address_message_gives_the_address() -> None:
    data = message(
        "02 18 81 00 02000000"
        "0800 0100 c0000201 0800 0200 c0000201 0800 0400 c00002ff 0900 0300 6574683000 000000"
        "0800 0800 81020000 1400 0600 08070000 100e0000 00000000 00000000 0500 0b00 70000000"
    )
    address = decode_address(data)
    assert address == InterfaceAddress(
        index=2,
        address=IPv4Address("192.0.2.1"),
        prefix_length=24,
        secondary=True,
        permanent=True,
        no_prefix_route=True,
        ours=True,
        label="eth0",
        broadcast=IPv4Address("192.0.2.255"),
        protocol=112,
    )
    assert address is not None
    assert (address.preferred_lifetime, address.valid_lifetime) == (1800, 3600)


def test_an_ipv6_address_message_tells_tentative_failed_and_deprecated_apart() -> None:
    for flags, tentative, failed, deprecated in (
        ("c0000000", True, False, False),
        ("c8000000", True, True, False),
        ("a0000000", False, False, True),
        ("80000000", False, False, False),
    ):
        address = decode_address(
            message("0a 40 80 fd 02000000 1400 0100 fe800000000000000000000000000001 0800 0800" + flags)
        )
        assert address is not None
        assert address.address == IPv6Address("fe80::1")
        assert (address.tentative, address.dad_failed, address.deprecated) == (tentative, failed, deprecated)
        assert (address.scope, address.peer, address.valid_lifetime) == (253, None, None)


def test_the_flags_of_the_header_count_where_there_is_no_attribute_for_them() -> None:
    address = decode_address(message("0a 40 40 fd 02000000 1400 0100 fe800000000000000000000000000001"))
    assert address is not None
    assert address.tentative


def test_a_point_to_point_address_has_a_peer() -> None:
    address = decode_address(message("02 20 80 00 02000000 0800 0100 c6336402 0800 0200 c6336401"))
    assert address is not None
    assert (address.address, address.peer) == (IPv4Address("198.51.100.1"), IPv4Address("198.51.100.2"))


@pytest.mark.parametrize("priority", ["f0b50100", "64000000"])
def test_the_priority_mark_is_ours_and_other_priorities_are_not(priority: str) -> None:
    address = decode_address(message("02 20 80 00 02000000 0800 0200 c0000264 0800 0900" + priority))
    assert address is not None
    assert address.ours is (priority == "f0b50100")


def test_a_message_without_an_ip_address_gives_none() -> None:
    assert decode_address(message("02 18 80 00 02000000")) is None
    assert decode_address(message("07 18 80 00 02000000 0800 0200 c0000264")) is None


def test_messages_are_cut_at_four_byte_boundaries_and_a_cut_off_one_is_left_out() -> None:
    first = bytes.fromhex("11000000 1000 0200 05000000 00000000 aa") + bytes(3)
    second = bytes.fromhex("10000000 0300 0000 06000000 00000000")
    messages = list(split(first + second + second[:12]))
    assert [(found.kind, found.flags, found.sequence, len(found.data)) for found in messages] == [
        (16, 2, 5, 17),
        (3, 0, 6, 16),
    ]
    assert list(split(bytes(16))) == [], "a length of zero would never end"
    assert list(split(second[:4] + b"\xff" + second)) != []
    assert list(split(b"\xff" + second[1:])) == []


def test_an_error_message_carries_the_errno() -> None:
    (refusal,) = split(bytes.fromhex("14000000 0200 0000 01000000 00000000 efffffff"))
    assert refusal.kind == ERROR
    assert error_of(refusal.data) == errno.EEXIST
    assert error_of(message("00000000", kind=2)) == 0
