"""What the daemon's own process uses: what has to stay flat over months, for status and for whoever watches it.

Reads /proc/self (proc(5)); what cannot be read, for want of a file descriptor say, is None and no error.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any


def process_status(deadlines: int) -> dict[str, Any]:
    """This process; ``deadlines`` are those of the routers. To be called within the event loop."""
    return {
        "memory": _memory(),
        "file_descriptors": _file_descriptors(),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "timers": deadlines,
        # asyncio has no public name for them, and keeps cancelled ones for a while; another loop may have none at all.
        "loop_timers": sum(not timer.cancelled() for timer in getattr(asyncio.get_running_loop(), "_scheduled", ())),
    }


def _memory() -> int | None:
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _file_descriptors() -> int | None:
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd")) - 1  # not the one that this took
    return None
