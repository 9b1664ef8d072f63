"""Locks that die with their process: one daemon for each instance name, one for each (interface, family, vrid).

A claim is a listening Unix socket with an abstract name. Such a name belongs to the network namespace, which is just
the scope of an (interface, family, vrid), and the kernel drops it with the process, however that ends: there is no pid
file to go stale and nothing to guess. Containers that share a network but not /run still see each other's claims.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable

from vrrpd.config.model import VirtualRouterConfig

_UCRED = struct.Struct("3i")


class ClaimedElsewhere(Exception):
    """Another process holds the claim; ``str()`` says which claim and who."""


class Claims:
    """What this daemon holds. Everything is released by ``close`` or by the end of the process."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

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
            if error.errno == errno.EADDRINUSE:
                raise ClaimedElsewhere(f"{what} is already run by {_holder(name)}") from None
            raise
        self._held[name] = claim


def _router_name(router: VirtualRouterConfig) -> str:
    return f"vrrpd/router/{router.interface}/ipv{router.family}/{router.vrid}"


def _holder(name: str) -> str:
    """Asks the kernel who listens on a claim: a process id, as seen from this pid namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(b"\0" + name.encode())
            pid, uid, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        except OSError:
            return "another process"
    who = f"process {pid}" if pid else "a process of another container"
    return who if uid == os.geteuid() else f"{who} (user id {uid}, which is not ours: {os.geteuid()})"
