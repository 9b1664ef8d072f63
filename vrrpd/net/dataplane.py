"""The kernel's side of every virtual router: advertisements out, addresses on and off, announcements.

Everything that a takeover needs is built before it is needed: netlink messages, advertisements and frames are ready as
bytes, so that MASTER is three system calls. What all routers that act in one turn of the event loop want is collected
and leaves together in ``flush``: advertisements, then addresses, then the first announcement of each address. That one
moves the traffic; the ones that repeat it wait in ``send_repeats`` until nobody is about to take over. What is decided
ahead of its time is taken out (``collect``), laid out as system calls (``lay_out``) and handed over when the time has
come (``hand_over``).

Only what this process installed is withdrawn: an address that was there before is left alone.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final, TypeAlias

from vrrpd.config.model import AnnouncementPolicy, Family, VirtualAddress, VirtualRouterConfig
from vrrpd.net.announce import FrameSender, Pacer, announcement
from vrrpd.net.aside import close_aside
from vrrpd.net.batch import Batch, LaidOut, Part, Pending, PreparedAddress, Sent
from vrrpd.net.interfaces import Interface, InterfaceTable, lost_with
from vrrpd.net.netlink import (
    AddressError,
    AddressWriter,
    encode_install,
    encode_keep,
    encode_lifetime,
    encode_restore,
    encode_withdraw,
)
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_log = logging.getLogger("vrrpd.dataplane")

ADDRESSES_PER_PART: Final = 32
"""Addresses that are put on an interface before the first of them are announced."""
OUTGOING_KEPT: Final = 1024
"""Ready advertisements kept for each router: its peers times the few priorities that it alternates between."""

_TransmitterKey: TypeAlias = tuple[int, IPAddress, int]
"""(interface index, source, hop limit)."""

_GONE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
"""Withdrawing what is no longer there is no error."""


@dataclass(frozen=True, slots=True)
class _Everything:
    """All addresses of one router, laid out so that a takeover of hundreds costs no work for each."""

    messages: tuple[bytes, ...]
    pending: tuple[Pending, ...]
    prepared: tuple[PreparedAddress, ...]
    addresses: frozenset[IPAddress]
    places: frozenset[tuple[str, IPAddress]]


class LinuxDataplane:
    """Shared by all routers of a daemon: one netlink socket, one frame socket for each interface, one batch a turn."""

    def __init__(self, table: InterfaceTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._writer = AddressWriter()
        self._batch = Batch()
        self._unsent: set[RouterPort] = set()
        """Who has a destination to which the last advertisement was refused."""
        self._repeats: deque[PreparedAddress] = deque()
        self.installed: set[tuple[str, IPAddress]] = set()
        """(device, address) of everything that any router of this daemon has put somewhere."""
        self._senders: dict[int, FrameSender] = {}
        self._pacers: dict[tuple[int, Family], Pacer] = {}
        self._transmitters: dict[_TransmitterKey, Transmitter] = {}
        self._users: Counter[_TransmitterKey] = Counter()

    def port(self, config: VirtualRouterConfig, on_refused: Callable[[IPAddress, str], None]) -> RouterPort:
        """The dataplane of one router; ``on_refused`` hears of every address that the kernel will not take."""
        return RouterPort(self, self._table, config, on_refused)

    @property
    def deadline(self) -> float | None:
        """When paced announcements are due next; None when none waits."""
        deadlines = [pacer.deadline for pacer in self._pacers.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def flush(self) -> None:
        """Hands the collected batch to the kernel: advertisements, addresses, announcements; then tells of refusals."""
        if self._batch.empty:
            self._send_paced()
        else:
            self.hand_over(self.collect())

    def collect(self) -> Batch:
        """Takes out what has been collected, for later."""
        batch, self._batch = self._batch, Batch()
        return batch

    def resume(self, batch: Batch) -> None:
        """Goes on with a batch that was taken out; nothing has been collected since."""
        batch.laid_out = None
        self._batch = batch

    def lay_out(self, batch: Batch) -> LaidOut:
        """Does what can be done before a batch is handed over; once."""
        if batch.laid_out is None:
            batch.laid_out = LaidOut(_lay_out_advertisements(batch.advertisements), self._part(batch, 0, 0))
        return batch.laid_out

    def hand_over(self, batch: Batch) -> None:
        """Hands a batch to the kernel, as ``flush`` does."""
        laid_out = self.lay_out(batch)
        outcome = [transmitter.send(messages) for transmitter, messages, _ in laid_out.advertisements]
        refused: list[tuple[Pending, int]] = []
        part = laid_out.first
        while True:
            if part.requests is not None and (errors := self._writer.carry_out(part.requests)):
                refused_now = _refusals(batch.pending[part.first_message : part.end_message], errors)
                refused += refused_now
                part = self._without_refused(batch, part, refused_now)
            for index, sender, frames in part.announcements:
                _send_on(index, sender, frames)
            if part.end_message == len(batch.messages):
                break
            part = self._part(batch, part.end_message, part.end_frame)
        for (_, _, sent), errors_of in zip(laid_out.advertisements, outcome, strict=True):
            self.sent(sent, errors_of)
        self._send_paced()
        for entry, code in refused:
            if entry.leaves:
                entry.port.not_left(entry.address, code)
            else:
                entry.port.refused(entry.address, entry.installs, code)

    def _part(self, batch: Batch, first_message: int, first_frame: int) -> Part:
        """Lays out the next addresses of a batch: the first are announced before the last of hundreds are there.

        All belong to the same requests in the same order, so that no announcement comes before its address. With the
        last requests go all announcements that are left.
        """
        end_message = min(first_message + ADDRESSES_PER_PART, len(batch.messages))
        messages = batch.messages[first_message:end_message]
        requests = self._writer.lay_out(messages) if messages else None
        end_frame = len(batch.frames)
        if end_message < len(batch.messages):
            installed = {entry.address for entry in batch.pending[first_message:end_message] if entry is not None}
            end_frame = first_frame
            while end_frame < len(batch.frames) and batch.frames[end_frame].virtual.address in installed:
                end_frame += 1
        announcements = self._announcements(batch.frames[first_frame:end_frame])
        return Part(first_message, end_message, requests, first_frame, end_frame, announcements)

    def _without_refused(self, batch: Batch, part: Part, refused: list[tuple[Pending, int]]) -> Part:
        """Announces no address that the kernel has just refused, not now and not again later."""
        gone = [
            prepared
            for entry, code in refused
            if entry.installs and code != errno.EEXIST
            if (prepared := entry.port.prepared(entry.address)) is not None
        ]
        if not gone:
            return part
        self.cancel_frames(gone)
        # By identity: another interface may have the same address.
        going = {id(prepared) for prepared in gone}
        this = [frame for frame in batch.frames[part.first_frame : part.end_frame] if id(frame) not in going]
        rest = [frame for frame in batch.frames[part.end_frame :] if id(frame) not in going]
        batch.frames[part.first_frame :] = this + rest
        end_frame = part.first_frame + len(this)
        announcements = self._announcements(this)
        return replace(part, end_frame=end_frame, announcements=announcements)

    def sent(self, advertisements: Sequence[Sent], refused: Sequence[SendError]) -> None:
        """Tells the routers what became of their advertisements; the errors are by position."""
        if not refused and not self._unsent:
            return
        errors = {error.position: error for error in refused}
        for position, (port, message) in enumerate(advertisements):
            failed = port.sent(message.destination, errors.get(position))
            (self._unsent.add if failed else self._unsent.discard)(port)

    def volley(self, send: Callable[[], None]) -> Volley:
        """Lays out the advertisements that ``send`` asks for, to be sent together any number of times; none now."""
        waiting = self.collect()
        try:
            send()
        finally:
            laid_out, self._batch = self._batch, waiting
        return Volley(self, laid_out.advertisements)

    @property
    def repeats(self) -> int:
        """Announcements that repeat an earlier one and wait for a quiet moment."""
        return len(self._repeats)

    def send_repeats(self, limit: int) -> None:
        """Sends up to ``limit`` of the announcements that repeat an earlier one, in order."""
        count = min(limit, len(self._repeats))
        self._send_frames([self._repeats.popleft() for _ in range(count)])

    def discard(self) -> None:
        """Forgets what was collected and not handed over."""
        self._batch = Batch()
        self._repeats.clear()
        self._pacers.clear()

    def finish(self) -> None:
        """Sends what is left."""
        self.flush()
        self.send_repeats(len(self._repeats))

    def close_senders_aside(self) -> None:
        """Begins to close what announcements leave by; one that is needed after all is opened again."""
        while self._senders:
            close_aside(self._senders.popitem()[1])

    def close(self) -> None:
        """Sends what is left and closes every socket."""
        self.finish()
        self._writer.close()
        for sender in self._senders.values():
            sender.close()
        self._senders.clear()

    def open_sender(self, index: int) -> None:
        """Opens what announcements leave by: a takeover must not need a file descriptor that may not be had."""
        if index not in self._senders:
            with suppress(OSError):  # tried again, and told, when there is something to announce
                self._senders[index] = self.make_sender(index)

    def make_sender(self, index: int) -> FrameSender:
        """Opens what frames leave by; raises ``OSError``."""
        return FrameSender(index)

    def prepare_address(self, virtual: VirtualAddress, interface: Interface) -> PreparedAddress:
        """Builds what the kernel will be asked for about one address."""
        announced = interface.arp and len(interface.mac) == 6
        if announced:
            self.open_sender(interface.index)
        frame = announcement(interface.mac, virtual.address) if announced else None
        return PreparedAddress(
            virtual=virtual,
            index=interface.index,
            install=encode_install(virtual, interface.index),
            withdraw=encode_withdraw(virtual, interface.index),
            frame=frame,
            outgoing=None if frame is None else OutgoingMessage(frame),
        )

    def forget_interface(self, index: int) -> None:
        """Closes what belongs to an interface that is gone."""
        if sender := self._senders.pop(index, None):
            close_aside(sender)
        for key in [key for key in self._pacers if key[0] == index]:
            del self._pacers[key]

    def queue_message(self, message: bytes, pending: Pending | None) -> None:
        """Adds one netlink message to the batch."""
        self._batch.messages.append(message)
        self._batch.pending.append(pending)

    def queue_messages(self, messages: Iterable[bytes], pending: Iterable[Pending]) -> None:
        """Adds netlink messages to the batch."""
        self._batch.messages += messages
        self._batch.pending += pending

    def queue_advertisement(self, port: RouterPort, transmitter: Transmitter, message: OutgoingMessage) -> None:
        """Adds one advertisement to the batch."""
        waiting = self._batch.advertisements.get(transmitter)
        if waiting is None:
            waiting = self._batch.advertisements[transmitter] = []
        waiting.append((port, message))

    def queue_frames(self, chosen: Sequence[PreparedAddress], repeat: int, policy: AnnouncementPolicy) -> None:
        """Adds ``repeat`` announcements of each address to the batch, or to the queues of those who have to wait."""
        at_once, paced = chosen, []
        if policy.garp_interval > 0 or policy.gna_interval > 0:
            paced = [prepared for prepared in chosen if _pace(prepared, policy) > 0 and prepared.outgoing is not None]
            at_once = [prepared for prepared in chosen if _pace(prepared, policy) <= 0]
        if repeat > 0:
            self._batch.frames += at_once
        for _ in range(repeat - 1):
            self._repeats += at_once
        for _ in range(repeat):
            for prepared in paced:
                self._pace(prepared, _pace(prepared, policy))

    def _pace(self, prepared: PreparedAddress, interval: float) -> None:
        address = prepared.virtual.address
        key = (prepared.index, _family(address))
        pacer = self._pacers.get(key)
        if pacer is None:
            pacer = self._pacers[key] = Pacer(interval)
        pacer.interval = interval  # another one after a reload
        assert prepared.outgoing is not None
        pacer.add(address, prepared.outgoing)

    def cancel_frames(self, going: list[PreparedAddress]) -> None:
        """Drops the announcements of these addresses that are still waiting."""
        gone = {(prepared.index, prepared.frame) for prepared in going}
        if self._batch.frames:
            frames = self._batch.frames
            self._batch.frames = [waiting for waiting in frames if (waiting.index, waiting.frame) not in gone]
        if self._repeats:
            self._repeats = deque(waiting for waiting in self._repeats if (waiting.index, waiting.frame) not in gone)
        for (index, _), pacer in self._pacers.items():
            for prepared in going:
                if index == prepared.index:
                    pacer.cancel(prepared.virtual.address)

    def transmitter(self, key: _TransmitterKey, interface: str) -> Transmitter:
        """The sending socket of all routers with this interface, source and hop limit; raises ``OSError``."""
        transmitter = self._transmitters.get(key)
        if transmitter is None:
            transmitter = self._transmitters[key] = self.open_transmitter(interface, *key)
        self._users[key] += 1
        return transmitter

    def open_transmitter(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> Transmitter:
        """Opens a sending socket; raises ``OSError``."""
        return Transmitter(interface, index, source, hop_limit)

    def release(self, key: _TransmitterKey) -> None:
        """Gives a sending socket back; what was collected for it is sent before the last user's is closed."""
        self._users[key] -= 1
        if self._users[key] == 0:
            waiting, self._batch.advertisements = self._batch.advertisements, {}
            Volley(self, waiting).send()
            del self._users[key]
            self._transmitters.pop(key).close()

    def _announcements(self, frames: Sequence[PreparedAddress]) -> list[tuple[int, FrameSender, OutgoingBatch]]:
        """Lays out announcements, those of one interface for one system call."""
        by_interface: dict[int, list[OutgoingMessage]] = {}
        for prepared in frames:
            if prepared.outgoing is not None:
                by_interface.setdefault(prepared.index, []).append(prepared.outgoing)
        return [
            (index, sender, OutgoingBatch(messages))
            for index, messages in by_interface.items()
            if (sender := self._sender(index)) is not None
        ]

    def _send_frames(self, frames: Sequence[PreparedAddress]) -> None:
        for index, sender, batch in self._announcements(frames):
            _send_on(index, sender, batch)

    def _send_paced(self) -> None:
        if not self._pacers:
            return
        now = self._clock()
        for (index, _), pacer in self._pacers.items():
            while (frame := pacer.take(now)) is not None:
                if (sender := self._sender(index)) is not None:
                    _send_on(index, sender, OutgoingBatch([frame]))

    def _sender(self, index: int) -> FrameSender | None:
        """What announcements leave by, opened if it is not; None, and a line in the log, where that fails."""
        sender = self._senders.get(index)
        try:
            if sender is None:
                sender = self._senders[index] = self.make_sender(index)
        except OSError as error:
            _log.warning("cannot announce on interface number %d: %s", index, error.strerror)
        return sender


