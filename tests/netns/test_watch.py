"""The watch for other holders of an address on a real kernel: what its filter lets through, and that it can ask."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

import pytest

from tests.netns.forging import arp
from vrrpd.lab import Host, wait_until
from vrrpd.net.announce import unsolicited_na
from vrrpd.net.watch import AddressWatch, Sighting, hardware_addresses
from vrrpd.protocol.datagram import IPAddress

pytestmark = pytest.mark.netns

LAST4, LAST6 = "192.0.2.254", "2001:db8::254"


def mac(host: Host) -> bytes:
    return bytes.fromhex(host.mac().replace(":", ""))


def opened(host: Host, family: Literal[4, 6], addresses: set[IPAddress]) -> AddressWatch:
    def inside() -> AddressWatch:
        watch = AddressWatch(socket.if_nametoindex("eth0"), family, mac(host))
        watch.watch(frozenset(addresses))
        return watch

    return host.call(inside)


@pytest.fixture
def watch4(r1: Host) -> Iterator[AddressWatch]:
    watch = opened(r1, 4, {ip_address(f"192.0.2.{last}") for last in range(100, 255)})
    yield watch
    watch.close()


@pytest.fixture
def watch6(r1: Host) -> Iterator[AddressWatch]:
    watch = opened(r1, 6, {ip_address(f"2001:db8::{last}") for last in range(100, 255)})
    yield watch
    watch.close()


def next_of(watch: AddressWatch) -> Sighting | None:
    """The next frame that the kernel lets through."""
    found: list[Sighting | None] = []

    def look() -> bool:
        taken = watch.receive()
        if taken is not False:
            found.append(taken)
        return bool(found)

    wait_until(look, what="a frame")
    return found[0]


def test_only_frames_of_others_about_watched_addresses_wake_anybody(r1: Host, r2: Host, watch4: AddressWatch) -> None:
    other, own = r2.mac(), r1.mac()
    r2.send_frame(arp(other, "192.0.2.2", "192.0.2.100"))  # somebody resolves it
    r2.send_frame(arp(other, "192.0.2.99", "192.0.2.99"))
    r2.send_frame(arp(own, "192.0.2.100", "192.0.2.100"))
    r2.send_frame(arp(other, "0.0.0.0", "192.0.2.99"))
    r2.send_frame(arp(other, LAST4, LAST4))
    assert next_of(watch4) == Sighting(IPv4Address(LAST4), mac(r2), claims=True)
    r2.send_frame(arp(other, "192.0.2.100", "192.0.2.1", operation=2))
    assert next_of(watch4) == Sighting(IPv4Address("192.0.2.100"), mac(r2), claims=True)
    r2.send_frame(arp(other, "0.0.0.0", "192.0.2.100"))
    assert next_of(watch4) == Sighting(IPv4Address("192.0.2.100"), mac(r2), claims=False)
    assert watch4.receive() is False


def test_the_same_for_neighbor_discovery(r1: Host, r2: Host, watch6: AddressWatch) -> None:
    r2.send_frame(unsolicited_na(mac(r2), IPv6Address("2001:db8::99")))
    r2.send_frame(unsolicited_na(mac(r1), IPv6Address("2001:db8::100")))
    r2.send_frame(unsolicited_na(mac(r2), IPv6Address(LAST6)))
    assert next_of(watch6) == Sighting(IPv6Address(LAST6), mac(r2), claims=True)
    assert watch6.receive() is False


@pytest.mark.parametrize("address", [LAST4, LAST6])
def test_a_host_that_has_the_address_answers_the_question(
    r2: Host, watch4: AddressWatch, watch6: AddressWatch, address: str
) -> None:
    r2.add_address("eth0", f"{address}/{32 if '.' in address else 128}")
    watch = watch4 if "." in address else watch6
    answers: list[Sighting] = []

    def answered() -> bool:
        # More than once: the bridge has to learn of the host's group first.
        watch.ask(ip_address(address))
        for _ in range(10):
            if isinstance(taken := watch.receive(), Sighting):
                answers.append(taken)
        return bool(answers)

    wait_until(answered, what="an answer")
    assert set(answers) == {Sighting(ip_address(address), mac(r2), claims=True)}


def test_a_muted_watch_hears_nothing_and_has_forgotten_what_was_waiting(r2: Host, watch4: AddressWatch) -> None:
    for _ in range(10):
        r2.send_frame(arp(r2.mac(), LAST4, LAST4))
    next_of(watch4)
    watch4.mute()
    assert watch4.receive() is False
    r2.send_frame(arp(r2.mac(), LAST4, LAST4))
    watch4.listen()
    r2.send_frame(arp(r2.mac(), "192.0.2.100", "192.0.2.100"))
    assert next_of(watch4) == Sighting(IPv4Address("192.0.2.100"), mac(r2), claims=True)


def tagged(frame: bytes, vlan: int = 7) -> bytes:
    """The same frame in a VLAN (IEEE 802.1Q)."""
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


@pytest.mark.parametrize("configured", [False, True], ids=["unknown VLAN", "VLAN of this host"])
def test_a_vlan_on_the_same_cable_is_another_network(
    r1: Host, r2: Host, watch4: AddressWatch, watch6: AddressWatch, configured: bool
) -> None:
    if configured:
        done = r1.run(["ip", "link", "add", "link", "eth0", "name", "eth0.7", "type", "vlan", "id", "7"], check=False)
        if done.returncode:
            pytest.skip(f"no VLANs here: {done.stderr.strip()}")
        r1.set_link("eth0.7", up=True)
    r2.send_frame(tagged(arp(r2.mac(), "192.0.2.100", "192.0.2.100")))
    r2.send_frame(tagged(unsolicited_na(mac(r2), IPv6Address("2001:db8::100"))))
    # What comes after them on the cable itself is the first that is heard.
    r2.send_frame(arp(r2.mac(), LAST4, LAST4))
    r2.send_frame(unsolicited_na(mac(r2), IPv6Address(LAST6)))
    assert next_of(watch4) == Sighting(IPv4Address(LAST4), mac(r2), claims=True)
    assert next_of(watch6) == Sighting(IPv6Address(LAST6), mac(r2), claims=True)
    assert (watch4.receive(), watch6.receive()) == (False, False)


def test_more_addresses_than_a_filter_holds_are_told_apart_here(r1: Host, r2: Host) -> None:
    watch = opened(r1, 4, {IPv4Address("192.0.2.0") + offset for offset in range(100, 2100)})
    r2.send_frame(arp(r2.mac(), "192.0.2.99", "192.0.2.99"))
    assert next_of(watch) is None
    r2.send_frame(arp(r2.mac(), "192.0.2.100", "192.0.2.100"))
    found = next_of(watch)
    assert found is not None
    assert found.address == IPv4Address("192.0.2.100")
    watch.close()


def test_the_hardware_addresses_of_all_interfaces_are_known(r1: Host) -> None:
    begun = time.monotonic()
    found = r1.call(hardware_addresses)
    assert mac(r1) in found
    assert time.monotonic() - begun < 5
