"""The rules that hold for every configuration, wherever it came from; nothing here knows a file format.

``settle`` takes a configuration as a reader built it, reports all that breaks a rule, and returns it with what
keepalived would put right put right (each with a warning). Settling a settled configuration changes nothing.
Sources: RFC 9568 sections 5.2 and 6.1, RFC 3768 section 5.3, keepalived's own checks where users rely on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from vrrpd.config.addresses import is_interface_name, is_link_local, is_unicast, why_no_router
from vrrpd.config.model import (
    OWNER_PRIORITY,
    Configuration,
    InitialState,
    IPAddress,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.report import CheckLocator, Locator, Place, Report, check_nowhere, nowhere, seen
from vrrpd.protocol.timing import CENTISECONDS_PER_SECOND, DEFAULT_DOWN_ADVERTISEMENTS, Version

MOST_ADDRESSES: Final = {4: 255, 6: 90}
"""Addresses that fit an advertisement (RFC 9568 section 5.2.5): 8 bits of count (IPv4), 1500 bytes of packet (IPv6)."""
LONGEST_INTERVAL: Final = {Version.V2: 25500, Version.V3: 4095}
"""Centiseconds: 8 bits of seconds, 12 bits of centiseconds."""
LONGEST_PREEMPT_DELAY: Final = 1000
LARGEST_WEIGHT: Final = 253
MOST_ACCEPTED_SOURCES: Final = 64
"""Prefixes that one packet may have to be compared with."""


def advertisement_interval(seconds: Decimal, version: Version) -> tuple[int, str | None]:
    """``advert_int`` in centiseconds as the version can carry it, and what had to be changed, if something had.

    Version 3 is rounded to centiseconds and version 2 to whole seconds, half up; the latter to 1 at least. 0 stays 0.
    """
    step = Decimal(1) if version is Version.V2 else Decimal("0.01")
    rounded = seconds.quantize(step, ROUND_HALF_UP)
    if version is Version.V2 and seconds > 0:
        rounded = max(rounded, Decimal(1))
    longest = Decimal(LONGEST_INTERVAL[version]) / CENTISECONDS_PER_SECOND
    used = min(rounded, longest)
    if used == seconds:
        changed = None
    elif rounded > longest:
        changed = f"advert_int is {seconds:f}, version {version.value} allows at most {longest:f}: {used:f} is used"
    else:
        unit = "whole seconds" if version is Version.V2 else "hundredths of a second"
        changed = f"advert_int is {seconds:f}, version {version.value} has only {unit}: {used:f} is used"
    return int(used * CENTISECONDS_PER_SECOND), changed


def settle(
    configuration: Configuration,
    report: Report,
    locate: Locator = nowhere,
    locate_check: CheckLocator = check_nowhere,
) -> Configuration:
    """The configuration with every rule applied; errors and warnings go to ``report``."""
    if not configuration.routers:
        report.error(
            Place(configuration.source), "no virtual router is configured, expected at least one vrrp_instance"
        )
    _check_checks(configuration, report, locate_check)
    routers = tuple(
        _Router(index, router, configuration, report, locate).settled()
        for index, router in enumerate(configuration.routers)
    )
    # As given, not as settled: entries are located by their index.
    _check_routers_together(configuration, report, locate)
    return replace(configuration, routers=routers)


def _check_checks(configuration: Configuration, report: Report, locate_check: CheckLocator) -> None:
    first: dict[str, Place] = {}
    for index, check in enumerate(configuration.checks):
        place = locate_check(index)
        if check.name in first:
            at = f", first at {first[check.name]}" if place.file else ""
            report.error(place, f"vrrp_script {seen(check.name)} is defined twice{at}, expected distinct names")
        first.setdefault(check.name, place)


class _Router:
    """One router with the rules that concern it alone."""

    def __init__(
        self, index: int, router: VirtualRouterConfig, configuration: Configuration, report: Report, locate: Locator
    ) -> None:
        self.index = index
        self.router = router
        self.configuration = configuration
        self.report = report
        self.locate = locate

    def settled(self) -> VirtualRouterConfig:
        self.identity()
        self.addresses()
        self.timing_and_priority()
        self.transport()
        self.tracking()
        if self.router.strict:
            self.strict()
        return self.router

    def error(self, keyword: str, message: str, entry: int = -1) -> None:
        place = self.locate(self.index, keyword, entry)
        if place is not None:
            self.report.error(place, f"({self.router.name}) {message}")

    def warning(self, keyword: str, message: str, entry: int = -1) -> None:
        place = self.locate(self.index, keyword, entry)
        if place is not None:
            self.report.warning(place, f"({self.router.name}) {message}")

    def identity(self) -> None:
        router = self.router
        if not router.name or not router.name.isprintable():
            self.error("vrrp_instance", f"name is {seen(router.name)}, expected printable characters")
        if not router.interface:
            self.error("interface", "interface is missing, expected an interface (or default_interface in global_defs)")
        elif not is_interface_name(router.interface):
            self.error("interface", f"interface is {seen(router.interface)}, expected a name of 1 to 15 characters")
        if router.vrid == 0:
            self.error("virtual_router_id", "virtual_router_id is missing, expected 1 to 255")
        elif not 1 <= router.vrid <= 255:
            self.error("virtual_router_id", f"virtual_router_id is {router.vrid}, expected 1 to 255")
        if router.family == 6 and router.version is Version.V2:
            self.error("version", "version is 2 but the addresses are IPv6, expected version 3")

    def addresses(self) -> None:
        router = self.router
        if not router.addresses:
            self.error("virtual_ipaddress", "no virtual address, expected at least one in virtual_ipaddress")
        seen_before: dict[object, str] = {}
        for keyword, vips in _blocks_of_addresses(self.router):
            for entry, vip in enumerate(vips):
                self.address(keyword, entry, vip)
                if vip.address in seen_before:
                    where = seen_before[vip.address]
                    self.error(keyword, f"{vip.address} is given twice, first in {where}", entry)
                seen_before.setdefault(vip.address, keyword)
        if router.family == 6 and router.addresses and not is_link_local(router.addresses[0].address):
            first = router.addresses[0].address
            message = f"first virtual address is {first}, expected a link-local one (fe80::/10), RFC 9568 section 5.2.9"
            if router.strict:
                self.error("virtual_ipaddress", message, 0)
            else:
                self.warning("virtual_ipaddress", message, 0)
        most = MOST_ADDRESSES[router.family]
        if len(router.addresses) > most:
            count = len(router.addresses)
            self.warning(
                "virtual_ipaddress",
                f"{count} virtual addresses, at most {most} fit an advertisement: {count - most} are not advertised",
                most,
            )
            self.router = replace(
                router,
                addresses=router.addresses[:most],
                excluded_addresses=router.addresses[most:] + router.excluded_addresses,
            )

    def address(self, keyword: str, entry: int, vip: VirtualAddress) -> None:
        if not is_unicast(vip.address):
            self.error(keyword, f"virtual address is {vip.address}, expected a unicast address", entry)
        if keyword == "virtual_ipaddress" and vip.address.version != self.router.family:
            self.error(
                keyword,
                f"{vip.address} is IPv{vip.address.version} but the first address is IPv{self.router.family}, expected "
                "one family: the other one goes to virtual_ipaddress_excluded",
                entry,
            )

    def timing_and_priority(self) -> None:
        router = self.router
        longest = LONGEST_INTERVAL[router.version]
        if not 1 <= router.advertisement_interval <= longest:
            given = Decimal(router.advertisement_interval) / CENTISECONDS_PER_SECOND
            shortest = "0.01" if router.version is Version.V3 else "1"
            most = Decimal(longest) / CENTISECONDS_PER_SECOND
            self.error("advert_int", f"advert_int is {given:f}, expected {shortest} to {most:f} seconds")
        elif router.version is Version.V2 and router.advertisement_interval % CENTISECONDS_PER_SECOND:
            given = Decimal(router.advertisement_interval) / CENTISECONDS_PER_SECOND
            self.error("advert_int", f"advert_int is {given:f}, expected whole seconds for version 2")
        if not 1 <= router.priority <= OWNER_PRIORITY:
            self.error("priority", f"priority is {router.priority}, expected 1 to 255")
        if not 1 <= router.down_advertisements <= 100:
            self.error("down_timer_adverts", f"down_timer_adverts is {router.down_advertisements}, expected 1 to 100")
        if not 0 <= router.preempt_delay <= LONGEST_PREEMPT_DELAY:
            given_delay = f"{router.preempt_delay:g}"
            self.error(
                "preempt_delay", f"preempt_delay is {given_delay}, expected 0 to {LONGEST_PREEMPT_DELAY} seconds"
            )
        self.preemption()

    def preemption(self) -> None:
        """Drop what contradicts: owners and ``state MASTER`` always preempt, and ``nopreempt`` beats the delay."""
        if self.router.priority == OWNER_PRIORITY:
            why = "priority is 255 and an address owner always preempts"
        elif self.router.initial_state is InitialState.MASTER:
            why = "state is MASTER; it works with state BACKUP"
        else:
            why = None
        if why and not self.router.preempt:
            self.warning("nopreempt", f"nopreempt is dropped: {why}")
            self.router = replace(self.router, preempt=True)
        if why and self.router.preempt_delay and not self.router.strict:
            self.warning("preempt_delay", f"preempt_delay is dropped: {why}")
            self.router = replace(self.router, preempt_delay=0.0)
        if not self.router.preempt and self.router.preempt_delay and not self.router.strict:
            self.warning("preempt_delay", "preempt_delay is dropped: nopreempt is set")
            self.router = replace(self.router, preempt_delay=0.0)

    def transport(self) -> None:
        router = self.router
        if router.authentication is not None and router.version is not Version.V2 and not router.strict:
            self.warning("authentication", "authentication is dropped: version 3 has none")
            self.router = replace(router, authentication=None)
        source = router.source_address
        if source is not None and source.version != router.family:
            self.error("mcast_src_ip", f"source address is {source}, expected an IPv{router.family} address")
        elif source is not None and not is_unicast(source):
            self.error("mcast_src_ip", f"source address is {source}, expected a unicast address")
        if router.unicast:
            self.unicast()
        else:
            self.multicast()
        self.accepted_sources()

    def accepted_sources(self) -> None:
        """Every prefix can hold a router, and every peer is in one of them."""
        router = self.router
        listed = router.accept_sources
        if len(listed) > MOST_ACCEPTED_SOURCES:
            count = len(listed)
            self.error(
                "accept_sources", f"accept_sources has {count} entries, expected at most {MOST_ACCEPTED_SOURCES}"
            )
        for entry, network in enumerate(listed):
            if network.version != router.family:
                self.error(
                    "accept_sources", f"accepted source is {network}, expected an IPv{router.family} address", entry
                )
            elif why := why_no_router(network, router.unicast):
                self.error("accept_sources", f"accepted source is {network}, but {why}", entry)
        for entry, peer in enumerate(router.unicast_peers):
            if listed and not any(peer.address in network for network in listed):
                self.error(
                    "unicast_peer", f"peer is {peer.address}, which is not in accept_sources: it is never heard", entry
                )

    def multicast(self) -> None:
        group = self.router.multicast_group
        assert group is not None, "unicast has no group"
        expected = (
            "an IPv4 multicast address" if self.router.family == 4 else "an IPv6 multicast address of the link (ffx2::)"
        )
        right = group.is_multicast and group.version == self.router.family
        if right and group.version == 6:
            right = group.packed[1] & 0x0F == 2
        if not right:
            self.error("mcast_dst_ip", f"multicast group is {group}, expected {expected}")

    def unicast(self) -> None:
        router = self.router
        if not 1 <= router.unicast_ttl <= 255:
            self.error("unicast_ttl", f"unicast_ttl is {router.unicast_ttl}, expected 1 to 255")
        kept: list[UnicastPeer] = []
        known: set[IPAddress] = set()
        for entry, peer in enumerate(router.unicast_peers):
            if peer.address.version != router.family:
                self.error("unicast_peer", f"peer is {peer.address}, expected an IPv{router.family} address", entry)
            elif not is_unicast(peer.address):
                self.error("unicast_peer", f"peer is {peer.address}, expected a unicast address", entry)
            elif peer.address in known:
                self.warning("unicast_peer", f"peer {peer.address} is given twice: the first one counts", entry)
                continue
            elif peer.address == router.source_address:
                self.warning("unicast_peer", f"peer {peer.address} is this router's own source address", entry)
            known.add(peer.address)
            kept.append(peer)
        if len(kept) != len(router.unicast_peers):
            self.router = replace(self.router, unicast_peers=tuple(kept))

    def tracking(self) -> None:
        names = {check.name for check in self.configuration.checks}
        weights: list[tuple[str, int, str, int]] = []
        for entry, tracked in enumerate(self.router.tracked_checks):
            weights.append(("track_script", entry, tracked.check, tracked.weight))
            if tracked.check not in names:
                self.error(
                    "track_script",
                    f"{seen(tracked.check)} is tracked but not defined, expected a vrrp_script of that name",
                    entry,
                )
        for entry, interface in enumerate(self.router.tracked_interfaces):
            weights.append(("track_interface", entry, interface.interface, interface.weight))
        tracked_already: set[tuple[str, str]] = set()
        for keyword, entry, name, weight in weights:
            if not -LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT:
                self.error(
                    keyword,
                    f"weight of {seen(name)} is {weight}, expected -{LARGEST_WEIGHT} to {LARGEST_WEIGHT}",
                    entry,
                )
            if (keyword, name) in tracked_already:
                self.error(keyword, f"{seen(name)} is tracked twice, expected once", entry)
            tracked_already.add((keyword, name))
            if weight and self.router.priority == OWNER_PRIORITY:
                self.warning(
                    keyword, f"weight of {seen(name)} has no effect: the priority of an owner is always 255", entry
                )

    def strict(self) -> None:
        """``vrrp_strict``: what keepalived corrects in strict mode is an error here: nothing runs half understood."""
        router = self.router
        if router.authentication is not None:
            self.error("authentication", "authentication is given, vrrp_strict allows none")
        if router.unicast:
            self.error("unicast_peer", "unicast_peer is given, vrrp_strict allows multicast only")
        if router.preempt_delay:
            self.error("preempt_delay", "preempt_delay is given, vrrp_strict allows none")
        if router.down_advertisements != DEFAULT_DOWN_ADVERTISEMENTS:
            given = router.down_advertisements
            self.error("down_timer_adverts", f"down_timer_adverts is {given}, vrrp_strict allows only 3")
        if router.advertise_before_yielding:
            self.error("higher_prio_send_advert", "higher_prio_send_advert is given, vrrp_strict forbids it")
        owner = router.priority == OWNER_PRIORITY
        if router.initial_state is InitialState.MASTER and not owner:
            self.error("state", f"state is MASTER with priority {router.priority}, vrrp_strict allows it with 255 only")
        if router.initial_state is InitialState.BACKUP and owner:
            self.error("state", "state is BACKUP with priority 255, vrrp_strict expects MASTER")


@dataclass(frozen=True, slots=True)
class _Use:
    """Where something that must be unique stands: a router, its keyword, an entry in the keyword's block."""

    router: int
    keyword: str
    entry: int = -1


