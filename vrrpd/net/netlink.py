"""rtnetlink: puts addresses on interfaces and takes them off, and tells what changes about interfaces and addresses.

The only file that knows pyroute2, of which it uses one message class to encode requests, long before they are needed.
The sockets here are plain, non-blocking and synchronous, so that one system call installs all addresses of a takeover.
The kernel handles a request while it is being sent; nothing is ever waited for. Knows no routers.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import re
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from vrrpd.config.model import IPAddress, VirtualAddress
from vrrpd.net import rtnetlink
from vrrpd.net.interfaces import (
    AddressAdded,
    AddressRemoved,
    Interface,
    InterfaceAddress,
    LinkChanged,
    LinkRemoved,
    NetworkEvent,
    Overrun,
)
from vrrpd.net.sockets import enlarge_receive_buffer

_NO_KIND: Final = 0x3FF
"""A kind of request that rtnetlink does not have (RTM_MAX is below 128)."""


def _address_message_class() -> Any:
    """Imports pyroute2's class for address messages without the rest of the library.

    Importing any module of it runs the package's own ``__init__``, which loads everything there is: about 190 ms and
    22 MB against 10 ms and half a megabyte. Until somebody asks the package for more than a submodule, that is put off.
    """
    if "pyroute2" not in sys.modules:
        specification = importlib.util.find_spec("pyroute2")
        if specification is None or specification.loader is None:
            raise ModuleNotFoundError("No module named 'pyroute2'", name="pyroute2")
        package = importlib.util.module_from_spec(specification)
        loader = specification.loader

        def load_rest(name: str) -> Any:
            if importlib.util.find_spec(f"pyroute2.{name}") is not None:
                return importlib.import_module(f"pyroute2.{name}")
            del package.__dict__["__getattr__"]
            loader.exec_module(package)
            return getattr(package, name)

        package.__dict__["__getattr__"] = load_rest
        sys.modules["pyroute2"] = package
    return importlib.import_module("pyroute2.netlink.rtnl.ifaddrmsg").ifaddrmsg


_AddressMessage: Final = _address_message_class()


_GROUP_LINK: Final = 0x001
_GROUP_IPV4_ADDRESS: Final = 0x010
_GROUP_IPV6_ADDRESS: Final = 0x100
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10

_READ_SIZE: Final = 1 << 16
_WRITE_SIZE: Final = 32 << 10
WRITE_COUNT: Final = 128
"""Messages in one write: as many answers fit into the default receive buffer even if all of them fail."""
_MONITOR_BUFFER: Final = 4 << 20
_DUMP_ATTEMPTS: Final = 10
_DRAIN_LIMIT: Final = 100_000


def _kernel_keeps_address_protocol(release: str) -> bool:
    """Tells by a kernel release like ``6.1.0-18-amd64`` whether it has IFA_PROTO (5.18 and later)."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return match is not None and (int(match[1]), int(match[2])) >= (5, 18)


_KEEPS_PROTOCOL: Final = _kernel_keeps_address_protocol(os.uname().release)


def _encode(
    kind: int,
    flags: int,
    index: int,
    address: IPAddress,
    prefix_length: int,
    attributes: Sequence[tuple[str, object]] = (),
    scope: int = 0,
    address_flags: int = 0,
    peer: IPAddress | None = None,
) -> bytes:
    message = _AddressMessage()
    message["header"] = {"type": kind, "flags": flags, "sequence_number": 0, "pid": 0}
    message["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
    message["prefixlen"] = prefix_length
    message["flags"] = address_flags & 0xFF
    message["scope"] = scope
    message["index"] = index
    message["attrs"] = [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(peer or address)), *attributes]
    message.encode()
    return bytes(message.data)


