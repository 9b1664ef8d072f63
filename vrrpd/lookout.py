"""Looks out for conflicts with other hosts: what the routers notice, what they throw away, who speaks for their VIPs.

Everything here comes after the protocol: a sighting is booked when the batch has gone out, and the sockets that watch
for other holders of an address are brought in step some time after a change of state, never on its way. Only a MASTER
is watched for. The rule for "another host answers for our address", in this order:

- nothing counts until ``SETTLING_TIME`` after the router became MASTER: the last words of the master before cross with
  our first ones;
- then the other hosts are asked, and again once a minute; whoever names the address from a hardware address that is
  none of this host's is suspected, and asked again every ``ASKING_INTERVAL``;
- it is a conflict when the address was claimed twice, at least ``CLAIMED_AGAIN_AFTER`` apart. A question is no claim.

Whoever sends very many such frames is not listened to for a while, once it has been noticed: a flood must not hide a
conflict.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vrrpd.config.model import Family
from vrrpd.conflicts import HARMLESS, OF_DISCARDS, Conflict, ConflictKind, ConflictLedger
from vrrpd.logs import RepeatLimiter
from vrrpd.net.aside import close_aside
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.net.watch import AddressWatch, Sighting, hardware_addresses
from vrrpd.protocol.actions import Notice, NoticeKind, StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.parameters import OWNER_PRIORITY
from vrrpd.protocol.peers import Peer
from vrrpd.protocol.states import Master
from vrrpd.protocol.timing import master_down_interval
from vrrpd.unit import RouterUnit

_log = logging.getLogger("vrrpd.conflicts")

SETTLING_TIME: Final = 1.0
"""Seconds as MASTER before other holders of its addresses are looked for."""
CLAIMED_AGAIN_AFTER: Final = 0.2
"""Seconds between two claims that make a conflict."""
ASKING_INTERVAL: Final = 1.0
"""Seconds between two questions about a suspected address, and between two looks at what goes on."""
ROUND_INTERVAL: Final = 60.0
"""Seconds between two rounds of questions about all addresses, or ``garp_master_refresh`` where that is less: a host
that was given an address and has nothing to say does not answer an announcement (Linux does not)."""
LEAST_SILENCE: Final = 5.0
"""Seconds without a sighting, at least, before a conflict is over."""
LEAST_PATIENCE: Final = 1.0
"""Seconds, at least, for which a second master has to be heard: one that gives way does so sooner."""
FRAMES_PER_TURN: Final = 32
"""Frames taken from one watch before timers and advertisements get their turn."""
FLOOD: Final = 200
"""Frames within a second after which a watch is muted."""
LEAST_HEARD: Final = 2 * CLAIMED_AGAIN_AFTER
"""Seconds for which a flood is listened to before that: whoever claims an address in it has then done so twice."""
MUTED_TIME: Final = 10.0
"""Seconds."""
QUESTIONS_AT_ONCE: Final = 32
PAUSE_BETWEEN_QUESTIONS: Final = 0.02
POSTPONED: Final = 0.01
"""Seconds for which everything here waits when a router is about to take over."""
MOST_SUSPECTS: Final = 64
"""Addresses that are asked about at the same time."""
HARDWARE_ADDRESSES_KEPT: Final = 5.0
"""Seconds for which this host's own hardware addresses are remembered."""

_WatchKey: TypeAlias = tuple[str, Family]

_OF_NOTICES: Final = {
    NoticeKind.CHECKSUM_FORM: ConflictKind.CHECKSUM_FORM,
    NoticeKind.SECOND_OWNER: ConflictKind.SECOND_OWNER,
    NoticeKind.SAME_SOURCE: ConflictKind.SAME_SOURCE,
    NoticeKind.EQUAL_PRIORITY: ConflictKind.EQUAL_PRIORITY,
    NoticeKind.LOSING_ADVERTISEMENT: ConflictKind.SECOND_MASTER,
    NoticeKind.SECOND_MASTER: ConflictKind.SECOND_MASTER,
}
_SEEN_IN_PEERS: Final = frozenset(
    {
        ConflictKind.CHECKSUM_FORM,
        ConflictKind.SECOND_OWNER,
        ConflictKind.EQUAL_PRIORITY,
        ConflictKind.ID_COLLISION,
        ConflictKind.OTHER_ADDRESSES,
    }
)
"""What is remarked once and then goes on in every advertisement: whether it does is read from the peers."""


