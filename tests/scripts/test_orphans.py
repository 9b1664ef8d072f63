"""Children that the daemon never had. The parent here makes itself a subreaper, which process 1 is by nature."""

from __future__ import annotations

import json
import subprocess
import sys

PARENT = """
import asyncio, ctypes, json, os, subprocess, sys, time
from vrrpd.orphans import OrphanReaper

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
ORPHANS = int(sys.argv[1])

async def main():
    own = subprocess.Popen(["sh", "-c", "exit 7"])
    os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
    reaper = OrphanReaper(lambda pid: pid == own.pid)
    reaper.start()
    # The shell in the middle ends at once, which leaves its background jobs to us.
    jobs = " ".join(["sleep 0.01 &"] * ORPHANS)
    middle = subprocess.Popen(["sh", "-c", jobs])
    deadline = time.monotonic() + 20
    # own is waited for only now: until then it hides all the others.
    await asyncio.sleep(0)
    before = reaper.reaped
    status = own.wait()
    while reaper.reaped < ORPHANS + 1 and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    reaper.close()
    try:
        left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
        left = "running children" if left is None else left.si_pid
    except ChildProcessError:
        left = None
    print(json.dumps({"before": before, "status": status, "reaped": reaper.reaped, "left": left}))

asyncio.run(main())
"""


def run_parent(orphans: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(orphans)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_orphans_are_reaped_and_a_child_that_is_waited_for_keeps_its_status() -> None:
    # 3 orphans and the shell that left them, which nobody waits for either.
    assert run_parent(3) == {"before": 0, "status": 7, "reaped": 4, "left": None}


def test_more_orphans_than_are_reaped_at_once_are_all_reaped() -> None:
    assert run_parent(200) == {"before": 0, "status": 7, "reaped": 201, "left": None}