def encode_install(address: VirtualAddress, index: int, *, keeps_protocol: bool = _KEEPS_PROTOCOL) -> bytes:
    """Encodes the request that puts a virtual address, marked as ours, on the interface ``index``.

    Never replaces: where the address is already there with this prefix length the answer is EEXIST and it stays as it
    was, mark or no mark.
    """
    flags = 0
    if address.address.version == 6 and not address.duplicate_address_detection:
        flags |= rtnetlink.NO_DAD
    if address.no_prefix_route:
        flags |= rtnetlink.NO_PREFIX_ROUTE
    attributes: list[tuple[str, object]] = [("IFA_FLAGS", flags), ("IFA_PROTO", rtnetlink.ADDRESS_PROTOCOL)]
    if not keeps_protocol:
        # An older kernel ignores IFA_PROTO; it has kept IFA_RT_PRIORITY since 4.18.
        attributes.append(("IFA_RT_PRIORITY", rtnetlink.ADDRESS_PRIORITY))
    if address.label is not None and address.address.version == 4:
        attributes.append(("IFA_LABEL", address.label))
    if address.broadcast is not None:
        attributes.append(("IFA_BROADCAST", str(address.broadcast)))
    if address.preferred_lifetime is not None:
        attributes.append(_lifetimes(address.preferred_lifetime, None))
    return _encode(
        rtnetlink.NEW_ADDRESS,
        rtnetlink.REQUEST | rtnetlink.CREATE | rtnetlink.EXCLUSIVE,
        index,
        address.address,
        address.prefix_length,
        attributes,
        address.scope,
        flags,
    )


def encode_lifetime(install: bytes, address: VirtualAddress, lifetime: int) -> bytes:
    """Makes of an address's ``encode_install`` the request that has the kernel take it off after ``lifetime`` seconds.

    The kernel would give the route of an IPv6 prefix the lifetime of the address, even where other addresses share it;
    so it is told that the route is none of this address's business.
    """
    preferred = lifetime if address.preferred_lifetime is None else min(lifetime, address.preferred_lifetime)
    flags = None
    if address.address.version == 6:
        flags = rtnetlink.NO_PREFIX_ROUTE | (0 if address.duplicate_address_detection else rtnetlink.NO_DAD)
    return rtnetlink.as_replacement(install, preferred=preferred, valid=lifetime, flags=flags)


def encode_keep(install: bytes, address: VirtualAddress) -> bytes:
    """Makes of an address's ``encode_install`` the request that undoes ``encode_lifetime``, and never fails on it."""
    preferred = rtnetlink.FOREVER if address.preferred_lifetime is None else address.preferred_lifetime
    return rtnetlink.as_replacement(install, preferred=preferred)


def encode_invalid(address: VirtualAddress, index: int) -> bytes:
    """Encodes a request like that of ``encode_install`` that the kernel refuses, before it locks anything.

    Its address would live for 0 s. Kernels that look at that only under the lock for all of the network's configuration
    (before 6.14) get a request of a kind that there is none of.
    """
    return _encode(
        rtnetlink.NEW_ADDRESS if _kernel_release() >= (6, 14) else _NO_KIND,
        rtnetlink.REQUEST | rtnetlink.CREATE | rtnetlink.EXCLUSIVE,
        index,
        address.address,
        address.prefix_length,
        [("IFA_FLAGS", 0), _lifetimes(0, 0)],
        address.scope,
    )


