"""What the kernel has: interfaces and addresses as values, events that change them, and a table kept true by events.

Pure: ``netlink`` produces the events, this file only remembers and answers questions. The rules for a router's source
address are RFC 9568 sections 5.1.1.1 and 5.1.2.1. Knows no routers; which addresses are virtual is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, Literal, TypeAlias, assert_never

from vrrpd.config.model import IPAddress

_HOST_SCOPE: Final = 254


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface as the kernel described it last."""

    index: int
    name: str
    mac: bytes
    """Hardware address: 6 bytes on Ethernet, empty where the link layer has none."""
    mtu: int
    admin_up: bool
    """Set up by the administrator (IFF_UP)."""
    carrier: bool
    """The other end is there and the link is ready for packets (IFF_LOWER_UP and IFF_RUNNING)."""
    operational_state: str
    """RFC 2863 operstate as the kernel names it: UP, DOWN, LOWERLAYERDOWN, DORMANT, UNKNOWN, ..."""
    broadcast_capable: bool
    multicast_capable: bool
    arp: bool
    """False with IFF_NOARP: announcements make no sense there."""
    is_loopback: bool

    @property
    def up(self) -> bool:
        """True when packets can go out and come in."""
        return self.admin_up and self.carrier

    def why_down(self) -> str | None:
        """Says why no packet passes, as the end of a sentence; None when it is up."""
        if not self.admin_up:
            return "is down"
        if not self.carrier:
            return "has no carrier"
        return None


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address on an interface, with what it takes to put it back as it was."""

    index: int
    address: IPAddress
    prefix_length: int
    scope: int = 0
    """Kernel scope number: 0 global, 253 link, 254 host."""
    secondary: bool = False
    """IPv4: another address of the same subnet came first. IPv6: a temporary address (RFC 8981)."""
    tentative: bool = False
    """IPv6: duplicate address detection still runs; nothing can be sent from it."""
    dad_failed: bool = False
    deprecated: bool = False
    permanent: bool = False
    """False: it has a lifetime (DHCP, router advertisements)."""
    no_prefix_route: bool = False
    ours: bool = False
    """It carries this program's mark: this daemon put it there, or one before it that was killed."""
    peer: IPAddress | None = None
    label: str | None = None
    broadcast: IPv4Address | None = None
    preferred_lifetime: int | None = field(default=None, compare=False)
    """Seconds left when the kernel described it; None for forever. Lifetimes make no difference when comparing: every
    renewal changes them."""
    valid_lifetime: int | None = field(default=None, compare=False)
    """Seconds left when the kernel described it; None for forever."""
    protocol: int = 0
    """IFA_PROTO: who installed it (0: not said)."""

    @property
    def key(self) -> tuple[int, IPAddress, int]:
        """What makes it the same address for the kernel."""
        return (self.index, self.address, self.prefix_length)

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """An interface appeared, or something about it changed (its name too)."""

    interface: Interface


