"""Who speaks for a virtual router on a LAN: the MASTER alone answers for it, and nobody sends router advertisements.

RFC 9568 section 6.4.2: a BACKUP answers neither ARP nor neighbour solicitations for the addresses of its virtual
router. The questions are sent by hand, so that no neighbour table of the asking host decides whether there is one.
"""

from __future__ import annotations

import socket
import struct
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

import pytest

from tests.netns.daemons import Daemon, Daemons, instance
from tests.netns.forging import arp
from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.lab.capture import Capture
from vrrpd.lab.frames import Arp, Frame, NeighbourAdvertisement
from vrrpd.protocol.packet import internet_checksum

pytestmark = pytest.mark.netns

VIP: Final = "192.0.2.100"
VIP6: Final = IPv6Address("2001:db8::100")
SOLICITED_NODE_GROUP: Final = IPv6Address("ff02::1:ff00:100")
"""Where VIP6 is asked for: RFC 4291 section 2.7.1."""
ICMPV6: Final = 58
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION = 133, 134, 135
QUESTIONS: Final = 5
"""How often each address is asked for: whoever answers at all has answered one of them by then."""


@pytest.fixture
def asker(lab: Lab, lan: Bridge) -> Host:
    """A host on the segment that is no router."""
    host = lab.host("asker")
    host.connect(lan, "eth0", "192.0.2.66/24", "2001:db8::66/64")
    return host


