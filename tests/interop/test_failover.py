"""keepalived and vrrpd as one pair of routers, in every way they can talk, with each of them as the preferred one.

Election, loss of power, preemption, clean stop, restart of either side, a parted LAN: after each, exactly one host
advertises, exactly one has the addresses, the client follows by announcements alone, and vrrpd's status agrees.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.interop.story import Group, Story
from vrrpd.lab import Arp, NeighbourAdvertisement

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

FILE: Final = Path(__file__).with_name("failover.conf")
GROUPS: Final = (
    Group("v3_ipv4", 11, 0.5, ("192.0.2.111",)),
    Group("v3_ipv6", 12, 0.5, ("fe80::112", "2001:db8::112")),
    Group("v2", 13, 1.0, ("192.0.2.113",)),
    Group("v2_password", 14, 1.0, ("192.0.2.114",)),
    Group("v3_ipv4_unicast", 15, 0.5, ("192.0.2.115",)),
    Group("v3_ipv6_unicast", 16, 0.5, ("fe80::116", "2001:db8::116")),
    Group("v2_unicast", 17, 1.0, ("192.0.2.117",)),
)
FIRST: Final = ("vrrpd", "keepalived")
"""The first router has priority 200, the second one 100."""


MASTER_DOWN_INTERVAL: Final = {0.5: 1.8046875, 1.0: 3.609375}
"""Seconds that the second router (priority 100) waits after the last advertisement, by their interval."""
SKEW_TIME: Final = {0.5: 0.3046875, 1.0: 0.609375}
"""Seconds that it waits after priority 0."""
CLOCK_TOLERANCE: Final = 0.005
"""Seconds by which the clock of the capture may have been moved against the routers' clock."""


def PLAY(story: Story) -> None:
    """Everything that a pair of routers goes through."""
    first = story.everything_at(story.first)

    def elect() -> None:
        story.start(story.first, story.second)
        story.touch()

    def restart_second() -> None:
        story.stop(story.second)
        story.start(story.second)

    def stop_both() -> None:
        story.stop(story.second)
        story.stop(story.first)

    alone = story.everything_at(story.second, vrrpd_runs=story.second == "vrrpd")

    story.act("election", elect, first)
    story.act("power loss", lambda: story.lose_power(story.first), alone)
    story.act("boot", lambda: story.boot(story.first), first)
    story.act("stop", lambda: story.stop(story.first), alone)
    story.act("start", lambda: story.start(story.first), first)
    story.act("restart of the second", restart_second, first, lasts=5.0)
    story.act("partition", lambda: story.cut(story.first), {group.name: story.parted(group) for group in GROUPS})
    story.act("healing", lambda: story.mend(story.first), first)
    story.act("end", stop_both, {group.name: story.ended(story.first, group) for group in GROUPS})


every_first = pytest.mark.parametrize("story", FIRST, indirect=True, ids=lambda first: f"{first}_first")
every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


@every_first
@every_group
@pytest.mark.requirement("SM-B-7", "SM-B-10", "SM-A-8", "SM-B-1", "SM-B-2")
def test_the_router_with_the_higher_priority_becomes_the_only_master(story: Story, group: Group) -> None:
    assert story.acts["election"].seen[group.name] == story.at(story.first, group)


@every_first
@every_group
@pytest.mark.requirement("TM-3", "V2-11", "SM-B-7")
def test_the_second_router_takes_over_when_the_master_loses_its_power(story: Story, group: Group) -> None:
    vrrpd_runs = story.second == "vrrpd"
    assert story.acts["power loss"].seen[group.name] == story.at(story.second, group, vrrpd_runs)


@every_first
@every_group
@pytest.mark.requirement("TM-2", "TM-3", "V2-11")
@pytest.mark.counter_case("TM-3")
def test_the_second_router_waits_the_whole_master_down_interval(story: Story, group: Group) -> None:
    act = story.acts["power loss"]
    last = max(frame.time for frame, _ in story.advertisements(group, story.first) if frame.time_ns <= act.ended_ns)
    first = min(frame.time for frame, _ in story.advertisements(group, story.second, "power loss"))
    assert first - last >= MASTER_DOWN_INTERVAL[group.interval] - CLOCK_TOLERANCE


@every_first
@every_group
@pytest.mark.requirement("ARP-1", "ARP-2", "ARP-4", "ARP-5", "ND-1", "ND-2", "ND-3", "ND-4", "K-NOVMAC")
def test_a_takeover_is_announced_for_each_address_to_everybody(story: Story, group: Group) -> None:
    for address in group.addresses:
        announced = story.announcements(address, story.second, "power loss")
        assert len(announced) >= 5, f"{address} was announced {len(announced)} times"
        for frame, seen in announced:
            match seen:
                case Arp():
                    assert frame.destination_mac == "ff:ff:ff:ff:ff:ff"
                    assert (seen.operation, seen.sender_mac) == (1, story.mac(story.second))
                    assert seen.target_mac == "ff:ff:ff:ff:ff:ff"
                case NeighbourAdvertisement():
                    assert frame.destination_mac == "33:33:00:00:00:01"
                    assert str(seen.destination) == "ff02::1"
                    assert (seen.override, seen.mac) == (True, story.mac(story.second))
                    # keepalived calls itself a router only where its interface forwards.
                    assert seen.router is (story.second == "vrrpd")


