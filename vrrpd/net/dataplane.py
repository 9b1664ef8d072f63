"""The kernel's side of every virtual router: advertisements out, addresses on and off, announcements.

Everything that a takeover needs is built before it is needed: netlink messages and frames are ready as bytes, so that
MASTER is a few system calls. Advertisements leave at once; addresses and announcements of all routers that change in
one turn of the event loop are collected and leave together in ``flush``, addresses first.

Only what this process installed is withdrawn: an address that was there before is left alone.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from vrrpd.config.model import AnnouncementPolicy, Family, VirtualAddress, VirtualRouterConfig
from vrrpd.net.announce import FrameSender, Pacer, announcement
from vrrpd.net.interfaces import InterfaceTable, lost_with
from vrrpd.net.netlink import AddressWriter, encode_install, encode_restore, encode_withdraw
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

_log = logging.getLogger("vrrpd.dataplane")

_GONE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
"""Withdrawing what is no longer there is no error."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One virtual address, ready for the kernel."""

    virtual: VirtualAddress
    index: int
    install: bytes
    withdraw: bytes
    frame: bytes | None
    """The announcement; None on interfaces without ARP."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """One netlink message on its way, and whom to tell when the kernel refuses it."""

    port: RouterPort
    address: IPAddress
    installs: bool
    again: bool = False
    """We had installed it before: that it is there already is what we want."""


class LinuxDataplane:
    """Shared by all routers of a daemon: one netlink socket, one frame socket for each interface, one batch a turn."""

    def __init__(self, table: InterfaceTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._writer = AddressWriter()
        self._messages: list[bytes] = []
        self._pending: list[_Pending | None] = []
        self._frames: list[tuple[int, bytes]] = []
        self.installed: set[tuple[str, IPAddress]] = set()
        """(device, address) of everything that any router of this daemon has put somewhere."""
        self._senders: dict[int, FrameSender] = {}
        self._pacers: dict[tuple[int, Family], Pacer] = {}

    def port(self, config: VirtualRouterConfig, on_refused: Callable[[IPAddress, str], None]) -> RouterPort:
        """The dataplane of one router; ``on_refused`` hears of every address that the kernel will not take."""
        return RouterPort(self, self._table, config, on_refused)

    @property
    def deadline(self) -> float | None:
        """When paced announcements are due next; None when none waits."""
        deadlines = [pacer.deadline for pacer in self._pacers.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def flush(self) -> None:
        """Hands the collected batch to the kernel: addresses, then announcements, then whatever was refused."""
        refused: list[tuple[_Pending, int]] = []
        if self._messages:
            messages, self._messages = self._messages, []
            pending, self._pending = self._pending, []
            for error in self._writer.submit(messages):
                entry = pending[error.position]
                if entry is not None and not (entry.again and error.errno == errno.EEXIST):
                    refused.append((entry, error.errno))
        if self._frames:
            frames, self._frames = self._frames, []
            for index, frame in frames:
                self._send_frame(index, frame)
        if self._pacers:
            self._send_paced()
        for entry, code in refused:
            entry.port.refused(entry.address, entry.installs, code)

    def close(self) -> None:
        """Sends what is left and closes every socket."""
        self.flush()
        self._writer.close()
        for sender in self._senders.values():
            sender.close()
        self._senders.clear()

    def open_sender(self, index: int) -> None:
        """Opens what announcements leave by: a takeover must not need a file descriptor that may not be had."""
        if index not in self._senders:
            with suppress(OSError):  # tried again, and told, when there is something to announce
                self._senders[index] = FrameSender(index)

    def forget_interface(self, index: int) -> None:
        """Closes what belongs to an interface that is gone."""
        if sender := self._senders.pop(index, None):
            sender.close()
        for key in [key for key in self._pacers if key[0] == index]:
            del self._pacers[key]

    def queue_message(self, message: bytes, pending: _Pending | None) -> None:
        """Adds one netlink message to the batch."""
        self._messages.append(message)
        self._pending.append(pending)

    def queue_frame(self, prepared: _Prepared, policy: AnnouncementPolicy) -> None:
        """Adds one announcement to the batch, or to the queue of its interface where a pace is configured."""
        if prepared.frame is None:
            return
        address = prepared.virtual.address
        family: Family = 4 if address.version == 4 else 6
        interval = policy.garp_interval if family == 4 else policy.gna_interval
        if interval <= 0:
            self._frames.append((prepared.index, prepared.frame))
            return
        key = (prepared.index, family)
        pacer = self._pacers.get(key)
        if pacer is None:
            pacer = self._pacers[key] = Pacer(interval)
        pacer.add(address, prepared.frame)

    def cancel_frames(self, prepared: _Prepared) -> None:
        """Drops the announcements of an address that are still waiting."""
        if self._frames:
            gone = (prepared.index, prepared.frame)
            self._frames = [entry for entry in self._frames if entry != gone]
        for (index, _), pacer in self._pacers.items():
            if index == prepared.index:
                pacer.cancel(prepared.virtual.address)

    def _send_paced(self) -> None:
        now = self._clock()
        for (index, _), pacer in self._pacers.items():
            while (frame := pacer.take(now)) is not None:
                self._send_frame(index, frame)

    def _send_frame(self, index: int, frame: bytes) -> None:
        sender = self._senders.get(index)
        try:
            if sender is None:
                sender = self._senders[index] = FrameSender(index)
        except OSError as error:
            _log.warning("cannot announce on interface number %d: %s", index, error.strerror)
            return
        if problem := sender.send(frame):
            _log.warning("an announcement on interface number %d was not sent: %s", index, problem.strerror)


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
        self._prepared: dict[IPAddress, _Prepared] = {}
        self._bound_to: tuple[object, ...] = ()
        self._transmitter: Transmitter | None = None
        self._send_error: str | None = None
        self.config = config
        self.installed: set[IPAddress] = set()
        """What this process put on an interface and has to take off again."""
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
            if interface is None:
                continue
            announced = interface.arp and len(interface.mac) == 6
            if announced:
                self._shared.open_sender(interface.index)
            self._prepared[virtual.address] = _Prepared(
                virtual=virtual,
                index=interface.index,
                install=encode_install(virtual, interface.index),
                withdraw=encode_withdraw(virtual, interface.index),
                frame=announcement(interface.mac, virtual.address) if announced else None,
            )
        return frozenset(
            address
            for address, prepared in self._prepared.items()
            if (old := before.get(address)) and old.index == prepared.index and old.frame != prepared.frame
        )

    def use_source(self, source: IPAddress | None) -> str | None:
        """Opens the sending socket for a source address, or closes it for None; the answer is what went wrong."""
        if self._transmitter is not None:
            self._transmitter.close()
            self._transmitter = None
        interface = self._table.interface(self.config.interface)
        if source is None or interface is None:
            return None
        hop_limit = 255 if self.config.multicast_group is not None else self.config.unicast_ttl
        try:
            self._transmitter = Transmitter(interface.name, interface.index, source, hop_limit)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def close(self) -> None:
        """Closes the sending socket."""
        if self._transmitter is not None:
            self._transmitter.close()
            self._transmitter = None

    def lost(self) -> frozenset[IPAddress]:
        """What we installed and is no longer there."""
        return frozenset(
            address
            for address in self.installed
            if (prepared := self._prepared.get(address)) is not None
            and prepared.virtual.tracked
            and not self._table.holds(prepared.virtual.device, address)
        )

    # -- what a runner asks for -----------------------------------------------------------------------------------

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Sends one advertisement; an error is logged once until it changes."""
        if self._transmitter is None:
            return
        error = self._transmitter.send(message, destination)
        text = None if error is None else f"{destination}: {error.strerror}"
        if text != self._send_error:
            self._send_error = text
            if text is not None:
                _log.warning("(%s) an advertisement was not sent to %s", self.config.name, text)

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Adds the addresses to the batch."""
        for address, prepared in self._prepared.items():
            if (only is None or address in only) and address not in self.was_there:
                pending = _Pending(self, address, installs=True, again=address in self.installed)
                self._note(prepared, installed=True)
                self._shared.queue_message(prepared.install, pending)

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
            self._shared.cancel_frames(prepared)
            self._shared.queue_message(prepared.withdraw, _Pending(self, address, installs=False))
        self._restore_neighbours(going)
        if only is None:
            self.was_there.clear()

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Adds ``repeat`` rounds of announcements to the batch."""
        chosen = [prepared for address, prepared in self._prepared.items() if only is None or address in only]
        for _ in range(repeat):
            for prepared in chosen:
                self._shared.queue_frame(prepared, self.config.announcements)

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

    def _note(self, prepared: _Prepared, installed: bool) -> None:
        address, where = prepared.virtual.address, (prepared.virtual.device, prepared.virtual.address)
        if installed:
            self.installed.add(address)
            self._shared.installed.add(where)
        else:
            self.installed.discard(address)
            self._shared.installed.discard(where)

    def _is_ours(self, prepared: _Prepared) -> bool:
        virtual = prepared.virtual
        entries = self._table.entries(virtual.device, virtual.address)
        return any(entry.ours and entry.prefix_length == virtual.prefix_length for entry in entries)

    def _restore_neighbours(self, going: list[_Prepared]) -> None:
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
