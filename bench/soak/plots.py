"""The pictures of a soak; like ``bench.plots`` it needs matplotlib, which the ``bench`` extra brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.soak.report import TITLES
from bench.soak.run import NODES, Record

mpl.use("Agg")
from matplotlib import pyplot

COUNTS: Final = ("descriptors", "processes", "threads", "tasks", "timers", "loop_timers")
COLOURS: Final = {"r1": "tab:blue", "r2": "tab:red"}


def draw(record: Record, directory: Path) -> list[str]:
    """Draw memory, counts and punctuality; returns the file names."""
    return [
        _series(record, ("rss", "own", "pss"), directory, "memory.png"),
        _series(record, COUNTS, directory, "counts.png"),
        _pauses(record, directory, "advertisements.png"),
    ]


def _series(record: Record, names: tuple[str, ...], directory: Path, file: str) -> str:
    figure, axes = pyplot.subplots(
        len(names), 1, figsize=(9, 1.8 * len(names) + 0.6), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        title, unit = TITLES[name]
        for node in NODES:
            points = [(sample.at / 60, getattr(sample, name)) for sample in record.samples if sample.node == node]
            axis.plot([x for x, _ in points], [y for _, y in points], lw=0.9, color=COLOURS[node], label=node)
        axis.set_title(f"{title}{f', {unit}' if unit else ''}", fontsize=9)
        axis.set_ylim(bottom=0)
        _mark(axis, record)
    axes[0, 0].legend(fontsize=7)
    axes[-1, 0].set_xlabel("minutes")
    return _save(figure, directory, file)


def _pauses(record: Record, directory: Path, file: str) -> str:
    figure, axis = pyplot.subplots(figsize=(9, 3.2), layout="constrained")
    pauses = record.pauses.pauses
    minutes = [(pause.at_ns - record.started_ns) / 60e9 for pause in pauses]
    axis.plot(minutes, [pause.error_ms for pause in pauses], ".", ms=1.5)
    axis.set_yscale("symlog", linthresh=1)
    axis.set_title("how far the pauses between advertisements are from the interval, ms", fontsize=9)
    axis.set_xlabel("minutes")
    _mark(axis, record)
    return _save(figure, directory, file)


def _mark(axis: Any, record: Record) -> None:
    axis.grid(alpha=0.3)
    for disturbance in record.disturbances:
        start, end = ((moment - record.started_ns) / 60e9 for moment in (disturbance.start_ns, disturbance.end_ns))
        axis.axvspan(start, end, color="0.85")


def _save(figure: Any, directory: Path, name: str) -> str:
    figure.savefig(directory / name, dpi=110)
    pyplot.close(figure)
    return name
