"""One play of one row: r1 (MASTER), r2 (BACKUP) and a client on a bridge, the harm, and what is seen of it.

Whatever is asked here is asked from outside and of any daemon alike: what the kernel has, what is on the wire, whom
the client reaches, what the log says, which processes there are. What does not hold is written down and the play goes
on, so that a daemon that does one thing otherwise can still be compared.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.daemons import ROOT, Daemon, Program
from bench.soak.measure import ask
from tests.faults.ear import Ear
from tests.faults.registry import Role, Row
from vrrpd.lab import Host, Lab, Process
from vrrpd.lab.guardian import namespace_of
from vrrpd.lab.probe import Probe, start_responder

VIP: Final = "192.0.2.100"
PRIORITIES: Final = {"r1": 200, "r2": 100}
ADDRESSES: Final = {"r1": "192.0.2.1", "r2": "192.0.2.2", "client": "192.0.2.10", "stranger": "192.0.2.20"}
VRRPD: Final = "vrrpd"

PATIENCE: Final = 15.0
"""Seconds beyond the protocol's own bound after which something does not happen any more: for a busy machine."""
LITTLE_PATIENCE: Final = 6.0
"""The same for another daemon, which may do many things otherwise; nobody's test depends on it."""
LOOK_INTERVAL: Final = 0.03
MASTERS_OWN: Final = 2
"""File descriptors that vrrpd has as MASTER only, from a second after it has become one: it looks for other holders of
its addresses."""
STATE: Final = re.compile(r"\(VI_1\) Entering (MASTER|BACKUP|FAULT) STATE")

CONFIGURATION: Final = """\
global_defs {{
    router_id {name}
    script_user root
}}
{check}
vrrp_instance VI_1 {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    version 3
    priority {priority}
    advert_int {interval:g}
    virtual_ipaddress {{
        {vip}/32
    }}
{more}}}
"""

CHECK: Final = """
vrrp_script service {{
    script "{script}"
    interval 1
    timeout 2
    rise 1
    fall 1
}}
"""


class NotReady(Exception):
    """The play could not begin; the text says what was missing."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one play."""

    row: str
    role: Role
    program: str
    outage_ms: float | None
    """The longest silence that the client saw (0: none of 20 ms); None where it was not measured to its end."""
    unmet: tuple[str, ...]
    """What did not hold."""
    seconds: float
    stall_ms: float = 0.0
    """The longest time for which this machine stood still, see ``play``."""
    voided: tuple[str, ...] = ()
    """What did not hold in earlier plays, which do not count because the machine stood still."""
    logs: dict[str, str] = field(default_factory=dict, compare=False)
    """The ends of the daemons' logs, for somebody who has to find out what went wrong."""


