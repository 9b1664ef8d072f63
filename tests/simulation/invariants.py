"""What must hold in every run: at every moment, and once the network is whole again.

Each invariant is a class that is told what happens and says what its bound is and where it comes from. A bound is
derived, never felt: an interval of the one who speaks, by its own clock, and what the network and its timers may take.
``Referee`` is the witness that all nodes report to; it hands on to each invariant what it asks for. Checks cost
something only where something has changed, and what must happen in time is a row of alarms.

The one constant is ``ROUNDING``, for times that are computed on another way than the router's.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.simulation.lan import Lan
from tests.simulation.node import Node, SimulatedRouter
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.router import ANSWERS_PER_SECOND
from vrrpd.protocol.states import Backup, State
from vrrpd.protocol.timing import Version

ROUNDING: Final = 0.000_005
"""Seconds: intervals are cut to microseconds, and clocks that started long ago count in fractions of one."""


class Violation(AssertionError):
    """An invariant that does not hold."""

    def __init__(self, invariant: str, when: float, text: str) -> None:
        super().__init__(f"{invariant}: {text} at {when:.6f} s")
        self.invariant = invariant


def skew(router: SimulatedRouter, interval: int) -> float:
    """RFC 9568 section 6.1 and RFC 3768 section 6.1, written down once more: seconds of the router's clock."""
    share = (256 - router.runner.router.priority) / 256
    return share if router.plan.version is Version.V2 else share * interval / 100


def skew_step(router: SimulatedRouter, interval: int) -> float:
    """By how much the next priority waits less: seconds of the router's clock."""
    return 1 / 256 if router.plan.version is Version.V2 else interval / 100 / 256


def master_down(router: SimulatedRouter, interval: int) -> float:
    """Three intervals (centiseconds) and one skew: seconds of the router's clock."""
    return 3 * interval / 100 + skew(router, interval)


class Alarms:
    """Things that must happen by a time, by key."""

    def __init__(self, lan: Lan, missed: Callable[[SimulatedRouter, SimulatedRouter | None, float], None]) -> None:
        self._lan = lan
        self._missed = missed
        self._times: dict[tuple[SimulatedRouter, SimulatedRouter | None], float] = {}
        self._queued: dict[tuple[SimulatedRouter, SimulatedRouter | None], float] = {}
        self._heap: list[tuple[float, int, tuple[SimulatedRouter, SimulatedRouter | None]]] = []
        self._sequence = 0

    def set(self, when: float, router: SimulatedRouter, other: SimulatedRouter | None = None) -> None:
        """Moves an alarm to another time, unless its time has passed already."""
        key = (router, other)
        self._look(key)
        self._times[key] = when
        queued = self._queued.get(key)
        if queued is None or when < queued:
            self._push(when, key)

    def clear(self, router: SimulatedRouter, other: SimulatedRouter | None = None) -> None:
        """Calls an alarm off, unless its time has passed already."""
        key = (router, other)
        self._look(key)
        self._times.pop(key, None)

    def check(self) -> None:
        """Raises the alarms whose time has passed."""
        heap = self._heap
        while heap and heap[0][0] + ROUNDING < self._lan.now:
            when, _, key = heapq.heappop(heap)
            if self._queued.get(key) != when:
                continue
            del self._queued[key]
            self._look(key)
            if key in self._times:
                self._push(self._times[key], key)

    def _push(self, when: float, key: tuple[SimulatedRouter, SimulatedRouter | None]) -> None:
        self._sequence += 1
        self._queued[key] = when
        heapq.heappush(self._heap, (when, self._sequence, key))

    def _look(self, key: tuple[SimulatedRouter, SimulatedRouter | None]) -> None:
        when = self._times.get(key)
        if when is not None and when + ROUNDING < self._lan.now:
            self._missed(*key, when)


