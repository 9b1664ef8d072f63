"""``OPENSHIFT_HA_*`` and ``VRRPD_*`` to a ``Configuration``: what an ipfailover pod is told.

``parse`` is a function of the variables and of facts about the host; ``load`` looks at the scripts too. The result is
the model that a file gives, too. Defaults are those of the deployed keepalived ipfailover image where the manuals leave
room. All problems are found before any is told. docs/openshift.md has the table for people.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from vrrpd.config.addresses import NetworkError, accepted_network, is_interface_name, is_link_local
from vrrpd.config.global_defs import is_chain_name
from vrrpd.config.groups import CONFIG_NAME, DEFAULT_NAME, VIRTUAL_IPS, Group, divide, plain_name, virtual_addresses
from vrrpd.config.host import HostFacts
from vrrpd.config.keywords import decimal, not_printable
from vrrpd.config.model import (
    DEFAULT_GROUPS,
    Authentication,
    Check,
    Command,
    Configuration,
    Diagnostic,
    Family,
    FirewallRule,
    GlobalSettings,
    InitialState,
    IPNetwork,
    NotifyScripts,
    TcpTarget,
    TrackedCheck,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.nodes import Cluster, Nodes
from vrrpd.config.ranges import Listed
from vrrpd.config.report import Place, Report, seen
from vrrpd.config.script_files import problem_of
from vrrpd.config.source import UNDECODABLE
from vrrpd.config.spread import HIGHEST_PRIORITY, Spread, priority_of_rank, rendezvous_priority
from vrrpd.config.spread import Group as SpreadGroup
from vrrpd.config.validate import LONGEST_PREEMPT_DELAY, MOST_ADDRESSES, advertisement_interval, settle
from vrrpd.config.variables import ENVIRONMENT, PLACE, Variables
from vrrpd.protocol.timing import Version

DEFAULT_INTERFACE: Final = "eth0"
DEFAULT_PREEMPTION: Final = "preempt_delay 300"
UNKNOWN_TARGET: Final = "255.255.255.255"
"""Stands for the node's own address while nobody knows it: connecting to it fails at once and sends nothing."""
LONGEST_INSTANCE: Final = 64
"""Characters: names of sockets are made of it, and they are limited."""
LONGEST_PASSWORD: Final = 8
"""Bytes of VRRPv2 authentication data (RFC 2338 section 5.3.6)."""