@dataclass(frozen=True, slots=True)
class LinkRemoved:
    """An interface is gone."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class AddressAdded:
    """An address appeared, or something about it changed."""

    address: InterfaceAddress


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    """An address is gone."""

    address: InterfaceAddress


@dataclass(frozen=True, slots=True)
class Overrun:
    """Not everything was told (the buffer was full): what is known may be wrong until everything is read again."""


NetworkEvent: TypeAlias = LinkChanged | LinkRemoved | AddressAdded | AddressRemoved | Overrun


def lost_with(address: InterfaceAddress, addresses: Iterable[InterfaceAddress]) -> list[InterfaceAddress]:
    """Tells which other addresses the kernel deletes together with ``address``.

    A primary IPv4 address takes the secondary ones of the same subnet and mask on its interface with it, unless the
    sysctl ``promote_secondaries`` is on (for the interface or ``all``), where none is lost.
    """
    if not isinstance(address.address, IPv4Address) or address.secondary:
        return []
    network = IPv4Interface((address.peer or address.address, address.prefix_length)).network
    return [
        other
        for other in addresses
        if other.index == address.index
        and other.secondary
        and other.prefix_length == address.prefix_length
        and (other.peer or other.address) in network
    ]


class InterfaceTable:
    """The interfaces and addresses of a network namespace, asked by interface name.

    Addresses keep the order in which they appeared, which is the kernel's own.
    """

    def __init__(self) -> None:
        self._interfaces: dict[int, Interface] = {}
        self._indexes: dict[str, int] = {}
        self._addresses: dict[int, dict[tuple[int, IPAddress, int], InterfaceAddress]] = {}
        self._present_on: dict[int, frozenset[IPAddress]] = {}
        """By interface index, as far as somebody has asked since the last change."""

    def apply(self, event: NetworkEvent) -> frozenset[str]:
        """Takes an event in and names the interfaces whose state, addresses or existence it changed.

        An event that tells nothing new names none. ``Overrun`` changes nothing: the caller must ``replace``.
        """
        match event:
            case LinkChanged(interface):
                return self._set_interface(interface)
            case LinkRemoved(index, _):
                return self._remove_interface(index)
            case AddressAdded(address):
                addresses = self._addresses.setdefault(address.index, {})
                self._present_on.pop(address.index, None)
                known, addresses[address.key] = addresses.get(address.key), address
                return frozenset() if known == address else self._name(address.index)
            case AddressRemoved(address):
                self._present_on.pop(address.index, None)
                if self._addresses.get(address.index, {}).pop(address.key, None) is None:
                    return frozenset()
                return self._name(address.index)
            case Overrun():
                return frozenset()
        assert_never(event)

    def replace(self, interfaces: Iterable[Interface], addresses: Iterable[InterfaceAddress]) -> frozenset[str]:
        """Forgets everything, takes a snapshot in, and names the interfaces about which something is different now."""
        before = {name: (self.interface(name), self.addresses(name)) for name in self._indexes}
        self._interfaces, self._indexes, self._addresses, self._present_on = {}, {}, {}, {}
        for interface in interfaces:
            self._set_interface(interface)
        for address in addresses:
            self.apply(AddressAdded(address))
        return frozenset(
            name
            for name in before.keys() | self._indexes.keys()
            if before.get(name, (None, ())) != (self.interface(name), self.addresses(name))
        )

    def _name(self, index: int) -> frozenset[str]:
        interface = self._interfaces.get(index)
        return frozenset() if interface is None else frozenset({interface.name})

    def _set_interface(self, interface: Interface) -> frozenset[str]:
        affected: frozenset[str] = frozenset()
        known = self._interfaces.get(interface.index)
        if known == interface:
            return affected
        holder = self._indexes.get(interface.name)
        if holder is not None and holder != interface.index:
            # A name belongs to one interface: the old holder is gone, or was renamed and will be told of next.
            affected |= self._remove_interface(holder)
        if known is not None and known.name != interface.name:
            del self._indexes[known.name]
            affected |= {known.name}
        self._interfaces[interface.index] = interface
        self._indexes[interface.name] = interface.index
        return affected | {interface.name}

    def _remove_interface(self, index: int) -> frozenset[str]:
        self._addresses.pop(index, None)
        self._present_on.pop(index, None)
        interface = self._interfaces.pop(index, None)
        if interface is None:
            return frozenset()
        del self._indexes[interface.name]
        return frozenset({interface.name})

    def interface(self, name: str) -> Interface | None:
        """The interface of that name; None where there is none."""
        index = self._indexes.get(name)
        return None if index is None else self._interfaces[index]

    def name(self, index: int) -> str | None:
        """The name of the interface with that index; None where there is none."""
        interface = self._interfaces.get(index)
        return None if interface is None else interface.name

    def addresses(self, name: str) -> tuple[InterfaceAddress, ...]:
        """The addresses on an interface, in the kernel's order; none where there is no such interface."""
        index = self._indexes.get(name)
        return () if index is None else tuple(self._addresses.get(index, {}).values())

    def entries(self, name: str, address: IPAddress) -> tuple[InterfaceAddress, ...]:
        """An address on an interface: one entry for each prefix length it is there with."""
        index = self._indexes.get(name)
        if index is None or address not in self._present(index):
            return ()
        return tuple(entry for entry in self.addresses(name) if entry.address == address)

    def holds(self, name: str, address: IPAddress, prefix_length: int | None = None) -> bool:
        """Tells whether the address is on the interface, with that prefix length or (None) any."""
        if prefix_length is not None:
            return any(entry.prefix_length == prefix_length for entry in self.entries(name, address))
        index = self._indexes.get(name)
        return index is not None and address in self._present(index)

    def _present(self, index: int) -> frozenset[IPAddress]:
        """All addresses of an interface: every virtual router asks for its own whenever one of hundreds has changed."""
        present = self._present_on.get(index)
        if present is None:
            entries = self._addresses.get(index, {})
            present = self._present_on[index] = frozenset(entry.address for entry in entries.values())
        return present

    def holds_anywhere(self, address: IPAddress) -> bool:
        """Tells whether any interface has the address."""
        return any(entry.address == address for entries in self._addresses.values() for entry in entries.values())

    def source_address(
        self, name: str, family: Literal[4, 6], excluding: Collection[IPAddress] = ()
    ) -> IPAddress | None:
        """Chooses the address a router sends from, never one of ``excluding`` (the virtual ones) nor one marked ours.

        IPv4: the first address of the widest scope, primary before secondary. IPv6: the first link-local address that
        passed duplicate address detection. The choice stays until that address goes, or a wider one comes.
        """
        usable = [entry for entry in self._candidates(name, family, excluding) if not self._unusable(entry)]
        if family == 4:
            usable.sort(key=lambda entry: (entry.scope, entry.secondary))  # Stable: keeps the kernel's order.
        return usable[0].address if usable else None

    def why_no_source(self, name: str, family: Literal[4, 6], excluding: Collection[IPAddress] = ()) -> str | None:
        """Says why ``source_address`` finds none; None when it does find one."""
        if self.interface(name) is None:
            return f"interface {name} does not exist"
        if self.source_address(name, family, excluding) is not None:
            return None
        candidates = self._candidates(name, family, excluding)
        if candidates:
            return ", ".join(f"{entry.address} {self._unusable(entry)}" for entry in candidates)
        kind = "IPv4 address" if family == 4 else "link-local IPv6 address"
        if virtual := self._candidates(name, family, (), include_ours=True):
            held = ", ".join(str(entry.address) for entry in virtual)
            return f"{name} has no {kind} of its own (only virtual: {held})"
        return f"{name} has no {kind}"

    def _candidates(
        self, name: str, family: Literal[4, 6], excluding: Collection[IPAddress], include_ours: bool = False
    ) -> list[InterfaceAddress]:
        return [
            entry
            for entry in self.addresses(name)
            # Of hundreds most are ours: that is the cheapest question.
            if (include_ours or not entry.ours)
            and entry.address.version == family
            and (family == 4 or entry.address.is_link_local)
            and entry.address not in excluding
        ]

    @staticmethod
    def _unusable(entry: InterfaceAddress) -> str | None:
        """Says why nothing can be sent from an address; None when it can."""
        if entry.dad_failed:
            return "failed duplicate address detection: another host has it"
        if entry.tentative:
            return "is still tentative (duplicate address detection is running)"
        if isinstance(entry.address, IPv4Address) and entry.scope >= _HOST_SCOPE:
            return "is valid only within this host"
        return None
