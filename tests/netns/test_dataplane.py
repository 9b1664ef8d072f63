"""Addresses, links and the monitor on a real kernel, in namespaces of their own."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tests.netns.namespaces import Namespace, connect, namespace_or_skip, wait_for_carrier
from vrrpd.config.model import VirtualAddress
from vrrpd.net.interfaces import (
    AddressAdded,
    AddressRemoved,
    InterfaceAddress,
    InterfaceTable,
    LinkChanged,
    LinkRemoved,
    NetworkEvent,
    Overrun,
    lost_with,
)
from vrrpd.net.netlink import (
    AddressError,
    AddressWriter,
    InterfaceMonitor,
    encode_install,
    encode_remove,
    encode_restore,
    encode_withdraw,
)

pytestmark = pytest.mark.netns


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with an interface ``eth0``, up, without any address of its own."""
    namespace = namespace_or_skip()
    add_interface(namespace, "eth0")
    yield namespace
    namespace.close()


@pytest.fixture
def writer(namespace: Namespace) -> Iterator[AddressWriter]:
    with namespace:
        writer = AddressWriter()
    yield writer
    writer.close()


@pytest.fixture
def monitor(namespace: Namespace) -> Iterator[InterfaceMonitor]:
    with namespace:
        monitor = InterfaceMonitor()
    yield monitor
    monitor.close()


def add_interface(namespace: Namespace, name: str) -> None:
    """Adds one end of a veth pair whose other end stays out of the way in the same namespace."""
    with namespace.routing() as routing:
        routing.link("add", ifname=name, kind="veth", peer={"ifname": f"{name}-far"})
    for end in (name, f"{name}-far"):
        namespace.write_sysctl(f"net/ipv6/conf/{end}/addr_gen_mode", 1)  # No link-local address of its own accord.
        namespace.set_link(end, "up")
    for end in (name, f"{name}-far"):
        wait_for_carrier(namespace, end)


def delete_link(namespace: Namespace, name: str) -> None:
    index = namespace.index(name)
    with namespace.routing() as routing:
        routing.link("del", index=index)


def rename_link(namespace: Namespace, name: str, new_name: str) -> None:
    index = namespace.index(name)
    with namespace.routing() as routing:
        routing.link("set", index=index, ifname=new_name)


def virtual(text: str, prefix_length: int | None = None) -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, prefix_length or address.max_prefixlen, "eth0")


def current(monitor: InterfaceMonitor, name: str = "eth0") -> InterfaceTable:
    table = InterfaceTable()
    table.replace(*monitor.snapshot())
    assert table.interface(name) is not None
    return table


def entry(monitor: InterfaceMonitor, text: str) -> InterfaceAddress:
    (found,) = current(monitor).entries("eth0", ip_address(text))
    return found


def wait_for(
    monitor: InterfaceMonitor, condition: Callable[[list[NetworkEvent]], bool], what: str
) -> list[NetworkEvent]:
    """Collects events until the condition holds of all of them."""
    events: list[NetworkEvent] = []
    deadline = time.monotonic() + 10
    while not condition(events):
        left = deadline - time.monotonic()
        assert left > 0, f"{what} did not come; seen: {events}"
        select.select([monitor], [], [], left)
        events += monitor.receive()
    return events


