"""What decides who is master, with keepalived and vrrpd in either part: preemption and its two brakes, equal
priorities, intervals that differ, many addresses; a LAN that parts and heals; a program that is killed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.interop.story import Group, Seen, Story

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PREEMPTING: Final = Group("preempting", 21, 0.25, ("192.0.2.121",))
PATIENT: Final = Group("patient", 22, 0.25, ("192.0.2.122",))
DELAYED: Final = Group("delayed", 23, 0.25, ("192.0.2.123",))
EQUAL: Final = Group("equal", 24, 0.25, ("192.0.2.124",))
EQUAL_IPV6: Final = Group("equal_ipv6", 24, 0.25, ("fe80::124", "2001:db8::124"))
LEARNING: Final = Group("learning", 25, 1.0, ("192.0.2.125",))
TWENTY: Final = Group("twenty", 26, 0.25, tuple(f"192.0.2.{number}" for number in range(201, 221)))

FILE: Final = Path(__file__).with_name("rules.conf")
GROUPS: Final = (PREEMPTING, PATIENT, DELAYED, EQUAL, EQUAL_IPV6, LEARNING, TWENTY)
FIRST: Final = ("vrrpd", "keepalived")
"""The first router has priority 200, the second one 100; in the groups named equal both have 100."""

PREEMPT_DELAY: Final = 3.0
"""Seconds."""
CLOCK_TOLERANCE: Final = 0.005
"""Seconds by which the clock of the capture may have been moved against the routers' clock."""

STAYS_AFTER_A_START: Final = (PATIENT, EQUAL, EQUAL_IPV6)
"""Where the first router, starting, leaves the role to the second one."""
STAYS_AFTER_A_PARTITION: Final = (EQUAL, EQUAL_IPV6)
"""Where the second router, which has the greater address, stays master against another master."""


def PLAY(story: Story) -> None:
    """The second router is there first; then the first one comes, is cut off, comes back, is killed and comes back."""

    def start_second() -> None:
        story.start(story.second)
        story.touch()

    alone = {group.name: alone_at_second(story, group) for group in GROUPS}
    story.act("the second alone", start_second, alone)
    joined = {group.name: after_a_start(story, group) for group in GROUPS}
    story.act("the first joins", lambda: story.start(story.first), joined, lasts=2.5)
    story.act("partition", lambda: story.cut(story.first), {group.name: story.parted(group) for group in GROUPS})
    story.act("healing", lambda: story.mend(story.first), {group.name: healed(story, group) for group in GROUPS})
    story.act("kill", lambda: story.kill(story.first), {group.name: killed(story, group) for group in GROUPS})
    story.act("start after the kill", lambda: story.start(story.first), joined, lasts=2.5)
    story.act("stop", lambda: story.stop(story.first), alone)
    story.act(
        "end", lambda: story.stop(story.second), {group.name: story.ended(story.second, group) for group in GROUPS}
    )


def alone_at_second(story: Story, group: Group) -> Seen:
    """How a group looks when only the second router runs."""
    return story.at(story.second, group, vrrpd_runs=story.second == "vrrpd")


def after_a_start(story: Story, group: Group) -> Seen:
    """How a group looks when the first router has been started beside the second one."""
    return story.at(story.second if group in STAYS_AFTER_A_START else story.first, group)


def healed(story: Story, group: Group) -> Seen:
    """How a group looks when two masters have met."""
    return story.at(story.second if group in STAYS_AFTER_A_PARTITION else story.first, group)


def killed(story: Story, group: Group) -> Seen:
    """How a group looks when the first program was killed: what it was master of, its host still holds."""
    seen = alone_at_second(story, group)
    if group in STAYS_AFTER_A_PARTITION:
        return seen
    return replace(seen, holders=dict.fromkeys(group.addresses, frozenset({"vrrpd", "keepalived"})))


every_first = pytest.mark.parametrize("story", FIRST, indirect=True, ids=lambda first: f"{first}_first")
every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


@every_first
@every_group
@pytest.mark.requirement("SM-I-3", "SM-B-7")
@pytest.mark.counter_case("K-PDELAY")
def test_a_router_that_hears_nobody_becomes_master_whatever_its_rules(story: Story, group: Group) -> None:
    assert story.acts["the second alone"].seen[group.name] == alone_at_second(story, group)


@every_first
@pytest.mark.parametrize("group", [PREEMPTING, DELAYED, LEARNING, TWENTY], ids=lambda group: group.name)
@pytest.mark.requirement("SM-B-10", "SM-A-10")
def test_a_higher_priority_takes_the_role_over(story: Story, group: Group) -> None:
    assert story.acts["the first joins"].seen[group.name] == story.at(story.first, group)


@every_first
@pytest.mark.requirement("SM-B-9", "K-NOPRE")
@pytest.mark.counter_case("SM-A-13")
def test_with_nopreempt_a_higher_priority_waits_for_the_master_to_fail(story: Story) -> None:
    assert story.acts["the first joins"].seen["patient"] == story.at(story.second, PATIENT)
    assert story.advertisements(PATIENT, story.first, "the first joins") == []


