"""What is known about the other routers of a group, and what about them deserves a word.

RFC 9568 section 7.1 wants differences of interval and address list logged, not punished; the form of an IPv4 checksum
is not in the packet but decides whether the other side hears us at all. Each remark is made once for each source until
``forget_remarks`` (called when the router changes state). Nothing in here moves a timer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from vrrpd.protocol.actions import Notice, NoticeKind
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import DiscardReason
from vrrpd.protocol.packet import Advertisement, ChecksumForm, Decoded
from vrrpd.protocol.timing import Version, seconds

MAXIMUM_SOURCES: Final = 32
"""Sources kept for each router; the one heard least recently makes room, whatever a sender may invent."""


@dataclass(slots=True)
class Peer:
    """One source of advertisements for this virtual router id. Times are the caller's clock in seconds."""

    source: IPAddress
    last_heard: float = 0.0
    accepted: int = 0
    discarded: dict[DiscardReason, int] = field(default_factory=dict)
    last: Advertisement | None = None
    """The last advertisement accepted from it."""
    checksum_form: ChecksumForm | None = None
    remarks: set[NoticeKind] = field(default_factory=set)
    remark_again: bool = False
    """Whoever was told of the remarks has dropped them: the next advertisement makes them anew."""


class PeerLedger:
    """The peers of one virtual router."""

    def __init__(
        self, version: Version, max_advertise_interval: int, addresses: tuple[IPAddress, ...], sends: ChecksumForm
    ) -> None:
        self._version = version
        self._interval = max_advertise_interval
        self._addresses = addresses
        self._address_set = frozenset(addresses)
        self._sends = sends
        self._peers: OrderedDict[IPAddress, Peer] = OrderedDict()

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Every source that is remembered, the one heard last at the end."""
        return tuple(self._peers.values())

    def peer(self, source: IPAddress) -> Peer | None:
        """What is known of one source; None where it is not remembered."""
        return self._peers.get(source)

    def accepted(self, source: IPAddress, decoded: Decoded, now: float) -> list[Notice]:
        """Books an accepted advertisement and returns what is worth a word about it."""
        peer = self._peer(source, now)
        peer.accepted += 1
        if peer.remark_again:
            peer.remark_again = False
            peer.remarks.clear()
        unchanged = peer.last == decoded.advertisement and peer.checksum_form is decoded.checksum_form
        peer.last = decoded.advertisement
        peer.checksum_form = decoded.checksum_form
        if unchanged and peer.remarks:
            return []
        new = [notice for notice in self._differences(source, decoded) if notice.kind not in peer.remarks]
        peer.remarks.update(notice.kind for notice in new)
        return new

    def heard_again(self, source: IPAddress, times: int, last: float) -> None:
        """Books advertisements equal to the last one accepted from this source; ``last`` is when the last came."""
        self._peer(source, last).accepted += times

    def discarded(self, source: IPAddress, reason: DiscardReason, now: float) -> None:
        """Books a discarded packet for this virtual router id."""
        counts = self._peer(source, now).discarded
        counts[reason] = counts.get(reason, 0) + 1

    def forget_remarks(self) -> None:
        """Lets every remark be made once more."""
        for peer in self._peers.values():
            peer.remarks.clear()

    def _peer(self, source: IPAddress, now: float) -> Peer:
        peer = self._peers.get(source)
        if peer is None:
            if len(self._peers) >= MAXIMUM_SOURCES:
                self._peers.popitem(last=False)
            peer = self._peers[source] = Peer(source)
        else:
            self._peers.move_to_end(source)
        peer.last_heard = now
        return peer

    def _differences(self, source: IPAddress, decoded: Decoded) -> list[Notice]:
        advertisement, form = decoded.advertisement, decoded.checksum_form
        found = []
        if self._version is Version.V3 and form not in (self._sends, ChecksumForm.EITHER):
            text = (
                f"{source} sends checksums of the form {form.value}, we send {self._sends.value}: it most likely drops "
                "our advertisements, and both will be MASTER"
            )
            found.append(Notice(NoticeKind.CHECKSUM_FORM, text, source))
        if advertisement.max_advertise_interval != self._interval:
            theirs, ours = seconds(advertisement.max_advertise_interval), seconds(self._interval)
            text = f"{source} advertises every {theirs:g} s, ours is {ours:g} s (advert_int)"
            found.append(Notice(NoticeKind.INTERVAL_DIFFERS, text, source))
        if advertisement.addresses != self._addresses and frozenset(advertisement.addresses) != self._address_set:
            text = self._address_difference(source, advertisement)
            found.append(Notice(NoticeKind.ADDRESSES_DIFFER, text, source))
        if source.version == 6 and not advertisement.addresses[0].is_link_local:
            text = f"{source} advertises {advertisement.addresses[0]} first, RFC 9568 expects a link-local address"
            found.append(Notice(NoticeKind.FIRST_ADDRESS_GLOBAL, text, source))
        return found

    def _address_difference(self, source: IPAddress, advertisement: Advertisement) -> str:
        theirs = frozenset(advertisement.addresses)
        if not theirs & self._address_set:
            return f"{source} advertises {_listed(theirs)}, none of which is ours ({_listed(self._address_set)})"
        parts = []
        if missing := self._address_set - theirs:
            parts.append(f"lacks {_listed(missing)}")
        if extra := theirs - self._address_set:
            parts.append(f"has {_listed(extra)} besides")
        return f"the address list of {source} {' and '.join(parts)}"


def _listed(addresses: frozenset[IPAddress]) -> str:
    ordered = sorted(addresses, key=int)
    shown = ", ".join(str(address) for address in ordered[:4])
    return shown if len(ordered) <= 4 else f"{shown} and {len(ordered) - 4} more"
