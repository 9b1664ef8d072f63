"""A program with little room: ``confined.py small|full|readonly LOG COMMAND ...``.

Its /run and /dev/shm are file systems of a few kilobytes (``small``), with nothing left in them (``full``), or
read-only. Its output goes to LOG, which may be on one of them. mount(2), unshare(2). Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 0x4000, 1 << 18
PLACES = ("/run", "/dev/shm")
OPTIONS = b"size=64k,nr_inodes=32,mode=755"


def check(result: int, what: str) -> None:
    """Say what failed."""
    if result != 0:
        sys.exit(f"confined: {what}: {os.strerror(ctypes.get_errno())}")


def fill(path: str) -> None:
    """Use up the bytes and the files that a file system has."""
    with contextlib.suppress(OSError), open(f"{path}/fill", "ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with contextlib.suppress(OSError):
        for number in range(1000):
            os.close(os.open(f"{path}/{number}.fill", os.O_CREAT | os.O_WRONLY, 0o600))


def main(kind: str, log: str, command: list[str]) -> None:
    """Confine this process and become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "private mounts")
    for place in PLACES:
        check(libc.mount(b"none", place.encode(), b"tmpfs", ctypes.c_ulong(0), OPTIONS), f"tmpfs on {place}")
    if log != "-":
        output = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
    for place in PLACES:
        if kind == "full":
            fill(place)
        if kind == "readonly":
            flags = ctypes.c_ulong(MS_REMOUNT | MS_RDONLY)
            check(libc.mount(b"none", place.encode(), None, flags, None), f"{place} read-only")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
