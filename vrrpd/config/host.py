"""What a configuration from the environment has to know about its host: plain facts, gathered by others."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import TypeAlias

from vrrpd.config.model import Family, IPAddress

OwnAddress: TypeAlias = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host as it is now. Nothing known is a value too: a configuration can be looked at on another machine."""

    host_name: str = ""
    interfaces: Mapping[str, tuple[OwnAddress, ...]] = field(default_factory=dict)
    """Every interface with its addresses, the best source first, without those that carry this program's mark."""
    default_interface: str | None = None
    """The interface of the default route."""
    keepalived_options: str = ""
    """``KEEPALIVED_OPTIONS`` in /etc/sysconfig/keepalived."""
    problem: str = ""
    """Why the interfaces could not be read."""

    def own_addresses(self, virtual: Container[IPAddress]) -> tuple[IPAddress, ...]:
        """Every address of the host that is not a virtual one."""
        return tuple(one.ip for addresses in self.interfaces.values() for one in addresses if one.ip not in virtual)

    def on(self, interface: str, family: Family, virtual: Container[IPAddress]) -> Iterator[IPAddress]:
        """The host's own addresses of a family on an interface, those of IPv6 that are not link-local first."""
        found = [
            one.ip for one in self.interfaces.get(interface, ()) if one.ip.version == family and one.ip not in virtual
        ]
        return iter(sorted(found, key=lambda address: address.version == 6 and address.is_link_local))
