"""Virtual addresses in the kernel: as configured, only ours taken off again, nobody else's ever touched."""

from __future__ import annotations

import signal
from ipaddress import IPv4Address

import pytest

from tests.netns.daemons import Daemon, Daemons, instance
from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.net.interfaces import InterfaceAddress
from vrrpd.net.netlink import InterfaceMonitor

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"


def entry(host: Host, address: str, interface: str = "eth0") -> InterfaceAddress:
    """One address as the kernel describes it."""

    def look() -> InterfaceAddress:
        monitor = InterfaceMonitor()
        interfaces, addresses = monitor.snapshot()
        monitor.close()
        (index,) = (found.index for found in interfaces if found.name == interface)
        (wanted,) = (found for found in addresses if found.index == index and str(found.address) == address)
        return wanted

    return host.call(look)


def serving(daemon: Daemon, host: Host, vip: str = VIP, interface: str = "eth0") -> None:
    """Waits until the router is MASTER and the address there."""
    daemon.wait_for_state("MASTER")
    wait_until(lambda: host.has_address(vip, interface), what=f"{vip} on {interface}")


def own(host: Host, interface: str = "eth0") -> list[tuple[str, int]]:
    """The addresses without the link-local one that the kernel makes."""
    return [(address, length) for address, length in host.addresses(interface) if not address.startswith("fe80")]


