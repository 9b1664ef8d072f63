"""What happens to interfaces and addresses under a running daemon, and the state that follows from it."""

from __future__ import annotations

import errno
import fcntl
import signal
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from tests.netns.daemons import Daemon, Daemons, gaps, holds_for, instance
from vrrpd.config.model import VirtualAddress
from vrrpd.lab import Arp, Bridge, Host, Lab, NeighbourAdvertisement, wait_until
from vrrpd.net.netlink import AddressWriter, encode_install, encode_withdraw

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"
VIP6 = ("fe80::5:1", "2001:db8::100")
SIOCSIFNAME = 0x8923


def in_fault_because(daemon: Daemon, kind: str, detail: str, also_in_log: bool = True) -> None:
    """Waits for FAULT with this one reason, in status and, where it came first, in the log."""

    def fits(router: dict[str, Any]) -> bool:
        return [(fault["kind"], fault["detail"]) for fault in router["faults"]] == [(kind, detail)]

    router = daemon.wait_for(fits, f"FAULT by {kind}: {detail}")
    assert router["state"] == "FAULT"
    if also_in_log:
        wait_until(lambda: f"Entering FAULT STATE (was {_previous(router)}): {detail}" in daemon.log, what="the reason")


def _previous(router: dict[str, Any]) -> str:
    return str(router["last_transition"]["from"])


def usable_again(daemon: Daemon, host: Host, vip: str = VIP, interface: str = "eth0") -> None:
    """Waits until the router serves its address."""
    daemon.wait_for_state("MASTER")
    wait_until(lambda: host.has_address(vip, interface), what=f"{vip} on {interface}")


@pytest.mark.requirement("SM-I-1")
def test_an_interface_that_is_missing_at_start_is_a_fault_until_it_appears(
    lab: Lab, lan: Bridge, daemons: Daemons
) -> None:
    host = lab.host("r1")
    daemon = daemons.start(host, instance())
    in_fault_because(daemon, "interface", "interface eth0 does not exist")
    capture = lan.capture()
    host.connect(lan, "eth0", "192.0.2.1/24")
    usable_again(daemon, host)
    capture.wait_for_advertisement(51, "192.0.2.1", priority=100)


@pytest.mark.requirement("ARP-9", "K-FAULT")
def test_a_cable_that_is_pulled_is_a_fault_and_plugged_in_again_an_election(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance())
    usable_again(daemon, r1)
    lan.unplug(r1)
    in_fault_because(daemon, "interface", "interface eth0 has no carrier")
    wait_until(lambda: not r1.has_address(VIP), what="the withdrawal")
    capture = lan.capture()
    lan.plug(r1)
    usable_again(daemon, r1)
    capture.wait_for(lambda frame: bool(capture.announcements(VIP)), what="a gratuitous ARP")
    assert "Entering BACKUP STATE (was FAULT): no longer: interface eth0 has no carrier" in daemon.log


