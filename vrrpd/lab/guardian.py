"""The process that cleans up after a lab that died without a word (SIGKILL, the OOM killer).

Started with the path of this file, it reads from standard input what the lab has made, one item a line:
``namespace DEVICE INODE``, ``name PATH``, and ``done`` when the lab has cleaned up by itself. At the end of input
without ``done`` it kills what still runs in those namespaces and removes the public names. Standard library only: it
must start fast.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from typing import Final, TypeAlias

Identity: TypeAlias = tuple[int, int]
"""Device and inode of a network namespace."""

ROUNDS: Final = 500
ROUND_PAUSE: Final = 0.01
"""Seconds between two looks for processes; those killed need a moment, and some may just have forked."""

MNT_DETACH: Final = 2


def namespace_of(pid: int) -> Identity | None:
    """The network namespace of a process, or None when it is gone, dying or not ours to look at."""
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def processes_in(namespaces: Collection[Identity]) -> list[int]:
    """The processes in any of the namespaces, but for the calling one."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if pid != os.getpid() and namespace_of(pid) in namespaces]


def kill_processes_in(namespaces: Collection[Identity]) -> list[int]:
    """Kill every process in the namespaces until none is left; returns those that would not die."""
    for _ in range(ROUNDS):
        pids = processes_in(namespaces)
        if not pids:
            return []
        for pid in pids:
            with contextlib.suppress(OSError):
                _kill(pid, namespaces)
        time.sleep(ROUND_PAUSE)
    return processes_in(namespaces)


def _kill(pid: int, namespaces: Collection[Identity]) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        # Looked at again with the descriptor in hand: the number may have gone to a stranger since.
        if namespace_of(pid) in namespaces:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)


def remove_name(path: str) -> None:
    """Remove a namespace's public name: the bind mount and the file under it. May be called twice."""
    ctypes.CDLL(None).umount2(path.encode(), MNT_DETACH)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def main() -> None:
    """Wait for the lab's end and clean up if it did not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    namespaces: set[Identity] = set()
    names: list[str] = []
    for line in sys.stdin:
        match line.split():
            case ["namespace", device, inode]:
                namespaces.add((int(device), int(inode)))
            case ["name", path]:
                names.append(path)
            case ["done"]:
                return
    for path in names:
        remove_name(path)
    kill_processes_in(namespaces)


if __name__ == "__main__":
    main()
