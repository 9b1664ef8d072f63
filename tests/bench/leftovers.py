"""What a run has left behind, whatever it is called: its processes, and the network namespaces that they were in."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36
"""prctl(2): whoever loses his parent becomes a child of the process that has asked for it."""


class Watch:
    """What there was before a run, and what of the run is there."""

    def __init__(self) -> None:
        self._before: Final = family().keys()
        self._namespaces: Final = all_namespaces()
        self._used: Final[set[str]] = set()

    def look(self) -> set[str]:
        """Note the network namespaces that the run has made so far, and return them."""
        self._used.update(namespaces_of(family().keys() - self._before) - self._namespaces)
        return self._used

    def left(self) -> list[str]:
        """What there still is of the run."""
        processes = [f"process {pid}: {command}" for pid, command in family().items() if pid not in self._before]
        return processes + [f"network namespace {name}" for name in sorted(self._used & all_namespaces())]


@contextmanager
def watching() -> Iterator[Watch]:
    """For the time of the block no process that began in it can leave our family: orphans become our children."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = children(os.getpid())
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    try:
        yield Watch()
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        for pid in children(os.getpid()) - before:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def children(pid: int) -> set[int]:
    """The children of a process, those that have ended and wait for their burial among them."""
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        return {int(word) for task in tasks for word in (task / "children").read_text().split()}
    except OSError:
        return set()  # it has ended


def family() -> dict[int, str]:
    """All that descend from this process and live: what each is called, by its id."""
    found: dict[int, str] = {}
    waiting = [os.getpid()]
    while waiting:
        for pid in children(waiting.pop()):
            waiting.append(pid)
            try:
                alive = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if alive:
                found[pid] = command
    return found


def namespaces_of(pids: Collection[int]) -> set[str]:
    """The network namespaces that these processes are in, or hold by a descriptor; as the kernel writes them."""
    held = set()
    for pid in pids:
        try:
            links = [f"/proc/{pid}/ns/net", *(f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd"))]
        except OSError:
            continue  # it has ended, or is not ours to look at
        for link in links:
            try:
                name = os.readlink(link)
            except OSError:
                continue
            if name.startswith("net:["):
                held.add(name)
    return held


def all_namespaces() -> set[str]:
    """The network namespaces of this machine: those of every process, and those that are mounted somewhere."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    mounted = {line.split()[3] for line in mounts if " - nsfs " in line}
    held = namespaces_of([int(entry) for entry in os.listdir("/proc") if entry.isdigit()])
    return held | {name for name in mounted if name.startswith("net:[")}
