"""The right to make network namespaces: as root, or without it in a user namespace of one's own."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

from vrrpd.lab.errors import LabUnavailable
from vrrpd.lab.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_PRIVATE,
    MS_REC,
    in_a_thread,
    mount,
    setns,
    unshare,
)

_NEEDED_SYSCTL: Final = Path("/proc/sys/net/ipv6/conf/default/accept_dad")
_GATES: Final = (
    (Path("/proc/sys/user/max_user_namespaces"), "0", "a number above 0"),
    (Path("/proc/sys/user/max_net_namespaces"), "0", "a number above 0"),
    (Path("/proc/sys/kernel/unprivileged_userns_clone"), "0", "1"),
    (Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"), "1", "0"),
)
"""Settings that forbid user namespaces: where, the forbidding value, what is expected."""

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def ensure_privileges() -> None:
    """Make this process able to build labs, or raise LabUnavailable saying what is missing.

    Root stays as it is. Anybody else moves, with the whole process and for good, into new user, mount and network
    namespaces in which they are root (``unshare -Urnm``): loopback up, /run empty, no way out to the network.
    The kernel does that only for a process with one thread: call it early.
    """
    problem = _problem_as_we_are()
    if problem is None:
        return
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise LabUnavailable(
            f"no network namespaces: {problem}; and a user namespace is for a process with one thread, this one has "
            f"{threads}: call ensure_privileges() before threads are started, or run as root"
        )
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        mount("none", "/run", "tmpfs", options="mode=755")
        _loopback_up()
    except OSError as error:
        raise LabUnavailable(
            f"no network namespaces: {problem}; and no user namespace either ({error}): {_what_forbids_it()}"
        ) from None
    if (problem := _problem_as_we_are()) is not None:
        raise LabUnavailable(f"no network namespaces even as root of a user namespace: {problem}")


def _problem_as_we_are() -> str | None:
    """Try what a lab does (new namespace, settings, raw socket, back again) and return what failed, if anything."""

    def attempt() -> None:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            unshare(CLONE_NEWNET)
            if _NEEDED_SYSCTL.exists():
                _NEEDED_SYSCTL.write_text("0", encoding="ascii")
            _loopback_up()
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
            setns(before)
        finally:
            os.close(before)

    try:
        in_a_thread(attempt)
    except OSError as error:
        who = f"user {os.geteuid()}"
        if error.filename is not None:
            return f"{who} cannot write {error.filename} ({error.strerror}): is /proc/sys mounted read-only?"
        return f"{who} lacks CAP_SYS_ADMIN, CAP_NET_ADMIN or CAP_NET_RAW ({error.strerror or error})"
    return None


def _what_forbids_it() -> str:
    found = []
    for path, forbidding, expected in _GATES:
        try:
            value = path.read_text(encoding="ascii").strip()
        except OSError as error:
            if error.errno != errno.ENOENT:
                found.append(f"cannot read {path}: {error.strerror}")
            continue
        if value == forbidding:
            found.append(f"sysctl {'.'.join(path.parts[3:])} is {value}, expected {expected}")
    return (
        "; ".join(found) or "no sysctl forbids it; a container's seccomp profile may: run as root or with more rights"
    )


def _loopback_up() -> None:
    """Bring ``lo`` up in the calling thread's network namespace; a new one has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