@every_first
@pytest.mark.parametrize("group", [EQUAL, EQUAL_IPV6], ids=lambda group: group.name)
@pytest.mark.requirement("SM-B-9")
@pytest.mark.counter_case("SM-B-10")
def test_an_equal_priority_does_not_preempt(story: Story, group: Group) -> None:
    assert story.acts["the first joins"].seen[group.name] == story.at(story.second, group)
    assert story.advertisements(group, story.first, "the first joins") == []


@every_first
@pytest.mark.parametrize("act", ["the first joins", "start after the kill"])
@pytest.mark.requirement("K-PDELAY")
def test_preempt_delay_postpones_the_takeover(story: Story, act: str) -> None:
    began = story.acts[act].began_ns / 1e9
    delayed = min(frame.time for frame, _ in story.advertisements(DELAYED, story.first, act))
    at_once = min(frame.time for frame, _ in story.advertisements(PREEMPTING, story.first, act))
    assert delayed - began >= PREEMPT_DELAY
    assert at_once < delayed


@every_first
@every_group
def test_each_side_of_a_parted_lan_has_a_master(story: Story, group: Group) -> None:
    assert story.acts["partition"].seen[group.name] == story.parted(group)


@every_first
@pytest.mark.parametrize("group", [PREEMPTING, PATIENT, DELAYED, LEARNING, TWENTY], ids=lambda group: group.name)
@pytest.mark.requirement("SM-A-10", "SM-A-11", "SM-A-13")
@pytest.mark.counter_case("SM-A-10")
def test_of_two_masters_the_higher_priority_stays_whatever_its_preemption(story: Story, group: Group) -> None:
    assert story.acts["healing"].seen[group.name] == story.at(story.first, group)


@every_first
@pytest.mark.parametrize("group", [EQUAL, EQUAL_IPV6], ids=lambda group: group.name)
@pytest.mark.requirement("SM-A-10", "SM-A-11", "SM-X-1")
@pytest.mark.counter_case("RX-11")
def test_of_two_masters_with_equal_priorities_the_greater_address_stays(story: Story, group: Group) -> None:
    assert story.acts["healing"].seen[group.name] == story.at(story.second, group)


@every_first
@pytest.mark.requirement("SM-B-9", "TM-4", "RX-16")
def test_a_backup_with_a_shorter_interval_learns_the_master_s(story: Story) -> None:
    first = min(frame.time_ns for frame, _ in story.advertisements(LEARNING, story.first, "the first joins"))
    late = [
        seen
        for frame, seen in story.advertisements(LEARNING, story.second, "the first joins")
        if frame.time_ns > first + 250_000_000
    ]
    assert late == []
    if story.second == "vrrpd":
        assert story.acts["the first joins"].status["learning"]["master_advertisement_interval"] == 1.0


@every_first
@pytest.mark.requirement("TM-3", "TM-4")
def test_a_backup_waits_three_learned_intervals_and_their_skew(story: Story) -> None:
    ended_ns = story.acts["the first joins"].ended_ns
    last = max(frame.time for frame, _ in story.advertisements(LEARNING, story.first) if frame.time_ns <= ended_ns)
    first = min(frame.time for frame, _ in story.advertisements(LEARNING, story.second, "partition"))
    assert first - last >= 3.609375 - CLOCK_TOLERANCE


@every_first
@pytest.mark.requirement("TX-2", "TM-5")
@pytest.mark.counter_case("TX-2")
def test_a_master_advertises_its_own_interval_whatever_it_learned(story: Story) -> None:
    assert {seen.interval for _, seen in story.advertisements(LEARNING, story.first)} == {100}
    assert {seen.interval for _, seen in story.advertisements(LEARNING, story.second)} == {25}


@every_first
@pytest.mark.parametrize("act", ["partition", "kill"])
@pytest.mark.requirement("FMT-4", "FMT-13", "ARP-4")
def test_twenty_addresses_move_together(story: Story, act: str) -> None:
    for _, seen in story.advertisements(TWENTY, act=act):
        assert tuple(map(str, seen.addresses)) == TWENTY.addresses
    for address in TWENTY.addresses:
        assert len(story.announcements(address, story.second, act)) >= 5


@every_first
@every_group
@pytest.mark.requirement("SM-B-7", "ARP-4", "ND-4")
@pytest.mark.requirement("ACC-1")
def test_the_client_follows_although_the_killed_router_s_host_keeps_the_addresses(story: Story, group: Group) -> None:
    assert story.acts["kill"].seen[group.name] == killed(story, group)


@every_first
@every_group
@pytest.mark.requirement("OWN-6", "SM-I-3")
def test_a_program_that_was_killed_puts_right_what_it_left_behind(story: Story, group: Group) -> None:
    assert story.acts["start after the kill"].seen[group.name] == after_a_start(story, group)


@every_first
@every_group
@pytest.mark.requirement("SM-A-7", "SM-B-8", "SM-A-15")
def test_a_stopped_router_leaves_its_addresses_to_the_other(story: Story, group: Group) -> None:
    assert story.acts["stop"].seen[group.name] == alone_at_second(story, group)


@every_first
@every_group
@pytest.mark.requirement("SM-A-7", "SM-A-15")
def test_nothing_is_left_behind_when_both_are_stopped(story: Story, group: Group) -> None:
    assert story.acts["end"].seen[group.name] == story.ended(story.second, group)
