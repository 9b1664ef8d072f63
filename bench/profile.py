"""Where the time goes: ``python -m bench.profile``. Writes the pictures and figures of docs/performance.md.

- A timeline of the takeover of one router (median of some crashes), as the daemon is, and without waking early; with
  every rehearsal before it.
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

COLOURS: Final = {
    "wake": "black",
    "rehearse": "tab:gray",
    "decide": "tab:orange",
    "lay out": "tab:purple",
    "advertisement": "tab:blue",
    "addresses": "tab:green",
    "announcement": "tab:red",
}
"""Of each step."""
LEAVING: Final = ("advertisement", "addresses", "announcement")
"""None of these is done before the deadline: calls until then had nothing to send."""
Timeline = dict[str, list[tuple[float, float]]]
"""By step, begin and end of each time that it is taken, in microseconds from the deadline: a takeover is rehearsed more
than once."""


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
        draw(timelines, options.output / "takeover.png")
        for name, steps in timelines.items():
            for step, spans in steps.items():
                print(f"{name}: {step}:", ", ".join(f"{begun:.0f} to {done:.0f} us" for begun, done in spans))
        _flame_graphs(stage, options.seconds, options.output)
    print(f"{options.output}: {', '.join(sorted(path.name for path in options.output.iterdir()))}")
    return 0


def _timeline(stage: Stage, rounds: int, plain: bool) -> Timeline:
    """Crashes, and the median of what the daemon noted of each takeover."""
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
    return median_of([entry["steps"] for entry in found])


def median_of(takeovers: Sequence[Sequence[Sequence[Any]]]) -> Timeline:
    """The median begin and end of each step; each takeover is its steps in order: label, begin, end.

    Of a step that is taken more than once there are as many as the median takeover has, the first to be the median of
    all first ones.
    """
    steps: Timeline = {}
    for step in COLOURS:
        if step == "wake":
            spans = [[(noted[0][1], noted[0][1])] for noted in takeovers]
        else:
            spans = [
                [(b, d) for label, b, d in noted if label == step and d > b and (d > 0 or step not in LEAVING)]
                for noted in takeovers
            ]
        # Only rehearsals are repeated on purpose; of every other step the first is the one that counts.
        most = statistics.median_low([len(seen) for seen in spans]) if step == "rehearse" and spans else 1
        numbered = ([seen[number] for seen in spans if len(seen) > number] for number in range(most))
        medians = [
            (statistics.median(begun for begun, _ in times), statistics.median(done for _, done in times))
            for times in numbered
            if times
        ]
        if medians:
            steps[step] = medians
    return steps


def draw(timelines: dict[str, Timeline], file: Path) -> None:
    """Draw one bar for each time that a step is taken, one row for each timeline."""
    figure, axis = pyplot.subplots(figsize=(9, 2.6), layout="constrained")
    for row, steps in enumerate(timelines.values()):
        for step, spans in steps.items():
            for number, (begun, done) in enumerate(spans):
                label = step if row and number == 0 else None
                axis.barh(row, max(done - begun, 4.0), left=begun, height=0.5, color=COLOURS[step], label=label)
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
    # Not stopped for a sample: a MASTER that is loses its routers to the BACKUP, and what is seen is the quarrel.
    command: Sequence[str] = (
        recorder, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", "200", "--nonblocking",
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
