"""``vrrp_instance`` blocks: the table of their keywords, and the step from what a block said to a router of the model.

Defaults come from ``global_defs``, then from keepalived's own; rules that do not depend on the file format are not here
but in ``validate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from vrrpd.config.addresses import accepted_source, is_interface_name, unicast_peer, virtual_address
from vrrpd.config.keywords import (
    AlwaysSo,
    Draft,
    NoEffect,
    OtherHalf,
    Refused,
    Skipped,
    Table,
    Works,
    address,
    choice,
    decimal,
    entries,
    fail,
    flag,
    number,
    only_value,
    read_block,
    seconds,
    text,
)
from vrrpd.config.lexer import Statement
from vrrpd.config.model import (
    DEFAULT_GROUPS,
    OWNER_PRIORITY,
    AnnouncementPolicy,
    Authentication,
    Check,
    Command,
    Family,
    InitialState,
    IPAddress,
    IPNetwork,
    NotifyScripts,
    TrackedCheck,
    TrackedInterface,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.report import Place, Report, seen
from vrrpd.config.scripts import MAXIMUM_WEIGHT, command_with_user, weight_and_reverse
from vrrpd.config.validate import advertisement_interval
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.timing import DEFAULT_DOWN_ADVERTISEMENTS, Version

LONGEST_PASSWORD: Final = 8
"""Bytes of VRRPv2 authentication data (RFC 2338 section 5.3.6)."""

SOURCE_KEYWORDS: Final = ("mcast_src_ip", "unicast_src_ip")
NO_VMAC: Final = "virtual routers use the interface's own MAC address"
NO_MAIL: Final = "no mail is sent; use a notify script"


def _advert_int(statement: Statement, draft: Draft, report: Report) -> None:
    expected = "seconds such as 1 or 0.25"
    value = only_value(statement, draft, report, expected)
    if value is None:
        return
    parsed = decimal(value)
    if parsed is None or parsed == 0:
        fail(statement, draft, report, f"advert_int is {seen(value)}, expected {expected}")
        return
    draft.set(statement.keyword, parsed, statement.place)


def _authentication(statement: Statement, draft: Draft, report: Report) -> None:
    if statement.block is None:
        fail(statement, draft, report, "authentication has no block, expected { auth_type PASS auth_pass PASSWORD }")
        return
    read_block(statement.block, draft, AUTHENTICATION, "authentication", report, Skipped())


def _tracked(statement: Statement, report: Report) -> tuple[str, int, bool, bool] | None:
    """Name, weight, reverse, and whether a weight was given at all."""
    name = statement.keyword
    if statement.block is not None:
        report.error(statement.place, f"{seen(name)} has a block, expected a name and perhaps a weight")
        return None
    if not statement.values:
        return name, 0, False, False
    if statement.values[0] != "weight":
        report.error(statement.place, f"{seen(statement.values[0])} behind {seen(name)} is not known, expected weight")
        return None
    parsed = weight_and_reverse(statement.values[1:], MAXIMUM_WEIGHT)
    if isinstance(parsed, str):
        report.error(statement.place, f"{parsed} (for {seen(name)})")
        return None
    return name, *parsed, True


def _tracked_interface(statement: Statement, report: Report) -> TrackedInterface | None:
    parsed = _tracked(statement, report)
    if parsed is None:
        return None
    name, weight, reverse, _ = parsed
    if not is_interface_name(name):
        report.error(
            statement.place, f"tracked interface is {seen(name)}, expected an interface name of 1 to 15 characters"
        )
        return None
    return TrackedInterface(name, weight, reverse)


def _old_unicast_checksum(statement: Statement, draft: Draft, report: Report) -> None:
    if statement.values != ("never",):
        why = "the checksum of keepalived before 1.3.7 is accepted but never sent"
        fail(statement, draft, report, f"old_unicast_checksum is not supported: {why}")


def _boolean_false(keyword: str) -> Works:
    """A flag that stores False under another keyword: ``preempt`` and ``nopreempt`` are one setting."""
    return flag(value=False, stored_as=keyword)


AUTHENTICATION: Final[Table] = {
    "auth_type": choice({"PASS": "PASS", "AH": "AH"}),
    "auth_pass": text("a password of 1 to 8 characters", lambda password: not password),
}
"""Every keyword of an ``authentication`` block."""

VRRP_INSTANCE: Final[Table] = {
    "state": choice({"MASTER": InitialState.MASTER, "BACKUP": InitialState.BACKUP}),
    "interface": text("an interface name of 1 to 15 characters", lambda name: not is_interface_name(name)),
    "virtual_router_id": number(1, 255),
    "priority": number(1, 255),
    "version": number(2, 3),
    "advert_int": Works(_advert_int),
    "virtual_ipaddress": entries(virtual_address, "one virtual address on each line"),
    "virtual_ipaddress_excluded": entries(virtual_address, "one virtual address on each line"),
    "nopreempt": _boolean_false("preempt"),
    "preempt": flag(),
    "preempt_delay": seconds("0", "1000"),
    "down_timer_adverts": number(1, 100),
    "mcast_src_ip": address("an IPv4 or IPv6 address"),
    "unicast_src_ip": address("an IPv4 or IPv6 address"),
    "mcast_dst_ip": address("a multicast address"),
    "unicast_peer": entries(unicast_peer, "one address on each line"),
    "unicast_ttl": number(1, 255),
    "run_alone": flag(),
    "accept_sources": entries(accepted_source, "one address or prefix on each line"),
    "authentication": Works(_authentication),
    "v3_checksum_as_v2": flag(),
    "strict_mode": flag(),
    "track_script": entries(_tracked, "one vrrp_script name on each line"),
    "track_interface": entries(_tracked_interface, "one interface on each line"),
    "dont_track_primary": flag(),
    "garp_master_delay": seconds("0", "1000000"),
    "garp_master_repeat": number(0, 1000),
    "garp_master_refresh": seconds("0", "1000000"),
    "garp_master_refresh_repeat": number(0, 1000),
    "garp_lower_prio_delay": seconds("0", "1000000"),
    "garp_lower_prio_repeat": number(0, 1000),
    "garp_interval": seconds("0", "1000"),
    "gna_interval": seconds("0", "1000"),
    "notify": command_with_user,
    "notify_master": command_with_user,
    "notify_backup": command_with_user,
    "notify_fault": command_with_user,
    "notify_stop": command_with_user,
    "notify_master_rx_lower_pri": command_with_user,
    "lower_prio_no_advert": flag(),
    "higher_prio_send_advert": flag(),
    "owner_ignore_adverts": flag(),
    "old_unicast_checksum": Works(_old_unicast_checksum),
    "accept": flag(),
    "check_unicast_src": AlwaysSo("only listed peers are accepted"),
    "skip_check_adv_addr": AlwaysSo("a different address list is logged and counted, never a reason to drop"),
    "track_src_ip": AlwaysSo("a missing source address is FAULT"),
    "unicast_fault_no_peer": AlwaysSo("an empty unicast_peer block is an error"),
    "native_ipv6": NoEffect("the virtual addresses say which family it is"),
    "promote_secondaries": NoEffect("set the sysctl net.ipv4.conf.INTERFACE.promote_secondaries yourself"),
    "notify_deleted": NoEffect("a router that a reload removes runs its stop script"),
    "notify_priority_changes": NoEffect("there is no notify FIFO"),
    "smtp_alert": NoEffect(NO_MAIL),
    "garp_extra_if": NoEffect("it is for virtual MAC addresses"),
    "timer_expired_backup": NoEffect("a late timer never changes the state here"),
    "kernel_rx_buf_size": NoEffect("socket buffers have a fixed size"),
    "linkbeat_use_polling": NoEffect("the kernel reports the state of links"),
    "debug": NoEffect("the log level is set on the command line"),
    "use_vmac": Refused(NO_VMAC),
    "use_vmac_addr": Refused(NO_VMAC),
    "vmac_xmit_base": Refused(NO_VMAC),
    "use_ipvlan": Refused(NO_VMAC),
    "vrf": Refused("a router runs on an interface, in the namespace of the daemon"),
    "no_accept": Refused("packets to virtual addresses are always accepted"),
    "virtual_routes": Refused("routes do not follow the virtual router"),
    "virtual_rules": Refused("rules do not follow the virtual router"),
    "auth_hmac": Refused("only keepalived 2.4 and later knows this authentication"),
    "no_virtual_ipaddress": Refused("a virtual router has at least one address"),
    "track_file": Refused("a health input left out would keep a failed node in service; use track_script"),
    "track_process": Refused("a health input left out would keep a failed node in service; use track_script"),
    "track_bfd": Refused("a health input left out would keep a failed node in service; use track_script"),
    "lvs_sync_daemon_interface": OtherHalf(),
}
"""Every keyword of a ``vrrp_instance`` block."""


def complete_router(
    draft: Draft, settings: Draft, checks: Sequence[Check], default_user: tuple[str | None, str | None], report: Report
) -> VirtualRouterConfig:
    """The router that a ``vrrp_instance`` block describes, with the defaults of ``global_defs`` and keepalived."""
    interface = draft.get("interface", str) or settings.get("default_interface", str) or ""
    addresses = _on(interface, draft.items("virtual_ipaddress", VirtualAddress))
    excluded = _on(interface, draft.items("virtual_ipaddress_excluded", VirtualAddress))
    family: Family = addresses[0].address.version if addresses else 4
    version = _version(draft, settings, family)
    state = draft.get("state", InitialState)
    priority = draft.get("priority", int)
    if priority is None:
        priority = OWNER_PRIORITY if state is InitialState.MASTER else 100
    strict = _flag(draft, settings, "strict_mode", "vrrp_strict")
    if strict:
        _tell_of_strict(draft, settings, priority, version, report)
    peers = _peers(draft, report)
    return VirtualRouterConfig(
        name=draft.name,
        interface=interface,
        family=family,
        vrid=draft.get("virtual_router_id", int) or 0,
        version=version,
        addresses=addresses,
        priority=priority,
        advertisement_interval=_interval(draft, version, report),
        excluded_addresses=excluded,
        initial_state=state,
        preempt=draft.get("preempt", bool) is not False,
        preempt_delay=draft.get("preempt_delay", float) or 0.0,
        down_advertisements=draft.get("down_timer_adverts", int)
        or settings.get("vrrp_down_timer_adverts", int)
        or DEFAULT_DOWN_ADVERTISEMENTS,
        source_address=_source_address(draft, report),
        multicast_group=_multicast_group(draft, settings, family, report),
        unicast_peers=peers,
        unicast_ttl=draft.get("unicast_ttl", int) or 255,
        accept_sources=_accept_sources(draft, report),
        authentication=_password(draft, version, report),
        checksum_without_pseudo_header=_flag(draft, settings, "v3_checksum_as_v2", "v3_checksum_as_v2"),
        strict=strict,
        tracked_checks=_tracked_checks(draft, checks),
        tracked_interfaces=tuple(one for one, _ in draft.items("track_interface", TrackedInterface)),
        track_own_interface=not draft.get("dont_track_primary", bool),
        announcements=_announcements(draft, settings, strict),
        notify=_notify_scripts(draft, default_user),
        answer_lower_priority=not (
            strict or _flag(draft, settings, "lower_prio_no_advert", "vrrp_lower_prio_no_advert")
        ),
        advertise_before_yielding=_flag(draft, settings, "higher_prio_send_advert", "vrrp_higher_prio_send_advert"),
        owner_ignores_advertisements=(strict and priority == OWNER_PRIORITY)
        or _flag(draft, settings, "owner_ignore_adverts", "vrrp_owner_ignore_adverts"),
    )


def _flag(draft: Draft, settings: Draft, keyword: str, global_keyword: str) -> bool:
    value = draft.get(keyword, bool)
    return bool(settings.get(global_keyword, bool) if value is None else value)


def _on(interface: str, found: list[tuple[VirtualAddress, Place]]) -> tuple[VirtualAddress, ...]:
    return tuple(replace(vip, device=vip.device or interface) for vip, _ in found)


def _version(draft: Draft, settings: Draft, family: Family) -> Version:
    """``version`` as given; else 3 for IPv6 and ``vrrp_version``, which defaults to 2, for IPv4."""
    given = draft.get("version", int)
    if given is not None:
        return Version(given)
    if family == 6:
        return Version.V3
    return Version(settings.get("vrrp_version", int) or 2)


def _interval(draft: Draft, version: Version, report: Report) -> int:
    given = draft.get("advert_int", Decimal)
    if given is None:
        return 100
    interval, changed = advertisement_interval(given, version)
    if changed:
        report.warning(draft.place_of("advert_int"), changed)
    return interval


def _source_address(draft: Draft, report: Report) -> IPAddress | None:
    """keepalived has one setting with two names; the later one counts, so both together are only right when equal."""
    multicast, unicast = (_ip(draft, keyword) for keyword in SOURCE_KEYWORDS)
    if multicast is not None and unicast is not None and multicast != unicast:
        place = draft.place_of("unicast_src_ip")
        report.error(place, f"unicast_src_ip is {unicast} but mcast_src_ip is {multicast}, expected one source address")
    if unicast is not None and not draft.given("unicast_peer"):
        report.warning(
            draft.place_of("unicast_src_ip"), "unicast_src_ip without unicast_peer: advertisements go by multicast"
        )
    return unicast or multicast


def _ip(draft: Draft, keyword: str) -> IPAddress | None:
    return draft.get(keyword, IPv4Address) or draft.get(keyword, IPv6Address)


def _multicast_group(draft: Draft, settings: Draft, family: Family, report: Report) -> IPAddress | None:
    if draft.given("unicast_peer") or draft.given("unicast_fault_no_peer"):
        if draft.given("mcast_dst_ip"):
            report.warning(draft.place_of("mcast_dst_ip"), "mcast_dst_ip has no effect: unicast_peer is given")
        return None
    return _ip(draft, "mcast_dst_ip") or _ip(settings, f"vrrp_mcast_group{family}") or DEFAULT_GROUPS[family]


def _peers(draft: Draft, report: Report) -> tuple[UnicastPeer, ...]:
    """The peers; none at all is mostly a slip, after which both sides are MASTER, so it must be said."""
    peers = tuple(peer for peer, _ in draft.items("unicast_peer", UnicastPeer))
    asked = next((name for name in ("unicast_peer", "unicast_fault_no_peer") if draft.given(name)), None)
    if asked and not peers and "unicast_peer" not in draft.broken and not draft.get("run_alone", bool):
        report.error(
            draft.place_of(asked),
            f"({draft.name}) unicast_peer is empty, expected at least one address",
        )
    return peers


def _accept_sources(draft: Draft, report: Report) -> tuple[IPNetwork, ...]:
    """The sources that count; a block that lists none would otherwise mean that all of them do."""
    found = tuple(one for one, _ in draft.items("accept_sources", object) if isinstance(one, IPv4Network | IPv6Network))
    if draft.given("accept_sources") and not found and "accept_sources" not in draft.broken:
        report.error(
            draft.place_of("accept_sources"), f"({draft.name}) accept_sources is empty, expected at least one address"
        )
    return found


def _password(draft: Draft, version: Version, report: Report) -> Authentication | None:
    kind, password = draft.get("auth_type", str), draft.get("auth_pass", str)
    if not draft.given("authentication") or draft.broken & {"authentication", "auth_type", "auth_pass"}:
        return None
    place = draft.place_of("authentication")
    if kind == "AH" and version is Version.V2:
        report.error(draft.place_of("auth_type"), "auth_type AH is not supported: expected PASS")
        return None
    if kind is None or (password is None and kind == "PASS"):
        report.error(place, f"authentication has no {'auth_type' if kind is None else 'auth_pass'}, expected both")
        return None
    content = (password or "").encode("utf-8", "surrogateescape")
    if len(content) > LONGEST_PASSWORD and version is Version.V2:
        report.warning(
            draft.place_of("auth_pass"),
            f"auth_pass is {len(content)} bytes long: only the first {LONGEST_PASSWORD} count",
        )
    return Authentication(content[:LONGEST_PASSWORD].ljust(LONGEST_PASSWORD, b"\0"))


def _tracked_checks(draft: Draft, checks: Sequence[Check]) -> tuple[TrackedCheck, ...]:
    defaults = {check.name: check for check in checks}
    tracked = []
    for (name, weight, reverse, weight_given), _ in draft.items("track_script", tuple):
        check = defaults.get(name)
        if check is not None and not weight_given:
            weight, reverse = check.weight, check.weight_reverse
        tracked.append(TrackedCheck(name, weight, reverse))
    return tuple(tracked)


def _announcements(draft: Draft, settings: Draft, strict: bool) -> AnnouncementPolicy:
    """The router's own settings, else the global ones, where those for lower priority default to those for MASTER."""
    default = AnnouncementPolicy()
    minimal = settings.get("vrrp_min_garp", bool) or False

    def number_of(keyword: str, otherwise: int) -> int:
        for value in (draft.get(keyword, int), settings.get(f"vrrp_{keyword}", int)):
            if value is not None:
                return value
        return otherwise

    def seconds_of(keyword: str, otherwise: float) -> float:
        for value in (draft.get(keyword, float), settings.get(f"vrrp_{keyword}", float)):
            if value is not None:
                return value
        return otherwise

    def global_number(keyword: str, otherwise: int) -> int:
        value = settings.get(keyword, int)
        return otherwise if value is None else value

    def global_seconds(keyword: str, otherwise: float) -> float:
        value = settings.get(keyword, float)
        return otherwise if value is None else value

    delay = 0.0 if minimal else default.times.master_delay
    repeat = 1 if minimal else default.times.master_repeat
    lower_delay = (
        0.0 if strict else seconds_of("garp_lower_prio_delay", global_seconds("vrrp_garp_master_delay", delay))
    )
    lower_repeat = (
        0 if strict else number_of("garp_lower_prio_repeat", global_number("vrrp_garp_master_repeat", repeat))
    )
    times = AnnouncementTimes(
        master_delay=seconds_of("garp_master_delay", delay),
        master_repeat=number_of("garp_master_repeat", repeat),
        refresh=seconds_of("garp_master_refresh", default.times.refresh),
        refresh_repeat=number_of("garp_master_refresh_repeat", default.times.refresh_repeat),
        lower_priority_delay=lower_delay,
        lower_priority_repeat=lower_repeat,
    )
    return AnnouncementPolicy(
        times,
        garp_interval=seconds_of("garp_interval", default.garp_interval),
        gna_interval=seconds_of("gna_interval", default.gna_interval),
    )


