"""Deliberately broken builds: for each invariant a defect in the shipped code that it must find.

Each defect is a patch of one method, put on for as long as a scenario is played; the code on disk is not touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from tests.simulation import node
from tests.simulation.node import CHECK, Node
from tests.simulation.scenario import Scenario, parse
from vrrpd.protocol.actions import Action, Announce, InstallAddresses, SendAdvertisement, WithdrawAddresses
from vrrpd.protocol.events import FaultsChanged
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Backup, Master
from vrrpd.rounds import Round
from vrrpd.runner import Runner


@dataclass(frozen=True, slots=True)
class Defect:
    """A broken build and the story that brings it to light."""

    invariant: str
    """The name of the invariant that must not hold."""
    target: type
    method: str
    broken: Callable[[Callable[..., Any]], Callable[..., Any]]
    """From the method to the broken one."""
    story: tuple[str, ...]
    routers: tuple[str, ...] = ("priority=200", "priority=100")

    @property
    def scenario(self) -> Scenario:
        """Two nodes, or as many as there are routers, started at 0 s."""
        lines = ["lan seed=1 delay=0.0001"]
        for index, router in enumerate(self.routers):
            lines += [f"node {index} socket=2", f"router 51 node={index} {router}"]
        lines += ["episode", *(f"at 0 start {index}" for index in range(len(self.routers)))]
        return parse("\n".join([*lines, *self.story]))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The broken build."""
        with patch.object(self.target, self.method, self.broken(getattr(self.target, self.method))):
            yield


def without(*kinds: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Forgets some kinds of actions."""

    def break_it(handle: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
        def broken(self: VirtualRouter, event: Any, now: float) -> list[Action]:
            return [action for action in handle(self, event, now) if not isinstance(action, kinds)]

        return broken

    return break_it


def announcing_first(handle: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
    """Announces addresses before they are there."""

    def broken(self: VirtualRouter, event: Any, now: float) -> list[Action]:
        return sorted(handle(self, event, now), key=lambda action: not isinstance(action, Announce))

    return broken


def deaf_to_faults(handle: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
    """Goes on in spite of a fault."""

    def broken(self: VirtualRouter, event: Any, now: float) -> list[Action]:
        return [] if isinstance(event, FaultsChanged) else handle(self, event, now)

    return broken


def impressed_by_rejects(reject: Callable[..., None]) -> Callable[..., None]:
    """Lets a packet that was thrown away restart the master-down timer."""

    def broken(self: Runner, source: Any, discard: Any) -> None:
        reject(self, source, discard)
        state = self.router.state
        if isinstance(state, Backup):
            self.router.state = replace(state, master_down_timer=state.master_down_timer + 1.0)

    return broken


def always(value: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Answers a question always in the same way."""
    return lambda _: lambda *_arguments: value


def twice_as_long(method: Callable[..., float]) -> Callable[..., float]:
    """Takes twice as long."""
    return lambda self, *arguments: 2 * method(self, *arguments)


def half_as_long(method: Callable[..., float]) -> Callable[..., float]:
    """Takes half as long."""
    return lambda self, *arguments: method(self, *arguments) / 2


def stubborn(method: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
    """A MASTER that gives way to nobody."""

    def broken(self: VirtualRouter, master: Master, *_: Any) -> list[Action]:
        return []

    return broken


def mute(expire: Callable[..., None]) -> Callable[..., None]:
    """A round that stops to advertise after a while, and counts as if it did."""

    def broken(self: Round, now: float) -> None:
        if self.beats > 1:
            self.next_advertisements += 1.0
            self.beats += 1
        else:
            expire(self, now)

    return broken


def humble(method: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
    """Lets a worse router restart the timer, as if it had been told not to preempt."""

    def broken(self: VirtualRouter, backup: Backup, *_: Any) -> list[Action]:
        self.state = replace(backup, master_down_timer=backup.master_down_timer + 1.0)
        return []

    return broken


def never_recovering(handle: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
    """Stays in FAULT for good."""

    def broken(self: VirtualRouter, event: Any, now: float) -> list[Action]:
        return [] if isinstance(event, FaultsChanged) and not event.faults else handle(self, event, now)

    return broken


def restless(expire: Callable[..., None]) -> Callable[..., None]:
    """Gives up for no reason."""

    def broken(self: Round, now: float) -> None:
        expire(self, now)
        if self.beats == 2:
            next(iter(self.members)).deliver(FaultsChanged((CHECK,)))

    return broken


def credulous(read_inbox: Callable[..., None]) -> Callable[..., None]:
    """Lets packets count from their arrival however old they are, although the socket may have been full since."""

    def broken(self: Node) -> None:
        with patch.object(node, "LONGEST_WAIT", math.inf):
            read_inbox(self)

    return broken


CRASH = ("at 6.5 crash 0", "whole 12")
CUT = ("at 6.5 partition 0", "whole 14")
LOSING_STORM = ("at 6 storm lower 51 count=600 every=0.001", "whole 8")
STORM = ("at 6 storm zero 51 count=600 every=0.001", "whole 8")

DEFECTS = (
    Defect("addresses exactly while MASTER", VirtualRouter, "handle", without(WithdrawAddresses), CUT),
    Defect("addresses exactly while MASTER", VirtualRouter, "handle", without(InstallAddresses, Announce), CRASH),
    Defect("announces what it has", VirtualRouter, "handle", announcing_first, CRASH),
    Defect("FAULT holds no address", VirtualRouter, "handle", deaf_to_faults, ("at 6 check-fails 0", "whole 8")),
    Defect(
        "a rejected packet changes nothing",
        Runner,
        "reject",
        impressed_by_rejects,
        ("at 6 storm checksum 51 count=2", "whole 8"),
    ),
    Defect("advertisements are bounded", VirtualRouter, "_may_answer", always(True), STORM),
    Defect("announcements are bounded", VirtualRouter, "_announcement_spacing", always(0.0), LOSING_STORM),
    Defect("no MASTER is silent", Round, "expire", mute, CRASH),
    Defect("no MASTER is silent", VirtualRouter, "_second_advertisement", twice_as_long, CRASH),
    Defect("never two MASTERs", VirtualRouter, "_advertisement_as_master", stubborn, CUT),
    Defect("takes over in time", VirtualRouter, "down_interval", half_as_long, CRASH),
    Defect("takes over in time", VirtualRouter, "down_interval", twice_as_long, CRASH),
    Defect("no MASTER is silent", VirtualRouter, "handle", without(SendAdvertisement), CRASH),
    Defect("one rightful MASTER", VirtualRouter, "_preempt", humble, ("at 6.5 reload 1 51 priority=220", "whole 8")),
    Defect("one rightful MASTER", VirtualRouter, "handle", never_recovering, ("at 6 check-fails 0", "whole 8")),
    Defect("no needless takeover", Node, "_read_inbox", credulous, ("at 6.5 pause 1", "at 15 resume 1", "whole 17")),
    Defect("quiet stays quiet", Round, "expire", restless, ("whole 0.1",)),
)
