"""Random valid configurations for property tests: what a reader could have built, in all its corners."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from hypothesis import strategies as st

from vrrpd.config.model import (
    DEFAULT_GROUPS,
    OWNER_PRIORITY,
    AnnouncementPolicy,
    Authentication,
    Check,
    Command,
    Configuration,
    Family,
    FirewallRule,
    GlobalSettings,
    InitialState,
    IPAddress,
    IPNetwork,
    NotifyScripts,
    TcpTarget,
    TrackedCheck,
    TrackedInterface,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.timing import Version

T = TypeVar("T")

SOURCE = "keepalived.conf"

names = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=1, max_size=12) | st.sampled_from(
    [
        "VI 1",
        "a b",
        "{",
        "}",
        "#x",
        "!",
        "$X",
        "${_ENV X}",
        "@id",
        "~SEQ(a)",
        'q"uote',
        "it's",
        "back\\slash",
        "include",
    ]
)
interfaces = st.text("ab0.@_{}$#-", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
users = st.text("abc_-", min_size=1, max_size=4)
groups = users
microseconds = st.integers(0, 1000 * 1_000_000).map(lambda count: count / 1_000_000)
intervals = st.integers(1000, 10**12).map(lambda count: count / 1_000_000)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
programs = st.text("ab '\"$\\{}#!./=", max_size=8).map(lambda name: "/" + name)


def optional(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | strategy


@st.composite
def commands(draw: st.DrawFn, settings: GlobalSettings) -> Command:
    user = draw(users) if settings.script_user is None and draw(st.booleans()) else settings.script_user
    group = settings.script_group if user == settings.script_user else draw(optional(groups))
    variables = st.tuples(st.text("AB_", min_size=1, max_size=3), words)
    return Command(
        argv=(draw(programs), *draw(st.lists(words, max_size=3))),
        user=user,
        group=group if user is not None else None,
        environment=tuple(draw(st.lists(variables, max_size=2, unique_by=lambda pair: pair[0]))),
    )


@st.composite
def checks(draw: st.DrawFn, name: str, settings: GlobalSettings) -> Check:
    hosts = st.text("a1.:-", min_size=1, max_size=8)
    targets = st.builds(TcpTarget, hosts, st.integers(1, 65535))
    return Check(
        name=name,
        probe=draw(commands(settings) | targets),
        interval=draw(intervals),
        timeout=draw(intervals),
        weight=draw(st.integers(-253, 253)),
        weight_reverse=draw(st.booleans()),
        rise=draw(st.integers(1, 50)),
        fall=draw(st.integers(1, 50)),
    )


@st.composite
def virtual_addresses(draw: st.DrawFn, address: IPAddress, interface: str) -> VirtualAddress:
    device = interface if draw(st.booleans()) else draw(interfaces)
    vip = VirtualAddress(
        address=address,
        prefix_length=draw(st.integers(1, 32 if address.version == 4 else 128)),
        device=device,
        scope=draw(st.integers(0, 255)),
        no_prefix_route=draw(st.booleans()),
        tracked=draw(st.booleans()),
    )
    if address.version == 4:
        labels = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=15)
        return replace(
            vip,
            label=draw(optional(labels)),
            broadcast=draw(optional(st.integers(0, 2**32 - 1).map(IPv4Address))),
            preferred_lifetime=None,
        )
    return replace(
        vip,
        preferred_lifetime=draw(optional(st.integers(0, 2**32 - 2))),
        duplicate_address_detection=draw(st.booleans()),
    )


def unicast_addresses(family: Family) -> st.SearchStrategy[IPAddress]:
    if family == 4:
        return st.integers(0x01000001, 0xDFFFFFFE).map(IPv4Address)
    return st.integers(1, 2**64).map(lambda low: IPv6Address((0x20010DB8 << 96) + low)) | st.integers(1, 2**64 - 1).map(
        lambda low: IPv6Address((0xFE80 << 112) + low)
    )


def accepted_networks(family: Family) -> st.SearchStrategy[IPNetwork]:
    """Prefixes in which there can be a router."""
    if family == 4:
        return st.tuples(st.integers(0x01000001, 0x7EFFFFFF), st.integers(1, 32)).map(
            lambda drawn: IPv4Network((drawn[0], drawn[1]), strict=False)
        )
    return st.tuples(st.integers(0, 2**64 - 1), st.integers(10, 128)).map(
        lambda drawn: IPv6Network(((0xFE80 << 112) + drawn[0], drawn[1]), strict=False)
    )


passwords = st.binary(min_size=1, max_size=8).filter(lambda content: 0 not in content)
announcements = st.builds(
    AnnouncementPolicy,
    st.builds(
        AnnouncementTimes,
        master_delay=microseconds,
        master_repeat=st.integers(0, 100),
        refresh=microseconds,
        refresh_repeat=st.integers(0, 100),
        lower_priority_delay=microseconds,
        lower_priority_repeat=st.integers(0, 100),
    ),
    garp_interval=microseconds,
    gna_interval=microseconds,
)


@st.composite
def routers(
    draw: st.DrawFn,
    number: int,
    name: str,
    addresses: dict[Family, list[IPAddress]],
    settings: GlobalSettings,
    tracked: list[str],
) -> VirtualRouterConfig:
    family: Family = draw(st.sampled_from((4, 6)))
    interface = draw(interfaces)
    version = Version.V3 if family == 6 else draw(st.sampled_from(Version))
    state = draw(optional(st.sampled_from(InitialState)))
    priority = draw(st.integers(1, 255))
    may_wait = priority != OWNER_PRIORITY and state is not InitialState.MASTER
    preempt = not may_wait or draw(st.booleans())
    own = addresses[family]
    other = addresses[4 if family == 6 else 6]
    vips = [own.pop() for _ in range(draw(st.integers(1, 3)))]
    excluded = [pool.pop() for pool in draw(st.lists(st.sampled_from((own, other)), max_size=2))]
    unicast = draw(st.booleans())
    peers = st.builds(
        UnicastPeer, unicast_addresses(family), optional(st.integers(0, 9)), optional(st.integers(9, 255))
    )
    multicast = st.just(DEFAULT_GROUPS[family]) | st.just(
        IPv4Address("224.0.0.99") if family == 4 else IPv6Address("ff02::99")
    )
    interval = st.integers(1, 4095) if version is Version.V3 else st.integers(1, 255).map(lambda seconds: seconds * 100)
    scripts = optional(commands(settings))
    return VirtualRouterConfig(
        name=name,
        interface=interface,
        family=family,
        vrid=number,
        version=version,
        addresses=tuple(draw(virtual_addresses(address, interface)) for address in vips),
        priority=priority,
        advertisement_interval=draw(interval),
        excluded_addresses=tuple(draw(virtual_addresses(address, interface)) for address in excluded),
        initial_state=state,
        preempt=preempt,
        preempt_delay=draw(microseconds) if preempt and may_wait else 0.0,
        down_advertisements=draw(st.integers(1, 100)),
        source_address=draw(optional(unicast_addresses(family))),
        multicast_group=None if unicast else draw(multicast),
        unicast_peers=tuple(draw(st.lists(peers, min_size=1, max_size=3, unique_by=lambda peer: peer.address)))
        if unicast
        else (),
        unicast_ttl=draw(st.integers(1, 255)),
        accept_sources=() if unicast else tuple(draw(st.lists(accepted_networks(family), max_size=3, unique=True))),
        authentication=draw(optional(passwords.map(lambda content: Authentication(content.ljust(8, b"\0")))))
        if version is Version.V2
        else None,
        checksum_without_pseudo_header=draw(st.booleans()),
        tracked_checks=tuple(
            TrackedCheck(check, draw(st.integers(-253, 253)), draw(st.booleans()))
            for check in draw(st.lists(st.sampled_from(tracked), unique=True, max_size=2) if tracked else st.just([]))
        ),
        tracked_interfaces=tuple(
            draw(
                st.lists(
                    st.builds(TrackedInterface, interfaces, st.integers(-253, 253), st.booleans()),
                    max_size=2,
                    unique_by=lambda one: one.interface,
                )
            )
        ),
        track_own_interface=draw(st.booleans()),
        announcements=draw(announcements),
        notify=NotifyScripts(*(draw(scripts) for _ in range(6))),
        answer_lower_priority=draw(st.booleans()),
        advertise_before_yielding=draw(st.booleans()),
        owner_ignores_advertisements=draw(st.booleans()),
    )


chains = st.text(st.sampled_from("ABCxyz09_.:/#\"'{}"), min_size=1, max_size=28)
firewall_rules = st.one_of(
    st.builds(FirewallRule, st.just("iptables"), names, chains),
    st.builds(FirewallRule, st.just("nftables"), names),
)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """A valid configuration with one to three routers."""
    user = draw(optional(users))
    settings = GlobalSettings(
        router_id=draw(names),
        script_user=user,
        script_group=draw(optional(groups)) if user is not None else None,
        enable_script_security=draw(st.booleans()),
        default_interface=draw(optional(interfaces)),
        log_unknown_vrids=draw(st.booleans()),
        network_namespace=draw(optional(users)),
        instance=draw(optional(users)),
        firewall=draw(optional(firewall_rules)),
        keep_vips=draw(st.booleans()),
    )
    check_names = draw(st.lists(names, unique=True, max_size=3))
    router_names = draw(st.lists(names, unique=True, min_size=1, max_size=3))
    first4 = IPv4Address(draw(st.integers(0x01000001, 0xDFFFFF00)))
    first6 = IPv6Address((draw(st.sampled_from((0x20010DB8 << 96, 0xFE80 << 112)))) + draw(st.integers(1, 2**63)))
    addresses: dict[Family, list[IPAddress]] = {
        4: [first4 + one for one in range(20)],
        6: [first6 + one for one in range(20)],
    }
    return Configuration(
        settings=settings,
        checks=tuple(draw(checks(name, settings)) for name in check_names),
        routers=tuple(
            draw(routers(number, name, addresses, settings, check_names)) for number, name in enumerate(router_names, 1)
        ),
        source=SOURCE,
        leftovers_are_ours=draw(st.booleans()),
    )
