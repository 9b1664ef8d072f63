"""What a daemon is told to do: frozen dataclasses in which every source of configuration meets.

A value of these types is complete and consistent: defaults are filled in, names are resolved, families agree.
Readers (``keepalived``, ``environment``) see to that and report every problem at once; nobody checks again later.
Intervals of the protocol are centiseconds, everything else is seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, TypeAlias

from vrrpd.protocol.datagram import IPAddress as IPAddress
from vrrpd.protocol.datagram import IPNetwork as IPNetwork
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.timing import DEFAULT_DOWN_ADVERTISEMENTS, Version

Family: TypeAlias = Literal[4, 6]

DEFAULT_GROUPS: Final[dict[Family, IPAddress]] = {4: IPv4Address("224.0.0.18"), 6: IPv6Address("ff02::12")}
"""The multicast groups of VRRP (RFC 9568 sections 5.1.1.2 and 5.1.2.2)."""

OWNER_PRIORITY: Final = 255
"""The priority of the router that owns the addresses (RFC 9568 section 5.2.4)."""


class InitialState(Enum):
    """``state`` as configured. It is not a pinned role: it decides only how an address owner starts."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """One address of a virtual router and how it is put on an interface."""

    address: IPAddress
    prefix_length: int
    device: str
    """Interface that carries the address; the router's own unless the configuration says ``dev``."""
    scope: int = 0
    """Kernel scope number (rtnetlink): 0 global, 200 site, 253 link, 254 host."""
    label: str | None = None
    broadcast: IPv4Address | None = None
    preferred_lifetime: int | None = None
    """Seconds for which an IPv6 address is preferred as a source; None for forever, 0 for deprecated."""
    no_prefix_route: bool = False
    duplicate_address_detection: bool = False
    """IPv6: let the kernel probe before use (``-nodad``); off by default, the old master may still answer."""
    tracked: bool = True
    """Put it back when somebody else removes it (``no_track`` turns that off)."""


@dataclass(frozen=True, slots=True)
class UnicastPeer:
    """A router that gets our advertisements by unicast, and the TTLs accepted from it (None: any)."""

    address: IPAddress
    min_ttl: int | None = None
    max_ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    """VRRPv2 authentication type 1 (PASS): the 8 bytes on the wire, padded with zeros (RFC 2338 section 5.3.6)."""

    password: bytes


@dataclass(frozen=True, slots=True)
class AnnouncementPolicy:
    """How addresses are announced (gratuitous ARP, unsolicited NA): when, and how fast; defaults as keepalived's."""

    times: AnnouncementTimes = field(default_factory=AnnouncementTimes)
    """What the protocol decides by."""
    garp_interval: float = 0.0
    """Least time between two gratuitous ARPs on an interface, seconds."""
    gna_interval: float = 0.0
    """Least time between two unsolicited NAs on an interface, seconds."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments, run by exec, never by a shell; without ``user``, as the daemon's own user."""

    argv: tuple[str, ...]
    user: str | None = None
    group: str | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A check that opens a TCP connection and needs no process. ``host`` is an address, or a name to look up."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp {self.host} port {self.port}"


@dataclass(frozen=True, slots=True)
class Check:
    """A ``vrrp_script``: a command or a TCP connection, tried every ``interval`` seconds."""

    name: str
    probe: Command | TcpTarget
    interval: float = 1.0
    timeout: float = 1.0
    """Seconds after which a run is killed and counts as failed."""
    weight: int = 0
    """Default weight for routers that track it: 0 fails the router, else it moves the priority."""
    weight_reverse: bool = False
    rise: int = 1
    fall: int = 1
    security_problem: str | None = None
    """Why ``enable_script_security`` forbids this script: every run is then a failed check with this reason."""


@dataclass(frozen=True, slots=True)
class TrackedCheck:
    """A router's use of a check: ``weight`` 0 is FAULT when it fails, otherwise it moves the priority."""

    check: str
    weight: int = 0
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class TrackedInterface:
    """A router's use of an interface: ``weight`` 0 is FAULT while it is down, otherwise it moves the priority."""

    interface: str
    weight: int = 0
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class NotifyScripts:
    """Scripts run when a router changes state; ``any_change`` gets ``INSTANCE name STATE priority`` appended."""

    any_change: Command | None = None
    master: Command | None = None
    backup: Command | None = None
    fault: Command | None = None
    stop: Command | None = None
    master_rx_lower_pri: Command | None = None


