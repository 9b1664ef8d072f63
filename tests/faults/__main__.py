"""``make faults``: the whole matrix some times in a row, beside keepalived, and the table in docs/faults.md.

Exit codes: 0 everything held with vrrpd each time, 1 something did not, 2 the command line is wrong, 77 this machine
allows no namespaces, or has no nft, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tests.faults.rows  # noqa: F401 (fills the list)
from bench.daemons import NoSuchDaemon, Program, keepalived, vrrpd
from bench.progress import Progress
from bench.results import machine
from tests.faults.document import Report, outage, table, unmet, write_page
from tests.faults.play import Case, StallWatch, play_all, watching
from tests.faults.registry import ROWS, Role
from tests.faults.stage import VRRPD, Result
from vrrpd.lab import EXIT_UNAVAILABLE, LabUnavailable, ensure_privileges

OUTPUT: Final = Path("build/faults")
SIDE_BY_SIDE: Final = 3
"""Fewer than in the tests: here the figures count."""
PROBE_INTERVAL: Final = 0.002
SECONDS_PER_CASE: Final = {True: 8.0, False: 2.5}
"""A guess for the progress: alone, side by side."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, write; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.again:
        write_page(Report.from_json(json.loads((OUTPUT / "results.json").read_text(encoding="utf-8"))))
        return 0
    try:
        ensure_privileges()
        if shutil.which("nft") is None:
            raise NoSuchDaemon("there is no nft (nftables), which loses the frames")
        programs = [vrrpd()]
        if not options.alone:
            programs.append(keepalived())
    except (LabUnavailable, NoSuchDaemon) as problem:
        print(f"faults: {problem}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    rows = [ROWS[key] for key in options.row or ROWS]
    facts, day = machine(), time.strftime("%Y-%m-%d", time.gmtime())
    seconds = options.rounds * len(programs) * 2 * sum(SECONDS_PER_CASE[row.alone] for row in rows)
    progress = Progress(seconds)
    results: list[Result] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with watching() as watch:
            for number in range(1, options.rounds + 1):
                for program in programs:
                    cases = [
                        Case(row, role, program, PROBE_INTERVAL)
                        for row in rows
                        for role in Role
                        if program.name == VRRPD or row.only_vrrpd is None
                    ]
                    results += _round(cases, watch, progress, f"round {number}, {program.name}")
    except KeyboardInterrupt:
        print("\nfaults: interrupted", file=sys.stderr)
        return 130
    report = Report(
        tuple(results), {program.name: _version(program) for program in programs}, facts, day, options.rounds
    )
    print("\n".join(table(report)))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(report.to_json(), indent=1), encoding="utf-8")
    if options.write:
        write_page(report)
    failed = sum(bool(result.unmet) for result in results if result.program == VRRPD)
    played = sum(result.program == VRRPD for result in results)
    print(f"\nvrrpd: {played - failed} of {played} plays went as they must; {OUTPUT}/results.json has all figures")
    return 1 if failed else 0


def _round(cases: Sequence[Case], watch: StallWatch, progress: Progress, what: str) -> list[Result]:
    futures = play_all(cases, watch, SIDE_BY_SIDE)
    results = []
    for case in sorted(cases, key=lambda case: case.row.alone):
        result = futures[case.row.key, case.role].result()
        results.append(result)
        verdict = "as it must" if not result.unmet else "; ".join(unmet([result]))
        for cause in result.voided:
            progress.line(f"{what}: {case.row.title}, {case.role.value}: the machine stood still, void: {cause}")
        progress.line(f"{what}: {case.row.title}, {case.role.value}: outage {outage([result])}, {verdict}")
        if result.unmet and result.program == VRRPD:
            OUTPUT.mkdir(parents=True, exist_ok=True)
            log = OUTPUT / f"{result.row}-{result.role.value}.log"
            log.write_text("\n\n".join(f"{name}:\n{text}" for name, text in result.logs.items()), encoding="utf-8")
    return results


def _version(program: Program) -> str:
    return program.version.partition(",")[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Plays the fault matrix.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often in a row (default: 3)")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this one (may be repeated)")
    parser.add_argument("--alone", action="store_true", help="without keepalived beside it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    parser.add_argument("--again", action="store_true", help="play nothing, put the last run's figures into the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
