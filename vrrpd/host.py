"""Asks the kernel what a configuration from the environment has to know about this host.

Reads netlink, /proc and one file: at start and in a reload's thread, never in the event loop.
"""

from __future__ import annotations

import shlex
import socket
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Final

from vrrpd.config.host import HostFacts, OwnAddress
from vrrpd.net.interfaces import InterfaceAddress
from vrrpd.net.netlink import InterfaceMonitor

OLD_OPTIONS: Final = Path("/etc/sysconfig/keepalived")
"""Where the old image's daemon finds its command line options."""
_LONGEST_FILE: Final = 65536
_ROUTE_UP, _ROUTE_REJECT = 0x1, 0x200


def gather() -> HostFacts:
    """The facts as they are now; what cannot be read is told in them."""
    try:
        monitor = InterfaceMonitor()
        try:
            interfaces, addresses = monitor.snapshot()
        finally:
            monitor.close()
    except OSError as error:
        return HostFacts(socket.gethostname(), keepalived_options=old_options(), problem=error.strerror or str(error))
    by_index: dict[int, list[InterfaceAddress]] = {interface.index: [] for interface in interfaces}
    for address in addresses:
        if not address.ours and not address.dad_failed and address.index in by_index:
            by_index[address.index].append(address)
    return HostFacts(
        host_name=socket.gethostname(),
        interfaces={interface.name: _ordered(by_index[interface.index]) for interface in interfaces},
        default_interface=default_interface(),
        keepalived_options=old_options(),
    )


def _ordered(addresses: list[InterfaceAddress]) -> tuple[OwnAddress, ...]:
    """As the kernel has them, but the widest scope first and temporary or secondary ones last."""
    # Sorting is stable. Tentative ones count: which address is the node's own does not wait for DAD.
    ordered = sorted(addresses, key=lambda one: (one.secondary, one.deprecated, one.scope))
    return tuple(_own(one) for one in ordered)


def _own(one: InterfaceAddress) -> OwnAddress:
    own = ip_interface(f"{one.address}/{one.prefix_length}")
    assert isinstance(own, IPv4Interface | IPv6Interface)
    return own


def default_interface(proc: Path = Path("/proc/net")) -> str | None:
    """The interface of the best IPv4 default route, else of the best IPv6 one."""
    return _best(_ipv4_routes(_read(proc / "route"))) or _best(_ipv6_routes(_read(proc / "ipv6_route")))


def _best(routes: list[tuple[int, str]]) -> str | None:
    return min(routes, key=lambda route: route[0])[1] if routes else None


def _ipv4_routes(text: str) -> list[tuple[int, str]]:
    routes = []
    for line in text.splitlines()[1:]:
        match line.split():
            case [interface, "00000000", _, flags, _, _, metric, "00000000", *_] if int(flags, 16) & _ROUTE_UP:
                routes.append((int(metric), interface))
    return routes


def _ipv6_routes(text: str) -> list[tuple[int, str]]:
    routes = []
    for line in text.splitlines():
        match line.split():
            case [destination, "00", _, _, _, metric, _, _, flags, interface] if int(destination, 16) == 0:
                if int(flags, 16) & (_ROUTE_UP | _ROUTE_REJECT) == _ROUTE_UP and interface != "lo":
                    routes.append((int(metric, 16), interface))
    return routes


def old_options(file: Path = OLD_OPTIONS) -> str:
    """The value of KEEPALIVED_OPTIONS, empty where there is none."""
    for line in _read(file).splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if name.strip() == "KEEPALIVED_OPTIONS" and equals:
            try:
                return " ".join(shlex.split(value, comments=True))
            except ValueError:
                return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_FILE)
    except OSError:
        return ""