@pytest.mark.requirement("K-NOTRACK")
def test_with_dont_track_primary_a_pulled_cable_is_no_fault(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    tracked = instance(name="VI_2", vrid=52, addresses=["192.0.2.101/24"])
    daemon = daemons.start(r1, instance("dont_track_primary") + tracked)
    usable_again(daemon, r1)
    daemon.wait_for_state("MASTER", "VI_2")
    lan.unplug(r1)
    daemon.wait_for_state("FAULT", "VI_2")
    router = daemon.router()
    assert (router["state"], router["faults"], router["counters"]["became_master"]) == ("MASTER", [], 1)
    assert r1.has_address(VIP)


@pytest.mark.requirement("SHUT-3", "K-FAULT")
def test_an_interface_set_down_is_a_fault_and_up_an_election_in_both_families(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance() + instance(name="VI_6", addresses=VIP6))
    usable_again(daemon, r1)
    daemon.wait_for_state("MASTER", "VI_6")
    r1.set_link("eth0", up=False)
    in_fault_because(daemon, "interface", "interface eth0 is down")
    daemon.wait_for_state("FAULT", "VI_6")
    capture = lan.capture()
    r1.set_link("eth0", up=True)
    usable_again(daemon, r1)
    daemon.wait_for_state("MASTER", "VI_6")
    wait_until(lambda: r1.has_address(VIP6[1]), what="the IPv6 address")
    capture.wait_for(lambda frame: bool(capture.announcements(VIP6[1])), what="an unsolicited NA")
    assert daemon.process.stop() == 0
    left = {address for address, _ in r1.addresses()}
    assert not left & {VIP, *VIP6}


def test_an_interface_that_is_deleted_and_made_again_is_used_again(
    lab: Lab, lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance())
    usable_again(daemon, r1)
    r1.delete_link("eth0")
    in_fault_because(daemon, "interface", "interface eth0 does not exist", also_in_log=False)
    other = lab.host("other")
    other.connect(lan, "eth0", "192.0.2.9/24")
    r1.connect(lan, "eth0", "192.0.2.7/24", mac="02:00:00:00:00:07")
    capture = lan.capture()
    usable_again(daemon, r1)
    capture.wait_for_advertisement(51, "192.0.2.7", priority=100)
    announced = capture.wait_for(lambda frame: bool(capture.announcements(VIP)), what="a gratuitous ARP")
    assert announced is not None
    (_, arp), *_ = capture.announcements(VIP)
    assert isinstance(arp, Arp)
    assert arp.sender_mac == "02:00:00:00:00:07"
    # It hears again, too: a better router deposes it.
    better = daemons.start(other, instance(priority=200))
    better.wait_for_state("MASTER")
    daemon.wait_for_state("BACKUP")


@pytest.mark.requirement("HDR-3", "K-SADDR")
def test_the_source_address_taken_away_is_priority_0_and_a_fault_until_it_is_back(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance())
    usable_again(daemon, r1)
    capture = lan.capture()
    r1.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    r1.remove_address("eth0", "192.0.2.1/24")
    in_fault_because(daemon, "source_address", "eth0 has no IPv4 address")
    capture.wait_for_advertisement(51, "192.0.2.1", priority=0)
    wait_until(lambda: not r1.has_address(VIP), what="the withdrawal")
    assert not [seen for _, seen in capture.advertisements(51) if str(seen.source) == VIP]
    r1.add_address("eth0", "192.0.2.1/24")
    usable_again(daemon, r1)


@pytest.mark.requirement("HDR-1", "TX-1")
@pytest.mark.counter_case("HDR-1")
def test_another_address_is_adopted_as_source_without_a_flap(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance(addresses=[f"{VIP}/32"]))
    usable_again(daemon, r1)
    r1.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    r1.add_address("eth0", "192.0.2.5/24")
    r1.remove_address("eth0", "192.0.2.1/24")
    capture = lan.capture()
    capture.wait_for_advertisement(51, "192.0.2.5", priority=100)
    router = daemon.router()
    assert router["source_address"] == "192.0.2.5"
    assert router["counters"]["became_master"] == 1
    assert router["state"] == "MASTER"
    assert not [seen for _, seen in capture.advertisements(51) if str(seen.source) == VIP]


def test_a_changed_hardware_address_is_announced_for_the_virtual_addresses(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance("garp_master_delay 0") + instance(name="VI_6", addresses=VIP6))
    usable_again(daemon, r1)
    daemon.wait_for_state("MASTER", "VI_6")
    capture = lan.capture()
    r1.set_mac("eth0", "02:00:00:00:00:99")
    for address in (VIP, VIP6[1]):

        def announced(address: str = address) -> bool:
            return any(
                (seen.sender_mac if isinstance(seen, Arp) else seen.mac) == "02:00:00:00:00:99"
                for _, seen in capture.announcements(address)
            )

        wait_until(announced, what=f"an announcement of {address} with the new hardware address")
    assert daemon.router()["state"] == "MASTER"
    assert daemon.router()["counters"]["became_master"] == 1


@pytest.mark.requirement("ARP-1", "ARP-4", "ND-1", "ND-4", "K-VIPDEL")
def test_a_virtual_address_that_somebody_removes_is_put_back_announced_and_counted_without_a_flap(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    capture = lan.capture()
    quiet = "garp_master_delay 0"
    daemon = daemons.start(r1, instance(quiet) + instance(quiet, name="VI_6", addresses=VIP6))
    usable_again(daemon, r1)
    daemon.wait_for_state("MASTER", "VI_6")

    def five_of(address: str) -> Callable[[], bool]:
        return lambda: len(capture.announcements(address)) == 5

    wait_until(five_of(VIP), what="the gratuitous ARPs of the start")
    wait_until(five_of(VIP6[1]), what="the unsolicited NAs of the start")
    capture.clear()
    r1.remove_address("eth0", f"{VIP}/24")
    wait_until(five_of(VIP), what="five gratuitous ARPs")
    assert r1.has_address(VIP)
    r1.remove_address("eth0", f"{VIP6[1]}/128")
    wait_until(five_of(VIP6[1]), what="five unsolicited NAs")
    assert r1.has_address(VIP6[1])
    (_, advertisement), *_ = capture.announcements(VIP6[1])
    assert isinstance(advertisement, NeighbourAdvertisement)
    assert (advertisement.router, advertisement.solicited, advertisement.override) == (True, False, True)
    for name, address in (("VI_1", VIP), ("VI_6", VIP6[1])):
        router = daemon.router(name)
        assert router["state"] == "MASTER"
        assert router["notices"] == {"addresses_taken": 1}
        assert router["counters"]["became_master"] == 1
        assert f"({name}) somebody removed {address}: put back" in daemon.log
    assert 0 not in {seen.priority for _, seen in capture.advertisements()}


def test_an_interface_renamed_away_is_a_fault_and_renamed_back_an_election(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance())
    usable_again(daemon, r1)
    r1.rename("eth0", "lan0")
    in_fault_because(daemon, "interface", "interface eth0 does not exist", also_in_log=False)
    assert holds_for(lambda: daemon.router()["state"] == "FAULT", 0.3)
    r1.rename("lan0", "eth0")
    usable_again(daemon, r1)
    wait_until(lambda: r1.addresses().count((VIP, 24)) == 1, what="the address once")


def renamed_while_up(host: Host, *names: tuple[str, str]) -> None:
    """Renames interfaces that stay up, one right after the other; skips where the kernel wants them down for that."""

    def rename() -> str | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for old, new in names:
                try:
                    fcntl.ioctl(control, SIOCSIFNAME, struct.pack("16s16s8x", old.encode(), new.encode()))
                except OSError as error:
                    if error.errno == errno.EBUSY:
                        return "this kernel renames no interface that is up (Linux 6.2 does)"
                    raise
        return None

    if reason := host.call(rename):
        pytest.skip(reason)


def test_an_interface_renamed_while_it_is_up_is_a_fault_and_keeps_no_virtual_address(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance() + instance(name="VI_6", addresses=VIP6))
    usable_again(daemon, r1)
    usable_again(daemon, r1, VIP6[1])
    daemon.wait_for_state("MASTER", "VI_6")
    renamed_while_up(r1, ("eth0", "lan0"))
    in_fault_because(daemon, "interface", "interface eth0 does not exist", also_in_log=False)
    daemon.wait_for_state("FAULT", "VI_6")
    wait_until(lambda: not {VIP, *VIP6} & {address for address, _ in r1.addresses("lan0")}, what="the withdrawal")
    assert r1.has_address("192.0.2.1", "lan0")
    renamed_while_up(r1, ("lan0", "eth0"))
    usable_again(daemon, r1)
    assert daemon.process.stop() == 0
    assert not r1.has_address(VIP)
    assert "cannot withdraw" not in daemon.log


def test_an_interface_that_takes_the_name_of_another_one_takes_its_virtual_addresses(
    lab: Lab, lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    r1.connect(lan, "eth1", "192.0.2.3/24")
    daemon = daemons.start(r1, instance())
    usable_again(daemon, r1)
    daemon.process.signal(signal.SIGSTOP)  # so that it hears of both at once
    renamed_while_up(r1, ("eth0", "lan0"), ("eth1", "eth0"))
    daemon.process.signal(signal.SIGCONT)
    wait_until(lambda: not r1.has_address(VIP, "lan0"), what="the withdrawal")
    usable_again(daemon, r1)
    assert holds_for(lambda: r1.has_address(VIP) and not r1.has_address(VIP, "lan0"), 0.3)


@pytest.mark.requirement("K-FAULT", "K-WEIGHT")
def test_tracked_interfaces_are_a_fault_or_move_the_priority(lab: Lab, lan: Bridge, r1: Host, daemons: Daemons) -> None:
    uplink, other = lab.bridge("uplink"), lab.bridge("other")
    r1.connect(uplink, "eth1")
    r1.connect(other, "eth2")
    daemon = daemons.start(r1, instance("track_interface {", "eth1", "eth2 weight -40", "}"))
    usable_again(daemon, r1)
    other.unplug(r1)
    daemon.wait_for(lambda router: router["priority"]["effective"] == 60, "the lower priority")
    uplink.unplug(r1)
    in_fault_because(daemon, "tracked_interface", "tracked interface eth1 has no carrier")
    uplink.plug(r1)
    other.plug(r1)
    usable_again(daemon, r1)
    assert daemon.router()["priority"]["effective"] == 100


def test_a_router_that_cannot_listen_is_in_fault_until_it_can(r1: Host, daemons: Daemons) -> None:
    r1.sysctl("net.ipv4.igmp_max_memberships", 0)
    daemon = daemons.start(r1, instance())
    in_fault_because(daemon, "interface", "cannot listen on eth0 (IPv4): No buffer space available")
    assert holds_for(lambda: daemon.router()["state"] == "FAULT", 0.3)
    r1.sysctl("net.ipv4.igmp_max_memberships", 20)
    usable_again(daemon, r1)


def flood(host: Host, interface: str, rounds: int) -> None:
    """Adds and removes an address that many times as fast as the kernel goes."""

    def work() -> None:
        index = socket.if_nametoindex(interface)
        address = VirtualAddress(IPv4Address("198.51.100.1"), 32, interface)
        batch = [encode_install(address, index), encode_withdraw(address, index)] * 64
        writer = AddressWriter()
        for _ in range(rounds // 64):
            assert writer.submit(batch) == []
        writer.close()

    host.call(work)


def test_after_an_overrun_of_netlink_everything_is_read_again(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance(interval=0.5))
    usable_again(daemon, r1)
    daemon.process.signal(signal.SIGSTOP)
    flood(r1, "eth0", 16384)
    r1.remove_address("eth0", f"{VIP}/24")  # this one is lost in the flood
    flood(r1, "eth0", 64)
    daemon.process.signal(signal.SIGCONT)
    wait_until(lambda: "netlink events were lost" in daemon.log, 10, "the overrun to be noticed")
    wait_until(lambda: r1.has_address(VIP), 10, "the address to be put back")
    router = daemon.router()
    assert router["state"] == "MASTER"
    assert router["counters"]["became_master"] == 1
    r1.set_link("eth0", up=False)
    in_fault_because(daemon, "interface", "interface eth0 is down")


def test_a_flood_of_address_changes_delays_no_advertisement_and_loses_no_address(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance("garp_master_delay 0", interval=0.2))
    usable_again(daemon, r1)
    capture = lan.capture()
    capture.wait_for_advertisement(51)
    for _ in range(8):
        flood(r1, "eth0", 512)
        time.sleep(0.05)
    capture.wait_for(lambda frame: len(capture.advertisements(51)) >= 10, what="ten advertisements")
    router = daemon.router()
    assert router["state"] == "MASTER"
    assert router["notices"] == {}
    assert max(gaps([frame.time for frame, _ in capture.advertisements(51)])) < 0.6
    assert capture.announcements(VIP) == []