@dataclass(slots=True)
class _Watched:
    """A watch with what it is for and how much it hears."""

    watch: AddressWatch
    holders: dict[IPAddress, RouterUnit]
    second: float = float("-inf")
    frames: int = 0
    sightings: int = 0
    floods: int = 0
    muted: bool = False


class Lookout:
    """The one place that knows what is wrong between this host and others."""

    def __init__(
        self,
        clock: Callable[[], float],
        table: InterfaceTable,
        units: Callable[[], Iterable[RouterUnit]],
        busy: Callable[[], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._table = table
        self._units = units
        self._busy = busy
        # Not the journal's: junk that fills its lines must not keep a conflict out of the log.
        self._limiter = RepeatLimiter(clock)
        self.ledger = ConflictLedger(clock, self._began, self._ended)
        self._watched: dict[_WatchKey, _Watched] = {}
        self._problems: dict[_WatchKey, str] = {}
        self._suspects: dict[tuple[_WatchKey, IPAddress], float] = {}
        """When each suspected address was last named by somebody else."""
        self._questions: deque[tuple[_WatchKey, IPAddress]] = deque()
        self._own_macs: tuple[float, frozenset[bytes]] = (float("-inf"), frozenset())
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    def close(self) -> None:
        """Stops looking; again is harmless."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for key in list(self._watched):
            self._unwatch(key)

    # -- what the routers tell ------------------------------------------------------------------------------------

    def discarded(self, unit: RouterUnit, source: IPAddress, discard: Discard) -> bool:
        """Hears of a packet that was thrown away; True when it belongs to a conflict that has been told."""
        kind = OF_DISCARDS.get(discard.reason)
        if discard.reason is DiscardReason.SOURCE and unit.config.unicast:
            kind = ConflictKind.UNKNOWN_PEER
        if kind is None:
            return False
        detail = f"discarded advertisement from {source} on {unit.config.interface}: {discard.detail}"
        return self._see(unit, kind, source, detail)

    def noticed(self, unit: RouterUnit, notice: Notice) -> bool:
        """Hears of a notice; True when it belongs to a conflict that has been told."""
        if notice.source is None:
            return False
        kind = _OF_NOTICES.get(notice.kind)
        if notice.kind is NoticeKind.ADDRESSES_DIFFER:
            kind = ConflictKind.OTHER_ADDRESSES
            if (peer := unit.runner.peers.peer(notice.source)) and _nothing_in_common(unit, peer):
                kind = ConflictKind.ID_COLLISION
        elif kind is ConflictKind.EQUAL_PRIORITY and unit.runner.router.priority == OWNER_PRIORITY:
            kind = ConflictKind.SECOND_OWNER
        if kind is None:
            return False
        if kind is ConflictKind.SECOND_MASTER:
            down = self._their_down_interval(unit, notice.source)
            return self._see(unit, kind, notice.source, notice.text, patience=max(LEAST_PATIENCE, down))
        return self._see(unit, kind, notice.source, notice.text)

    def state_changed(self, unit: RouterUnit) -> None:
        """Hears of a change of state; the watches follow later."""
        for conflict in self.ledger:
            if conflict.kind is ConflictKind.SECOND_MASTER and conflict.router == unit.key:
                self.ledger.end(conflict, f"this router is {unit.runner.state.value} now")
        self.changed()

    def changed(self) -> None:
        """Hears that interfaces, routers or states are others."""
        self._call_later("watches", SETTLING_TIME + 0.01, self._follow)

    def _see(self, unit: RouterUnit, kind: ConflictKind, other: IPAddress, detail: str, patience: float = 0.0) -> bool:
        silence = max(LEAST_SILENCE, 2 * self._their_down_interval(unit, other))
        told = self.ledger.see(unit.key, unit.config.name, kind, other, detail, silence, patience=patience)
        self._call_later("look", ASKING_INTERVAL, self._look)
        return told

    def _their_down_interval(self, unit: RouterUnit, other: IPAddress) -> float:
        """Seconds after which the other router would miss us; where nothing is known of it, those of ours."""
        peer = unit.runner.peers.peer(other)
        parameters = unit.runner.settings.parameters
        if peer is None or peer.last is None:
            return unit.runner.router.down_interval(parameters.max_advertise_interval)
        theirs = peer.last
        return master_down_interval(
            theirs.version, theirs.priority, theirs.max_advertise_interval, parameters.down_advertisements
        )

    # -- what goes on and what is over ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Looks at everything that goes on or is suspected, and asks again who has the suspected addresses."""
        units: dict[Hashable, RouterUnit] = {unit.key: unit for unit in self._units()}
        for conflict in self.ledger:
            unit = units.get(conflict.router)
            if unit is None:
                self.ledger.forget_router(conflict.router)
            elif conflict.kind in _SEEN_IN_PEERS:
                self._look_at_peer(unit, conflict)
        self.ledger.expire()
        now = self._clock()
        for suspect, seen in list(self._suspects.items()):
            key, address = suspect
            watched = self._watched.get(key)
            if now - seen > LEAST_SILENCE or watched is None or address not in watched.holders:
                del self._suspects[suspect]
            else:
                self._ask(key, address)
        if len(self.ledger) or self._suspects:
            self._call_later("look", ASKING_INTERVAL, self._look)

    def _look_at_peer(self, unit: RouterUnit, conflict: Conflict) -> None:
        """Reads from what is known of a peer whether a difference goes on; the next one is remarked upon anew."""
        peer = None if isinstance(conflict.other, str) else unit.runner.peers.peer(conflict.other)
        if peer is None or peer.last is None:
            self.ledger.end(conflict, "nothing more is seen of it")
            return
        if not _still(unit, conflict.kind, peer):
            peer.remark_again = True
            self.ledger.end(conflict, "it is no longer so")
            return
        if peer.last_heard > conflict.last_seen:
            conflict.last_seen = peer.last_heard
            conflict.count += 1
        elif self._clock() - peer.last_heard > conflict.silence:
            peer.remark_again = True

    def _began(self, conflict: Conflict) -> None:
        held = self._limiter.allow((conflict.router, conflict.kind, conflict.other, conflict.address))
        if held is None:
            return
        conflict.told = True
        level = logging.INFO if conflict.kind in HARMLESS else logging.WARNING
        self._tell(level, conflict, "begins", f"{conflict.detail}; {conflict.remedy}")

    def _ended(self, conflict: Conflict, why: str) -> None:
        if not conflict.told:
            return
        began = conflict.first_seen if conflict.began is None else conflict.began
        lasted = self._clock() - began
        about = f" about {conflict.address}" if conflict.address is not None else ""
        text = f"conflict over: {conflict.kind.value} with {conflict.other}{about} after {lasted:.0f} s: {why}"
        self._tell(logging.INFO, conflict, "over", text)

    def _tell(self, level: int, conflict: Conflict, phase: str, text: str) -> None:
        extra = {
            "router": conflict.name,
            "conflict": conflict.kind.value,
            "phase": phase,
            "with": str(conflict.other),
            "address": None if conflict.address is None else str(conflict.address),
        }
        _log.log(level, "(%s) %s", conflict.name, text, extra=extra)

    # -- other holders of our addresses ---------------------------------------------------------------------------

    def _follow(self) -> None:
        """Brings the watches in step with the routers that have been MASTER for long enough."""
        now = self._clock()
        wanted: dict[_WatchKey, dict[IPAddress, RouterUnit]] = {}
        young: list[float] = []
        for unit in self._units():
            if not isinstance(unit.runner.router.state, Master):
                continue
            settled = unit.runner.since + SETTLING_TIME - now
            if settled > 0:
                young.append(settled)
                continue
            for virtual in unit.config.all_addresses:
                family: Family = 4 if virtual.address.version == 4 else 6
                wanted.setdefault((virtual.device, family), {})[virtual.address] = unit
            if unit.source is not None:
                # The kernel keeps IPv4 packets from one of its own addresses from us: another host that uses the one
                # we advertise from is to be seen here only.
                wanted.setdefault((unit.config.interface, unit.config.family), {}).setdefault(unit.source, unit)
        for key in self._watched.keys() - wanted.keys():
            self._unwatch(key)
        for key, holders in wanted.items():
            self._watch(key, holders)
        self._end_unwatched()
        if self._watched:
            self._call_later("round", self._round_interval(), self._ask_all)
        if young:
            self._call_later("watches", max(0.05, max(young) + 0.01), self._follow)

    def _watch(self, key: _WatchKey, holders: dict[IPAddress, RouterUnit]) -> None:
        name, family = key
        interface = self._table.interface(name)
        if interface is None or not interface.arp or len(interface.mac) != 6:
            self._unwatch(key)
            return
        watched = self._watched.get(key)
        if watched is not None and (watched.watch.index, watched.watch.mac) != (interface.index, interface.mac):
            self._unwatch(key)
            watched = None
        addresses = frozenset(holders)
        try:
            if watched is None:
                watched = self._watched[key] = _Watched(AddressWatch(interface.index, family, interface.mac), {})
                self._loop.add_reader(watched.watch.fileno(), self._on_frames, key)
            new = addresses - watched.watch.addresses
            if addresses != watched.watch.addresses:
                watched.watch.watch(addresses)
        except OSError as error:
            self._unwatch(key)
            problem = error.strerror or str(error)
            if self._problems.get(key) != problem:
                self._problems[key] = problem
                _log.warning("other holders of virtual addresses on %s are not noticed: %s", name, problem)
            return
        self._problems.pop(key, None)
        watched.holders = holders
        for address in sorted(new, key=int):
            self._ask(key, address)

    def _unwatch(self, key: _WatchKey) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            self._loop.remove_reader(watched.watch.fileno())
            close_aside(watched.watch)

    def _end_unwatched(self) -> None:
        held = {(unit.key, address) for watched in self._watched.values() for address, unit in watched.holders.items()}
        for conflict in self.ledger:
            if conflict.address is not None and (conflict.router, conflict.address) not in held:
                self.ledger.end(conflict, "this router is no longer MASTER")

    def _ask(self, key: _WatchKey, address: IPAddress) -> None:
        self._questions.append((key, address))
        self._call_later("questions", 0.0, self._send_questions)

    def _ask_all(self) -> None:
        """Asks about every watched address, and goes on doing so."""
        for key, watched in self._watched.items():
            for address in sorted(watched.holders, key=int):
                self._ask(key, address)
        if self._watched:
            self._call_later("round", self._round_interval(), self._ask_all)

    def _round_interval(self) -> float:
        units = {id(unit): unit for watched in self._watched.values() for unit in watched.holders.values()}
        refreshes = (unit.config.announcements.times.refresh for unit in units.values())
        return max(ASKING_INTERVAL, min((ROUND_INTERVAL, *(refresh for refresh in refreshes if refresh > 0))))

    def _send_questions(self) -> None:
        for _ in range(min(QUESTIONS_AT_ONCE, len(self._questions))):
            key, address = self._questions.popleft()
            watched = self._watched.get(key)
            if watched is not None and address in watched.holders:
                watched.watch.ask(address)
        if self._questions:
            self._call_later("questions", PAUSE_BETWEEN_QUESTIONS, self._send_questions)

    def _on_frames(self, key: _WatchKey) -> None:
        if self._busy():
            return  # that comes first; the loop calls again
        watched = self._watched[key]
        now = self._clock()
        if now - watched.second >= 1.0:
            watched.second, watched.frames = now, 0
        for _ in range(FRAMES_PER_TURN):
            sighting = watched.watch.receive()
            if sighting is False:
                break
            watched.frames += 1
            if sighting is not None:
                self._sighted(key, watched, sighting, now)
        if watched.frames > FLOOD and now - watched.second >= LEAST_HEARD:
            self._mute(key, watched)

    def _sighted(self, key: _WatchKey, watched: _Watched, sighting: Sighting, now: float) -> None:
        unit = watched.holders[sighting.address]
        if unit.runner.state is not StateName.MASTER or sighting.mac in self._hardware_addresses(now):
            return
        watched.sightings += 1
        suspect = (key, sighting.address)
        if suspect not in self._suspects and len(self._suspects) >= MOST_SUSPECTS:
            return
        self._suspects[suspect] = now
        self._call_later("look", ASKING_INTERVAL, self._look)
        if not sighting.claims:
            return
        mac = sighting.mac.hex(":")
        kind, what = ConflictKind.ADDRESS_IN_USE, "is its own while we are MASTER"
        if sighting.address not in {virtual.address for virtual in unit.config.all_addresses}:
            kind, what = ConflictKind.SAME_SOURCE, "is its own, from which we advertise"
        self.ledger.see(
            unit.key,
            unit.config.name,
            kind,
            mac,
            f"another host, {mac} on {key[0]}, says that {sighting.address} {what}",
            LEAST_SILENCE,
            address=sighting.address,
            patience=CLAIMED_AGAIN_AFTER,
            gap=LEAST_SILENCE,
        )

    def _hardware_addresses(self, now: float) -> frozenset[bytes]:
        """All of this host's own, which may answer for each other's addresses; read anew now and then."""
        read, addresses = self._own_macs
        if now - read > HARDWARE_ADDRESSES_KEPT:
            try:
                addresses = hardware_addresses()
            except OSError as error:
                _log.warning("cannot read this host's hardware addresses: %s", error.strerror)
            self._own_macs = (now, addresses)
        return addresses

    def _mute(self, key: _WatchKey, watched: _Watched) -> None:
        watched.watch.mute()
        for conflict in self.ledger:
            if conflict.address in watched.holders and conflict.router == watched.holders[conflict.address].key:
                # Nobody listens: that nothing is heard of it means nothing.
                conflict.silence = MUTED_TIME + LEAST_SILENCE
        watched.floods += 1
        watched.muted = True
        if (held := self._limiter.allow(("flood", key))) is not None:
            _log.warning(
                "more than %d frames in a second about virtual addresses on %s come from other hosts: not listening to "
                "them for %g s at a time%s",
                FLOOD,
                key[0],
                MUTED_TIME,
                f" ({held} such pauses were not logged)" if held else "",
            )
        self._loop.call_later(MUTED_TIME, self._listen_again, key, watched)

    def _listen_again(self, key: _WatchKey, watched: _Watched) -> None:
        if self._watched.get(key) is watched and not self._closed:
            watched.muted = False
            watched.second = float("-inf")
            watched.watch.listen()

    # -- status and timers ----------------------------------------------------------------------------------------

    def watches(self) -> list[dict[str, Any]]:
        """What is watched, as plain values for the status document."""
        return [
            {
                "interface": name,
                "family": f"ipv{family}",
                "addresses": len(watched.holders),
                "sightings": watched.sightings,
                "floods": watched.floods,
                "muted": watched.muted,
            }
            for (name, family), watched in sorted(self._watched.items())
        ]

    def _call_later(self, name: str, delay: float, work: Callable[[], None]) -> None:
        """Calls ``work`` once, however often it is asked for by that name, and not while a takeover is near."""
        if name in self._timers or self._closed:
            return

        def run() -> None:
            del self._timers[name]
            if self._busy():
                self._call_later(name, POSTPONED, work)
            else:
                work()

        self._timers[name] = self._loop.call_later(delay, run)


def _nothing_in_common(unit: RouterUnit, peer: Peer) -> bool:
    ours = unit.runner.settings.parameters.addresses
    return peer.last is not None and frozenset(ours).isdisjoint(peer.last.addresses)


def _still(unit: RouterUnit, kind: ConflictKind, peer: Peer) -> bool:
    """Whether a difference is still there in the last advertisement of a peer."""
    last, router = peer.last, unit.runner.router
    if last is None:
        return False
    match kind:
        case ConflictKind.CHECKSUM_FORM:
            return peer.checksum_form not in (unit.runner.settings.checksum_form, ChecksumForm.EITHER)
        case ConflictKind.ID_COLLISION:
            return _nothing_in_common(unit, peer)
        case ConflictKind.OTHER_ADDRESSES:
            same = frozenset(last.addresses) == frozenset(unit.runner.settings.parameters.addresses)
            return not same and not _nothing_in_common(unit, peer)
        case ConflictKind.SECOND_OWNER:
            return last.priority == router.priority == OWNER_PRIORITY
        case _:
            return last.priority == router.priority != OWNER_PRIORITY
