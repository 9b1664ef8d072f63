"""The simulated network: one virtual clock, a heap of things to come, and a LAN that loses, delays and doubles packets.

Everything random comes from one seeded generator in the order of the events, so the same seed gives the same run.
This file knows datagrams and stations; of routers it knows nothing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from vrrpd.protocol.datagram import Datagram

MAXIMUM_EVENTS: Final = 500_000
"""A run that needs more than this many events is a storm, not a simulation."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the network is. Delays in seconds, the others are probabilities for each packet and receiver."""

    minimum_delay: float = 0.0001
    maximum_delay: float = 0.0001
    """Between the two lies the jitter: what is sent later may well come sooner."""
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    """One flipped bit somewhere in the message."""
    reordering: float = 0.0
    """A packet takes ``reordering_delay`` more at most, so that others overtake it."""
    reordering_delay: float = 0.0
    timer_lateness: float = 0.0
    """How late a timer may fire at most; seconds."""
    news_delay: float = 0.0
    """How long the kernel may take to tell a daemon of its link, its check or its addresses; seconds."""

    @property
    def longest_delay(self) -> float:
        """The longest that a packet may take; seconds."""
        return self.maximum_delay + (self.reordering_delay if self.reordering else 0.0)

    @property
    def lossless(self) -> bool:
        """True where every packet arrives as it was sent, if there is a way at all."""
        return not self.loss and not self.corruption

    def mended(self) -> Quality:
        """The same network without loss, damage, doubles and overtaking; its delays are its own."""
        return replace(self, loss=0.0, duplication=0.0, corruption=0.0, reordering=0.0)


PERFECT: Final = Quality()


@dataclass(frozen=True, slots=True)
class Packet:
    """A datagram on its way, with what a receiving socket reads off it before anybody takes it apart."""

    datagram: Datagram
    vrid: int | None
    """The virtual router id, where the message is long enough to have one."""
    signature: tuple[object, ...]
    """Equal for two packets whose datagrams are equal."""


def packet_of(datagram: Datagram) -> Packet:
    """Puts a datagram on its way."""
    message = datagram.message
    signature = (datagram.source, datagram.destination, datagram.hop_limit, message)
    return Packet(datagram, message[1] if len(message) > 1 else None, signature)


class Station(Protocol):
    """Something on the LAN."""

    name: str

    def receive(self, packet: Packet) -> None:
        """Takes a packet from the wire."""


class Lan:
    """The wire and the clock."""

    def __init__(self, seed: int, quality: Quality = PERFECT, *, keep_trace: bool = True) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.quality = quality
        self.trace: list[str] = []
        self.tracing = keep_trace
        """False in long runs: nobody reads the transcript of what went well. Ask before composing a line."""
        self.stations: list[Station] = []
        self.after_each: Callable[[], None] = lambda: None
        """Called after each event: the place for invariants."""
        self.changed: Callable[[], None] = lambda: None
        """Called when who hears whom, or how well, has changed."""
        self.last_arrival = 0.0
        """When the last of the packets that are on their way arrives."""
        self.events = 0
        self._blocked: set[tuple[str, str]] = set()
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._sequence = 0

    def clock(self) -> float:
        """The virtual time in seconds."""
        return self.now

    def log(self, line: str) -> None:
        """Adds a line to the transcript of the run."""
        if self.tracing:
            self.trace.append(f"{self.now:12.6f} {line}")

    def attach(self, station: Station) -> None:
        """Plugs a station in."""
        self.stations.append(station)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Has something happen at a time; what is planned first for the same time happens first."""
        self.at_with(when, lambda _: what(), None)

    def at_with(self, when: float, what: Callable[[Any], None], argument: object) -> None:
        """Has something happen at a time, with an argument: cheaper than a closure."""
        self._sequence += 1
        heapq.heappush(self._heap, (when if when > self.now else self.now, self._sequence, what, argument))

    def run_until(self, end: float) -> None:
        """Lets time pass."""
        heap, pop, after_each = self._heap, heapq.heappop, self.after_each
        while heap and heap[0][0] <= end:
            self.now, _, what, argument = pop(heap)
            what(argument)
            after_each()
            self.events += 1
            if self.events > MAXIMUM_EVENTS:
                raise AssertionError(f"storm: {self.events} events by {self.now} s")
        self.now = end

    # -- who hears whom ---------------------------------------------------------------------------------------------

    def partition(self, segments: dict[str, int]) -> None:
        """Cuts the LAN: stations hear each other within a segment only; those not named are in segment 0."""
        names = [station.name for station in self.stations]
        self._blocked |= {
            (one, other) for one in names for other in names if segments.get(one, 0) != segments.get(other, 0)
        }
        self.changed()

    def cut(self, sender: str, receiver: str) -> None:
        """Cuts one direction between two stations."""
        self._blocked.add((sender, receiver))
        self.changed()

    def join(self) -> None:
        """Mends every cut; the quality stays as it is."""
        self._blocked.clear()
        self.changed()

    def set_quality(self, quality: Quality) -> None:
        """Makes the network better or worse from now on."""
        self.quality = quality
        self.changed()

    def heal(self) -> None:
        """Makes the network whole: no cuts, and no packet is lost, doubled, damaged or overtaken any more."""
        self._blocked.clear()
        self.set_quality(self.quality.mended())

    def reaches(self, sender: Station, receiver: Station) -> bool:
        """True where every packet from one station gets to the other."""
        return self.quality.lossless and (sender.name, receiver.name) not in self._blocked

    # -- packets ----------------------------------------------------------------------------------------------------

    def send(self, sender: Station | None, packet: Packet) -> None:
        """Puts a packet on the wire, for everybody but the sender; ``None`` is somebody who is no station of ours."""
        blocked = self._blocked
        for station in self.stations:
            if station is sender:
                continue
            if blocked and sender is not None and (sender.name, station.name) in blocked:
                continue
            self._carry(station, packet)

    def _carry(self, station: Station, packet: Packet) -> None:
        quality, chance = self.quality, self.random.random
        copies = 1
        if quality.loss and chance() < quality.loss:
            return
        if quality.corruption and chance() < quality.corruption:
            packet = packet_of(replace(packet.datagram, message=self._damaged(packet.datagram.message)))
        if quality.duplication and chance() < quality.duplication:
            copies = 2
        for _ in range(copies):
            delay = quality.minimum_delay + (quality.maximum_delay - quality.minimum_delay) * chance()
            if quality.reordering and chance() < quality.reordering:
                delay += quality.reordering_delay * chance()
            arrival = self.now + delay
            if arrival > self.last_arrival:
                self.last_arrival = arrival
            self._sequence += 1
            heapq.heappush(self._heap, (arrival, self._sequence, station.receive, packet))

    def _damaged(self, message: bytes) -> bytes:
        bit = self.random.randrange(len(message) * 8)
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