class Node:
    """A router: a host, its configuration file and the daemons that have run on it, the last of which is current."""

    def __init__(self, stage: Stage, name: str, host: Host) -> None:
        self.name: Final = name
        self.host: Final = host
        self.address = ADDRESSES[name]
        self.directory: Final = stage.directory / name
        self.directory.mkdir()
        self.file: Final = self.directory / "keepalived.conf"
        self.trigger: Final = self.directory / "trigger"
        """While this file is there the check does what its row says; without it, it succeeds."""
        self.wrapper: tuple[str, ...] = ()
        """What the daemon's command line begins with."""
        self.silent = False
        """Its log cannot be read."""
        self._stage: Final = stage
        self._daemons: Final[list[Daemon]] = []
        self._mark = 0
        self.host_processes: Final = frozenset(_processes_of(host))

    def configuration(self) -> str:
        """The keepalived.conf of this router."""
        row = self._stage.row
        check, more = "", ""
        self.script("notify", "sleep 1000")
        if row.check is not None:
            script = self.script("check", f"[ -e {self.trigger} ] || exit 0", *row.check.strip().splitlines())
            check = CHECK.format(script=script)
            more = "    track_script {\n        service\n    }\n"
        more += "".join(f"    {line.replace('{directory}', str(self.directory))}\n" for line in row.settings)
        return CONFIGURATION.format(
            name=self.name, priority=PRIORITIES[self.name], interval=row.interval, vip=VIP, check=check, more=more
        )

    def script(self, name: str, *lines: str) -> Path:
        """Write an executable shell script."""
        path = self.directory / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="ascii")
        path.chmod(0o755)
        return path

    # The daemon

    def start(self, program: Program | None = None) -> None:
        """Start the daemon."""
        program = program or self._stage.program
        if self.wrapper:
            environment = {**program.environment, "PYTHONPATH": _python_path(program.environment)}
            program = Program(program.name, (*self.wrapper, *program.command), program.version, environment)
        self._daemons.append(Daemon(program, self.host, self.file))

    @property
    def daemon(self) -> Daemon:
        """The daemon that was started last."""
        return self._daemons[-1]

    @property
    def process(self) -> Process:
        """Its first process."""
        return self.daemon.process

    @property
    def pid(self) -> int:
        """The process that does VRRP: keepalived's is a child of the one that was started."""
        if self._stage.program.name == VRRPD:
            return self.process.pid
        return next(iter(_children(self.process.pid)), self.process.pid)

    @property
    def running(self) -> bool:
        """Whether the daemon runs."""
        return bool(self._daemons) and self.process.running

    def signal(self, number: signal.Signals) -> None:
        """Signal the daemon: the one process of vrrpd's that does VRRP, all of those of another."""
        pids = [self.process.pid] if self._stage.program.name == VRRPD else self.daemon.pids()
        for pid in pids:
            os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL; of vrrpd only the process that does VRRP is killed, and everything else has to notice."""
        if self._stage.program.name == VRRPD:
            self.process.kill()
            self.process.wait()
            self._stage.expect(lambda: not self.daemon.pids(), f"no process is left on {self.name} after SIGKILL")
        else:
            self.daemon.kill()

    def stop(self) -> None:
        """SIGTERM, and the end it must come to."""
        self.daemon.stop()
        try:
            code: object = self.process.wait(5.0)
        except TimeoutError:
            code = "still running after 5 s"
        self._stage.must(code == 0, f"SIGTERM ends the daemon on {self.name} with exit code 0 (seen: {code})")
        self._stage.must(not self.holds_vip(), f"after SIGTERM no VIP is on {self.name}")

    # What is seen of it

    def holds_vip(self) -> bool:
        """Whether the kernel has the virtual address."""
        return "eth0" in self.host.interfaces() and self.host.has_address(VIP)

    def states(self) -> list[str]:
        """The states that the daemons have entered since the mark, by their logs."""
        return self._all_states()[self._mark :]

    def _all_states(self) -> list[str]:
        return [state for daemon in self._daemons for state in STATE.findall(daemon.process.log_text())]

    def mark(self) -> None:
        """From here on states are counted."""
        self._mark = len(self._all_states())

    def log(self) -> str:
        """What all daemons here have logged."""
        return "".join(daemon.process.log_text() for daemon in self._daemons)

    def descriptors(self) -> int:
        """How many file descriptors the daemon has open."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except FileNotFoundError:
            return 0

    def status(self) -> dict[str, Any]:
        """The status document, of vrrpd only; raises OSError where it does not answer."""
        return ask(self.pid, self.host.namespace.identity[1])

    def zombies(self) -> list[int]:
        """Dead children that nobody has collected, below the daemon."""
        found, waiting = [], [self.process.pid]
        while waiting:
            for child in _children(waiting.pop()):
                waiting.append(child)
                if _state_of(child) == "Z":
                    found.append(child)
        return found

    def memory(self) -> int:
        """Bytes that the daemon's processes have in memory."""
        total = 0
        for pid in self.daemon.pids():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except OSError:
                continue  # a script that has just ended
        return total

    def sockets(self) -> list[str]:
        """Sockets of kinds that only the daemon opens: raw, packet, and Unix with an abstract name."""

        def read() -> list[str]:
            # Of this thread: /proc/net is that of the process, whose other threads are elsewhere.
            directory = Path("/proc/thread-self/net")
            found = []
            for table in ("raw", "raw6", "packet"):
                found += [f"{table}: {line}" for line in (directory / table).read_text().splitlines()[1:]]
            unix = (directory / "unix").read_text().splitlines()[1:]
            return found + [f"unix: {line}" for line in unix if " @" in line]

        return self.host.call(read)

    def left_in_run(self) -> Callable[[], list[str]]:
        """What is in the daemon's own run directory, to be asked also when the daemon has ended."""
        try:
            descriptor = os.open(f"/proc/{self.pid}/root/run", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return list
        self._stage.on_close(lambda: os.close(descriptor))

        def look() -> list[str]:
            found = []
            for entry in os.scandir(descriptor):
                if entry.is_dir(follow_symlinks=False):
                    inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
                    try:
                        found += [f"{entry.name}/{name}" for name in os.listdir(inner)]
                    finally:
                        os.close(inner)
                else:
                    found.append(entry.name)
            return [name for name in found if not name.endswith((".log", "fill"))]

        return look


class Stage:
    """The LAN of one play; a context manager is not needed, the lab and ``close`` clean up."""

    def __init__(
        self, lab: Lab, program: Program, row: Row, role: Role, directory: Path, probe_interval: float = 0.001
    ) -> None:
        self.program: Final = program
        self.row: Final = row
        self.role: Final = role
        self.directory: Final = directory
        self.unmet: Final[list[str]] = []
        self._lab: Final = lab
        self._cleanups: Final[list[Callable[[], None]]] = []
        self._probe_interval: Final = probe_interval
        self._probe: Probe | None = None
        self._began = time.monotonic()
        self._marked_ns = 0
        self._outage: float | None = None
        self._descriptors: dict[Daemon, int] = {}
        self._stranger: Host | None = None
        self.lan: Final = lab.bridge("lan")
        self.client: Final = self._host("client", 10)
        hosts = {name: self._host(name, number) for number, name in ((1, "r1"), (2, "r2"))}
        self.ear: Final = Ear(self.lan, (1, 2))
        self._cleanups.append(self.ear.close)
        for host in hosts.values():
            start_responder(host)
        self.r1, self.r2 = (Node(self, name, host) for name, host in hosts.items())
        self._before: Final = {node: self._kernel_of(node) for node in self.nodes}

    def _host(self, name: str, number: int) -> Host:
        host = self._lab.host(name)
        host.connect(self.lan, "eth0", f"{ADDRESSES[name]}/24", mac=mac_of(number))
        return host

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Both routers."""
        return self.r1, self.r2

    @property
    def victim(self) -> Node:
        """To whom it happens."""
        return self.r1 if self.role is Role.MASTER else self.r2

    @property
    def stranger(self) -> Host:
        """A host that has no part in it."""
        if self._stranger is None:
            self._stranger = self._host("stranger", 20)
        return self._stranger

    @property
    def down_interval(self) -> float:
        """The longer of the two master-down intervals, in seconds: r2's (RFC 9568 section 6.1)."""
        return (3 + (256 - PRIORITIES["r2"]) / 256) * self.row.interval

    @property
    def is_vrrpd(self) -> bool:
        """Whether it is our daemon that plays."""
        return self.program.name == VRRPD

    def on_close(self, work: Callable[[], None]) -> None:
        """Have something done at the end."""
        self._cleanups.append(work)

    def close(self) -> None:
        """Let go of everything that the lab does not clean up."""
        while self._cleanups:
            self._cleanups.pop()()

    # The play

    def begin(self) -> None:
        """Start both and wait until r1 is the only MASTER and the client reaches it. Raises NotReady."""
        for node in self.nodes:
            node.file.write_text(node.configuration(), encoding="ascii")
        self.r1.start()
        self.r2.start()
        self._probe = Probe(self.client, VIP, interval=self._probe_interval)
        before = len(self.unmet)
        self.expect_master(self.r1, "at the start")
        self.expect(lambda: self.r2.states()[-1:] == ["BACKUP"], "at the start r2 is BACKUP")
        if len(self.unmet) > before:
            raise NotReady(self.unmet[-1])
        self.mark()

    def mark(self) -> None:
        """From here on states are counted and silences measured, and daemons may open nothing more for good."""
        for node in self.nodes:
            if self.is_vrrpd and not node.silent:
                log = node.process.log_text
                self.expect(lambda log=log: "virtual routers\n" in log(), f"the start on {node.name} is over")  # type: ignore[misc]
            node.mark()
            self._descriptors[node.daemon] = node.descriptors() + (MASTERS_OWN if node is self.r1 else 0)
        self._marked_ns = time.time_ns()

    def end(self) -> None:
        """Hold the play to what must hold at the end of every row, and stop both."""
        self.expect_master(self.r1, "in the end")
        self._outage = self._outage_ms()
        for node in self.nodes:
            self.expect(lambda node=node: not node.zombies(), f"no zombie is left on {node.name}")  # type: ignore[misc]
            allowed = self._descriptors.get(node.daemon)
            if allowed is not None and node.running and not node.silent:
                self.expect(
                    lambda node=node, allowed=allowed: node.descriptors() <= allowed,  # type: ignore[misc]
                    f"the daemon on {node.name} has no more file descriptors open than before ({allowed})",
                )
        left_in_run = {node: node.left_in_run() for node in self.nodes}
        # First the one that would not be taken over from: fewer things happen.
        for node in (self.r2, self.r1):
            if node.running:
                node.stop()
        for node in self.nodes:
            self.expect(
                lambda node=node: not _processes_of(node.host) - node.host_processes,  # type: ignore[misc]
                f"no process is left on {node.name}",
            )
            left = left_in_run[node]()
            self.must(not left, f"nothing is left in the run directory on {node.name} (seen: {', '.join(left)})")
            for what, now in self._kernel_of(node).items():
                was = self._before[node][what]
                self.must(now == was, f"{what} on {node.name} are as they were (were: {was}; are: {now})")

    def _kernel_of(self, node: Node) -> dict[str, list[str]]:
        addresses = [f"{address}/{length}" for address, length in node.host.addresses() if ":" not in address]
        return {"addresses": sorted(addresses), "sockets": node.sockets(), "firewall rules": self.firewall(node.host)}

    def firewall(self, host: Host) -> list[str]:
        """The rules of a host's nftables, which the xtables programs of today also write to."""
        return host.run(["nft", "list", "ruleset"]).stdout.splitlines()

    def result(self) -> Result:
        """What came of it."""
        return Result(
            self.row.key,
            self.role,
            self.program.name,
            self._outage,
            tuple(self.unmet),
            time.monotonic() - self._began,
            logs={node.name: node.log()[-4000:] for node in self.nodes},
        )

    def _outage_ms(self) -> float | None:
        if self._probe is None or not self._marked_ns:
            return None
        gaps = [gap for gap in self._probe.gaps if gap.end_ns is None or gap.end_ns >= self._marked_ns]
        if any(gap.end_ns is None for gap in gaps):
            return None
        return max((gap.milliseconds for gap in gaps), default=0.0)

    # Conditions

    def must(self, holds: bool, what: str) -> None:
        """Write it down where something does not hold."""
        if not holds:
            self.unmet.append(what)

    def expect(self, condition: Callable[[], object], what: str, patience: float | None = None) -> bool:
        """Wait until it holds; written down where it does not within the patience."""
        if patience is None:
            patience = PATIENCE if self.is_vrrpd else LITTLE_PATIENCE
        deadline = time.monotonic() + patience + self.down_interval
        while True:
            late = time.monotonic() >= deadline
            if condition():
                return True
            if late:
                self.unmet.append(what)
                return False
            time.sleep(LOOK_INTERVAL)

    def expect_master(self, node: Node, when: str, besides: Iterable[Node] = ()) -> None:
        """Wait until a router is the only one that advertises, the only one with the VIP, and the one that answers.

        ``besides`` may have the VIP too, and advertise: it is dead, stopped or cannot be heard.
        """
        excused = set(besides)
        others = [other for other in self.nodes if other is not node and other not in excused]
        seen: list[str] = []

        def look() -> bool:
            seen[:] = self._why_not_master(node, others)
            return not seen

        if not self.expect(look, ""):
            self.unmet[-1] = f"{when} {node.name} is the only MASTER and the client reaches it ({'; '.join(seen)})"

    def _why_not_master(self, node: Node, others: Sequence[Node]) -> list[str]:
        recent = self.advertisers()
        problems = []
        if node.name not in recent:
            problems.append(f"{node.name} does not advertise")
        problems += [f"{other.name} advertises" for other in others if other.name in recent]
        if not problems and (by := self.answered_by()) != node.name:
            problems.append(f"{by or 'nobody'} answers the client")
        if not problems and not node.holds_vip():
            problems.append(f"{node.name} has no VIP")
        if not problems:
            problems += [f"{other.name} has the VIP" for other in others if other.holds_vip()]
        return problems

    def advertisers(self) -> set[str]:
        """Who was the last but for priority 0 to advertise in the last two and a half intervals."""
        since_ns = time.time_ns() - int(2.5 * self.row.interval * 1e9)
        last = {f"r{heard.router}": heard.priority for heard in self.ear.heard() if heard.time_ns >= since_ns}
        return {name for name, priority in last.items() if priority > 0}

    def answered_by(self) -> str | None:
        """Whom the client reaches."""
        assert self._probe is not None
        return self._probe.answering

    def expect_states(self, node: Node, *states: str) -> None:
        """Hold a router to having entered these states, and no others, since the mark."""
        if not node.silent:
            seen = node.states()
            self.must(
                seen == list(states),
                f"{node.name} has entered {', '.join(states) or 'no other state'} (seen: {', '.join(seen) or 'none'})",
            )

    def hold(self, seconds: float, node: Node | None = None, besides: Iterable[Node] = ()) -> None:
        """Let time pass; ``node`` (r1 if not given) keeps the VIP meanwhile and nobody but ``besides`` has it too."""
        node = node or self.r1
        excused = {node, *besides}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not node.holds_vip():
                self.unmet.append(f"{node.name} keeps the VIP meanwhile")
                return
            for other in self.nodes:
                if other not in excused and other.holds_vip():
                    self.unmet.append(f"{other.name} has no VIP meanwhile")
                    return
            time.sleep(3 * LOOK_INTERVAL)


def mac_of(number: int) -> str:
    """The hardware address of a host of the LAN."""
    return f"02:00:00:00:00:{number:02x}"


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of the little programs that do the harm; it needs neither packages nor environment."""
    return (sys.executable, "-I", "-S", str(Path(__file__).parent / "programs" / f"{name}.py"), *arguments)


def _python_path(environment: object) -> str:
    given = environment.get("PYTHONPATH") if isinstance(environment, dict) else None
    return given or os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def _processes_of(host: Host) -> set[int]:
    identity = host.namespace.identity
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and namespace_of(int(entry)) == identity}


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(word) for task in tasks for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return []


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