class AddressesExactlyWhileMaster:
    """All addresses are there while MASTER and none in any other state; a dead machine has none.

    The bound is the event: what a router does about an event is done when it is over. An address that somebody else
    has removed is missing until the daemon has been told of it.
    """

    name = "addresses exactly while MASTER"

    def check(self, router: SimulatedRouter, now: float) -> None:
        """Looks at one router."""
        serves = router.alive and router.is_master
        expected = set(router.runner.settings.parameters.addresses) if serves else set()
        if router.installed | router.taken != expected or router.installed & router.taken:
            state = router.runner.state.value if router.alive else "dead"
            seen, wanted = _listed(router.installed), _listed(expected)
            raise Violation(self.name, now, f"{router.name} is {state} with {seen}, expected {wanted}")


class AnnouncesWhatItHas:
    """Only addresses that are in place are announced: RFC 9568 section 6.4.2 with the addresses installed first.

    An address that was removed by others and not yet missed counts as in place.
    """

    name = "announces what it has"

    def check(self, router: SimulatedRouter, addresses: frozenset[IPAddress], now: float) -> None:
        """Looks at one announcement."""
        if not addresses <= router.installed | router.taken:
            raise Violation(self.name, now, f"{router.name} announces {_listed(addresses)}")


class FaultServesNobody:
    """A router whose daemon knows of a fault is in FAULT, and in FAULT it holds no address.

    The bound is the event that tells the daemon. A stopped process knows nothing and is looked at when it goes on.
    """

    name = "FAULT holds no address"

    def check(self, router: SimulatedRouter, now: float) -> None:
        """Looks at one router."""
        node = router.node
        if node.paused or not router.alive:
            return
        state = router.runner.state
        if node.faults and state is not StateName.FAULT:
            raise Violation(self.name, now, f"{router.name} is {state.value} while {node.faults[0].detail}")
        if state is StateName.FAULT and router.installed:
            raise Violation(self.name, now, f"{router.name} is in FAULT with {_listed(router.installed)}")


class RejectedChangesNothing:
    """A packet that is thrown away moves no timer, sends nothing and changes no state (RFC 9568 section 7.1)."""

    name = "a rejected packet changes nothing"

    def check(self, router: SimulatedRouter, before: State, sends: int, now: float) -> None:
        """Compares a router with what it was before the packet."""
        after = router.runner.router.state
        if after != before or router.sends != sends:
            raise Violation(self.name, now, f"{router.name} was {before} and is {after}")


class Causes:
    """What makes a router say something besides what is due: changes of its state and reloads, by its own clock."""

    def __init__(self) -> None:
        self._causes: dict[SimulatedRouter, deque[float]] = {}
        self._interval: dict[SimulatedRouter, int] = {}

    def add(self, router: SimulatedRouter) -> None:
        """Notes a change of state or of the configuration."""
        self._causes.setdefault(router, deque(maxlen=1000)).append(router.node.clock())
        interval = router.plan.interval
        self._interval[router] = min(interval, self._interval.get(router, interval))

    def of_last_second(self, router: SimulatedRouter) -> int:
        """How many there were, the one under way included."""
        second = router.node.clock() - 1.0
        return sum(1 for when in self._causes.get(router, ()) if when > second) + 1

    def shortest_interval(self, router: SimulatedRouter) -> int:
        """The shortest of its intervals until now, in centiseconds."""
        return self._interval.get(router, router.plan.interval)

    def forget(self, router: SimulatedRouter) -> None:
        """Drops the book of a dead router."""
        for book in (self._causes, self._interval):
            book.pop(router, None)


class _LastSecond:
    """How often something has happened to a router within the last second of its clock."""

    def __init__(self) -> None:
        self._times: dict[SimulatedRouter, deque[float]] = {}

    def count(self, router: SimulatedRouter) -> int:
        """Counts one more and returns them all."""
        clock = router.node.clock()
        times = self._times.get(router)
        if times is None:
            times = self._times[router] = deque()
        times.append(clock)
        while times[0] <= clock - 1.0:
            times.popleft()
        return len(times)

    def forget(self, router: SimulatedRouter) -> None:
        """Drops the book of a dead router."""
        self._times.pop(router, None)


