"""``python -m bench.soak``: runs, judges, writes build/soak.

Exit codes: 0 flat and on time, 1 not, 2 the command line is wrong, 77 this machine allows no namespaces, 130
interrupted (what was measured so far is judged and written).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench.progress import Progress
from bench.results import machine
from bench.soak import report
from bench.soak.run import Record, Soak
from vrrpd.lab import EXIT_UNAVAILABLE, Lab, LabError, LabUnavailable, ensure_privileges

OUTPUT: Final = Path("build/soak")


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, judge, write; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        ensure_privileges()
    except LabUnavailable as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    facts = machine()
    record = Record(options.minutes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    try:
        with tempfile.TemporaryDirectory(prefix="vrrpd-soak-") as directory, Lab() as lab:
            Soak(lab, Path(directory), record).run(Progress(options.minutes * 60))
    except KeyboardInterrupt:
        record.problems.append("interrupted before the end")
        interrupted = True
    except (LabError, OSError) as problem:
        record.problems.append(str(problem))
    judged = report.verdicts(record)
    directory_out: Path = options.output
    directory_out.mkdir(parents=True, exist_ok=True)
    (directory_out / "samples.json").write_text(
        json.dumps([asdict(sample) for sample in record.samples]), encoding="utf-8"
    )
    text = report.markdown(record, judged, facts, _plots(record, directory_out) if options.plots else [])
    (directory_out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    if interrupted:
        return 130
    return 1 if report.failures(record, judged) else 0


def _plots(record: Record, directory: Path) -> list[str]:
    try:
        # Late, for it takes a second and is not everywhere.
        from bench.soak.plots import draw
    except ImportError:
        print("soak: no plots: matplotlib is missing (pip install 'vrrpd[bench]')", file=sys.stderr)
        return []
    return draw(record, directory)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.2 <= minutes <= 7 * 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} minutes, expected 0.2 to 10080")
    return minutes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Two nodes, for a long time.")
    parser.add_argument("--minutes", type=_minutes, default=30.0, metavar="N", help="default: %(default)g")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIRECTORY", help="default: %(default)s")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
