"""What the machine has run out of: disk, file descriptors, memory."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path

from tests.faults.registry import Role, row
from tests.faults.rows.wires import back_in_service, out_of_service
from tests.faults.stage import Node, Stage, tool

ROOM = 10 << 20
"""Bytes of address space that a daemon still gets: enough for a thread's stack, too little for a large file."""

MORE_THAN_THERE_IS = 256
"""Pages of 4096 bytes: the file systems of ``confined`` have sixteen."""


def stands_in(stage: Stage) -> None:
    """Let the BACKUP stand in for the MASTER once."""
    stage.r1.stop()
    stage.expect_master(stage.r2, "standing in")
    stage.r1.start()
    stage.expect_master(stage.r1, "started again")


def restart(stage: Stage, *wrapper: str) -> None:
    """Start the victim again with a command line in front of its own, and wait until it is what it was."""
    victim = stage.victim
    victim.stop()
    victim.wrapper = wrapper
    victim.start()
    stage.expect(lambda: any(line.startswith("raw:") for line in victim.sockets()), f"{victim.name} listens again")
    stage.expect_master(stage.r1, "started with little room")
    stage.must(victim.running, f"the daemon on {victim.name} runs")


def fill(node: Node) -> None:
    """Use up what the daemon's own /run and /dev/shm have left."""
    for place in ("run", "dev/shm"):
        with suppress(OSError), Path(f"/proc/{node.pid}/root/{place}/fill").open("ab", buffering=0) as file:
            for _ in range(MORE_THAN_THERE_IS):
                file.write(bytes(4096))


def carries_on(stage: Stage) -> None:
    """Let the victim do what it is for: lose its carrier as MASTER, stand in as BACKUP."""
    if stage.role is Role.MASTER:
        stage.lan.unplug(stage.victim.host)
        stage.expect_master(stage.r2, "without the MASTER's link")
        stage.lan.plug(stage.victim.host)
        stage.expect_master(stage.r1, "when the link is back")
    else:
        stands_in(stage)


@row(
    "disk-full",
    "Disk full",
    done="The file system that has its log, /run and /dev/shm fills up while it runs; later it is started again "
    "with no byte and no inode left.",
    master="It goes on, fails over and comes back as always, and starts. What is lost is the log, and at a start the "
    "control socket.",
    backup="The same.",
)
def disk_full(stage: Stage) -> None:
    victim = stage.victim
    victim.silent = True  # its log is on the full disk
    restart(stage, *tool("confined", "small", "/run/daemon.log"))
    stage.mark()
    fill(victim)
    stage.hold(stage.down_interval)
    carries_on(stage)
    restart(stage, *tool("confined", "full", "/run/daemon.log"))
    stage.mark()
    carries_on(stage)


@row(
    "run-readonly",
    "Run directory not writable",
    done="/run and /dev/shm are read-only when it starts.",
    master="It runs without a control socket, says so in the log, and fails over and comes back as always.",
    backup="The same.",
)
def run_readonly(stage: Stage) -> None:
    restart(stage, *tool("confined", "readonly", "-"))
    if stage.is_vrrpd:
        stage.expect(lambda: "no control socket" in stage.victim.log(), "the log says that there is no control socket")
    stage.mark()
    carries_on(stage)


@row(
    "descriptors",
    "Out of file descriptors",
    done="Its limit is set below what it has open (prlimit), so that it gets no new one; it is asked for its status.",
    master="It stays MASTER, sees the loss of its carrier, and comes back. `vrrpd status` works again when there are "
    "descriptors again.",
    backup="It takes over all the same, announcement and all: what that needs is open before it is needed.",
)
def descriptors(stage: Stage) -> None:
    victim = stage.victim
    _, hard = before = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (4, hard))
    try:
        if stage.is_vrrpd:
            ask_for_status(victim)
        stage.hold(stage.down_interval)
        stage.expect_states(stage.r1)
        stage.expect_states(stage.r2)
        if stage.role is Role.MASTER:
            stage.lan.unplug(victim.host)
            out_of_service(stage)
            stage.lan.plug(victim.host)
            back_in_service(stage)
        else:
            stands_in(stage)
            stage.expect_states(stage.r2, "MASTER", "BACKUP")
    finally:
        resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, before)
    if stage.is_vrrpd:
        stage.expect(lambda: ask_for_status(victim), "the status can be asked again")
        stage.must("Traceback" not in victim.log(), f"there is no traceback in the log of {victim.name}")


def ask_for_status(node: Node) -> bool:
    """Ask the daemon, and wait for its answer only a moment."""
    _, namespace = node.host.namespace.identity
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.5)
        try:
            client.connect(f"/proc/{node.pid}/root/run/vrrpd/{namespace}.default.sock")
            client.sendall(b'{"command": "status"}\n')
            return bool(client.recv(100))
        except OSError:
            return False


@row(
    "memory",
    "Out of memory",
    done="It gets no more than 10 MB of address space (RLIMIT_AS) above what it has, and is told to read a "
    "configuration of forty thousand addresses; later the limit and the large file are gone.",
    master="It refuses the reload and goes on as MASTER. A daemon that dies of it leaves the VIP to the BACKUP, and "
    "its next start takes off what was left.",
    backup="It refuses the reload and goes on as BACKUP; the MASTER does not notice.",
    only_vrrpd="what is too large a file for Python is none for a program in C, which goes on to install it all",
)
def memory(stage: Stage) -> None:
    victim = stage.victim
    before = resource.prlimit(victim.pid, resource.RLIMIT_AS)
    size = int(Path(f"/proc/{victim.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    text = victim.file.read_text()
    addresses = "\n".join(
        f"198.{18 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}/32" for number in range(40_000)
    )
    lines = f"192.0.2.100/32\n}}\nvirtual_ipaddress_excluded {{\n{addresses}"
    victim.file.write_text(text.replace("192.0.2.100/32", lines), encoding="ascii")
    pid = victim.pid
    resource.prlimit(pid, resource.RLIMIT_AS, (size + ROOM, before[1]))
    victim.process.signal(signal.SIGHUP)
    stage.hold(2 * stage.down_interval) if victim.running else None
    if stage.is_vrrpd and victim.running:
        stage.expect(lambda: "reload refused" in victim.log(), "the reload is refused", patience=5)
    victim.file.write_text(text, encoding="ascii")
    if victim.running and victim.pid == pid:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
        stage.expect_states(stage.r1)
        stage.expect_states(stage.r2)
        carries_on(stage)
        return
    if stage.role is Role.MASTER:
        stage.expect_master(stage.r2, "when the MASTER has died", besides=[victim])
    if not victim.running:
        victim.start()
