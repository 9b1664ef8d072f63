"""A lab: hosts and bridges as network namespaces, wires between them, programs on the hosts.

Every host and every bridge has a namespace of its own, so nothing touches the caller's network. The lab cleans up at
the end of its ``with`` block, also after an exception; a guardian process does it when the lab itself is killed.
"""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeVar

from vrrpd.lab import guardian
from vrrpd.lab.capture import ETH_P_ALL, Capture
from vrrpd.lab.errors import LabError
from vrrpd.lab.frames import ETH_P_IP, ETH_P_IPV6, IPAddress
from vrrpd.lab.namespace import MS_BIND, Namespace, in_a_thread, mount, own_mounts_with_private_run, setns
from vrrpd.lab.netlink import Netlink, TunnelKind
from vrrpd.lab.privileges import ensure_privileges
from vrrpd.lab.process import Process
from vrrpd.lab.waiting import wait_until

T = TypeVar("T")

LINK_NAME_LENGTH: Final = 15
NAMES: Final = Path("/run/netns")
"""Where public names of namespaces are looked for (``ip netns``, ``vrrpd run --netns``)."""


@dataclass(slots=True)
class Wire:
    """A veth pair between a host's interface and a bridge's port."""

    interface: str
    bridge: Bridge
    port: str


class Lab:
    """A set of hosts and bridges; a context manager that leaves nothing behind.

    Calls ``ensure_privileges()``: LabUnavailable is raised where no lab can be built.
    """

    def __init__(self) -> None:
        ensure_privileges()
        self._ends: Final = ExitStack()
        self._namespaces: Final[list[Namespace]] = []
        self.hosts: Final[dict[str, Host]] = {}
        self.bridges: Final[dict[str, Bridge]] = {}
        # -I and -S: it needs neither environment nor packages and starts faster without them.
        self._guardian: Final = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self._ends.callback(self._dismiss_guardian)
        self._netlink_thread: Final = concurrent.futures.ThreadPoolExecutor(1, "lab netlink")
        self._ends.callback(self._netlink_thread.shutdown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what runs on the hosts and let go of everything. May be called twice."""
        self._ends.close()

    def host(self, name: str, public_name: str | None = None, dad: bool = False) -> Host:
        """Add a host.

        ``public_name`` makes its namespace visible under /run/netns for as long as the lab lives. Without ``dad`` the
        host probes for no duplicates of its IPv6 addresses, which makes them, the link-local one too, usable at once.
        """
        if name in self.hosts:
            raise LabError(f"there is a host {name!r} already")
        host = Host(name, *self._namespace(name), self._ends, dad)
        if public_name is not None:
            self._publish(host, public_name)
        self.hosts[name] = host
        return host

    def bridge(self, name: str) -> Bridge:
        """Add a bridge: a switch of its own, which forwards at once."""
        if name in self.bridges:
            raise LabError(f"there is a bridge {name!r} already")
        bridge = Bridge(name, *self._namespace(name), self._ends)
        self.bridges[name] = bridge
        return bridge

    def _namespace(self, name: str) -> tuple[Namespace, Netlink]:
        namespace = Namespace()
        self._namespaces.append(namespace)
        self._ends.callback(namespace.close)
        device, inode = namespace.identity
        self._tell_guardian(f"namespace {device} {inode}")
        netlink = Netlink(name, namespace, self._netlink_thread)
        self._ends.callback(netlink.close)
        # Runs before the namespace is let go of, and again for each: whatever hides in one of them dies.
        self._ends.callback(self._kill_processes, name, namespace)
        netlink.set_link("lo", up=True)
        return namespace, netlink

    def _kill_processes(self, name: str, namespace: Namespace) -> None:
        if survivors := guardian.kill_processes_in({namespace.identity}):
            raise LabError(f"{name}: processes {survivors} outlive SIGKILL")

    def _publish(self, host: Host, name: str) -> None:
        path = NAMES / name
        if "/" in name or name.startswith(".") or len(str(path).split()) != 1:
            raise LabError(f"{host.name}: public name is {name!r}, expected a plain file name")
        NAMES.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            path.touch(mode=0o444, exist_ok=False)
        except FileExistsError:
            raise LabError(f"{host.name}: {path} exists: another namespace has that name") from None
        self._tell_guardian(f"name {path}")
        self._ends.callback(guardian.remove_name, str(path))
        mount(f"/proc/self/fd/{host.namespace.descriptor}", str(path), "none", MS_BIND)

    def _tell_guardian(self, line: str) -> None:
        pipe = self._guardian.stdin
        assert pipe is not None
        try:
            pipe.write(f"{line}\n".encode())
            pipe.flush()
        except BrokenPipeError:
            raise LabError(f"the lab's guardian process has ended ({self._guardian.poll()})") from None

    def _dismiss_guardian(self) -> None:
        try:
            self._tell_guardian("done")
        finally:
            self._guardian.communicate(timeout=5)


class Bridge:
    """A switch without spanning tree and without multicast snooping; hosts connect to it."""

    def __init__(self, name: str, namespace: Namespace, netlink: Netlink, ends: ExitStack) -> None:
        if not 0 < len(name) <= LINK_NAME_LENGTH:
            raise LabError(f"bridge name is {name!r}, expected 1 to {LINK_NAME_LENGTH} characters")
        self.name: Final = name
        self.namespace: Final = namespace
        self._netlink: Final = netlink
        self._ends: Final = ends
        self._hosts: Final[list[Host]] = []
        # The switch itself takes no part: else its own router solicitations and reports would be on the wire.
        if _has_ipv6():
            namespace.call(lambda: _write_sysctl("net.ipv6.conf.default.disable_ipv6", 1))
        # Where a machine filters bridged packets, the bridge drops those with a wrong header checksum: a wire does not.
        for setting in ("arptables", "ip6tables", "iptables"):
            if Path(f"/proc/sys/net/bridge/bridge-nf-call-{setting}").exists():
                namespace.call(partial(_write_sysctl, f"net.bridge.bridge-nf-call-{setting}", 0))
        netlink.add_bridge(name)

    def __repr__(self) -> str:
        return f"<Bridge {self.name}>"

    def _attach(self, host: Host, interface: str, mac: str | None) -> str:
        port = f"{host.name}.{interface}"
        if len(port) > LINK_NAME_LENGTH:
            port = f"port{len(self._netlink.links())}"
        self._netlink.add_veth(port, interface, host.namespace, mac)
        self._netlink.set_master(port, self.name)
        self._netlink.set_link(port, up=True)
        if host not in self._hosts:
            self._hosts.append(host)
        return port

    def _ports(self, host: Host) -> Iterator[str]:
        ports = [wire.port for wire in host.wires if wire.bridge is self]
        if not ports:
            raise LabError(f"{host.name} is not connected to {self.name}")
        yield from ports

    def unplug(self, host: Host) -> None:
        """Pull the host's cable out: it loses its carrier."""
        for port in self._ports(host):
            self._netlink.set_link(port, up=False)

    def plug(self, host: Host) -> None:
        """Put the host's cable back in."""
        for port in self._ports(host):
            self._netlink.set_link(port, up=True)

    def cut(self, host: Host) -> None:
        """Lose every frame from and to the host, which keeps its carrier: as if it, or a switch between, had died."""
        for port in self._ports(host):
            self._netlink.set_master(port, None)

    def mend(self, host: Host) -> None:
        """Undo ``cut``."""
        for port in self._ports(host):
            self._netlink.set_master(port, self.name)

    def capture(self, everything: bool = False) -> Capture:
        """Start to record what crosses the bridge: ARP, VRRP and ICMPv6, or everything. It ends with the lab."""
        capture = Capture(self.namespace, self.name, everything)
        self._ends.callback(capture.close)
        return capture

    def inject(self, frame: bytes) -> None:
        """Send an Ethernet frame to the hosts as if another host had sent it."""
        self.namespace.call(lambda: _send_frame(self.name, frame))


class Host:
    """A machine of the lab: interfaces, addresses and programs in a network namespace."""

    def __init__(self, name: str, namespace: Namespace, netlink: Netlink, ends: ExitStack, dad: bool) -> None:
        self.name: Final = name
        self.namespace: Final = namespace
        self.wires: Final[list[Wire]] = []
        self.processes: Final[list[Process]] = []
        self._netlink: Final = netlink
        self._ends: Final = ends
        self._dad: Final = dad
        if not dad and _has_ipv6():
            # Both: the kernel takes the greater of "all" and the link's own, which a new link has from "default".
            self.sysctl("net.ipv6.conf.all.accept_dad", 0)
            self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    def connect(self, bridge: Bridge, interface: str, *addresses: str, mac: str | None = None) -> None:
        """Run a cable to a bridge and give the new interface addresses (``192.0.2.1/24``, ``2001:db8::1/64``).

        On return it is up, and, unless the host does duplicate address detection, its link-local address is usable.
        """
        parsed = [ip_interface(address) for address in addresses]
        port = bridge._attach(self, interface, mac)
        self.wires.append(Wire(interface, bridge, port))
        self._netlink.set_link(interface, up=True)
        for address in parsed:
            self._netlink.add_address(interface, address, self._dad)
        if not self._dad and _has_ipv6():
            wait_until(
                lambda: self._has_usable_link_local(interface),
                timeout=5.0,
                what=f"a usable link-local address on {self.name}'s {interface}",
            )

    def _has_usable_link_local(self, interface: str) -> bool:
        return any(
            assigned.interface.version == 6 and assigned.interface.is_link_local and not assigned.tentative
            for assigned in self._netlink.addresses(interface)
        )

    def add_tunnel(
        self, interface: str, kind: TunnelKind, local: str, remote: str, *addresses: str, mac: str | None = None
    ) -> None:
        """Make this end of a tunnel between two IPv4 addresses and give it addresses; on return it is up.

        The host need not have ``local`` yet: without it the tunnel carries nothing. ``mac`` is for VXLAN alone, the
        other kind has none. Raises NotSupported where the kernel lacks the kind.
        """
        parsed = [ip_interface(address) for address in addresses]
        self._netlink.add_tunnel(interface, kind, local, remote, mac)
        for address in parsed:
            self._netlink.add_address(interface, address, self._dad)
        self._netlink.set_link(interface, up=True)

    # Interfaces and addresses

    def interfaces(self) -> list[str]:
        """The names of all interfaces, ``lo`` too."""
        return self._netlink.links()

    def mac(self, interface: str = "eth0") -> str:
        """An interface's hardware address."""
        return self._netlink.mac(interface)

    def set_mac(self, interface: str, mac: str) -> None:
        """Change an interface's hardware address."""
        self._netlink.set_mac(interface, mac)

    def set_link(self, interface: str, up: bool) -> None:
        """Bring an interface up or down, as an administrator would."""
        self._netlink.set_link(interface, up)

    def has_carrier(self, interface: str = "eth0") -> bool:
        """Whether the interface is up and something is at the other end of the cable."""
        return self._netlink.has_carrier(interface)

    def rename(self, interface: str, name: str) -> None:
        """Rename an interface."""
        self._netlink.rename(interface, name)
        for wire in self.wires:
            if wire.interface == interface:
                wire.interface = name

    def delete_link(self, interface: str) -> None:
        """Delete an interface with its cable; ``connect`` makes a new one, with a new index."""
        self._netlink.delete(interface)
        self.wires[:] = [wire for wire in self.wires if wire.interface != interface]

    def addresses(self, interface: str = "eth0") -> list[tuple[str, int]]:
        """The addresses of an interface, each with its prefix length, in the kernel's order."""
        return [
            (str(assigned.interface.ip), assigned.interface.network.prefixlen)
            for assigned in self._netlink.addresses(interface)
        ]

    def has_address(self, address: str | IPAddress, interface: str = "eth0") -> bool:
        """Whether an interface has an address, whatever its prefix."""
        wanted = ip_address(address)
        return any(assigned.interface.ip == wanted for assigned in self._netlink.addresses(interface))

    def link_local(self, interface: str = "eth0") -> IPv6Address:
        """The interface's IPv6 link-local address."""
        for assigned in self._netlink.addresses(interface):
            if isinstance(assigned.interface.ip, IPv6Address) and assigned.interface.is_link_local:
                return assigned.interface.ip
        raise LabError(f"{self.name}: {interface} has no IPv6 link-local address")

    def add_address(self, interface: str, address: str) -> None:
        """Put an address (``192.0.2.1/24``) on an interface."""
        self._netlink.add_address(interface, ip_interface(address), self._dad)

    def remove_address(self, interface: str, address: str) -> None:
        """Take an address (``192.0.2.1/24``) off an interface."""
        self._netlink.remove_address(interface, ip_interface(address))

    def add_route(self, destination: str, gateway: str) -> None:
        """Route a network, or ``default``, through a gateway."""
        self._netlink.add_route(destination, gateway)

    def sysctl(self, name: str, value: int | str) -> None:
        """Change a setting of the host's network stack, by its dotted name."""
        self.namespace.call(lambda: _write_sysctl(name, value))

    # Programs

    def start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        log: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        private_run: bool = False,
    ) -> Process:
        """Start a program on the host; it is killed at the latest when the lab ends.

        Its output goes to ``log`` or to a nameless file. ``env`` replaces the environment. With ``private_run`` the
        program has an empty /run of its own, as on a machine of its own.
        """

        def popen(output: IO[bytes]) -> subprocess.Popen[bytes]:
            # A session of its own: Ctrl-C on the terminal is for the lab, which ends its programs in its own order.
            return subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def launch(output: IO[bytes]) -> subprocess.Popen[bytes]:
            def inside() -> subprocess.Popen[bytes]:
                setns(self.namespace.descriptor)
                if private_run:
                    own_mounts_with_private_run()
                return popen(output)

            return in_a_thread(inside)

        process = Process(f"{self.name}:{name or Path(argv[0]).name}", launch, log)
        self.processes.append(process)
        self._ends.callback(process.close)
        return process

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        timeout: float = 30.0,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the host to its end and return its exit code and output.

        Raises LabError with its output when it fails (unless ``check`` is off) or takes more than ``timeout`` seconds.
        """

        def complete() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
            )

        shown = " ".join(map(str, argv))
        try:
            done = self.namespace.call(complete)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: {shown}: still runs after {timeout:g} s") from None
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {shown}: exit code {done.returncode}, expected 0: {done.stdout}{done.stderr}")
        return done

    def inside(self) -> AbstractContextManager[None]:
        """Move the calling thread into the host's namespace for the block; sockets made there stay there.

        Neither ``await`` nor ``yield`` belongs in the block.
        """
        return self.namespace.inside()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the host, in a thread of its own, and return what it returns."""
        return self.namespace.call(function)

    def reset(self) -> None:
        """Pull the power: every program on the host is killed at once, without a word."""
        for process in self.processes:
            process.signal(signal.SIGKILL)
        if survivors := guardian.kill_processes_in({self.namespace.identity}):
            raise LabError(f"{self.name}: processes {survivors} outlive SIGKILL")

    # Packets

    def send_frame(self, frame: bytes, interface: str = "eth0") -> None:
        """Send an Ethernet frame out of an interface, byte for byte."""
        self.call(lambda: _send_frame(interface, frame))

    def send_packet(self, packet: bytes, interface: str = "eth0", to_mac: str | None = None) -> None:
        """Send an IP packet, header and all, out of an interface, byte for byte.

        It goes to the multicast address that belongs to its destination, or else to ``to_mac``.
        """
        ethertype, destination = _where_to(packet)
        mac = bytes.fromhex(to_mac.replace(":", "")) if to_mac is not None else _multicast_mac(destination)
        source = bytes.fromhex(self.mac(interface).replace(":", ""))
        self.send_frame(mac + source + struct.pack("!H", ethertype) + packet, interface)


