"""What is measured of one node at one moment, and of the advertisements between two moments."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.daemons import Daemon
from vrrpd.lab.frames import Advertisement, Frame

MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One node at one moment."""

    at: float
    """Seconds since the start of the soak."""
    node: str
    rss: float
    """Megabytes of the daemon's process."""
    own: float
    """Megabytes of all its processes that are nobody else's: anonymous memory, in RAM or swapped out."""
    pss: float
    """Megabytes of all its processes, with their share of what other programs map too."""
    descriptors: int
    """Of the daemon's process and of its script helper."""
    processes: int
    threads: int
    tasks: int
    timers: int
    loop_timers: int


def sample(at: float, node: str, daemon: Daemon, namespace: int) -> Sample | None:
    """Look at a node; None where a script ended half-way, or the daemon does not answer."""
    try:
        status = ask(daemon.process.pid, namespace)["process"]
        pids = daemon.pids()
        memory = [memory_of(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids]
        # The helper is the daemon's only child that stays; the scripts are the helper's.
        own = [daemon.process.pid, *_children(daemon.process.pid)]
        return Sample(
            at,
            node,
            status["memory"] / MEGABYTE,
            sum(used.own for used in memory) / MEGABYTE,
            sum(used.pss for used in memory) / MEGABYTE,
            sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in own),
            len(pids),
            status["threads"],
            status["tasks"],
            status["timers"],
            status["loop_timers"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ask(pid: int, namespace: int) -> dict[str, Any]:
    """The status document of a daemon with a /run of its own; raises OSError or ValueError."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(f"/proc/{pid}/root/run/vrrpd/{namespace}.default.sock")
        client.sendall(b'{"command": "status"}\n')
        document = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
    if not isinstance(document, dict):
        raise ValueError(f"status is {document!r}, expected an object")
    return document


@dataclass(frozen=True, slots=True)
class Memory:
    """What one process uses, in bytes."""

    own: int
    """Anonymous memory: no other program that starts or ends moves it, as it does pages of a file that both map."""
    pss: int


def memory_of(rollup: str) -> Memory:
    """Read /proc/PID/smaps_rollup; raises ValueError where a line that counts is missing."""
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", rollup, re.MULTILINE)}
    missing = [name for name in ("Anonymous", "Swap", "Pss") if name not in sizes]
    if missing:
        raise ValueError(f"smaps_rollup has no line {', '.join(missing)}")
    return Memory(sizes["Anonymous"] + sizes["Swap"], sizes["Pss"])


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A time in which something was done, until everybody was what he should be again. Nanoseconds, CLOCK_REALTIME."""

    what: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The time between two advertisements of one virtual router by the same node."""

    at_ns: int
    error_ms: float
    """How far it is from the interval."""


class Pauses:
    """Takes frames in as they come, and gives the pauses between advertisements that nothing disturbed."""

    def __init__(self, interval_ms: float, masters: Mapping[tuple[int, int], str]) -> None:
        self._interval_ms: Final = interval_ms
        self._masters: Final = masters
        """By IP version and virtual router id, the node whose job it is."""
        self._last: Final[dict[tuple[int, int], int]] = {}
        self.intruders: Final[list[int]] = []
        """When a node advertised whose job it was not."""
        self.pauses: Final[list[Pause]] = []

    def take(self, frames: Iterable[Frame], node_of: Mapping[str, str], disturbed: Iterable[Disturbance]) -> None:
        """Take frames in, all of which are later than those before; ``node_of`` is by hardware address."""
        times = [(disturbance.start_ns, disturbance.end_ns) for disturbance in disturbed]
        for frame in frames:
            seen = frame.content
            if not isinstance(seen, Advertisement) or seen.priority == 0:
                continue
            calm = not any(start <= frame.time_ns <= end for start, end in times)
            key = (seen.source.version, seen.vrid)
            if node_of.get(frame.source_mac) != self._masters.get(key):
                if calm:
                    self.intruders.append(frame.time_ns)
                continue
            before, self._last[key] = self._last.get(key), frame.time_ns
            if before is None or any(start <= frame.time_ns and before <= end for start, end in times):
                continue
            pause_ms = (frame.time_ns - before) / 1e6
            self.pauses.append(Pause(frame.time_ns, abs(pause_ms - self._interval_ms)))