def _lay_out_advertisements(
    collected: Mapping[Transmitter, Sequence[Sent]],
) -> list[tuple[Transmitter, OutgoingBatch, Sequence[Sent]]]:
    """Makes one system call of the advertisements of each socket."""
    return [
        (transmitter, transmitter.lay_out([message for _, message in sent]), sent)
        for transmitter, sent in collected.items()
    ]


def _refusals(pending: Sequence[Pending | None], errors: Sequence[AddressError]) -> list[tuple[Pending, int]]:
    """Whom to tell of which error; that an address is there which we had installed before is none."""
    return [
        (entry, error.errno)
        for error in errors
        if (entry := pending[error.position]) is not None and not (entry.again and error.errno == errno.EEXIST)
    ]


def _send_on(index: int, sender: FrameSender, frames: OutgoingBatch) -> None:
    if problems := sender.send(frames):
        text = "%d of %d announcements on interface number %d were not sent: %s"
        _log.warning(text, len(problems), len(frames), index, problems[0])


class Volley:
    """Advertisements of several routers that always leave together, one system call for each socket."""

    def __init__(self, shared: LinuxDataplane, collected: Mapping[Transmitter, Sequence[Sent]]) -> None:
        self._shared = shared
        self._batches = _lay_out_advertisements(collected)

    def send(self) -> None:
        """Sends them now."""
        for transmitter, batch, sent in self._batches:
            self._shared.sent(sent, transmitter.send(batch))


