"""The simulated network: one virtual clock, a heap of things to come, and a LAN that loses, delays and doubles packets.

Everything random comes from one seeded generator in the order of the events, so the same seed gives the same run.
This file knows datagrams and stations; of routers it knows nothing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from vrrpd.protocol.datagram import Datagram, IPAddress

MAXIMUM_EVENTS = 2_000_000
"""A run that needs more than this many events is a storm, not a simulation."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the network is. Delays in seconds, the others are probabilities for each packet and receiver."""

    minimum_delay: float = 0.0001
    maximum_delay: float = 0.0001
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    """One flipped bit somewhere in the message."""
    timer_lateness: float = 0.0
    """How late a timer may fire at most; seconds."""


PERFECT = Quality()


class Station(Protocol):
    """Something on the LAN."""

    name: str
    address: IPAddress

    def receive(self, datagram: Datagram) -> None:
        """Takes a packet from the wire."""


class Lan:
    """The wire and the clock."""

    def __init__(self, seed: int, quality: Quality = PERFECT) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.quality = quality
        self.trace: list[str] = []
        self.stations: list[Station] = []
        self.after_each: Callable[[], None] = lambda: None
        """Called after each event: the place for invariants."""
        self._segments: dict[str, int] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def clock(self) -> float:
        """The virtual time in seconds."""
        return self.now

    def log(self, line: str) -> None:
        """Adds a line to the transcript of the run."""
        self.trace.append(f"{self.now:12.6f} {line}")

    def attach(self, station: Station) -> None:
        """Plugs a station in."""
        self.stations.append(station)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Has something happen at a time; what is planned first for the same time happens first."""
        heapq.heappush(self._heap, (max(when, self.now), self._sequence, what))
        self._sequence += 1

    def run_until(self, end: float) -> None:
        """Lets time pass."""
        while self._heap and self._heap[0][0] <= end:
            self.now, sequence, what = heapq.heappop(self._heap)
            assert self._sequence - len(self._heap) < MAXIMUM_EVENTS, f"storm: event {sequence} at {self.now}"
            what()
            self.after_each()
        self.now = end

    def partition(self, segments: dict[str, int]) -> None:
        """Cuts the LAN: stations hear each other within a segment only; those not named are in segment 0."""
        self._segments = dict(segments)

    def heal(self) -> None:
        """Makes the network whole: one segment, and no packet is lost, doubled or damaged any more."""
        self._segments = {}
        self.quality = replace(self.quality, loss=0.0, duplication=0.0, corruption=0.0)

    def send(self, sender: Station, datagram: Datagram) -> None:
        """Puts a packet on the wire: to everybody for a multicast address, else to the one who has the address."""
        for station in self.stations:
            if station is sender or not self._connected(sender, station):
                continue
            if datagram.destination.is_multicast or datagram.destination == station.address:
                self._carry(station, datagram)

    def _connected(self, one: Station, other: Station) -> bool:
        return self._segments.get(one.name, 0) == self._segments.get(other.name, 0)

    def _carry(self, station: Station, datagram: Datagram) -> None:
        quality, chance = self.quality, self.random.random
        if chance() < quality.loss:
            return
        if chance() < quality.corruption:
            datagram = replace(datagram, message=self._damaged(datagram.message))
        for _ in range(2 if chance() < quality.duplication else 1):
            delay = self.random.uniform(quality.minimum_delay, quality.maximum_delay)
            self.at(self.now + delay, lambda: station.receive(datagram))

    def _damaged(self, message: bytes) -> bytes:
        bit = self.random.randrange(len(message) * 8)
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