INTERFACE: Final = "OPENSHIFT_HA_NETWORK_INTERFACE"
PREEMPTION: Final = "OPENSHIFT_HA_PREEMPTION"
MONITOR_PORT: Final = "OPENSHIFT_HA_MONITOR_PORT"
MONITOR_ADDRESS: Final = "VRRPD_MONITOR_ADDRESS"
CHECK_SCRIPT: Final = "OPENSHIFT_HA_CHECK_SCRIPT"
CHECK_INTERVAL: Final = "OPENSHIFT_HA_CHECK_INTERVAL"
NOTIFY_SCRIPT: Final = "OPENSHIFT_HA_NOTIFY_SCRIPT"
CHAIN: Final = "OPENSHIFT_HA_IPTABLES_CHAIN"
NFTABLES: Final = "OPENSHIFT_HA_NFTABLES_RULE"
ACCEPT_SOURCES: Final = "VRRPD_ACCEPT_SOURCES"
ADVERT_INTERVAL: Final = "VRRPD_ADVERT_INTERVAL"
PRIORITY: Final = "VRRPD_PRIORITY"
SCRIPT_USER: Final = "VRRPD_SCRIPT_USER"
KEEP_VIPS: Final = "VRRPD_KEEP_VIPS"


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the environment holds a configuration at all."""
    return bool(environment.get(VIRTUAL_IPS, "").strip())


def instance_name(environment: Mapping[str, str]) -> str:
    """The name of the daemon among several in one network namespace: VRRPD_INSTANCE, else the configuration's.

    What cannot stand in a file name becomes ``_``; a name that is too long is cut and told apart by a hash.
    """
    variables = Variables(environment, Report())
    name = variables.text("VRRPD_INSTANCE") or variables.text(CONFIG_NAME, DEFAULT_NAME)
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    if len(safe) <= LONGEST_INSTANCE:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe[: LONGEST_INSTANCE - 9]}-{digest}"


def parse(environment: Mapping[str, str], facts: HostFacts) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    """The configuration that the variables ask for on such a host, and the warnings about it.

    Looks at nothing but its arguments. Raises ConfigurationError with every problem found.
    """
    report = Report()
    configuration = _Reader(environment, facts, report).configuration()
    report.raise_if_fatal()
    return configuration, report.diagnostics


def load(environment: Mapping[str, str], facts: HostFacts) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    """As ``parse``, with a look at the scripts: one that cannot run is a warning now and a failed check later."""
    report = Report()
    configuration = _Reader(environment, facts, report).configuration()
    for check in configuration.checks:
        if isinstance(check.probe, Command) and (problem := problem_of(check.probe)):
            report.warning(PLACE, f"{CHECK_SCRIPT}: {problem}; until then every run is a failed check")
    notified = configuration.routers[0].notify.any_change if configuration.routers else None
    if notified is not None and (problem := problem_of(notified)):
        report.warning(PLACE, f"{NOTIFY_SCRIPT}: {problem}; until then nobody is notified")
    report.raise_if_fatal()
    return configuration, report.diagnostics


def spreads(environment: Mapping[str, str], facts: HostFacts) -> tuple[Spread, ...]:
    """Who should hold what, for each list of nodes; empty where no list is given, or VRRPD_PRIORITY overrules it.

    Raises ConfigurationError as ``parse`` does.
    """
    report = Report()
    reader = _Reader(environment, facts, report)
    reader.configuration()
    report.raise_if_fatal()
    return tuple(reader.spreads)


class _Reader:
    """One environment on one host, read once."""

    def __init__(self, environment: Mapping[str, str], facts: HostFacts, report: Report) -> None:
        self.variables = Variables(environment, report)
        self.facts = facts
        self.report = report
        self.instance = instance_name(environment)
        self.name = self.variables.text(CONFIG_NAME, DEFAULT_NAME)
        self.spreads: list[Spread] = []

    def configuration(self) -> Configuration:
        """Everything, with a problem reported wherever there is one."""
        self.version = Version(self.variables.number("VRRPD_VERSION", 2, 3, 3))
        with_old_pods = self.version is Version.V2
        listed = virtual_addresses(self.variables, with_old_pods)
        groups = divide(self.variables, listed, with_old_pods)
        self.interface = self.choose_interface()
        self.virtual = frozenset(one.address for one in listed)
        self.nodes = Nodes(self.variables, self.facts, self.interface, self.virtual)
        self.nodes.tell(group.family for group in groups)
        self.tell_of_host()
        self.tell_of_groups(groups)
        self.script_user = self.user_and_group()
        checks = self.checks()
        common = self.common(checks)
        intervals = self.intervals(groups)
        priorities = self.priorities(groups)
        self.accepted = self.accepted_sources(groups)
        routers = tuple(
            self.router(group, common, intervals.get(group.family, 100), priorities[group.number]) for group in groups
        )
        configuration = Configuration(
            settings=GlobalSettings(
                router_id=self.facts.host_name,
                script_user=self.script_user[0],
                script_group=self.script_user[1],
                instance=self.instance,
                firewall=self.firewall(),
                keep_vips=self.variables.flag(KEEP_VIPS),
            ),
            checks=checks,
            routers=routers,
            source=ENVIRONMENT,
            leftovers_are_ours=True,
        )
        self.tell_of_the_rest()
        return settle(configuration, self.report, self.locate, lambda _: PLACE) if routers else configuration

    def locate(self, router: int, keyword: str, entry: int) -> Place | None:
        """Where validation's words point: to the environment. What ``tell_of_groups`` says is not said again."""
        return None if keyword == "virtual_ipaddress" else PLACE

    # -- routers ------------------------------------------------------------------------------------------------------

    def common(self, checks: Sequence[Check]) -> VirtualRouterConfig:
        """A router with everything that all groups share; what is its own is filled in by ``router``."""
        preempt, delay = self.preemption()
        return VirtualRouterConfig(
            name="",
            interface=self.interface,
            family=4,
            vrid=0,
            version=self.version,
            addresses=(),
            # Nothing rests on it, but it is what is printed: keepalived would clear the delay of a MASTER.
            initial_state=InitialState.BACKUP,
            preempt=preempt,
            preempt_delay=delay,
            tracked_checks=tuple(TrackedCheck(check.name) for check in checks),
            notify=NotifyScripts(any_change=self.script(NOTIFY_SCRIPT)),
        )

    def router(self, group: Group, common: VirtualRouterConfig, interval: int, priority: int) -> VirtualRouterConfig:
        """The virtual router of a group."""
        addresses = tuple(map(self.virtual_address, group.listed))
        version = self.version_of(group.family)
        router = replace(
            common,
            name=group.name,
            family=group.family,
            vrid=group.vrid,
            version=version,
            addresses=tuple(one for one in addresses if one.address.version == group.family),
            excluded_addresses=tuple(one for one in addresses if one.address.version != group.family),
            priority=priority,
            advertisement_interval=interval,
            authentication=self.password() if version is Version.V2 else None,
            accept_sources=tuple(network for network in self.accepted if network.version == group.family),
        )
        if not self.nodes.unicast:
            return replace(
                router,
                multicast_group=DEFAULT_GROUPS[group.family],
                source_address=self.nodes.multicast_source(group.family),
            )
        unicast = self.nodes.unicast_of(group.family)
        peers = tuple(map(UnicastPeer, unicast.peers))
        return replace(router, multicast_group=None, unicast_peers=peers, source_address=unicast.source)

    def virtual_address(self, one: Listed) -> VirtualAddress:
        """One address on the interface."""
        # As in a file: an IPv6 address alone in its prefix should not become the source of the node's connections.
        alone = one.address.version == 6 and one.prefix_length == 128
        return VirtualAddress(one.address, one.prefix_length, self.interface, preferred_lifetime=0 if alone else None)

    def version_of(self, family: Family) -> Version:
        """IPv6 groups are version 3 whatever the old pods on IPv4 speak: theirs are too."""
        return Version.V3 if family == 6 else self.version

    def password(self) -> Authentication:
        """What old pods send: the configuration's name as it is, cut to what fits."""
        content = self.name.encode("utf-8", "surrogateescape")[:LONGEST_PASSWORD]
        return Authentication(content.ljust(LONGEST_PASSWORD, b"\0"))

    def intervals(self, groups: Sequence[Group]) -> dict[Family, int]:
        """The advertisement interval of each family's groups in centiseconds."""
        variables = self.variables
        text = variables.text(ADVERT_INTERVAL, "1")
        given = decimal(text)
        if given is None or given == 0:
            variables.wrong(ADVERT_INTERVAL, "seconds such as 1 or 0.25")
            return {}
        intervals: dict[Family, int] = {}
        for family in sorted({group.family for group in groups}):
            interval, changed = advertisement_interval(given, self.version_of(family))
            if changed:
                variables.warning(f"{ADVERT_INTERVAL}: {changed}")
            if interval == 0:
                variables.wrong(ADVERT_INTERVAL, "at least 0.01 seconds")
                return {}
            intervals[family] = interval
        return intervals

    def accepted_sources(self, groups: Sequence[Group]) -> tuple[IPNetwork, ...]:
        """The only sources that count, of both families; a family that is not limited at all must not be a surprise."""
        variables = self.variables
        found: dict[IPNetwork, None] = {}
        for word in variables.words(ACCEPT_SOURCES):
            try:
                found[accepted_network(word)] = None
            except NetworkError as wrong:
                variables.error(f"{ACCEPT_SOURCES}: {wrong}")
        for family in sorted({group.family for group in groups} if variables.given(ACCEPT_SOURCES) else ()):
            if not any(network.version == family for network in found):
                example = "fe80::/10" if family == 6 and not self.nodes.unicast else "the nodes' addresses"
                variables.error(
                    f"{ACCEPT_SOURCES} lists no IPv{family} source but there are IPv{family} groups, expected one at "
                    f"least, such as {example}"
                )
        cluster = None if self.nodes.unicast else self.nodes.cluster(4)
        for node in cluster.nodes if cluster is not None and found else ():
            if node.version == 4 and not any(node in network for network in found):
                variables.warning(f"{ACCEPT_SOURCES} does not hold the node {node}: it is not heard from there")
        return tuple(found)

    def preemption(self) -> tuple[bool, float]:
        """Whether to preempt, and after how many seconds."""
        text = self.variables.text(PREEMPTION, DEFAULT_PREEMPTION)
        match text.split():
            case ["preempt_delay", number]:
                delay = decimal(number)
                if delay is None or delay > LONGEST_PREEMPT_DELAY:
                    self.variables.wrong(PREEMPTION, f"preempt_delay and 0 to {LONGEST_PREEMPT_DELAY} seconds")
                    return True, 0.0
                return True, float(round(delay, 6))
            case ["nopreempt"]:
                return False, 0.0
            case ["preempt"]:
                return True, 0.0
            case ["preempt_delay" | "nopreempt" | "preempt", *_]:
                self.variables.wrong(PREEMPTION, "preempt_delay SECONDS, nopreempt or preempt")
            case _:
                self.variables.warning(
                    f"{PREEMPTION} is {seen(text)}, expected preempt_delay SECONDS or nopreempt: the old image skips "
                    "it, so this node preempts at once"
                )
        return True, 0.0

    # -- priorities ---------------------------------------------------------------------------------------------------

    def priorities(self, groups: Sequence[Group]) -> dict[int, int]:
        """The priority of this node in each group, by the group's number."""
        by_hand = self.variables.number(PRIORITY, 1, HIGHEST_PRIORITY, 0)
        result: dict[int, int] = {}
        together: dict[Cluster, list[Group]] = {}
        for group in groups:
            cluster = self.nodes.cluster(group.family)
            if by_hand:
                result[group.number] = by_hand
            elif cluster is not None:
                together.setdefault(cluster, []).append(group)
            else:
                node = self.nodes.address
                result[group.number] = 1 if node is None else rendezvous_priority(node, group.vrid)
        for cluster, members in together.items():
            if len(cluster.nodes) > HIGHEST_PRIORITY:  # has been reported
                return {group.number: 1 for group in groups}
            known = [SpreadGroup(group.name, group.vrid, len(group.listed)) for group in members]
            spread = Spread.of(cluster.nodes, known)
            self.spreads.append(spread)
            last = priority_of_rank(len(cluster.nodes) - 1, len(cluster.nodes))
            for index, group in enumerate(members):
                result[group.number] = last if cluster.own is None else spread.priority(cluster.own, index)
        return result

    # -- checks and scripts -------------------------------------------------------------------------------------------

    def checks(self) -> tuple[Check, ...]:
        """The check script, else a connection to the monitored port, else nothing."""
        variables = self.variables
        port = variables.number(MONITOR_PORT, 0, 65535, 80)
        address = variables.address(MONITOR_ADDRESS)
        script = self.script(CHECK_SCRIPT)
        interval = self.check_interval()
        name = f"chk_{plain_name(self.name)}"
        if script is not None:
            if address is not None:
                variables.warning(f"{MONITOR_ADDRESS} is {address} but {CHECK_SCRIPT} is given: it has no effect")
            return (Check(name, script, interval=interval, timeout=interval),)
        if port == 0:
            return ()
        if address is not None and address in self.virtual:
            variables.warning(
                f"{MONITOR_ADDRESS} is {address}, a virtual address: on a node that does not hold it the check asks "
                "another node"
            )
        host = self.monitored() if address is None else str(address)
        return (Check(name, TcpTarget(host, port), interval=interval, timeout=interval),)

    def check_interval(self) -> float:
        """Seconds between checks, which is also their time limit."""
        return float(self.variables.seconds(CHECK_INTERVAL, "0.1", "86400", "2"))

    def monitored(self) -> str:
        """The node's own address as a host to connect to."""
        address = self.nodes.address
        if address is None:
            return UNKNOWN_TARGET
        return f"{address}%{self.interface}" if is_link_local(address) else str(address)

    def script(self, name: str) -> Command | None:
        """The script of a variable: one path without arguments."""
        path = self.variables.text(name)
        if not path:
            return None
        if UNDECODABLE.search(path):
            self.variables.wrong(name, "a path in UTF-8")
            return None
        if not path.startswith("/"):
            self.variables.warning(f"{name} is {seen(path)}, expected a full path: /{seen(path)} is run")
            path = f"/{path}"
        user, group = self.script_user
        return Command((path,), user=user, group=group)

    def user_and_group(self) -> tuple[str | None, str | None]:
        """The user and the group that scripts run as; None: those of the daemon."""
        match self.variables.text(SCRIPT_USER).split():
            case []:
                return None, None
            case [user] if user.isprintable():
                return user, None
            case [user, group] if user.isprintable() and group.isprintable():
                return user, group
        self.variables.wrong(SCRIPT_USER, "a user and perhaps a group, as names or numbers")
        return None, None

    # -- the host -----------------------------------------------------------------------------------------------------

    def choose_interface(self) -> str:
        """The interface for VRRP and the addresses."""
        variables, known = self.variables, self.facts.interfaces
        if variables.given(INTERFACE):
            name = variables.text(INTERFACE)
            if not is_interface_name(name):
                variables.wrong(INTERFACE, "the name of an interface, 1 to 15 characters")
                return DEFAULT_INTERFACE
            if known and name not in known:
                variables.warning(
                    f"{INTERFACE} is {seen(name)}, which does not exist: all groups wait in FAULT until it appears"
                )
            return name
        if DEFAULT_INTERFACE in known or self.facts.default_interface is None:
            if known and DEFAULT_INTERFACE not in known:
                variables.warning(
                    f"{INTERFACE} is not set and there is neither {DEFAULT_INTERFACE} nor a default route: all groups "
                    f"wait in FAULT until {DEFAULT_INTERFACE} appears"
                )
            return DEFAULT_INTERFACE
        return self.facts.default_interface

    def firewall(self) -> FirewallRule | None:
        """The rule that lets VRRP in; nftables wins."""
        variables = self.variables
        name = self.instance if not_printable(self.name) else self.name
        chain = variables.text(CHAIN)
        if variables.given(NFTABLES):
            return FirewallRule("nftables", name)
        if not chain:
            if not self.nodes.unicast:
                variables.warning(
                    f"{CHAIN} is not set: no firewall rule lets VRRP in, and advertisements still go by multicast (one "
                    "manual says otherwise)"
                )
            return None
        if not is_chain_name(chain):
            variables.wrong(CHAIN, "the name of a chain of iptables such as INPUT")
            return None
        return FirewallRule("iptables", name, chain)

    # -- what a person should know ------------------------------------------------------------------------------------

    def tell_of_host(self) -> None:
        """What the host has to say to the variables."""
        variables, facts = self.variables, self.facts
        if facts.problem:
            variables.warning(f"the interfaces of this host cannot be read: {facts.problem}")
        if self.nodes.address is None:
            variables.warning(
                f"this node's own address on {self.interface} is not known yet: priorities and the check's target are "
                "placeholders until it is (VRRPD_NODE_ADDRESS says it)"
            )
        for interface, addresses in facts.interfaces.items():
            for one in addresses:
                if one.ip in self.virtual and one.network.prefixlen != one.ip.max_prefixlen:
                    variables.warning(
                        f"{VIRTUAL_IPS} holds {one.ip}, which is on {interface} as {one}: it is left alone there"
                    )
        if facts.keepalived_options:
            variables.warning(
                f"KEEPALIVED_OPTIONS in /etc/sysconfig/keepalived is {seen(facts.keepalived_options)}: it has no effect"
            )

    def tell_of_groups(self, groups: Sequence[Group]) -> None:
        """What validation would say of each group, once for all."""
        link_local_missing = [
            group for group in groups if group.family == 6 and not is_link_local(group.listed[0].address)
        ]
        if link_local_missing:
            first, more = link_local_missing[0], len(link_local_missing) - 1
            rest = f" (and {more} more groups)" if more else ""
            self.variables.warning(
                f"{VIRTUAL_IPS}: {first.name}{rest} begins with {first.listed[0].address}, RFC 9568 section 5.2.9 "
                "expects a link-local address first; routers other than keepalived and vrrpd may not accept it"
            )
        for group in groups:
            count = sum(one.address.version == group.family for one in group.listed)
            most = MOST_ADDRESSES[group.family]
            if count > most:
                self.variables.warning(
                    f"{VIRTUAL_IPS}: {group.name} has {count} addresses, at most {most} fit an advertisement: the "
                    "others are installed with them but not advertised"
                )
            if count < len(group.listed):
                self.variables.warning(
                    f"{VIRTUAL_IPS}: {group.name} mixes families, only its IPv{group.family} addresses are advertised"
                )

    def tell_of_the_rest(self) -> None:
        """Variables that are accepted and do nothing here, and those that nobody knows."""
        variables = self.variables
        mail = [name for name in ("OPENSHIFT_HA_ADMIN_EMAILS", "OPENSHIFT_HA_SMTP_SERVER") if variables.given(name)]
        if mail:
            variables.warning(f"{' and '.join(mail)} given, but no mail is sent: use {NOTIFY_SCRIPT}")
        variables.check_choices()
        variables.warn_of_unknown()
