"""What an attacker on the LAN can do to a running daemon, and what not, in each mode: the claims of docs/security.md.

The attacker is a host on the same segment that sends whole packets of its own making. What it can do is shown as well
as what it cannot: a page about security that is only reassuring is worth nothing.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import pytest

from tests.netns.daemons import Daemon, Daemons, gaps, holds_for, instance
from tests.netns.forging import GROUP4, Repeater, forged, packet
from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.protocol.timing import Version

pytestmark = pytest.mark.netns

VIP: Final = "192.0.2.100"
PAGE: Final = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
PASSWORD: Final = ("authentication {", "auth_type PASS", "auth_pass secret", "}")
LISTED: Final = ("accept_sources {", "192.0.2.1", "192.0.2.2", "}")
UNICAST: Final = ("unicast_peer {", "192.0.2.2", "}")
NEAR_UNICAST: Final = ("unicast_peer {", "192.0.2.2 min_ttl 255", "}")


@pytest.fixture
def attacker(lab: Lab, lan: Bridge) -> Host:
    """A host on the segment that belongs to nothing."""
    host = lab.host("attacker")
    host.connect(lan, "eth0", "192.0.2.66/24", "2001:db8::66/64", mac="02:00:00:00:00:66")
    return host


def serving(daemons: Daemons, host: Host, *more: str, version: int = 3, interval: float = 1) -> Daemon:
    """A daemon whose only router is MASTER."""
    text = instance(*more, interval=interval).replace("version 3", f"version {version}")
    daemon = daemons.start(host, text)
    daemon.wait_for_state("MASTER")
    wait_until(lambda: host.has_address(VIP), what="the address")
    return daemon


def is_deposed(daemon: Daemon, host: Host) -> bool:
    """Whether the attack has made a difference."""
    return daemon.router()["state"] != "MASTER" or not host.has_address(VIP)


# -- who can take the addresses ---------------------------------------------------------------------------------------


def test_in_multicast_anybody_on_the_segment_can_take_the_addresses(r1: Host, attacker: Host, daemons: Daemons) -> None:
    daemon = serving(daemons, r1)
    attacker.send_packet(forged("192.0.2.66"))
    wait_until(lambda: is_deposed(daemon, r1), what="the takeover")


def test_one_forged_packet_of_version_3_silences_a_group_for_two_minutes(
    r1: Host, attacker: Host, daemons: Daemons
) -> None:
    daemon = serving(daemons, r1)
    attacker.send_packet(forged("192.0.2.66", interval=4095))
    router = daemon.wait_for_state("BACKUP")
    assert 120 < router["next_timer"] < 150


@pytest.mark.counter_case("V2-7")
def test_version_2_believes_no_other_interval_than_its_own(r1: Host, attacker: Host, daemons: Daemons) -> None:
    daemon = serving(daemons, r1, version=2)
    attacker.send_packet(forged("192.0.2.66", version=Version.V2, interval=25500))
    daemon.wait_for(lambda router: router["discarded"] == {"interval": 1}, "the discarded packet")
    assert not is_deposed(daemon, r1)


@pytest.mark.requirement("V2-5")
@pytest.mark.counter_case("V2-5")
def test_a_password_keeps_out_who_does_not_know_it_and_nobody_who_has_listened(
    lan: Bridge, r1: Host, attacker: Host, daemons: Daemons
) -> None:
    capture = lan.capture()
    daemon = serving(daemons, r1, *PASSWORD, version=2)
    for guess in (None, b"guess"):
        attacker.send_packet(forged("192.0.2.66", version=Version.V2, password=guess))
    daemon.wait_for(
        lambda router: router["discarded"] == {"authentication_type": 1, "authentication_data": 1}, "the discards"
    )
    assert not is_deposed(daemon, r1)
    _, heard = capture.wait_for_advertisement(vrid=51)
    overheard = heard.payload[-8:].rstrip(b"\0")
    assert overheard == b"secret"
    attacker.send_packet(forged("192.0.2.66", version=Version.V2, password=overheard))
    wait_until(lambda: is_deposed(daemon, r1), what="the takeover")


@pytest.mark.counter_case("K-UNICAST")
@pytest.mark.parametrize("more", [LISTED, UNICAST], ids=["accept_sources", "unicast"])
def test_whoever_is_not_listed_cannot_take_the_addresses(
    r1: Host, attacker: Host, daemons: Daemons, more: tuple[str, ...]
) -> None:
    daemon = serving(daemons, r1, *more)
    to = "192.0.2.1" if more is UNICAST else None
    for _ in range(3):
        attacker.send_packet(forged("192.0.2.66", destination=to), to_mac=r1.mac())
    reason = "source" if more is UNICAST else "unlisted_source"
    daemon.wait_for(lambda router: router["discarded"] == {reason: 3}, "the discarded packets")
    assert not is_deposed(daemon, r1)
    (conflict,) = daemon.router()["conflicts"]
    assert conflict["with"] == "192.0.2.66"


@pytest.mark.parametrize("more", [LISTED, UNICAST], ids=["accept_sources", "unicast"])
def test_a_list_does_not_help_against_the_address_of_a_router_that_is_listed(
    r1: Host, attacker: Host, daemons: Daemons, more: tuple[str, ...]
) -> None:
    daemon = serving(daemons, r1, *more)
    to = "192.0.2.1" if more is UNICAST else None
    attacker.send_packet(forged("192.0.2.2", destination=to), to_mac=r1.mac())
    wait_until(lambda: is_deposed(daemon, r1), what="the takeover")


@pytest.mark.requirement("RX-14")
@pytest.mark.counter_case("RX-14")
def test_over_ipv6_only_link_local_sources_are_believed_and_a_list_limits_them(
    r1: Host, attacker: Host, daemons: Daemons
) -> None:
    six = ["fe80::5:1"]
    daemon = daemons.start(
        r1,
        instance(interval=1, addresses=six)
        + instance("accept_sources {", "fe80::2", "}", name="listed", vrid=52, interval=1, addresses=["fe80::5:2"]),
    )
    daemon.wait_for_state("MASTER")
    daemon.wait_for_state("MASTER", "listed")
    attacker.send_packet(forged("2001:db8::66", addresses=six))
    daemon.wait_for(lambda router: router["discarded"] == {"source": 1}, "the discarded packet")
    link_local = str(attacker.link_local())
    attacker.send_packet(forged(link_local, vrid=52, addresses=["fe80::5:2"]))
    daemon.wait_for(lambda router: router["discarded"] == {"unlisted_source": 1}, "the discarded packet", "listed")
    attacker.send_packet(forged(link_local, addresses=six))
    daemon.wait_for_state("BACKUP")
    assert daemon.router("listed")["state"] == "MASTER"


# -- from elsewhere ---------------------------------------------------------------------------------------------------


@pytest.mark.counter_case("RX-3")
@pytest.mark.parametrize("version", [2, 3])
def test_what_crossed_a_router_does_not_count_in_multicast(
    r1: Host, attacker: Host, daemons: Daemons, version: int
) -> None:
    daemon = serving(daemons, r1, version=version)
    attacker.send_packet(forged("192.0.2.66", version=Version(version), hop_limit=254))
    daemon.wait_for(lambda router: router["discarded"] == {"hop_limit": 1}, "the discarded packet")
    assert not is_deposed(daemon, r1)


@pytest.mark.requirement("K-UNICAST")
@pytest.mark.counter_case("RX-3")
def test_in_unicast_the_hop_limit_counts_only_with_min_ttl(r1: Host, attacker: Host, daemons: Daemons) -> None:
    near = serving(daemons, r1, *NEAR_UNICAST)
    far = forged("192.0.2.2", destination="192.0.2.1", hop_limit=64)
    attacker.send_packet(far, to_mac=r1.mac())
    near.wait_for(lambda router: router["discarded"] == {"hop_limit": 1}, "the discarded packet")
    assert not is_deposed(near, r1)
    near.process.stop()
    anywhere = serving(daemons, r1, *UNICAST)
    attacker.send_packet(far, to_mac=r1.mac())
    wait_until(lambda: is_deposed(anywhere, r1), what="the takeover")


# -- lies about what there is -----------------------------------------------------------------------------------------


def test_a_forged_farewell_does_not_take_the_addresses_from_a_living_master(
    lan: Bridge, r1: Host, r2: Host, attacker: Host, daemons: Daemons
) -> None:
    daemon = serving(daemons, r1)
    backup = daemons.start(r2, instance(priority=50, interval=1))
    backup.wait_for(lambda router: router["counters"]["advertisements_received"] > 0, "an advertisement")
    for _ in range(5):
        attacker.send_packet(forged("192.0.2.1", priority=0))
        attacker.send_packet(forged("192.0.2.66", priority=0))
    daemon.wait_for(lambda router: router["counters"]["priority_zero_received"] >= 5, "the farewells")
    assert holds_for(lambda: r1.has_address(VIP), 3.0)
    assert backup.router()["counters"]["became_master"] == 0, "the master's answer came before the skew time was over"


@pytest.mark.counter_case("HDR-11", "RX-14")
def test_our_own_address_as_a_source_is_never_believed(r1: Host, attacker: Host, daemons: Daemons) -> None:
    own = str(r1.link_local())
    daemon = daemons.start(r1, instance() + instance(name="six", vrid=52, addresses=["fe80::5:1"]))
    daemon.wait_for_state("MASTER")
    daemon.wait_for_state("MASTER", "six")
    for _ in range(3):
        attacker.send_packet(forged("192.0.2.1"))
        attacker.send_packet(forged(own, vrid=52, addresses=["fe80::5:1"]))
    daemon.wait_for(lambda router: router["discarded"] == {"own_source": 3}, "the discarded packets", "six")
    assert daemon.router()["counters"]["became_master"] == 1
    assert not is_deposed(daemon, r1)


# -- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("K-UNKNOWN")
@pytest.mark.counter_case("RX-11")
def test_ids_that_are_not_ours_are_dropped_by_the_kernel_unseen(r1: Host, attacker: Host, daemons: Daemons) -> None:
    daemon = serving(daemons, r1)
    foreign = [forged("192.0.2.66", vrid=vrid) for vrid in range(52, 152)]
    with Repeater(attacker, foreign, 0.1) as flood:
        wait_until(lambda: flood.sent >= 1000, what="the flood")
    attacker.send_packet(forged("192.0.2.66", hop_limit=1))
    daemon.wait_for(lambda router: router["discarded"] == {"hop_limit": 1}, "the packet after the flood")
    assert daemon.status()["links"][0]["discarded"] == {}


def test_junk_for_our_id_delays_no_advertisement_and_fills_neither_log_nor_memory(
    lan: Bridge, r1: Host, attacker: Host, daemons: Daemons
) -> None:
    daemon = serving(daemons, r1, interval=0.2)
    junk = [forged(f"198.51.{high}.{low}", hop_limit=1) for high in range(4) for low in range(1, 251)]
    junk += [packet(b"\x31\x33" + bytes(30), ip_address("192.0.2.66"), GROUP4)] * 100
    capture = lan.capture()
    with Repeater(attacker, junk, 1.0) as flood:
        wait_until(lambda: flood.sent >= 3300, what="the flood")
    router = daemon.wait_for(lambda router: sum(router["discarded"].values()) >= 3000, "the discarded packets")
    times = [frame.time for frame, seen in capture.advertisements(vrid=51, source="192.0.2.1")]
    assert max(gaps(times)) < 0.6, "three missing advertisements make a second master"
    assert router["counters"]["became_master"] == 1
    assert len(router["peers"]) <= 32
    assert daemon.log.count("discarded advertisement") <= 200


def test_losing_advertisements_are_answered_100_times_a_second_at_most(
    lan: Bridge, r1: Host, attacker: Host, daemons: Daemons
) -> None:
    daemon = serving(daemons, r1)
    capture = lan.capture()
    with Repeater(attacker, [forged("192.0.2.66", priority=1)] * 20, 0.02) as flood:
        wait_until(lambda: flood.sent >= 2000, what="the flood")
    answers = [frame.time for frame, _ in capture.advertisements(vrid=51, source="192.0.2.1")]
    for begin in answers:
        assert sum(begin <= time < begin + 1.0 for time in answers) <= 202, "two windows of a second meet, and our own"
    assert not is_deposed(daemon, r1)


def test_invented_sources_fill_no_more_places_than_there_are(r1: Host, attacker: Host, daemons: Daemons) -> None:
    daemon = serving(daemons, r1, *LISTED)
    with Repeater(attacker, [forged(f"198.51.100.{last}") for last in range(1, 251)], 0.5) as flood:
        wait_until(lambda: flood.sent >= 500, what="the flood")
        router = daemon.wait_for(lambda router: router["discarded"].get("unlisted_source", 0) >= 400, "the discards")
    assert len(router["conflicts"]) == 8
    assert len(router["peers"]) == 32
    assert daemon.log.count("discarded advertisement") <= 250
    assert not is_deposed(daemon, r1)


# -- what the page says to configure ----------------------------------------------------------------------------------


def ruleset(title: str) -> str:
    """The nftables example under a heading of the page."""
    section = PAGE[PAGE.index(f"### {title}\n") :]
    found = re.search(r"```nft\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def protect(host: Host, title: str, directory: Path) -> None:
    file = directory / "rules.nft"
    file.write_text(ruleset(title))
    host.run(["nft", "-f", str(file)])


@pytest.fixture
def peer(lab: Lab, lan: Bridge) -> Host:
    """The other router of the page's example."""
    host = lab.host("peer")
    host.connect(lan, "eth0", "192.0.2.2/24", mac="02:00:00:00:00:02")
    return host


