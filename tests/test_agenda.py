"""The agenda held against routers that are alone in the world: together they do the same, on time."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.builders import LINK_DOWN
from tests.virtual_host import Heard, Sent, VirtualHost, by_itself, settings
from vrrpd.agenda import CROWD, DECISION_LEAD, REHEARSALS, TAKEOVER_LEAD
from vrrpd.links import UNFAMILIAR_PER_TURN
from vrrpd.net.sockets import PACKETS_PER_CALL
from vrrpd.protocol.events import FaultsChanged, WeightChanged
from vrrpd.runner import RunnerSettings

ON_TIME = 0.004
"""Seconds of virtual time: turns of the loop, and asyncio's timers, which have a millisecond."""
MASTER = IPv4Address("192.0.2.1")


def of_router(sent: list[Sent], vrid: int) -> list[tuple[float, str]]:
    return [(at, what) for at, of, what in sent if of == vrid]


def takes_over(sent: list[Sent], vrid: int) -> float:
    """When a router was first MASTER."""
    return next(at for at, what in of_router(sent, vrid) if what == "install")


def advertised(vrid: int, until: float, interval: float = 1.0, phase: float = 0.0, priority: int = 200) -> list[Heard]:
    """What a master says from the beginning until it dies."""
    times = [phase + number * interval for number in range(int((until - phase) / interval) + 1)]
    return [Heard(at, vrid, priority, MASTER, int(interval * 100)) for at in times]


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[RunnerSettings], list[Heard]]:
    """Up to a dozen routers of one daemon, and masters that die, say goodbye, lose an election or come back."""
    count = draw(st.integers(1, 12))
    routers, heard = [], []
    for vrid in range(1, count + 1):
        phase = draw(st.sampled_from([0.0, 0.02, 0.5]))
        routers.append(settings(vrid, draw(st.sampled_from([50, 100, 150, 254])), phase=phase))
        end = draw(st.sampled_from([0.0, 2.0, 3.3, 7.9]))
        # Moments that no timer of ours has: what comes first then does not matter.
        heard += advertised(vrid, end, phase=0.0137 * draw(st.integers(1, 40)), priority=200)
        for at in draw(st.lists(st.sampled_from([2.5111, 4.0003, 6.2507, 6.2519]), unique=True, max_size=2)):
            heard.append(Heard(at, vrid, draw(st.sampled_from([0, 1, 60, 120, 254])), MASTER))
    return routers, heard


@given(stories())
def test_routers_of_one_daemon_do_what_each_would_do_alone_and_on_time(
    story: tuple[list[RunnerSettings], list[Heard]],
) -> None:
    routers, heard = story
    sent = VirtualHost(routers, heard).run(10.0)
    for router in routers:
        vrid = router.parameters.vrid
        expected = [(at, what) for at, _, what in by_itself(router, heard, 10.0)]
        found = of_router(sent, vrid)
        # What falls on the very end may be on either side of it.
        both = min(len(expected), len(found))
        assert abs(len(expected) - len(found)) <= 1
        assert [what for _, what in found[:both]] == [what for _, what in expected[:both]]
        for (at, what), (due, _) in zip(found, expected, strict=False):
            assert due - 1e-9 <= at <= due + ON_TIME, f"{what} of {vrid} at {at}, due at {due}"


def test_a_takeover_leaves_neither_before_its_moment_nor_noticeably_after() -> None:
    host = VirtualHost([settings(1, 100)], advertised(1, 2.0))
    begun = takes_over(host.run(7.0), 1)
    assert 0.0 <= begun - (2.0 + 3.609375) < 0.0002
    assert len(host.rehearsed) == REHEARSALS
    assert all(begun - TAKEOVER_LEAD <= at < begun for at in host.rehearsed)


