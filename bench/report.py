"""The figures as text: a table for the terminal, a report in Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bench.figures import BASELINE, OURS, Figure, Verdict
from bench.results import Results
from bench.scenarios import SCENARIOS

METHOD: Final = """\
All daemons read the same keepalived.conf, in alternating rounds, in the same network namespaces. All times are the
kernel's receive stamps (SO_TIMESTAMPNS) of one capture on the bridge between the two routers and a client; a round in
which the capture lost a frame or somebody set the clock is void and repeated.

- **Overhead** (the lines with an event and p50, p95, max): from the moment at which the protocol lets the backup take
  over to the backup's first gratuitous ARP for an address. That moment is the master's last advertisement plus
  Master_Down_Interval or, where that one has priority 0, plus Skew_Time. For a **preemption** it is the preferred
  router's own first advertisement: when it may begin does not show on the wire.
- With one address a percentile is that of all rounds; with more it is the median of each round's own.
- **Outage**: the longest pause in the replies to a client that asks one of the addresses each millisecond, median of
  the rounds. After a crash (SIGKILL) there is hardly one: the dead daemon's kernel goes on to answer.
- **Start to BACKUP**: a lone router's first advertisement less Master_Down_Interval, from exec.
- **CPU**: time on a processor by the scheduler's count (schedstat), all threads of all processes of the daemon.
- **Memory**: proportional set size (smaps_rollup), all processes, the greater one of master and backup.
- **Interval error**: how far the pause between two advertisements of a router is from its interval, without sign.
- **False failover**: the backup advertises a router whose master lives and is connected.
"""


def terminal(figures: Sequence[Figure], results: Results) -> str:
    """The table, and below it what went wrong."""
    header, rows = _table(figures, results.names)
    widths = [max(len(row[column]) for row in [header, *(row for _, row in rows)]) for column in range(len(header))]

    def shown(row: Sequence[str]) -> str:
        cells = (
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    lines = []
    scenario = ""
    for key, row in rows:
        if key != scenario:
            scenario = key
            lines += ["", f"({key}) {_title(key)}", shown(header)]
        lines.append(shown(row))
    lines += ["", _verdicts(figures)]
    if results.problems:
        lines += ["", "Problems:", *(f"  {line}" for problem in results.problems for line in problem.splitlines())]
    return "\n".join(lines)


def markdown(figures: Sequence[Figure], results: Results, plots: Sequence[tuple[str, str]]) -> str:
    """The report; ``plots`` are titles and file names."""
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(results.started_ns / 1e9))
    lines = ["# Benchmark", "", f"{day}. {_verdicts(figures)}", "", "| Daemon | Version |", "|---|---|"]
    lines += [f"| {daemon.name} | {daemon.version} |" for daemon in results.daemons]
    lines += ["", "| Machine | |", "|---|---|"]
    stolen = None if results.stolen is None else f"{results.stolen:.1%}"
    facts: dict[str, Any] = {**results.machine, "load_at_end": results.load_at_end, "stolen": stolen}
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.items() if value is not None]
    scenario = ""
    header, rows = _table(figures, results.names)
    for key, row in rows:
        if key != scenario:
            scenario = key
            lines += ["", f"## ({key}) {_title(key)}", "", _row(header), _row(["---", *["---:"] * (len(header) - 1)])]
        lines.append(_row(row))
    for title, name in plots:
        lines += ["", f"## {title}", "", f"![{title}]({name})"]
    lines += ["", "## Problems", ""]
    lines += [f"- {' '.join(problem.split())}" for problem in results.problems] or ["None."]
    return "\n".join([*lines, "", "## Method", "", METHOD])


def _table(figures: Iterable[Figure], names: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    header = ["figure", "unit", *names, f"{OURS}/{BASELINE}", "target", "", "rounds"]
    rows = []
    for figure in figures:
        counts = [figure.count[name] for name in names]
        row = [
            figure.name,
            figure.unit,
            *(_number(figure.values[name]) for name in names),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.target is None else str(figure.target),
            "" if figure.verdict is None else figure.verdict.value,
            "/".join(map(str, counts)) if len(set(counts)) > 1 else str(counts[0]),
        ]
        rows.append((figure.scenario, row))
    return header, rows


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1000:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _title(key: str) -> str:
    return next(scenario.title for scenario in SCENARIOS if scenario.key == key)


def _verdicts(figures: Sequence[Figure]) -> str:
    verdicts = [figure.verdict for figure in figures if figure.verdict is not None]
    if not verdicts:
        return "No targets were measured."
    reached = verdicts.count(Verdict.REACHED)
    missed = [
        f"({figure.scenario}) {figure.name}: {_number(figure.values[OURS])}"
        + (f", {figure.ratio:.2f}x" if figure.ratio is not None else "")
        + f", expected {figure.target}"
        for figure in figures
        if figure.verdict is Verdict.MISSED
    ]
    text = f"{reached} of {len(verdicts)} measured targets reached"
    return f"{text}." if not missed else f"{text}; missed: {'; '.join(missed)}."