@every_first
@every_group
@pytest.mark.requirement("SM-A-10", "SM-B-10", "K-HIGHER", "K-LOWER")
def test_the_first_router_preempts_when_its_host_is_back(story: Story, group: Group) -> None:
    assert story.acts["boot"].seen[group.name] == story.at(story.first, group)


@every_first
@every_group
@pytest.mark.requirement("SM-A-7", "SM-B-8", "K-STOP")
def test_a_stopped_master_says_so_and_the_second_router_takes_over(story: Story, group: Group) -> None:
    vrrpd_runs = story.second == "vrrpd"
    assert story.acts["stop"].seen[group.name] == story.at(story.second, group, vrrpd_runs)
    last_words = [seen for _, seen in story.advertisements(group, story.first, "stop")][-1]
    assert last_words.priority == 0


@every_first
@every_group
@pytest.mark.requirement("SM-B-8", "TM-2", "V2-11")
def test_after_priority_0_the_second_router_waits_the_skew_time_only(story: Story, group: Group) -> None:
    farewell = max(frame.time for frame, _ in story.advertisements(group, story.first, "stop"))
    first = min(frame.time for frame, _ in story.advertisements(group, story.second, "stop"))
    waited = first - farewell
    assert SKEW_TIME[group.interval] - CLOCK_TOLERANCE <= waited < MASTER_DOWN_INTERVAL[group.interval]


@every_first
@every_group
@pytest.mark.requirement("SM-A-10", "SM-B-10")
def test_the_first_router_preempts_when_it_is_started_again(story: Story, group: Group) -> None:
    assert story.acts["start"].seen[group.name] == story.at(story.first, group)


@every_first
@every_group
@pytest.mark.requirement("SM-B-6", "SM-I-3", "SM-B-9")
@pytest.mark.counter_case("SM-A-7")
def test_a_restart_of_the_second_router_is_not_heard_on_the_wire(story: Story, group: Group) -> None:
    name = "restart of the second"
    assert story.acts[name].seen[group.name] == story.at(story.first, group)
    assert story.advertisements(group, story.second, name) == []
    assert [seen.priority for _, seen in story.advertisements(group, act=name) if seen.priority != 200] == []


@every_first
@every_group
def test_each_side_of_a_parted_lan_has_a_master(story: Story, group: Group) -> None:
    assert story.acts["partition"].seen[group.name] == story.parted(group)


@every_first
@every_group
@pytest.mark.requirement("SM-A-10", "SM-A-11", "K-LOWER", "K-HIGHER", "V2-13")
def test_of_two_masters_the_one_with_the_higher_priority_stays_and_announces_again(story: Story, group: Group) -> None:
    assert story.acts["healing"].seen[group.name] == story.at(story.first, group)
    for address in group.addresses:
        assert story.announcements(address, story.first, "healing")


@every_first
@every_group
@pytest.mark.requirement("SM-A-7", "SM-A-15", "K-STOP")
def test_nothing_is_left_behind_when_both_are_stopped(story: Story, group: Group) -> None:
    assert story.acts["end"].seen[group.name] == story.ended(story.first, group)


@every_first
@every_group
@pytest.mark.requirement("FMT-1", "FMT-13", "TX-1", "HDR-4", "HDR-5", "V2-1", "V2-3", "V2-4")
def test_both_programs_send_the_same_bytes_for_the_same_router(story: Story, group: Group) -> None:
    """All but the priority and the checksum, which covers the priority and often the source."""

    def form(program: str) -> set[tuple[object, ...]]:
        return {
            (
                seen.destination if seen.destination.is_multicast else "the peer",
                # keepalived leaves the hop limit of unicast over IPv6 to the kernel: 64.
                seen.hop_limit if seen.destination.is_multicast or seen.source.version == 4 else "any",
                seen.payload[:2].hex(),
                seen.payload[3:6].hex(),
                seen.payload[8:].hex(),
            )
            for _, seen in story.advertisements(group, program)
        }

    assert len(form("vrrpd")) == 1
    assert form("vrrpd") == form("keepalived")


@every_first
@every_group
@pytest.mark.requirement("FMT-7", "FMT-8", "FMT-9", "V2-2")
@pytest.mark.counter_case("RX-18", "RX-16", "RX-17")
def test_vrrpd_discards_nothing_and_has_nothing_to_say_about_keepalived(story: Story, group: Group) -> None:
    for name, act in story.acts.items():
        if act.status:
            router = act.status[group.name]
            assert router["discarded"] == {}, name
            assert [peer["remarks"] for peer in router["peers"] if peer["remarks"]] == [], name


@every_first
def test_keepalived_has_nothing_to_complain_about(story: Story) -> None:
    complaints = re.findall(r".*(?:[Ii]nvalid|[Ii]ncorrect|mismatch|bogus|wrong|error).*", story.log("keepalived"))
    assert complaints == []
