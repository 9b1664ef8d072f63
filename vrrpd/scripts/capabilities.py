"""The capability sets of this process (capabilities(7)), read and reduced: they only ever get smaller here.

Shared by the daemon and by the script helper, which runs it alone, without its package: so it imports next to nothing.
All applies to the calling thread and to those that it starts: to be called while there is only one. Knows nothing of
who needs what.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False  # typing itself would cost the helper a third of its start
if TYPE_CHECKING:
    from typing import Final

KILL: Final = 1 << 5
SETGID: Final = 1 << 6
SETUID: Final = 1 << 7
SETPCAP: Final = 1 << 8
NET_ADMIN: Final = 1 << 12
NET_RAW: Final = 1 << 13
"""Sets of capabilities are numbers with one bit for each (linux/capability.h)."""

NAMES: Final = {
    KILL: "CAP_KILL",
    SETGID: "CAP_SETGID",
    SETUID: "CAP_SETUID",
    SETPCAP: "CAP_SETPCAP",
    NET_ADMIN: "CAP_NET_ADMIN",
    NET_RAW: "CAP_NET_RAW",
}

_VERSION_3: Final = 0x20080522
_HEADER: Final = struct.Struct("=Ii")
_DATA: Final = struct.Struct("=6I")
_LAST: Final = 63
_HALF: Final = 0xFFFFFFFF

_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_SETS: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def read(status: str = "/proc/self/status") -> dict[str, int]:
    """The five sets of a process by the names that /proc gives them; raises ``OSError``."""
    found = dict.fromkeys(_SETS, 0)
    with open(status) as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value, 16)
    return found


def names(capabilities: int) -> list[str]:
    """The names of a set's members; those that nobody here asks for go by their number."""
    bits = [1 << bit for bit in range(_LAST + 1) if capabilities >> bit & 1]
    return [NAMES.get(bit, f"capability {bit.bit_length() - 1}") for bit in bits]


def keep_only(wanted: int) -> None:
    """Leaves no more than ``wanted`` permitted and effective, and nothing to inherit; raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Kernels before 4.3 have no ambient set, and so nothing in it.
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    had = read()
    permitted, effective = had["CapPrm"] & wanted, had["CapEff"] & wanted
    header = _HEADER.pack(_VERSION_3, 0)
    data = _DATA.pack(
        *(part for half in (0, 32) for part in (effective >> half & _HALF, permitted >> half & _HALF, 0)),
    )
    _check(libc.capset(header, data), "capset")


def bound(wanted: int) -> None:
    """Leaves no more than ``wanted`` in the bounding set, for good; raises ``OSError`` (without CAP_SETPCAP: EPERM)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for bit in range(_LAST + 1):
        if not wanted >> bit & 1 and libc.prctl(_PR_CAPBSET_READ, bit, 0, 0, 0) == 1:
            _check(libc.prctl(_PR_CAPBSET_DROP, bit, 0, 0, 0), "prctl(PR_CAPBSET_DROP)")


def forbid_new_privileges() -> None:
    """No program that is started from now on gets more than this process has (no_new_privs); raises ``OSError``."""
    _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
