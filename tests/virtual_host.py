"""A host in virtual time: the shipped agenda, links, runners and rounds on an event loop whose clock only jumps.

Packets lie in a socket with the time of their arrival until somebody reads them, what is sent is written down with the
time at which it was handed over, and looking at the clock takes two microseconds, so that whoever waits by looking
at it gets somewhere. Nothing here takes real time, and the same story has the same outcome.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from tests.protocol.builders import GROUP, LOWER, OURS, QUIET
from vrrpd import agenda as agenda_module
from vrrpd import links
from vrrpd.agenda import Agenda
from vrrpd.links import Link
from vrrpd.net.sockets import PACKETS_PER_CALL
from vrrpd.protocol.actions import Notice, StateChanged
from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import Event, SourceChanged, Startup
from vrrpd.protocol.packet import Advertisement, decode, encode
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.timing import Version
from vrrpd.runner import Runner, RunnerSettings

LOOK: Final = 2e-6
"""Seconds that a look at the clock takes."""
TIMER, SOCKET = 1001, 1002
"""Descriptors, of which the kernel knows nothing."""

Sent = tuple[float, int, str]
"""When, which virtual router, what."""


def settings(vrid: int, priority: int, interval: int = 100, phase: float | None = None) -> RunnerSettings:
    """A virtual router that answers at once and announces once; ``interval`` in centiseconds, ``phase`` in seconds."""
    parameters = RouterParameters(
        vrid=vrid,
        version=Version.V3,
        priority=priority,
        max_advertise_interval=interval,
        addresses=(IPv4Address("192.0.2.100") + vrid,),
        announcements=QUIET,
        advertisement_phase=phase,
        answer_lower_priority=True,
    )
    return RunnerSettings(f"VI_{vrid}", parameters, AdmissionPolicy(Version.V3, interval, GROUP), (GROUP,))


@dataclass(frozen=True, slots=True)
class Heard:
    """An advertisement that arrives."""

    at: float
    vrid: int
    priority: int
    source: IPv4Address = LOWER
    interval: int = 100

    def datagram(self) -> Datagram:
        """As it comes in."""
        addresses: tuple[IPAddress, ...] = (IPv4Address("192.0.2.100") + self.vrid,)
        message = encode(
            Advertisement(Version.V3, self.vrid, self.priority, self.interval, addresses), self.source, GROUP
        )
        return Datagram(self.source, GROUP, 255, message)


class Clock:
    """Virtual time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += LOOK
        return self.now


class Port:
    """The dataplane and the observer of one runner: what it does is collected, or written down at once."""

    def __init__(self, vrid: int, collect: Callable[[int, str], None]) -> None:
        self._vrid = vrid
        self._collect = collect

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        """Needs no preparation."""

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Sends an advertisement."""
        self._collect(self._vrid, f"advertise {message[2]}")

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Puts addresses on."""
        self._collect(self._vrid, "install")

    def withdraw(self) -> None:
        """Takes them off."""
        self._collect(self._vrid, "withdraw")

    def leave(self, lifetime: int) -> None:
        """Leaves them to the kernel."""
        self._collect(self._vrid, "leave")

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Announces them."""
        self._collect(self._vrid, "announce")

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Is in what is sent."""

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Is of no interest."""

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """Is of no interest."""


class Batches:
    """The daemon's dataplane: what was collected is written down when it is handed over."""

    repeats = 0
    deadline = None

    def __init__(self, clock: Clock) -> None:
        self.takes = 0.0
        """Seconds for which the kernel is busy with a batch, however large."""
        self.sent: list[Sent] = []
        self._clock = clock
        self._batch: list[tuple[int, str]] = []

    def add(self, vrid: int, what: str) -> None:
        """Collects."""
        self._batch.append((vrid, what))

    def flush(self) -> None:
        """Hands over what was collected."""
        self.hand_over(self.collect())

    def collect(self) -> list[tuple[int, str]]:
        """Takes it out."""
        batch, self._batch = self._batch, []
        return batch

    def resume(self, batch: list[tuple[int, str]]) -> None:
        """Goes on with what was taken out."""
        self._batch = batch

    def lay_out(self, batch: list[tuple[int, str]]) -> None:
        """Has nothing to do."""

    def hand_over(self, batch: list[tuple[int, str]]) -> None:
        """Writes it down."""
        now = self._clock()
        self.sent += [(now, vrid, what) for vrid, what in batch]
        if batch:
            self._clock.now += self.takes

    def volley(self, send: Callable[[], None]) -> Any:
        """Lays out what a function sends."""
        waiting = self.collect()
        send()
        laid_out, self._batch = self._batch, waiting
        return SimpleNamespace(send=lambda: self.hand_over(laid_out))

    def send_repeats(self, limit: int) -> None:
        """There are none."""


class Timer:
    """The kernel's timer."""

    def __init__(self) -> None:
        self.armed: float | None = None

    def arm(self, deadline: float | None) -> None:
        """Wakes the loop then."""
        self.armed = deadline

    def acknowledge(self) -> None:
        """Is quiet again."""
        self.armed = None

    def fileno(self) -> int:
        """Its descriptor."""
        return TIMER