def test_an_installed_ipv4_address_carries_the_mark_and_what_was_configured(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    configured = VirtualAddress(
        IPv4Address("192.0.2.100"),
        24,
        "eth0",
        scope=253,
        label="eth0:vip",
        broadcast=IPv4Address("192.0.2.255"),
        no_prefix_route=True,
    )
    assert writer.submit([encode_install(configured, index)]) == []
    assert entry(monitor, "192.0.2.100") == InterfaceAddress(
        index=index,
        address=IPv4Address("192.0.2.100"),
        prefix_length=24,
        scope=253,
        permanent=True,
        no_prefix_route=True,
        ours=True,
        label="eth0:vip",
        broadcast=IPv4Address("192.0.2.255"),
        protocol=112,
    )


def test_an_installed_ipv6_address_is_usable_at_once_and_deprecated_when_configured_so(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    deprecated = VirtualAddress(IPv6Address("2001:db8::100"), 128, "eth0", preferred_lifetime=0)
    preferred = VirtualAddress(IPv6Address("2001:db8::200"), 128, "eth0")
    limited = VirtualAddress(IPv6Address("2001:db8::300"), 128, "eth0", preferred_lifetime=3600)
    assert writer.submit([encode_install(address, index) for address in (deprecated, preferred, limited)]) == []
    first = entry(monitor, "2001:db8::100")
    assert (first.tentative, first.deprecated, first.permanent, first.ours) == (False, True, True, True)
    assert entry(monitor, "2001:db8::200").deprecated is False
    third = entry(monitor, "2001:db8::300")
    assert third.deprecated is False
    assert third.preferred_lifetime is not None
    assert 3500 < third.preferred_lifetime <= 3600
    assert third.valid_lifetime is None


@pytest.mark.requirement("ND-7")
@pytest.mark.counter_case("ND-7")
def test_duplicate_address_detection_runs_where_it_is_asked_for(namespace: Namespace, writer: AddressWriter) -> None:
    other = namespace_or_skip()
    connect(namespace, "veth0", other, "veth0")
    namespace.write_sysctl("net/ipv6/conf/veth0/accept_dad", 1)
    namespace.write_sysctl("net/ipv6/conf/veth0/dad_transmits", 10)
    index = namespace.index("veth0")
    with namespace:
        monitor = InterfaceMonitor(frozenset({"veth0"}))
    monitor.snapshot()
    probed = VirtualAddress(IPv6Address("2001:db8::100"), 128, "veth0", duplicate_address_detection=True)
    plain = VirtualAddress(IPv6Address("2001:db8::200"), 128, "veth0")
    assert writer.submit([encode_install(probed, index), encode_install(plain, index)]) == []
    table = current(monitor, "veth0")
    (found,) = table.entries("veth0", IPv6Address("2001:db8::200"))
    assert found.tentative is False
    (found,) = table.entries("veth0", IPv6Address("2001:db8::100"))
    assert found.tentative is True
    monitor.close()
    other.close()


def test_the_mark_of_older_kernels_is_recognised_too(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    for text in ("192.0.2.100", "2001:db8::100"):
        message = encode_install(virtual(text), index, keeps_protocol=False)
        without_protocol = message.replace(bytes.fromhex("05000b0070000000"), bytes.fromhex("05000b0000000000"))
        assert without_protocol != message
        assert writer.submit([without_protocol]) == []
        found = entry(monitor, text)
        assert (found.protocol, found.ours) == (0, True)


def test_an_address_that_an_administrator_added_is_not_ours(namespace: Namespace, monitor: InterfaceMonitor) -> None:
    namespace.add_address("eth0", "192.0.2.1", 24)
    namespace.add_address("eth0", "2001:db8::1", 64)
    assert entry(monitor, "192.0.2.1").ours is False
    assert entry(monitor, "2001:db8::1").ours is False


@pytest.mark.parametrize("text", ["192.0.2.100", "2001:db8::100"])
def test_an_address_that_is_already_there_is_refused_and_stays_as_it_was(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor, text: str
) -> None:
    address = virtual(text)
    namespace.add_address("eth0", text, address.prefix_length)
    before = entry(monitor, text)
    message = encode_install(address, namespace.index("eth0"))
    assert writer.submit([message]) == [AddressError(0, errno.EEXIST)]
    assert entry(monitor, text) == before


@pytest.mark.parametrize("text", ["192.0.2.100", "2001:db8::100"])
def test_a_withdrawn_address_is_gone_and_gone_already_the_second_time(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor, text: str
) -> None:
    index = namespace.index("eth0")
    address = virtual(text)
    writer.submit([encode_install(address, index)])
    assert current(monitor).holds("eth0", address.address)
    assert writer.submit([encode_withdraw(address, index)]) == []
    assert not current(monitor).holds("eth0", address.address)
    assert writer.submit([encode_withdraw(address, index)]) == [AddressError(0, errno.EADDRNOTAVAIL)]


@pytest.mark.parametrize(("text", "wide"), [("192.0.2.100", 24), ("2001:db8::100", 64)])
def test_a_withdrawal_leaves_the_same_address_with_another_prefix_length_alone(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor, text: str, wide: int
) -> None:
    namespace.add_address("eth0", text, wide)
    errors = writer.submit([encode_withdraw(virtual(text), namespace.index("eth0"))])
    assert errors == [AddressError(0, errno.EADDRNOTAVAIL)]
    assert current(monitor).holds("eth0", ip_address(text), wide)


def test_a_refused_message_does_not_stop_the_ones_behind_it(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    messages = [
        encode_install(virtual("192.0.2.100"), index),
        encode_install(virtual("192.0.2.100"), index),
        encode_withdraw(virtual("2001:db8::99"), index),
        encode_install(virtual("2001:db8::100"), index),
        encode_install(virtual("192.0.2.101"), 9999),
        encode_install(virtual("192.0.2.102"), index),
    ]
    assert writer.submit(messages) == [
        AddressError(1, errno.EEXIST),
        AddressError(2, errno.EADDRNOTAVAIL),
        AddressError(4, errno.ENODEV),
    ]
    table = current(monitor)
    for text in ("192.0.2.100", "2001:db8::100", "192.0.2.102"):
        assert table.holds("eth0", ip_address(text))


def test_hundreds_of_addresses_go_in_one_call_and_every_refusal_is_told(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    addresses = [virtual(str(IPv4Address("198.51.100.0") + i)) for i in range(256)]
    addresses += [virtual(str(IPv6Address("2001:db8::") + i)) for i in range(1, 513)]
    installs = [encode_install(address, index) for address in addresses]
    assert writer.submit(installs) == []
    assert writer.submit(installs) == [AddressError(position, errno.EEXIST) for position in range(768)]
    table = current(monitor)
    assert {address.address for address in addresses} <= {held.address for held in table.addresses("eth0")}
    assert writer.submit([encode_withdraw(address, index) for address in addresses]) == []
    assert not [held for held in current(monitor).addresses("eth0") if held.ours]


def test_refusals_that_were_lost_are_told_as_lost(namespace: Namespace, writer: AddressWriter) -> None:
    writer._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # The kernel's least: two kilobytes or so.
    messages = [encode_withdraw(virtual("192.0.2.100"), namespace.index("eth0"))] * 100
    errors = writer.submit(messages)
    assert [error.position for error in errors] == list(range(100))
    assert {error.errno for error in errors} == {errno.EADDRNOTAVAIL, errno.ENOBUFS}
    # And the next batch is not confused by it.
    assert writer.submit([encode_install(virtual("192.0.2.100"), namespace.index("eth0"))]) == []


def test_addresses_cannot_be_put_on_an_interface_that_is_gone(namespace: Namespace, writer: AddressWriter) -> None:
    index = namespace.index("eth0")
    delete_link(namespace, "eth0")
    errors = writer.submit(
        [
            encode_install(virtual("192.0.2.100"), index),
            encode_install(virtual("2001:db8::100"), index),
            encode_withdraw(virtual("192.0.2.100"), index),
            encode_withdraw(virtual("2001:db8::100"), index),
        ]
    )
    assert [error.errno for error in errors] == [errno.ENODEV] * 4


def test_an_ipv6_address_is_refused_with_eacces_where_ipv6_is_off(namespace: Namespace, writer: AddressWriter) -> None:
    namespace.write_sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
    errors = writer.submit([encode_install(virtual("2001:db8::100"), namespace.index("eth0"))])
    assert errors == [AddressError(0, errno.EACCES)]


def test_a_leftover_is_removed_by_what_the_kernel_says_of_it(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    writer.submit([encode_install(virtual(text), namespace.index("eth0")) for text in ("192.0.2.100", "fe80::100")])
    leftovers = [held for held in current(monitor).addresses("eth0") if held.ours]
    assert len(leftovers) == 2
    assert writer.submit([encode_remove(held) for held in leftovers]) == []
    assert not [held for held in current(monitor).addresses("eth0") if held.ours]


@pytest.mark.parametrize("promote", [False, True], ids=["secondaries-deleted", "secondaries-promoted"])
def test_the_kernel_deletes_with_a_primary_exactly_what_lost_with_says(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor, promote: bool
) -> None:
    namespace.write_sysctl("net/ipv4/conf/all/promote_secondaries", int(promote))
    namespace.write_sysctl("net/ipv4/conf/eth0/promote_secondaries", int(promote))
    index = namespace.index("eth0")
    address = virtual("192.0.2.100", 24)
    writer.submit([encode_install(address, index)])
    for text, prefix_length in (("192.0.2.1", 24), ("192.0.2.2", 25), ("198.51.100.1", 24), ("192.0.2.3", 24)):
        namespace.add_address("eth0", text, prefix_length)
    before = current(monitor).addresses("eth0")
    (primary,) = (held for held in before if held.address == address.address)
    lost = lost_with(primary, before)
    assert [str(held) for held in lost] == ["192.0.2.1/24", "192.0.2.3/24"]
    assert writer.submit([encode_withdraw(address, index)]) == []
    after = {held.key for held in current(monitor).addresses("eth0")}
    gone = {held.key for held in before} - after
    assert gone == {primary.key} if promote else {primary.key, *(held.key for held in lost)}


def test_a_withdrawal_and_the_restoration_of_the_nodes_own_addresses_go_in_one_batch(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    namespace.write_sysctl("net/ipv4/conf/all/promote_secondaries", 0)
    index = namespace.index("eth0")
    address = virtual("192.0.2.100", 24)
    writer.submit([encode_install(address, index)])
    namespace.add_address("eth0", "192.0.2.1", 24, broadcast="192.0.2.255", label="eth0:own", proto=4)
    before = current(monitor).addresses("eth0")
    (own,) = (held for held in before if held.address == IPv4Address("192.0.2.1"))
    (primary,) = (held for held in before if held.address == address.address)
    assert own.secondary
    batch = [encode_withdraw(address, index), *(encode_restore(held) for held in lost_with(primary, before))]
    assert writer.submit(batch) == []
    after = entry(monitor, "192.0.2.1")
    assert (after.secondary, after.label, after.broadcast, after.protocol, after.permanent, after.ours) == (
        False,
        "eth0:own",
        IPv4Address("192.0.2.255"),
        4,
        True,
        False,
    )


def test_a_restored_address_keeps_its_lifetime_and_its_peer(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    leased = InterfaceAddress(
        index, IPv4Address("192.0.2.1"), 24, label="eth0", preferred_lifetime=1800, valid_lifetime=3600
    )
    remote = InterfaceAddress(
        index, IPv4Address("198.51.100.1"), 32, label="eth0", peer=IPv4Address("198.51.100.2"), no_prefix_route=True
    )
    assert writer.submit([encode_restore(leased), encode_restore(remote)]) == []
    found = entry(monitor, "192.0.2.1")
    assert found.permanent is False
    assert found.valid_lifetime is not None
    assert 3500 < found.valid_lifetime <= 3600
    there = entry(monitor, "198.51.100.1")
    assert (there.peer, there.no_prefix_route) == (IPv4Address("198.51.100.2"), True)
    assert writer.submit([encode_restore(found)]) == [AddressError(0, errno.EEXIST)]
    assert writer.submit([encode_remove(there)]) == []


def test_pyroute2_reads_the_same_from_the_kernel(namespace: Namespace, writer: AddressWriter) -> None:
    index = namespace.index("eth0")
    writer.submit([encode_install(virtual(text), index) for text in ("192.0.2.100", "2001:db8::100")])
    namespace.add_address("eth0", "198.51.100.1", 24, broadcast="198.51.100.255", label="eth0:x", preferred_lft=60)
    namespace.add_address("eth0", "2001:db8:1::1", 64, flags=0x200)
    with namespace:
        monitor = InterfaceMonitor()
    interfaces, addresses = monitor.snapshot()
    monitor.close()
    with namespace.routing() as routing:
        links, held = list(routing.get_links()), list(routing.get_addr())
    assert len(links) == 3
    assert [
        (found.index, found.name, found.mac.hex(":"), found.mtu, found.operational_state) for found in interfaces
    ] == [
        (link["index"], *(link.get_attr(f"IFLA_{name}") for name in ("IFNAME", "ADDRESS", "MTU", "OPERSTATE")))
        for link in links
    ]
    assert [
        (found.index, str(found.address), found.prefix_length, found.scope, found.label, found.protocol)
        for found in addresses
    ] == [
        (
            other["index"],
            other.get_attr("IFA_LOCAL") or other.get_attr("IFA_ADDRESS"),
            other["prefixlen"],
            other["scope"],
            other.get_attr("IFA_LABEL"),
            other.get_attr("IFA_PROTO") or 0,
        )
        for other in held
    ]
    assert [found.no_prefix_route for found in addresses] == [
        bool(other.get_attr("IFA_FLAGS") & 0x200) for other in held
    ]
    assert {str(found) for found in addresses} >= {"192.0.2.100/32", "198.51.100.1/24", "2001:db8:1::1/64"}


def test_a_snapshot_describes_the_link(namespace: Namespace) -> None:
    with namespace:
        monitor = InterfaceMonitor()
    interfaces, _ = monitor.snapshot()
    links = {interface.name: interface for interface in interfaces}
    eth0, loopback = links["eth0"], links["lo"]
    assert (eth0.index, eth0.mtu, len(eth0.mac), eth0.up) == (namespace.index("eth0"), 1500, 6, True)
    assert (loopback.is_loopback, loopback.admin_up, eth0.is_loopback) == (True, False, False)
    monitor.close()


def test_a_veth_link_can_do_what_announcements_need(namespace: Namespace) -> None:
    other = namespace_or_skip()
    connect(namespace, "veth0", other, "veth0")
    with namespace:
        monitor = InterfaceMonitor(frozenset({"veth0"}))
    ((veth,), _) = monitor.snapshot()
    assert (veth.arp, veth.broadcast_capable, veth.multicast_capable, veth.up) == (True, True, True, True)
    assert veth.operational_state == "UP"
    monitor.close()
    other.close()


def test_an_interface_without_a_hardware_address_is_described(namespace: Namespace) -> None:
    with namespace:
        try:
            tun = os.open("/dev/net/tun", os.O_RDWR)
        except OSError as error:
            pytest.skip(f"needs /dev/net/tun: {error}")
        no_packet_information, tun_device, set_interface = 0x1000, 0x0001, 0x400454CA
        fcntl.ioctl(tun, set_interface, struct.pack("16sH14x", b"tun0", tun_device | no_packet_information))
        monitor = InterfaceMonitor(frozenset({"tun0"}))
    ((interface,), _) = monitor.snapshot()
    assert (interface.mac, interface.arp) == (b"", False)
    monitor.close()
    os.close(tun)


def test_the_monitor_tells_of_addresses_that_come_and_go(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    monitor.snapshot()
    index = namespace.index("eth0")
    installs = [virtual("192.0.2.100"), virtual("2001:db8::100")]

    def told(events: list[NetworkEvent], kind: type[AddressAdded] | type[AddressRemoved]) -> set[str]:
        return {str(event.address) for event in events if isinstance(event, kind) and event.address.ours}

    expected = {"192.0.2.100/32", "2001:db8::100/128"}
    writer.submit([encode_install(address, index) for address in installs])
    # The kernel tells of an IPv6 address a moment after it is there.
    wait_for(monitor, lambda events: told(events, AddressAdded) == expected, "both additions")
    writer.submit([encode_withdraw(address, index) for address in installs])
    wait_for(monitor, lambda events: told(events, AddressRemoved) == expected, "both removals")


def test_the_monitor_tells_of_a_lost_carrier_when_the_peer_goes_down_and_of_its_return(namespace: Namespace) -> None:
    other = namespace_or_skip()
    connect(namespace, "veth0", other, "veth0")
    with namespace:
        monitor = InterfaceMonitor(frozenset({"veth0"}))
    table = InterfaceTable()
    table.replace(*monitor.snapshot())

    def state(events: list[NetworkEvent]) -> tuple[bool, bool]:
        for event in events:
            table.apply(event)
        interface = table.interface("veth0")
        assert interface is not None
        return interface.admin_up, interface.carrier

    assert state([]) == (True, True)
    other.set_link("veth0", "down")
    wait_for(monitor, lambda events: state(events) == (True, False), "the loss of the carrier")
    other.set_link("veth0", "up")
    wait_for(monitor, lambda events: state(events) == (True, True), "the return of the carrier")
    namespace.set_link("veth0", "down")
    wait_for(monitor, lambda events: not state(events)[0], "admin down")
    monitor.close()
    other.close()


def test_a_link_deleted_and_made_anew_is_followed_with_its_new_index(
    namespace: Namespace, monitor: InterfaceMonitor
) -> None:
    monitor.watch(frozenset({"eth0"}))
    namespace.add_address("eth0", "192.0.2.1", 24)
    table = current(monitor)
    old_index = namespace.index("eth0")
    delete_link(namespace, "eth0")
    for event in wait_for(monitor, lambda events: LinkRemoved(old_index, "eth0") in events, "the removal"):
        table.apply(event)
    assert table.interface("eth0") is None
    add_interface(namespace, "eth0")
    namespace.add_address("eth0", "192.0.2.2", 24)
    new_index = namespace.index("eth0")
    assert new_index != old_index
    for event in wait_for(
        monitor,
        lambda events: any(
            isinstance(event, AddressAdded) and event.address.address == IPv4Address("192.0.2.2") for event in events
        ),
        "the new address",
    ):
        table.apply(event)
    found = table.interface("eth0")
    assert found is not None
    assert (found.index, found.up) == (new_index, True)
    assert table.source_address("eth0", 4) == IPv4Address("192.0.2.2")


def test_a_watched_link_that_does_not_exist_yet_is_seen_when_it_appears(namespace: Namespace) -> None:
    with namespace:
        monitor = InterfaceMonitor(frozenset({"later0"}))
    assert monitor.snapshot() == ([], [])
    add_interface(namespace, "later0")
    wait_for(
        monitor,
        lambda events: any(isinstance(event, LinkChanged) and event.interface.up for event in events),
        "the new link",
    )
    monitor.close()


def test_a_link_renamed_out_of_and_into_the_watched_names_is_removed_and_appears(namespace: Namespace) -> None:
    with namespace:
        monitor = InterfaceMonitor(frozenset({"eth0"}))
    monitor.snapshot()
    index = namespace.index("eth0")
    rename_link(namespace, "eth0", "aside0")
    wait_for(monitor, lambda events: LinkRemoved(index, "eth0") in events, "the old name's end")
    namespace.add_address("aside0", "2001:db8::1", 64)
    rename_link(namespace, "aside0", "eth0")
    events = wait_for(
        monitor,
        lambda events: any(isinstance(event, LinkChanged) and event.interface.name == "eth0" for event in events),
        "the name's return",
    )
    told = {str(event.address) for event in events if isinstance(event, AddressAdded)}
    assert "2001:db8::1/64" in told, "it came under the other name, of which nothing was told"
    assert Overrun() not in events
    monitor.close()


def test_a_link_moved_to_another_namespace_is_removed(namespace: Namespace, monitor: InterfaceMonitor) -> None:
    monitor.snapshot()
    other = namespace_or_skip()
    index = namespace.index("eth0")
    with namespace.routing() as routing:
        routing.link("set", index=index, net_ns_fd=other.descriptor)
    wait_for(monitor, lambda events: LinkRemoved(index, "eth0") in events, "the removal")
    other.close()


def test_an_interface_that_leaves_a_bridge_is_not_taken_for_deleted(
    namespace: Namespace, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    with namespace.routing() as routing:
        routing.link("add", ifname="br0", kind="bridge")
        bridge = routing.link_lookup(ifname="br0")[0]
        monitor.snapshot()
        routing.link("set", index=index, master=bridge)
        routing.link("set", index=index, master=0)
        routing.link("del", index=bridge)
    events = wait_for(monitor, lambda events: LinkRemoved(bridge, "br0") in events, "the bridge's removal")
    assert LinkRemoved(index, "eth0") not in events


def test_what_happens_to_unwatched_interfaces_is_not_told(namespace: Namespace, writer: AddressWriter) -> None:
    add_interface(namespace, "eth1")
    with namespace:
        monitor = InterfaceMonitor(frozenset({"eth1"}))
    interfaces, addresses = monitor.snapshot()
    assert [interface.name for interface in interfaces] == ["eth1"]
    assert {held.index for held in addresses} <= {namespace.index("eth1")}
    writer.submit([encode_install(virtual("192.0.2.100"), namespace.index("eth0"))])
    namespace.set_link("eth0", "down")
    delete_link(namespace, "eth0")
    writer.submit([encode_install(virtual("192.0.2.101"), namespace.index("eth1"))])
    events = wait_for(
        monitor,
        lambda events: any(
            isinstance(event, AddressAdded) and str(event.address) == "192.0.2.101/32" for event in events
        ),
        "the watched interface's address",
    )
    assert {event.address.index for event in events if isinstance(event, AddressAdded)} == {namespace.index("eth1")}
    assert not [event for event in events if isinstance(event, LinkRemoved)]
    monitor.close()


def test_an_overrun_is_told_and_the_snapshot_after_it_is_true_and_final(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    monitor.snapshot()
    addresses = [virtual(str(IPv4Address("198.51.100.0") + i)) for i in range(256)]
    installs = [encode_install(address, index) for address in addresses]
    withdrawals = [encode_withdraw(address, index) for address in addresses]
    for _ in range(40):
        assert writer.submit(installs) == []
        assert writer.submit(withdrawals) == []
    writer.submit([encode_install(virtual("192.0.2.100"), index)])
    events: list[NetworkEvent] = []
    for _ in range(1000):
        batch = monitor.receive(limit=100)
        assert len(batch) <= 100
        events += batch
        if not batch or batch[-1] == Overrun():
            break
    assert events[-1] == Overrun()
    table = current(monitor)
    assert [str(held) for held in table.addresses("eth0") if held.ours] == ["192.0.2.100/32"]
    assert monitor.receive() == [], "events from before the snapshot would undo it"
    writer.submit([encode_withdraw(virtual("192.0.2.100"), index)])
    (removed,) = monitor.receive()
    assert isinstance(removed, AddressRemoved)
    assert not select.select([monitor], [], [], 0)[0]


def test_a_forged_message_from_another_process_is_not_believed(namespace: Namespace, monitor: InterfaceMonitor) -> None:
    monitor.snapshot()
    index = namespace.index("eth0")
    forged = encode_withdraw(virtual("192.0.2.1"), index)
    with namespace:
        forger = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    port, _ = monitor._socket.getsockname()
    forger.sendto(forged, (port, 0))
    assert monitor.receive() == []
    forger.close()


def test_the_snapshot_is_true_while_addresses_change_all_the_time(
    namespace: Namespace, writer: AddressWriter, monitor: InterfaceMonitor
) -> None:
    index = namespace.index("eth0")
    lasting = [virtual(str(IPv4Address("10.0.0.0") + i)) for i in range(1000)]
    writer.submit([encode_install(address, index) for address in lasting])
    # The kernel keeps addresses of a narrower scope in front: when they go, a listing under way skips others.
    fleeting = [VirtualAddress(IPv4Address("192.0.2.0") + i, 32, "eth0", scope=253) for i in range(100)]
    churn = [encode_install(address, index) for address in fleeting]
    churn += [encode_withdraw(address, index) for address in fleeting]
    stop = threading.Event()

    def change() -> None:
        # A pause now and then: without one no listing may ever get through whole, which is no fault of it.
        while not stop.wait(0.02):
            writer.submit(churn)

    thread = threading.Thread(target=change)
    thread.start()
    consistent = 0
    deadline = time.monotonic() + 20.0
    try:
        while consistent < 20:
            assert time.monotonic() < deadline, f"only {consistent} listings were whole"
            with suppress(BlockingIOError):
                _, addresses = monitor.snapshot()
                assert {address.address for address in lasting} <= {held.address for held in addresses}
                consistent += 1
    finally:
        stop.set()
        thread.join()


def test_without_privilege_over_the_host_everything_opens_all_the_same() -> None:
    program = """
import ctypes, sys
from ipaddress import IPv4Address
libc = ctypes.CDLL(None, use_errno=True)
new_user_and_network_namespace = 0x10000000 | 0x40000000
if libc.unshare(new_user_and_network_namespace) < 0:
    sys.exit(77)
from vrrpd.net.announce import FrameSender
from vrrpd.net.netlink import AddressWriter, InterfaceMonitor, encode_install
from vrrpd.net.sockets import Receiver, Transmitter
from vrrpd.config.model import VirtualAddress
writer, monitor = AddressWriter(), InterfaceMonitor()
assert writer.submit([encode_install(VirtualAddress(IPv4Address("192.0.2.1"), 32, "lo"), 1)]) == []
receivers = Receiver("lo", 1, 4), Receiver("lo", 1, 6)
receivers[0].join(IPv4Address("224.0.0.18"))
Transmitter("lo", 1, IPv4Address("192.0.2.1"))
FrameSender(1)
print([interface.name for interface in monitor.snapshot()[0]])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("needs user namespaces")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['lo']\n", "")
