"""One virtual router driven: events in, actions applied in order, one deadline out.

The runner joins a ``VirtualRouter`` to a clock, a dataplane and an observer. It knows no event loop and no kernel: the
daemon runs it on Linux, the simulator on a virtual LAN, with the same encoder, decoder and admission in between.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

from vrrpd.protocol.actions import (
    Action,
    Announce,
    InstallAddresses,
    LeaveAddresses,
    Notice,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.admission import AdmissionPolicy, admit
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.events import AdvertisementReceived, Event, Reconfigured, SourceChanged, TimerExpired
from vrrpd.protocol.packet import NO_AUTHENTICATION, SIMPLE_PASSWORD, Advertisement, ChecksumForm, Decoded, encode
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.peers import PeerLedger
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Backup, Master, State
from vrrpd.protocol.timing import Version


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Everything about one virtual router that is not its dataplane."""

    name: str
    parameters: RouterParameters
    admission: AdmissionPolicy
    destinations: tuple[IPAddress, ...]
    """The multicast group, or every unicast peer."""
    checksum_form: ChecksumForm = ChecksumForm.PSEUDO_HEADER
    """The form that we send; matters for version 3 over IPv4 only."""


class Dataplane(Protocol):
    """What a runner needs done. Nothing here may wait; failures come back as events."""

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        """Gets ready to send this advertisement, now or later."""

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Sends one advertisement."""

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Puts the virtual addresses on their interfaces."""

    def withdraw(self) -> None:
        """Takes them off again, and with them what announcements are still waiting."""

    def leave(self, lifetime: int) -> None:
        """Leaves the addresses to the kernel, which takes them off after so many seconds."""

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Sends gratuitous ARPs or unsolicited NAs for them."""


class Observer(Protocol):
    """Who is told: the log, the notify scripts, the simulator's invariants."""

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """The router has another state; everything before it in the list of actions has been done."""

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Something worth a line in the log."""

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """A packet for this virtual router id was thrown away."""


@dataclass(slots=True)
class Statistics:
    """Counters since the runner was made; ``status`` shows them under these names."""

    advertisements_received: int = 0
    advertisements_sent: int = 0
    priority_zero_received: int = 0
    priority_zero_sent: int = 0
    became_master: int = 0
    released_master: int = 0
    discarded: Counter[DiscardReason] = field(default_factory=Counter)
    checksum_forms: Counter[ChecksumForm] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Heartbeat:
    """The last advertisement, if an equal one only restarts the timer; and how often that has come since."""

    signature: Hashable
    source: IPAddress
    checksum_form: ChecksumForm
    down_interval: float
    beats: int = 0
    """Not yet booked."""
    last: float = 0.0
    """When the last of them arrived."""


class AdvertisingRound(Protocol):
    """Sends the advertisements of several MASTERs when they are due (``rounds.Round``)."""

    @property
    def next_advertisements(self) -> float:
        """When they are due next."""

    @property
    def beats(self) -> int:
        """How often they have been sent."""

    def left(self, runner: Runner) -> None:
        """Hears of a runner that sends its own again."""


_TIMER_EXPIRED: Final = TimerExpired()


class Runner:
    """Drives one router. Whoever calls ``deliver`` or ``receive`` looks at ``deadline`` afterwards."""

    __slots__ = (
        "_clock",
        "_decision",
        "_heartbeat",
        "_messages",
        "_observer",
        "_peers",
        "_round",
        "_round_beats",
        "_router",
        "_statistics",
        "dataplane",
        "last_change",
        "settings",
        "since",
    )

    def __init__(
        self, settings: RunnerSettings, dataplane: Dataplane, observer: Observer, clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.dataplane = dataplane
        self._router = VirtualRouter(settings.parameters)
        self._peers = _ledger(settings)
        self._statistics = Statistics()
        self.last_change: StateChanged | None = None
        self.since = clock()
        """When the router entered its state, by the runner's clock."""
        self._observer = observer
        self._clock = clock
        self._decision: tuple[State, list[Action]] | None = None
        """What ``decide`` came to: the state that the router will have, and what led there."""
        self._heartbeat: _Heartbeat | None = None
        self._round: AdvertisingRound | None = None
        self._round_beats = 0
        """How many of the round's are booked."""
        self._messages: dict[int, tuple[tuple[bytes, IPAddress], ...]] = {}

    @property
    def router(self) -> VirtualRouter:
        """The state machine."""
        self._catch_up()
        return self._router

    @property
    def peers(self) -> PeerLedger:
        """Who was heard."""
        self._catch_up()
        return self._peers

    @property
    def statistics(self) -> Statistics:
        """What was counted."""
        self._catch_up()
        return self._statistics

    @property
    def deadline(self) -> float | None:
        """When ``expire`` is wanted next; None for never. By itself it only moves later."""
        heartbeat = self._heartbeat
        if heartbeat is not None and heartbeat.beats:
            return heartbeat.last + heartbeat.down_interval
        state = self._router.state
        if self._round is not None and isinstance(state, Master):
            return state.announcement_deadline
        return state.deadline

    @property
    def next_advertisement(self) -> float | None:
        """When a MASTER that is on its phase has to advertise next; None for everybody else."""
        return self.router.next_on_phase

    @property
    def patience(self) -> float:
        """Seconds for which what is heard may wait without anything being done too late for it; infinite for never.

        A MASTER answers at once. A BACKUP does nothing sooner than its skew time after a farewell.
        """
        router = self._router
        match router.state:
            case Master():
                return 0.0
            case Backup():
                return router.skew_time
            case _:
                return math.inf

    @property
    def state(self) -> StateName:
        """The router's state by its operators' name."""
        return self._router.state.name

    def receive(
        self,
        datagram: Datagram,
        decoded: Decoded,
        own_addresses: Collection[IPAddress],
        signature: Hashable | None = None,
        arrival: float | None = None,
    ) -> None:
        """Takes an advertisement that carries our virtual router id, admits or discards it, and acts on it.

        ``signature`` is equal for two packets only if all that is looked at here is equal; see ``hear_again``.
        ``arrival`` is when it came, by the runner's clock, where that is known better than "now". It counts for what a
        BACKUP waits for. What a MASTER answers leaves now, at the rate of now: a process that was stopped must not make
        up for the answers of that time.
        """
        now = self._clock() if arrival is None or self.state is StateName.MASTER else arrival
        source = datagram.source
        if self.state is StateName.INIT:
            return
        try:
            admit(decoded.advertisement, datagram, self.settings.admission, own_addresses)
        except Discard as discard:
            self.reject(source, discard)
            return
        self._catch_up()
        statistics = self._statistics
        statistics.advertisements_received += 1
        statistics.checksum_forms[decoded.checksum_form] += 1
        if decoded.advertisement.priority == 0:
            statistics.priority_zero_received += 1
        notices = self._peers.accepted(source, decoded, now)
        for notice in notices:
            self._apply(notice)
        actions = self._handle(AdvertisementReceived(source, decoded.advertisement), now)
        if signature is not None and not notices and not actions:
            self._remember(signature, source, decoded)

    def hear_again(self, signature: Hashable, arrival: float) -> bool:
        """The short way for what comes most: takes an advertisement that equals the last one, byte for byte.

        True when it was one. A BACKUP's timer restarts, and nothing else would happen on the long way, so that it is
        enough to note the time: ``_catch_up`` does the rest for all of them at once, before anybody looks. Any other
        event in between makes the next one take the long way again.
        """
        heartbeat = self._heartbeat
        if heartbeat is None or heartbeat.signature != signature:
            return False
        heartbeat.beats += 1
        heartbeat.last = arrival
        return True

    def join(self, advertising: AdvertisingRound) -> None:
        """Leaves the advertisements of a MASTER to a round that sends them when they are due.

        The other short way for what comes most: ``deadline`` is then about everything else, and what was sent is booked
        when somebody looks. Any event ends it.
        """
        self._round, self._round_beats = advertising, advertising.beats

    def leave_round(self) -> None:
        """Takes them back, if they were left to one."""
        self._catch_up()
        advertising, self._round = self._round, None
        if advertising is not None:
            advertising.left(self)

    def advertise(self) -> None:
        """Sends the current advertisement, and books nothing: that is for the round that asks for it."""
        for message, destination in self._encoded(self._router.priority):
            self.dataplane.send(message, destination)

    def _catch_up(self) -> None:
        """Books what ``hear_again`` has noted, and what a round has sent."""
        advertising = self._round
        if advertising is not None and advertising.beats != self._round_beats:
            self._statistics.advertisements_sent += advertising.beats - self._round_beats
            self._round_beats = advertising.beats
            self._router.advertised_again(advertising.next_advertisements)
        heartbeat = self._heartbeat
        if heartbeat is None or heartbeat.beats == 0:
            return
        beats, heartbeat.beats = heartbeat.beats, 0
        self._router.hear_again(heartbeat.last + heartbeat.down_interval)
        self._peers.heard_again(heartbeat.source, beats, heartbeat.last)
        self._statistics.advertisements_received += beats
        self._statistics.checksum_forms[heartbeat.checksum_form] += beats

    def forget_familiar(self) -> None:
        """Takes in the next advertisement the long way: what admits it has changed outside of the router."""
        self._catch_up()
        self._heartbeat = None

    def reject(self, source: IPAddress, discard: Discard) -> None:
        """Books a packet for our virtual router id that was thrown away; nothing else changes."""
        self._catch_up()
        self._statistics.discarded[discard.reason] += 1
        self._peers.discarded(source, discard.reason, self._clock())
        self._observer.discarded(self, source, discard)

    def expire(self, moment: float | None = None) -> None:
        """Says that the deadline has come; too early, nothing happens.

        ``moment`` is the time at which what follows will leave, where it is not now.
        """
        self._handle(_TIMER_EXPIRED, self._clock() if moment is None else moment)

    def decide(self, moment: float) -> None:
        """Asks the dataplane, ahead of the deadline ``moment``, for all that it takes to be MASTER from then on.

        For everybody else, and for the router itself, nothing has changed: when what was asked for has left comes
        ``confirm``, and ``take_back`` where it must not leave, since the master was heard after all. No event may come
        in between.
        """
        self.forget_familiar()
        router = self._router
        before = router.state
        actions = router.handle(_TIMER_EXPIRED, moment)
        self._decision = router.state, actions
        router.state = before
        for action in actions:
            self._ask(action)

    def confirm(self) -> None:
        """Makes what was decided so."""
        assert self._decision is not None
        (self._router.state, actions), self._decision = self._decision, None
        for action in actions:
            self._book(action)

    def take_back(self) -> None:
        """Forgets what was decided; what the dataplane was asked for, now and before, is the caller's to drop."""
        self._decision = None
        self.dataplane.withdraw()

    def deliver(self, event: Event) -> None:
        """Hands any other event to the router and applies what it asks for."""
        self._handle(event, self._clock())
        if isinstance(event, SourceChanged):
            self._messages.clear()
        self.prepare()

    def reconfigure(self, settings: RunnerSettings, added: frozenset[IPAddress]) -> None:
        """Takes new settings in place; the dataplane knows the new addresses already."""
        self.leave_round()
        self.settings = settings
        self._peers = _ledger(settings)
        self._messages.clear()
        self.deliver(Reconfigured(settings.parameters, added))

    def prepare(self) -> None:
        """Builds the next advertisement and the farewell now, so that no takeover waits for the encoder."""
        if self._router.source is not None:
            self._encoded(self._router.priority)
            self._encoded(0)

    def _handle(self, event: Event, now: float) -> list[Action]:
        self.leave_round()
        self.forget_familiar()
        actions = self._router.handle(event, now)
        for action in actions:
            self._apply(action)
        return actions

    def _remember(self, signature: Hashable, source: IPAddress, decoded: Decoded) -> None:
        """Keeps a packet that did nothing but restart a BACKUP's timer, if the next one like it must do the same."""
        backup = self._router.state
        if not isinstance(backup, Backup) or backup.preempt_delay_until is not None:
            return
        if decoded.advertisement.priority < self._router.priority and self.settings.parameters.preempts:
            return  # discarded: the timer runs on
        down_interval = self._router.down_interval(backup.master_adver_interval)
        self._heartbeat = _Heartbeat(signature, source, decoded.checksum_form, down_interval)

    def _apply(self, action: Action) -> None:
        self._ask(action)
        self._book(action)

    def _ask(self, action: Action) -> None:
        """Asks the dataplane for what an action needs."""
        match action:
            case SendAdvertisement(priority):
                messages = self._messages.get(priority)
                for message, destination in self._encoded(priority) if messages is None else messages:
                    self.dataplane.send(message, destination)
            case InstallAddresses(only):
                self.dataplane.install(only)
            case Announce(repeat, only):
                self.dataplane.announce(repeat, only)
            case WithdrawAddresses():
                self.dataplane.withdraw()
            case LeaveAddresses(lifetime):
                self.dataplane.leave(lifetime)
            case StateChanged() | Notice():
                pass
            case _ as never:
                assert_never(never)

    def _book(self, action: Action) -> None:
        """Counts an action, and tells the observer of it."""
        match action:
            case SendAdvertisement(priority):
                self._statistics.advertisements_sent += 1
                if priority == 0:
                    self._statistics.priority_zero_sent += 1
            case StateChanged():
                self._state_changed(action)
            case Notice():
                self._statistics.notices[action.kind.value] += 1
                self._observer.noticed(self, action)

    def _state_changed(self, change: StateChanged) -> None:
        self.since = self._clock()
        self.last_change = change
        if change.state is StateName.MASTER:
            self._statistics.became_master += 1
        if change.previous is StateName.MASTER:
            self._statistics.released_master += 1
        self._peers.forget_remarks()
        self._observer.state_changed(self, change)

    def _encoded(self, priority: int) -> tuple[tuple[bytes, IPAddress], ...]:
        """One message for each destination: the pseudo-header makes them differ."""
        messages = self._messages.get(priority)
        if messages is None:
            source = self._router.source
            if source is None:
                return ()  # without a source address nothing is sent (RFC 9568 section 7.2); the router is in FAULT
            parameters, password = self.settings.parameters, self.settings.admission.password
            advertisement = Advertisement(
                version=parameters.version,
                vrid=parameters.vrid,
                priority=priority,
                max_advertise_interval=parameters.max_advertise_interval,
                addresses=parameters.addresses,
                authentication_type=NO_AUTHENTICATION if password is None else SIMPLE_PASSWORD,
                authentication_data=bytes(8) if password is None else password,
            )
            form = self.settings.checksum_form
            messages = self._messages[priority] = tuple(
                (encode(advertisement, source, destination, checksum_form=form), destination)
                for destination in self.settings.destinations
            )
            for message, destination in messages:
                self.dataplane.prepare(message, destination)
        return messages


def _ledger(settings: RunnerSettings) -> PeerLedger:
    parameters = settings.parameters
    sends = settings.checksum_form
    if parameters.version is Version.V2:
        sends = ChecksumForm.MESSAGE_ONLY
    elif parameters.addresses[0].version == 6:
        sends = ChecksumForm.PSEUDO_HEADER  # IPv6 has one form only, whatever was configured for IPv4
    return PeerLedger(parameters.version, parameters.max_advertise_interval, parameters.addresses, sends)
