"""Links and addresses of one namespace by rtnetlink; the only file of the lab that imports pyroute2.

Every call runs in the one thread given, so that coroutines may call too: pyroute2's sockets belong to a thread and
bring an event loop along.
"""

from __future__ import annotations

import concurrent.futures
import errno
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any, Final, Literal, TypeAlias, TypeVar, assert_never

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vrrpd.lab.errors import LabError, NotSupported
from vrrpd.lab.namespace import Namespace

T = TypeVar("T")

Interface: TypeAlias = IPv4Interface | IPv6Interface
"""An address with its prefix, as it sits on a link."""

TunnelKind: TypeAlias = Literal["ipip", "vxlan"]
"""IPv4 in IPv4 (RFC 2003), or Ethernet in UDP (RFC 7348)."""

VXLAN_PORT: Final = 4789
VXLAN_NETWORK: Final = 51

IFA_F_NODAD: Final = 0x02
IFA_F_TENTATIVE: Final = 0x40
IFF_UP: Final = 0x1
TIMEOUT: Final = 10.0
"""Seconds for one call; the kernel needs microseconds, so a longer one hangs."""


@dataclass(frozen=True, slots=True)
class AssignedAddress:
    """An address on a link; tentative while duplicate address detection keeps it from use."""

    interface: Interface
    tentative: bool