@dataclass(frozen=True, slots=True)
class VirtualRouterConfig:
    """A ``vrrp_instance``: one virtual router on one interface, for one address family."""

    name: str
    interface: str
    family: Family
    vrid: int
    version: Version
    addresses: tuple[VirtualAddress, ...]
    """Advertised in this order; at least one."""
    priority: int = 100
    """Configured priority, 1 to 255; 255 is the address owner."""
    advertisement_interval: int = 100
    """Centiseconds, 1 to 4095 (version 2: whole seconds up to 25500)."""
    excluded_addresses: tuple[VirtualAddress, ...] = ()
    """Installed and announced with the others, never advertised; may be of the other family."""
    initial_state: InitialState | None = None
    preempt: bool = True
    preempt_delay: float = 0.0
    down_advertisements: int = DEFAULT_DOWN_ADVERTISEMENTS
    source_address: IPAddress | None = None
    """``mcast_src_ip`` / ``unicast_src_ip``; None: the interface's primary (IPv4) or link-local (IPv6) address."""
    multicast_group: IPAddress | None = None
    """None in unicast mode."""
    unicast_peers: tuple[UnicastPeer, ...] = ()
    """Empty in unicast mode: the only node of its group, which speaks to nobody."""
    unicast_ttl: int = 255
    accept_sources: tuple[IPNetwork, ...] = ()
    """The only sources whose advertisements count, also in multicast; empty: no such limit."""
    authentication: Authentication | None = None
    checksum_without_pseudo_header: bool = False
    """``v3_checksum_as_v2``: send RFC 9568's IPv4 checksum instead of the form keepalived and FRR use."""
    strict: bool = False
    tracked_checks: tuple[TrackedCheck, ...] = ()
    tracked_interfaces: tuple[TrackedInterface, ...] = ()
    track_own_interface: bool = True
    """False with ``dont_track_primary``: the state of ``interface`` is no fault."""
    announcements: AnnouncementPolicy = field(default_factory=AnnouncementPolicy)
    notify: NotifyScripts = field(default_factory=NotifyScripts)
    answer_lower_priority: bool = True
    """False with ``lower_prio_no_advert``: a losing advertisement is not answered at once."""
    advertise_before_yielding: bool = False
    """``higher_prio_send_advert``: one more advertisement before giving way to a better router."""
    owner_ignores_advertisements: bool = False

    @property
    def unicast(self) -> bool:
        """True when advertisements go to listed peers instead of the multicast group."""
        return self.multicast_group is None

    @property
    def all_addresses(self) -> tuple[VirtualAddress, ...]:
        """Everything that is installed while MASTER: the advertised addresses, then the excluded ones."""
        return self.addresses + self.excluded_addresses


FirewallTool: TypeAlias = Literal["iptables", "nftables"]


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A rule that lets VRRP (IP protocol 112) in for as long as the daemon runs."""

    tool: FirewallTool
    name: str
    """The configuration's name: it marks the rule, so that nobody's but our own is ever removed."""
    chain: str | None = None
    """iptables: the existing chain of the filter table that gets the rule; nftables: None, the table is our own."""


@dataclass(frozen=True, slots=True)
class GlobalSettings:
    """What belongs to the daemon as a whole."""

    router_id: str = ""
    script_user: str | None = None
    script_group: str | None = None
    enable_script_security: bool = False
    default_interface: str | None = None
    log_unknown_vrids: bool = False
    network_namespace: str | None = None
    instance: str | None = None
    firewall: FirewallRule | None = None
    """None: the firewall is somebody else's business."""
    keep_vips: bool = False
    """At a stop a MASTER leaves its addresses, for seconds, to a successor that goes on at once."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that one daemon runs."""

    settings: GlobalSettings
    checks: tuple[Check, ...]
    routers: tuple[VirtualRouterConfig, ...]
    source: str
    """Where it came from, for messages: a file's path, or ``environment``."""
    leftovers_are_ours: bool = False
    """Environment mode: a configured address found at start as /32 or /128 is a leftover even without our mark."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a configuration. ``str()`` is the line a person reads: ``FILE:LINE: what, what was expected``."""

    message: str
    file: str = ""
    line: int = 0
    fatal: bool = True

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{where}{'' if self.fatal else 'warning: '}{self.message}"


class ConfigurationError(Exception):
    """A configuration that must not run; ``diagnostics`` holds every problem found, warnings among them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("\n".join(str(diagnostic) for diagnostic in diagnostics))
        self.diagnostics = diagnostics
