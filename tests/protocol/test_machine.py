"""A virtual router under any sequence of events: what holds after each of them, whatever came before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.protocol.builders import CHECK_FAILED, LINK_DOWN, LOWER, OURS, VIP, advertisement, kinds
from tests.protocol.strategies import priorities, rivals, router_parameters
from vrrpd.protocol.actions import (
    Action,
    InstallAddresses,
    LeaveAddresses,
    Notice,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    Event,
    Fault,
    FaultsChanged,
    HandOver,
    Reconfigured,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Backup, Faulty, Init, Master
from vrrpd.protocol.timing import Version, master_down_interval

TAKE_OVER = ["SendAdvertisement", "InstallAddresses", "Announce", "StateChanged"]
GIVE_UP = ["SendAdvertisement", "WithdrawAddresses", "StateChanged"]
HAND_OVER = ["SendAdvertisement", "LeaveAddresses", "StateChanged"]
YIELDS = [["WithdrawAddresses", "StateChanged"], ["SendAdvertisement", "WithdrawAddresses", "StateChanged"]]


class RouterMachine(RuleBasedStateMachine):
    """Feeds a router with events while a clock of its own goes on, and holds it to its contracts."""

    @initialize(parameters=router_parameters())
    def begin(self, parameters: RouterParameters) -> None:
        """One router, not yet started."""
        self.router = VirtualRouter(parameters)
        self.now = 1000.0
        self.installed = False
        self.answers: list[float] = []
        self.router.handle(SourceChanged(OURS), self.now)

    def handle(self, event: Event) -> Sequence[Action]:
        """Delivers one event and holds the actions to their order."""
        before, state = self.router.state.name, self.router.state
        actions = self.router.handle(event, self.now)
        changes = [action for action in actions if isinstance(action, StateChanged)]
        if changes:
            (change,) = changes
            assert actions[-1] is change
            assert (change.previous, change.state) == (before, self.router.state.name)
            assert change.reason
            done = kinds([action for action in actions if not isinstance(action, Notice)])
            if isinstance(event, Startup) and event.resume_until is not None:
                done = self.without_what_a_predecessor_left(done)
            match change.previous, change.state:
                case _, StateName.MASTER:
                    assert done == TAKE_OVER
                case StateName.MASTER, StateName.BACKUP:
                    assert done in YIELDS
                case StateName.MASTER, StateName.INIT if done == HAND_OVER:
                    assert isinstance(event, HandOver)
                case StateName.MASTER, _:
                    assert done == GIVE_UP
                    assert actions[0] == SendAdvertisement(0)
                case _:
                    assert done == ["StateChanged"]
        else:
            assert self.router.state.name is before
        if before in (StateName.INIT, StateName.FAULT) and isinstance(event, AdvertisementReceived | TimerExpired):
            assert actions == []
            assert self.router.state is state
        for action in actions:
            match action:
                case InstallAddresses():
                    self.installed = True
                case WithdrawAddresses() | LeaveAddresses():
                    self.installed = False
                case SendAdvertisement(priority):
                    assert priority in (0, self.router.priority)
                    leaves = done_with_serving(before, self.router) and kinds(actions) != HAND_OVER
                    for_another = isinstance(event, Startup) and isinstance(self.router.state, Faulty)
                    assert (priority == 0) == (action is actions[0] and (leaves or for_another))
        return actions

    def without_what_a_predecessor_left(self, done: list[str]) -> list[str]:
        """What a successor does of its own: what comes before is done in its predecessor's place."""
        if "WithdrawAddresses" not in done:
            return done
        position = done.index("WithdrawAddresses")
        assert done[:position] in ([], ["SendAdvertisement"])
        return done[position + 1 :]

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on; a deadline on the way is kept, as a runner would."""
        end = self.now + seconds
        for _ in range(50):
            deadline = self.router.deadline
            if deadline is None or deadline > end:
                self.now = end
                return
            self.now = max(self.now, deadline)
            self.handle(TimerExpired())
            assert self.router.deadline is not None
            assert self.router.deadline > self.now

    @rule(seconds=st.floats(0.0, 500.0))
    def the_process_is_stopped_for_a_while(self, seconds: float) -> None:
        """The clock goes on and nobody keeps a deadline until the end."""
        self.now += seconds
        self.handle(TimerExpired())
        assert self.router.deadline is None or self.router.deadline > self.now

    @rule()
    def the_timer_fires_too_early(self) -> None:
        """An early timer does nothing."""
        deadline, state = self.router.deadline, self.router.state
        assume(deadline is None or deadline > self.now)
        assert self.handle(TimerExpired()) == []
        assert self.router.state == state

    @rule(priority=priorities, source=rivals, interval=st.sampled_from([1, 50, 100, 300, 4095]))
    def an_advertisement_arrives(self, priority: int, source: IPAddress, interval: int) -> None:
        """Another router speaks; version 2 admits only our own interval."""
        parameters = self.router.parameters
        if parameters.version is Version.V2:
            interval = parameters.max_advertise_interval
        before = self.router.state.name
        heard = AdvertisementReceived(source, advertisement(priority, version=parameters.version, interval=interval))
        actions = self.handle(heard)
        sent = [action for action in actions if isinstance(action, SendAdvertisement)]
        assert len(sent) <= 1
        if before is StateName.BACKUP:
            assert not sent
            assert self.router.state.name is StateName.BACKUP
        elif before is StateName.MASTER and self.router.state.name is StateName.MASTER:
            self.answers += [self.now] * len(sent)

    @rule(count=st.integers(1, 250), priority=st.sampled_from([0, 1]))
    @precondition(lambda self: isinstance(self.router.state, Master))
    def a_flood_of_losing_packets_arrives(self, count: int, priority: int) -> None:
        """A burst in one instant is answered, but not mirrored."""
        for _ in range(count):
            self.an_advertisement_arrives(priority, LOWER, 100)

    @rule(faults=st.sampled_from([(), (LINK_DOWN,), (CHECK_FAILED,), (LINK_DOWN, CHECK_FAILED)]))
    def faults_change(self, faults: tuple[Fault, ...]) -> None:
        """Links and checks come and go."""
        self.handle(FaultsChanged(faults))
        if isinstance(self.router.state, Faulty):
            assert self.router.state.faults == faults

    @rule(weight=st.integers(-300, 300))
    def the_weight_changes(self, weight: int) -> None:
        """Tracked checks move the priority."""
        self.handle(WeightChanged(weight, "check web"))

    @rule(source=rivals)
    def the_source_address_changes(self, source: IPAddress) -> None:
        """Our own address becomes another one."""
        assert self.handle(SourceChanged(source)) == []

    @rule()
    def somebody_removes_the_addresses(self) -> None:
        """They are put back by a MASTER and by nobody else."""
        actions = self.handle(AddressesTaken(frozenset({VIP})))
        assert bool(actions) == isinstance(self.router.state, Master)

    @rule(parameters=router_parameters())
    def parameters_change(self, parameters: RouterParameters) -> None:
        """A reload; another version and a change from or to 255 are restarts and not for this event."""
        old = self.router.parameters
        assume(parameters.version is old.version and parameters.is_owner == old.is_owner)
        self.handle(Reconfigured(parameters))

    @rule()
    def it_starts(self) -> None:
        """Startup, which only INIT hears."""
        self.handle(Startup())
        assert not isinstance(self.router.state, Init)

    @rule(left=st.floats(-2.0, 2.0))
    def it_starts_for_a_predecessor(self, left: float) -> None:
        """In time it is MASTER, unless something is wrong with it; too late it is as if nobody had been there."""
        before = self.router.state
        self.handle(Startup(self.now + left))
        assert not isinstance(self.router.state, Init)
        if isinstance(before, Init) and self.now + left > self.now:
            assert isinstance(self.router.state, Master | Faulty)

    @rule()
    def it_hands_over(self) -> None:
        """From anywhere; whoever is not MASTER just stops."""
        lifetime = self.router.handover_lifetime
        actions = self.handle(HandOver("stopped"))
        assert isinstance(self.router.state, Init)
        assert (LeaveAddresses(lifetime) in actions) == (lifetime > 0)

    @rule()
    def it_stops(self) -> None:
        """Shutdown from anywhere."""
        self.handle(Shutdown("stopped"))
        assert isinstance(self.router.state, Init)

    @invariant()
    def addresses_are_installed_exactly_while_master(self) -> None:
        """At no time else, whatever happened."""
        if hasattr(self, "router"):
            assert self.installed == isinstance(self.router.state, Master)

    @invariant()
    def the_priority_is_within_its_bounds(self) -> None:
        """255 for the owner, 1 to 254 for everybody else."""
        if hasattr(self, "router"):
            owner = self.router.parameters.is_owner
            assert self.router.priority == 255 if owner else 1 <= self.router.priority <= 254

    @invariant()
    def deadlines_are_sane(self) -> None:
        """No router in the election sleeps longer than its longest timer, and no other one has a deadline."""
        if not hasattr(self, "router"):
            return
        state, parameters = self.router.state, self.router.parameters
        match state:
            case Backup():
                assert 1 <= state.master_adver_interval <= 4095 or parameters.version is Version.V2
                longest = max(state.master_adver_interval, parameters.max_advertise_interval)
                wait = master_down_interval(parameters.version, 1, longest, 3)
                assert state.master_down_timer <= self.now + wait + 1e-6
            case Master():
                assert self.router.deadline is not None
                assert self.router.deadline <= self.now + parameters.max_advertise_interval / 100 + 1e-6
            case Init() | Faulty():
                assert self.router.deadline is None

    @invariant()
    def answers_are_bounded(self) -> None:
        """At most 100 in a second, and whole seconds begin with the first answer: 200 in any window of one."""
        if hasattr(self, "router"):
            recent = [then for then in self.answers if then > self.now - 1.0]
            assert len(recent) <= 200
            assert sum(then == self.now for then in recent) <= 100
            self.answers = recent


def done_with_serving(before: StateName, router: VirtualRouter) -> bool:
    """True when a router has just left MASTER for FAULT or INIT."""
    return before is StateName.MASTER and router.state.name in (StateName.FAULT, StateName.INIT)


@pytest.mark.requirement("SM-A-15", "SM-A-16", "SM-B-5", "SM-B-7", "OWN-5", "RX-20", "SM-X-2", "SM-A-7", "SM-B-6")
class TestRouterMachine(RouterMachine.TestCase):  # type: ignore[misc,valid-type]
    """The machine under pytest."""
