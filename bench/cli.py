"""The command line of the benchmark: ``python -m bench``.

Exit codes: 0 measured (whatever the targets say), 1 nothing could be measured, 2 the command line is wrong, 77 this
machine allows no namespaces or there is no keepalived, 130 interrupted (what was measured so far is written).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from bench import daemons, figures, report
from bench.daemons import NoSuchDaemon, Program
from bench.measure import Run, chosen, estimate
from bench.progress import Progress
from bench.results import ProcessorTime, Results, machine
from bench.scenarios import FAILURES, FULL, QUICK, SCENARIOS, Job
from bench.stage import RoundFailed, Stage
from vrrpd.lab import EXIT_UNAVAILABLE, Lab, LabError, LabUnavailable, ensure_privileges

OUTPUT: Final = Path("build/bench")
QUICK_SECONDS: Final = 105.0
"""What ``--quick`` may spend on measuring; with start, plots and report that makes less than two minutes."""
QUIET_LOAD: Final = 0.5
"""A load above this for each core is worth a warning."""
MOST_STOLEN: Final = 0.05
"""A part of the processor time above this that somebody else had is, too."""
EVENTS: Final = {event.name.lower(): event for event in FAILURES}
"""What ``--event`` takes."""
MEASURED, NOTHING_MEASURED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the files; returns the exit code."""
    options = _parser().parse_args(arguments)
    # Before there is a thread: without root the whole process moves into a user namespace.
    try:
        ensure_privileges()
        programs = _programs(options.without, options.daemon)
    except (LabUnavailable, NoSuchDaemon) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    events = None if options.event is None else [EVENTS[name] for name in options.event]
    jobs = chosen(QUICK if options.quick else FULL, options.only, events, options.rounds)
    settings = {
        "quick": options.quick,
        "seed": options.seed,
        "rounds": {job.scenario.key: job.rounds for job in jobs},
        "seconds": {job.scenario.key: job.seconds for job in jobs if job.seconds},
    }
    results = Results(programs, machine(), settings, time.time_ns())
    signal.signal(signal.SIGTERM, _interrupt)
    code = MEASURED
    before = ProcessorTime.now()
    try:
        _measure(results, jobs, options.quick, options.seed)
    except KeyboardInterrupt:
        results.problems.append("interrupted before the end")
        code = INTERRUPTED
    except (RoundFailed, LabError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        results.problems.append(str(problem))
        code = NOTHING_MEASURED
    results.load_at_end = os.getloadavg()[0]
    results.stolen = ProcessorTime.now().stolen_since(before)
    if results.stolen > MOST_STOLEN:
        results.problems.append(
            f"the host of this virtual machine gave {results.stolen:.0%} of the processor time that was wanted to "
            "others: the latencies are as much the host's as the daemons'"
        )
    if not results.measured:
        return code or NOTHING_MEASURED
    _write(results, options.output, options.plots)
    return code


def _measure(results: Results, jobs: Sequence[Job], quick: bool, seed: int) -> None:
    seconds = estimate(jobs, len(results.daemons))
    progress = Progress(min(seconds, QUICK_SECONDS) if quick else seconds)
    load, cores = results.machine["load_at_start"], results.machine["cores"]
    if load > QUIET_LOAD * cores:
        results.problems.append(f"this machine is busy: load {load:.2f} on {cores} cores at the start")
        progress.line(results.problems[-1])
    deadline = time.monotonic() + QUICK_SECONDS if quick else None
    with tempfile.TemporaryDirectory(prefix="vrrpd-bench-") as directory, Lab() as lab:
        Run(Stage(lab, Path(directory), seed), results, progress, deadline).run(jobs)


def _write(results: Results, directory: Path, plots: bool) -> None:
    measured = figures.figures(results)
    print(report.terminal(measured, results))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(results.document()), encoding="utf-8")
    drawn: list[tuple[str, str]] = []
    if plots:
        try:
            # Late, for it takes a second and is not everywhere.
            from bench.plots import draw
        except ImportError:
            print("bench: no plots: matplotlib is missing (pip install 'vrrpd[bench]')", file=sys.stderr)
        else:
            drawn = draw(results, directory)
    (directory / "report.md").write_text(report.markdown(measured, results, drawn), encoding="utf-8")
    names = ", ".join(["report.md", "results.json", *(name for _, name in drawn)])
    print(f"\n{directory}: {names}")


def _programs(without: Sequence[str], given: Sequence[Program]) -> tuple[Program, ...]:
    programs: dict[str, Program] = {}
    if figures.BASELINE not in without and all(program.name != figures.BASELINE for program in given):
        programs[figures.BASELINE] = daemons.keepalived()
    if figures.OURS not in without:
        programs[figures.OURS] = daemons.vrrpd()
    programs.update({program.name: program for program in given})
    if not programs:
        raise NoSuchDaemon("no daemon is left to be measured")
    return tuple(programs.values())


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _daemon(text: str) -> Program:
    try:
        return daemons.given(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _rounds(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} rounds, expected a number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures failovers of vrrpd beside keepalived, in network namespaces.",
        epilog="scenarios: " + "; ".join(f"{scenario.key}: {scenario.title}" for scenario in SCENARIOS),
    )
    parser.add_argument("--quick", action="store_true", help="a round of each scenario, within two minutes")
    parser.add_argument("--rounds", type=_rounds, metavar="N", help="rounds of each scenario")
    parser.add_argument(
        "--only",
        action="append",
        choices=[scenario.key for scenario in SCENARIOS],
        help="only this scenario (may be repeated)",
    )
    parser.add_argument(
        "--event",
        action="append",
        choices=list(EVENTS),
        help="of what happens to a master only this (may be repeated)",
    )
    parser.add_argument(
        "--daemon",
        action="append",
        default=[],
        type=_daemon,
        metavar="NAME=COMMAND",
        help="another daemon; {config} in the command is the path of its keepalived.conf (may be repeated)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[figures.OURS, figures.BASELINE],
        help="leave one of the two out",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIRECTORY", help="default: %(default)s")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw nothing")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which something happens")
    return parser
