"""The state machine in INIT and BACKUP, story by story: RFC 9568 section 6.4, ``nopreempt`` and ``preempt_delay``.

Times are seconds on a clock that the tests keep. The router under test has priority 100 and advertises each second
unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.protocol.builders import (
    CHECK_FAILED,
    HIGHER,
    LINK_DOWN,
    LOWER,
    OURS,
    VIP,
    advertisement,
    backup_of,
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
)
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    FaultsChanged,
    Reconfigured,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Init
from vrrpd.protocol.timing import Version

# -- INIT -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("RX-20")
@pytest.mark.counter_case("SM-I-1")
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


@pytest.mark.requirement("SM-I-2", "OWN-3", "ARP-6", "ND-6", "ARP-4", "ND-4", "SM-I-1")
@pytest.mark.counter_case("SM-I-3")
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


@pytest.mark.requirement("SM-I-3", "TM-4", "SM-I-1")
@pytest.mark.counter_case("SM-I-2", "OWN-3", "RX-20", "ARP-4", "ND-4")
def test_everyone_else_starts_as_backup_and_sends_nothing() -> None:
    router = VirtualRouter(parameters())
    assert router.handle(Startup(), 7.0) == [StateChanged(StateName.INIT, StateName.BACKUP, "started")]
    assert router.deadline == 10.609375
    assert backup_of(router).master_adver_interval == 100


@pytest.mark.requirement("K-STATE")
@pytest.mark.counter_case("OWN-3")
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
@pytest.mark.counter_case("SM-B-5")
def test_backup_takes_over_when_the_master_down_timer_fires() -> None:
    router = started()
    assert router.handle(TimerExpired(), 3.609375) == [
        SendAdvertisement(100),
        InstallAddresses(),
        Announce(5),
        StateChanged(StateName.BACKUP, StateName.MASTER, "no master was heard within the master-down interval"),
    ]
    assert router.deadline == 4.609375


@pytest.mark.counter_case("SM-B-7", "TM-3")
def test_a_timer_that_fires_early_does_nothing() -> None:
    router = started()
    before = router.state
    assert router.handle(TimerExpired(), 3.609374) == []
    assert router.state is before


@pytest.mark.requirement("SM-X-2")
@pytest.mark.counter_case("SM-A-8")
def test_the_master_down_timer_of_a_router_that_became_master_means_nothing() -> None:
    router = started()
    router.handle(TimerExpired(), 3.7)
    before = router.state
    assert router.handle(TimerExpired(), 3.7) == []
    assert router.state == before


@pytest.mark.requirement("SM-B-6")
@pytest.mark.counter_case("SM-A-7", "SHUT-1")
def test_backup_leaves_by_shutdown_without_a_word() -> None:
    router = started()
    assert router.handle(Shutdown("SIGTERM"), 1.0) == [StateChanged(StateName.BACKUP, StateName.INIT, "SIGTERM")]
    assert router.deadline is None


@pytest.mark.requirement("SM-B-9", "TM-3")
@pytest.mark.counter_case("SM-B-8", "SM-B-10")
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
@pytest.mark.counter_case("TM-5", "V2-12")
def test_backup_adopts_the_interval_of_a_higher_priority_advertisement() -> None:
    router = started()
    (notice,) = router.handle(received(200, interval=300), 2.0)
    assert notice == Notice(NoticeKind.INTERVAL_LEARNED, "advertisement interval of 192.0.2.3 is 3 s, was 1 s")
    assert router.deadline == 12.828125
    assert router.handle(received(200, interval=300), 3.0) == []
    assert router.deadline == 13.828125


@pytest.mark.requirement("SM-B-10")
@pytest.mark.counter_case("SM-B-9", "TM-4", "PRE-1")
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
@pytest.mark.counter_case("SM-B-8", "TM-4")
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
@pytest.mark.counter_case("SM-B-10", "SM-A-13", "PRE-2")
def test_nopreempt_follows_every_priority_above_0() -> None:
    router = started(parameters(preempt=False))
    router.handle(received(1, interval=200), 2.0)
    assert router.deadline == 9.21875
    router.handle(TimerExpired(), 9.21875)
    assert router.state.name is StateName.MASTER


@pytest.mark.counter_case("PRE-1", "K-NOPRE")
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


def test_a_better_priority_takes_over_one_skew_step_sooner() -> None:
    assert started(parameters()).skew_step == pytest.approx(1 / 256, abs=1e-6)
    master = started(parameters(255))
    assert master.skew_step == pytest.approx(1 / 256, abs=1e-6)


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
@pytest.mark.counter_case("K-PDELAY")
@pytest.mark.parametrize(("priority", "more"), [(100, [NoticeKind.EQUAL_PRIORITY]), (200, [])], ids=["ours", "higher"])
def test_our_priority_or_a_higher_one_stops_the_preempt_delay(priority: int, more: list[NoticeKind]) -> None:
    router = started(parameters(preempt_delay=3.0))
    router.handle(received(50), 1.0)
    assert notices(router.handle(received(priority), 2.0)) == [NoticeKind.PREEMPT_DELAY_STOPPED, *more]
    assert backup_of(router).preempt_delay_until is None
    assert notices(router.handle(received(50), 5.0)) == [NoticeKind.PREEMPT_DELAY_STARTED]
    assert backup_of(router).preempt_delay_until == 8.0


@pytest.mark.counter_case("PRE-3", "K-PDELAY")
def test_preempt_delay_does_not_delay_a_cold_start() -> None:
    router = started(parameters(preempt_delay=300.0))
    assert without_notices(router.handle(TimerExpired(), 3.609375)) != []


@pytest.mark.counter_case("PRE-3")
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


@pytest.mark.counter_case("PRE-3")
def test_nopreempt_starts_no_preempt_delay() -> None:
    router = started(parameters(preempt=False, preempt_delay=3.0))
    assert router.handle(received(50), 1.0) == []
    assert backup_of(router).preempt_delay_until is None
