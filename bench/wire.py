"""What a capture says about a failover: the arithmetic of the benchmark, RFC 9568 section 6.1.

Overhead of an address: from the moment at which the protocol lets the backup take over to the backup's first gratuitous
ARP for it. That moment is the old master's last advertisement plus Master_Down_Interval or, where that one has priority
0, plus Skew_Time. All times are the kernel's stamps of one bridge. Written apart from the daemon's own arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vrrpd.lab.frames import Advertisement, Arp, Frame

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class VirtualRouter:
    """A virtual router as the configuration has it."""

    vrid: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a backup waits."""

    interval_ms: int
    priority: int
    """The backup's."""

    @property
    def skew_ns(self) -> int:
        """Skew_Time of version 3: (256 - priority) * interval / 256."""
        return (256 - self.priority) * self.interval_ms * NS_PER_MS // 256

    @property
    def master_down_ns(self) -> int:
        """Master_Down_Interval: three intervals and the skew."""
        return 3 * self.interval_ms * NS_PER_MS + self.skew_ns


@dataclass(frozen=True, slots=True)
class Takeover:
    """One virtual address and when it came to its new master. Nanoseconds, CLOCK_REALTIME."""

    vrid: int
    address: str
    reference_ns: int
    """The advertisement from which the wait is counted: the old master's last, or at a preemption the new one's
    first."""
    allowed_ns: int
    """When the protocol allows the takeover; at a preemption the same as ``reference_ns``."""
    advertised_ns: int
    """The new master's first advertisement."""
    announced_ns: int
    """The new master's first gratuitous ARP for the address."""

    @property
    def overhead_ms(self) -> float:
        """What the daemon adds to what the protocol takes; negative where it was too early."""
        return (self.announced_ns - self.allowed_ns) / NS_PER_MS


@dataclass(frozen=True, slots=True)
class Side:
    """A router's addresses on the wire."""

    address: str
    mac: str


class _Seen:
    """What was seen of one virtual router: the advertisements of the one that goes, the first of the one that comes."""

    def __init__(self) -> None:
        self.old: list[tuple[int, int]] = []
        """Time and priority."""
        self.new_ns: int | None = None


def takeovers(
    frames: Iterable[Frame], routers: Sequence[VirtualRouter], old: Side, new: Side, since_ns: int, timing: Timing
) -> list[Takeover]:
    """Every address that ``new`` took over from ``old`` since then; those that it did not are missing.

    What ``old`` sent before counts, what ``new`` sent before does not.
    """
    seen, announced = _collect(frames, routers, old, new, since_ns)
    found = []
    for router in routers:
        of_router = seen[router.vrid]
        first = [announced[address] for address in router.addresses if address in announced]
        if of_router.new_ns is None or not first:
            continue
        began_ns = min(of_router.new_ns, *first)
        before = [pair for pair in of_router.old if pair[0] <= began_ns]
        if not before:
            continue
        reference_ns, priority = before[-1]
        allowed_ns = reference_ns + (timing.skew_ns if priority == 0 else timing.master_down_ns)
        found += [
            Takeover(router.vrid, address, reference_ns, allowed_ns, of_router.new_ns, announced[address])
            for address in router.addresses
            if address in announced
        ]
    return found


def preemptions(
    frames: Iterable[Frame], routers: Sequence[VirtualRouter], old: Side, new: Side, since_ns: int
) -> list[Takeover]:
    """Every address that ``new`` took from a living ``old`` since then, counted from its own first advertisement.

    When a preempting router may begin cannot be seen on the wire; how long it takes from its first word on can.
    """
    seen, announced = _collect(frames, routers, old, new, since_ns)
    return [
        Takeover(router.vrid, address, first_ns, first_ns, first_ns, announced[address])
        for router in routers
        if (first_ns := seen[router.vrid].new_ns) is not None
        for address in router.addresses
        if address in announced
    ]


def _collect(
    frames: Iterable[Frame], routers: Sequence[VirtualRouter], old: Side, new: Side, since_ns: int
) -> tuple[dict[int, _Seen], dict[str, int]]:
    seen = {router.vrid: _Seen() for router in routers}
    wanted = {address for router in routers for address in router.addresses}
    announced: dict[str, int] = {}
    for frame in frames:
        match frame.content:
            case Advertisement() as heard if heard.vrid in seen:
                source, of_router = str(heard.source), seen[heard.vrid]
                if source == old.address:
                    of_router.old.append((frame.time_ns, heard.priority))
                elif (
                    source == new.address
                    and heard.priority > 0
                    and frame.time_ns >= since_ns
                    and of_router.new_ns is None
                ):
                    of_router.new_ns = frame.time_ns
            case Arp() as arp if arp.is_gratuitous and frame.time_ns >= since_ns and frame.source_mac == new.mac:
                address = str(arp.sender)
                if address in wanted:
                    announced.setdefault(address, frame.time_ns)
    return seen, announced


def masters(frames: Iterable[Frame]) -> dict[int, set[str]]:
    """Who advertised each virtual router with a priority above 0."""
    found: dict[int, set[str]] = {}
    for frame in frames:
        if isinstance(frame.content, Advertisement) and frame.content.priority > 0:
            found.setdefault(frame.content.vrid, set()).add(str(frame.content.source))
    return found


def first_advertisements(frames: Iterable[Frame], source: str) -> dict[int, int]:
    """When a router first advertised each virtual router (nanoseconds)."""
    found: dict[int, int] = {}
    for frame in frames:
        if isinstance(frame.content, Advertisement) and str(frame.content.source) == source:
            found.setdefault(frame.content.vrid, frame.time_ns)
    return found


def interval_errors_ms(frames: Iterable[Frame], source: str, interval_ms: int) -> list[float]:
    """How far each pause between two advertisements of a master is from its interval, without sign."""
    times: dict[int, list[int]] = {}
    for frame in frames:
        if isinstance(frame.content, Advertisement) and str(frame.content.source) == source:
            times.setdefault(frame.content.vrid, []).append(frame.time_ns)
    return [
        abs(after - before - interval_ms * NS_PER_MS) / NS_PER_MS
        for of_router in times.values()
        for before, after in itertools.pairwise(of_router)
    ]


def false_failovers(frames: Iterable[Frame], master: str) -> int:
    """How often a backup began to advertise a virtual router whose master lives and is cut off from nobody."""
    speaking: dict[int, str] = {}
    count = 0
    for frame in frames:
        if isinstance(frame.content, Advertisement) and frame.content.priority > 0:
            source, vrid = str(frame.content.source), frame.content.vrid
            if source != master and speaking.get(vrid, master) == master:
                count += 1
            speaking[vrid] = source
    return count
