"""The state machine, story by story: RFC 9568 section 6.4, FAULT, ``nopreempt`` and ``preempt_delay``.

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
    CHECK_FAILED,
    HIGHER,
    LINK_DOWN,
    LOWER,
    OTHER_VIP,
    OURS,
    VIP,
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
    InstallAddresses,
    Notice,
    NoticeKind,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    Fault,
    FaultKind,
    FaultsChanged,
    Reconfigured,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Faulty, Init
from vrrpd.protocol.timing import Version

# -- INIT -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SM-I-1", "RX-20")
def test_nothing_but_startup_leads_out_of_init() -> None:
    router = VirtualRouter(parameters(255))
    for event in (
        SourceChanged(OURS),
        TimerExpired(),
        received(255),
        received(0),
        WeightChanged(10, "check web"),
        FaultsChanged((LINK_DOWN,)),
        FaultsChanged(()),
        AddressesTaken(frozenset({VIP})),
        Reconfigured(parameters(255)),
        Shutdown("stopped"),
    ):
        assert router.handle(event, 5.0) == []
        assert router.state == Init()
        assert router.deadline is None


@pytest.mark.requirement("SM-I-2", "OWN-3", "ARP-6", "ND-6", "ARP-4", "ND-4")
def test_an_address_owner_starts_as_master() -> None:
    router = VirtualRouter(parameters(255))
    router.handle(SourceChanged(OURS), 0.0)
    assert router.handle(Startup(), 7.0) == [
        SendAdvertisement(255),
        InstallAddresses(),
        Announce(5),
        StateChanged(StateName.INIT, StateName.MASTER, "started, address owner"),
    ]
    assert router.deadline == 8.0


@pytest.mark.requirement("SM-I-3", "TM-4")
def test_everyone_else_starts_as_backup_and_sends_nothing() -> None:
    router = VirtualRouter(parameters())
    assert router.handle(Startup(), 7.0) == [StateChanged(StateName.INIT, StateName.BACKUP, "started")]
    assert router.deadline == 10.609375
    assert backup_of(router).master_adver_interval == 100


@pytest.mark.requirement("K-STATE")
def test_an_address_owner_with_state_backup_waits_its_master_down_interval() -> None:
    router = started(replace(parameters(255), owner_starts_as_master=False))
    assert router.state.name is StateName.BACKUP
    assert router.deadline == 3.003906


def test_a_router_that_starts_with_faults_is_in_fault() -> None:
    router = VirtualRouter(parameters())
    router.handle(FaultsChanged((LINK_DOWN, CHECK_FAILED)), 0.0)
    (changed,) = router.handle(Startup(), 0.0)
    assert changed == StateChanged(
        StateName.INIT, StateName.FAULT, "interface eth0 is down; check web failed: exit status 1"
    )
    assert router.deadline is None


def test_a_second_startup_does_nothing() -> None:
    router = started()
    assert router.handle(Startup(), 1.0) == []
    assert router.deadline == 3.609375


# -- BACKUP -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SM-B-7", "ARP-4", "ND-4", "ARP-6")
def test_backup_takes_over_when_the_master_down_timer_fires() -> None:
    router = started()
    assert router.handle(TimerExpired(), 3.609375) == [
        SendAdvertisement(100),
        InstallAddresses(),
        Announce(5),
        StateChanged(StateName.BACKUP, StateName.MASTER, "no master was heard within the master-down interval"),
    ]
    assert router.deadline == 4.609375


@pytest.mark.requirement("SM-X-2")
def test_a_timer_that_fires_early_does_nothing() -> None:
    router = started()
    before = router.state
    assert router.handle(TimerExpired(), 3.609374) == []
    assert router.state is before


@pytest.mark.requirement("SM-X-2")
def test_the_master_down_timer_of_a_router_that_became_master_means_nothing() -> None:
    router = started()
    router.handle(TimerExpired(), 3.7)
    before = router.state
    assert router.handle(TimerExpired(), 3.7) == []
    assert router.state == before


@pytest.mark.requirement("SM-B-6")
def test_backup_leaves_by_shutdown_without_a_word() -> None:
    router = started()
    assert router.handle(Shutdown("SIGTERM"), 1.0) == [StateChanged(StateName.BACKUP, StateName.INIT, "SIGTERM")]
    assert router.deadline is None


@pytest.mark.requirement("SM-B-9", "TM-3")
@pytest.mark.parametrize("priority", [100, 101, 254, 255])
@pytest.mark.parametrize("source", [LOWER, HIGHER])
def test_backup_stays_backup_for_its_own_priority_and_above_whatever_the_address(
    priority: int, source: IPv4Address
) -> None:
    router = started()
    assert without_notices(router.handle(received(priority, source), 2.0)) == []
    assert router.deadline == 5.609375
    assert (backup_of(router).master, backup_of(router).master_priority) == (source, priority)


@pytest.mark.requirement("SM-B-9", "TM-4")
def test_backup_adopts_the_interval_of_a_higher_priority_advertisement() -> None:
    router = started()
    (notice,) = router.handle(received(200, interval=300), 2.0)
    assert notice == Notice(NoticeKind.INTERVAL_LEARNED, "advertisement interval of 192.0.2.3 is 3 s, was 1 s")
    assert router.deadline == 12.828125
    assert router.handle(received(200, interval=300), 3.0) == []
    assert router.deadline == 13.828125


@pytest.mark.requirement("SM-B-10")
def test_backup_lets_the_timer_run_when_a_lower_priority_is_heard() -> None:
    router = started()
    for now in (0.5, 1.5, 2.5, 3.5):
        assert without_notices(router.handle(received(99, interval=300), now)) == []
    assert router.deadline == 3.609375
    assert backup_of(router).master_adver_interval == 100
    reason = router.handle(TimerExpired(), 3.609375)[-1]
    assert reason == StateChanged(
        StateName.BACKUP, StateName.MASTER, "preempting 192.0.2.3, which has priority 99; ours is 100"
    )


def test_preempting_is_remarked_once_for_each_rival() -> None:
    router = started()
    heard = [(HIGHER, 0.1), (HIGHER, 1.1), (LOWER, 2.5)]
    remarked = [notices(router.handle(received(99, source), now)) for source, now in heard]
    assert remarked == [[NoticeKind.PREEMPTING], [], [NoticeKind.PREEMPTING]]


def test_nobody_is_preempted_while_a_better_master_is_heard() -> None:
    router = started()
    router.handle(received(200, HIGHER), 1.0)
    before = router.state
    for now in (1.25, 2.0, 3.0):
        assert router.handle(received(50, LOWER), now) == [
            Notice(
                NoticeKind.SECOND_MASTER,
                "192.0.2.1 also advertises, with priority 50; the master is 192.0.2.3 with 200",
                LOWER,
            )
        ]
        assert router.state == before
    assert notices(router.handle(received(50, LOWER), 3.125)) == [NoticeKind.PREEMPTING]


@pytest.mark.parametrize("better", [200, 150])
def test_a_backup_that_may_follow_both_of_two_masters_remarks_upon_the_worse_each_time_it_is_heard(better: int) -> None:
    """The worse has the lower priority, or the lower address."""
    router = started()
    remarked = []
    for now in (0.5, 1.0, 1.5, 2.0, 2.5):
        better_one = now % 1 == 0.5
        actions = router.handle(received(better if better_one else 150, HIGHER if better_one else LOWER), now)
        remarked.append([action.source for action in actions if isinstance(action, Notice)])
        assert router.deadline == now + 3.609375
    assert remarked == [[], [LOWER], [], [LOWER], []]


def test_an_ordinary_handover_is_not_remarked_upon_as_two_masters() -> None:
    better_comes = started()
    better_comes.handle(received(150, LOWER), 1.0)
    assert better_comes.handle(received(200, HIGHER), 1.5) == []
    worse_follows_a_farewell = started()
    worse_follows_a_farewell.handle(received(200, HIGHER), 1.0)
    worse_follows_a_farewell.handle(received(0, HIGHER), 1.25)
    assert worse_follows_a_farewell.handle(received(150, LOWER), 1.5) == []
    worse_follows_silence = started()
    worse_follows_silence.handle(received(200, HIGHER), 1.0)
    assert worse_follows_silence.handle(received(150, LOWER), 4.5) == []


@pytest.mark.requirement("SM-B-8")
def test_priority_0_sets_the_timer_to_the_skew_time() -> None:
    router = started()
    assert notices(router.handle(received(0), 2.0)) == [NoticeKind.PRIORITY_ZERO_RECEIVED]
    assert router.deadline == 2.609375


@pytest.mark.requirement("SM-B-8", "TM-4")
def test_priority_0_uses_the_learned_interval_and_teaches_none() -> None:
    router = started()
    router.handle(received(200, interval=300), 1.0)
    router.handle(received(0, interval=100), 2.0)
    assert router.deadline == 3.828125
    assert backup_of(router).master_adver_interval == 300


@pytest.mark.requirement("SM-B-8")
def test_priority_0_counts_whoever_sends_it_and_even_if_the_timer_was_shorter() -> None:
    router = started()
    router.handle(received(200, HIGHER), 0.0)
    router.handle(received(0, LOWER), 3.5)
    assert router.deadline == 4.109375


@pytest.mark.requirement("PRE-1", "SM-B-9", "K-NOPRE")
def test_nopreempt_follows_every_priority_above_0() -> None:
    router = started(parameters(preempt=False))
    router.handle(received(1, interval=200), 2.0)
    assert router.deadline == 9.21875
    router.handle(TimerExpired(), 9.21875)
    assert router.state.name is StateName.MASTER


@pytest.mark.requirement("PRE-1", "K-NOPRE")
def test_nopreempt_never_blocks_a_takeover_when_the_master_is_silent() -> None:
    router = started(parameters(preempt=False))
    router.handle(received(50), 1.0)
    changed = router.handle(TimerExpired(), 4.609375)[-1]
    assert changed == StateChanged(StateName.BACKUP, StateName.MASTER, "no advertisement from 192.0.2.3 in time")


@pytest.mark.requirement("OWN-3", "PRE-2")
def test_an_owner_in_backup_takes_its_role_back_even_with_nopreempt() -> None:
    router = serving(parameters(255, preempt=False))
    router.handle(received(255, HIGHER), 0.5)
    assert router.state.name is StateName.BACKUP
    for now in (1.0, 2.0, 3.0):
        router.handle(received(254, LOWER), now)
    assert router.deadline == 3.503906
    assert SendAdvertisement(255) in router.handle(TimerExpired(), 3.503906)


@pytest.mark.requirement("V2-12", "V2-11")
def test_version_2_learns_no_interval() -> None:
    router = started(parameters(version=Version.V2, interval=300))
    assert router.deadline == 9.609375
    event = AdvertisementReceived(HIGHER, advertisement(200, version=Version.V2, interval=100))
    assert router.handle(event, 1.0) == []
    assert router.deadline == 10.609375


@pytest.mark.requirement("SM-X-1")
def test_two_routers_share_nothing() -> None:
    one, other = started(), started()
    one.handle(received(200), 1.0)
    one.handle(WeightChanged(50, "check web"), 1.0)
    assert other.deadline == 3.609375
    assert other.priority == 100


@pytest.mark.requirement("K-DOWN")
def test_down_timer_adverts_is_the_number_of_intervals_to_wait() -> None:
    assert started(parameters(down_advertisements=1)).deadline == 1.609375


# -- preempt_delay ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("PRE-3", "K-PDELAY")
def test_preempt_delay_counts_from_the_first_lower_priority_advertisement() -> None:
    router = started(parameters(preempt_delay=3.0))
    assert notices(router.handle(received(50), 1.0)) == [NoticeKind.PREEMPT_DELAY_STARTED]
    for now in (2.0, 3.0):
        assert router.handle(received(50), now) == []
    assert router.deadline == 6.609375
    assert notices(router.handle(received(50), 4.0)) == []
    assert router.deadline == 6.609375
    for now in (5.0, 6.0):
        assert without_notices(router.handle(received(50), now)) == []
    changed = router.handle(TimerExpired(), 6.609375)[-1]
    assert changed == StateChanged(
        StateName.BACKUP, StateName.MASTER, "preempting 192.0.2.3, which has priority 50; ours is 100"
    )


@pytest.mark.requirement("PRE-3", "K-PDELAY")
def test_preempt_delay_of_8_s_takes_over_at_11_211() -> None:
    router = started(parameters(preempt_delay=8.0))
    for second in range(11):
        router.handle(received(50), 0.600 + second * 1.0002)
    deadline = router.deadline
    assert deadline is not None
    assert round(deadline, 2) == 11.21


@pytest.mark.requirement("PRE-3")
def test_preempt_delay_learns_the_interval_while_it_runs() -> None:
    router = started(parameters(preempt_delay=3.0))
    router.handle(received(50, interval=300), 1.0)
    assert router.deadline == 11.828125
    router.handle(received(50, interval=100), 5.0)
    assert router.deadline == 11.828125


@pytest.mark.requirement("PRE-3", "K-PDELAY")
@pytest.mark.parametrize(("priority", "more"), [(100, [NoticeKind.EQUAL_PRIORITY]), (200, [])], ids=["ours", "higher"])
def test_our_priority_or_a_higher_one_stops_the_preempt_delay(priority: int, more: list[NoticeKind]) -> None:
    router = started(parameters(preempt_delay=3.0))
    router.handle(received(50), 1.0)
    assert notices(router.handle(received(priority), 2.0)) == [NoticeKind.PREEMPT_DELAY_STOPPED, *more]
    assert backup_of(router).preempt_delay_until is None
    assert notices(router.handle(received(50), 5.0)) == [NoticeKind.PREEMPT_DELAY_STARTED]
    assert backup_of(router).preempt_delay_until == 8.0


@pytest.mark.requirement("PRE-3", "K-PDELAY")
def test_preempt_delay_does_not_delay_a_cold_start() -> None:
    router = started(parameters(preempt_delay=300.0))
    assert without_notices(router.handle(TimerExpired(), 3.609375)) != []


@pytest.mark.requirement("PRE-3")
def test_a_master_that_dies_within_the_preempt_delay_is_replaced_at_once() -> None:
    router = started(parameters(preempt_delay=300.0))
    router.handle(received(50), 1.0)
    router.handle(received(0), 1.5)
    changed = router.handle(TimerExpired(), 2.109375)[-1]
    assert changed == StateChanged(StateName.BACKUP, StateName.MASTER, "192.0.2.3 gave up (priority 0)")


@pytest.mark.requirement("PRE-3")
def test_entering_backup_forgets_the_preempt_delay() -> None:
    router = started(parameters(preempt_delay=3.0))
    router.handle(received(50), 1.0)
    router.handle(TimerExpired(), 4.609375)
    router.handle(received(200), 5.0)
    assert backup_of(router).preempt_delay_until is None


@pytest.mark.requirement("PRE-3")
def test_nopreempt_starts_no_preempt_delay() -> None:
    router = started(parameters(preempt=False, preempt_delay=3.0))
    assert router.handle(received(50), 1.0) == []
    assert backup_of(router).preempt_delay_until is None


# -- MASTER -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SM-A-7", "SHUT-1")
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
def test_master_answers_priority_0_at_once() -> None:
    router = serving()
    sent, notice = router.handle(received(0), 0.25)
    assert sent == SendAdvertisement(100)
    assert isinstance(notice, Notice)
    assert notice.kind is NoticeKind.PRIORITY_ZERO_RECEIVED
    assert router.deadline == 1.25


@pytest.mark.requirement("SM-A-10", "SM-A-11", "SM-A-14")
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
@pytest.mark.parametrize("version", Version)
def test_a_losing_advertisement_is_answered_at_once(version: Version) -> None:
    router = serving(parameters(version=version))
    sent, notice = router.handle(AdvertisementReceived(LOWER, advertisement(50, version=version)), 0.5)
    assert sent == SendAdvertisement(100)
    assert notice == Notice(
        NoticeKind.LOSING_ADVERTISEMENT, "192.0.2.1 also advertises, with priority 50; ours is 100", LOWER
    )


@pytest.mark.requirement("K-LOWER")
def test_lower_prio_no_advert_leaves_losing_advertisements_unanswered() -> None:
    router = serving(replace(parameters(), answer_lower_priority=False))
    assert notices(router.handle(received(50), 0.5)) == [NoticeKind.LOSING_ADVERTISEMENT]
    assert without_notices(router.handle(received(50), 0.6)) == []


@pytest.mark.requirement("SM-A-14")
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


# -- priority ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("OWN-5", "OWN-1", "K-WEIGHT")
@pytest.mark.parametrize(
    ("configured", "weight", "effective"),
    [(100, 20, 120), (100, -20, 80), (100, -253, 1), (100, 253, 254), (254, 1, 254), (1, -1, 1), (255, -253, 255)],
)
def test_weights_move_the_priority_within_1_to_254_and_never_that_of_an_owner(
    configured: int, weight: int, effective: int
) -> None:
    router = started(parameters(configured))
    router.handle(WeightChanged(weight, "check web"), 1.0)
    assert router.priority == effective


@pytest.mark.requirement("TM-8", "K-WEIGHT", "K-SKEWP")
def test_a_changed_priority_moves_the_running_timer_by_the_difference_of_the_skew() -> None:
    router = started()
    (notice,) = router.handle(WeightChanged(50, "check web succeeded"), 1.0)
    assert notice == Notice(NoticeKind.PRIORITY_CHANGED, "effective priority 100 -> 150: check web succeeded")
    assert router.deadline == pytest.approx(3.414062, abs=1e-9)
    router.handle(WeightChanged(0, "check web failed"), 2.0)
    assert router.deadline == pytest.approx(3.609375, abs=1e-9)


@pytest.mark.requirement("TX-3")
def test_a_master_advertises_its_changed_priority_with_the_next_advertisement() -> None:
    router = serving()
    assert without_notices(router.handle(WeightChanged(-40, "check web failed"), 0.5)) == []
    assert router.deadline == 1.0
    assert router.handle(TimerExpired(), 1.0) == [SendAdvertisement(60)]


def test_a_weight_that_changes_nothing_is_not_remarked() -> None:
    router = started(parameters(254))
    assert router.handle(WeightChanged(30, "check web"), 1.0) == []


def test_a_backup_whose_priority_rises_preempts_at_the_next_chance() -> None:
    router = started()
    router.handle(received(150), 1.0)
    router.handle(WeightChanged(100, "check web"), 1.5)
    router.handle(received(150), 2.0)
    assert router.deadline == pytest.approx(4.21875, abs=1e-6)


# -- FAULT ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("K-FAULT")
def test_a_fault_takes_a_master_out_with_priority_0() -> None:
    router = serving()
    assert router.handle(FaultsChanged((CHECK_FAILED,)), 0.5) == [
        SendAdvertisement(0),
        WithdrawAddresses(),
        StateChanged(StateName.MASTER, StateName.FAULT, "check web failed: exit status 1"),
    ]
    assert router.deadline is None


@pytest.mark.requirement("K-FAULT")
def test_a_fault_takes_a_backup_out_without_a_word() -> None:
    router = started()
    assert router.handle(FaultsChanged((LINK_DOWN,)), 0.5) == [
        StateChanged(StateName.BACKUP, StateName.FAULT, "interface eth0 is down")
    ]


@pytest.mark.requirement("RX-20")
def test_in_fault_everything_but_the_end_of_the_faults_is_ignored() -> None:
    router = started()
    router.handle(FaultsChanged((LINK_DOWN,)), 0.5)
    for event in (
        received(0),
        received(255),
        TimerExpired(),
        Startup(),
        AddressesTaken(frozenset({VIP})),
        Reconfigured(parameters(101)),
    ):
        assert router.handle(event, 9.0) == []
        assert router.state == Faulty((LINK_DOWN,))


@pytest.mark.requirement("K-FAULT")
def test_fault_ends_with_the_last_fault_only() -> None:
    router = started()
    router.handle(FaultsChanged((LINK_DOWN, CHECK_FAILED)), 0.5)
    (notice,) = router.handle(FaultsChanged((CHECK_FAILED,)), 1.0)
    assert notice == Notice(NoticeKind.FAULTS_CHANGED, "still in FAULT: check web failed: exit status 1")
    assert router.handle(FaultsChanged(()), 2.0) == [
        StateChanged(StateName.FAULT, StateName.BACKUP, "no longer: check web failed: exit status 1")
    ]
    assert router.deadline == 5.609375


def test_the_end_of_waiting_for_the_first_check_is_called_its_success() -> None:
    router = VirtualRouter(parameters())
    waiting = Fault(FaultKind.AWAITING_CHECK, "web", "waiting for the first result of check web")
    router.handle(FaultsChanged((waiting,)), 0.0)
    router.handle(Startup(), 0.0)
    assert router.handle(FaultsChanged(()), 0.5) == [
        StateChanged(StateName.FAULT, StateName.BACKUP, "the first check succeeded")
    ]


def test_the_same_fault_in_other_words_is_not_remarked() -> None:
    router = started()
    router.handle(FaultsChanged((CHECK_FAILED,)), 0.5)
    reworded = replace(CHECK_FAILED, detail="check web failed: timed out after 2 s")
    assert router.handle(FaultsChanged((reworded,)), 1.0) == []
    assert router.state == Faulty((reworded,))
    assert reworded.identity == ("check", "web")
    assert replace(reworded, kind=FaultKind.AWAITING_CHECK).identity != reworded.identity


@pytest.mark.requirement("K-FAULT")
def test_an_owner_leaves_fault_as_master() -> None:
    router = started(parameters(255))
    router.handle(FaultsChanged((LINK_DOWN,)), 0.5)
    assert kinds(router.handle(FaultsChanged(()), 1.0)) == [
        "SendAdvertisement",
        "InstallAddresses",
        "Announce",
        "StateChanged",
    ]


def test_faults_that_are_gone_do_not_disturb_anybody() -> None:
    for router in (started(), serving()):
        before = router.state
        assert router.handle(FaultsChanged(()), 0.5) == []
        assert router.state is before


@pytest.mark.requirement("TM-5")
def test_back_in_the_election_our_own_interval_counts_again() -> None:
    router = started()
    router.handle(received(200, interval=300), 1.0)
    router.handle(FaultsChanged((LINK_DOWN,)), 2.0)
    router.handle(FaultsChanged(()), 3.0)
    assert router.deadline == 6.609375
    router.handle(received(200, interval=300), 4.0)
    router.handle(Shutdown("SIGTERM"), 5.0)
    router.handle(Startup(), 6.0)
    assert router.deadline == 9.609375


@pytest.mark.requirement("TM-5", "TX-2", "K-ADVINT")
def test_a_learned_interval_has_no_effect_on_sending() -> None:
    router = started()
    router.handle(received(200, interval=300), 1.0)
    router.handle(TimerExpired(), 11.828125)
    assert router.deadline == 12.828125


def test_leaving_fault_forgets_nothing_that_was_tracked_meanwhile() -> None:
    router = started()
    router.handle(FaultsChanged((LINK_DOWN,)), 0.5)
    router.handle(WeightChanged(50, "check web"), 1.0)
    router.handle(FaultsChanged(()), 2.0)
    assert router.priority == 150
    assert router.deadline == pytest.approx(5.414062, abs=1e-9)


# -- addresses and configuration --------------------------------------------------------------------------------------


@pytest.mark.requirement("K-VIPDEL")
def test_addresses_that_somebody_removed_are_put_back_without_a_flap() -> None:
    router = serving(parameters(addresses=(VIP, OTHER_VIP)))
    taken = frozenset({OTHER_VIP})
    before = router.state
    install, announce, notice = router.handle(AddressesTaken(taken), 0.5)
    assert (install, announce) == (InstallAddresses(taken), Announce(5, taken))
    assert notice == Notice(NoticeKind.ADDRESSES_TAKEN, "somebody removed 192.0.2.101: put back")
    assert router.state is before


@pytest.mark.requirement("SM-B-5")
def test_a_backup_does_not_care_for_addresses_that_are_gone() -> None:
    assert started().handle(AddressesTaken(frozenset({VIP})), 0.5) == []


def test_the_source_address_decides_the_next_tie() -> None:
    router = serving()
    assert router.handle(SourceChanged(IPv4Address("192.0.2.9")), 0.1) == []
    assert router.source == IPv4Address("192.0.2.9")
    router.handle(received(100, HIGHER), 0.2)
    assert router.state.name is StateName.MASTER


@pytest.mark.requirement("SHUT-5", "K-RELOAD")
def test_a_master_takes_new_parameters_in_place_and_says_so_at_once() -> None:
    router = serving(parameters(addresses=(VIP,)))
    new = parameters(120, interval=50, addresses=(OTHER_VIP,))
    event = Reconfigured(new, added=frozenset({OTHER_VIP}))
    assert router.handle(event, 0.25) == [
        SendAdvertisement(120),
        InstallAddresses(frozenset({OTHER_VIP})),
        Announce(5, frozenset({OTHER_VIP})),
    ]
    assert router.deadline == 0.75
    assert router.handle(Reconfigured(new), 0.5) == [SendAdvertisement(120)]


def test_a_reload_turns_refreshes_on_and_off() -> None:
    router = serving()
    refreshing = parameters(announcements=AnnouncementTimes(master_delay=0.0, refresh=10.0))
    router.handle(Reconfigured(refreshing), 0.5)
    assert master_of(router).refresh == 10.5
    router.handle(Reconfigured(refreshing), 2.0)
    assert master_of(router).refresh == 10.5
    sooner = parameters(announcements=AnnouncementTimes(master_delay=0.0, refresh=1.0))
    router.handle(Reconfigured(sooner), 3.0)
    assert master_of(router).refresh == 4.0
    router.handle(Reconfigured(parameters()), 3.5)
    assert master_of(router).refresh is None


@pytest.mark.requirement("SHUT-5")
def test_a_backup_that_heard_nobody_waits_by_its_new_interval_from_where_it_was() -> None:
    router = started()
    assert router.handle(Reconfigured(parameters(interval=200)), 1.0) == []
    assert router.deadline == pytest.approx(7.21875, abs=1e-9)
    assert backup_of(router).master_adver_interval == 200


def test_a_backup_keeps_the_interval_that_it_learned_when_its_own_changes() -> None:
    router = started()
    router.handle(received(200, interval=300), 1.0)
    router.handle(Reconfigured(parameters(interval=50)), 2.0)
    assert backup_of(router).master_adver_interval == 300
    assert router.deadline == pytest.approx(11.828125, abs=1e-9)


def test_a_version_2_backup_takes_its_new_interval_whoever_was_heard() -> None:
    router = started(parameters(version=Version.V2))
    router.handle(AdvertisementReceived(HIGHER, advertisement(200, version=Version.V2)), 1.0)
    router.handle(Reconfigured(parameters(version=Version.V2, interval=200)), 1.0)
    assert router.deadline == pytest.approx(7.609375, abs=1e-9)


def test_a_router_that_was_not_started_takes_new_parameters_in_silence() -> None:
    router = VirtualRouter(parameters())
    assert router.handle(Reconfigured(parameters(150)), 0.0) == []
    router.handle(Startup(), 0.0)
    assert router.deadline == 3.414062


@pytest.mark.requirement("TM-7")
def test_advertisements_fall_on_the_phase_of_a_router_that_has_one() -> None:
    router = started(replace(parameters(), advertisement_phase=0.25))
    router.handle(TimerExpired(), 3.62)
    assert router.deadline == pytest.approx(4.25), "the first interval is shorter"
    router.handle(TimerExpired(), 4.2501)
    assert router.deadline == pytest.approx(5.25)
    late = started(replace(parameters(), advertisement_phase=0.25))
    late.handle(TimerExpired(), 3.62)
    late.handle(TimerExpired(), 9.97)
    assert late.deadline == pytest.approx(10.25), "after a pause on its phase again"


@pytest.mark.requirement("TM-7")
@given(
    st.floats(0.0, 1.0e7),
    st.sampled_from([1, 7, 10, 100, 4095]),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_no_interval_is_longer_for_the_phase(now: float, interval: int, fraction: float) -> None:
    phase = fraction * interval / 100
    router = VirtualRouter(replace(parameters(255), max_advertise_interval=interval, advertisement_phase=phase))
    router.handle(SourceChanged(OURS), now)
    router.handle(Startup(), now)
    assert router.deadline is not None
    assert now - 1e-6 <= router.deadline <= now + interval / 100 + 1e-6
    assert router.state.name is StateName.MASTER


def test_a_better_priority_takes_over_one_skew_step_sooner() -> None:
    assert started(parameters()).skew_step == pytest.approx(1 / 256, abs=1e-6)
    master = started(parameters(255))
    assert master.skew_step == pytest.approx(1 / 256, abs=1e-6)
