"""The lab's network namespaces, for the tests of ``vrrpd.net``: entered by the test's own thread, empty to begin with.

Those tests open sockets there themselves, and hold what ``vrrpd.net`` sees against what pyroute2 sees. A ``Host`` of a
lab comes with links, addresses and settings that they want to make, and to spoil, by hand.

Needs CAP_SYS_ADMIN; says so by skipping.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pyroute2 import IPRoute

from tests.availability import unavailable
from vrrpd.lab import namespace as lab
from vrrpd.lab import wait_until


class Namespace(lab.Namespace):
    """A network namespace; ``with namespace:`` runs the block inside it. Sockets stay where they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> Namespace:
        entered = self.inside()
        entered.__enter__()
        self._entered.append(entered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, error, traceback)

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
    """Makes a namespace, or skips the test and says why; where the tests count it fails."""
    try:
        return Namespace()
    except PermissionError as error:
        unavailable(f"needs root to make network namespaces: {error}")


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
        wait_for_carrier(namespace, name)


def wait_for_carrier(namespace: Namespace, interface: str) -> None:
    """Waits until the kernel sends and receives on the interface."""
    wait_until(lambda: carrier(namespace, interface), 10.0, f"carrier on {interface}")


def carrier(namespace: Namespace, interface: str) -> bool:
    """Tells whether the kernel sends and receives on the interface."""
    index = namespace.index(interface)
    with namespace.routing() as routing:
        (link,) = routing.get_links(index)
        return bool(link.get_attr("IFLA_OPERSTATE") == "UP")
