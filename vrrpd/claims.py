"""Locks that die with their process: one daemon for each instance name, one for each (interface, family, vrid).

A claim is a listening Unix socket with an abstract name. Such a name belongs to the network namespace, which is just
the scope of an (interface, family, vrid), and the kernel drops it with the process, however that ends: there is no pid
file to go stale and nothing to guess. Containers that share a network but not /run still see each other's claims.

Anybody may take such a name, though. A claim counts only if who holds it could be a daemon: root, our own user, or a
process that may send raw packets. One of anybody else's is told, and not minded.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from vrrpd.config.model import VirtualRouterConfig
from vrrpd.scripts import capabilities

_log = logging.getLogger("vrrpd")

_UCRED = struct.Struct("3i")


class ClaimedElsewhere(Exception):
    """Another process holds the claim; ``str()`` says which claim and who."""


class Claims:
    """What this daemon holds. Everything is released by ``close`` or by the end of the process."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}
        self._forgone: set[str] = set()
        """Names that somebody has who can be no daemon."""

    def claim_instance(self, instance: str) -> None:
        """Claims the instance name for this network namespace; raises ``ClaimedElsewhere``."""
        self._claim(f"vrrpd/instance/{instance}", f"instance {instance!r} (use --instance for a second one)")

    def claim_routers(self, routers: Iterable[VirtualRouterConfig]) -> None:
        """Claims every router's (interface, family, vrid), or none of them: raises ``ClaimedElsewhere``."""
        new: list[str] = []
        try:
            for router in routers:
                name = _router_name(router)
                if name not in self._held:
                    what = f"virtual router {router.vrid} on {router.interface} (IPv{router.family})"
                    self._claim(name, what)
                    new.append(name)
        except ClaimedElsewhere:
            for name in new:
                self._held.pop(name).close()
            raise

    def keep_only(self, routers: Iterable[VirtualRouterConfig]) -> None:
        """Releases the routers that are not among these."""
        wanted = {_router_name(router) for router in routers}
        for name in [name for name in self._held if name.startswith("vrrpd/router/") and name not in wanted]:
            self._held.pop(name).close()
        self._forgone &= wanted

    def close(self) -> None:
        """Releases everything."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _claim(self, name: str, what: str) -> None:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            claim.bind(b"\0" + name.encode())
            claim.listen(1)
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            holder = _holder(name)
            if holder is None and name in self._forgone:
                return  # At a reload there may be no right any more to look into another user's process.
            if holder is None or holder.could_be_a_daemon:
                raise ClaimedElsewhere(f"{what} is already run by {holder or 'another process'}") from None
            if name in self._forgone:
                return
            self._forgone.add(name)
            _log.warning(
                "%s is claimed by %s, which can run no virtual router: going on without this lock; find out who does "
                "that and why",
                what,
                holder,
            )
            return
        self._held[name] = claim
        self._forgone.discard(name)


def _router_name(router: VirtualRouterConfig) -> str:
    return f"vrrpd/router/{router.interface}/ipv{router.family}/{router.vrid}"


@dataclass(frozen=True, slots=True)
class _Holder:
    """The process that listens on a claim."""

    pid: int
    """As seen from this pid namespace; 0 for one of another."""
    uid: int

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "a process of another container"
        return who if self.uid == os.geteuid() else f"{who} (user id {self.uid}, which is not ours: {os.geteuid()})"

    @property
    def could_be_a_daemon(self) -> bool:
        """False for an ordinary user's process."""
        if self.uid in (0, os.geteuid()):
            return True
        try:
            return bool(self.pid and capabilities.read(f"/proc/{self.pid}/status")["CapEff"] & capabilities.NET_RAW)
        except OSError:
            return False  # It has ended.


def _holder(name: str) -> _Holder | None:
    """Asks the kernel who listens on a claim; None where that cannot be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(b"\0" + name.encode())
            return _Holder(*_UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[:2])
        except OSError:
            return _holder_in_proc(name)


def _holder_in_proc(name: str) -> _Holder | None:
    """Looks through all processes for one that has the name and does not let anybody in."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as sockets:
            inodes = {f"socket:[{line.split()[6]}]" for line in sockets if line.rstrip("\n").endswith(f" @{name}")}
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                for descriptor in os.scandir(f"/proc/{pid}/fd"):
                    if os.readlink(descriptor.path) in inodes:
                        return _Holder(int(pid), _user_of(pid))
    except (OSError, IndexError):
        pass
    return None


def _user_of(pid: str) -> int:
    """The effective user of a process. Not the owner of its directory in /proc: that can be root's for anybody's."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            if line.startswith("Uid:"):
                return int(line.split()[2])
    raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