def test_the_example_that_ties_sources_to_hardware_addresses_stops_a_forged_peer(
    r1: Host, peer: Host, attacker: Host, daemons: Daemons, tmp_path: Path
) -> None:
    protect(r1, "Tie routers to their hardware addresses", tmp_path)
    daemon = serving(daemons, r1)
    for source in ("192.0.2.2", "192.0.2.66"):
        attacker.send_packet(forged(source))
    peer.send_packet(forged("192.0.2.66"))
    assert holds_for(lambda: not is_deposed(daemon, r1), 1.5)
    assert daemon.router()["peers"] == []
    peer.send_packet(forged("192.0.2.2"))
    wait_until(lambda: is_deposed(daemon, r1), what="the takeover by the true peer")


def test_the_example_that_limits_the_rate_leaves_room_for_advertisements(
    r1: Host, peer: Host, attacker: Host, daemons: Daemons, tmp_path: Path
) -> None:
    protect(r1, "Limit what one sender may send", tmp_path)
    daemon = serving(daemons, r1)
    with Repeater(attacker, [forged("192.0.2.66", hop_limit=1)] * 50, 0.05) as flood:
        wait_until(lambda: flood.sent >= 2000, what="the flood")
        peer.send_packet(forged("192.0.2.2"))
        wait_until(lambda: is_deposed(daemon, r1), what="the takeover by the peer")
    assert daemon.router()["discarded"]["hop_limit"] < 600
