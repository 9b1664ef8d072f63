"""Routers that advertise at the same moments and do nothing else: one deadline and one prepared batch for all of them.

What a MASTER does all day is to send the same bytes again. A round does it for every MASTER whose advertisements are
due at the same moments, without asking them: its runner hears of it when somebody looks (``Runner.join``). Whatever
else happens to a router takes it out; it is back after its next advertisement. So what leaves, and when, is the same
as if each had its own timer, which a property test holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from vrrpd.protocol.actions import StateName
from vrrpd.protocol.router import ROUNDING
from vrrpd.protocol.timing import seconds
from vrrpd.runner import Runner


class Volley(Protocol):
    """Advertisements that leave together."""

    def send(self) -> None:
        """Sends them now."""


MakeVolley: TypeAlias = Callable[[Callable[[], None]], Volley]
"""Makes one of what a function sends."""
Schedule: TypeAlias = "Callable[[Runner | Round], None]"
"""Hears of a deadline that is another one now."""


class Round:
    """MASTERs with one interval that advertise at the same moments."""

    __slots__ = (
        "_first",
        "_interval",
        "_make_volley",
        "_schedule",
        "_volley",
        "beats",
        "members",
        "next_advertisements",
    )

    def __init__(self, first: float, interval: float, make_volley: MakeVolley, schedule: Schedule) -> None:
        self.next_advertisements = first
        self.beats = 0
        self.members: dict[Runner, None] = {}
        self._first = first
        self._interval = interval
        self._make_volley = make_volley
        self._schedule = schedule
        self._volley: Volley | None = None

    @property
    def deadline(self) -> float | None:
        """When ``expire`` is wanted; None when nobody is left."""
        return self.next_advertisements if self.members else None

    @property
    def state(self) -> StateName:
        """That of every member."""
        return StateName.MASTER

    def expire(self, now: float) -> None:
        """Sends the advertisements of all members; ask when they are due."""
        # Not from one to the next: sums of clock times drift.
        due = self._first + (self.beats + 1) * self._interval
        if due <= now:
            # Late by an interval, each of them says so, and goes on from now.
            for runner in list(self.members):
                runner.expire(now)
                self._schedule(runner)
            return
        self.next_advertisements = due
        self.beats += 1
        if self._volley is None:
            self._volley = self._make_volley(self._advertise)
        self._volley.send()

    def add(self, runner: Runner) -> None:
        """Sends for one more."""
        self.members[runner] = None
        self._volley = None
        runner.join(self)

    def left(self, runner: Runner) -> None:
        """Hears of a runner that sends its own again."""
        del self.members[runner]
        self._volley = None
        self._schedule(runner)
        self._schedule(self)

    def _advertise(self) -> None:
        for runner in self.members:
            runner.advertise()


class Rounds:
    """All rounds of a daemon."""

    def __init__(self, make_volley: MakeVolley, schedule: Schedule) -> None:
        self._make_volley = make_volley
        self._schedule = schedule
        self._rounds: dict[int, list[Round]] = {}
        """By interval, in centiseconds."""

    def join(self, runner: Runner) -> None:
        """Finds the round for a MASTER that is on its phase, or begins one; everybody else stays as they are."""
        moment = runner.next_advertisement
        if moment is None:
            return
        interval = runner.settings.parameters.max_advertise_interval
        rounds = [one for one in self._rounds.get(interval, ()) if one.members]
        found = next((one for one in rounds if abs(one.next_advertisements - moment) <= ROUNDING), None)
        if found is None:
            found = Round(moment, seconds(interval), self._make_volley, self._schedule)
            rounds.append(found)
        self._rounds[interval] = rounds
        found.add(runner)
        self._schedule(found)
        self._schedule(runner)