def _where_to(packet: bytes) -> tuple[int, IPAddress]:
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return ETH_P_IP, IPv4Address(packet[16:20])
    if version == 6 and len(packet) >= 40:
        return ETH_P_IPV6, IPv6Address(packet[24:40])
    raise LabError(f"packet of {len(packet)} bytes is of IP version {version}, expected 4 or 6 and a whole header")


def _multicast_mac(destination: IPAddress) -> bytes:
    """The Ethernet address of a multicast group: RFC 1112 section 6.4, RFC 2464 section 7."""
    if not destination.is_multicast:
        raise LabError(f"the packet goes to {destination}, which is no multicast group: expected a to_mac")
    if isinstance(destination, IPv4Address):
        return b"\x01\x00\x5e" + (int(destination) & 0x7FFFFF).to_bytes(3, "big")
    return b"\x33\x33" + destination.packed[12:]


def _send_frame(interface: str, frame: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, ETH_P_ALL))
        sender.send(frame)


def _has_ipv6() -> bool:
    return Path("/proc/sys/net/ipv6").exists()


def _write_sysctl(name: str, value: int | str) -> None:
    path = Path("/proc/sys", *name.split("."))
    try:
        path.write_text(str(value), encoding="ascii")
    except OSError as error:
        raise LabError(f"cannot set {name} to {value}: {error.strerror}") from None