class RouterPort:
    """The dataplane of one virtual router (``runner.Dataplane``)."""

    def __init__(
        self,
        shared: LinuxDataplane,
        table: InterfaceTable,
        config: VirtualRouterConfig,
        on_refused: Callable[[IPAddress, str], None],
    ) -> None:
        self._shared = shared
        self._table = table
        self._on_refused = on_refused
        self._prepared: dict[IPAddress, PreparedAddress] = {}
        self._everything = _Everything((), (), (), frozenset(), frozenset())
        self._bound_to: tuple[object, ...] = ()
        self._transmitter: Transmitter | None = None
        self._transmitter_key: _TransmitterKey | None = None
        self._outgoing: dict[tuple[bytes, int], OutgoingMessage] = {}
        """Ready advertisements by message and identity of the destination, which they keep alive."""
        self._send_errors: dict[IPAddress | None, str] = {}
        """By destination: why the last advertisement was not sent there."""
        self.config = config
        self.installed: set[IPAddress] = set()
        """What this process put on an interface and has to take off again."""
        self._adopted: set[IPAddress] = set()
        """Of those: what a predecessor left to the kernel, until it is ours for good."""
        self.was_there: set[IPAddress] = set()
        """Virtual addresses that were on the interface before; they are left alone."""

    # -- preparation ----------------------------------------------------------------------------------------------

    def bind(self, config: VirtualRouterConfig | None = None) -> frozenset[IPAddress]:
        """Builds messages and frames for the interfaces as they are now; cheap when nothing has changed.

        Returns the addresses that have another hardware address now, where what neighbours remember has become wrong.
        """
        if config is not None:
            self.config = config
        interfaces = {virtual.device: self._table.interface(virtual.device) for virtual in self.config.all_addresses}
        bound_to = (
            self.config.all_addresses,
            tuple((name, entry and (entry.index, entry.mac, entry.arp)) for name, entry in interfaces.items()),
        )
        if bound_to == self._bound_to:
            return frozenset()
        self._bound_to = bound_to
        before, self._prepared = self._prepared, {}
        for virtual in self.config.all_addresses:
            interface = interfaces[virtual.device]
            old = before.get(virtual.address) if virtual.address in self.installed else None
            if interface is None:
                # Gone, or only renamed: what we have put there is taken off by its number, if it is still there.
                if old is not None:
                    self._prepared[virtual.address] = old
                continue
            prepared = self._prepared[virtual.address] = self._shared.prepare_address(virtual, interface)
            if old is not None and old.index != prepared.index:
                # Another one has its name now, and gets the address.
                self._shared.queue_message(old.withdraw, None)
                self._shared.queue_message(prepared.install, Pending(self, virtual.address, installs=True))
        prepared_all = tuple(self._prepared.values())
        self._everything = _Everything(
            messages=tuple(prepared.install for prepared in prepared_all),
            pending=tuple(Pending(self, prepared.virtual.address, installs=True) for prepared in prepared_all),
            prepared=prepared_all,
            addresses=frozenset(self._prepared),
            places=frozenset((prepared.virtual.device, prepared.virtual.address) for prepared in prepared_all),
        )
        return frozenset(
            address
            for address, prepared in self._prepared.items()
            if (old := before.get(address))
            and old.frame != prepared.frame
            and (old.index == prepared.index or address in self.installed)
        )

    def use_source(self, source: IPAddress | None) -> str | None:
        """Opens the sending socket for a source address, or closes it for None; the answer is what went wrong."""
        self.close()
        interface = self._table.interface(self.config.interface)
        if source is None or interface is None:
            return None
        hop_limit = 255 if self.config.multicast_group is not None else self.config.unicast_ttl
        key = (interface.index, source, hop_limit)
        try:
            self._transmitter = self._shared.transmitter(key, interface.name)
        except OSError as error:
            return error.strerror or str(error)
        self._transmitter_key = key
        return None

    def close(self) -> None:
        """Gives the sending socket back."""
        if self._transmitter_key is not None:
            self._shared.release(self._transmitter_key)
        self._transmitter = self._transmitter_key = None

    def lost(self) -> frozenset[IPAddress]:
        """What we installed and is no longer there."""
        return frozenset(
            address
            for address in self.installed
            if (prepared := self._prepared.get(address)) is not None
            and prepared.virtual.tracked
            and not self._table.holds(prepared.virtual.device, address)
        )

    def prepared(self, address: IPAddress) -> PreparedAddress | None:
        """What is ready for a virtual address; None where its interface is missing."""
        return self._prepared.get(address)

    # -- what a runner asks for -----------------------------------------------------------------------------------

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        """Lays an advertisement out for the kernel."""
        if len(self._outgoing) >= OUTGOING_KEPT:
            self._outgoing.clear()
        # By identity: hashing an address costs more than all the rest of sending.
        self._outgoing[message, id(destination)] = OutgoingMessage(message, destination)

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Adds one advertisement to the batch."""
        if self._transmitter is None:
            return
        key = (message, id(destination))
        if key not in self._outgoing:
            self.prepare(message, destination)
        self._shared.queue_advertisement(self, self._transmitter, self._outgoing[key])

    def sent(self, destination: IPAddress | None, error: SendError | None) -> bool:
        """Hears what became of an advertisement; an error is logged once until it changes.

        True where any destination has one.
        """
        text = None if error is None else str(error)
        if text != self._send_errors.get(destination):
            self._send_errors.pop(destination, None)
            if text is not None:
                self._send_errors[destination] = text
                _log.warning("(%s) an advertisement was not sent to %s: %s", self.config.name, destination, text)
        return bool(self._send_errors)

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Adds the addresses to the batch."""
        if only is None and not self.installed and not self.was_there:
            # A takeover: what the loop below would do, at once.
            everything = self._everything
            self._shared.queue_messages(everything.messages, everything.pending)
            self.installed |= everything.addresses
            self._shared.installed |= everything.places
            return
        for address, prepared in self._prepared.items():
            if (only is None or address in only) and address not in self.was_there:
                pending = Pending(self, address, installs=True, again=address in self.installed)
                self._note(prepared, installed=True)
                message = prepared.install
                if address in self._adopted:
                    message = encode_keep(message, prepared.virtual)
                    self._adopted.discard(address)
                self._shared.queue_message(message, pending)

    def withdraw(self, only: frozenset[IPAddress] | None = None) -> None:
        """Adds the removal of what we installed to the batch and drops its waiting announcements."""
        going = [
            prepared
            for address, prepared in self._prepared.items()
            if address in self.installed and (only is None or address in only)
        ]
        for prepared in going:
            address = prepared.virtual.address
            self._note(prepared, installed=False)
            self._shared.queue_message(prepared.withdraw, Pending(self, address, installs=False))
        self._shared.cancel_frames(going)
        self._restore_neighbours(going)
        if only is None:
            self.was_there.clear()

    def leave(self, lifetime: int) -> None:
        """Adds to the batch that the kernel takes off what we installed, after so many seconds; ask ``can_leave``."""
        leaving = [prepared for address, prepared in self._prepared.items() if address in self.installed]
        for prepared in leaving:
            address = prepared.virtual.address
            self._note(prepared, installed=False)
            message = encode_lifetime(prepared.install, prepared.virtual, lifetime)
            self._shared.queue_message(message, Pending(self, address, installs=False, leaves=True))
        self._shared.cancel_frames(leaving)
        self.was_there.clear()

    def can_leave(self) -> bool:
        """False where an address that ends by itself would take something along, with nobody there to help."""
        return all(
            self._ends_alone(prepared.virtual)
            for address, prepared in self._prepared.items()
            if address in self.installed
        )

    def _ends_alone(self, virtual: VirtualAddress) -> bool:
        if virtual.address.version == 6:
            # An address with a lifetime cannot hold the route of its prefix: the kernel gives that one a lifetime, too,
            # and does not always get it right. So the route goes, unless a lasting address holds it or none is needed.
            return virtual.prefix_length == 128 or virtual.no_prefix_route or self._shares_prefix(virtual)
        present = self._table.addresses(virtual.device)
        entries = self._table.entries(virtual.device, virtual.address)
        return not any(not neighbour.ours for entry in entries for neighbour in lost_with(entry, present))

    def adopt(self) -> None:
        """Takes what a predecessor has left on the interfaces, with our mark, for our own."""
        for address, prepared in self._prepared.items():
            if self._is_ours(prepared):
                self._note(prepared, installed=True)
                self._adopted.add(address)

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Adds ``repeat`` rounds of announcements to the batch."""
        chosen: Sequence[PreparedAddress] = self._everything.prepared
        if only is not None:
            chosen = [prepared for prepared in chosen if prepared.virtual.address in only]
        self._shared.queue_frames(chosen, repeat, self.config.announcements)

    # -- answers of the kernel ------------------------------------------------------------------------------------

    def refused(self, address: IPAddress, installs: bool, code: int) -> None:
        """Hears that the kernel refused a message of ours."""
        if not installs:
            if code not in _GONE:
                _log.warning("(%s) cannot withdraw %s: %s", self.config.name, address, os.strerror(code))
            return
        prepared = self._prepared.get(address)
        if prepared is None:
            return
        if code == errno.EEXIST:
            if not self._is_ours(prepared):
                self._note(prepared, installed=False)
                self.was_there.add(address)
                _log.warning(
                    "(%s) %s was on %s before: it is announced, and left alone afterwards",
                    self.config.name,
                    address,
                    prepared.virtual.device,
                )
            return
        self._note(prepared, installed=False)
        self._on_refused(address, os.strerror(code))

    def not_left(self, address: IPAddress, code: int) -> None:
        """Hears that the kernel does not take an address off by itself."""
        prepared = self._prepared.get(address)
        if code in _GONE or prepared is None:
            return
        _log.warning("(%s) cannot give %s a lifetime: %s; withdrawing it", self.config.name, address, os.strerror(code))
        self._shared.queue_message(prepared.withdraw, Pending(self, address, installs=False))

    def _note(self, prepared: PreparedAddress, installed: bool) -> None:
        address, where = prepared.virtual.address, (prepared.virtual.device, prepared.virtual.address)
        if installed:
            self.installed.add(address)
            self._shared.installed.add(where)
        else:
            self.installed.discard(address)
            self._adopted.discard(address)
            self._shared.installed.discard(where)

    def _shares_prefix(self, virtual: VirtualAddress) -> bool:
        """True where a lasting address of the node is in the prefix of a virtual one on its interface."""
        network = ip_network((virtual.address, virtual.prefix_length), strict=False)
        return any(
            entry.permanent
            and not entry.ours
            and entry.prefix_length == virtual.prefix_length
            and entry.address in network
            for entry in self._table.addresses(virtual.device)
        )

    def _is_ours(self, prepared: PreparedAddress) -> bool:
        virtual = prepared.virtual
        entries = self._table.entries(virtual.device, virtual.address)
        return any(entry.ours and entry.prefix_length == virtual.prefix_length for entry in entries)

    def _restore_neighbours(self, going: list[PreparedAddress]) -> None:
        """Puts back what the kernel deletes along with a primary address where promote_secondaries is off.

        That is the node's own addresses and other routers' virtual ones, but none that we are taking off ourselves.
        """
        restored: set[IPAddress] = set()
        for prepared in going:
            virtual = prepared.virtual
            if virtual.prefix_length == 32:
                continue  # alone in its subnet: nothing goes with it
            present = self._table.addresses(virtual.device)
            for entry in self._table.entries(virtual.device, virtual.address):
                for neighbour in lost_with(entry, present):
                    staying = not neighbour.ours or (virtual.device, neighbour.address) in self._shared.installed
                    if staying and neighbour.address not in restored:
                        restored.add(neighbour.address)
                        self._shared.queue_message(encode_restore(neighbour), None)


def _family(address: IPAddress) -> Family:
    return 4 if address.version == 4 else 6


def _pace(prepared: PreparedAddress, policy: AnnouncementPolicy) -> float:
    return policy.garp_interval if prepared.virtual.address.version == 4 else policy.gna_interval
