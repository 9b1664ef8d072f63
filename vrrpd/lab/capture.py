"""Everything that crosses a bridge, each frame with the kernel's time of arrival.

A bridge device in promiscuous mode gets a copy of each frame that the bridge forwards, once, whatever the number of
ports, and none from a port that is cut off: what is captured is what the others could hear. See packet(7).

Nobody waits for a frame: the kernel keeps them, with their times, until somebody asks or a while has passed. A reader
that each frame wakes would take the processor from the very sender whose next frame is being timed.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from vrrpd.lab.errors import LabError
from vrrpd.lab.frames import (
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMPV6,
    IPPROTO_VRRP,
    Advertisement,
    Arp,
    Frame,
    IPAddress,
    NeighbourAdvertisement,
    parse,
)
from vrrpd.lab.namespace import Namespace
from vrrpd.lab.waiting import wait_until

ETH_P_ALL: Final = 3
SOL_PACKET: Final = 263
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_STATISTICS: Final = 6
PACKET_MR_PROMISC: Final = 1
SO_TIMESTAMPNS: Final = 35
SO_ATTACH_FILTER: Final = 26
SO_RCVBUFFORCE: Final = 33
RECEIVE_BUFFER: Final = 16 * 1024 * 1024
"""Bytes asked for; a machine without the right to them gives less."""
READ_INTERVAL: Final = 0.1
"""Seconds after which frames are taken from the kernel when nobody asks for them."""
HASTY_READ_INTERVAL: Final = 0.02
"""The same where the receive buffer has room for some hundred only."""
FRAMES_PER_READ: Final = 32
READ_PAUSE: Final = 0.0005
"""Seconds that the hosts get after so many: all in one go is a millisecond for which a sender may have to wait."""

_LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_ALL: Final = 0xFFFF


def _control_filter() -> list[tuple[int, int, int, int]]:
    """A classic BPF program that lets ARP, VRRP and ICMPv6 pass: (code, jump if true, jump if false, k)."""
    return [
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 7, 0, ETH_P_ARP),
        (_JUMP_EQUAL, 0, 2, ETH_P_IP),
        (_LOAD_BYTE, 0, 0, 14 + 9),
        (_JUMP_EQUAL, 4, 5, IPPROTO_VRRP),
        (_JUMP_EQUAL, 0, 4, ETH_P_IPV6),
        (_LOAD_BYTE, 0, 0, 14 + 6),
        (_JUMP_EQUAL, 1, 0, IPPROTO_VRRP),
        (_JUMP_EQUAL, 0, 1, IPPROTO_ICMPV6),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, 0),
    ]


class Capture:
    """Frames of one bridge from the moment this object exists until it is closed; a context manager.

    Without ``everything`` the kernel passes only ARP, VRRP and ICMPv6, so that other traffic costs nothing.
    """

    def __init__(self, namespace: Namespace, bridge: str, everything: bool = False) -> None:
        self._socket: Final = namespace.call(lambda: _open(bridge, everything))
        granted = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= RECEIVE_BUFFER
        self._read_interval: Final = READ_INTERVAL if granted else HASTY_READ_INTERVAL
        # What is read is parsed when somebody asks for it: a burst shall not cost the hosts their processor.
        self._unparsed: Final[list[tuple[int, bytes]]] = []
        self._frames: Final[list[Frame]] = []
        self._lock: Final = threading.Lock()
        """Held by whoever reads, parses or forgets."""
        self._dropped = 0
        self._failure: Exception | None = None
        self._closed: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._read, name=f"capture {bridge}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; what was captured stays. May be called twice."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            with self._lock:
                self._drain()
                self._count_drops()
                self._socket.close()

    def _read(self) -> None:
        try:
            while not self._closed.wait(self._read_interval):
                while self._read_some_alone() and not self._closed.wait(READ_PAUSE):
                    pass
        except Exception as failure:
            self._failure = failure

    def _read_some_alone(self) -> bool:
        with self._lock:
            return self._read_some()

    def _drain(self) -> None:
        while self._read_some():
            pass

    def _read_some(self) -> bool:
        """False when there are no more."""
        for _ in range(FRAMES_PER_READ):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return False
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("@ll", value)
                    self._unparsed.append((seconds * 1_000_000_000 + nanoseconds, data))
        return True

    def _count_drops(self) -> None:
        # Reading the statistics resets them.
        _, dropped = struct.unpack("@II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._dropped += dropped

    @property
    def dropped(self) -> int:
        """Frames that the kernel had to drop because nobody read them in time."""
        with self._lock:
            if not self._closed.is_set():
                self._count_drops()
            return self._dropped

    @property
    def frames(self) -> list[Frame]:
        """Everything so far, in order of arrival; LabError when something is missing in it."""
        if self._failure is not None:
            raise LabError(f"the capture broke off: {self._failure}") from self._failure
        if dropped := self.dropped:
            raise LabError(f"the capture lost {dropped} frames: this machine is too busy")
        with self._lock:
            if not self._closed.is_set():
                self._drain()
            self._frames.extend(Frame(time_ns, data, parse(data)) for time_ns, data in self._unparsed)
            self._unparsed.clear()
            return list(self._frames)

    def clear(self) -> None:
        """Forget what was captured so far."""
        with self._lock:
            if not self._closed.is_set():
                self._drain()
            self._unparsed.clear()
            self._frames.clear()

    def wait_for(self, predicate: Callable[[Frame], bool], timeout: float = 5.0, what: str = "a frame") -> Frame:
        """Wait for the first frame, from the beginning of the capture, for which ``predicate`` is true."""
        return wait_until(lambda: next(filter(predicate, self.frames), None), timeout, f"{what} on the wire")

    def advertisements(
        self, vrid: int | None = None, source: str | IPAddress | None = None, since_ns: int = 0
    ) -> list[tuple[Frame, Advertisement]]:
        """The VRRP packets so far, of one virtual router or one sender or from a time (``time.time_ns()``) if given."""
        return list(self._advertisements(vrid, source, since_ns))

    def _advertisements(
        self, vrid: int | None, source: str | IPAddress | None, since_ns: int
    ) -> Iterator[tuple[Frame, Advertisement]]:
        for frame in self.frames:
            match frame.content:
                case Advertisement() as seen if (
                    vrid in (None, seen.vrid) and _same(source, seen.source) and frame.time_ns >= since_ns
                ):
                    yield frame, seen

    def announcements(self, address: str | IPAddress | None = None) -> list[tuple[Frame, Arp | NeighbourAdvertisement]]:
        """The gratuitous ARPs and unsolicited neighbour advertisements so far, of one address if given."""
        found: list[tuple[Frame, Arp | NeighbourAdvertisement]] = []
        for frame in self.frames:
            match frame.content:
                case Arp() as seen if seen.is_gratuitous and _same(address, seen.sender):
                    found.append((frame, seen))
                case NeighbourAdvertisement() as seen if not seen.solicited and _same(address, seen.target):
                    found.append((frame, seen))
        return found

    def wait_for_advertisement(
        self,
        vrid: int | None = None,
        source: str | IPAddress | None = None,
        priority: int | None = None,
        since_ns: int = 0,
        timeout: float = 5.0,
    ) -> tuple[Frame, Advertisement]:
        """Wait for the first VRRP packet that fits."""

        def look() -> tuple[Frame, Advertisement] | None:
            fitting = (
                pair for pair in self._advertisements(vrid, source, since_ns) if priority in (None, pair[1].priority)
            )
            return next(fitting, None)

        wanted = {"vrid": vrid, "source": source, "priority": priority}
        details = " ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
        return wait_until(look, timeout, f"an advertisement ({details or 'any'}) on the wire")


def _same(wanted: str | IPAddress | None, seen: IPAddress) -> bool:
    return wanted is None or str(wanted) == str(seen)


def _open(bridge: str, everything: bool) -> socket.socket:
    # Protocol 0 hears nothing: the filter must be there before the first frame is.
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if not everything:
            _attach_filter(opened, _control_filter())
        membership = struct.pack("@iHH8s", socket.if_nametoindex(bridge), PACKET_MR_PROMISC, 0, b"")
        opened.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        opened.bind((bridge, ETH_P_ALL))
    except BaseException:
        opened.close()
        raise
    return opened


def _attach_filter(opened: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("@HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
