"""Network namespaces by name or path."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

NAMED_NAMESPACES: Final = Path("/run/netns")
"""Where ``ip netns`` keeps its names."""

_CLONE_NEWNET: Final = 0x40000000


def namespace_path(name: str) -> Path:
    """The file of a namespace: ``name`` as ``ip netns`` knows it, or a path such as /proc/PID/ns/net."""
    return Path(name) if "/" in name else NAMED_NAMESPACES / name


def enter_namespace(name: str) -> None:
    """Moves this process into a network namespace; raises ``OSError`` with the file that it tried."""
    path = namespace_path(name)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