@pytest.mark.requirement("OWN-6", "K-OWNVIP")
@pytest.mark.counter_case("OWN-6")
def test_an_address_that_was_there_before_is_announced_and_left_alone(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    r1.add_address("eth0", f"{VIP}/24")
    capture = lan.capture()
    daemon = daemons.start(r1, instance(addresses=[f"{VIP}/24", "192.0.2.101/24"]))
    serving(daemon, r1, "192.0.2.101")
    capture.wait_for(lambda frame: bool(capture.announcements(VIP)), what="a gratuitous ARP")
    shown = {entry["address"]: entry for entry in daemon.router()["addresses"]}
    assert (shown[VIP]["was_there_before"], shown[VIP]["installed"]) == (True, False)
    assert (shown["192.0.2.101"]["was_there_before"], shown["192.0.2.101"]["installed"]) == (False, True)
    assert f"(VI_1) {VIP} was on eth0 before: it is announced, and left alone afterwards" in daemon.log
    assert daemon.process.stop() == 0
    assert own(r1) == [("192.0.2.1", 24), (VIP, 24), ("2001:db8::1", 64)]


@pytest.mark.requirement("OWN-6")
def test_the_same_address_with_another_prefix_length_is_left_alone(r1: Host, daemons: Daemons) -> None:
    r1.add_address("eth0", f"{VIP}/32")
    daemon = daemons.start(r1, instance(addresses=[f"{VIP}/24"]))
    daemon.wait_for_state("MASTER")
    wait_until(lambda: (VIP, 24) in own(r1), what="our address")
    assert daemon.process.stop() == 0
    assert own(r1) == [("192.0.2.1", 24), (VIP, 32), ("2001:db8::1", 64)]


@pytest.mark.requirement("SHUT-4", "OWN-6")
@pytest.mark.counter_case("OWN-6")
def test_leftovers_of_a_killed_daemon_are_withdrawn_and_only_those_of_this_configuration(
    lan: Bridge, r1: Host, r2: Host, daemons: Daemons
) -> None:
    r1.add_address("eth0", "192.0.2.50/32")  # somebody's, and configured
    first = daemons.start(r1, instance(addresses=[f"{VIP}/24", "192.0.2.50"]))
    second = daemons.start(r1, instance(vrid=52, addresses=["192.0.2.200/24"]), name="other")
    serving(first, r1)
    serving(second, r1, "192.0.2.200")
    for daemon in (first, second):
        daemon.process.kill()
        assert daemon.process.wait() == -signal.SIGKILL
    assert r1.has_address(VIP)
    master = daemons.start(r2, instance(priority=200, addresses=[f"{VIP}/24", "192.0.2.50"]))
    master.wait_for_state("MASTER")
    again = daemons.start(r1, instance(addresses=[f"{VIP}/24", "192.0.2.50"]))
    again.wait_for(lambda router: router["master"]["address"] == "192.0.2.2", "r1 following r2")
    assert f"withdrawing {VIP} from eth0: left behind by a predecessor" in again.log
    assert own(r1) == [("192.0.2.1", 24), ("192.0.2.50", 32), ("192.0.2.200", 24), ("2001:db8::1", 64)]


def keep_no_secondaries(host: Host) -> None:
    """Lets the kernel delete the secondary addresses of a subnet with the primary one."""
    for interface in ("all", "eth0"):
        host.sysctl(f"net.ipv4.conf.{interface}.promote_secondaries", 0)


def test_withdrawing_does_not_take_the_nodes_own_address_along(lab: Lab, lan: Bridge, daemons: Daemons) -> None:
    host = lab.host("r1")
    host.connect(lan, "eth0", "198.51.100.1/24")
    keep_no_secondaries(host)
    daemon = daemons.start(host, instance())
    serving(daemon, host)
    host.add_address("eth0", "192.0.2.1/24")  # secondary: ours came first
    assert entry(host, "192.0.2.1").secondary
    assert daemon.process.stop() == 0
    wait_until(lambda: own(host) == [("198.51.100.1", 24), ("192.0.2.1", 24)], what="the node's addresses alone")
    assert entry(host, "192.0.2.1").broadcast == IPv4Address("192.0.2.255")


def test_withdrawing_leftovers_does_not_take_the_nodes_own_address_along(
    lab: Lab, lan: Bridge, daemons: Daemons
) -> None:
    host = lab.host("r1")
    host.connect(lan, "eth0", "198.51.100.1/24")
    keep_no_secondaries(host)
    killed = daemons.start(host, instance())
    serving(killed, host)
    host.add_address("eth0", "192.0.2.1/24")
    killed.process.kill()
    killed.process.wait()
    daemon = daemons.start(host, instance(interval=1))
    daemon.wait_for_state("BACKUP")
    wait_until(lambda: own(host) == [("198.51.100.1", 24), ("192.0.2.1", 24)], what="the node's addresses alone")


@pytest.mark.requirement("ND-7")
def test_ipv6_addresses_are_usable_at_once_and_single(lab: Lab, lan: Bridge, daemons: Daemons) -> None:
    host = lab.host("r1", dad=True)
    daemon = daemons.start(host, instance(addresses=["fe80::5:1", "2001:db8::100"]))
    daemon.wait_for_state("FAULT")
    host.connect(lan, "eth0")
    # The interface's own link-local address is probed for duplicates, and the kernel tells of it when it is done or
    # when it is asked meanwhile. Ours are not probed.
    daemon.process.wait_for_log("still in FAULT: (eth0 has no link-local IPv6 address|fe80::.* is still tentative)")
    daemon.wait_for_state("MASTER")
    wait_until(lambda: host.has_address("2001:db8::100"), what="the address")
    for address in ("fe80::5:1", "2001:db8::100"):
        found = entry(host, address)
        assert (found.prefix_length, found.tentative, found.dad_failed, found.ours) == (128, False, False, True)


@pytest.mark.requirement("HDR-2")
@pytest.mark.counter_case("HDR-2")
def test_over_ipv6_advertisements_come_from_the_link_local_address(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    capture, own_address = lan.capture(), str(r1.link_local())
    daemon = daemons.start(r1, instance(addresses=["fe80::5:1/64", "2001:db8::100/64"]))
    daemon.wait_for_state("MASTER")
    capture.wait_for_advertisement(51, own_address, priority=100)
    assert {str(seen.source) for _, seen in capture.advertisements(51)} == {own_address}


def test_addresses_are_installed_as_configured(lab: Lab, lan: Bridge, daemons: Daemons) -> None:
    host, far = lab.host("r1"), lab.bridge("far")
    host.connect(lan, "eth0", "192.0.2.1/24")
    host.connect(far, "eth1", "198.51.100.1/24")
    wire = far.capture()
    addresses = [
        f"{VIP}/24 brd 192.0.2.255 label eth0:vip",
        "192.0.2.101/28 scope link",
        "192.0.2.102",
        "198.51.100.100/24 dev eth1",
    ]
    daemon = daemons.start(host, instance(addresses=addresses))
    serving(daemon, host, "198.51.100.100", "eth1")
    first = entry(host, VIP)
    assert (first.prefix_length, first.broadcast, first.label) == (24, IPv4Address("192.0.2.255"), "eth0:vip")
    second = entry(host, "192.0.2.101")
    assert (second.prefix_length, second.scope) == (28, 253)
    assert entry(host, "192.0.2.102").prefix_length == 32
    assert entry(host, "198.51.100.100", "eth1").prefix_length == 24
    wire.wait_for(lambda frame: bool(wire.announcements("198.51.100.100")), what="a gratuitous ARP on eth1")
    assert wire.advertisements() == []
    assert daemon.process.stop() == 0
    assert own(host) == [("192.0.2.1", 24)]
    assert own(host, "eth1") == [("198.51.100.1", 24)]


@pytest.mark.counter_case("FMT-11")
def test_excluded_addresses_of_the_other_family_come_and_go_along_and_are_not_advertised(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    capture = lan.capture()
    excluded = ["virtual_ipaddress_excluded {", "2001:db8::100/64", "192.0.2.101", "}"]
    daemon = daemons.start(r1, instance(*excluded))
    serving(daemon, r1)
    wait_until(lambda: r1.has_address("2001:db8::100") and r1.has_address("192.0.2.101"), what="the excluded addresses")
    capture.wait_for(lambda frame: bool(capture.announcements("2001:db8::100")), what="an unsolicited NA")
    capture.wait_for(lambda frame: bool(capture.announcements("192.0.2.101")), what="a gratuitous ARP")
    assert {seen.addresses for _, seen in capture.advertisements(51)} == {(IPv4Address(VIP),)}
    assert daemon.process.stop() == 0
    assert own(r1) == [("192.0.2.1", 24), ("2001:db8::1", 64)]


@pytest.mark.requirement("OWN-3", "OWN-6", "SM-I-2", "K-OWNVIP")
def test_an_owner_starts_as_master_and_keeps_its_address(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    capture = lan.capture()
    daemon = daemons.start(r1, instance(priority=255, interval=1, addresses=["192.0.2.1/24"]))
    capture.wait_for_advertisement(51, "192.0.2.1", priority=255)
    router = daemon.wait_for_state("MASTER")
    assert router["last_transition"]["from"] == "INIT"
    assert router["addresses"][0]["was_there_before"]
    assert "Entering BACKUP STATE" not in daemon.log
    capture.wait_for(lambda frame: bool(capture.announcements("192.0.2.1")), what="a gratuitous ARP")
    assert daemon.process.stop() == 0
    capture.wait_for_advertisement(51, "192.0.2.1", priority=0)
    assert own(r1) == [("192.0.2.1", 24), ("2001:db8::1", 64)]


def test_an_address_that_the_kernel_refuses_is_a_fault_with_the_kernels_reason(
    r1: Host, r2: Host, daemons: Daemons
) -> None:
    r1.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    daemon = daemons.start(r1, instance("virtual_ipaddress_excluded {", "2001:db8::100", "}"))
    router = daemon.wait_for(lambda router: bool(router["faults"]), "a fault")
    assert router["state"] == "FAULT"
    assert router["faults"][0]["kind"] == "install"
    assert "the kernel refuses address 2001:db8::100: Permission denied" in router["faults"][0]["detail"]
    wait_until(lambda: not r1.has_address(VIP), what="the withdrawal of the other address")
