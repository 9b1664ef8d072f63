"""One virtual router: RFC 9568 section 6.4, with keepalived's FAULT, ``nopreempt`` and ``preempt_delay``.

``VirtualRouter.handle(event, now)`` changes the state and returns actions, ``VirtualRouter.deadline`` says when it
wants to be called again. There is no socket, clock, log or task in here; ``now`` is whatever clock the caller keeps.

    INIT ---Startup, faults---------------------------> FAULT
    INIT ---Startup, address owner--------------------> MASTER
    INIT ---Startup-----------------------------------> BACKUP
    INIT ---Startup, in time for a predecessor--------> MASTER
    BACKUP -master-down timer-------------------------> MASTER
    MASTER -higher priority, or equal and higher address> BACKUP
    any ----a fault appears---------------------------> FAULT
    FAULT --the last fault is gone--------------------> BACKUP (address owner: MASTER)
    any ----Shutdown, HandOver------------------------> INIT
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from vrrpd.protocol.actions import (
    Action,
    Announce,
    InstallAddresses,
    LeaveAddresses,
    Notice,
    NoticeKind,
    SendAdvertisement,
    StateChanged,
    WithdrawAddresses,
)
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    Event,
    Fault,
    FaultKind,
    FaultsChanged,
    HandOver,
    Reconfigured,
    Shutdown,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.packet import Advertisement
from vrrpd.protocol.parameters import OWNER_PRIORITY, RouterParameters
from vrrpd.protocol.states import Backup, Faulty, Init, Master, State
from vrrpd.protocol.timing import Version, handover_lifetime, master_down_interval, seconds, skew_time

ANSWERS_PER_SECOND: Final = 100
"""Immediate answers to priority 0 and to losing advertisements: a flood is not mirrored."""
CROSSING_TIME: Final = 0.05
"""Seconds after which the announcements in answer to a losing advertisement are made once more: its sender's own follow
that advertisement, cross with ours, and take the clients away."""
LEAST_ANNOUNCEMENT_SPACING: Final = 0.1
MOST_ANNOUNCEMENT_SPACING: Final = 1.0
"""Seconds, at least and at most, between bursts of announcements that losing advertisements cause (that one more
aside); in between it is our advertisement interval: a rival is countered at each of its advertisements, a flood is not
mirrored.
"""
ROUNDING: Final = 1e-6
"""Seconds by which sums of clock times may be wrong."""
SHORTEST_FIRST_INTERVAL: Final = 0.25
"""The part of an interval that a new MASTER waits at least before it advertises again."""
MASTER_HEARD_INTERVALS: Final = 2
"""Advertisement intervals for which a master that was heard counts as there: sooner nobody takes over from it."""


class VirtualRouter:
    """The state machine of one (interface, family, vrid)."""

    __slots__ = ("_answers", "_answers_since", "_faults", "_source", "_weight", "parameters", "state")

    def __init__(self, parameters: RouterParameters) -> None:
        self.parameters = parameters
        self.state: State = Init()
        self._faults: tuple[Fault, ...] = ()
        self._weight = 0
        self._source: IPAddress | None = None
        self._answers = 0
        self._answers_since = float("-inf")

    @property
    def deadline(self) -> float | None:
        """When ``TimerExpired`` is wanted next; None for never."""
        return self.state.deadline

    @property
    def priority(self) -> int:
        """The effective priority: what is advertised and compared."""
        return self.parameters.effective_priority(self._weight)

    @property
    def source(self) -> IPAddress | None:
        """The address our advertisements come from, where there is one."""
        return self._source

    @property
    def handover_lifetime(self) -> int:
        """Whole seconds for which ``HandOver`` would leave the addresses to the kernel; 0 where it is a shutdown."""
        if not isinstance(self.state, Master):
            return 0
        return handover_lifetime(self.parameters.max_advertise_interval, self.parameters.down_advertisements)

    @property
    def skew_time(self) -> float:
        """Seconds for which a BACKUP waits after its master's farewell."""
        return skew_time(self.parameters.version, self.priority, self._followed_interval)

    @property
    def skew_step(self) -> float:
        """Seconds by which a BACKUP of the next higher priority takes over sooner."""
        version, interval = self.parameters.version, self._followed_interval
        return skew_time(version, 255, interval) - skew_time(version, 256, interval)

    @property
    def next_on_phase(self) -> float | None:
        """When a MASTER that is on its phase advertises next, and then after whole intervals; None for all others."""
        state = self.state
        if isinstance(state, Master) and abs(self._on_phase(state.adver_timer) - state.adver_timer) <= ROUNDING:
            return state.adver_timer
        return None

    @property
    def _followed_interval(self) -> int:
        state = self.state
        return state.master_adver_interval if isinstance(state, Backup) else self.parameters.max_advertise_interval

    def hear_again(self, master_down_timer: float) -> None:
        """Moves the master-down timer of a BACKUP that has accepted the very same advertisement once more.

        That is all that ``handle`` would do: whoever calls this has seen it do so for the same bytes in this state.
        """
        backup = self.state
        assert isinstance(backup, Backup)
        self.state = Backup(
            master_down_timer,
            backup.master_adver_interval,
            backup.preempt_delay_until,
            backup.master,
            backup.master_priority,
        )

    def advertised_again(self, adver_timer: float) -> None:
        """Moves the advertisement timer of a MASTER whose advertisements have been sent, each when it was due.

        That is all that ``handle`` would do about a ``TimerExpired`` at which nothing else is due and no advertisement
        is late by an interval: whoever calls this has made sure of it.
        """
        master = self.state
        assert isinstance(master, Master)
        self.state = Master(
            adver_timer,
            master.second_round,
            master.refresh,
            master.lower_priority_round,
            master.lower_priority_answered,
        )

    def handle(self, event: Event, now: float) -> list[Action]:
        """Takes one event and returns what is to be done about it, in order."""
        match event:
            case AdvertisementReceived():
                return self._advertisement(event.source, event.advertisement, now)
            case TimerExpired():
                return self._timer(now)
            case FaultsChanged():
                return self._faults_changed(event.faults, now)
            case WeightChanged():
                return self._weight_changed(event.weight, event.cause)
            case SourceChanged():
                self._source = event.source
                return []
            case AddressesTaken():
                return self._addresses_taken(event.addresses)
            case Startup():
                return self._startup(event.resume_until, now)
            case Shutdown():
                return self._shutdown(event.reason)
            case HandOver():
                return self._hand_over(event.reason)
            case Reconfigured():
                return self._reconfigured(event, now)
            case _ as never:
                assert_never(never)

    # -- starting and stopping ------------------------------------------------------------------------------------

    def _startup(self, resume_until: float | None, now: float) -> list[Action]:
        if not isinstance(self.state, Init):
            return []
        left: list[Action] = []
        if resume_until is not None:
            in_time = now < resume_until
            if in_time and not self._faults:
                return self._become_master(now, "started in time to go on for its predecessor")
            # What a MASTER does that leaves; too late, somebody else may be MASTER, who is not to be disturbed.
            left = [SendAdvertisement(0), WithdrawAddresses()] if in_time else [WithdrawAddresses()]
        if self._faults:
            return left + self._enter_fault(_sentence(self._faults))
        return left + self._negotiate(now, "started")

    def _shutdown(self, reason: str) -> list[Action]:
        if isinstance(self.state, Init):
            return []
        actions = self._give_up()
        return [*actions, self._change(Init(), reason)]

    def _hand_over(self, reason: str) -> list[Action]:
        lifetime = self.handover_lifetime
        if lifetime == 0:
            return self._shutdown(reason)
        # The last word is an advertisement like any other: from it on the others wait their master-down intervals.
        return [SendAdvertisement(self.priority), LeaveAddresses(lifetime), self._change(Init(), reason)]

    def _negotiate(self, now: float, reason: str) -> list[Action]:
        """Enters the election: an address owner as MASTER (RFC 9568 section 6.4.1), everyone else as BACKUP."""
        if self.parameters.is_owner and self.parameters.owner_starts_as_master:
            return self._become_master(now, f"{reason}, address owner")
        return [self._change(self._backup(now), reason)]

    # -- timers ---------------------------------------------------------------------------------------------------

    def _timer(self, now: float) -> list[Action]:
        match self.state:
            case Backup() as backup if now >= backup.master_down_timer:
                return self._become_master(now, self._why_master_is_gone(backup))
            case Master() as master:
                return self._master_timers(master, now)
            case _:
                return []

    def _master_timers(self, master: Master, now: float) -> list[Action]:
        actions: list[Action] = []
        times = self.parameters.announcements
        if now >= master.adver_timer:
            due = self._on_phase(master.adver_timer + seconds(self.parameters.max_advertise_interval))
            if due <= now and now - master.adver_timer > self._own_down_interval():
                late = now - master.adver_timer
                actions.append(
                    Notice(
                        NoticeKind.LATE,
                        f"an advertisement is {late:.3f} s late (was the process stopped or starved?): "
                        "other routers may have taken over",
                    )
                )
            # From the due time, not from now, so that the rate does not drift; never a burst to make up for lost time.
            master = Master(
                due if due > now else self._next_advertisement(now),
                master.second_round,
                master.refresh,
                master.lower_priority_round,
                master.lower_priority_answered,
            )
            actions.append(SendAdvertisement(self.priority))
        if master.second_round is not None and now >= master.second_round:
            master = replace(master, second_round=None)
            actions.append(Announce(times.master_repeat))
        if master.refresh is not None and now >= master.refresh:
            master = replace(master, refresh=now + times.refresh)
            actions.append(Announce(times.refresh_repeat))
        if master.lower_priority_round is not None and now >= master.lower_priority_round:
            # Sooner than the delay, it was held back, and is itself repeated after the delay.
            held_back = master.lower_priority_round < master.lower_priority_answered + times.lower_priority_delay
            master = replace(
                master,
                lower_priority_answered=now,
                lower_priority_round=now + times.lower_priority_delay if held_back else None,
            )
            actions.append(Announce(times.lower_priority_repeat))
        self.state = master
        return actions

    # -- advertisements -------------------------------------------------------------------------------------------

    def _advertisement(self, source: IPAddress, advertisement: Advertisement, now: float) -> list[Action]:
        match self.state:
            case Backup() as backup:
                return self._advertisement_as_backup(backup, source, advertisement, now)
            case Master() as master:
                return self._advertisement_as_master(master, source, advertisement, now)
            case _:
                return []

    def _advertisement_as_backup(
        self, backup: Backup, source: IPAddress, advertisement: Advertisement, now: float
    ) -> list[Action]:
        """RFC 9568 section 6.4.2, with ``preempt_delay`` as keepalived counts it."""
        priority = advertisement.priority
        if priority == 0:
            # Unconditionally, by the interval learned so far: the one in this packet is not learned.
            timer = now + skew_time(self.parameters.version, self.priority, backup.master_adver_interval)
            self.state = replace(backup, master_down_timer=timer, master=source, master_priority=0)
            return [Notice(NoticeKind.PRIORITY_ZERO_RECEIVED, f"{source} gives up: priority 0 received")]
        notices: list[Action] = []
        delay_until = backup.preempt_delay_until
        if priority >= self.priority:
            if delay_until is not None:
                delay_until = None
                notices.append(
                    Notice(NoticeKind.PREEMPT_DELAY_STOPPED, f"preempt_delay stopped: {source} has priority {priority}")
                )
        elif self.parameters.preempts:
            delay = self.parameters.preempt_delay
            if delay_until is None and delay > 0:
                delay_until = now + delay
                notices.append(
                    Notice(
                        NoticeKind.PREEMPT_DELAY_STARTED,
                        f"{source} has the lower priority {priority}: preempting in {delay:g} s (preempt_delay)",
                    )
                )
            if delay_until is None or now >= delay_until:
                return self._preempt(backup, source, priority, now)
        return notices + self._follow(backup, source, advertisement, delay_until, now)

    def _preempt(self, backup: Backup, source: IPAddress, priority: int, now: float) -> list[Action]:
        """Discards a lower-priority advertisement: the timer runs on, the interval is not learned."""
        if backup.master == source and backup.master_priority == priority:
            return []
        if rival := self._rival(backup, source, priority, now):
            return [rival]  # of two masters the better one is remembered: that one decides whom we preempt, if anybody
        self.state = replace(backup, master=source, master_priority=priority)
        text = (
            f"{source} has priority {priority}, lower than ours ({self.priority}): taking over when the timer expires"
        )
        return [Notice(NoticeKind.PREEMPTING, text)]

    def _follow(
        self,
        backup: Backup,
        source: IPAddress,
        advertisement: Advertisement,
        preempt_delay_until: float | None,
        now: float,
    ) -> list[Action]:
        """Accepts an advertisement as the master's: its interval is learned and the master-down timer restarts."""
        interval = self._learned(advertisement)
        self.state = Backup(
            master_down_timer=now + self.down_interval(interval),
            master_adver_interval=interval,
            preempt_delay_until=preempt_delay_until,
            master=source,
            master_priority=advertisement.priority,
        )
        rival = self._rival(backup, source, advertisement.priority, now)
        notices: list[Action] = [] if rival is None else [rival]
        before = (backup.master, backup.master_priority)
        if advertisement.priority == self.priority and before != (source, advertisement.priority):
            notices.append(_equal_priority(source, advertisement.priority))
        if interval != backup.master_adver_interval:
            text = f"advertisement interval of {source} is {seconds(interval):g} s"
            was = f"was {seconds(backup.master_adver_interval):g} s"
            notices.append(Notice(NoticeKind.INTERVAL_LEARNED, f"{text}, {was}"))
        return notices

    def _rival(self, backup: Backup, source: IPAddress, priority: int, now: float) -> Notice | None:
        """A word about an advertisement whose sender should have given way to the master that is still heard."""
        master, best = backup.master, backup.master_priority
        if master is None or best is None or master == source or (priority, int(source)) > (best, int(master)):
            return None
        heard = backup.master_down_timer - self.down_interval(backup.master_adver_interval)
        if best == 0 or now - heard > MASTER_HEARD_INTERVALS * seconds(backup.master_adver_interval):
            return None
        text = f"{source} also advertises, with priority {priority}; the master is {master} with {best}"
        return Notice(NoticeKind.SECOND_MASTER, text, source)

    def _advertisement_as_master(
        self, master: Master, source: IPAddress, advertisement: Advertisement, now: float
    ) -> list[Action]:
        """RFC 9568 section 6.4.3. Preempt_Mode is not looked at here."""
        theirs, ours = advertisement.priority, self.priority
        if theirs == 0:
            notice = Notice(NoticeKind.PRIORITY_ZERO_RECEIVED, f"{source} gives up: priority 0 received as MASTER")
            if not self._may_answer(now):
                return [notice]
            self.state = replace(master, adver_timer=self._next_advertisement(now))
            return [SendAdvertisement(ours), notice]
        if theirs == ours and source == self._source:
            # Two such routers would answer each other without end.
            text = f"another router advertises priority {theirs} from our own address {source}: duplicate address?"
            return [Notice(NoticeKind.SAME_SOURCE, text, source)]
        actions: list[Action] = []
        if theirs == ours == OWNER_PRIORITY:
            text = f"{source} also has priority 255: at most one router can own the addresses"
            actions.append(Notice(NoticeKind.SECOND_OWNER, text, source))
        if theirs > ours or (theirs == ours and self._source is not None and int(source) > int(self._source)):
            return actions + self._yield(source, advertisement, now)
        return actions + self._answer(master, source, advertisement, now)

    def _yield(self, source: IPAddress, advertisement: Advertisement, now: float) -> list[Action]:
        theirs, ours = advertisement.priority, self.priority
        interval = self._learned(advertisement)
        backup = Backup(
            master_down_timer=now + self.down_interval(interval),
            master_adver_interval=interval,
            master=source,
            master_priority=theirs,
        )
        reason = (
            f"{source} has priority {theirs}, higher than ours ({ours})"
            if theirs > ours
            else f"{source} has our priority {theirs} and a higher address than {self._source}"
        )
        actions: list[Action] = [_equal_priority(source, ours)] if theirs == ours else []
        if self.parameters.advertise_before_yielding:
            actions.append(SendAdvertisement(ours))
        return [*actions, WithdrawAddresses(), self._change(backup, reason)]

    def _answer(self, master: Master, source: IPAddress, advertisement: Advertisement, now: float) -> list[Action]:
        """Answers a losing advertisement at once, so that its sender gives way without waiting for our timer."""
        times = self.parameters.announcements
        actions: list[Action] = []
        if self.parameters.answer_lower_priority and self._may_answer(now):
            actions.append(SendAdvertisement(self.priority))
        spaced = master.lower_priority_answered + self._announcement_spacing()
        if times.lower_priority_repeat > 0 and now >= spaced:
            actions.append(Announce(times.lower_priority_repeat))
            self.state = replace(master, lower_priority_answered=now, lower_priority_round=now + CROSSING_TIME)
        elif times.lower_priority_repeat > 0:
            # Held back, not left out: it may be the last one, and the first that anybody can hear.
            due = master.lower_priority_round
            self.state = replace(master, lower_priority_round=spaced if due is None else min(due, spaced))
        text = f"{source} also advertises, with priority {advertisement.priority}; ours is {self.priority}"
        return [*actions, Notice(NoticeKind.LOSING_ADVERTISEMENT, text, source)]

    # -- everything else that happens -----------------------------------------------------------------------------

    def _faults_changed(self, faults: tuple[Fault, ...], now: float) -> list[Action]:
        before, self._faults = self._faults, faults
        match self.state:
            case Init():
                return []
            case Faulty():
                if not faults:
                    return self._negotiate(now, _recovery(before))
                self.state = Faulty(faults)
                if {fault.identity for fault in faults} == {fault.identity for fault in before}:
                    return []
                return [Notice(NoticeKind.FAULTS_CHANGED, f"still in FAULT: {_sentence(faults)}")]
            case Backup() | Master():
                return self._enter_fault(_sentence(faults)) if faults else []
            case _ as never:
                assert_never(never)

    def _weight_changed(self, weight: int, cause: str) -> list[Action]:
        before = self.priority
        self._weight = weight
        if self.priority == before:
            return []
        self._move_down_timer_by_skew(before)
        return [Notice(NoticeKind.PRIORITY_CHANGED, f"effective priority {before} -> {self.priority}: {cause}")]

    def _addresses_taken(self, addresses: frozenset[IPAddress]) -> list[Action]:
        """Puts back what somebody else removed: no new election, no flap."""
        if not isinstance(self.state, Master):
            return []
        listed = ", ".join(str(address) for address in sorted(addresses, key=str))
        return [
            InstallAddresses(addresses),
            Announce(self.parameters.announcements.master_repeat, addresses),
            Notice(NoticeKind.ADDRESSES_TAKEN, f"somebody removed {listed}: put back"),
        ]

    def _reconfigured(self, event: Reconfigured, now: float) -> list[Action]:
        old, before = self.parameters, self.priority
        self.parameters = event.parameters
        match self.state:
            case Master() as master:
                times = event.parameters.announcements
                refresh = None
                if times.refresh > 0:
                    # A refresh that is due sooner stays due; one that was off or far away starts anew.
                    refresh = now + times.refresh
                    refresh = refresh if master.refresh is None else min(master.refresh, refresh)
                self.state = replace(master, adver_timer=self._next_advertisement(now), refresh=refresh)
                actions: list[Action] = [SendAdvertisement(self.priority)]
                if event.added:
                    actions.append(InstallAddresses(event.added))
                    actions.append(Announce(times.master_repeat, event.added))
                return actions
            case Backup() as backup:
                self._move_down_timer(backup, old, before)
                return []
            case _:
                return []

    # -- transitions ----------------------------------------------------------------------------------------------

    def _become_master(self, now: float, reason: str) -> list[Action]:
        times = self.parameters.announcements
        master = Master(
            adver_timer=self._second_advertisement(now),
            second_round=now + times.master_delay if times.master_delay > 0 else None,
            refresh=now + times.master_delay + times.refresh if times.refresh > 0 else None,
        )
        return [
            SendAdvertisement(self.priority),
            InstallAddresses(),
            Announce(times.master_repeat),
            self._change(master, reason),
        ]

    def _enter_fault(self, reason: str) -> list[Action]:
        actions = self._give_up()
        return [*actions, self._change(Faulty(self._faults), reason)]

    def _give_up(self) -> list[Action]:
        """What a MASTER does before it leaves by fault or shutdown (RFC 9568 section 6.4.3); others do nothing."""
        if isinstance(self.state, Master):
            return [SendAdvertisement(0), WithdrawAddresses()]
        return []

    def _change(self, state: State, reason: str) -> StateChanged:
        previous = self.state.name
        self.state = state
        return StateChanged(previous, state.name, reason)

    def _backup(self, now: float) -> Backup:
        interval = self.parameters.max_advertise_interval
        return Backup(master_down_timer=now + self.down_interval(interval), master_adver_interval=interval)

    # -- arithmetic and small questions ---------------------------------------------------------------------------

    def _next_advertisement(self, now: float) -> float:
        """When the next one is due after one that was sent now."""
        return self._on_phase(now + seconds(self.parameters.max_advertise_interval))

    def _second_advertisement(self, now: float) -> float:
        """When a new MASTER advertises again: on its phase, or, where that would come while others still take over, an
        interval later."""
        interval = seconds(self.parameters.max_advertise_interval)
        due = self._next_advertisement(now)
        return due if due - now >= SHORTEST_FIRST_INTERVAL * interval else now + interval

    def _on_phase(self, due: float) -> float:
        """The last moment of the router's own phase that is not after ``due``, less than an interval before it."""
        phase = self.parameters.advertisement_phase
        if phase is None:
            return due
        interval = seconds(self.parameters.max_advertise_interval)
        return (due - phase + ROUNDING) // interval * interval + phase

    def _learned(self, advertisement: Advertisement) -> int:
        """Version 3 follows the master's interval (RFC 9568 section 6.4.2), version 2 knows only its own."""
        if self.parameters.version is Version.V2:
            return self.parameters.max_advertise_interval
        return advertisement.max_advertise_interval

    def down_interval(self, master_adver_interval: int) -> float:
        """Master_Down_Interval in seconds for an interval in centiseconds, by the effective priority."""
        parameters = self.parameters
        return master_down_interval(
            parameters.version, self.priority, master_adver_interval, parameters.down_advertisements
        )

    def _own_down_interval(self) -> float:
        return self.down_interval(self.parameters.max_advertise_interval)

    def _move_down_timer_by_skew(self, priority_before: int) -> None:
        if isinstance(self.state, Backup):
            self._move_down_timer(self.state, self.parameters, priority_before)

    def _move_down_timer(self, backup: Backup, before: RouterParameters, priority_before: int) -> None:
        """Moves the running timer by what the new priority or interval changes, so that nobody waits twice."""
        interval = backup.master_adver_interval
        if backup.master is None or self.parameters.version is Version.V2:
            interval = self.parameters.max_advertise_interval
        was = master_down_interval(
            before.version, priority_before, backup.master_adver_interval, before.down_advertisements
        )
        self.state = replace(
            backup,
            master_down_timer=backup.master_down_timer - was + self.down_interval(interval),
            master_adver_interval=interval,
        )

    def _announcement_spacing(self) -> float:
        interval = seconds(self.parameters.max_advertise_interval)
        return min(max(interval, LEAST_ANNOUNCEMENT_SPACING), MOST_ANNOUNCEMENT_SPACING)

    def _may_answer(self, now: float) -> bool:
        if now - self._answers_since >= 1.0:
            self._answers_since, self._answers = now, 0
        self._answers += 1
        return self._answers <= ANSWERS_PER_SECOND

    def _why_master_is_gone(self, backup: Backup) -> str:
        if backup.master is None:
            return "no master was heard within the master-down interval"
        if backup.master_priority == 0:
            return f"{backup.master} gave up (priority 0)"
        delay_until = backup.preempt_delay_until
        preempting = self.parameters.preempts and (delay_until is None or delay_until <= backup.master_down_timer)
        if preempting and backup.master_priority is not None and backup.master_priority < self.priority:
            return f"preempting {backup.master}, which has priority {backup.master_priority}; ours is {self.priority}"
        return f"no advertisement from {backup.master} in time"


def _equal_priority(source: IPAddress, priority: int) -> Notice:
    text = f"{source} has our priority, {priority}: where both are masters the higher address stays"
    return Notice(NoticeKind.EQUAL_PRIORITY, text, source)


def _sentence(faults: tuple[Fault, ...]) -> str:
    return "; ".join(fault.detail for fault in faults)


def _recovery(faults: tuple[Fault, ...]) -> str:
    if all(fault.kind is FaultKind.AWAITING_CHECK for fault in faults):
        return "the first check succeeded"
    return f"no longer: {_sentence(faults)}"
