"""When something is done: packets and deadlines first, then the batch for the kernel, then all that has time.

One kernel timer for whoever is due next. Every turn ends in ``settle``: the batch goes out and the timer is armed. What
may wait (repeated announcements, the log, notify scripts) is done a little at a time, while nobody is about to take
over. What is heard and what follows from it is for the links and the runners to say.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from vrrpd.links import Link
from vrrpd.net.batch import Batch
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.timer import DeadlineQueue, KernelTimer
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.rounds import Round, Rounds
from vrrpd.runner import Runner

TAKEOVER_LEAD: Final = 0.003
"""Seconds before a takeover at which the daemon wakes to rehearse it. Nothing of this happens while a master is
heard."""
REHEARSALS: Final = 2
"""The first one warms the caches, the second one tells what a takeover takes now."""
REMEMBERED: Final = 0.01
"""Seconds after a takeover in which the caches know how it goes: a rehearsal would only be in the way of the next."""
LONGEST_REHEARSAL: Final = 0.001
"""Seconds that the first rehearsal may take, which meets cold caches."""
SECOND_REHEARSAL: Final = 0.75
"""The part of the first one's time that the second may take."""
AFTER_THE_FIRST: Final = 0.5
"""The part of the first one's time that a takeover takes which follows it."""
USUAL_TAKEOVER: Final = 0.0003
"""Seconds that a takeover takes where none was rehearsed."""
DECIDES: Final = 0.5
"""The part of a rehearsal that it takes to decide about one router; to lay out what all of them want takes as long."""
LAST_WAIT: Final = 0.00025
"""Seconds before the decision at which the daemon wakes for the second time, and stays awake: a processor that sleeps
needs that to get going. In between it sleeps: whoever has used the processor for more than a millisecond loses it to
the first one that its own packets wake."""
LAST_LOOK: Final = 0.00004
"""Seconds before the decision at which the sockets are read for the last time, which takes as long."""
DECISION_LEAD: Final = 0.0015
"""Seconds before a takeover at which it is decided, at most. Whoever is heard before it leaves is not overruled: then
the decision is taken back."""
QUIET: Final = 0.002
"""Seconds for which nothing was heard at all where a decision is that far ahead. Elsewhere it would be taken back too
often; there it is no further ahead than half of the step between two priorities, and final."""
LAST_GLANCE: Final = 0.00003
"""Seconds before a takeover at which the daemon looks whether something was heard since it was decided."""
CLOSELY: Final = 0.0005
"""Seconds after a takeover in which others follow it closely, so that they are decided with it."""
ONE_MOMENT: Final = 0.0001
"""Seconds between takeovers that leave together, with the last of them."""
LONGEST_TURN: Final = 0.005
"""Seconds for which routers that take over one after the other keep everything else waiting."""
LONGEST_DRAIN: Final = 0.01
"""Seconds for which sockets are read before a takeover, at most: a flood must not hold it up for ever."""
DRAINED: Final = 0.001
"""Seconds for which sockets that were read count as read, where a takeover is late already."""
ROUTERS_PER_BATCH: Final = 16
"""Routers that are due together share system calls, but the first ones do not wait for the last of hundreds."""
LONGEST_AFTERWARDS: Final = 0.25
"""Seconds for which what has time makes room for routers that are about to take over."""
REPEATS_PER_SLICE: Final = 8
REPORTS_PER_SLICE: Final = 2
"""What is done of these until somebody else gets a turn."""
SHORTEST_REST: Final = 0.002
LONGEST_REST: Final = 0.05
"""Seconds between two looks at a socket on which many advertisements come as expected."""
RESTED: Final = 0.75
"""The part of the time until a farewell must be answered for which nobody looks whether there is one, at most: what it
takes to prepare the takeover that follows must be left."""
CROWD: Final = 8
"""Routers on one socket from which on one advertisement is taken for the first of several."""
LOOKAHEAD: Final = 2 * LONGEST_REST
"""Seconds for which deadlines are put right when advertisements wake the daemon, so that it need not wake for that."""

