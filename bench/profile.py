"""Where the time goes: ``python -m bench.profile``. Writes the pictures and figures of docs/performance.md.

- A timeline of the takeover of one router (median of some crashes), as the daemon is, and without waking early.
- Flame graphs of master and backup with 254 routers at 100 ms, by py-spy, where that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench import daemons
from bench.daemons import ROOT, Program
from bench.scenarios import SINGLE, STEADY, Event, Job
from bench.stage import Stage
from bench.timeline import FILE, PLAIN
from vrrpd.lab import Lab, ensure_privileges

mpl.use("Agg")
from matplotlib import pyplot

STEPS: Final = ("wake", "rehearse", "decide", "advertisement", "addresses", "announcement")
COLOURS: Final = dict(zip(STEPS, ("black", "tab:gray", "tab:orange", "tab:blue", "tab:green", "tab:red"), strict=True))
Timeline = dict[str, tuple[float, float]]


def main() -> int:
    """Measures and draws; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Show where the time goes.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "profile", metavar="DIRECTORY")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="crashes for each timeline (default: 15)")
    parser.add_argument("--seconds", type=int, default=10, metavar="S", help="for each flame graph (default: 10)")
    options = parser.parse_args()
    ensure_privileges()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vrrpd-profile-") as directory, Lab() as lab:
        stage = Stage(lab, Path(directory), seed=1)
        timelines = {
            "sleeping until the deadline": _timeline(stage, options.rounds, plain=True),
            "as it is": _timeline(stage, options.rounds, plain=False),
        }
        (options.output / "takeover.json").write_text(json.dumps(timelines, indent=1) + "\n", encoding="ascii")
        _draw(timelines, options.output / "takeover.png")
        for name, steps in timelines.items():
            print(name, {step: f"{begun:.0f} to {done:.0f} us" for step, (begun, done) in steps.items()})
        _flame_graphs(stage, options.seconds, options.output)
    print(f"{options.output}: {', '.join(sorted(path.name for path in options.output.iterdir()))}")
    return 0


def _timeline(stage: Stage, rounds: int, plain: bool) -> Timeline:
    """The median begin and end of each step of a takeover, microseconds from the deadline."""
    file = stage.directory / ("plain.jsonl" if plain else "timeline.jsonl")
    ours = daemons.vrrpd()
    watched = Program(
        ours.name,
        (sys.executable, "-m", "bench.timeline", "run", "-f", daemons.PLACEHOLDER),
        ours.version,
        {**ours.environment, FILE: str(file), **({PLAIN: "1"} if plain else {})},
    )
    found: list[dict[str, Any]] = []
    job = Job(SINGLE, 1, (Event.CRASH,))
    for number in range(rounds):
        file.unlink(missing_ok=True)
        with stage.round(watched, job, number) as current:
            current.begin()
            # What came before is the start.
            file.unlink(missing_ok=True)
            current.fail_over()
        found += [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()][:1]
        print(f"\r{'plain' if plain else 'early'} {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    steps: Timeline = {}
    for step in STEPS:
        seen = [next(([b, d] for label, b, d in entry["steps"] if label == step and d > b), None) for entry in found]
        times = [entry for entry in seen if entry is not None]
        if step == "wake":
            times = [[entry["steps"][0][1]] * 2 for entry in found]
        if times:
            steps[step] = (statistics.median(b for b, _ in times), statistics.median(d for _, d in times))
    return steps


def _draw(timelines: dict[str, Timeline], file: Path) -> None:
    figure, axis = pyplot.subplots(figsize=(9, 2.6), layout="constrained")
    for row, steps in enumerate(timelines.values()):
        for step, (begun, done) in steps.items():
            width = max(done - begun, 4.0)
            axis.barh(row, width, left=begun, height=0.5, color=COLOURS[step], label=step if row else None)
    axis.axvline(0.0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(timelines)), list(timelines))
    axis.set_xlabel("microseconds from the end of the master-down interval")
    axis.set_title("One takeover, median of each step")
    axis.legend(ncols=6, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.3))
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _flame_graphs(stage: Stage, seconds: int, directory: Path) -> None:
    recorder = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if recorder is None:
        print("bench.profile: no flame graphs: py-spy is missing (pip install py-spy)", file=sys.stderr)
        return
    job = replace(Job(STEADY, 1, seconds=seconds), measures_start=False)
    with stage.round(daemons.vrrpd(), job, 0) as current:
        current.begin()
        time.sleep(1.0)
        for name, role in (("r1", "master"), ("r2", "backup")):
            _record(recorder, current.main_pid(name), seconds, directory / f"steady-{role}.svg", f"254 routers: {role}")


def _record(recorder: str, pid: int, seconds: int, file: Path, title: str) -> None:
    command: Sequence[str] = (
        recorder, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", "500", "--native",
        "--format", "flamegraph", "--output", str(file),
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        print(f"bench.profile: {title}: {done.stderr.strip()}", file=sys.stderr)
        return
    # Where things lie on this machine is nobody's business.
    text = file.read_text(encoding="utf-8")
    for place in (str(ROOT), sys.prefix, sys.base_prefix):
        text = text.replace(f"{place}/", "")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
