"""Everything that a run has measured, and the machine it ran on; the layout of ``results.json``.

Times are milliseconds but for ``*_ns`` (CLOCK_REALTIME). Each takeover is written as a list: virtual router id,
address, reference, allowed, first advertisement and first announcement, in nanoseconds since the reference.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.daemons import Program
from bench.scenarios import Event
from bench.wire import Takeover

FORMAT: Final = 1
"""Goes up when a reader of ``results.json`` would have to change."""


@dataclass(frozen=True, slots=True)
class EventSample:
    """One failover, or one preemption."""

    scenario: str
    daemon: str
    round: int
    event: Event
    at_ns: int
    """When it was made to happen."""
    expected: int
    """How many addresses had to move."""
    takeovers: tuple[Takeover, ...]
    outage_ms: float | None
    """The longest pause in the replies to the client; None where the client did not ask or lost the address for
    good."""

    @property
    def overheads_ms(self) -> list[float]:
        """The overhead of each address."""
        return [takeover.overhead_ms for takeover in self.takeovers]

    @property
    def lost(self) -> int:
        """Addresses that nobody took over in time."""
        return self.expected - len(self.takeovers)


@dataclass(frozen=True, slots=True)
class StartSample:
    """How long a lone daemon took from exec to BACKUP: its first advertisement less Master_Down_Interval."""

    scenario: str
    daemon: str
    round: int
    first_ms: float
    last_ms: float
    """The last one of many routers."""


@dataclass(frozen=True, slots=True)
class SteadySample:
    """What it costs when nothing happens."""

    scenario: str
    daemon: str
    round: int
    seconds: float
    master_cpu_percent: float
    """Of one core."""
    backup_cpu_percent: float
    master_pss_mb: float
    backup_pss_mb: float
    master_processes: int
    backup_processes: int
    interval_errors_ms: tuple[float, ...]
    false_failovers: int


@dataclass(frozen=True, slots=True)
class BusySample:
    """What the backup made of a master that others kept from running."""

    scenario: str
    daemon: str
    round: int
    seconds: float
    false_failovers: int
    interval_errors_ms: tuple[float, ...]


@dataclass(slots=True)
class Results:
    """A run: what was compared where, every sample, everything that went wrong."""

    daemons: tuple[Program, ...]
    machine: dict[str, Any]
    settings: dict[str, Any]
    started_ns: int
    events: list[EventSample] = field(default_factory=list)
    starts: list[StartSample] = field(default_factory=list)
    steady: list[SteadySample] = field(default_factory=list)
    busy: list[BusySample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Rounds that were void or failed, addresses that were lost, what was left out for lack of time."""
    load_at_end: float | None = None
    """What else ran then counts, too."""
    stolen: float | None = None
    """The part of the processor time wanted during the run that the host of a virtual machine gave to others."""

    @property
    def names(self) -> list[str]:
        """The daemons' names, in the order of the report."""
        return [daemon.name for daemon in self.daemons]

    @property
    def measured(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.events or self.starts or self.steady or self.busy)

    def document(self) -> dict[str, Any]:
        """The content of ``results.json``."""
        return {
            "format": FORMAT,
            "started_ns": self.started_ns,
            "machine": {**self.machine, "load_at_end": self.load_at_end, "stolen": self.stolen},
            "settings": self.settings,
            # The command only: the environment is nobody's business.
            "daemons": [
                {"name": daemon.name, "version": daemon.version, "command": list(daemon.command)}
                for daemon in self.daemons
            ],
            "events": [_event(sample) for sample in self.events],
            "starts": [asdict(sample) for sample in self.starts],
            "steady": [asdict(sample) for sample in self.steady],
            "busy": [asdict(sample) for sample in self.busy],
            "problems": self.problems,
        }


def _event(sample: EventSample) -> dict[str, Any]:
    return {
        "scenario": sample.scenario,
        "daemon": sample.daemon,
        "round": sample.round,
        "event": sample.event.value,
        "at_ns": sample.at_ns,
        "expected": sample.expected,
        "outage_ms": sample.outage_ms,
        "overheads_ms": sample.overheads_ms,
        "takeovers": [
            [
                takeover.vrid,
                takeover.address,
                takeover.reference_ns,
                takeover.allowed_ns - takeover.reference_ns,
                takeover.advertised_ns - takeover.reference_ns,
                takeover.announced_ns - takeover.reference_ns,
            ]
            for takeover in sample.takeovers
        ],
    }


def machine() -> dict[str, Any]:
    """What has to be known of the machine to compare figures; nothing that names it."""
    return {
        "cpu": _first_after("/proc/cpuinfo", ("model name", "Hardware")) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown") if _has_os_release() else "unknown",
        "python": sys.version.split()[0],
        "clocksource": _text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_at_start": os.getloadavg()[0],
    }


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """What all processors have done since the machine started, in ticks (proc(5), ``/proc/stat``)."""

    busy: int
    stolen: int
    """In which this machine wanted to run and its host ran others."""

    @classmethod
    def now(cls) -> ProcessorTime:
        """As it is now; all 0 where the kernel does not say."""
        line = (_text("/proc/stat") or "").partition("\n")[0].split()[1:]
        user, nice, system, _, _, irq, softirq, stolen = (
            [int(ticks) for ticks in line[:8]] if len(line) >= 8 else [0] * 8
        )
        return cls(user + nice + system + irq + softirq, stolen)

    def stolen_since(self, before: ProcessorTime) -> float:
        """The part of the wanted time that the host gave to others, from 0 to 1."""
        stolen = self.stolen - before.stolen
        wanted = self.busy - before.busy + stolen
        return stolen / wanted if wanted > 0 else 0.0


def _has_os_release() -> bool:
    return any(Path(path).exists() for path in ("/etc/os-release", "/usr/lib/os-release"))


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _first_after(path: str, keys: Sequence[str]) -> str | None:
    for line in (_text(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in keys:
            return value.strip()
    return None
