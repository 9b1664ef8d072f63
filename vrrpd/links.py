"""What is heard: one receiving socket for each (interface, family), and the way from a packet to its router.

Decodes, counts what is thrown away and why, and hands the rest to the runner of its virtual router id. Knows the event
loop only as something to be called by: ``drain`` takes whatever is waiting.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from vrrpd.config.model import DEFAULT_GROUPS, Family
from vrrpd.net.interfaces import Interface
from vrrpd.net.sockets import Ipv4Packet, Ipv6Packet, Receiver
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.packet import decode
from vrrpd.runner import Runner

_log = logging.getLogger("vrrpd.links")

PACKETS_PER_TURN: Final = 512
"""Packets taken from one socket before timers and other sockets get their turn."""
UNFAMILIAR_PER_TURN: Final = 64
"""And among them those that are not what was expected: one of these costs as much as forty others."""
LONGEST_WAIT: Final = 0.1
"""Seconds that a packet waits while this process runs, however busy it is. What waited for longer counts as heard now:
we were stopped, and a socket that is full keeps the oldest packets. They tell nothing of masters that are silent."""


class DiscardLog(Protocol):
    """Who writes down a discarded packet, at a bearable rate."""

    def __call__(self, key: Hashable, who: str, source: IPAddress | None, interface: str, discard: Discard) -> None:
        """``key`` names packets that are alike; ``who`` is the router they were meant for, or empty."""


class Link:
    """One interface, one family: its socket, and the routers that listen there by virtual router id."""

    def __init__(
        self,
        interface: str,
        family: Family,
        log_unknown_vrids: bool,
        log_discard: DiscardLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interface = interface
        self.family: Family = family
        self.routers: dict[int, Runner] = {}
        self.groups: dict[int, IPAddress | None] = {}
        """The multicast group of each virtual router id; None for unicast."""
        self.discarded: Counter[DiscardReason] = Counter()
        """Packets that could not be attributed to one of our routers."""
        self.problem: str | None = None
        """Why nothing can be heard although the interface is there."""
        self.last_arrival = float("-inf")
        """When the last packet came."""
        self.exhausted = True
        """The last ``drain`` left nothing waiting."""
        self._log_unknown_vrids = log_unknown_vrids
        self._log_discard = log_discard
        self._clock = clock
        self._emptied = clock()
        """When nothing was waiting: what is read later came later."""
        self._receiver: Receiver | None = None
        self._index: int | None = None
        self._joined: set[IPAddress] = set()

    def fileno(self) -> int | None:
        """The descriptor to wait on; None while the interface is not there."""
        return self._receiver.fileno() if self._receiver is not None else None

    def follow(self, interface: Interface | None) -> None:
        """Opens, reopens or closes the socket as the interface comes and goes, and listens for the routers there are.

        Where the kernel refuses there is no socket, and ``problem`` says why; the next call tries again.
        """
        index = None if interface is None else interface.index
        if index != self._index:
            self.close()
        self.problem = None
        if index is None:
            return
        try:
            if self._receiver is None:
                self._receiver, self._index = Receiver(self.interface, index, self.family), index
            self._listen(self._receiver)
        except OSError as error:
            self.close()
            self.problem = error.strerror or str(error)

    def _listen(self, receiver: Receiver) -> None:
        """Joins the groups and sets the kernel's filter for the routers there are now."""
        wanted = {group for group in self.groups.values() if group is not None}
        for group in wanted - self._joined:
            receiver.join(group)
        for group in self._joined - wanted:
            receiver.leave(group)
        self._joined = wanted
        if self._log_unknown_vrids:
            # To hear of foreign virtual router ids is the point, also where all of ours are unicast.
            receiver.join(DEFAULT_GROUPS[self.family])
            self._joined.add(DEFAULT_GROUPS[self.family])
        receiver.set_vrids(None if self._log_unknown_vrids else frozenset(self.routers))

    def drain(self, own_addresses: frozenset[IPAddress], touched: Callable[[Runner], None]) -> int:
        """Takes the waiting packets in and returns how many were familiar, or -1 where another one was among them.

        Every packet counts from its arrival, if that was not too long ago. ``touched`` hears of every router whose
        deadline may have come nearer: of those that heard what they expected it has not.
        """
        receiver = self._receiver
        if receiver is None:
            return 0
        now = self._clock()
        offset = now - time.time()
        begun = arrival = now
        earliest = self._emptied
        routers = self.routers
        count = unfamiliar = 0

        def go_on() -> bool:
            return unfamiliar < UNFAMILIAR_PER_TURN

        for vrid, signature, raw, stamp in receiver.receive(PACKETS_PER_TURN, go_on):
            count += 1
            # The kernel's stamp is by the wall clock, which somebody may set at any moment.
            arrival = now if stamp is None else stamp + offset
            if arrival > now:
                now = self._clock()
                arrival = min(arrival, now)
            elif arrival < now - LONGEST_WAIT:
                arrival = now
            elif arrival < earliest:
                arrival = earliest
            runner = routers.get(vrid)
            if runner is None or not runner.hear_again(signature, arrival):
                unfamiliar += 1
                self._take(receiver.packet(raw), signature, arrival, own_addresses, touched)
        if count:
            self.last_arrival = arrival
        self.exhausted = receiver.exhausted
        if self.exhausted:
            self._emptied = begun
        return -1 if unfamiliar else count

    def forget_familiar(self) -> None:
        """Sends the next packet for every router the long way: interfaces or addresses have changed."""
        for runner in self.routers.values():
            runner.forget_familiar()

    def close(self) -> None:
        """Closes the socket."""
        if self._receiver is not None:
            self._receiver.close()
        self._receiver, self._index = None, None
        self._joined = set()

    def _take(
        self,
        packet: Ipv4Packet | Ipv6Packet,
        signature: Hashable,
        arrival: float,
        own_addresses: frozenset[IPAddress],
        touched: Callable[[Runner], None],
    ) -> None:
        try:
            datagram = packet.datagram()
        except Discard as discard:
            self.discarded[discard.reason] += 1
            self._log_discard(("ip", discard.reason), "", None, self.interface, discard)
            return
        try:
            decoded = decode(datagram)
        except Discard as discard:
            message = datagram.message
            runner = self.routers.get(message[1]) if len(message) > 1 else None
            if runner is not None:
                runner.reject(datagram.source, discard)
            else:
                self.discarded[discard.reason] += 1
                key = (datagram.source, discard.reason)
                self._log_discard(key, "", datagram.source, self.interface, discard)
            return
        vrid = decoded.advertisement.vrid
        runner = self.routers.get(vrid)
        if runner is not None:
            runner.receive(datagram, decoded, own_addresses, signature, arrival)
            touched(runner)
            return
        self.discarded[DiscardReason.VRID] += 1
        if self._log_unknown_vrids:
            foreign = Discard(DiscardReason.VRID, f"virtual router id is {vrid}, which is not configured here")
            self._log_discard((datagram.source, vrid), "", datagram.source, self.interface, foreign)
