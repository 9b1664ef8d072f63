"""What goes on between this host and another one that cannot both be right: two masters, one address on two hosts.

A ledger of conflicts by router, kind and other side. A conflict begins when it is certain (at once, or after it has
been seen for a while), is told once with what to do, and is over when nothing more is seen of it. Bounded whatever is
sent: a stranger who invents sources fills the places of one kind for one router and no more. Pure: the caller brings
the clock and is told what begins and ends; ``lookout`` says what is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import DiscardReason

MAXIMUM_OF_A_KIND: Final = 8
"""Conflicts of one kind that are remembered for one router; there are as many again as there are kinds."""


class ConflictKind(Enum):
    """What is wrong. The values are public names (status, log)."""

    SECOND_MASTER = "second_master"
    ADDRESS_IN_USE = "address_in_use"
    SAME_SOURCE = "same_source"
    SECOND_OWNER = "second_owner"
    EQUAL_PRIORITY = "equal_priority"
    ID_COLLISION = "id_collision"
    OTHER_ADDRESSES = "other_addresses"
    CHECKSUM_FORM = "checksum_form"
    OTHER_VERSION = "other_version"
    OTHER_AUTHENTICATION = "other_authentication"
    OTHER_INTERVAL = "other_interval"
    OTHER_MODE = "other_mode"
    UNKNOWN_PEER = "unknown_peer"
    UNLISTED_SOURCE = "unlisted_source"


HARMLESS: Final = frozenset({ConflictKind.EQUAL_PRIORITY})
"""What the protocol settles by itself: worth knowing, no reason to be woken."""

REMEDIES: Final[dict[ConflictKind, str]] = {
    ConflictKind.SECOND_MASTER: (
        "two hosts hold the addresses, and this one does not hear the better one: look at its log and status, at "
        "firewalls (IP protocol 112 to it) and at the switch between"
    ),
    ConflictKind.ADDRESS_IN_USE: (
        "two hosts answer for the address: find the hardware address in the switch's table and take the address off "
        "there; if it is another router of this group, both are MASTER and do not hear each other"
    ),
    ConflictKind.SAME_SOURCE: (
        "give each router an address of its own; if there is no such host, something sends our packets back to us "
        "(a loop, a port mirror)"
    ),
    ConflictKind.SECOND_OWNER: "only one router can have priority 255: give the other one less",
    ConflictKind.EQUAL_PRIORITY: "the higher address wins; give the one that should be MASTER a higher priority",
    ConflictKind.ID_COLLISION: "virtual_router_id collision? give one of the groups another id",
    ConflictKind.OTHER_ADDRESSES: "list the same virtual addresses on both",
    ConflictKind.CHECKSUM_FORM: "set v3_checksum_as_v2 alike on both",
    ConflictKind.OTHER_VERSION: "both will be MASTER: set the same vrrp_version (VRRPD_VERSION) on both",
    ConflictKind.OTHER_AUTHENTICATION: (
        "both will be MASTER: set the same authentication and auth_pass on both, or another virtual_router_id"
    ),
    ConflictKind.OTHER_INTERVAL: "both will be MASTER: set the same advert_int on both",
    ConflictKind.OTHER_MODE: (
        "both will be MASTER: use multicast with one group, or unicast, on both; or another virtual_router_id"
    ),
    ConflictKind.UNKNOWN_PEER: "if it belongs to the group, both will be MASTER: list it as unicast_peer; else find it",
    ConflictKind.UNLISTED_SOURCE: (
        "if it belongs to the group, both will be MASTER: list it in accept_sources (VRRPD_ACCEPT_SOURCES); else find "
        "it, it uses our virtual_router_id"
    ),
}
"""What to do about each kind."""

OF_DISCARDS: Final = {
    DiscardReason.VERSION: ConflictKind.OTHER_VERSION,
    DiscardReason.AUTHENTICATION_TYPE: ConflictKind.OTHER_AUTHENTICATION,
    DiscardReason.AUTHENTICATION_DATA: ConflictKind.OTHER_AUTHENTICATION,
    DiscardReason.INTERVAL: ConflictKind.OTHER_INTERVAL,
    DiscardReason.DESTINATION: ConflictKind.OTHER_MODE,
    DiscardReason.OWN_SOURCE: ConflictKind.SAME_SOURCE,
    DiscardReason.UNLISTED_SOURCE: ConflictKind.UNLISTED_SOURCE,
}
"""Where two routers that cannot hear each other would both serve the addresses. ``SOURCE`` is one in unicast only."""


@dataclass(slots=True)
class Conflict:
    """One thing that is wrong with one other side. Times are the ledger's clock in seconds."""

    router: Hashable
    name: str
    """The router as people call it."""
    kind: ConflictKind
    other: IPAddress | str
    """The other side: its IP address, or its hardware address where that is all that is known."""
    address: IPAddress | None
    """The virtual address in question, where it is about one."""
    detail: str
    """What is seen, in a sentence."""
    first_seen: float
    last_seen: float
    silence: float
    """Seconds without a sighting after which it is over."""
    count: int = 0
    began: float | None = None
    """Since when it is certain; None while it is only suspected."""
    told: bool = False
    """Whether the log has it: then the log will have its end, too."""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]


