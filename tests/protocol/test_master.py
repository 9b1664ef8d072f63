"""The state machine in MASTER, story by story: RFC 9568 section 6.4.3, announcements and the phase of a router.

Times are seconds on a clock that the tests keep. The router under test has priority 100 and advertises each second
unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.builders import (
    HIGHER,
    LINK_DOWN,
    LOWER,
    OURS,
    advertisement,
    backup_of,
    kinds,
    master_of,
    notices,
    parameters,
    received,
    serving,
    started,
    without_notices,
)
from vrrpd.protocol.actions import (
    Announce,
    Notice,
    NoticeKind,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.events import (
    AdvertisementReceived,
    FaultsChanged,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
)
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.timing import Version

# -- MASTER -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SM-A-7", "SHUT-1")
@pytest.mark.counter_case("SM-B-6")
def test_master_leaves_by_shutdown_with_priority_0() -> None:
    router = serving()
    assert router.handle(Shutdown("SIGTERM"), 0.5) == [
        SendAdvertisement(0),
        WithdrawAddresses(),
        StateChanged(StateName.MASTER, StateName.INIT, "SIGTERM"),
    ]
    assert router.deadline is None


@pytest.mark.requirement("SM-A-8")
def test_master_advertises_each_interval() -> None:
    router = serving(parameters(interval=25))
    assert router.deadline == 0.25
    assert router.handle(TimerExpired(), 0.25) == [SendAdvertisement(100)]
    assert router.deadline == 0.5


@pytest.mark.requirement("TM-7")
def test_a_late_timer_does_not_move_the_rate() -> None:
    router = serving()
    router.handle(TimerExpired(), 1.25)
    assert router.deadline == 2.0


@pytest.mark.requirement("TM-7")
def test_lost_time_is_not_made_up_for_with_a_burst() -> None:
    router = serving()
    assert router.handle(TimerExpired(), 3.5) == [SendAdvertisement(100)]
    assert router.deadline == 4.5


@pytest.mark.requirement("TM-9")
@pytest.mark.counter_case("TM-9")
def test_an_advertisement_later_than_the_others_wait_is_remarked() -> None:
    router = serving()
    assert notices(router.handle(TimerExpired(), 4.6)) == []
    router = serving()
    late, sent = router.handle(TimerExpired(), 4.75)
    assert isinstance(late, Notice)
    assert late.kind is NoticeKind.LATE
    assert "3.750 s late" in late.text
    assert sent == SendAdvertisement(100)


@pytest.mark.requirement("SM-A-9")
@pytest.mark.counter_case("SM-A-16")
def test_master_answers_priority_0_at_once() -> None:
    router = serving()
    sent, notice = router.handle(received(0), 0.25)
    assert sent == SendAdvertisement(100)
    assert isinstance(notice, Notice)
    assert notice.kind is NoticeKind.PRIORITY_ZERO_RECEIVED
    assert router.deadline == 1.25


@pytest.mark.requirement("SM-A-10", "SM-A-11")
@pytest.mark.counter_case("SM-A-10", "SM-A-11", "SM-A-14")
@pytest.mark.parametrize(
    ("priority", "source", "outcome"),
    [
        (101, LOWER, "yields"),
        (101, HIGHER, "yields"),
        (255, LOWER, "yields"),
        (100, HIGHER, "yields"),
        (100, IPv4Address("255.0.0.1"), "yields"),
        (100, LOWER, "answers"),
        (100, IPv4Address("127.0.0.1"), "answers"),
        (99, HIGHER, "answers"),
        (99, LOWER, "answers"),
        (1, HIGHER, "answers"),
        (100, OURS, "is silent"),
        (99, OURS, "answers"),
        (101, OURS, "yields"),
    ],
)
def test_priority_decides_and_then_the_address(priority: int, source: IPv4Address, outcome: str) -> None:
    router = serving()
    actions = without_notices(router.handle(received(priority, source), 0.5))
    expected = {
        "yields": ["WithdrawAddresses", "StateChanged"],
        "answers": ["SendAdvertisement"],
        "is silent": [],
    }
    assert kinds(actions) == expected[outcome]
    assert (router.state.name is StateName.BACKUP) == (outcome == "yields")


@pytest.mark.requirement("SM-A-10")
def test_ipv6_addresses_are_compared_as_128_bit_numbers() -> None:
    router = serving()
    router.handle(SourceChanged(IPv6Address("fe80::ffff:0:1")), 0.0)
    event = AdvertisementReceived(IPv6Address("fe80::1:0:0:1"), advertisement(100))
    assert kinds(without_notices(router.handle(event, 0.1))) == ["WithdrawAddresses", "StateChanged"]


@pytest.mark.requirement("SM-A-10", "TM-4")
@pytest.mark.counter_case("SM-A-11", "K-HIGHER")
def test_master_that_yields_learns_the_interval_and_waits_for_the_new_one() -> None:
    router = serving()
    assert router.handle(received(200, interval=300), 0.5) == [
        WithdrawAddresses(),
        StateChanged(StateName.MASTER, StateName.BACKUP, "192.0.2.3 has priority 200, higher than ours (100)"),
    ]
    assert router.deadline == 11.328125
    assert (backup_of(router).master, backup_of(router).master_priority) == (HIGHER, 200)


@pytest.mark.requirement("SM-A-10")
def test_a_tie_is_lost_to_the_higher_address() -> None:
    changed = serving().handle(received(100), 0.5)[-1]
    assert isinstance(changed, StateChanged)
    assert changed.reason == "192.0.2.3 has our priority 100 and a higher address than 192.0.2.2"


def test_a_router_with_our_priority_is_remarked_upon_once_as_backup_and_when_we_give_way_to_it() -> None:
    router = started()
    (notice,) = router.handle(received(100, LOWER), 0.5)
    assert notice == Notice(
        NoticeKind.EQUAL_PRIORITY,
        "192.0.2.1 has our priority, 100: where both are masters the higher address stays",
        LOWER,
    )
    assert router.handle(received(100, LOWER), 1.5) == []
    assert notices(router.handle(received(200, HIGHER), 2.0)) == []
    assert notices(router.handle(received(100, LOWER), 4.5)) == [NoticeKind.EQUAL_PRIORITY]
    assert notices(serving().handle(received(100, HIGHER), 0.5)) == [NoticeKind.EQUAL_PRIORITY]
    assert notices(serving().handle(received(200, HIGHER), 0.5)) == []


@pytest.mark.requirement("K-HIGHER")
def test_higher_prio_send_advert_sends_one_more_advertisement_before_yielding() -> None:
    router = serving(replace(parameters(), advertise_before_yielding=True))
    assert kinds(router.handle(received(200), 0.5)) == ["SendAdvertisement", "WithdrawAddresses", "StateChanged"]


@pytest.mark.requirement("SM-A-13")
def test_nopreempt_is_not_looked_at_by_a_master() -> None:
    router = serving(parameters(preempt=False))
    router.handle(received(101), 0.5)
    assert router.state.name is StateName.BACKUP


@pytest.mark.requirement("SM-A-11", "V2-13", "K-LOWER")
@pytest.mark.counter_case("SM-A-10", "SM-A-15")
@pytest.mark.parametrize("version", Version)
def test_a_losing_advertisement_is_answered_at_once(version: Version) -> None:
    router = serving(parameters(version=version))
    sent, notice = router.handle(AdvertisementReceived(LOWER, advertisement(50, version=version)), 0.5)
    assert sent == SendAdvertisement(100)
    assert notice == Notice(
        NoticeKind.LOSING_ADVERTISEMENT, "192.0.2.1 also advertises, with priority 50; ours is 100", LOWER
    )


@pytest.mark.counter_case("K-LOWER", "V2-13")
@pytest.mark.parametrize("version", Version)
def test_lower_prio_no_advert_leaves_losing_advertisements_unanswered(version: Version) -> None:
    router = serving(replace(parameters(version=version), answer_lower_priority=False))
    losing = AdvertisementReceived(HIGHER, advertisement(50, version=version))
    assert notices(router.handle(losing, 0.5)) == [NoticeKind.LOSING_ADVERTISEMENT]
    assert without_notices(router.handle(losing, 0.6)) == []


@pytest.mark.requirement("SM-A-14")
@pytest.mark.counter_case("SM-A-11")
def test_an_equal_advertisement_from_our_own_address_is_not_answered() -> None:
    router = serving()
    before = router.state
    (notice,) = router.handle(received(100, OURS), 0.5)
    assert isinstance(notice, Notice)
    assert notice.kind is NoticeKind.SAME_SOURCE
    assert router.state is before


def test_a_master_without_a_source_address_does_not_lose_a_tie() -> None:
    router = VirtualRouter(parameters(255))
    router.handle(Startup(), 0.0)
    router.handle(received(255), 0.5)
    assert router.state.name is StateName.MASTER


@pytest.mark.requirement("RX-15", "RX-22", "OWN-2", "K-OWNER2")
@pytest.mark.parametrize(("source", "state"), [(LOWER, StateName.MASTER), (HIGHER, StateName.BACKUP)])
def test_two_owners_settle_by_election_and_are_named(source: IPv4Address, state: StateName) -> None:
    router = serving(parameters(255))
    actions = router.handle(received(255, source), 0.5)
    assert NoticeKind.SECOND_OWNER in notices(actions)
    assert router.state.name is state


@pytest.mark.requirement("SM-A-16")
@pytest.mark.parametrize("priority", [0, 50])
def test_a_flood_of_10000_packets_in_a_second_is_answered_100_times(priority: int) -> None:
    router = serving(parameters(interval=4095))
    sent = sum(
        isinstance(action, SendAdvertisement)
        for packet in range(10_000)
        for action in router.handle(received(priority), packet / 10_001)
    )
    assert sent == 100
    assert SendAdvertisement(100) in router.handle(received(priority), 1.0)


@pytest.mark.requirement("SM-A-16")
def test_an_unanswered_flood_of_priority_0_does_not_silence_the_master() -> None:
    router = serving(parameters(interval=100))
    for packet in range(200):
        router.handle(received(0), 0.25 + packet / 1000)
    assert router.deadline is not None
    assert router.deadline <= 1.35


@pytest.mark.requirement("TM-7")
def test_advertisements_fall_on_the_phase_of_a_router_that_has_one() -> None:
    router = started(replace(parameters(), advertisement_phase=0.25))
    router.handle(TimerExpired(), 3.62)
    assert router.deadline == pytest.approx(4.25), "the first interval is shorter"
    router.handle(TimerExpired(), 4.2501)
    assert router.deadline == pytest.approx(5.25)
    router.handle(TimerExpired(), 9.97)
    assert router.deadline == pytest.approx(10.25), "after a pause on its phase again"


@pytest.mark.requirement("TM-7")
def test_a_new_master_does_not_advertise_again_while_others_still_take_over() -> None:
    router = started(replace(parameters(), advertisement_phase=0.65))
    router.handle(TimerExpired(), 3.62)
    assert router.deadline == pytest.approx(4.62), "not 0.03 s later: others with that phase may be waiting"
    router.handle(TimerExpired(), 4.6201)
    assert router.deadline == pytest.approx(4.65), "the second interval is shorter"
    router.handle(TimerExpired(), 4.6501)
    assert router.deadline == pytest.approx(5.65)


@pytest.mark.requirement("TM-7")
@given(
    st.floats(0.0, 1.0e7),
    st.sampled_from([1, 7, 10, 100, 4095]),
    st.floats(0.0, 1.0, exclude_max=True),
    st.floats(0.0, 0.02),
)
def test_no_interval_is_longer_for_the_phase(now: float, interval: int, fraction: float, late: float) -> None:
    phase = fraction * interval / 100
    router = VirtualRouter(replace(parameters(255), max_advertise_interval=interval, advertisement_phase=phase))
    router.handle(SourceChanged(OURS), now)
    router.handle(Startup(), now)
    assert router.state.name is StateName.MASTER
    before = router.deadline
    assert before is not None
    assert now + interval / 400 - 2e-6 <= before <= now + interval / 100 + 2e-6
    for number in range(4):
        asked = before + late
        assert SendAdvertisement(255) in router.handle(TimerExpired(), asked)
        due = router.deadline
        assert due is not None
        assert asked < due <= max(before, asked) + interval / 100 + 2e-6
        if number > 0 and asked < before + interval / 100:
            assert due == pytest.approx(before + interval / 100, abs=2e-6), "on the phase nothing is shorter"
        before = due


# -- announcements ----------------------------------------------------------------------------------------------------

KEEPALIVED_TIMES = AnnouncementTimes()


@pytest.mark.requirement("ARP-4", "K-GARP")
def test_a_second_round_is_announced_5_s_after_becoming_master_and_not_again() -> None:
    router = serving(parameters(announcements=KEEPALIVED_TIMES))
    rounds = []
    for second in range(1, 12):
        actions = router.handle(TimerExpired(), float(second))
        rounds += [(second, action) for action in actions if isinstance(action, Announce)]
    assert rounds == [(5, Announce(5))]


@pytest.mark.requirement("K-GARP")
def test_refreshes_begin_after_the_second_round_and_go_on() -> None:
    times = AnnouncementTimes(master_delay=5.0, refresh=3.0, refresh_repeat=2)
    router = serving(parameters(announcements=times))
    rounds = []
    for second in range(1, 16):
        actions = router.handle(TimerExpired(), float(second))
        rounds += [(second, action) for action in actions if isinstance(action, Announce)]
    assert rounds == [(5, Announce(5)), (8, Announce(2)), (11, Announce(2)), (14, Announce(2))]


def test_an_announcement_that_is_due_between_two_advertisements_has_its_own_deadline() -> None:
    router = serving(parameters(announcements=AnnouncementTimes(master_delay=0.5)))
    assert router.deadline == 0.5
    assert router.handle(TimerExpired(), 0.5) == [Announce(5)]
    assert router.deadline == 1.0


def rounds_of(router: VirtualRouter, heard: Iterable[float], until: float) -> list[int]:
    """When the router answers losing advertisements that come at these times with announcements, in milliseconds."""
    waiting = sorted(heard, reverse=True)
    rounds: list[int] = []
    while True:
        due = router.deadline
        assert due is not None
        now = min(due, waiting[-1]) if waiting else due
        if now > until:
            return rounds
        event = TimerExpired() if now == due else received(50)
        if event != TimerExpired():
            waiting.pop()
        rounds += [round(now * 1000) for action in router.handle(event, now) if action == Announce(3)]


@pytest.mark.requirement("K-LOWER")
def test_a_losing_advertisement_is_answered_with_announcements_at_once_and_twice_more() -> None:
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=2.5)
    router = serving(parameters(interval=4095, announcements=times))
    assert Announce(3) in router.handle(received(50), 0.25)
    assert router.deadline == 0.3
    assert router.handle(TimerExpired(), 0.3) == [Announce(3)]
    assert router.deadline == 2.8
    assert router.handle(TimerExpired(), 2.8) == [Announce(3)]
    assert router.deadline == 40.95


@pytest.mark.requirement("K-LOWER")
@pytest.mark.parametrize(
    ("interval", "spacing"), [(1, 100), (10, 100), (20, 200), (50, 500), (100, 1000), (300, 1000), (4095, 1000)]
)
def test_losing_advertisements_are_answered_with_announcements_once_an_interval(interval: int, spacing: int) -> None:
    """Not sooner than after 0.1 s, nor later than after 1 s: from the second answer on."""
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=0.0)
    router = serving(parameters(interval=interval, announcements=times))
    flood = [0.003, *(0.006 + number * 0.005 for number in range(640))]
    assert rounds_of(router, flood, 3.2) == [3, *range(53, 3200, spacing)]


@given(st.lists(st.integers(1, 3000), unique=True))
def test_whatever_is_sent_no_more_than_two_bursts_of_announcements_leave_in_an_interval(heard: list[int]) -> None:
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=0.0)
    router = serving(parameters(interval=20, announcements=times))
    rounds = rounds_of(router, (when / 1000 for when in heard), 6.0)
    assert bool(rounds) is bool(heard)
    assert all(third - first >= 250 for first, third in zip(rounds, rounds[2:], strict=False))


@pytest.mark.requirement("K-LOWER")
def test_a_rival_that_advertises_as_often_as_we_do_is_countered_when_its_own_announcements_are_out() -> None:
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=5.0)
    router = serving(parameters(interval=20, announcements=times))
    assert rounds_of(router, [0.125, 0.325, 0.525, 0.725], 10.0) == [125, 175, 375, 575, 775, 5775]


@pytest.mark.requirement("K-LOWER")
def test_the_announcement_after_the_last_losing_advertisement_is_held_back_and_not_left_out() -> None:
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=0.0)
    router = serving(parameters(interval=4095, announcements=times))
    assert Announce(3) in router.handle(received(50), 0.25)
    assert router.handle(TimerExpired(), 0.3125) == [Announce(3)]
    assert Announce(3) not in router.handle(received(50), 0.5)
    assert router.deadline == 1.3125
    assert router.handle(TimerExpired(), 1.3125) == [Announce(3)]
    assert router.deadline == 40.95


@pytest.mark.requirement("K-LOWER")
def test_no_late_round_follows_where_the_delay_is_0() -> None:
    times = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=3, lower_priority_delay=0.0)
    router = serving(parameters(announcements=times))
    assert Announce(3) in router.handle(received(50), 0.5)
    assert router.handle(TimerExpired(), 0.5625) == [Announce(3)]
    assert master_of(router).lower_priority_round is None
    assert router.deadline == 1.0


def test_no_announcement_answers_a_losing_advertisement_where_there_are_to_be_none() -> None:
    router = serving(parameters(announcements=AnnouncementTimes(master_delay=0.0, lower_priority_repeat=0)))
    assert without_notices(router.handle(received(50), 0.5)) == [SendAdvertisement(100)]
    assert router.deadline == 1.0


@pytest.mark.requirement("SM-A-15")
@pytest.mark.counter_case("ARP-4")
def test_no_announcement_survives_mastership() -> None:
    router = serving(parameters(announcements=KEEPALIVED_TIMES))
    router.handle(received(200), 0.5)
    assert without_notices(router.handle(TimerExpired(), 4.109375))[2] == Announce(5)
    assert master_of(router).second_round == 9.109375


@pytest.mark.requirement("SM-A-15", "SHUT-1")
def test_every_way_out_of_master_withdraws_the_addresses() -> None:
    for leave in (Shutdown("SIGTERM"), FaultsChanged((LINK_DOWN,)), received(200)):
        actions = serving().handle(leave, 0.5)
        assert WithdrawAddresses() in actions
        assert isinstance(actions[-1], StateChanged)