@dataclass
class Socket:
    """The receiving socket: what has arrived and was not read."""

    clock: Clock
    coming: deque[Heard] = field(default_factory=deque)
    exhausted: bool = True
    reads: int = 0
    failed: bool = False
    """``poll`` has something to tell of it although there is nothing to read."""

    def waiting(self) -> bool:
        """True when a read would get something."""
        return bool(self.coming) and self.coming[0].at <= self.clock.now

    def receive(
        self, limit: int, go_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[int, Hashable, Datagram, float]]:
        """Reads what has arrived."""
        self.reads += 1
        for number in range(limit):
            if number % PACKETS_PER_CALL == 0 and not go_on():
                break
            if not self.waiting():
                self.exhausted = True
                return
            heard = self.coming.popleft()
            yield heard.vrid, replace(heard, at=0.0), heard.datagram(), heard.at
        self.exhausted = False

    def packet(self, raw: Datagram) -> Any:
        """A packet by its parts."""
        return SimpleNamespace(datagram=lambda: raw)

    def fileno(self) -> int:
        """Its descriptor."""
        return SOCKET


class _Glance:
    """``select.poll`` for the one socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def register(self, descriptor: int, events: int) -> None:
        """There is no other."""

    def unregister(self, descriptor: int) -> None:
        """There is no other."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """The socket, where something waits in it."""
        return [(SOCKET, 1)] if self._socket.waiting() or self._socket.failed else []


class _Selector(selectors.BaseSelector):
    """Instead of waiting it moves the clock."""

    def __init__(self, host: VirtualHost) -> None:
        self._host = host
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[descriptor] = selectors.SelectorKey(fileobj, descriptor, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock, host = self._host.clock, self._host
        if not self._ready():
            times = [] if timeout is None else [clock.now + max(0.0, timeout)]
            if host.timer.armed is not None:
                times.append(host.timer.armed)
            if host.socket.coming and SOCKET in self._keys:
                times.append(host.socket.coming[0].at)
            clock.now = max(clock.now, min(times))
        return [(self._keys[descriptor], selectors.EVENT_READ) for descriptor in self._ready()]

    def _ready(self) -> list[int]:
        host = self._host
        ready = []
        if host.timer.armed is not None and host.timer.armed <= host.clock.now:
            ready.append(TIMER)
        if SOCKET in self._keys and host.socket.waiting():
            ready.append(SOCKET)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, host: VirtualHost) -> None:
        self._host = host
        super().__init__(_Selector(host))

    def time(self) -> float:
        return self._host.clock.now


class VirtualHost:
    """Virtual routers of one daemon on one link."""

    def __init__(self, all_settings: Iterable[RunnerSettings], heard: Iterable[Heard]) -> None:
        self.clock = Clock()
        self.timer = Timer()
        self.batches = Batches(self.clock)
        self.socket = Socket(self.clock, deque(sorted(heard, key=lambda one: one.at)))
        self.runners = {one.parameters.vrid: self._runner(one) for one in all_settings}
        self.rehearsed: list[float] = []
        """When a takeover was rehearsed."""
        self.rehearsal_takes = 0.0
        """Seconds."""

    def _runner(self, of: RunnerSettings) -> Runner:
        port = Port(of.parameters.vrid, self.batches.add)
        runner = Runner(of, port, port, self.clock)
        runner.deliver(SourceChanged(OURS))
        return runner

    def play(self) -> None:
        """Rehearses a takeover."""
        self.rehearsed.append(self.clock())
        self.clock.now += self.rehearsal_takes

    def run(self, seconds: float, events: Iterable[tuple[float, int, Event]] = ()) -> list[Sent]:
        """Lets time pass from the start on; returns what was sent. ``events`` happen to routers at their times."""
        with pytest.MonkeyPatch.context() as patch:
            # Stamps are by the wall clock, which goes with the other one here.
            patch.setattr(links, "time", SimpleNamespace(time=self.clock))
            patch.setattr(agenda_module, "select", SimpleNamespace(poll=lambda: _Glance(self.socket), POLLIN=1))
            loop = _Loop(self)
            try:
                loop.run_until_complete(self._live(seconds, events))
            finally:
                loop.close()
        return self.batches.sent

    async def _live(self, seconds: float, events: Iterable[tuple[float, int, Event]]) -> None:
        link = Link("eth0", 4, False, lambda *_: None, self.clock)
        link._receiver = cast(Any, self.socket)
        link.routers = dict(self.runners)
        agenda = Agenda(
            cast(Any, self.timer),
            cast(Any, self.batches),
            cast(Any, []),
            lambda _: frozenset({OURS}),
            self.clock,
        )
        agenda.rehearsal = self
        agenda.listen(link)
        for runner in self.runners.values():
            runner.deliver(Startup())
        agenda.settle(self.runners.values())

        def happen(vrid: int, event: Event) -> None:
            self.runners[vrid].deliver(event)
            agenda.settle([self.runners[vrid]])

        loop = asyncio.get_running_loop()
        for when, vrid, event in events:
            loop.call_at(when, happen, vrid, event)
        await asyncio.sleep(seconds)
        agenda.close()


def by_itself(of: RunnerSettings, heard: Iterable[Heard], seconds: float) -> list[Sent]:
    """What a router does that is alone in its daemon, hears every packet at once and is never late."""
    now = 0.0
    sent: list[Sent] = []
    vrid = of.parameters.vrid
    port = Port(vrid, lambda vrid, what: sent.append((now, vrid, what)))
    runner = Runner(of, port, port, lambda: now)
    runner.deliver(SourceChanged(OURS))
    runner.deliver(Startup())
    coming = deque(sorted((one for one in heard if one.vrid == vrid), key=lambda one: one.at))
    while True:
        times = [one for one in (runner.deadline, coming[0].at if coming else None) if one is not None]
        if not times or min(times) >= seconds:
            return sent
        if coming and coming[0].at == min(times):
            packet = coming.popleft()
            now = packet.at
            _hear(runner, packet)
        else:
            now = min(times)
            runner.expire()


def _hear(runner: Runner, packet: Heard) -> None:
    datagram = packet.datagram()
    runner.receive(datagram, decode(datagram), {OURS})
