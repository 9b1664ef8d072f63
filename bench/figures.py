"""From samples to figures: what the table has, and the speed that vrrpd has to reach beside keepalived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bench.percentiles import over_rounds
from bench.results import EventSample, Results, SteadySample
from bench.scenarios import BUSY, FAILURES, SCENARIOS, SINGLE, STEADY, Event

OURS: Final = "vrrpd"
BASELINE: Final = "keepalived"


class Verdict(Enum):
    """What became of a target."""

    REACHED = "reached"
    MISSED = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure has to be."""

    ratio: float | None = None
    """At most this times keepalived's."""
    limit: float | None = None
    """At most this, whatever keepalived's is."""

    def __str__(self) -> str:
        return f"<= {self.ratio:g}x" if self.ratio is not None else f"<= {self.limit:g}"

    def judge(self, ours: float | None, baseline: float | None) -> Verdict:
        """Whether our figure is good enough."""
        if ours is None:
            return Verdict.UNKNOWN
        if self.limit is not None:
            return Verdict.REACHED if ours <= self.limit else Verdict.MISSED
        if baseline is None or self.ratio is None:
            return Verdict.UNKNOWN
        return Verdict.REACHED if ours <= self.ratio * baseline else Verdict.MISSED


TARGETS: Final[dict[tuple[str, str], Target]] = {
    ("a", "crash p50"): Target(ratio=0.6),
    ("a", "crash p95"): Target(ratio=0.8),
    ("a", "clean stop p50"): Target(ratio=0.6),
    ("a", "clean stop p95"): Target(ratio=0.8),
    ("b", "clean stop p95"): Target(ratio=0.2),
    ("b", "clean stop max"): Target(ratio=0.2),
    ("b", "crash p95"): Target(ratio=0.3),
    ("c", "crash p50"): Target(ratio=1),
    ("c", "crash p95"): Target(ratio=1),
    ("c", "clean stop p50"): Target(ratio=1),
    ("c", "clean stop p95"): Target(ratio=1),
    ("steady", "CPU of the master"): Target(ratio=1.5),
    ("steady", "CPU of the backup"): Target(ratio=2),
    ("steady", "interval error p99"): Target(ratio=1),
    ("steady", "memory (PSS)"): Target(limit=36),
    ("a", "start to BACKUP"): Target(limit=400),
    ("busy", "false failovers"): Target(ratio=1),
}
"""By scenario and figure. Ratios are to Debian's keepalived 2.2.7 in the same run."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    scenario: str
    name: str
    unit: str
    values: dict[str, float | None]
    """By the daemon's name; None where it was not measured."""
    count: dict[str, int]
    """How many rounds, or events, are behind each."""

    @property
    def target(self) -> Target | None:
        """What it has to be, if anything."""
        return TARGETS.get((self.scenario, self.name))

    @property
    def ratio(self) -> float | None:
        """Ours over keepalived's."""
        ours, baseline = self.values.get(OURS), self.values.get(BASELINE)
        return None if ours is None or not baseline else ours / baseline

    @property
    def verdict(self) -> Verdict | None:
        """Whether the target was reached; None where there is none."""
        if self.target is None or OURS not in self.values:
            return None
        return self.target.judge(self.values[OURS], self.values.get(BASELINE))


def figures(results: Results) -> list[Figure]:
    """Every figure for which there is a sample, in the order of the scenarios."""
    found: list[Figure] = []
    for scenario in SCENARIOS:
        key = scenario.key
        for event in (*FAILURES, Event.PREEMPTION):
            found += _overheads(results, key, event)
        if scenario in (SINGLE, STEADY):
            found.append(_start(results, key))
        if scenario is STEADY:
            found += _steady(results)
        if scenario is BUSY:
            found += _busy(results)
    return [figure for figure in found if any(value is not None for value in figure.values.values())]


def _figure(
    results: Results, scenario: str, name: str, unit: str, rounds: Callable[[str], list[list[float]]], percent: float
) -> Figure:
    behind = {daemon: rounds(daemon) for daemon in results.names}
    values = {daemon: over_rounds(of_daemon, percent) for daemon, of_daemon in behind.items()}
    counts = {daemon: sum(1 for values in of_daemon if values) for daemon, of_daemon in behind.items()}
    return Figure(scenario, name, unit, values, counts)


def _overheads(results: Results, scenario: str, event: Event) -> Iterable[Figure]:
    def overheads(daemon: str) -> list[list[float]]:
        return [sample.overheads_ms for sample in _events(results, scenario, event, daemon)]

    def outages(daemon: str) -> list[list[float]]:
        samples = _events(results, scenario, event, daemon)
        return [[sample.outage_ms] for sample in samples if sample.outage_ms is not None]

    for name, percent in (("p50", 50), ("p95", 95), ("max", 100)):
        yield _figure(results, scenario, f"{event.value} {name}", "ms", overheads, percent)
    yield _figure(results, scenario, f"{event.value} outage p50", "ms", outages, 50)


def _events(results: Results, scenario: str, event: Event, daemon: str) -> list[EventSample]:
    return [
        sample
        for sample in results.events
        if (sample.scenario, sample.event, sample.daemon) == (scenario, event, daemon)
    ]


def _start(results: Results, scenario: str) -> Figure:
    def starts(daemon: str) -> list[list[float]]:
        return [
            [sample.first_ms] for sample in results.starts if (sample.scenario, sample.daemon) == (scenario, daemon)
        ]

    return _figure(results, scenario, "start to BACKUP", "ms", starts, 50)


def _steady(results: Results) -> Iterable[Figure]:
    def of(value: Callable[[SteadySample], list[float]]) -> Callable[[str], list[list[float]]]:
        return lambda daemon: [value(sample) for sample in results.steady if sample.daemon == daemon]

    key = STEADY.key
    yield _figure(results, key, "CPU of the master", "% of a core", of(lambda sample: [sample.master_cpu_percent]), 50)
    yield _figure(results, key, "CPU of the backup", "% of a core", of(lambda sample: [sample.backup_cpu_percent]), 50)
    memory = of(lambda sample: [max(sample.master_pss_mb, sample.backup_pss_mb)])
    yield _figure(results, key, "memory (PSS)", "MB", memory, 50)
    errors = of(lambda sample: list(sample.interval_errors_ms))
    for name, percent in (("p50", 50), ("p99", 99), ("max", 100)):
        yield _figure(results, key, f"interval error {name}", "ms", errors, percent)
    failovers = of(lambda sample: [sample.false_failovers])
    yield _figure(results, key, "false failovers", "", failovers, 100)


def _busy(results: Results) -> Iterable[Figure]:
    def errors(daemon: str) -> list[list[float]]:
        return [list(sample.interval_errors_ms) for sample in results.busy if sample.daemon == daemon]

    def failovers(daemon: str) -> list[list[float]]:
        return [[sample.false_failovers] for sample in results.busy if sample.daemon == daemon]

    for name, percent in (("p50", 50), ("p99", 99)):
        yield _figure(results, BUSY.key, f"interval error {name}", "ms", errors, percent)
    yield _figure(results, BUSY.key, "false failovers", "", failovers, 100)