def _notify_scripts(draft: Draft, default_user: tuple[str | None, str | None]) -> NotifyScripts:
    def script(keyword: str) -> Command | None:
        command = draft.get(keyword, Command)
        if command is None or command.user is not None:
            return command
        return replace(command, user=default_user[0], group=default_user[1])

    return NotifyScripts(
        any_change=script("notify"),
        master=script("notify_master"),
        backup=script("notify_backup"),
        fault=script("notify_fault"),
        stop=script("notify_stop"),
        master_rx_lower_pri=script("notify_master_rx_lower_pri"),
    )


def _tell_of_strict(draft: Draft, settings: Draft, priority: int, version: Version, report: Report) -> None:
    """What strict mode forbids and only the file can tell: the rest is in ``validate``."""
    if draft.get("lower_prio_no_advert", bool) is False:
        place = draft.place_of("lower_prio_no_advert")
        report.error(place, "lower_prio_no_advert is off, vrrp_strict expects it on")
    for keyword, kind in (("garp_lower_prio_delay", float), ("garp_lower_prio_repeat", int)):
        if draft.get(keyword, kind):
            report.error(draft.place_of(keyword), f"{keyword} is given, vrrp_strict allows only 0")
        elif settings.get(f"vrrp_{keyword}", kind) and not draft.given(keyword):
            report.warning(settings.place_of(f"vrrp_{keyword}"), f"vrrp_{keyword} has no effect: vrrp_strict is set")
    if draft.get("accept", bool) and version is Version.V2 and priority != OWNER_PRIORITY:
        report.error(draft.place_of("accept"), "accept is given, vrrp_strict does not allow it with version 2")
    elif priority != OWNER_PRIORITY and not draft.get("accept", bool):
        place = draft.place_of("strict_mode") if draft.given("strict_mode") else settings.place_of("vrrp_strict")
        report.warning(
            place, "vrrp_strict implies no_accept, which is not supported: packets to virtual addresses are accepted"
        )
