"""The kernel's side of one virtual router: advertisements out, addresses on and off, announcements.

Everything that a takeover needs is built before it is needed: netlink messages, advertisements and frames are ready as
bytes, so that MASTER is three system calls, which routers that act together share (``net.dataplane``).

Only what this process installed is withdrawn: an address that was there before is left alone.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from vrrpd.config.model import VirtualAddress, VirtualRouterConfig
from vrrpd.net.batch import Pending, PreparedAddress
from vrrpd.net.interfaces import InterfaceTable, lost_with
from vrrpd.net.netlink import encode_keep, encode_lifetime, encode_restore
from vrrpd.net.outgoing import OutgoingMessage, SendError
from vrrpd.net.sockets import Transmitter
from vrrpd.protocol.datagram import IPAddress

if TYPE_CHECKING:
    from vrrpd.net.dataplane import LinuxDataplane, TransmitterKey

_log = logging.getLogger("vrrpd.dataplane")

OUTGOING_KEPT: Final = 1024
"""Ready advertisements kept for each router: its peers times the few priorities that it alternates between."""

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
        self._transmitter_key: TransmitterKey | None = None
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
