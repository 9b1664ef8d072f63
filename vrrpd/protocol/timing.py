"""Skew_Time and Master_Down_Interval: RFC 9568 section 6.1 and RFC 3768 section 6.1.

Intervals travel as integer centiseconds, clock times are float seconds; this is the only file where the two meet.
The arithmetic in between is in whole microseconds, rounded down, so that the spread between two backups survives
even at one-centisecond advertisements (cut to centiseconds, every skew would be 0 there).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Version(IntEnum):
    """The protocol version of a virtual router: RFC 3768 (2) or RFC 9568 (3)."""

    V2 = 2
    V3 = 3


CENTISECONDS_PER_SECOND: Final = 100
MICROSECONDS_PER_CENTISECOND: Final = 10_000
MICROSECONDS_PER_SECOND: Final = 1_000_000

DEFAULT_DOWN_ADVERTISEMENTS: Final = 3
"""How many intervals without an advertisement mean that the master is gone (RFC 9568 section 6.1)."""


def seconds(centiseconds: int) -> float:
    """An interval in centiseconds, in seconds."""
    return centiseconds / CENTISECONDS_PER_SECOND


KERNEL_EXPIRY_SLACK: Final = 1.0
"""Seconds by which the kernel may be late to take off an address whose lifetime is over: it looks once a second."""


def skew_time_microseconds(version: Version, priority: int, master_adver_interval: int) -> int:
    """Skew_Time in microseconds: the better the priority, the sooner a backup takes over.

    Version 3 scales it with ``master_adver_interval`` (centiseconds); version 2 knows only (256 - priority) / 256 s.
    """
    if version is Version.V2:
        return (256 - priority) * MICROSECONDS_PER_SECOND // 256
    return (256 - priority) * master_adver_interval * MICROSECONDS_PER_CENTISECOND // 256


def master_down_interval_microseconds(
    version: Version,
    priority: int,
    master_adver_interval: int,
    down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS,
) -> int:
    """Master_Down_Interval in microseconds: ``down_advertisements`` intervals (centiseconds each) and one skew."""
    return down_advertisements * master_adver_interval * MICROSECONDS_PER_CENTISECOND + skew_time_microseconds(
        version, priority, master_adver_interval
    )


def skew_time(version: Version, priority: int, master_adver_interval: int) -> float:
    """Skew_Time in seconds."""
    return skew_time_microseconds(version, priority, master_adver_interval) / MICROSECONDS_PER_SECOND


def master_down_interval(
    version: Version,
    priority: int,
    master_adver_interval: int,
    down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS,
) -> float:
    """Master_Down_Interval in seconds."""
    microseconds = master_down_interval_microseconds(version, priority, master_adver_interval, down_advertisements)
    return microseconds / MICROSECONDS_PER_SECOND


def unnoticed_silence(master_adver_interval: int, down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS) -> float:
    """Seconds from a master's advertisement during which no backup misses it, whatever its priority (its skew is more).

    It counts on the backups having our interval (version 3: they learn it) and our number of advertisements.
    """
    return seconds(down_advertisements * master_adver_interval)


def handover_lifetime(master_adver_interval: int, down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS) -> int:
    """Whole seconds that the kernel may keep a silent master's addresses and surely drops them before a takeover.

    0: the interval is too short for that.
    """
    spare = unnoticed_silence(master_adver_interval, down_advertisements) - KERNEL_EXPIRY_SLACK
    return max(0, int(spare))
