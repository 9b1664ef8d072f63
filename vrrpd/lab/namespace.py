"""Anonymous network namespaces: made, entered and left by system call, held by a file descriptor and nothing else.

The kernel frees such a namespace with its last descriptor, process and socket, so a lab that dies leaves none behind.
See namespaces(7), unshare(2), setns(2). It knows nothing of links and addresses.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from vrrpd.lab.errors import LabError

T = TypeVar("T")

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18

EXIT_TIMEOUT: Final = 1.0
"""Seconds for a thread that has ended to be gone for the kernel too; it takes microseconds."""

# Python has os.setns and os.unshare from 3.12 only, and no mount.
_libc: Final = ctypes.CDLL(None, use_errno=True)

_OWN_NAMESPACE: Final = "/proc/thread-self/ns/net"


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces of the kinds in ``flags``; raises OSError."""
    if _libc.unshare(flags) != 0:
        raise _last_error("unshare")


def setns(descriptor: int) -> None:
    """Move the calling thread into the network namespace behind ``descriptor``; raises OSError."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise _last_error("setns")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount, as mount(2) says; raises OSError."""
    if _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()) != 0:
        raise _last_error(f"mount {target}")


def _last_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")


def in_a_thread(function: Callable[[], T]) -> T:
    """Run ``function`` in a thread that ends with it, so that whatever it does to its namespaces ends there too."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="lab namespace call", daemon=True)
    thread.start()
    thread.join()
    # Python calls a thread ended a moment before the kernel does; until then it still is in its namespaces, and the
    # process has one thread too many to get a user namespace.
    deadline = time.monotonic() + EXIT_TIMEOUT
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < deadline:
        time.sleep(0)
    if errors:
        raise errors[0]
    return results[0]


def own_mounts_with_private_run() -> None:
    """Give the calling thread a mount namespace of its own in which /run is empty and nobody else's."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("none", "/run", "tmpfs", options="mode=755")


class Namespace:
    """One network namespace, alive at least as long as this object is open."""

    def __init__(self) -> None:
        def create() -> int:
            unshare(CLONE_NEWNET)
            return os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)

        self._descriptor = in_a_thread(create)
        status = os.fstat(self._descriptor)
        self.identity: Final = (status.st_dev, status.st_ino)
        """Device and inode: the same as those of /proc/PID/ns/net of every process in it."""

    @property
    def descriptor(self) -> int:
        """The open file descriptor that holds the namespace."""
        if self._descriptor < 0:
            raise LabError("this network namespace is closed: its lab has ended")
        return self._descriptor

    def close(self) -> None:
        """Let go of the namespace; what still runs in it keeps it alive. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into the namespace for the block: sockets made there stay there.

        Never leave the block half-way (no ``await`` and no ``yield`` in it): the thread would go on in there.
        """
        before = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.descriptor)
            try:
                yield
            finally:
                setns(before)
        finally:
            os.close(before)

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` in the namespace, in a thread of its own, and return what it returns."""

        def inside() -> T:
            setns(self.descriptor)
            return function()

        return in_a_thread(inside)