def _check_routers_together(configuration: Configuration, report: Report, locate: Locator) -> None:
    """Names, ids on an interface and addresses on an interface belong to one router each."""
    routers = configuration.routers
    names: dict[str, _Use] = {}
    ids: dict[tuple[str, int, int], _Use] = {}
    addresses: dict[tuple[IPAddress, str], _Use] = {}

    def at(use: _Use) -> Place | None:
        return locate(use.router, use.keyword, use.entry)

    def clash(first: _Use, second: _Use, what: str) -> None:
        here, there = at(second), at(first)
        if here is not None:
            where = f" at {there}" if there is not None and there.file else ""
            other = seen(routers[first.router].name)
            report.error(
                here, f"({routers[second.router].name}) {what} is already used by vrrp_instance {other}{where}"
            )

    for index, router in enumerate(routers):
        use = _Use(index, "vrrp_instance")
        first = names.setdefault(router.name, use)
        if first != use:
            there = at(first)
            where = f", first at {there}" if there is not None and there.file else ""
            message = f"vrrp_instance {seen(router.name)} is defined twice{where}, expected distinct names"
            report.error(at(use) or Place(), message)
        if router.interface and router.vrid:
            use = _Use(index, "virtual_router_id")
            first = ids.setdefault((router.interface, router.family, router.vrid), use)
            if first != use:
                clash(first, use, f"virtual_router_id {router.vrid} for IPv{router.family} on {router.interface}")
        for keyword, vips in _blocks_of_addresses(router):
            for entry, vip in enumerate(vips):
                use = _Use(index, keyword, entry)
                first = addresses.setdefault((vip.address, vip.device), use)
                # Twice in one router is told by the rules of that router.
                if first.router != index:
                    clash(first, use, f"{vip.address} on {vip.device}")


def _blocks_of_addresses(router: VirtualRouterConfig) -> Iterator[tuple[str, tuple[VirtualAddress, ...]]]:
    yield "virtual_ipaddress", router.addresses
    yield "virtual_ipaddress_excluded", router.excluded_addresses
