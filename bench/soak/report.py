"""What came of a soak, in words."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

from bench.percentiles import percentile
from bench.soak.flat import FEWEST, WARM_UP, Series, Tolerance, Verdict, after_warm_up, judge
from bench.soak.run import INTERVAL_MS, NODES, ROUTERS, Record

TITLES: Final[dict[str, tuple[str, str]]] = {
    "rss": ("memory of the daemon (RSS)", "MB"),
    "own": ("own memory of all its processes (anonymous)", "MB"),
    "pss": ("memory of all its processes (PSS)", "MB"),
    "descriptors": ("file descriptors", ""),
    "processes": ("processes", ""),
    "threads": ("threads", ""),
    "tasks": ("tasks", ""),
    "timers": ("timers of routers", ""),
    "loop_timers": ("timers of the event loop", ""),
}
"""What a sample's fields are, and their units."""

TOLERANCES: Final[dict[str, Tolerance]] = {
    "rss": Tolerance(0.5, 0.02),
    "own": Tolerance(0.5, 0.02),
    "descriptors": Tolerance(0.5),
    "processes": Tolerance(0.5),
    "threads": Tolerance(0.5),
    "tasks": Tolerance(0.5),
    "timers": Tolerance(0.5),
    "loop_timers": Tolerance(2.0),
}
"""What is judged. Not the PSS: it rises when another Python program ends, which had a share in the same pages."""

LATEST_MS: Final = 2.0 * INTERVAL_MS
"""An advertisement that is later than this is nearly a failover."""


def series(record: Record, node: str, name: str) -> Series:
    """One field of one node's samples, without those taken while something was done."""
    times = [
        ((disturbance.start_ns - record.started_ns) / 1e9, (disturbance.end_ns - record.started_ns) / 1e9)
        for disturbance in record.disturbances
    ]
    return [
        (sample.at, float(getattr(sample, name)))
        for sample in record.samples
        if sample.node == node and not any(start <= sample.at <= end for start, end in times)
    ]


def verdicts(record: Record) -> list[Verdict]:
    """Every series of both nodes, judged."""
    return [
        judge(f"{node}: {TITLES[name][0]}", TITLES[name][1], series(record, node, name), tolerance)
        for node in NODES
        for name, tolerance in TOLERANCES.items()
    ]


def told(record: Record) -> list[str]:
    """The lines of the table for what is measured and not judged."""
    lines = []
    for node in NODES:
        for name, (title, unit) in TITLES.items():
            values = [value for _, value in after_warm_up(series(record, node, name))]
            if name not in TOLERANCES and values:
                median = statistics.median(values)
                lines.append(f"| {node}: {title} | {median:.2f} {unit} | | | {len(values)} | not judged |")
    return lines


def punctuality(record: Record) -> dict[str, float]:
    """How far the pauses between advertisements are from the interval; nothing where there are none."""
    errors = [pause.error_ms for pause in record.pauses.pauses]
    if not errors:
        return {}
    return {"p50": percentile(errors, 50), "p99": percentile(errors, 99), "max": max(errors), "count": len(errors)}


def failures(record: Record, judged: Sequence[Verdict]) -> list[str]:
    """Why the soak has failed, if it has."""
    found = list(record.problems)
    found += [f"{verdict.name}: not flat" for verdict in judged if not verdict.flat]
    late = punctuality(record)
    if not late:
        found.append("no advertisements were seen")
    elif late["max"] > LATEST_MS:
        found.append(f"an advertisement was {late['max']:.0f} ms off its time, expected at most {LATEST_MS:g} ms")
    if record.pauses.intruders:
        found.append(f"{len(record.pauses.intruders)} advertisements came from a node whose job it was not")
    return found


def markdown(record: Record, judged: Sequence[Verdict], machine: dict[str, Any], plots: Sequence[str]) -> str:
    """The report."""
    failed = failures(record, judged)
    late = punctuality(record)
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.started_ns / 1e9))
    lines = [
        "# Soak",
        "",
        f"{record.minutes:g} minutes from {day}: two nodes, {ROUTERS} virtual routers (IPv4 and IPv6), an "
        f"advertisement each {INTERVAL_MS} ms, a check each second, a notify script for each change of state. "
        f"{machine['cores']} cores ({machine['cpu']}), kernel {machine['kernel']}, Python {machine['python']}, load "
        f"{machine['load_at_start']:.2f} at the start.",
        "",
        "**Verdict: " + ("flat, and on time**" if not failed else "NOT as it must be**"),
        "",
        *(f"- {line}" for line in failed),
        *([""] if failed else []),
        f"Flat: after the warm-up (the first {WARM_UP:.0%}) a line through the samples (Theil-Sen) rises by no more "
        f"than the limit; falling is flat, fewer than {FEWEST} samples are not. Samples while something was done are "
        "left out.",
        "",
        "| series | median | rise | limit | samples | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    lines += [
        f"| {verdict.name} | {verdict.level:.2f} {verdict.unit} | {verdict.rise:+.3f} | {verdict.limit:.2f} "
        f"| {verdict.samples} | {'flat' if verdict.flat else '**NOT FLAT**'} |"
        for verdict in judged
    ]
    lines += told(record)
    if late:
        lines += [
            "",
            f"Advertisements: {late['count']:.0f} pauses; off their time by {late['p50']:.2f} ms (p50), "
            f"{late['p99']:.2f} ms (p99), {late['max']:.2f} ms (max).",
        ]
    lines += ["", "| what was done | after | for |", "|---|--:|--:|"]
    lines += [
        f"| {disturbance.what} | {(disturbance.start_ns - record.started_ns) / 60e9:.1f} min "
        f"| {(disturbance.end_ns - disturbance.start_ns) / 1e9:.1f} s |"
        for disturbance in record.disturbances
    ]
    lines += ["", *(f"![{name}]({name})" for name in plots), ""]
    return "\n".join(lines)
