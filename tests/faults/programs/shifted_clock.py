"""vrrpd under a wall clock that is set by a day: SIGUSR1 sets it forward, SIGUSR2 back by two days, so a day behind.

The kernel has no wall clock of one's own for a process, and the machine's is everybody's. So every way in which Python
code can read the wall clock is replaced before the daemon, asyncio and logging are loaded: ``time.time``,
``time.time_ns``, ``clock_gettime`` of CLOCK_REALTIME, ``gmtime`` and ``localtime`` without argument, and ``datetime``.
What is left, the kernel's own timers, the test looks up in /proc/PID/fdinfo.
"""

from __future__ import annotations

import datetime
import signal
import sys
import time
from types import FrameType
from typing import Any

DAY = 86400

shift = 0.0
real_time, real_clock = time.time, time.clock_gettime


def now() -> float:
    """The wall clock as everything here sees it."""
    return real_time() + shift


class ShiftedDatetime(datetime.datetime):
    """``datetime`` by that clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """What time it is."""
        return cls.fromtimestamp(now(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        """What time it is in UTC."""
        return cls.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)


def install() -> None:
    """Replace every way to read the wall clock."""
    gmtime, localtime = time.gmtime, time.localtime
    time.time = now
    time.time_ns = lambda: int(now() * 1e9)
    time.clock_gettime = lambda clock: now() if clock == time.CLOCK_REALTIME else real_clock(clock)
    time.gmtime = lambda seconds=None: gmtime(now() if seconds is None else seconds)
    time.localtime = lambda seconds=None: localtime(now() if seconds is None else seconds)
    datetime.datetime = ShiftedDatetime  # type: ignore[misc]


def set_clock(number: int, frame: FrameType | None) -> None:
    """Set it, as an administrator or a time server would."""
    global shift
    shift += DAY if number == signal.SIGUSR1 else -2 * DAY


if __name__ == "__main__":
    install()
    signal.signal(signal.SIGUSR1, set_clock)
    signal.signal(signal.SIGUSR2, set_clock)
    from vrrpd.__main__ import main

    sys.exit(main())
