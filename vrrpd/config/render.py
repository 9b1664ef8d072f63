"""A ``Configuration`` as text for people: keepalived.conf again, or JSON for tools.

What ``to_keepalived_conf`` prints means the same when it is read again: everything that decides is said, nothing rests
on ``global_defs`` that a reader would have to look up. ``to_json`` follows docs/schema/config.schema.json; it says
everything but passwords, and its times are all in seconds.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Final

from vrrpd.config.addresses import SCOPES
from vrrpd.config.model import (
    DEFAULT_GROUPS,
    AnnouncementPolicy,
    Authentication,
    Check,
    Command,
    Configuration,
    FirewallRule,
    GlobalSettings,
    IPNetwork,
    NotifyScripts,
    TcpTarget,
    TrackedCheck,
    TrackedInterface,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.scripts import NOTIFY_KEYWORDS
from vrrpd.config.words import quote
from vrrpd.protocol.timing import CENTISECONDS_PER_SECOND, DEFAULT_DOWN_ADVERTISEMENTS

SCHEMA_VERSION: Final = 1
"""Grows when a field of the JSON is taken away or changes its meaning; new fields may come at any time."""

SCOPE_NAMES: Final = {number: name for name, number in SCOPES.items()}

GARP_KEYWORDS: Final = {
    "garp_master_delay": "master_delay",
    "garp_master_repeat": "master_repeat",
    "garp_master_refresh": "refresh",
    "garp_master_refresh_repeat": "refresh_repeat",
    "garp_lower_prio_delay": "lower_priority_delay",
    "garp_lower_prio_repeat": "lower_priority_repeat",
    "garp_interval": "garp_interval",
    "gna_interval": "gna_interval",
}
"""What ``_announcements`` calls them, by keyword."""


def to_keepalived_conf(configuration: Configuration) -> str:
    """The configuration as a keepalived.conf."""
    settings = configuration.settings
    top = []
    if settings.network_namespace is not None:
        top.append(f"net_namespace {quote(settings.network_namespace)}")
    if settings.instance is not None:
        top.append(f"instance {quote(settings.instance)}")
    blocks = [("global_defs", list(_global_defs(configuration)))]
    blocks += [(f"vrrp_script {quote(check.name)}", list(_check(check))) for check in configuration.checks]
    blocks += [(f"vrrp_instance {quote(router.name)}", list(_router(router))) for router in configuration.routers]
    parts = ["\n".join(top)] if top else []
    parts += ["\n".join(_block(head, lines)) for head, lines in blocks if lines]
    return "\n\n".join(parts) + "\n"


def _block(head: str, lines: list[str]) -> Iterator[str]:
    yield f"{head} {{"
    for line in lines:
        yield f"    {line}"
    yield "}"


def _global_defs(configuration: Configuration) -> Iterator[str]:
    settings = configuration.settings
    if settings.router_id:
        yield f"router_id {quote(settings.router_id)}"
    if settings.script_user is not None:
        yield f"script_user {_user(settings.script_user, settings.script_group)}"
    if settings.enable_script_security:
        yield "enable_script_security"
    if settings.default_interface is not None:
        yield f"default_interface {quote(settings.default_interface)}"
    if settings.log_unknown_vrids:
        yield "log_unknown_vrids"
    if configuration.leftovers_are_ours:
        yield "leftovers_are_ours"
    if settings.keep_vips:
        yield "keep_vips"
    if settings.firewall is not None:
        yield f"firewall {_firewall(settings.firewall)}"


def _firewall(rule: FirewallRule) -> str:
    words = (rule.tool, rule.name) if rule.chain is None else (rule.tool, rule.chain, rule.name)
    return " ".join(map(quote, words))


def _check(check: Check) -> Iterator[str]:
    match check.probe:
        case Command() as command:
            yield f"script {_script(command)}"
            if command.user is not None:
                yield f"user {_user(command.user, command.group)}"
        case TcpTarget(host, port):
            yield f"tcp_check {quote(host)} {port}"
    yield f"interval {_number(check.interval)}"
    yield f"timeout {_number(check.timeout)}"
    yield f"weight {check.weight}{' reverse' if check.weight_reverse else ''}"
    yield f"rise {check.rise}"
    yield f"fall {check.fall}"


def _router(router: VirtualRouterConfig) -> Iterator[str]:
    if router.initial_state is not None:
        yield f"state {router.initial_state.value}"
    yield f"interface {quote(router.interface)}"
    yield f"virtual_router_id {router.vrid}"
    yield f"version {router.version.value}"
    yield f"priority {router.priority}"
    yield f"advert_int {_number(router.advertisement_interval / CENTISECONDS_PER_SECOND)}"
    if router.down_advertisements != DEFAULT_DOWN_ADVERTISEMENTS:
        yield f"down_timer_adverts {router.down_advertisements}"
    if not router.preempt:
        yield "nopreempt"
    if router.preempt_delay:
        yield f"preempt_delay {_number(router.preempt_delay)}"
    yield from _transport(router)
    if router.strict:
        yield "strict_mode on"
    if router.checksum_without_pseudo_header:
        yield "v3_checksum_as_v2 on"
    if not router.answer_lower_priority:
        yield "lower_prio_no_advert on"
    if router.advertise_before_yielding:
        yield "higher_prio_send_advert on"
    if router.owner_ignores_advertisements:
        yield "owner_ignore_adverts on"
    if not router.track_own_interface:
        yield "dont_track_primary"
    yield from _inner("virtual_ipaddress", [_address(vip) for vip in router.addresses])
    yield from _inner("virtual_ipaddress_excluded", [_address(vip) for vip in router.excluded_addresses])
    yield from _inner("track_interface", [_tracked(one.interface, one) for one in router.tracked_interfaces])
    yield from _inner("track_script", [_tracked(one.check, one) for one in router.tracked_checks])
    announcements, defaults = _announcements(router.announcements), _announcements(AnnouncementPolicy())
    for keyword, field in GARP_KEYWORDS.items():
        if announcements[field] != defaults[field]:
            yield f"{keyword} {_number(announcements[field])}"
    for field, keyword in NOTIFY_KEYWORDS.items():
        command = getattr(router.notify, field)
        if command is not None:
            yield " ".join((keyword, _script(command), _user(command.user, command.group))).rstrip()


def _transport(router: VirtualRouterConfig) -> Iterator[str]:
    if router.source_address is not None:
        yield f"{'unicast' if router.unicast else 'mcast'}_src_ip {router.source_address}"
    if router.multicast_group not in (None, DEFAULT_GROUPS[router.family]):
        yield f"mcast_dst_ip {router.multicast_group}"
    if router.unicast:
        yield from _inner("unicast_peer", [_peer(peer) for peer in router.unicast_peers], even_if_empty=True)
        if not router.unicast_peers:
            yield "run_alone"
    if router.unicast_ttl != 255:
        yield f"unicast_ttl {router.unicast_ttl}"
    yield from _inner("accept_sources", [_network(network) for network in router.accept_sources])
    if router.authentication is not None:
        yield from _inner("authentication", ["auth_type PASS", f"auth_pass {_password(router.authentication)}"])


def _inner(head: str, lines: list[str], even_if_empty: bool = False) -> Iterator[str]:
    if lines or even_if_empty:
        yield from _block(head, lines)


def _address(vip: VirtualAddress) -> str:
    words = [f"{vip.address}/{vip.prefix_length}", "dev", quote(vip.device)]
    if vip.broadcast is not None:
        words += ["brd", str(vip.broadcast)]
    if vip.scope:
        words += ["scope", SCOPE_NAMES.get(vip.scope, str(vip.scope))]
    if vip.label is not None:
        words += ["label", quote(vip.label)]
    if vip.address.version == 6 and vip.preferred_lifetime != (0 if vip.prefix_length == 128 else None):
        words += ["preferred_lft", "forever" if vip.preferred_lifetime is None else str(vip.preferred_lifetime)]
    if vip.no_prefix_route:
        words.append("noprefixroute")
    if vip.duplicate_address_detection:
        words.append("-nodad")
    if not vip.tracked:
        words.append("no_track")
    return " ".join(words)


def _peer(peer: UnicastPeer) -> str:
    minimum = "" if peer.min_ttl is None else f" min_ttl {peer.min_ttl}"
    maximum = "" if peer.max_ttl is None else f" max_ttl {peer.max_ttl}"
    return f"{peer.address}{minimum}{maximum}"


def _network(network: IPNetwork) -> str:
    """A prefix; an address where it holds only one."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _tracked(name: str, tracked: TrackedCheck | TrackedInterface) -> str:
    return f"{quote(name)} weight {tracked.weight}{' reverse' if tracked.reverse else ''}"