def test_those_who_take_over_at_nearly_the_same_moment_are_all_on_time() -> None:
    heard = [packet for vrid in range(1, 6) for packet in advertised(vrid, 2.1, phase=0.00002 * vrid)]
    sent = VirtualHost([settings(vrid, 100) for vrid in range(1, 6)], heard).run(7.0)
    moments = [takes_over(sent, vrid) for vrid in range(1, 6)]
    for vrid, moment in zip(range(1, 6), moments, strict=True):
        assert 0.0 <= moment - (2.0 + 0.00002 * vrid + 3.609375) < 0.0002


def test_who_follows_another_takeover_is_not_rehearsed() -> None:
    heard = [packet for vrid in range(1, 21) for packet in advertised(vrid, 2.5, phase=0.002 * vrid)]
    host = VirtualHost([settings(vrid, 100) for vrid in range(1, 21)], heard)
    sent = host.run(7.0)
    for vrid in range(1, 21):
        assert 0.0 <= takes_over(sent, vrid) - (2.0 + 0.002 * vrid + 3.609375) < 0.0002
    assert len(host.rehearsed) == REHEARSALS, "for the first of them"


def test_whoever_is_late_shares_the_way_with_others_that_are_until_nobody_is() -> None:
    """Sixty routers, due one millisecond after the other, on a host that needs longer than that for each batch."""
    vrids = range(1, 61)
    heard = [packet for vrid in vrids for packet in advertised(vrid, 2.5, phase=0.001 * vrid)]
    host = VirtualHost([settings(vrid, 100) for vrid in vrids], heard)
    host.batches.takes = 0.0015
    sent = host.run(7.0)
    late = [takes_over(sent, vrid) - (2.0 + 0.001 * vrid + 3.609375) for vrid in vrids]
    assert min(late) >= 0.0
    assert max(late) < 2 * host.batches.takes


def test_an_advertisement_that_arrives_in_the_last_moment_prevents_a_takeover() -> None:
    """It lies in the socket when the decision is due: nobody has decided yet."""
    last = 1.0 + 3.609375 - 2 * DECISION_LEAD
    sent = VirtualHost([settings(1, 100)], [Heard(1.0, 1, 200), Heard(last, 1, 200)]).run(last + 3.0)
    assert of_router(sent, 1) == []


def test_an_advertisement_that_arrives_while_the_daemon_waits_to_decide_prevents_a_takeover() -> None:
    last = 1.0 + 3.609375 - 0.0001
    host = VirtualHost([settings(1, 100)], [Heard(1.0, 1, 200), Heard(last, 1, 200)])
    assert of_router(host.run(last + 3.0), 1) == []
    assert len(host.rehearsed) == REHEARSALS, "it was about to"


@pytest.mark.parametrize("before", [0.00005, 0.0001, 0.0003])
def test_an_advertisement_that_arrives_when_a_takeover_is_decided_already_prevents_it(before: float) -> None:
    last = 1.0 + 3.609375 - before
    host = VirtualHost([settings(1, 100)], [Heard(1.0, 1, 200), Heard(last, 1, 200)])
    host.rehearsal_takes = 0.0004
    sent = host.run(last + 7.0)
    assert len(host.rehearsed) == 2 * REHEARSALS, "it was about to"
    assert 0.0 <= takes_over(sent, 1) - (last + 3.609375) < 0.0002
    assert [what for _, what in of_router(sent, 1)][:3] == ["advertise 100", "install", "announce"]


def test_who_is_disturbed_while_a_takeover_waits_takes_over_all_the_same_and_at_once() -> None:
    """A stranger's advertisements, which change nothing for the two that are about to take over."""
    due = 3.609375
    strangers = [Heard(due - 0.00005 + number * 0.00002, 3, 200, MASTER) for number in range(20)]
    host = VirtualHost([settings(vrid, 100) for vrid in (1, 2, 3)], [Heard(1.0, 3, 200, MASTER), *strangers])
    host.rehearsal_takes = 0.0004
    sent = host.run(5.0)
    for vrid in (1, 2):
        assert 0.0 <= takes_over(sent, vrid) - due < 0.0005
        assert [what for _, what in of_router(sent, vrid)][:3] == ["advertise 100", "install", "announce"]
    assert of_router(sent, 3) == []


