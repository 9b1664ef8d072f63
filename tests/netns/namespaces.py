"""Network namespaces for tests: made empty, entered by the test's own thread, gone with the last socket in them.

Needs CAP_SYS_ADMIN; says so by skipping.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pyroute2 import IPRoute

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


class Namespace:
    """A network namespace; ``with namespace:`` runs the block inside it. Sockets stay where they were opened."""

    def __init__(self) -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.unshare(_CLONE_NEWNET), "unshare")
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _check(_libc.setns(home, _CLONE_NEWNET), "setns")
            os.close(home)
        self._homes: list[int] = []

    def __enter__(self) -> Namespace:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc.setns(self.descriptor, _CLONE_NEWNET), "setns")
        self._homes.append(home)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        home = self._homes.pop()
        _check(_libc.setns(home, _CLONE_NEWNET), "setns")
        os.close(home)

    def close(self) -> None:
        """Gives the namespace up."""
        os.close(self.descriptor)

    @contextmanager
    def routing(self) -> Iterator[Any]:
        """Gives a pyroute2 ``IPRoute`` inside the namespace."""
        with self, IPRoute() as routing:
            yield routing

    def write_sysctl(self, name: str, value: int) -> None:
        """Sets ``/proc/sys/NAME`` of the namespace."""
        with self:
            Path("/proc/sys", name).write_text(f"{value}\n")

    def index(self, interface: str) -> int:
        """Looks an interface's index up."""
        with self.routing() as routing:
            found: int = routing.link_lookup(ifname=interface)[0]
            return found

    def add_address(self, interface: str, address: str, prefix_length: int, **more: object) -> None:
        """Adds an address as an administrator would."""
        index = self.index(interface)
        with self.routing() as routing:
            routing.addr("add", index=index, address=address, prefixlen=prefix_length, **more)

    def delete_address(self, interface: str, address: str, prefix_length: int) -> None:
        """Deletes an address as an administrator would."""
        index = self.index(interface)
        with self.routing() as routing:
            routing.addr("del", index=index, address=address, prefixlen=prefix_length)

    def set_link(self, interface: str, state: str) -> None:
        """Sets an interface ``up`` or ``down``."""
        index = self.index(interface)
        with self.routing() as routing:
            routing.link("set", index=index, state=state)


def namespace_or_skip() -> Namespace:
    """Makes a namespace, or skips the test and says why."""
    try:
        return Namespace()
    except PermissionError as error:
        pytest.skip(f"needs root to make network namespaces: {error}")


def connect(left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
    """Puts a veth pair between two namespaces, both ends up, without duplicate address detection."""
    with left.routing() as routing:
        routing.link(
            "add",
            ifname=left_name,
            kind="veth",
            peer={"ifname": right_name, "net_ns_fd": right.descriptor},
        )
    for namespace, name in ((left, left_name), (right, right_name)):
        namespace.write_sysctl(f"net/ipv6/conf/{name}/accept_dad", 0)
    for namespace, name in ((left, left_name), (right, right_name)):
        namespace.set_link(name, "up")
    for namespace, name in ((left, left_name), (right, right_name)):
        wait_until(lambda namespace=namespace, name=name: carrier(namespace, name), f"carrier on {name}")  # type: ignore[misc]


def carrier(namespace: Namespace, interface: str) -> bool:
    """Tells whether the kernel sends and receives on the interface."""
    index = namespace.index(interface)
    with namespace.routing() as routing:
        (link,) = routing.get_links(index)
        return bool(link.get_attr("IFLA_OPERSTATE") == "UP")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Tries the condition until it holds; fails the test when it still does not after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for: {what}"
        time.sleep(0.002)
