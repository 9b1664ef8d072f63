"""Every state answers every event: one row for each pair, and a failure when a state or an event has no row."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from tests.protocol.builders import CHECK_FAILED, HIGHER, LINK_DOWN, LOWER, VIP, kinds, parameters, received, serving
from tests.protocol.builders import started as started_backup
from vrrpd.protocol.actions import Action, StateName
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    Event,
    FaultsChanged,
    HandOver,
    Reconfigured,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Backup, Faulty, Init, Master, State

NOW = 0.5
INIT, BACKUP, MASTER, FAULT = StateName.INIT, StateName.BACKUP, StateName.MASTER, StateName.FAULT


def in_fault() -> VirtualRouter:
    """A router that left the election because of its link."""
    router = started_backup()
    router.handle(FaultsChanged((LINK_DOWN,)), 0.0)
    return router


def due_backup() -> VirtualRouter:
    """A BACKUP whose master-down timer has run out at ``NOW``."""
    return started_backup(at=-10.0)


def due_master() -> VirtualRouter:
    """A MASTER whose next advertisement is due at ``NOW``."""
    return serving(at=-0.5)


IN_STATE: dict[type[State], Callable[[], VirtualRouter]] = {
    Init: lambda: VirtualRouter(parameters()),
    Backup: started_backup,
    Master: serving,
    Faulty: in_fault,
}

GIVE_UP = ["SendAdvertisement", "WithdrawAddresses", "StateChanged"]
TAKE_OVER = ["SendAdvertisement", "InstallAddresses", "Announce", "StateChanged"]

EVENTS: dict[str, Event] = {
    "Startup": Startup(),
    "Startup, in time": Startup(resume_until=0.6),
    "Startup, too late": Startup(resume_until=0.5),
    "Shutdown": Shutdown("SIGTERM"),
    "HandOver": HandOver("SIGTERM"),
    "TimerExpired": TimerExpired(),
    "AdvertisementReceived, higher": received(200, LOWER),
    "AdvertisementReceived, equal from a higher address": received(100, HIGHER),
    "AdvertisementReceived, equal from a lower address": received(100, LOWER),
    "AdvertisementReceived, lower": received(50, HIGHER),
    "AdvertisementReceived, priority 0": received(0, HIGHER),
    "AdvertisementReceived, slower": received(200, HIGHER, interval=300),
    "FaultsChanged, to some": FaultsChanged((CHECK_FAILED,)),
    "FaultsChanged, to none": FaultsChanged(()),
    "WeightChanged": WeightChanged(20, "check web succeeded"),
    "SourceChanged": SourceChanged(HIGHER),
    "AddressesTaken": AddressesTaken(frozenset({VIP})),
    "Reconfigured": Reconfigured(parameters(120)),
}

TABLE: dict[tuple[type[State], str], tuple[StateName, list[str]]] = {
    (Init, "Startup"): (BACKUP, ["StateChanged"]),
    (Init, "Startup, in time"): (MASTER, TAKE_OVER),
    (Init, "Startup, too late"): (BACKUP, ["WithdrawAddresses", "StateChanged"]),
    (Init, "Shutdown"): (INIT, []),
    (Init, "HandOver"): (INIT, []),
    (Init, "TimerExpired"): (INIT, []),
    (Init, "AdvertisementReceived, higher"): (INIT, []),
    (Init, "AdvertisementReceived, equal from a higher address"): (INIT, []),
    (Init, "AdvertisementReceived, equal from a lower address"): (INIT, []),
    (Init, "AdvertisementReceived, lower"): (INIT, []),
    (Init, "AdvertisementReceived, priority 0"): (INIT, []),
    (Init, "AdvertisementReceived, slower"): (INIT, []),
    (Init, "FaultsChanged, to some"): (INIT, []),
    (Init, "FaultsChanged, to none"): (INIT, []),
    (Init, "WeightChanged"): (INIT, ["Notice"]),
    (Init, "SourceChanged"): (INIT, []),
    (Init, "AddressesTaken"): (INIT, []),
    (Init, "Reconfigured"): (INIT, []),
    (Backup, "Startup"): (BACKUP, []),
    (Backup, "Startup, in time"): (BACKUP, []),
    (Backup, "Startup, too late"): (BACKUP, []),
    (Backup, "Shutdown"): (INIT, ["StateChanged"]),
    (Backup, "HandOver"): (INIT, ["StateChanged"]),
    (Backup, "TimerExpired"): (BACKUP, []),
    (Backup, "AdvertisementReceived, higher"): (BACKUP, []),
    (Backup, "AdvertisementReceived, equal from a higher address"): (BACKUP, ["Notice"]),
    (Backup, "AdvertisementReceived, equal from a lower address"): (BACKUP, ["Notice"]),
    (Backup, "AdvertisementReceived, lower"): (BACKUP, ["Notice"]),
    (Backup, "AdvertisementReceived, priority 0"): (BACKUP, ["Notice"]),
    (Backup, "AdvertisementReceived, slower"): (BACKUP, ["Notice"]),
    (Backup, "FaultsChanged, to some"): (FAULT, ["StateChanged"]),
    (Backup, "FaultsChanged, to none"): (BACKUP, []),
    (Backup, "WeightChanged"): (BACKUP, ["Notice"]),
    (Backup, "SourceChanged"): (BACKUP, []),
    (Backup, "AddressesTaken"): (BACKUP, []),
    (Backup, "Reconfigured"): (BACKUP, []),
    (Master, "Startup"): (MASTER, []),
    (Master, "Startup, in time"): (MASTER, []),
    (Master, "Startup, too late"): (MASTER, []),
    (Master, "Shutdown"): (INIT, GIVE_UP),
    (Master, "HandOver"): (INIT, ["SendAdvertisement", "LeaveAddresses", "StateChanged"]),
    (Master, "TimerExpired"): (MASTER, []),
    (Master, "AdvertisementReceived, higher"): (BACKUP, ["WithdrawAddresses", "StateChanged"]),
    (Master, "AdvertisementReceived, equal from a higher address"): (
        BACKUP,
        ["Notice", "WithdrawAddresses", "StateChanged"],
    ),
    (Master, "AdvertisementReceived, equal from a lower address"): (MASTER, ["SendAdvertisement", "Notice"]),
    (Master, "AdvertisementReceived, lower"): (MASTER, ["SendAdvertisement", "Notice"]),
    (Master, "AdvertisementReceived, priority 0"): (MASTER, ["SendAdvertisement", "Notice"]),
    (Master, "AdvertisementReceived, slower"): (BACKUP, ["WithdrawAddresses", "StateChanged"]),
    (Master, "FaultsChanged, to some"): (FAULT, GIVE_UP),
    (Master, "FaultsChanged, to none"): (MASTER, []),
    (Master, "WeightChanged"): (MASTER, ["Notice"]),
    (Master, "SourceChanged"): (MASTER, []),
    (Master, "AddressesTaken"): (MASTER, ["InstallAddresses", "Announce", "Notice"]),
    (Master, "Reconfigured"): (MASTER, ["SendAdvertisement"]),
    (Faulty, "Startup"): (FAULT, []),
    (Faulty, "Startup, in time"): (FAULT, []),
    (Faulty, "Startup, too late"): (FAULT, []),
    (Faulty, "Shutdown"): (INIT, ["StateChanged"]),
    (Faulty, "HandOver"): (INIT, ["StateChanged"]),
    (Faulty, "TimerExpired"): (FAULT, []),
    (Faulty, "AdvertisementReceived, higher"): (FAULT, []),
    (Faulty, "AdvertisementReceived, equal from a higher address"): (FAULT, []),
    (Faulty, "AdvertisementReceived, equal from a lower address"): (FAULT, []),
    (Faulty, "AdvertisementReceived, lower"): (FAULT, []),
    (Faulty, "AdvertisementReceived, priority 0"): (FAULT, []),
    (Faulty, "AdvertisementReceived, slower"): (FAULT, []),
    (Faulty, "FaultsChanged, to some"): (FAULT, ["Notice"]),
    (Faulty, "FaultsChanged, to none"): (BACKUP, ["StateChanged"]),
    (Faulty, "WeightChanged"): (FAULT, ["Notice"]),
    (Faulty, "SourceChanged"): (FAULT, []),
    (Faulty, "AddressesTaken"): (FAULT, []),
    (Faulty, "Reconfigured"): (FAULT, []),
}

OWNER_TABLE: dict[tuple[type[State], str], tuple[StateName, list[str]]] = {
    (Init, "Startup"): (MASTER, TAKE_OVER),
    (Init, "Startup, too late"): (MASTER, ["WithdrawAddresses", *TAKE_OVER]),
    (Init, "WeightChanged"): (INIT, []),
    (Backup, "AdvertisementReceived, higher"): (BACKUP, ["Notice"]),
    (Backup, "WeightChanged"): (BACKUP, []),
    (Master, "AdvertisementReceived, higher"): (MASTER, ["SendAdvertisement", "Notice"]),
    (Master, "AdvertisementReceived, equal from a higher address"): (MASTER, ["SendAdvertisement", "Notice"]),
    (Master, "WeightChanged"): (MASTER, []),
    (Faulty, "FaultsChanged, to none"): (MASTER, TAKE_OVER),
}
"""Where an address owner answers otherwise."""


def test_every_pair_of_state_and_event_has_a_row() -> None:
    assert set(IN_STATE) == set(get_args(State))
    assert {type(event) for event in EVENTS.values()} == set(get_args(Event))
    assert set(TABLE) == {(state, event) for state in IN_STATE for event in EVENTS}
    named = {name for row in TABLE.values() for name in row[1]}
    assert named <= {kind.__name__ for kind in get_args(Action)}


@pytest.mark.requirement("SM-I-1", "SM-I-3", "SM-B-6", "SM-B-9", "SM-B-10", "SM-A-7", "SM-A-10", "SM-A-11", "RX-20")
@pytest.mark.counter_case("SM-I-1", "SM-B-6", "SM-B-7", "SM-A-7", "SM-A-8", "SM-A-9", "SM-A-10", "SM-A-11")
@pytest.mark.parametrize(
    ("state", "event"), list(TABLE), ids=lambda part: part if isinstance(part, str) else part.__name__
)
def test_every_state_answers_every_event(state: type[State], event: str) -> None:
    expected_state, expected_actions = TABLE[state, event]
    router = IN_STATE[state]()
    assert type(router.state) is state
    actions = router.handle(EVENTS[event], NOW)
    assert kinds(actions) == expected_actions
    assert router.state.name is expected_state


@pytest.mark.requirement("SM-I-2", "OWN-3", "OWN-5")
@pytest.mark.parametrize(
    ("state", "event"), list(OWNER_TABLE), ids=lambda part: part if isinstance(part, str) else part.__name__
)
def test_an_address_owner_answers_some_events_otherwise(state: type[State], event: str) -> None:
    expected_state, expected_actions = OWNER_TABLE[state, event]
    router = IN_STATE[state]()
    router.parameters = parameters(255)
    assert kinds(router.handle(EVENTS[event], NOW)) == expected_actions
    assert router.state.name is expected_state


@pytest.mark.requirement("SM-B-7", "SM-A-8")
@pytest.mark.counter_case("SM-X-2")
@pytest.mark.parametrize(("router", "answer"), [(due_backup, TAKE_OVER), (due_master, ["SendAdvertisement"])])
def test_a_timer_that_is_due_is_answered(router: Callable[[], VirtualRouter], answer: list[str]) -> None:
    due = router()
    assert kinds(due.handle(TimerExpired(), NOW)) == answer
    assert due.state.name is MASTER
    assert due.deadline == pytest.approx(1.5)


@pytest.mark.requirement("RX-19")
@pytest.mark.parametrize("state", [Init, Faulty])
def test_advertisements_leave_a_router_outside_the_election_as_it_is(state: type[State]) -> None:
    router = IN_STATE[state]()
    before = router.state
    for event in EVENTS.values():
        if isinstance(event, AdvertisementReceived):
            router.handle(event, NOW)
            assert router.state is before
