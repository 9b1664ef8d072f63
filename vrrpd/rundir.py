"""Where the control socket lives: /run/vrrpd, else /dev/shm, in a directory that only its owner can enter.

The name carries the network namespace and the instance, so that daemons of several namespaces on one host never meet.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

DEFAULT_INSTANCE = "default"


class NoRunDirectory(Exception):
    """Neither place can be used; ``str()`` says why for each."""


def network_namespace_id(path: str = "/proc/self/ns/net") -> int:
    """The inode that identifies a network namespace; raises ``OSError`` where there is none at ``path``."""
    return os.stat(path).st_ino


def candidates() -> tuple[Path, ...]:
    """The directories, in order of preference."""
    return Path("/run/vrrpd"), Path(f"/dev/shm/vrrpd-{os.geteuid()}")


def control_socket_name(namespace: int, instance: str) -> str:
    """The file name of the control socket within the run directory."""
    return file_name(namespace, instance, "sock")


def file_name(namespace: int, instance: str, kind: str) -> str:
    """The name of a file within the run directory that is one daemon's."""
    return f"{namespace}.{instance}.{kind}"


def writable_run_directory() -> Path:
    """Makes or checks the run directory; raises ``NoRunDirectory``.

    A directory that another user owns or can enter is refused: /dev/shm is open to everybody.
    """
    problems = []
    for directory in candidates():
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            problem = _problem_with(directory)
        except OSError as error:
            problem = error.strerror or str(error)
        if problem is None:
            return directory
        problems.append(f"{directory}: {problem}")
    raise NoRunDirectory("; ".join(problems))


def _problem_with(directory: Path) -> str | None:
    facts = os.lstat(directory)
    if not stat.S_ISDIR(facts.st_mode):
        return "is not a directory"
    if facts.st_uid != os.geteuid():
        return f"belongs to user id {facts.st_uid}, expected {os.geteuid()}"
    if stat.S_IMODE(facts.st_mode) & 0o077:
        directory.chmod(0o700)
    if not os.access(directory, os.W_OK | os.X_OK):
        return "is not writable"
    return None
