"""The overhead and its companions, from captures that were made up."""

from __future__ import annotations

import pytest

from bench.wire import (
    Timing,
    VirtualRouter,
    false_failovers,
    first_advertisements,
    interval_errors_ms,
    masters,
    preemptions,
    takeovers,
)
from tests.bench.frames import R1, R2, advertisement, announcement, question
from vrrpd.lab.frames import Frame

VIP, OTHER = "198.18.1.1", "198.18.1.2"
ONE = (VirtualRouter(1, (VIP,)),)
TIMING = Timing(interval_ms=100, priority=100)


def overheads(frames: list[Frame], routers: tuple[VirtualRouter, ...] = ONE, since_ms: float = 0) -> list[float]:
    """The overheads of a takeover by r2, rounded to a nanosecond."""
    found = takeovers(frames, routers, R1, R2, round(since_ms * 1_000_000), TIMING)
    return [round(takeover.overhead_ms, 6) for takeover in found]


def test_a_backup_with_priority_100_and_100_ms_waits_360_9375_ms() -> None:
    assert TIMING.skew_ns == 60_937_500
    assert TIMING.master_down_ns == 360_937_500


def test_10_ms_are_not_rounded() -> None:
    assert Timing(10, 100).skew_ns == 6_093_750
    assert Timing(10, 100).master_down_ns == 36_093_750


def test_after_a_crash_the_overhead_counts_from_the_last_advertisement_and_the_master_down_interval() -> None:
    frames = [
        advertisement(1000, R1),
        advertisement(1100, R1),
        advertisement(1461.1, R2),
        announcement(1461.4375, R2, VIP),
        announcement(1461.5, R2, VIP),
    ]
    assert overheads(frames, since_ms=1150) == [0.5]


def test_after_a_clean_stop_it_counts_from_priority_0_and_the_skew_time() -> None:
    frames = [
        advertisement(1000, R1),
        advertisement(1050, R1, priority=0),
        advertisement(1111, R2),
        announcement(1111.1875, R2, VIP),
    ]
    assert overheads(frames, since_ms=1040) == [0.25]


def test_of_two_farewells_the_last_one_counts() -> None:
    frames = [
        advertisement(1050, R1, priority=0),
        advertisement(1050.5, R1, priority=0),
        advertisement(1111, R2),
        announcement(1111.6875, R2, VIP),
    ]
    assert overheads(frames) == [0.25]


def test_a_takeover_that_was_too_early_has_a_negative_overhead() -> None:
    frames = [advertisement(1000, R1), advertisement(1360, R2), announcement(1360.4375, R2, VIP)]
    assert overheads(frames) == [-0.5]


def test_every_address_of_a_router_has_an_overhead_of_its_own() -> None:
    frames = [
        advertisement(1000, R1),
        advertisement(1361, R2),
        announcement(1361.9375, R2, VIP),
        announcement(1362.9375, R2, OTHER),
    ]
    assert overheads(frames, (VirtualRouter(1, (VIP, OTHER)),)) == [1.0, 2.0]


def test_every_router_counts_from_its_own_last_advertisement() -> None:
    frames = [
        advertisement(1000, R1, vrid=1),
        advertisement(1010, R1, vrid=2),
        advertisement(1361, R2, vrid=1),
        announcement(1361.9375, R2, VIP),
        advertisement(1371, R2, vrid=2),
        announcement(1374.9375, R2, OTHER),
    ]
    assert overheads(frames, (VirtualRouter(1, (VIP,)), VirtualRouter(2, (OTHER,)))) == [1.0, 4.0]


def test_a_daemon_may_announce_before_it_advertises() -> None:
    frames = [advertisement(1000, R1), announcement(1361.4375, R2, VIP), advertisement(1361.6, R2)]
    assert overheads(frames) == [0.5]


def test_an_address_that_was_not_announced_was_not_taken_over() -> None:
    frames = [advertisement(1000, R1), advertisement(1361, R2), announcement(1361.5, R2, VIP)]
    (found,) = takeovers(frames, (VirtualRouter(1, (VIP, OTHER)),), R1, R2, 0, TIMING)
    assert found.address == VIP


def test_an_address_that_only_the_old_master_announced_was_not_taken_over() -> None:
    frames = [advertisement(1000, R1), announcement(1361.5, R1, VIP), advertisement(1361, R2)]
    assert overheads(frames) == []


def test_an_ordinary_question_is_no_announcement() -> None:
    frames = [advertisement(1000, R1), advertisement(1361, R2), question(1361.5, R2, VIP)]
    assert overheads(frames) == []


def test_what_the_successor_sent_before_the_event_does_not_count() -> None:
    frames = [
        advertisement(500, R2),
        announcement(501, R2, VIP),
        advertisement(1000, R1),
        advertisement(1361, R2),
        announcement(1361.4375, R2, VIP),
    ]
    assert overheads(frames, since_ms=1001) == [0.5]


def test_without_a_word_of_the_old_master_there_is_nothing_to_count_from() -> None:
    assert overheads([advertisement(1361, R2), announcement(1361.5, R2, VIP)]) == []


def test_a_preemption_counts_from_the_preferred_routers_first_advertisement() -> None:
    frames = [
        advertisement(1000, R2),
        advertisement(1050, R1),
        announcement(1050.25, R1, VIP),
        advertisement(1150, R1),
    ]
    (found,) = preemptions(frames, ONE, R2, R1, 1_001_000_000)
    assert found.overhead_ms == 0.25


def test_masters_are_those_with_a_priority_above_0() -> None:
    frames = [advertisement(1, R1), advertisement(2, R2, priority=0), advertisement(3, R2, vrid=2)]
    assert masters(frames) == {1: {"198.18.0.1"}, 2: {"198.18.0.2"}}


def test_a_start_is_seen_by_the_first_advertisement_of_each_router() -> None:
    frames = [advertisement(5, R2), advertisement(6, R1), advertisement(7, R2, vrid=2), advertisement(105, R2)]
    assert first_advertisements(frames, "198.18.0.2") == {1: 5_000_000, 2: 7_000_000}


def test_interval_errors_have_no_sign_and_are_counted_for_each_router() -> None:
    frames = [
        advertisement(0, R1, vrid=1),
        advertisement(50, R1, vrid=2),
        advertisement(100.5, R1, vrid=1),
        advertisement(120, R2, vrid=1),
        advertisement(149.75, R1, vrid=2),
    ]
    assert interval_errors_ms(frames, "198.18.0.1", 100) == pytest.approx([0.5, 0.25])


def test_a_false_failover_is_counted_once_until_the_master_is_heard_again() -> None:
    frames = [
        advertisement(0, R1),
        advertisement(40, R2),
        advertisement(50, R2),
        advertisement(51, R1),
        advertisement(60, R1, vrid=2),
        advertisement(90, R2),
        advertisement(91, R2, vrid=2, priority=0),
    ]
    assert false_failovers(frames, "198.18.0.1") == 2


def test_a_master_that_is_heard_all_along_has_no_false_failover() -> None:
    assert false_failovers([advertisement(0, R1), advertisement(10, R1)], "198.18.0.1") == 0