def _kernel_release() -> tuple[int, ...]:
    """The first two numbers of the kernel's release; none where they cannot be read."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return () if found is None else tuple(map(int, found.groups()))


def encode_withdraw(address: VirtualAddress, index: int) -> bytes:
    """Encodes the request that takes a virtual address off the interface ``index``.

    EADDRNOTAVAIL says that it was gone already (or has another prefix length). See ``lost_with`` for what goes with it.
    """
    return _encode(rtnetlink.DELETE_ADDRESS, rtnetlink.REQUEST, index, address.address, address.prefix_length)


def encode_remove(entry: InterfaceAddress) -> bytes:
    """Encodes the request that takes off an address that is not configured (any more): a leftover of ours."""
    return _encode(
        rtnetlink.DELETE_ADDRESS, rtnetlink.REQUEST, entry.index, entry.address, entry.prefix_length, peer=entry.peer
    )


def encode_restore(entry: InterfaceAddress) -> bytes:
    """Encodes the request that puts back an address of the node that went with one of ours; EEXIST says it stayed.

    Lifetimes start again from what was left when the kernel last described the address.
    """
    flags = rtnetlink.NO_PREFIX_ROUTE if entry.no_prefix_route else 0
    attributes: list[tuple[str, object]] = [("IFA_FLAGS", flags)]
    if entry.protocol:
        attributes.append(("IFA_PROTO", entry.protocol))
    if entry.label is not None:
        attributes.append(("IFA_LABEL", entry.label))
    if entry.broadcast is not None:
        attributes.append(("IFA_BROADCAST", str(entry.broadcast)))
    if entry.valid_lifetime is not None or entry.preferred_lifetime is not None:
        attributes.append(_lifetimes(entry.preferred_lifetime, entry.valid_lifetime))
    return _encode(
        rtnetlink.NEW_ADDRESS,
        rtnetlink.REQUEST | rtnetlink.CREATE | rtnetlink.EXCLUSIVE,
        entry.index,
        entry.address,
        entry.prefix_length,
        attributes,
        entry.scope,
        flags,
        entry.peer,
    )


def _lifetimes(preferred: int | None, valid: int | None) -> tuple[str, object]:
    return (
        "IFA_CACHEINFO",
        {
            "ifa_preferred": rtnetlink.FOREVER if preferred is None else preferred,
            "ifa_valid": rtnetlink.FOREVER if valid is None else valid,
            "cstamp": 0,
            "tstamp": 0,
        },
    )


@dataclass(frozen=True, slots=True)
class AddressError:
    """The kernel's refusal of one of the messages of a batch."""

    position: int
    """Of the message in the batch, from 0."""
    errno: int
    """EEXIST: the address is already there. EADDRNOTAVAIL: it is gone already. ENODEV: the interface is gone.
    EPERM: no CAP_NET_ADMIN. EACCES: IPv6 is disabled on the interface. ENOBUFS: the answer was lost."""

    def __str__(self) -> str:
        return os.strerror(self.errno)


@dataclass(slots=True)
class AddressRequests:
    """Requests that are ready to be written together, once."""

    data: bytearray
    first: int
    """The sequence number of the first; the others follow."""
    count: int