def _script(command: Command) -> str:
    words = [f"{name}={shlex.quote(value)}" for name, value in command.environment]
    return quote(" ".join([*words, shlex.join(command.argv)]))


def _user(user: str | None, group: str | None) -> str:
    return " ".join(quote(name) for name in (user, group) if name is not None)


def _password(authentication: Authentication) -> str:
    return quote(authentication.password.rstrip(b"\0").decode("utf-8", "surrogateescape"))


def _number(value: float) -> str:
    """A number without exponent and without zeros that say nothing."""
    return f"{Decimal(repr(value)).normalize():f}"


def to_json(configuration: Configuration) -> dict[str, object]:
    """The configuration as the values of a JSON document (docs/schema/config.schema.json)."""
    return {
        "schema": SCHEMA_VERSION,
        "source": configuration.source,
        "leftovers_are_ours": configuration.leftovers_are_ours,
        "settings": _json_settings(configuration.settings),
        "checks": [_json_check(check) for check in configuration.checks],
        "routers": [_json_router(router) for router in configuration.routers],
    }


def _json_settings(settings: GlobalSettings) -> dict[str, object]:
    return {
        "router_id": settings.router_id,
        "script_user": settings.script_user,
        "script_group": settings.script_group,
        "enable_script_security": settings.enable_script_security,
        "default_interface": settings.default_interface,
        "log_unknown_vrids": settings.log_unknown_vrids,
        "network_namespace": settings.network_namespace,
        "instance": settings.instance,
        "firewall": None if settings.firewall is None else _json_firewall(settings.firewall),
        "keep_vips": settings.keep_vips,
    }


