"""The daemon's one clock: a heap of deadlines for all routers and one kernel timer that wakes the loop for the first.

The event loop's own timers round up to a millisecond and are cancelled and created anew for each move. Here the kernel
keeps one absolute time (timerfd, CLOCK_MONOTONIC: the clock of ``time.monotonic()``), and moving a deadline later, as
every received advertisement does, is a dictionary store. Knows nothing of what the deadlines mean.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

_NANOSECONDS: Final = 1_000_000_000
_TFD_TIMER_ABSTIME: Final = 1
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = os.O_CLOEXEC
_LATEST: Final = 4e9
"""Seconds; what lies beyond (more than a century of uptime) is armed as this."""


class _TimerSpecification(ctypes.Structure):
    """``struct itimerspec``: interval, then first expiry, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


def _open_with_libc() -> tuple[int, Callable[[int, int], None]]:
    """Opens a timerfd through libc: Python has had the calls in ``os`` since 3.13 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), f"timerfd_create: {os.strerror(ctypes.get_errno())}")
    timerfd_settime = libc.timerfd_settime
    specification = _TimerSpecification()
    reference = ctypes.byref(specification)

    def set_time(timer: int, nanoseconds: int) -> None:
        specification.seconds, specification.nanoseconds = divmod(nanoseconds, _NANOSECONDS)
        if timerfd_settime(timer, _TFD_TIMER_ABSTIME, reference, None) < 0:
            raise OSError(ctypes.get_errno(), f"timerfd_settime: {os.strerror(ctypes.get_errno())}")

    return descriptor, set_time


if sys.version_info >= (3, 13) and hasattr(os, "timerfd_create"):

    def _open() -> tuple[int, Callable[[int, int], None]]:
        descriptor = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

        def set_time(timer: int, nanoseconds: int) -> None:
            os.timerfd_settime_ns(timer, flags=os.TFD_TIMER_ABSTIME, initial=nanoseconds)

        return descriptor, set_time

else:
    _open = _open_with_libc


class KernelTimer:
    """One one-shot timer at an absolute time; ``fileno()`` becomes readable when the time has come."""

    def __init__(self) -> None:
        self._descriptor, self._set_time = _open()
        self._armed: float | None = None

    def arm(self, deadline: float | None) -> None:
        """Sets the time, in seconds of ``time.monotonic()``; the past fires at once, None disarms.

        Costs no system call while the timer already runs for that time.
        """
        if deadline == self._armed:
            return
        # 0 would disarm. Rounded up: a wake-up must not come before the deadline by the clock that is compared with it.
        nanoseconds = 0 if deadline is None else max(1, math.ceil(min(max(deadline, 0.0), _LATEST) * _NANOSECONDS))
        self._set_time(self._descriptor, nanoseconds)
        self._armed = deadline

    def acknowledge(self) -> None:
        """Takes note that the timer fired; the same deadline can be armed again afterwards."""
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return  # Re-armed since it fired: it still runs.
        self._armed = None

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Closes the descriptor; again is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


Key = TypeVar("Key", bound=Hashable)


class DeadlineQueue(Generic[Key]):
    """Which keys are due, and when the next one is; each key has at most one deadline, in seconds of any clock.

    The heap may hold a key at an earlier time than its deadline (it was moved later); the entry is corrected when it
    comes up. It never holds a key's deadline later than it is.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._queued: dict[Key, float] = {}
        """The time of each key's earliest heap entry; the key's other entries are void."""
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._deadlines)

    def __iter__(self) -> Iterator[Key]:
        """The keys that have a deadline, in no order that means anything."""
        return iter(self._deadlines)

    def schedule(self, key: Key, deadline: float | None) -> None:
        """Moves the key's deadline, or takes the key out (None)."""
        if deadline is None:
            self._deadlines.pop(key, None)
            return
        self._deadlines[key] = deadline
        queued = self._queued.get(key)
        if queued is None or deadline < queued:
            self._push(key, deadline)

    def deadline(self, key: Key) -> float | None:
        """The key's deadline."""
        return self._deadlines.get(key)

    @property
    def next_deadline(self) -> float | None:
        """The earliest deadline; None while nothing is scheduled."""
        return None if (first := self.first) is None else first[1]

    @property
    def first(self) -> tuple[Key, float] | None:
        """Whose deadline is the earliest, and that; None while nothing is scheduled."""
        if not self._settle():
            return None
        deadline, _, key = self._heap[0]
        return key, deadline

    def count(self, until: float) -> int:
        """How many deadlines are not after that."""
        return sum(deadline <= until for deadline in self._deadlines.values())

    def due(self, now: float, limit: int | None = None) -> list[Key]:
        """Takes out the keys whose deadline is not after ``now``, in order of their deadlines, at most ``limit``."""
        keys: list[Key] = []
        heap, queued, deadlines = self._heap, self._queued, self._deadlines
        while heap and heap[0][0] <= now and (limit is None or len(keys) < limit):
            time, _, key = heap[0]
            if queued.get(key) == time and deadlines.get(key) == time:
                heapq.heappop(heap)
                del queued[key], deadlines[key]
                keys.append(key)
            else:
                self._settle()
        return keys

    def _push(self, key: Key, deadline: float) -> None:
        heapq.heappush(self._heap, (deadline, next(self._order), key))
        self._queued[key] = deadline
        if len(self._heap) > 2 * len(self._queued) + 64:
            # Only deadlines that move earlier again and again come here.
            self._heap = [(deadline, next(self._order), key) for key, deadline in self._queued.items()]
            heapq.heapify(self._heap)

    def _settle(self) -> bool:
        """Corrects the top of the heap until it is a true deadline; False when nothing is left."""
        heap = self._heap
        while heap:
            queued, _, key = heap[0]
            if self._queued.get(key) != queued:
                heapq.heappop(heap)  # The key was moved earlier since: another entry stands for it.
                continue
            deadline = self._deadlines.get(key)
            if deadline == queued:
                return True
            if deadline is None:
                heapq.heappop(heap)
                del self._queued[key]
            else:
                heapq.heapreplace(heap, (deadline, next(self._order), key))
                self._queued[key] = deadline
        return False
