"""The wall clock is read for timestamps for people, and for how long a packet has waited: setting it moves no timer.

A kernel's time stamp is believed for a tenth of a second and never beyond now (``vrrpd.links``).
"""

from __future__ import annotations

import ast
import asyncio
import time
from pathlib import Path

import vrrpd

PACKAGE = Path(vrrpd.__file__).parent

WALL_CLOCK = {
    "time": {"time", "time_ns", "ctime", "localtime", "gmtime", "asctime", "strftime", "CLOCK_REALTIME"},
    "datetime": {"now", "utcnow", "today", "fromtimestamp"},
    "date": {"today"},
}

TIMESTAMPS = {
    ("daemon.py", "time.time"): "when the daemon started, when a reload ended",
    ("links.py", "time.time"): "how long ago the kernel took a packet in, within bounds",
    ("logs.py", "time.strftime"): "a log line's time",
    ("logs.py", "time.gmtime"): "a log line's time, of the moment that logging recorded",
    ("reports.py", "time.time"): "when a state changed",
    ("status.py", "datetime.fromtimestamp"): "a timestamp as text",
    ("unit.py", "time.time"): "when a state changed",
}
"""Where the wall clock may be read, and what for."""


def readings(path: Path) -> set[tuple[str, str]]:
    """Every name of the wall clock that a file uses."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in WALL_CLOCK.get(owner, ()):
                found.add((str(path.relative_to(PACKAGE)), f"{owner}.{node.attr}"))
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            names = {alias.name for alias in node.names} & WALL_CLOCK["time"]
            found |= {(str(path.relative_to(PACKAGE)), f"time.{name}") for name in names}
    return found


def test_the_wall_clock_is_read_for_timestamps_only() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "lab" not in path.relative_to(PACKAGE).parts]
    assert set().union(*map(readings, files)) == TIMESTAMPS.keys()


def test_the_event_loop_runs_on_the_monotonic_clock() -> None:
    loop = asyncio.new_event_loop()
    try:
        before = time.monotonic()
        assert before <= loop.time() <= time.monotonic()
    finally:
        loop.close()