class ConflictLedger:
    """The conflicts of all routers of a daemon."""

    def __init__(
        self,
        clock: Callable[[], float],
        on_begin: Callable[[Conflict], None],
        on_end: Callable[[Conflict, str], None],
    ) -> None:
        self._clock = clock
        self._on_begin = on_begin
        self._on_end = on_end
        self._known: dict[tuple[Hashable, ConflictKind, IPAddress | str, IPAddress | None], Conflict] = {}
        self._places: Counter[tuple[Hashable, ConflictKind]] = Counter()
        self._begun: dict[Hashable, Counter[ConflictKind]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Conflict]:
        return iter(tuple(self._known.values()))

    def ongoing(self, router: Hashable) -> list[Conflict]:
        """The conflicts of a router that are certain, the oldest first."""
        return [one for one in self._known.values() if one.router == router and one.began is not None]

    def begun(self, router: Hashable) -> Counter[ConflictKind]:
        """How many have begun for a router, by kind."""
        return self._begun.get(router, Counter())

    def see(
        self,
        router: Hashable,
        name: str,
        kind: ConflictKind,
        other: IPAddress | str,
        detail: str,
        silence: float,
        *,
        address: IPAddress | None = None,
        patience: float = 0.0,
        gap: float | None = None,
    ) -> bool:
        """Books a sighting; True when it belongs to a conflict that is certain, and has been told.

        It is certain when it has been seen for ``patience`` seconds, with no more than ``gap`` between two sightings
        (None: ``patience``).
        """
        now = self._clock()
        key = (router, kind, other, address)
        conflict = self._known.get(key)
        if conflict is None:
            if self._places[router, kind] >= MAXIMUM_OF_A_KIND:
                return False
            self._places[router, kind] += 1
            conflict = self._known[key] = Conflict(router, name, kind, other, address, detail, now, now, silence)
        elif conflict.began is None and now - conflict.last_seen > (patience if gap is None else gap):
            conflict.first_seen, conflict.count = now, 0
        conflict.last_seen, conflict.silence = now, silence
        conflict.count += 1
        if conflict.began is None:
            if now - conflict.first_seen < patience:
                return False
            conflict.began = now
            conflict.detail = detail
            self._begun.setdefault(router, Counter())[kind] += 1
            self._on_begin(conflict)
        return True

    def end(self, conflict: Conflict, why: str) -> None:
        """Forgets a conflict; one that was certain is told to be over."""
        key = (conflict.router, conflict.kind, conflict.other, conflict.address)
        if self._known.pop(key, None) is None:
            return
        self._places[conflict.router, conflict.kind] -= 1
        if conflict.began is not None:
            self._on_end(conflict, why)

    def expire(self) -> None:
        """Ends what has not been seen for long enough."""
        now = self._clock()
        for conflict in self:
            if now - conflict.last_seen > conflict.silence:
                self.end(conflict, "nothing more is seen of it")

    def forget_router(self, router: Hashable) -> None:
        """Forgets everything about a router that is gone."""
        for conflict in self:
            if conflict.router == router:
                self.end(conflict, "the router is no longer configured")
        self._begun.pop(router, None)
