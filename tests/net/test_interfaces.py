"""The table of interfaces: what events do to it, which source address it chooses, what goes with a deleted address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from vrrpd.net.interfaces import (
    AddressAdded,
    AddressRemoved,
    Interface,
    InterfaceAddress,
    InterfaceTable,
    LinkChanged,
    LinkRemoved,
    Overrun,
    lost_with,
)

NONE: frozenset[str] = frozenset()
ETH0 = frozenset({"eth0"})


def link(index: int = 2, name: str = "eth0", admin_up: bool = True, carrier: bool = True) -> Interface:
    return Interface(
        index=index,
        name=name,
        mac=bytes.fromhex("020000000001"),
        mtu=1500,
        admin_up=admin_up,
        carrier=carrier,
        operational_state="UP" if carrier else "LOWERLAYERDOWN",
        broadcast_capable=True,
        multicast_capable=True,
        arp=True,
        is_loopback=False,
    )


def address(
    text: str,
    index: int = 2,
    *,
    scope: int = 0,
    secondary: bool = False,
    tentative: bool = False,
    dad_failed: bool = False,
    ours: bool = False,
    peer: str | None = None,
    valid_lifetime: int | None = None,
) -> InterfaceAddress:
    host, prefix_length = text.split("/")
    return InterfaceAddress(
        index,
        ip_address(host),
        int(prefix_length),
        scope=scope,
        secondary=secondary,
        tentative=tentative,
        dad_failed=dad_failed,
        ours=ours,
        peer=None if peer is None else ip_address(peer),
        valid_lifetime=valid_lifetime,
    )


def table(*addresses: InterfaceAddress) -> InterfaceTable:
    filled = InterfaceTable()
    filled.replace([link()], addresses)
    return filled


def test_an_event_names_the_interface_it_changes() -> None:
    interfaces = InterfaceTable()
    assert interfaces.apply(LinkChanged(link())) == ETH0
    assert interfaces.apply(AddressAdded(address("192.0.2.1/24"))) == ETH0
    assert interfaces.apply(LinkChanged(link(carrier=False))) == ETH0
    assert interfaces.apply(AddressRemoved(address("192.0.2.1/24"))) == ETH0
    assert interfaces.apply(LinkRemoved(2, "eth0")) == ETH0
    assert interfaces.interface("eth0") is None


def test_an_event_that_tells_nothing_new_names_no_interface() -> None:
    interfaces = table(address("192.0.2.1/24"))
    assert interfaces.apply(LinkChanged(link())) == NONE
    assert interfaces.apply(AddressAdded(address("192.0.2.1/24"))) == NONE
    assert interfaces.apply(AddressRemoved(address("192.0.2.2/24"))) == NONE
    assert interfaces.apply(LinkRemoved(9, "eth9")) == NONE
    assert interfaces.apply(Overrun()) == NONE


def test_a_renewed_lease_is_remembered_but_is_no_change() -> None:
    interfaces = table(address("192.0.2.1/24", valid_lifetime=10))
    assert interfaces.apply(AddressAdded(address("192.0.2.1/24", valid_lifetime=3600))) == NONE
    assert [entry.valid_lifetime for entry in interfaces.addresses("eth0")] == [3600]


def test_an_address_of_an_interface_that_is_not_known_names_none() -> None:
    interfaces = InterfaceTable()
    assert interfaces.apply(AddressAdded(address("192.0.2.1/24"))) == NONE
    assert interfaces.addresses("eth0") == ()


def test_a_link_that_was_deleted_and_made_anew_starts_without_the_old_addresses() -> None:
    interfaces = table(address("192.0.2.1/24"))
    interfaces.apply(LinkRemoved(2, "eth0"))
    assert interfaces.apply(LinkChanged(link(index=7))) == ETH0
    assert interfaces.addresses("eth0") == ()
    interfaces.apply(AddressAdded(address("192.0.2.1/24", index=7)))
    assert interfaces.holds("eth0", IPv4Address("192.0.2.1"))


def test_a_link_made_anew_replaces_the_old_one_even_when_nobody_told_of_its_end() -> None:
    interfaces = table(address("192.0.2.1/24"))
    assert interfaces.apply(LinkChanged(link(index=7))) == ETH0
    assert interfaces.addresses("eth0") == ()
    assert interfaces.apply(LinkRemoved(2, "eth0")) == NONE
    found = interfaces.interface("eth0")
    assert found is not None
    assert found.index == 7


def test_a_renamed_link_keeps_its_addresses_and_changes_both_names() -> None:
    interfaces = table(address("192.0.2.1/24"))
    assert interfaces.apply(LinkChanged(link(name="lan0"))) == {"eth0", "lan0"}
    assert interfaces.interface("eth0") is None
    assert interfaces.addresses("eth0") == ()
    assert interfaces.holds("lan0", IPv4Address("192.0.2.1"))
    assert interfaces.name(2) == "lan0"
    assert interfaces.name(3) is None


def test_two_links_can_swap_names() -> None:
    interfaces = InterfaceTable()
    interfaces.replace([link(2, "eth0"), link(3, "eth1")], [address("192.0.2.1/24", 2), address("192.0.2.2/24", 3)])
    interfaces.apply(LinkChanged(link(2, "swap")))
    interfaces.apply(LinkChanged(link(3, "eth0")))
    interfaces.apply(LinkChanged(link(2, "eth1")))
    assert interfaces.holds("eth1", IPv4Address("192.0.2.1"))
    assert interfaces.holds("eth0", IPv4Address("192.0.2.2"))
    assert interfaces.interface("swap") is None


def test_a_snapshot_names_only_what_is_different_now() -> None:
    interfaces = InterfaceTable()
    links = [link(2, "eth0"), link(3, "eth1"), link(4, "eth2"), link(5, "eth3")]
    assert interfaces.replace(links, [address("192.0.2.1/24")]) == {"eth0", "eth1", "eth2", "eth3"}
    changed = interfaces.replace(
        [link(2, "eth0"), link(3, "eth1", carrier=False), link(5, "eth3")],
        [address("192.0.2.1/24"), address("198.51.100.1/24", 5)],
    )
    assert changed == {"eth1", "eth2", "eth3"}


def test_an_interface_says_why_it_is_down() -> None:
    assert link().why_down() is None
    assert link(carrier=False).why_down() == "has no carrier"
    assert link(admin_up=False, carrier=False).why_down() == "is down"
    assert [link(admin_up=up, carrier=carrier).up for up in (True, False) for carrier in (True, False)] == [
        True,
        False,
        False,
        False,
    ]


def test_holds_tells_prefix_lengths_apart_when_asked() -> None:
    interfaces = table(address("192.0.2.1/24"), address("192.0.2.1/32"), address("192.0.2.2/24"))
    assert interfaces.holds("eth0", IPv4Address("192.0.2.1"), 32)
    assert interfaces.holds("eth0", IPv4Address("192.0.2.2"))
    assert not interfaces.holds("eth0", IPv4Address("192.0.2.2"), 32)
    assert not interfaces.holds("eth1", IPv4Address("192.0.2.1"))
    assert [entry.prefix_length for entry in interfaces.entries("eth0", IPv4Address("192.0.2.1"))] == [24, 32]


VIP = IPv4Address("192.0.2.100")
FIRST = IPv4Address("192.0.2.1")
SECOND = IPv4Address("192.0.2.2")


@pytest.mark.requirement("HDR-1")
@pytest.mark.counter_case("HDR-1")
def test_the_ipv4_source_is_the_first_address_that_is_not_virtual() -> None:
    interfaces = table(address("192.0.2.100/32"), address("192.0.2.1/24"), address("192.0.2.2/24"))
    assert interfaces.source_address("eth0", 4, {VIP}) == FIRST
    assert interfaces.source_address("eth0", 4) == VIP


@pytest.mark.requirement("HDR-1")
def test_the_ipv4_source_is_primary_before_secondary_and_global_before_link_scope() -> None:
    interfaces = table(
        address("169.254.1.1/16", scope=253), address("192.0.2.2/24", secondary=True), address("192.0.2.1/24")
    )
    assert interfaces.source_address("eth0", 4) == FIRST
    assert table(address("192.0.2.2/24", secondary=True)).source_address("eth0", 4) == SECOND
    assert table(address("169.254.1.1/16", scope=253)).source_address("eth0", 4) == IPv4Address("169.254.1.1")


def test_the_ipv4_source_stays_when_another_address_comes() -> None:
    interfaces = table(address("192.0.2.2/24"))
    interfaces.apply(AddressAdded(address("192.0.2.1/24")))
    assert interfaces.source_address("eth0", 4) == SECOND


@pytest.mark.counter_case("HDR-1")
def test_a_leftover_that_carries_our_mark_is_never_a_source() -> None:
    interfaces = table(address("192.0.2.100/32", ours=True))
    assert interfaces.source_address("eth0", 4) is None
    assert interfaces.why_no_source("eth0", 4) == "eth0 has no IPv4 address of its own (only virtual: 192.0.2.100)"


@pytest.mark.requirement("HDR-2")
@pytest.mark.counter_case("HDR-2")
def test_the_ipv6_source_is_a_link_local_address_that_is_not_virtual() -> None:
    interfaces = table(address("2001:db8::1/64"), address("fe80::100/128"), address("fe80::1/64"))
    assert interfaces.source_address("eth0", 6, {IPv6Address("fe80::100")}) == IPv6Address("fe80::1")


def test_a_missing_source_is_explained() -> None:
    def why(*addresses: InterfaceAddress, family: int = 6) -> str | None:
        return table(*addresses).why_no_source("eth0", 4 if family == 4 else 6, {VIP, IPv6Address("fe80::100")})

    assert InterfaceTable().why_no_source("eth0", 4) == "interface eth0 does not exist"
    assert why(family=4) == "eth0 has no IPv4 address"
    assert why(address("192.0.2.100/32"), family=4) == (
        "eth0 has no IPv4 address of its own (only virtual: 192.0.2.100)"
    )
    assert why(address("127.0.0.1/8", scope=254), family=4) == "127.0.0.1 is valid only within this host"
    assert why(address("2001:db8::1/64")) == "eth0 has no link-local IPv6 address"
    assert why(address("fe80::100/128")) == ("eth0 has no link-local IPv6 address of its own (only virtual: fe80::100)")
    assert why(address("fe80::1/64", tentative=True), address("fe80::2/64", tentative=True, dad_failed=True)) == (
        "fe80::1 is still tentative (duplicate address detection is running), "
        "fe80::2 failed duplicate address detection: another host has it"
    )
    assert why(address("fe80::1/64")) is None


def test_a_source_becomes_usable_once_it_is_no_longer_tentative() -> None:
    interfaces = table(address("fe80::1/64", tentative=True))
    assert interfaces.source_address("eth0", 6) is None
    assert interfaces.apply(AddressAdded(address("fe80::1/64"))) == ETH0
    assert interfaces.source_address("eth0", 6) == IPv6Address("fe80::1")


def test_a_primary_address_takes_the_secondaries_of_its_subnet_with_it() -> None:
    primary = address("192.0.2.100/24")
    secondary = address("192.0.2.1/24", secondary=True)
    everything = [
        primary,
        secondary,
        address("192.0.2.2/25", secondary=True),
        address("198.51.100.1/24", secondary=True),
        address("192.0.2.3/24", index=3, secondary=True),
        address("192.0.2.4/24"),
        address("fe80::1/64"),
    ]
    assert lost_with(primary, everything) == [secondary]
    assert lost_with(secondary, everything) == []
    assert lost_with(address("fe80::1/64"), everything) == []


def test_the_subnet_of_a_point_to_point_address_is_its_peers() -> None:
    primary = address("192.0.2.100/24", peer="198.51.100.9")
    same = address("192.0.2.101/24", peer="198.51.100.10", secondary=True)
    assert lost_with(primary, [primary, same, address("192.0.2.1/24", secondary=True)]) == [same]