class BoundedAdvertisements:
    """In no second of its clock does a router send more than it may.

    It may send one advertisement for each of its intervals and one more for the ends of that second; one for each
    change of its state and each reload, the one under way included; and answers, of which there are
    ``ANSWERS_PER_SECOND`` in the router's own seconds, two of which any second can touch.
    """

    name = "advertisements are bounded"

    def __init__(self, causes: Causes) -> None:
        self._causes = causes
        self._sent = _LastSecond()
        self.forget = self._sent.forget

    def sent(self, router: SimulatedRouter, now: float) -> None:
        """Counts."""
        sent = self._sent.count(router)
        if sent > 2 * ANSWERS_PER_SECOND:
            own = math.ceil(100 / self._causes.shortest_interval(router)) + 1
            bound = 2 * ANSWERS_PER_SECOND + own + self._causes.of_last_second(router)
            if sent > bound:
                text = f"{router.name} sent {sent} advertisements within 1 s, expected {bound} at most"
                raise Violation(self.name, now, text)


class BoundedAnnouncements:
    """In no second of its clock does a router announce its addresses more often than it may, whatever comes in.

    Twice for each of its intervals, of 0.1 s at least and 1 s at most, and twice for the ends of that second: what
    losing advertisements cause. The second round after it became MASTER and the last one after losing advertisements.
    And four times for each change of its state and each reload: it begins anew, and knows of no announcement before.
    """

    name = "announcements are bounded"

    def __init__(self, causes: Causes) -> None:
        self._causes = causes
        self._rounds = _LastSecond()
        self.forget = self._rounds.forget

    def announced(self, router: SimulatedRouter, now: float) -> None:
        """Counts."""
        rounds = self._rounds.count(router)
        intervals = 100 / min(max(self._causes.shortest_interval(router), 10), 100)
        bound = 2 * math.ceil(intervals) + 4
        if rounds > bound:
            bound += 4 * self._causes.of_last_second(router)
            if rounds > bound:
                text = f"{router.name} announced its addresses {rounds} times within 1 s, expected {bound} at most"
                raise Violation(self.name, now, text)


class NoSilentMaster:
    """Whoever is MASTER and runs has sent an advertisement within its own interval by its own clock.

    The bound is that interval and how late a timer may be (RFC 9568 section 6.4.3); the first one is due when the
    takeover was, however much earlier that was decided. A process that was stopped is late by right, and must send at
    once when it goes on.
    """

    name = "no MASTER is silent"

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._alarms = Alarms(lan, self._missed)
        self._last: dict[SimulatedRouter, float] = {}
        self.check = self._alarms.check

    def sent(self, router: SimulatedRouter) -> None:
        """A MASTER has spoken."""
        self._last[router] = self._lan.now
        if router.is_master:
            self._alarms.set(self._bound(router), router)

    def review(self, router: SimulatedRouter) -> None:
        """The router is something else now, or somewhere else."""
        if router.alive and router.is_master and not router.node.paused:
            self._alarms.set(max(self._lan.now, router.held_until, self._bound(router)), router)
        else:
            self._alarms.clear(router)
            if not router.alive:
                self._last.pop(router, None)

    def _bound(self, router: SimulatedRouter) -> float:
        last = self._last.get(router, self._lan.now)
        return last + router.plan.interval / 100 / router.node.rate + self._lan.quality.timer_lateness

    def _missed(self, router: SimulatedRouter, _: SimulatedRouter | None, when: float) -> None:
        text = f"{router.name} is MASTER and was to advertise by {when:.6f} s"
        raise Violation(self.name, self._lan.now, text)