Item = TypeVar("Item")


@dataclass(slots=True)
class _Takeover:
    """What some routers have decided."""

    batch: Batch
    runners: list[Runner] = field(default_factory=list)
    moment: float = 0.0
    """When it leaves."""
    revocable: bool = False
    """It was decided so far ahead that somebody may still be heard. What is decided late is final: whoever has been
    disturbed takes over all the same."""


class Reports(Protocol):
    """What there is to tell when there is time."""

    def __len__(self) -> int:
        """How much of it waits."""

    def tell(self, limit: int) -> None:
        """Tells up to ``limit`` of it, in order."""


class Rehearsal(Protocol):
    """A takeover for practice."""

    def play(self) -> None:
        """Plays it."""


class Agenda:
    """The one timer, the sockets that are listened to, and what is done when they call."""

    def __init__(
        self,
        timer: KernelTimer,
        dataplane: LinuxDataplane,
        reports: Reports,
        own_addresses: Callable[[str], frozenset[IPAddress]],
        clock: Callable[[], float],
    ) -> None:
        self.rehearsal: Rehearsal | None = None
        """What is played before a takeover, where there is something."""
        self._loop = asyncio.get_running_loop()
        self._timer = timer
        self._dataplane = dataplane
        self._reports = reports
        self._own_addresses = own_addresses
        self._clock = clock
        self._queue: DeadlineQueue[Runner | Round] = DeadlineQueue()
        self._rounds = Rounds(dataplane.volley, self.schedule)
        self._descriptors: dict[Link, int] = {}
        """The links that are listened to."""
        self._ears = select.poll()
        """All of these, for a glance."""
        self._resting: dict[Link, asyncio.TimerHandle] = {}
        self._rests: dict[Link, float] = {}
        """How long each link may rest, as long as no router has another state or priority."""
        self._rehearsed: float | None = None
        """The deadline for which a takeover has been rehearsed."""
        self._taken_over = float("-inf")
        """When somebody took over last."""
        self._takes = USUAL_TAKEOVER
        """Seconds that the last rehearsal took."""
        self._drained = float("-inf")
        """When all sockets were read last."""
        self._afterwards: asyncio.Handle | None = None
        self._afterwards_since: float | None = None
        self._loop.add_reader(timer.fileno(), self._on_timer)

    def __len__(self) -> int:
        """How many routers wait for a deadline, by themselves or in a round."""
        waiting: set[Runner] = set()
        for one in self._queue:
            waiting.update(one.members if isinstance(one, Round) else (one,))
        return len(waiting)

    # -- what others ask for --------------------------------------------------------------------------------------

    def schedule(self, runner: Runner | Round) -> None:
        """Takes note of a deadline that may have come nearer, or is gone."""
        self._queue.schedule(runner, runner.deadline)

    def forget(self, runner: Runner) -> None:
        """Never calls this one again."""
        self._queue.schedule(runner, None)

    def settle(self, runners: Iterable[Runner] = ()) -> None:
        """Takes note of deadlines, hands over the batch, sees to what has time, and arms the timer for the next."""
        self._end_rests()
        for runner in runners:
            self.schedule(runner)
        self._settle()

    def _settle(self) -> None:
        self._dataplane.flush()
        if self._afterwards is None and (self._dataplane.repeats or self._reports):
            self._afterwards = self._loop.call_soon(self._see_to_the_rest)
        self._arm()

    def in_batches(self, items: Iterable[Item]) -> Iterator[Item]:
        """One batch after the other: a backup takes over the first addresses while the last are still served here."""
        for position, item in enumerate(items, 1):
            yield item
            if position % ROUTERS_PER_BATCH == 0:
                self._dataplane.flush()

    def takeover_is_near(self) -> bool:
        """True when a BACKUP takes over next, so soon that it is not worth while to sleep until then."""
        return self._next_takeover() is not None

    def _next_takeover(self) -> tuple[Runner | Round, float] | None:
        """The BACKUP that takes over next, and when; None where that is not soon."""
        horizon = self._clock() + TAKEOVER_LEAD
        self._put_deadlines_right(horizon)
        first = self._queue.first
        return first if first is not None and first[1] <= horizon and first[0].state is StateName.BACKUP else None

    def listen(self, link: Link) -> None:
        """Reads what arrives on a link from now on; without a socket, nothing happens."""
        if (descriptor := link.fileno()) is not None:
            self._descriptors[link] = descriptor
            self._ears.register(descriptor, select.POLLIN)
            self._loop.add_reader(descriptor, self._on_packets, link)

    def stop_listening_at_all(self) -> None:
        """Leaves all links alone; what is due is done still."""
        for link in list(self._descriptors):
            self.stop_listening(link)

    def stop_listening(self, link: Link) -> None:
        """Leaves a link alone; ask before its socket is closed. Again is harmless."""
        self._rests.pop(link, None)
        if resting := self._resting.pop(link, None):
            resting.cancel()
        if (descriptor := self._descriptors.pop(link, None)) is not None:
            self._ears.unregister(descriptor)
            self._loop.remove_reader(descriptor)

    def close(self) -> None:
        """Does nothing more."""
        self.stop_listening_at_all()
        if self._afterwards is not None:
            self._afterwards.cancel()
        self._loop.remove_reader(self._timer.fileno())

    # -- packets --------------------------------------------------------------------------------------------------

    def _on_packets(self, link: Link) -> None:
        if self._drain(link) < 0:
            self.settle()
            return
        # What was expected and came: no router does anything, and no deadline comes nearer.
        self._look_ahead()
        if len(link.routers) >= CROWD and self._may_rest(link):
            self._loop.remove_reader(self._descriptors[link])
            self._rest(link)

    def _may_rest(self, link: Link) -> bool:
        """Whether a while may pass until somebody looks: to wake up for each advertisement costs more than it does."""
        if link not in self._rests:
            # Routers that are MASTER have to answer at once; others not before their skew times.
            patience = min((runner.patience for runner in link.routers.values()), default=0.0)
            self._rests[link] = min(LONGEST_REST, RESTED * patience, patience - TAKEOVER_LEAD)
        return self._rests[link] >= SHORTEST_REST

    def _rest(self, link: Link) -> None:
        self._resting[link] = self._loop.call_later(self._rests[link], self._look_again, link)

    def _end_rests(self) -> None:
        """Looks soon again at every link that rests: what its routers are patient for may be another time now."""
        self._rests.clear()
        soon = self._loop.time() + SHORTEST_REST
        for link, resting in self._resting.items():
            if resting.when() > soon:
                resting.cancel()
                self._resting[link] = self._loop.call_at(soon, self._look_again, link)

    def _look_again(self, link: Link) -> None:
        """Reads what came while nobody listened. It counts from when it came, and a takeover looks at it first."""
        del self._resting[link]
        familiar = self._drain(link)
        if familiar > 0 and self._may_rest(link):
            self._rest(link)  # They keep coming.
        else:
            self._loop.add_reader(self._descriptors[link], self._on_packets, link)
        if familiar < 0:
            self.settle()
        else:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Moves the deadlines of masters that have been heard, while the daemon is awake anyway."""
        self._put_deadlines_right(self._clock() + LOOKAHEAD)
        self._arm()

    def _drain(self, link: Link) -> int:
        familiar = link.drain(self._own_addresses(link.interface), self.schedule)
        if familiar < 0:
            self._end_rests()
        return familiar

    def _drain_all(self) -> None:
        """Reads what is in the sockets.

        It came before whatever is decided next: a daemon that was kept from running does not depose a master whose
        advertisements are waiting to be read.
        """
        begun = self._clock()
        for link in self._descriptors:
            self._drain(link)
            # What comes while we read comes after what is decided next.
            while not link.exhausted and link.last_arrival < begun and self._clock() - begun < LONGEST_DRAIN:
                self._drain(link)
        self._drained = self._clock()

    # -- deadlines ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        deadlines = [self._dataplane.deadline]
        if (first := self._queue.first) is not None:
            runner, deadline = first
            if runner.state is StateName.BACKUP:
                rehearsed = self._rehearsed == deadline or self.rehearsal is None
                deadline -= self._lead(first) + LAST_WAIT if rehearsed else TAKEOVER_LEAD
            deadlines.append(deadline)
        self._timer.arm(min((deadline for deadline in deadlines if deadline is not None), default=None))

    def _on_timer(self) -> None:
        self._timer.acknowledge()
        end = self._clock() + LONGEST_TURN
        while self._clock() < end and self.takeover_is_near():
            self._drain_all()
            first = self._next_takeover()
            if first is None:
                break  # Its master has been heard after all.
            if self._rehearsed != first[1]:
                self._rehearse(first)
                continue
            decides = first[1] - self._lead(first)
            if self._clock() < decides - LAST_WAIT:
                break  # It is armed for then.
            if not self._wait(decides - LAST_LOOK):
                self._take_over(first[1], decides)  # Otherwise not before the sockets were read once more.
        self._expire()
        self._settle()

    def _rehearse(self, first: tuple[Runner | Round, float]) -> None:
        """Plays takeovers like the next one, as far as there is time for that."""
        self._rehearsed = first[1]
        if self._clock() - self._taken_over < REMEMBERED:
            return
        self._takes = USUAL_TAKEOVER
        lasts = LONGEST_REHEARSAL
        for number in range(REHEARSALS if self.rehearsal is not None else 0):
            begun = self._clock()
            if first[1] - begun < lasts + self._lead(first) + LAST_WAIT:
                return
            assert self.rehearsal is not None
            self.rehearsal.play()
            took = self._clock() - begun
            self._takes = took if number > 0 else took * AFTER_THE_FIRST
            lasts = took * SECOND_REHEARSAL

    def _take_over(self, first: float, decides: float) -> None:
        """Has the routers that take over at ``first`` or soon after decide so before it is time, from ``decides`` on,
        and act when it is.

        What takes long, here, is to decide: then the code runs for the first time in a long while. So those who follow
        the first one closely decide while that one waits for its moment. Those who are late already leave together:
        one by one they would never catch up with others that are due every millisecond.
        """
        waiting: deque[_Takeover] = deque()
        begun = first
        due = self._queue.due(max(first, self._clock()) + CLOSELY, ROUTERS_PER_BATCH)
        # So that what is collected from here on can be dropped.
        self._dataplane.flush()
        try:
            self._wait(decides)
            quiet = self._is_quiet()
            for runner in due:
                deadline, now = runner.deadline, self._clock()
                # Whoever else is due has its turn after this.
                if not isinstance(runner, Runner) or runner.state is not StateName.BACKUP:
                    continue
                if deadline is None or deadline > now + _decision_lead(runner, quiet):
                    continue
                late = deadline <= now
                # Nobody leaves late because the next one decides, unless that one is late as well.
                while waiting and not late and waiting[0].moment <= self._clock() + self._takes / 4:
                    if not self._act(waiting):
                        return
                if waiting and (late or deadline - begun <= ONE_MOMENT):
                    takeover = waiting[-1]
                    self._dataplane.resume(takeover.batch)
                else:
                    begun = deadline
                    if waiting:
                        self._dataplane.lay_out(waiting[-1].batch)
                    takeover = _Takeover(self._dataplane.collect())
                    waiting.append(takeover)
                takeover.moment = max(now, deadline)
                takeover.revocable |= quiet and not late
                takeover.runners.append(runner)
                runner.decide(takeover.moment)
                takeover.batch = self._dataplane.collect()
            while waiting:
                self._act(waiting)
        finally:
            self._take_back(waiting)
            # Not in between: whoever waits for the moment has no time for that.
            for runner in due:
                self.schedule(runner)
            self._end_rests()

    def _wait(self, moment: float) -> bool:
        """Stays awake until then; False when it is over already."""
        waited = False
        while self._clock() < moment:
            waited = True
        return waited

    def _lead(self, first: tuple[Runner | Round, float]) -> float:
        """Seconds before the next takeover at which it is decided: the more follow it closely, the sooner."""
        router, deadline = first
        together = min(ROUTERS_PER_BATCH, self._queue.count(deadline + CLOSELY))
        return min(self._takes * DECIDES * (1 + together), _decision_lead(router, self._is_quiet()))

    def _is_quiet(self) -> bool:
        """Whether nothing has been heard for a while on any link."""
        last = max((link.last_arrival for link in self._descriptors), default=float("-inf"))
        return self._clock() - last > QUIET

    def _act(self, waiting: deque[_Takeover]) -> bool:
        """Hands over what was decided first, when its time has come.

        False where something was heard before that: then all decisions are taken back, and whoever still has to take
        over when it was read decides anew.
        """
        takeover = waiting[0]
        self._dataplane.lay_out(takeover.batch)
        if takeover.revocable:
            self._wait(takeover.moment - LAST_GLANCE)
            if self._ears.poll(0):
                self._take_back(waiting)
                return False
        waiting.popleft()
        self._wait(takeover.moment)
        try:
            self._dataplane.hand_over(takeover.batch)
        finally:
            for runner in takeover.runners:
                runner.confirm()
        self._taken_over = self._clock()
        return True

    def _take_back(self, waiting: deque[_Takeover]) -> None:
        """Drops what was decided and has not left."""
        if not waiting:
            return
        for takeover in waiting:
            for runner in takeover.runners:
                runner.take_back()
        waiting.clear()
        self._dataplane.collect()

    def _expire(self) -> None:
        """Lets the routers act whose time has come, in order."""
        now, drained = self._clock(), False
        acted: list[Runner] = []
        for runner in self.in_batches(self._queue.due(now)):
            if runner.state is StateName.BACKUP and not drained:
                if now - self._drained > DRAINED:
                    self._drain_all()
                drained = True
            deadline = runner.deadline
            if deadline is not None and deadline <= now:
                runner.expire(now)
                if isinstance(runner, Runner):
                    acted.append(runner)
            self.schedule(runner)
        self._dataplane.flush()
        if acted:
            self._end_rests()
        # Not before: the round for one may itself have been among those.
        for runner in acted:
            self._rounds.join(runner)

    def _put_deadlines_right(self, horizon: float) -> None:
        """Moves those of the next BACKUPs, as far as the horizon, whose master has been heard since."""
        while (first := self._queue.first) is not None:
            runner, queued = first
            if queued > horizon or runner.state is not StateName.BACKUP or runner.deadline == queued:
                return
            self.schedule(runner)

    # -- what has time --------------------------------------------------------------------------------------------

    def _see_to_the_rest(self) -> None:
        """Repeats announcements and tells what has happened, a little at a time and when nobody is about to take over.

        Who is about to comes next then, and settling that comes back to this.
        """
        self._afterwards = None
        now = self._clock()
        if self._afterwards_since is None:
            self._afterwards_since = now
        if now - self._afterwards_since < LONGEST_AFTERWARDS and self.takeover_is_near():
            return
        self._dataplane.send_repeats(REPEATS_PER_SLICE)
        self._reports.tell(REPORTS_PER_SLICE)
        if not (self._dataplane.repeats or self._reports):
            self._afterwards_since = None
        self._settle()


def _decision_lead(runner: Runner | Round, quiet: bool) -> float:
    """Seconds before its deadline at which a router may decide to take over; whoever does anything else is on time."""
    if isinstance(runner, Round) or runner.state is not StateName.BACKUP:
        return 0.0
    return DECISION_LEAD if quiet else min(DECISION_LEAD, runner.router.skew_step / 2)