def test_a_socket_that_always_has_something_to_tell_keeps_nobody_from_taking_over() -> None:
    host = VirtualHost([settings(1, 100)], [])
    host.rehearsal_takes = 0.0004
    host.socket.failed = True
    assert 0.0 <= takes_over(host.run(5.0), 1) - 3.609375 < 0.0002


def test_a_crowded_socket_is_read_now_and_then_only_and_every_farewell_is_answered_in_time() -> None:
    vrids = range(1, 49)
    heard = [packet for vrid in vrids for packet in advertised(vrid, 20.0, phase=0.02 * vrid)]
    heard.append(Heard(20.9, 3, 0, MASTER))
    host = VirtualHost([settings(vrid, 100) for vrid in vrids], heard)
    begun = takes_over(host.run(22.0), 3)
    assert 0.0 <= begun - (20.9 + 0.609375) < ON_TIME
    assert host.socket.reads < 0.6 * len(heard)


def test_an_advertisement_that_nobody_has_read_for_a_rest_prevents_a_takeover() -> None:
    vrids = range(1, 49)
    heard = [packet for vrid in vrids if vrid != 3 for packet in advertised(vrid, 7.0, phase=0.02 * vrid)]
    heard += [Heard(at, 3, 200, MASTER) for at in (0.06, 1.06, 1.06 + 3.609375 - 0.003)]
    host = VirtualHost([settings(vrid, 100) for vrid in vrids], heard)
    assert of_router(host.run(6.0), 3) == []
    assert host.rehearsed == [], "a takeover that does not come"


def test_a_rest_ends_when_a_router_becomes_impatient() -> None:
    """A weight has put its skew time down to 4 ms; the rest under way was one of 50 ms."""
    vrids = range(1, CROWD + 5)
    heard = [packet for vrid in vrids for packet in advertised(vrid, 3.0, phase=0.02 * vrid, priority=255)]
    heard += [Heard(2.1004, 3, 0, MASTER)]
    host = VirtualHost([settings(vrid, 100) for vrid in vrids], heard)
    begun = takes_over(host.run(3.5, [(2.1002, 3, WeightChanged(154, "check web"))]), 3)
    assert 0.0 <= begun - (2.1004 + 0.0078125) < ON_TIME


def test_where_somebody_is_master_nobody_rests() -> None:
    """A losing advertisement is answered at once."""
    vrids = range(1, CROWD + 5)
    heard = [packet for vrid in vrids if vrid != 3 for packet in advertised(vrid, 9.0, phase=0.02 * vrid)]
    heard.append(Heard(6.1003, 3, 50, MASTER))
    sent = VirtualHost([settings(vrid, 100) for vrid in vrids], heard).run(7.0)
    assert any(6.1003 <= at < 6.1003 + ON_TIME and what == "advertise 100" for at, what in of_router(sent, 3))


def test_a_flood_is_taken_in_bit_by_bit_so_that_others_get_their_turn() -> None:
    flood = [Heard(0.5, 1, 60, MASTER + number % 99, 1 + number) for number in range(2000)]
    host = VirtualHost([settings(1, 100)], flood)
    host.run(0.6)
    assert not host.socket.coming, "all of it was read"
    assert host.socket.reads >= 2000 / (UNFAMILIAR_PER_TURN + PACKETS_PER_CALL)


def test_routers_that_take_over_later_do_not_wait_for_one_in_fault() -> None:
    host = VirtualHost([settings(1, 100), settings(2, 100)], [])
    sent = host.run(6.0, [(2.0, 1, FaultsChanged((LINK_DOWN,)))])
    assert of_router(sent, 1) == []
    assert 0.0 <= takes_over(sent, 2) - 3.609375 < 0.0005