class NeverTwoMasters:
    """Two MASTERs of a group that can hear each other are one, soon.

    Of two MASTERs one is better: by its priority, and among equals by its address. From the moment that every packet
    of the better one reaches the other, the other hears it within the better one's interval (by the clock of that
    one), the lateness of a timer and the delay of a packet, and gives way (RFC 9568 section 6.4.3). Where only the
    other direction works, or packets get lost, nothing can be promised and nothing is demanded.
    """

    name = "never two MASTERs"

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._alarms = Alarms(lan, self._missed)
        self._masters: dict[int, list[SimulatedRouter]] = {}
        self.check = self._alarms.check

    def masters(self, vrid: int) -> list[SimulatedRouter]:
        """The routers of living processes that are MASTER."""
        return self._masters.get(vrid, [])

    def review(self, router: SimulatedRouter) -> None:
        """The router has become MASTER or is none any more, or is another one as MASTER."""
        masters = self._masters.setdefault(router.plan.vrid, [])
        serves = router.alive and router.is_master
        if not serves and router not in masters:
            return
        for other in masters:
            if other is not router:
                self._alarms.clear(router, other)
                self._alarms.clear(other, router)
                if serves:
                    self._watch(router, other)
        if serves and router not in masters:
            masters.append(router)
        elif not serves:
            masters.remove(router)

    def review_all(self) -> None:
        """Who hears whom has changed."""
        for masters in self._masters.values():
            for router in masters if len(masters) > 1 else ():
                self.review(router)

    def _watch(self, one: SimulatedRouter, two: SimulatedRouter) -> None:
        better, other = sorted((one, two), key=_rank, reverse=True)
        if not (better.node.awake and other.node.awake and self._lan.reaches(better.node, other.node)):
            return
        if better.plan.version is not other.plan.version:
            return
        if better.plan.version is Version.V2 and better.plan.interval != other.plan.interval:
            return  # RFC 3768 section 7.1 has each discard what the other says
        quality = self._lan.quality
        bound = better.plan.interval / 100 / better.node.rate + quality.timer_lateness + quality.longest_delay
        self._alarms.set(self._lan.now + bound, other, better)

    def _missed(self, router: SimulatedRouter, other: SimulatedRouter | None, when: float) -> None:
        assert other is not None
        text = f"{router.name} was to give way to {other.name} by {when:.6f} s"
        raise Violation(self.name, self._lan.now, text)


@dataclass(slots=True)
class _Waiting:
    """What a BACKUP waits for, told from what it has heard. Times are those of its own clock."""

    since: float
    interval: int
    """Centiseconds: its own, or what it has learned."""
    farewell: bool = False
    delay_until: float | None = None
    """Until when advertisements of a lower priority count (``preempt_delay``)."""


