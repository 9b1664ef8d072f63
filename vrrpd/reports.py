"""Whom a daemon tells of what its routers do: the log, and the notify scripts. Never before the kernel knows.

Changes and notices are collected while routers answer an event and told by ``tell`` when nobody is about to take over:
no log line and no script is older than the gratuitous ARP, nor in the way of another router's.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from vrrpd.journal import Journal
from vrrpd.lookout import Lookout
from vrrpd.notify import Notifier
from vrrpd.protocol.actions import Notice, NoticeKind, StateChanged, StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import FaultKind
from vrrpd.runner import Runner
from vrrpd.unit import RouterUnit

_log = logging.getLogger("vrrpd")

MOST_WAITING: Final = 1000
"""What waits to be told at which further remarks are only counted: a flood of packets must fill no memory, and keep no
change of state from being told."""
LEFT_OUT_INTERVAL: Final = 60.0
"""Seconds, at least, between two lines about what was left out."""


class Reports:
    """The observer of all runners of a daemon (``runner.Observer``)."""

    def __init__(
        self,
        journal: Journal,
        notifier: Notifier,
        lookout: Lookout,
        unit_of: Callable[[Runner], RouterUnit],
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._notifier = notifier
        self._lookout = lookout
        self._unit_of = unit_of
        self._waiting: deque[Callable[[], None]] = deque()
        self._clock = clock
        self._left_out = 0
        self._left_out_since = self._left_out_told = float("-inf")

    def __len__(self) -> int:
        """How many wait to be told."""
        return len(self._waiting)

    def tell(self, limit: int) -> None:
        """Writes and starts what has been collected, in order, at most ``limit`` of them."""
        for _ in range(min(limit, len(self._waiting))):
            self._waiting.popleft()()
        if self._left_out:
            self._tell_left_out()

    def _tell_left_out(self) -> None:
        """Counts what was left out when all else is told, or after a minute of it, and once a minute at most."""
        now = self._clock()
        goes_on = self._waiting and now - self._left_out_since < LEFT_OUT_INTERVAL
        if goes_on or now - self._left_out_told < LEFT_OUT_INTERVAL:
            return
        _log.warning("%d remarks were left out of the log: more happens than can be told", self._left_out)
        self._left_out, self._left_out_told = 0, now

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Has a change of state logged and the notify scripts started."""
        self._waiting.append(partial(self._tell_change, self._unit_of(runner), change))

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Has a notice logged and the script that belongs to it started.

        Where too much waits already it is left out: the runner has counted it.
        """
        if len(self._waiting) >= MOST_WAITING and notice.kind is not NoticeKind.FAULTS_CHANGED:
            if not self._left_out:
                self._left_out_since = self._clock()
            self._left_out += 1
            return
        self._waiting.append(partial(self._tell_notice, self._unit_of(runner), notice))

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """Logs a discarded packet, unless it belongs to a conflict that has been told."""
        unit = self._unit_of(runner)
        if self._lookout.discarded(unit, source, discard):
            return
        config = unit.config
        self._journal.discarded((source, discard.reason), config.name, source, config.interface, discard)

    def _tell_change(self, unit: RouterUnit, change: StateChanged) -> None:
        unit.last_change_wall_clock = time.time()
        self._journal.state_changed(unit.config.name, change)
        self._notify(unit, change.state)
        self._lookout.state_changed(unit)

    def _tell_notice(self, unit: RouterUnit, notice: Notice) -> None:
        if not self._lookout.noticed(unit, notice):
            self._journal.noticed(unit.config.name, notice)
        if notice.kind is NoticeKind.FAULTS_CHANGED:
            self._notify(unit, StateName.FAULT)
        elif notice.kind is NoticeKind.LOSING_ADVERTISEMENT:
            self._notifier.lower_priority_heard(unit.config.name, unit.config.notify)

    def _notify(self, unit: RouterUnit, state: StateName) -> None:
        """Runs notify scripts when the state that users see has changed: waiting for a first check is none."""
        if unit.handed_over:
            return  # the service goes on: its successor tells what became of it
        waiting = all(fault.kind is FaultKind.AWAITING_CHECK for fault in unit.faults)
        if (state is StateName.FAULT and waiting) or unit.notified is state:
            return
        unit.notified = state
        shown = "STOP" if state is StateName.INIT else state.value
        self._notifier.state_changed(unit.config.name, unit.config.notify, shown, unit.runner.router.priority)