def _json_firewall(rule: FirewallRule) -> dict[str, object]:
    return {"tool": rule.tool, "chain": rule.chain, "name": rule.name}


def _json_check(check: Check) -> dict[str, object]:
    probe: dict[str, object]
    match check.probe:
        case Command() as command:
            probe = {"type": "command", **_json_command(command)}
        case TcpTarget(host, port):
            probe = {"type": "tcp", "host": host, "port": port}
    return {
        "name": check.name,
        "probe": probe,
        "interval": check.interval,
        "timeout": check.timeout,
        "weight": check.weight,
        "reverse": check.weight_reverse,
        "rise": check.rise,
        "fall": check.fall,
        "security_problem": check.security_problem,
    }


def _json_command(command: Command) -> dict[str, object]:
    return {
        "argv": list(command.argv),
        "user": command.user,
        "group": command.group,
        "environment": dict(command.environment),
    }


def _json_router(router: VirtualRouterConfig) -> dict[str, object]:
    return {
        "name": router.name,
        "interface": router.interface,
        "family": router.family,
        "virtual_router_id": router.vrid,
        "version": router.version.value,
        "state": None if router.initial_state is None else router.initial_state.value,
        "priority": router.priority,
        "advertisement_interval": router.advertisement_interval / CENTISECONDS_PER_SECOND,
        "down_advertisements": router.down_advertisements,
        "preempt": router.preempt,
        "preempt_delay": router.preempt_delay,
        "virtual_addresses": [_json_address(vip) for vip in router.addresses],
        "excluded_addresses": [_json_address(vip) for vip in router.excluded_addresses],
        "source_address": None if router.source_address is None else str(router.source_address),
        "multicast_group": None if router.multicast_group is None else str(router.multicast_group),
        "unicast_peers": [
            {"address": str(peer.address), "min_ttl": peer.min_ttl, "max_ttl": peer.max_ttl}
            for peer in router.unicast_peers
        ],
        "unicast_ttl": router.unicast_ttl,
        "accept_sources": [_network(network) for network in router.accept_sources],
        "authentication": None if router.authentication is None else "PASS",
        "checksum_without_pseudo_header": router.checksum_without_pseudo_header,
        "strict": router.strict,
        "tracked_checks": [
            {"check": one.check, "weight": one.weight, "reverse": one.reverse} for one in router.tracked_checks
        ],
        "tracked_interfaces": [
            {"interface": one.interface, "weight": one.weight, "reverse": one.reverse}
            for one in router.tracked_interfaces
        ],
        "track_own_interface": router.track_own_interface,
        "announcements": _announcements(router.announcements),
        "notify": _json_notify(router.notify),
        "answer_lower_priority": router.answer_lower_priority,
        "advertise_before_yielding": router.advertise_before_yielding,
        "owner_ignores_advertisements": router.owner_ignores_advertisements,
    }


def _announcements(policy: AnnouncementPolicy) -> dict[str, float]:
    """The times and the least distances side by side, as the file has them."""
    distances = {"garp_interval": policy.garp_interval, "gna_interval": policy.gna_interval}
    found = asdict(policy.times) | distances
    return {field: found[field] for field in GARP_KEYWORDS.values()}


def _json_address(vip: VirtualAddress) -> dict[str, object]:
    return {
        "address": str(vip.address),
        "prefix_length": vip.prefix_length,
        "device": vip.device,
        "scope": vip.scope,
        "label": vip.label,
        "broadcast": None if vip.broadcast is None else str(vip.broadcast),
        "preferred_lifetime": vip.preferred_lifetime,
        "no_prefix_route": vip.no_prefix_route,
        "duplicate_address_detection": vip.duplicate_address_detection,
        "tracked": vip.tracked,
    }


def _json_notify(notify: NotifyScripts) -> dict[str, object]:
    commands = {keyword: getattr(notify, field) for field, keyword in NOTIFY_KEYWORDS.items()}
    return {keyword: _json_command(command) for keyword, command in commands.items() if command is not None}
