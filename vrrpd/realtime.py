"""Scheduling for hosts whose processors others keep busy: real-time priority, and memory that is never paged out.

Off by default: a daemon of this priority that went wrong would be hard to get at on a host with one processor. Scripts
run as ordinary processes in any case.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from typing import Final

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2


def run_in_real_time() -> list[str]:
    """Asks for round-robin scheduling at its lowest priority and locks all memory; returns what was refused and why."""
    refused = []
    parameters = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
    try:
        # Not for the processes that we start.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, parameters)
    except OSError as error:
        refused.append(f"real-time scheduling (SCHED_RR): {error.strerror}; it needs CAP_SYS_NICE")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | (_MCL_FUTURE if _may_lock_any_amount() else 0)) != 0:
        reason = os.strerror(ctypes.get_errno())
        refused.append(f"locking the memory: {reason}; it needs CAP_IPC_LOCK, or a higher limit (ulimit -l)")
    return refused


def _may_lock_any_amount() -> bool:
    """Lifts the limit of locked memory for good: the daemon gives CAP_IPC_LOCK up."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
