"""The kernel's side of all virtual routers together: what they want in one turn of the event loop leaves in one batch.

Each router asks through its port (``net.port``). What all of them want is collected and leaves together in ``flush``:
advertisements, then addresses, then the first announcement of each address. That one moves the traffic; the ones that
repeat it wait in ``send_repeats`` until nobody is about to take over. What is decided ahead of its time is taken out
(``collect``), laid out as system calls (``lay_out``) and handed over when the time has come (``hand_over``).
"""

from __future__ import annotations

import errno
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeAlias

from vrrpd.config.model import AnnouncementPolicy, Family, VirtualAddress, VirtualRouterConfig
from vrrpd.net.announce import FrameSender, Pacer, announcement
from vrrpd.net.aside import close_aside
from vrrpd.net.batch import Batch, LaidOut, Part, Pending, PreparedAddress, Sent
from vrrpd.net.interfaces import Interface, InterfaceTable
from vrrpd.net.netlink import AddressError, AddressWriter, encode_install, encode_withdraw
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.net.port import RouterPort
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_log = logging.getLogger("vrrpd.dataplane")

ADDRESSES_PER_PART: Final = 32
"""Addresses that are put on an interface before the first of them are announced."""

TransmitterKey: TypeAlias = tuple[int, IPAddress, int]
"""(interface index, source, hop limit)."""


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
        self._transmitters: dict[TransmitterKey, Transmitter] = {}
        self._users: Counter[TransmitterKey] = Counter()

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
                self._senders[index] = FrameSender(index)

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

    def transmitter(self, key: TransmitterKey, interface: str) -> Transmitter:
        """The sending socket of all routers with this interface, source and hop limit; raises ``OSError``."""
        transmitter = self._transmitters.get(key)
        if transmitter is None:
            transmitter = self._transmitters[key] = self.open_transmitter(interface, *key)
        self._users[key] += 1
        return transmitter

    def open_transmitter(self, interface: str, index: int, source: IPAddress, hop_limit: int) -> Transmitter:
        """Opens a sending socket; raises ``OSError``."""
        return Transmitter(interface, index, source, hop_limit)

    def release(self, key: TransmitterKey) -> None:
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
                sender = self._senders[index] = FrameSender(index)
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


def _family(address: IPAddress) -> Family:
    return 4 if address.version == 4 else 6


def _pace(prepared: PreparedAddress, policy: AnnouncementPolicy) -> float:
    return policy.garp_interval if prepared.virtual.address.version == 4 else policy.gna_interval
