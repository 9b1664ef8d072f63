"""The pictures: distribution of the overhead, outage over time, takeover of many routers as a cumulative curve.

It needs matplotlib, which the ``bench`` extra brings.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.percentiles import percentile
from bench.results import EventSample, Results
from bench.scenarios import MANY_ROUTERS, SCENARIOS, SINGLE, Event, Scenario

mpl.use("Agg")
from matplotlib import pyplot

COLOURS: Final = ("tab:red", "tab:blue", "tab:green", "tab:purple")
DOTS_PER_INCH: Final = 120


def draw(results: Results, directory: Path) -> list[tuple[str, str]]:
    """Draw what there are samples for and return titles and file names."""
    drawn: list[tuple[str, str]] = []
    for scenario in SCENARIOS:
        if any(sample.scenario == scenario.key and sample.takeovers for sample in results.events):
            title = f"Overhead of a takeover: {scenario.title}"
            drawn.append((title, _distribution(results, scenario, title, directory)))
    if any(sample.scenario == SINGLE.key and sample.outage_ms is not None for sample in results.events):
        title = f"What the client misses, round by round: {SINGLE.title}"
        drawn.append((title, _outages(results, title, directory)))
    if any(sample.scenario == MANY_ROUTERS.key and sample.takeovers for sample in results.events):
        title = f"Takeover of many routers: {MANY_ROUTERS.title}"
        drawn.append((title, _cumulative(results, title, directory)))
    return drawn


def _samples(results: Results, scenario: Scenario, event: Event, daemon: str) -> list[EventSample]:
    return [
        sample
        for sample in results.events
        if (sample.scenario, sample.event, sample.daemon) == (scenario.key, event, daemon)
    ]


def _events(results: Results, scenario: Scenario) -> list[Event]:
    present = {sample.event for sample in results.events if sample.scenario == scenario.key}
    return [event for event in Event if event in present]


def _panels(results: Results, scenario: Scenario, title: str) -> tuple[Any, list[tuple[Any, Event]]]:
    events = _events(results, scenario)
    figure, axes = pyplot.subplots(
        1, len(events), figsize=(3.2 * len(events) + 0.8, 3.6), squeeze=False, layout="constrained"
    )
    figure.suptitle(title)
    for axis, event in zip(axes[0], events, strict=True):
        axis.set_title(event.value)
        axis.grid(alpha=0.3)
    return figure, list(zip(axes[0], events, strict=True))


def _save(figure: Any, directory: Path, name: str) -> str:
    figure.savefig(directory / name, dpi=DOTS_PER_INCH)
    pyplot.close(figure)
    return name


def _distribution(results: Results, scenario: Scenario, title: str, directory: Path) -> str:
    figure, panels = _panels(results, scenario, title)
    for axis, event in panels:
        for colour, name in zip(itertools.cycle(COLOURS), results.names, strict=False):
            values = sorted(
                overhead for sample in _samples(results, scenario, event, name) for overhead in sample.overheads_ms
            )
            if values:
                shares = [100 * index / len(values) for index in range(len(values) + 1)]
                label = f"{name} (p50 {percentile(values, 50):.2f} ms)"
                axis.step([values[0], *values], shares, where="post", color=colour, label=label)
        axis.set_xscale("symlog", linthresh=0.1)
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("overhead, ms")
        axis.set_ylim(0, 101)
        axis.legend(fontsize=7, loc="lower right")
    panels[0][0].set_ylabel("percent of the addresses")
    return _save(figure, directory, f"overhead-{scenario.key}.png")


def _outages(results: Results, title: str, directory: Path) -> str:
    figure, panels = _panels(results, SINGLE, title)
    for axis, event in panels:
        highest = 1.0
        for colour, name in zip(itertools.cycle(COLOURS), results.names, strict=False):
            points = [
                ((sample.at_ns - results.started_ns) / 60e9, sample.outage_ms)
                for sample in _samples(results, SINGLE, event, name)
                if sample.outage_ms is not None
            ]
            if points:
                axis.plot([x for x, _ in points], [y for _, y in points], "o-", ms=3, lw=0.7, color=colour, label=name)
                highest = max(highest, *(y for _, y in points))
        axis.set_xlabel("minutes since the start")
        axis.set_ylim(0, 1.15 * highest)
        axis.legend(fontsize=7)
    panels[0][0].set_ylabel("longest pause in the replies, ms")
    return _save(figure, directory, "outage.png")


def _cumulative(results: Results, title: str, directory: Path) -> str:
    figure, panels = _panels(results, MANY_ROUTERS, title)
    for axis, event in panels:
        for colour, name in zip(itertools.cycle(COLOURS), results.names, strict=False):
            for index, sample in enumerate(_samples(results, MANY_ROUTERS, event, name)):
                first = min(takeover.allowed_ns for takeover in sample.takeovers) if sample.takeovers else 0
                done = sorted((takeover.announced_ns - first) / 1e6 for takeover in sample.takeovers)
                label = name if index == 0 else None
                axis.step(done, range(1, len(done) + 1), where="post", lw=0.8, color=colour, label=label)
        axis.set_xlabel("ms since the first one may")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7, loc="lower right")
    panels[0][0].set_ylabel("addresses taken over")
    return _save(figure, directory, "takeover-b.png")