class TakesOverInTime:
    """A BACKUP takes over when it has heard nothing for its master-down interval: not sooner and not later.

    The master-down interval is that of RFC 9568 section 6.1 for the interval heard last (version 2: its own), from the
    last advertisement that it had to follow; after a farewell it is the skew time. It has to follow its own priority
    and better ones, with ``nopreempt`` everybody, and for ``preempt_delay`` from the first worse one the worse ones.
    Later means: by more than a timer may be late. Sooner means: by more than the daemon decides ahead, which is never
    more than the next higher priority would be ahead; the advertisement leaves at its time. After a reload nothing is
    demanded until it has something to follow. A process that was stopped acts when it goes on.
    """

    name = "takes over in time"

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._alarms = Alarms(lan, self._missed)
        self._waiting: dict[SimulatedRouter, _Waiting] = {}
        self.check = self._alarms.check

    def entered(self, router: SimulatedRouter, previous: StateName) -> None:
        """A router becomes BACKUP and begins to wait, or becomes MASTER and should have waited."""
        state = router.runner.state
        waited = self._waiting.pop(router, None)
        if state is StateName.BACKUP:
            self._waiting[router] = _Waiting(router.node.clock(), router.plan.interval)
            self._arm(router)
            return
        if state is StateName.MASTER and previous is StateName.BACKUP and waited is not None:
            early = self._due(router, waited) - router.node.clock()
            step = skew_step(router, waited.interval)
            if early > min(router.node.lead, step / 2) + ROUNDING:
                raise Violation(self.name, self._lan.now, f"{router.name} becomes MASTER {early:.6f} s too early")
        self._alarms.clear(router)

    def heard(self, router: SimulatedRouter, priority: int, interval: int, now: float) -> None:
        """A router has heard an advertisement that it admits; ``now`` is when it arrived, by the router's clock."""
        if router.runner.state is not StateName.BACKUP:
            return
        plan = router.plan
        waiting = self._waiting.get(router)
        learned = plan.interval if plan.version is Version.V2 else interval
        if priority >= router.runner.router.priority:
            self._waiting[router] = _Waiting(now, learned)
        elif waiting is None:
            return
        elif priority == 0:
            waiting.since, waiting.farewell = now, True
        elif not plan.preempts or self._delayed(waiting, plan.preempt_delay, now):
            waiting.since, waiting.interval, waiting.farewell = now, learned, False
        else:
            return
        self._arm(router)

    def reloaded(self, router: SimulatedRouter) -> None:
        """A router has another configuration."""
        if self._waiting.pop(router, None) is not None:
            self._alarms.clear(router)

    def review(self, router: SimulatedRouter) -> None:
        """The router is stopped, goes on, is dead, or has another priority."""
        if not router.alive:
            self._waiting.pop(router, None)
        if router in self._waiting and not router.node.paused:
            self._arm(router)
        else:
            self._alarms.clear(router)

    @staticmethod
    def _delayed(waiting: _Waiting, delay: float, now: float) -> bool:
        if waiting.delay_until is None and delay > 0:
            waiting.delay_until = now + delay
        return waiting.delay_until is not None and now < waiting.delay_until

    def _arm(self, router: SimulatedRouter) -> None:
        node, now = router.node, self._lan.now
        real = now + (self._due(router, self._waiting[router]) - node.clock()) / node.rate
        self._alarms.set(max(real, now) + self._lan.quality.timer_lateness, router)

    @staticmethod
    def _due(router: SimulatedRouter, waiting: _Waiting) -> float:
        wait = skew(router, waiting.interval) if waiting.farewell else master_down(router, waiting.interval)
        return waiting.since + wait

    def _missed(self, router: SimulatedRouter, _: SimulatedRouter | None, when: float) -> None:
        text = f"{router.name} is {router.runner.state.value} and was to take over by {when:.6f} s"
        raise Violation(self.name, self._lan.now, text)


class OneRightfulMaster:
    """Soon after the network is whole one router of a group serves, and it is the rightful one.

    "Soon": the last packet that is on its way arrives; then the longest master-down interval of the group passes, each
    by the clock of its router and for the longest interval that anybody can have learned (from a router as it is or was
    in this episode); a timer is late and the word of the new MASTER needs its delay. With ``preempt_delay`` the
    rightful one may hear another one take over first, wait for as long as it was told, and then for one more
    master-down interval.

    "Rightful": nobody who would preempt has a higher priority. With ``nopreempt`` that may be more than one router.

    Nothing can be promised to a group of which one router speaks more rarely than another one waits that has learned
    the shortest interval there is: the last word of a MASTER that gives way may arrive after the first one of its
    successor and teach its own interval once more (RFC 9568 section 6.4.2), and again with every false takeover.
    """

    name = "one rightful MASTER"

    def promised(self, lan: Lan, routers: Sequence[SimulatedRouter]) -> bool:
        """True for a group whose intervals (and clocks) go together."""
        shortest = min(router.plan.interval for router in routers)
        wait = min(master_down(router, shortest) / router.node.rate for router in routers)
        rarest = max(router.plan.interval / 100 / router.node.rate for router in routers)
        return rarest + lan.quality.timer_lateness + lan.quality.longest_delay < wait

    def time_to_settle(self, lan: Lan, routers: Sequence[SimulatedRouter], intervals: Iterable[int]) -> float:
        """When a group has settled, if nothing happens from now on; ``intervals`` are those of the episode."""
        known = [*intervals]
        for router in routers:
            known.append(router.plan.interval)
            state = router.runner.router.state
            if isinstance(state, Backup):
                known.append(state.master_adver_interval)
        longest = max(known)
        down = max(master_down(router, longest) / router.node.rate for router in routers)
        steps = down + lan.quality.timer_lateness + lan.quality.longest_delay
        settled = max(lan.now, lan.last_arrival) + steps
        delays = [router.plan.preempt_delay / router.node.rate for router in routers if router.plan.preempts]
        return settled + max(delays) + steps if any(delays) else settled

    def check(self, vrid: int, routers: Sequence[SimulatedRouter], now: float) -> None:
        """Looks at one group."""
        masters = [router for router in routers if router.is_master]
        if len(masters) != 1:
            names = ", ".join(router.name for router in masters) or "none"
            raise Violation(self.name, now, f"group {vrid} has {len(masters)} MASTERs ({names})")
        (master,) = masters
        served = master.runner.router.priority
        for router in routers:
            ours = router.runner.router.priority
            if router is not master and router.runner.state is not StateName.BACKUP:
                raise Violation(self.name, now, f"{router.name} is {router.runner.state.value}")
            if router.plan.preempts and ours > served:
                text = f"{router.name} ({ours}) leaves the role to {master.name} ({served})"
                raise Violation(self.name, now, text)


