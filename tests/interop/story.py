"""A LAN with keepalived on one host, vrrpd on another and a client, and what a third party sees of them.

A story is a sequence of acts. After each one the LAN is watched until it has become quiet in the expected way, or for
a bounded time; what was seen at the end is kept, and the tests judge that. All virtual routers of one configuration
file go through a story together, so that many variants cost no more time than one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute

from vrrpd.lab import Bridge, Capture, Host, Lab, Process
from vrrpd.lab.frames import Advertisement, Arp, Frame, NeighbourAdvertisement
from vrrpd.lab.waiting import wait_until

SETTLE_TIMEOUT: Final = 15.0
"""Seconds for the LAN to become quiet after an act; the slowest takeover of these files takes 4.6 s."""
LOOK_INTERVAL: Final = 0.05

PREFIX_LENGTHS: Final = {4: 32, 6: 128}
DISCARD_PORT: Final = 9


@dataclass(frozen=True, slots=True)
class Group:
    """A virtual router as both sides have it in their file."""

    name: str
    vrid: int
    interval: float
    """Seconds between two advertisements of a master, the longer of the two where the sides differ."""
    addresses: tuple[str, ...]

    @property
    def family(self) -> int:
        """4 or 6: a virtual router id is used once for each."""
        return ip_address(self.addresses[0]).version

    @property
    def quiet_time(self) -> float:
        """Seconds in which a master must have been heard at least twice."""
        return 2.2 * self.interval


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one virtual router in a quiet time, by the names of the hosts."""

    advertisers: frozenset[str]
    """Who sent advertisements with a priority above 0: seen on the bridge."""
    holders: Mapping[str, frozenset[str]]
    """Who has each virtual address on its interface."""
    client: Mapping[str, str]
    """To whom the client would send a packet for each virtual address: what its neighbour table says."""
    status: tuple[str, str | None] | None
    """vrrpd's own view: its state and who is the master. None while vrrpd does not run."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act that is over: when it was, and the quiet LAN at its end."""

    began_ns: int
    ended_ns: int
    seen: Mapping[str, Seen]
    status: Mapping[str, Any]
    """vrrpd's whole status for each router, empty while it does not run."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is started on a host with a configuration file and a configuration id."""

    argv: tuple[str, ...]
    ready: str
    """What it logs once it listens: a regular expression."""

    @classmethod
    def vrrpd(cls, file: Path, config_id: str) -> Program:
        """The daemon of this repository."""
        return cls(
            (sys.executable, "-m", "vrrpd", "run", "--file", str(file), "--config-id", config_id),
            r"vrrpd \S+ runs \d+ virtual routers?",
        )

    @classmethod
    def keepalived(cls, binary: Path, file: Path, config_id: str) -> Program:
        """keepalived's VRRP half in the foreground."""
        return cls(
            (
                *(str(binary), "--vrrp", "--dont-fork", "--no-syslog", "--log-console", "--log-detail"),
                *("--use-file", str(file), "--config-id", config_id),
            ),
            r"Entering BACKUP STATE \(init\)",
        )


