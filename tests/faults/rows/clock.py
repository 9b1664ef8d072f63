"""The wall clock is set. Programs/shifted_clock.py says how, and what that proves."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from bench.daemons import ROOT, Program
from tests.faults.registry import row
from tests.faults.stage import Node, Stage

CLOCK_MONOTONIC = 1
PROGRAM = Path(__file__).parents[1] / "programs" / "shifted_clock.py"


@row(
    "clock",
    "Clock set back and forth by a day",
    done="No process can have a wall clock of its own, so every way in which Python code reads it is shifted within "
    "the daemon: a day forward, two days back, a day forward.",
    master="Nothing changes but the times in the log. Its kernel timers run on CLOCK_MONOTONIC, as /proc shows.",
    backup="The same.",
    only_vrrpd="the clock is shifted within the Python interpreter",
)
def clock(stage: Stage) -> None:
    victim = stage.victim
    victim.stop()
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    victim.start(Program("vrrpd", (sys.executable, str(PROGRAM), "run", "-f", "{config}"), environment=environment))
    stage.expect_master(stage.r1, "with a clock that can be set")
    stage.expect(lambda: victim.states()[-1:] in (["MASTER"], ["BACKUP"]), f"{victim.name} is in service")
    stage.must(timers_are_monotonic(victim), "every timer of the kernel runs on CLOCK_MONOTONIC")
    stage.mark()
    today = days(victim)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
        os.kill(victim.pid, number)
        stage.hold(stage.down_interval)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    # The clock did move for the daemon: a reload at a day's distance says so in the log.
    os.kill(victim.pid, signal.SIGUSR1)
    victim.signal(signal.SIGHUP)
    stage.expect(lambda: days(victim) - today, "the log shows that the daemon's clock was set")
    os.kill(victim.pid, signal.SIGUSR2)
    stage.hold(stage.down_interval)
    os.kill(victim.pid, signal.SIGUSR1)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)


def days(node: Node) -> set[str]:
    """The dates that the log has."""
    return set(re.findall(r"^(\d{4}-\d\d-\d\d)T", node.log(), re.MULTILINE))


def timers_are_monotonic(node: Node) -> bool:
    """Whether all timer descriptors of a process, and there is one, run on CLOCK_MONOTONIC (proc(5))."""
    clocks = []
    for path in Path(f"/proc/{node.pid}/fdinfo").iterdir():
        clocks += re.findall(r"^clockid:\s*(\d+)", path.read_text(), re.MULTILINE)
    return bool(clocks) and set(map(int, clocks)) == {CLOCK_MONOTONIC}