def icmpv6(kind: int, body: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """An IPv6 packet with one ICMPv6 message, hop limit 255."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    pseudo_header = source.packed + destination.packed + struct.pack("!II", len(message), ICMPV6)
    checksum = internet_checksum(pseudo_header + message)
    message = struct.pack("!BBH", kind, 0, checksum) + body
    return struct.pack("!IHBB", 0x60000000, len(message), ICMPV6, 255) + source.packed + destination.packed + message


def ask(asker: Host) -> None:
    """Who has the two virtual addresses?"""
    asker.send_frame(arp(asker.mac(), "192.0.2.66", VIP))
    own_mac = b"\x01\x01" + bytes.fromhex(asker.mac().replace(":", ""))
    body = bytes(4) + VIP6.packed + own_mac
    asker.send_packet(icmpv6(NEIGHBOUR_SOLICITATION, body, IPv6Address("2001:db8::66"), SOLICITED_NODE_GROUP))


def answers(capture: Capture) -> tuple[list[str], list[str]]:
    """Which hardware addresses answered: for the IPv4 and for the IPv6 address."""
    seen4, seen6 = [], []
    for frame in capture.frames:
        match frame.content:
            case Arp(operation=2, sender=sender, sender_mac=mac) if str(sender) == VIP:
                seen4.append(mac)
            case NeighbourAdvertisement(target=target, solicited=True, mac=str(mac)) if target == VIP6:
                seen6.append(mac)
    return seen4, seen6


def ask_until_answered(asker: Host, capture: Capture) -> tuple[set[str], set[str]]:
    """Asks several times and waits for as many answers; the hardware addresses that they came from."""
    capture.clear()
    for asked in range(1, QUESTIONS + 1):
        ask(asker)

        def answered(asked: int = asked) -> bool:
            return min(map(len, answers(capture))) >= asked

        wait_until(answered, what="an answer for each address")
    answers4, answers6 = answers(capture)
    return set(answers4), set(answers6)


def start(daemons: Daemons, host: Host, priority: int) -> Daemon:
    """A daemon with a virtual router of each family."""
    return daemons.start(
        host,
        instance(priority=priority, interval=0.3)
        + instance(name="VI_6", vrid=52, priority=priority, interval=0.3, addresses=["fe80::5:1", f"{VIP6}/64"]),
    )


def pair(daemons: Daemons, r1: Host, r2: Host) -> tuple[Daemon, Daemon]:
    """A MASTER on r1 and a BACKUP on r2 that hears it, in both families."""
    master, backup = start(daemons, r1, 200), start(daemons, r2, 100)
    for name in ("VI_1", "VI_6"):
        master.wait_for_state("MASTER", name)
        backup.wait_for(lambda router: router["counters"]["advertisements_received"] > 0, "advertisements", name)
        backup.wait_for_state("BACKUP", name)
    wait_until(lambda: r1.has_address(VIP) and r1.has_address(VIP6), what="the addresses on r1")
    return master, backup


def listens_for_questions(host: Host) -> bool:
    """Whether a host is in the solicited-node group of the IPv6 address."""
    groups = host.call(lambda: Path("/proc/thread-self/net/igmp6").read_text())
    return SOLICITED_NODE_GROUP.packed.hex() in groups


@pytest.mark.requirement("SM-B-1", "SM-B-2", "SM-B-5", "SM-A-2")
@pytest.mark.counter_case("SM-B-1", "SM-B-2", "SM-B-5", "SM-A-2")
def test_the_master_alone_answers_for_the_addresses_and_the_backup_once_it_is_the_master(
    lan: Bridge, r1: Host, r2: Host, asker: Host, daemons: Daemons
) -> None:
    master, backup = pair(daemons, r1, r2)
    capture = lan.capture()
    assert ask_until_answered(asker, capture) == ({r1.mac()}, {r1.mac()})
    assert not r2.has_address(VIP)
    assert not r2.has_address(VIP6)
    assert (listens_for_questions(r1), listens_for_questions(r2)) == (True, False)
    assert master.process.stop() == 0
    for name in ("VI_1", "VI_6"):
        backup.wait_for_state("MASTER", name)
    wait_until(lambda: r2.has_address(VIP) and r2.has_address(VIP6), what="the addresses on r2")
    assert ask_until_answered(asker, capture) == ({r2.mac()}, {r2.mac()})
    assert (listens_for_questions(r1), listens_for_questions(r2)) == (False, True)


def is_refused(asker: Host, address: str) -> bool:
    """Whether a connection is answered by a host that took it for its own, and has nobody who listens."""

    def connect() -> bool:
        try:
            socket.create_connection((address, 9), timeout=5.0).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    return asker.call(connect)


@pytest.mark.requirement("ACC-1", "OWN-4", "V2-14")
def test_masters_of_both_versions_and_owners_accept_what_is_sent_to_the_virtual_address(
    r1: Host, asker: Host, daemons: Daemons
) -> None:
    version_2 = instance(name="VI_2", vrid=52, interval=1, addresses=["192.0.2.102/24"]).replace(
        "version 3", "version 2"
    )
    owner = instance(name="owner", vrid=53, priority=255, interval=1, addresses=["192.0.2.103/24"])
    daemon = daemons.start(r1, instance() + version_2 + owner)
    for name, address in (("VI_1", VIP), ("VI_2", "192.0.2.102"), ("owner", "192.0.2.103")):
        daemon.wait_for_state("MASTER", name)
        wait_until(partial(r1.has_address, address), what=address)
        assert is_refused(asker, address)
    assert not is_refused(asker, "192.0.2.104"), "an address that nobody has"


def is_router_advertisement(frame: Frame) -> bool:
    """Whether a frame holds one (RFC 4861 section 4.2)."""
    return frame.ethertype == 0x86DD and frame.data[14 + 6] == ICMPV6 and frame.data[14 + 40] == ROUTER_ADVERTISEMENT


@pytest.mark.requirement("SM-B-3", "K-NORA")
def test_neither_master_nor_backup_sends_router_advertisements_even_when_asked(
    lan: Bridge, r1: Host, r2: Host, asker: Host, daemons: Daemons
) -> None:
    capture = lan.capture()
    master, backup = pair(daemons, r1, r2)
    own = IPv6Address(asker.link_local())
    asker.send_packet(icmpv6(ROUTER_SOLICITATION, bytes(4), own, IPv6Address("ff02::2")))
    sent = master.router("VI_6")["counters"]["advertisements_sent"]
    master.wait_for(lambda router: router["counters"]["advertisements_sent"] > sent + 1, "two more", "VI_6")
    assert master.process.stop() == 0
    backup.wait_for_state("MASTER", "VI_6")
    assert backup.process.stop() == 0
    # What the capture would have shown: one of our own making, from the host that is no router.
    asker.send_packet(icmpv6(ROUTER_ADVERTISEMENT, bytes(12), own, IPv6Address("ff02::1")))
    capture.wait_for(is_router_advertisement, what="the forged router advertisement")
    assert {frame.source_mac for frame in capture.frames if is_router_advertisement(frame)} == {asker.mac()}