class QuietStaysQuiet:
    """A group that has settled changes nothing any more while nothing happens to it."""

    name = "quiet stays quiet"

    def __init__(self) -> None:
        self.settled: set[int] = set()

    def entered(self, router: SimulatedRouter, now: float) -> None:
        """A router has another state."""
        if router.plan.vrid in self.settled:
            raise Violation(self.name, now, f"{router.name} becomes {router.runner.state.value}")


class NoNeedlessTakeover:
    """Nobody takes over from a MASTER that it has to follow and could have heard, whatever kept it from listening.

    "Could have heard": nothing has happened to the LAN, to the configuration or to that MASTER, but that processes were
    stopped and went on, for as long as one that listens needs to be sure: the master-down interval of the one who takes
    over, the interval of the MASTER, a late timer and a packet's delay. Packets that were on their way then have to
    arrive first. Nothing is demanded where packets may be late for longer than anybody waits, nor where the socket of a
    stopped process was so full of others that not one advertisement of that MASTER found room.
    """

    name = "no needless takeover"

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self.calm_since = 0.0
        """When the LAN or a configuration was changed last."""
        self._stirred: dict[Node, float] = {}

    def disturbed(self, node: Node) -> None:
        """Something has happened to a node."""
        self._stirred[node] = self._lan.now

    def check(self, router: SimulatedRouter, masters: Iterable[SimulatedRouter]) -> None:
        """Looks at a router that was BACKUP and is MASTER."""
        lan = self._lan
        ours = router.runner.router.priority
        for other in masters:
            follows = other.runner.router.priority >= ours or not router.plan.preempts
            if other is router or not follows or not lan.reaches(other.node, router.node):
                continue
            since = max(self.calm_since, self._stirred.get(other.node, 0.0), other.changes[-1][0])
            gap = other.plan.interval / 100 / other.node.rate + lan.quality.timer_lateness + lan.quality.longest_delay
            if gap >= master_down(router, other.plan.interval) / router.node.rate:
                continue
            if router.plan.vrid in router.node.crowded_out:
                continue
            longest = max(router.plan.interval, other.plan.interval)
            needed = master_down(router, longest) / router.node.rate + gap
            if lan.now - since > needed and other.node.awake and router.node.link:
                text = f"{router.name} takes over from {other.name}, which is MASTER since {other.changes[-1][0]:.6f} s"
                raise Violation(self.name, lan.now, text)


