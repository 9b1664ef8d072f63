"""Short ways to the things that protocol tests talk about: parameters, advertisements, routers in a given state.

The router under test is 192.0.2.2 with priority 100 and one VIP, 192.0.2.100; 192.0.2.1 and 192.0.2.3 are a router
with a lower and one with a higher address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from vrrpd.protocol.actions import Action, Notice, NoticeKind
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import AdvertisementReceived, Fault, FaultKind, SourceChanged, Startup, TimerExpired
from vrrpd.protocol.packet import Advertisement
from vrrpd.protocol.parameters import AnnouncementTimes, RouterParameters
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.states import Backup, Master
from vrrpd.protocol.timing import Version

GROUP = IPv4Address("224.0.0.18")
GROUP6 = IPv6Address("ff02::12")
VIP = IPv4Address("192.0.2.100")
OTHER_VIP = IPv4Address("192.0.2.101")
LINK_LOCAL_VIP = IPv6Address("fe80::5:1")
GLOBAL_VIP = IPv6Address("2001:db8:0:1::1")
LOWER = IPv4Address("192.0.2.1")
OURS = IPv4Address("192.0.2.2")
HIGHER = IPv4Address("192.0.2.3")
QUIET = AnnouncementTimes(master_delay=0.0, lower_priority_repeat=0)
"""No second rounds and no announcements for losing advertisements: only the RFC's own timers are left."""

LINK_DOWN = Fault(FaultKind.INTERFACE, "eth0", "interface eth0 is down")
CHECK_FAILED = Fault(FaultKind.CHECK, "web", "check web failed: exit status 1")


def parameters(
    priority: int = 100,
    *,
    version: Version = Version.V3,
    interval: int = 100,
    preempt: bool = True,
    preempt_delay: float = 0.0,
    addresses: tuple[IPAddress, ...] = (VIP,),
    announcements: AnnouncementTimes = QUIET,
    down_advertisements: int = 3,
) -> RouterParameters:
    """Parameters of virtual router 51."""
    return RouterParameters(
        vrid=51,
        version=version,
        priority=priority,
        max_advertise_interval=interval,
        addresses=addresses,
        preempt=preempt,
        preempt_delay=preempt_delay,
        announcements=announcements,
        down_advertisements=down_advertisements,
    )


def advertisement(
    priority: int = 200,
    *,
    version: Version = Version.V3,
    interval: int = 100,
    addresses: tuple[IPAddress, ...] = (VIP,),
    vrid: int = 51,
) -> Advertisement:
    """An advertisement of another router of the group."""
    return Advertisement(version, vrid, priority, interval, addresses)


def received(priority: int, source: IPAddress = HIGHER, *, interval: int = 100) -> AdvertisementReceived:
    """The event of an admitted advertisement."""
    return AdvertisementReceived(source, advertisement(priority, interval=interval))


def started(settings: RouterParameters | None = None, *, at: float = 0.0) -> VirtualRouter:
    """A router that has a source address and was started."""
    router = VirtualRouter(settings or parameters())
    router.handle(SourceChanged(OURS), at)
    router.handle(Startup(), at)
    return router


def serving(settings: RouterParameters | None = None, *, at: float = 0.0) -> VirtualRouter:
    """A router that became MASTER at ``at`` because nobody else was heard; its next advertisement is due at 1.0 s."""
    router = started(settings, at=at - 1000.0)
    if isinstance(router.state, Backup):
        router.state = replace(router.state, master_down_timer=at)
        router.handle(TimerExpired(), at)
    elif isinstance(router.state, Master):
        interval = router.parameters.max_advertise_interval / 100
        router.state = replace(router.state, adver_timer=at + interval)
    assert isinstance(router.state, Master)
    return router


def backup_of(router: VirtualRouter) -> Backup:
    """The router's state, which must be BACKUP."""
    assert isinstance(router.state, Backup), router.state
    return router.state


def master_of(router: VirtualRouter) -> Master:
    """The router's state, which must be MASTER."""
    assert isinstance(router.state, Master), router.state
    return router.state


def without_notices(actions: Sequence[Action]) -> list[Action]:
    """The actions that do something."""
    return [action for action in actions if not isinstance(action, Notice)]


def notices(actions: Sequence[Action]) -> list[NoticeKind]:
    """What was remarked upon."""
    return [action.kind for action in actions if isinstance(action, Notice)]


def kinds(actions: Sequence[Action]) -> list[str]:
    """The names of the actions, in order."""
    return [type(action).__name__ for action in actions]