class Netlink:
    """What a lab does to the links of one namespace, by the names of the links."""

    def __init__(self, where: str, namespace: Namespace, thread: concurrent.futures.Executor) -> None:
        self._where: Final = where
        self._thread: Final = thread

        def connect() -> Any:
            with namespace.inside():
                return IPRoute()

        self._route: Final = self._call(connect)

    def close(self) -> None:
        """Close the netlink socket."""
        self._call(self._route.close)

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return self._thread.submit(function).result(TIMEOUT)
        except concurrent.futures.TimeoutError:
            raise LabError(f"{self._where}: netlink gave no answer for {TIMEOUT:g} s") from None

    def _do(self, what: str, function: Callable[[], T]) -> T:
        try:
            return self._call(function)
        except NetlinkError as error:
            raise LabError(f"{self._where}: cannot {what}: {error}") from None

    def _index(self, link: str) -> int:
        for index in self._route.link_lookup(ifname=link):
            return int(index)
        present = ", ".join(str(message.get("ifname")) for message in self._route.link("dump"))
        raise LabError(f"{self._where}: there is no link {link!r} (there are: {present})")

    def add_bridge(self, link: str) -> None:
        """Add a bridge that forwards at once and floods every multicast, and bring it up."""

        def add() -> None:
            self._route.link("add", ifname=link, kind="bridge", br_stp_state=0, br_mcast_snooping=0)
            self._route.link("set", index=self._index(link), state="up")

        self._do(f"add bridge {link}", add)

    def add_veth(self, link: str, peer: str, peer_namespace: Namespace, peer_mac: str | None) -> None:
        """Add a veth pair, one end here, the other in ``peer_namespace``."""
        other: dict[str, object] = {"ifname": peer, "net_ns_fd": peer_namespace.descriptor}
        if peer_mac is not None:
            other["address"] = peer_mac
        self._do(f"add {link} and {peer}", lambda: self._route.link("add", ifname=link, kind="veth", peer=other))

    def add_tunnel(self, link: str, kind: TunnelKind, local: str, remote: str, mac: str | None) -> None:
        """Add a tunnel between two IPv4 addresses; raises NotSupported where the kernel lacks the kind."""
        options: dict[str, object]
        match kind:
            case "ipip":
                options = {"ipip_local": local, "ipip_remote": remote}
            case "vxlan":
                options = {
                    "vxlan_id": VXLAN_NETWORK,
                    "vxlan_local": local,
                    "vxlan_group": remote,
                    "vxlan_port": VXLAN_PORT,
                }
                if mac is not None:
                    options["address"] = mac
            case _:
                assert_never(kind)

        def add() -> None:
            try:
                self._route.link("add", ifname=link, kind=kind, **options)
            except NetlinkError as error:
                if error.code == errno.EOPNOTSUPP:
                    raise NotSupported(f"{self._where}: this kernel has no {kind} tunnels") from None
                raise

        self._do(f"add {kind} tunnel {link} from {local} to {remote}", add)

    def set_link(self, link: str, up: bool) -> None:
        """Bring a link up or down."""
        state = "up" if up else "down"
        self._do(f"set {link} {state}", lambda: self._route.link("set", index=self._index(link), state=state))

    def set_master(self, link: str, bridge: str | None) -> None:
        """Make a link a port of a bridge, or of none."""

        def set_master() -> None:
            master = 0 if bridge is None else self._index(bridge)
            self._route.link("set", index=self._index(link), master=master)

        self._do(f"make {link} a port of {bridge}", set_master)

    def rename(self, link: str, name: str) -> None:
        """Rename a link; the kernel wants it down for that, so it goes down and comes back as it was."""

        def rename() -> None:
            index = self._index(link)
            was_up = bool(self._route.link("get", index=index)[0]["flags"] & IFF_UP)
            self._route.link("set", index=index, state="down")
            self._route.link("set", index=index, ifname=name)
            if was_up:
                self._route.link("set", index=index, state="up")

        self._do(f"rename {link} to {name}", rename)

    def delete(self, link: str) -> None:
        """Delete a link; a veth's other end goes with it."""
        self._do(f"delete {link}", lambda: self._route.link("del", index=self._index(link)))

    def links(self) -> list[str]:
        """The names of all links."""
        return self._do("list links", lambda: [str(message.get("ifname")) for message in self._route.link("dump")])

    def mac(self, link: str) -> str:
        """A link's hardware address."""
        return str(self._attribute(link, "address"))

    def set_mac(self, link: str, mac: str) -> None:
        """Change a link's hardware address."""
        self._do(
            f"set {link}'s address to {mac}", lambda: self._route.link("set", index=self._index(link), address=mac)
        )

    def has_carrier(self, link: str) -> bool:
        """Whether a link is up and its other end too."""
        return bool(self._attribute(link, "carrier"))

    def _attribute(self, link: str, name: str) -> object:
        return self._do(f"look at {link}", lambda: self._route.link("get", index=self._index(link))[0].get(name))

    def addresses(self, link: str) -> list[AssignedAddress]:
        """The addresses of a link."""

        def dump() -> list[AssignedAddress]:
            found = []
            for message in self._route.addr("dump", index=self._index(link)):
                # IPv4 with a peer has the peer in "address" and ours in "local"; IPv6 has "address" only.
                address = message.get("local") or message.get("address")
                flags = message.get("flags") or 0
                interface = ip_interface(f"{address}/{message['prefixlen']}")
                found.append(AssignedAddress(interface, bool(flags & IFA_F_TENTATIVE)))
            return found

        return self._do(f"list the addresses of {link}", dump)

    def add_address(self, link: str, interface: Interface, dad: bool = False) -> None:
        """Put an address on a link; ``dad`` lets the kernel probe for a duplicate first (IPv6)."""
        extra: dict[str, object] = {}
        if interface.version == 6 and not dad:
            extra["flags"] = IFA_F_NODAD
        if interface.version == 4 and interface.network.prefixlen < 31:
            extra["broadcast"] = str(interface.network.broadcast_address)
        self._address("add", link, interface, extra)

    def remove_address(self, link: str, interface: Interface) -> None:
        """Take an address off a link."""
        self._address("del", link, interface, {})

    def _address(self, command: str, link: str, interface: Interface, extra: dict[str, object]) -> None:
        def change() -> None:
            self._route.addr(
                command,
                index=self._index(link),
                address=str(ip_address(interface.ip)),
                prefixlen=interface.network.prefixlen,
                **extra,
            )

        self._do(f"{command} {interface} on {link}", change)

    def add_route(self, destination: str, gateway: str) -> None:
        """Add a route through a gateway; the destination may be ``default``."""
        self._do(
            f"add a route to {destination} through {gateway}",
            lambda: self._route.route("add", dst=destination, gateway=gateway),
        )