class Referee:
    """The witness of all nodes of a run: hands what it sees to the invariants."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.addresses = AddressesExactlyWhileMaster()
        self.announcements = AnnouncesWhatItHas()
        self.faults = FaultServesNobody()
        self.rejections = RejectedChangesNothing()
        self.causes = Causes()
        self.rate = BoundedAdvertisements(self.causes)
        self.rounds = BoundedAnnouncements(self.causes)
        self.silence = NoSilentMaster(lan)
        self.two = NeverTwoMasters(lan)
        self.patience = TakesOverInTime(lan)
        self.one = OneRightfulMaster()
        self.quiet = QuietStaysQuiet()
        self.needless = NoNeedlessTakeover(lan)
        self._dirty: list[SimulatedRouter] = []
        lan.after_each = self.step
        lan.changed = self.two.review_all

    def step(self) -> None:
        """What must hold after each event."""
        if self._dirty:
            dirty, self._dirty = self._dirty, []
            for router in dirty:
                self.addresses.check(router, self.lan.now)
                self.faults.check(router, self.lan.now)
        self.silence.check()
        self.two.check()
        self.patience.check()

    def settle(self, nodes: Iterable[Node], vrid: int) -> None:
        """What must hold from now on until ``disturb``."""
        self.one.check(vrid, routers_of(nodes, vrid), self.lan.now)
        self.quiet.settled.add(vrid)

    def disturb(self) -> None:
        """Something is about to happen."""
        self.quiet.settled.clear()

    def stir(self) -> None:
        """Something happens that is more than a process that is stopped or goes on."""
        self.needless.calm_since = max(self.lan.now, self.lan.last_arrival)

    # -- as a witness -----------------------------------------------------------------------------------------------

    def entered(self, router: SimulatedRouter, previous: StateName) -> None:
        """A router has another state."""
        self.quiet.entered(router, self.lan.now)
        self.causes.add(router)
        self.patience.entered(router, previous)
        if previous is StateName.BACKUP and router.is_master:
            self.needless.check(router, self.two.masters(router.plan.vrid))
        self.silence.review(router)
        self.two.review(router)
        self._dirty.append(router)

    def sent(self, router: SimulatedRouter, priority: int) -> None:
        """A router sends an advertisement."""
        self.rate.sent(router, self.lan.now)
        self.silence.sent(router)

    def heard(self, router: SimulatedRouter, priority: int, interval: int, arrival: float) -> None:
        """A router has taken in an advertisement that was admitted."""
        self.patience.heard(router, priority, interval, arrival)

    def rejected(self, router: SimulatedRouter, before: State, sends: int) -> None:
        """A router has thrown a packet away."""
        self.rejections.check(router, before, sends, self.lan.now)

    def announced(self, router: SimulatedRouter, addresses: frozenset[IPAddress], whole: bool) -> None:
        """A router announces addresses."""
        self.announcements.check(router, addresses, self.lan.now)
        if whole:
            self.rounds.announced(router, self.lan.now)

    def touched(self, router: SimulatedRouter) -> None:
        """Something about a router has changed."""
        self._dirty.append(router)

    def moved(self, router: SimulatedRouter) -> None:
        """A router has another priority."""
        self.patience.review(router)
        self.two.review(router)

    def reloaded(self, router: SimulatedRouter) -> None:
        """A router has another configuration."""
        self.causes.add(router)
        self.patience.reloaded(router)
        self.silence.review(router)
        self.two.review(router)
        self._dirty.append(router)

    def disturbed(self, node: Node, routers: Iterable[SimulatedRouter]) -> None:
        """A node is there or is not."""
        self.needless.disturbed(node)
        for router in routers:
            self.patience.review(router)
            self.silence.review(router)
            self.two.review(router)
            if not router.alive:
                for book in (self.causes, self.rate, self.rounds):
                    book.forget(router)


def routers_of(nodes: Iterable[Node], vrid: int) -> list[SimulatedRouter]:
    """The running routers of one group."""
    return [node.routers[vrid] for node in nodes if vrid in node.routers]


def _rank(router: SimulatedRouter) -> tuple[int, int]:
    return router.runner.router.priority, int(router.node.address(router.plan.family))


def _listed(addresses: Iterable[IPAddress]) -> str:
    return ", ".join(sorted(str(address) for address in addresses)) or "no address"
