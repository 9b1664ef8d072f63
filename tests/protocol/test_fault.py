"""The state machine in FAULT, story by story.

Times are seconds on a clock that the tests keep. The router under test has priority 100 and advertises each second
unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.builders import (
    CHECK_FAILED,
    LINK_DOWN,
    VIP,
    kinds,
    parameters,
    received,
    serving,
    started,
)
from vrrpd.protocol.actions import (
    Notice,
    NoticeKind,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.events import (
    AddressesTaken,
    Fault,
    FaultKind,
    FaultsChanged,
    Reconfigured,
    Shutdown,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Faulty


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
@pytest.mark.counter_case("RX-20")
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


@pytest.mark.counter_case("SM-A-15")
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


@pytest.mark.requirement("TM-5", "K-ADVINT")
@pytest.mark.counter_case("TX-2")
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