class AddressWriter:
    """Sends batches of address requests; belongs to the network namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = _open(groups=0)
        self._sequence = 0
        with suppress(OSError):  # Answers without the request in them: smaller, and not needed.
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)

    def submit(self, messages: Sequence[bytes]) -> list[AddressError]:
        """Has the kernel carry out the requests, in order, and returns those that it refused.

        Returns when all is done. A refused request does not stop the ones behind it. Never raises.
        """
        errors: list[AddressError] = []
        start = 0
        while start < len(messages):
            end, size = start, 0
            while end < len(messages) and end - start < WRITE_COUNT and size + len(messages[end]) <= _WRITE_SIZE:
                size += len(messages[end])
                end += 1
            end = max(end, start + 1)
            for error in self.carry_out(self.lay_out(messages[start:end])):
                errors.append(AddressError(start + error.position, error.errno))
            start = end
        return errors

    def lay_out(self, messages: Sequence[bytes]) -> AddressRequests:
        """Makes one write of requests, ``WRITE_COUNT`` at most, for ``carry_out`` to send."""
        first, count = self._sequence, len(messages)
        self._sequence = (first + count) & 0x7FFFFFFF
        data = bytearray().join(messages)
        offset = rtnetlink.SEQUENCE_OFFSET
        for position, message in enumerate(messages):
            struct.pack_into("=I", data, offset, first + position)
            offset += len(message)
        return AddressRequests(data, first, count)

    def carry_out(self, requests: AddressRequests) -> list[AddressError]:
        """Has the kernel carry out what was laid out, as ``submit`` does."""
        try:
            self._socket.send(requests.data)
        except OSError as error:
            return [AddressError(position, error.errno or errno.EIO) for position in range(requests.count)]
        errors: dict[int, int] = {}
        answers_lost = False
        for _ in range(2 * requests.count + 1):
            try:
                answer = self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                break
            except OSError:
                answers_lost = True
                continue
            for message in rtnetlink.split(answer):
                position = message.sequence - requests.first
                if message.kind == rtnetlink.ERROR and 0 <= position < requests.count:
                    code = rtnetlink.error_of(message.data)
                    if code:
                        errors[position] = code
        if answers_lost:
            # Nobody knows which of them were refused: none may count as done.
            errors = {position: errors.get(position, errno.ENOBUFS) for position in range(requests.count)}
        return [AddressError(position, code) for position, code in sorted(errors.items())]

    def close(self) -> None:
        """Closes the socket; again is harmless."""
        self._socket.close()


def _open(groups: int) -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    try:
        sock.bind((0, groups))
    except BaseException:
        sock.close()
        raise
    return sock


class InterfaceMonitor:
    """Tells what changes about the watched interfaces and their addresses in the namespace in which it was opened.

    ``snapshot`` first, then ``receive`` whenever ``fileno()`` is readable. The subscription begins with the monitor, so
    nothing that happens after the snapshot is missed.
    """

    def __init__(self, watched: frozenset[str] | None = None) -> None:
        self._socket = _open(_GROUP_LINK | _GROUP_IPV4_ADDRESS | _GROUP_IPV6_ADDRESS)
        self._watched = watched
        self._names: dict[int, str] = {}
        """The watched interfaces that exist."""
        self.exhausted = True
        """The last ``receive`` (or ``snapshot``) took all that the kernel had to tell."""
        self._sequence = 0
        try:
            enlarge_receive_buffer(self._socket, _MONITOR_BUFFER)
            self._requests = _open(groups=0)
        except BaseException:
            self._socket.close()
            raise

    def watch(self, names: frozenset[str] | None) -> None:
        """Tells only of interfaces with these names from now on (None: of all); ask for a ``snapshot`` next.

        Interfaces need not exist. What is said about others is skipped before it is decoded.
        """
        self._watched = names

    def receive(self, limit: int = 256) -> list[NetworkEvent]:
        """Reads what the kernel has told, at most ``limit`` messages; empty when there is nothing of interest.

        ``Overrun`` comes last: the kernel dropped messages, and only ``snapshot`` can say what is true now. An
        interface renamed to a name that is not watched is reported as removed, one renamed to a watched name appears
        with the addresses it has.
        """
        events: list[NetworkEvent] = []
        self.exhausted = False
        for _ in range(limit):
            try:
                data, (port, _) = self._socket.recvfrom(_READ_SIZE)
            except BlockingIOError:
                self.exhausted = True
                break
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    raise
                events.append(Overrun())
                break
            if port != 0:
                continue  # Not from the kernel.
            for message in rtnetlink.split(data):
                known = len(self._names)
                event = self._event(message.kind, message.data)
                if event is not None:
                    events.append(event)
                if len(self._names) > known and self._watched is not None:
                    events += self._addresses_so_far(rtnetlink.interface_index(message.data))
            if events and isinstance(events[-1], Overrun):
                break
        return events

    def _addresses_so_far(self, index: int) -> list[NetworkEvent]:
        """Reads the addresses of an interface that is new here but may have got them under a name nobody watched."""
        try:
            return [AddressAdded(address) for address in self._read_addresses() if address.index == index]
        except OSError:
            return [Overrun()]

    def _event(self, kind: int, message: bytes) -> NetworkEvent | None:
        if kind in (rtnetlink.NEW_ADDRESS, rtnetlink.DELETE_ADDRESS):
            if rtnetlink.interface_index(message) not in self._names:
                return None
            address = rtnetlink.decode_address(message)
            if address is None:
                return None
            return AddressAdded(address) if kind == rtnetlink.NEW_ADDRESS else AddressRemoved(address)
        if kind not in (rtnetlink.NEW_LINK, rtnetlink.DELETE_LINK) or rtnetlink.is_bridge_port(message):
            return None
        index = rtnetlink.interface_index(message)
        if kind == rtnetlink.DELETE_LINK:
            known = self._names.pop(index, None)
            return None if known is None else LinkRemoved(index, known)
        interface = self._watched_interface(message)
        if interface is not None:
            self._names[index] = interface.name
            return LinkChanged(interface)
        if index in self._names and rtnetlink.link_name(message) is not None:
            return LinkRemoved(index, self._names.pop(index))
        return None

    def _watched_interface(self, message: bytes) -> Interface | None:
        if self._watched is not None:
            name = rtnetlink.link_name(message)
            if name is not None and name not in self._watched:
                return None
        interface = rtnetlink.decode_interface(message)
        if interface is None or (self._watched is not None and interface.name not in self._watched):
            return None
        return interface

    def snapshot(self) -> tuple[list[Interface], list[InterfaceAddress]]:
        """Reads the watched interfaces and their addresses as they are now, and drops what was not yet received.

        Raises ``OSError`` when the kernel gives no consistent answer (EAGAIN: too much keeps changing). Then ask again
        soon: what had not been received is dropped all the same.
        """
        for _ in range(_DRAIN_LIMIT):
            # Events from before the snapshot would undo it step by step. A full buffer takes nothing until it is empty.
            try:
                self._socket.recv(1)
            except BlockingIOError:
                break
            except OSError:
                continue
        interfaces = []
        for message in self._dump(rtnetlink.GET_LINK, rtnetlink.NEW_LINK):
            interface = self._watched_interface(message)
            if interface is not None:
                interfaces.append(interface)
        self._names = {interface.index: interface.name for interface in interfaces}
        self.exhausted = True
        return interfaces, self._read_addresses()

    def _read_addresses(self) -> list[InterfaceAddress]:
        addresses = []
        for message in self._dump(rtnetlink.GET_ADDRESS, rtnetlink.NEW_ADDRESS):
            if rtnetlink.interface_index(message) in self._names:
                address = rtnetlink.decode_address(message)
                if address is not None:
                    addresses.append(address)
        return addresses

    def _dump(self, request: int, answer: int) -> list[bytes]:
        """Asks for all objects of a kind; again when they changed under the kernel's hands (NLM_F_DUMP_INTR)."""
        for _ in range(_DUMP_ATTEMPTS):
            messages = self._dump_once(request, answer)
            if messages is not None:
                return messages
        raise OSError(errno.EAGAIN, f"interfaces changed during {_DUMP_ATTEMPTS} attempts to read them")

    def _dump_once(self, request: int, answer: int) -> list[bytes] | None:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        body = bytes(16)  # Family 0: all. Long enough for both kinds of request.
        self._requests.send(
            rtnetlink.HEADER.pack(
                rtnetlink.HEADER.size + len(body), request, rtnetlink.REQUEST | rtnetlink.DUMP, self._sequence, 0
            )
            + body
        )
        messages: list[bytes] = []
        whole = True
        while True:
            # Never empty before the end: the kernel prepares the next part while it hands out this one.
            for message in rtnetlink.split(self._requests.recv(_READ_SIZE)):
                if message.sequence != self._sequence:
                    continue
                whole = whole and not message.flags & rtnetlink.DUMP_INTERRUPTED
                if message.kind == answer:
                    messages.append(message.data)
                elif message.kind == rtnetlink.DONE:
                    return messages if whole else None
                elif message.kind == rtnetlink.ERROR:
                    code = rtnetlink.error_of(message.data)
                    raise OSError(code, f"reading interfaces: {os.strerror(code)}")

    def fileno(self) -> int:
        """The descriptor to wait on for events."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the sockets; again is harmless."""
        self._socket.close()
        self._requests.close()