class Story:
    """The LAN of one story; ``first`` and ``second`` are the names of the hosts that play these parts.

    The first router has the addresses 192.0.2.1 and 2001:db8::1, the second one those that end with 2; the link-local
    address of the second one is the greater one, too.
    """

    def __init__(self, lab: Lab, keepalived: Path, file: Path, groups: tuple[Group, ...], first: str) -> None:
        self.first: Final = first
        self.second: Final = "keepalived" if first == "vrrpd" else "vrrpd"
        self.groups: Final = groups
        self.acts: Final[dict[str, Act]] = {}
        self._lan: Final[Bridge] = lab.bridge("lan")
        self._hosts: Final[dict[str, Host]] = {}
        self._programs: Final[dict[str, Program]] = {}
        self._processes: Final[dict[str, Process]] = {}
        self._logs: Final[dict[str, list[Process]]] = {"vrrpd": [], "keepalived": []}
        self._names: Final[dict[str, str]] = {}
        self._macs: Final[dict[str, str]] = {}
        for number, name in ((1, self.first), (2, self.second), (10, "client")):
            host = lab.host(name)
            # Hardware addresses in the same order, and so the link-local addresses that are made of them.
            mac = f"02:00:00:00:00:{number:02x}"
            host.connect(self._lan, "eth0", f"192.0.2.{number}/24", f"2001:db8::{number:x}/64", mac=mac)
            self._hosts[name] = host
            self._macs[host.mac()] = name
            for address, _ in host.addresses():
                self._names[address] = name
        for name, config_id in ((self.first, "first"), (self.second, "second")):
            self._programs[name] = (
                Program.vrrpd(file, config_id) if name == "vrrpd" else Program.keepalived(keepalived, file, config_id)
            )
        self._introduce(self.first, self.second)
        self._introduce(self.second, self.first)
        self._capture: Final[Capture] = self._lan.capture()

    def _introduce(self, name: str, other: str) -> None:
        """Let a host know the other's hardware address for good.

        Else its unicast advertisements to a host that is off the LAN would get stuck before anybody could see them.
        """

        def add() -> None:
            with IPRoute() as routes:
                for address, owner in self._names.items():
                    if owner == other and not ip_address(address).is_link_local:
                        routes.neigh("add", dst=address, lladdr=self.mac(other), ifindex=index, state="permanent")

        index = self._hosts[name].call(lambda: socket.if_nametoindex("eth0"))
        self._hosts[name].call(add)

    # What can happen

    def start(self, *names: str) -> None:
        """Start the programs of these hosts, one after the other, and wait for each to listen."""
        for name in names:
            process = self._hosts[name].start(self._programs[name].argv, name=name, private_run=True)
            self._processes[name] = process
            self._logs[name].append(process)
            process.wait_for_log(self._programs[name].ready, 10)

    def stop(self, *names: str) -> None:
        """Stop the programs of these hosts as an init system would, and wait for their end."""
        for name in names:
            self._processes[name].terminate()
        for name in names:
            code = self._processes.pop(name).wait(10)
            assert code == 0, f"{name} ended with exit code {code}, expected 0"

    def kill(self, name: str) -> None:
        """Kill every process of a host's program at once; the host lives on and keeps the addresses it has."""
        process = self._processes.pop(name)
        # keepalived's parent would start its child again, and its child would clean up after the parent: neither may.
        process.signal(signal.SIGSTOP)
        for child in _descendants(process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()

    def lose_power(self, name: str) -> None:
        """Take a host off the LAN without a word, with everything that runs on it and the addresses of others."""
        host = self._hosts[name]
        self._lan.cut(host)
        host.reset()
        self._processes.pop(name).wait()
        for group in self.groups:
            for address in group.addresses:
                if host.has_address(address):
                    host.remove_address("eth0", f"{address}/{PREFIX_LENGTHS[ip_address(address).version]}")

    def boot(self, name: str) -> None:
        """Bring a host that lost its power back and start its program."""
        self._lan.mend(self._hosts[name])
        self.start(name)

    def cut(self, name: str) -> None:
        """Take a running host off the LAN; it does not notice by its carrier."""
        self._lan.cut(self._hosts[name])

    def mend(self, name: str) -> None:
        """Put a host back on the LAN."""
        self._lan.mend(self._hosts[name])

    def touch(self) -> None:
        """Let the client send to each virtual address until it knows where it is: announcements update that only."""

        def send(addresses: list[str]) -> None:
            for text in addresses:
                address = ip_address(text)
                family = socket.AF_INET if address.version == 4 else socket.AF_INET6
                where = f"{text}%eth0" if address.is_link_local else text
                with socket.socket(family, socket.SOCK_DGRAM) as sender, suppress(OSError):
                    sender.sendto(b"hello", socket.getaddrinfo(where, DISCARD_PORT, family)[0][4])

        def knows_all() -> bool:
            known = self._client()
            unknown = [address for group in self.groups for address in group.addresses if address not in known]
            self._hosts["client"].call(lambda: send(unknown))
            return not unknown

        wait_until(knows_all, SETTLE_TIMEOUT, "the client to find every virtual address")

    # What is seen

    def act(
        self,
        name: str,
        action: Callable[[], object],
        expected: Mapping[str, Seen],
        lasts: float = 0.0,
    ) -> None:
        """Do something, wait until the LAN looks as expected (for a bounded time), and keep what it looks like.

        ``lasts`` is how long to watch at least, in seconds, where nothing is expected to happen.
        """
        began_ns = time.time_ns()
        action()
        deadline = time.monotonic() + max(lasts, SETTLE_TIMEOUT)
        while True:
            late = time.monotonic() >= deadline
            status: dict[str, Any] = {}
            seen = self._look(began_ns, status)
            enough = time.time_ns() >= began_ns + int(lasts * 1e9)
            if late or (enough and all(_agree(seen[name], expected[name]) for name in expected)):
                status = self._ask()
                seen = self._look(began_ns, status)
                if late or all(seen[name] == expected[name] for name in expected):
                    break
            time.sleep(LOOK_INTERVAL)
        self.acts[name] = Act(began_ns, time.time_ns(), seen, status)

    def everything_at(self, master: str, vrrpd_runs: bool = True) -> dict[str, Seen]:
        """How the LAN looks when this host is the master of every group, and the only one."""
        return {group.name: self.at(master, group, vrrpd_runs) for group in self.groups}

    def at(self, master: str, group: Group, vrrpd_runs: bool = True) -> Seen:
        """How one group looks when this host is its master, and the only one."""
        return Seen(
            advertisers=frozenset({master}),
            holders=dict.fromkeys(group.addresses, frozenset({master})),
            client=dict.fromkeys(group.addresses, master),
            status=("MASTER" if master == "vrrpd" else "BACKUP", master) if vrrpd_runs else None,
        )

    def parted(self, group: Group) -> Seen:
        """How one group looks when the first host is alone behind a cut: two masters, the LAN sees the second one."""
        both = dict.fromkeys(group.addresses, frozenset({"vrrpd", "keepalived"}))
        return replace(self.at(self.second, group), holders=both, status=("MASTER", "vrrpd"))

    def ended(self, master: str, group: Group) -> Seen:
        """How one group looks when neither program runs any more; the client still knows the last master."""
        nobody: dict[str, frozenset[str]] = dict.fromkeys(group.addresses, frozenset())
        return replace(self.at(master, group), advertisers=frozenset(), holders=nobody, status=None)

    def advertisements(
        self, group: Group, source: str | None = None, act: str | None = None
    ) -> list[tuple[Frame, Advertisement]]:
        """The advertisements of a group on the wire, of one host or in one act if given."""
        return [
            (frame, seen)
            for frame, seen in self._capture.advertisements(group.vrid)
            if seen.source.version == group.family
            and source in (None, self._name(str(seen.source)))
            and self._within(frame, act)
        ]

    def announcements(
        self, address: str, source: str, act: str | None = None
    ) -> list[tuple[Frame, Arp | NeighbourAdvertisement]]:
        """The gratuitous ARPs or unsolicited neighbour advertisements of an address that a host sent."""
        return [
            (frame, seen)
            for frame, seen in self._capture.announcements(address)
            if self._macs.get(frame.source_mac) == source and self._within(frame, act)
        ]

    def log(self, name: str) -> str:
        """Everything that a host's program has logged, all starts of it one after the other."""
        return "".join(process.log_text() for process in self._logs[name])

    def mac(self, name: str) -> str:
        """A host's hardware address."""
        return next(mac for mac, owner in self._macs.items() if owner == name)

    def _within(self, frame: Frame, act: str | None) -> bool:
        return act is None or self.acts[act].began_ns <= frame.time_ns <= self.acts[act].ended_ns

    def _name(self, address: str) -> str:
        return self._names.get(address, address)

    def _look(self, began_ns: int, status: Mapping[str, Any]) -> dict[str, Seen]:
        now_ns = time.time_ns()
        assigned = {
            name: {address for address, _ in self._hosts[name].addresses()} for name in (self.first, self.second)
        }
        client = self._client()
        senders: dict[str, set[str]] = {group.name: set() for group in self.groups}
        groups = {(group.family, group.vrid): group for group in self.groups}
        for frame, seen in reversed(self._capture.advertisements()):
            if frame.time_ns < now_ns - 5_000_000_000:
                break
            group = groups[seen.source.version, seen.vrid]
            since_ns = max(began_ns, now_ns - int(group.quiet_time * 1e9))
            if frame.time_ns >= since_ns and seen.priority > 0:
                senders[group.name].add(self._name(str(seen.source)))
        looked: dict[str, Seen] = {}
        for group in self.groups:
            router = status.get(group.name)
            quiet = now_ns - began_ns >= group.quiet_time * 1e9
            looked[group.name] = Seen(
                advertisers=frozenset(senders[group.name] if quiet else {"too early to say"}),
                holders={
                    address: frozenset(name for name, addresses in assigned.items() if address in addresses)
                    for address in group.addresses
                },
                client={address: client[address] for address in group.addresses if address in client},
                status=None if router is None else self._vrrpd_view(router),
            )
        return looked

    def _vrrpd_view(self, router: Any) -> tuple[str, str | None]:
        master = router["master"]["address"]
        return router["state"], None if master is None else self._name(master)

    def _ask(self) -> dict[str, Any]:
        """vrrpd's status by router, got as an operator gets it; empty while it does not run or answer."""
        process = self._processes.get("vrrpd")
        if process is None:
            return {}
        done = self._hosts["vrrpd"].run(
            # Its /run is its own.
            ["nsenter", "--mount", "--target", str(process.pid), sys.executable, "-m", "vrrpd", "status", "--json"],
            check=False,
        )
        return {router["name"]: router for router in json.loads(done.stdout)["routers"]} if done.returncode == 0 else {}

    def _client(self) -> dict[str, str]:
        """To whom the client's neighbour table leads, by address."""

        def read() -> dict[str, str]:
            with IPRoute() as routes:
                return {
                    entry.get_attr("NDA_DST"): entry.get_attr("NDA_LLADDR")
                    for entry in routes.get_neighbours()
                    if entry.get_attr("NDA_LLADDR") is not None
                }

        addresses = {address for group in self.groups for address in group.addresses}
        return {
            address: self._macs.get(mac, mac)
            for address, mac in self._hosts["client"].call(read).items()
            if address in addresses
        }


def _agree(seen: Seen, expected: Seen) -> bool:
    """Whether everything but vrrpd's status, which takes longer to ask for, is as expected."""
    return (seen.advertisers, seen.holders, seen.client) == (expected.advertisers, expected.holders, expected.client)


def _descendants(pid: int) -> list[int]:
    """The process ids of all children and children's children."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, thread.read_text().split()):
            found += [child, *_descendants(child)]
    return found
