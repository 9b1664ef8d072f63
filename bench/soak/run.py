"""Two nodes with twenty virtual routers, checks and notify scripts, for a long time; now and then something happens.

Each node is MASTER of half of them. In turn: a reload that adds an address to each router, a cable that is pulled and
put back, a reload that takes the addresses away again, a check that fails and recovers.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.daemons import Daemon, vrrpd
from bench.progress import Progress
from bench.soak.measure import Disturbance, Pauses, Sample, ask, sample
from vrrpd.lab import Host, Lab, LabError, wait_until

ROUTERS: Final = 20
INTERVAL_MS: Final = 200
PATIENCE: Final = 30.0
"""Seconds for everybody to be what he should be again."""
NODES: Final = {"r1": 1, "r2": 2}
LOOK_INTERVAL: Final = 0.05
AFTERMATH: Final = 1.0
"""Seconds after a disturbance for scripts and repeated announcements to be over."""


def master_of(vrid: int) -> str:
    """Whose job a virtual router is."""
    return "r1" if vrid % 2 else "r2"


def family(vrid: int) -> int:
    """Every second pair of routers is IPv6."""
    return 4 if (vrid - 1) % 4 < 2 else 6


MASTERS: Final = {(family(vrid), vrid): master_of(vrid) for vrid in range(1, ROUTERS + 1)}


@dataclass(slots=True)
class Record:
    """All that was seen."""

    minutes: float
    samples: list[Sample] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    pauses: Pauses = field(default_factory=lambda: Pauses(INTERVAL_MS, MASTERS))
    problems: list[str] = field(default_factory=list)
    started_ns: int = 0


def configuration(node: str, directory: Path, more_addresses: bool) -> str:
    """The keepalived.conf of a node."""
    blocks = [
        f"global_defs {{\n    router_id {node}\n    script_user root\n    vrrp_version 3\n}}",
        f'vrrp_script service {{\n    script "test -e {directory}/healthy"\n    interval 1\n    fall 1\n    rise 1\n}}',
    ]
    for vrid in range(1, ROUTERS + 1):
        if family(vrid) == 4:
            addresses = [f"198.18.1.{vrid}/32", *([f"198.18.2.{vrid}/32"] if more_addresses else [])]
        else:
            addresses = [f"fe80::5:{vrid:x}/64", f"2001:db8::1:{vrid:x}/128"]
            addresses += [f"2001:db8::2:{vrid:x}/128"] if more_addresses else []
        blocks.append(
            "\n".join(
                [
                    f"vrrp_instance VI_{vrid} {{",
                    "    state BACKUP",
                    "    interface eth0",
                    f"    virtual_router_id {vrid}",
                    f"    priority {200 if master_of(vrid) == node else 100}",
                    f"    advert_int {INTERVAL_MS / 1000:g}",
                    "    virtual_ipaddress {",
                    *(f"        {address}" for address in addresses),
                    "    }",
                    "    track_script {",
                    "        service",
                    "    }",
                    f'    notify "{directory}/notify"',
                    "}",
                ]
            )
        )
    return "\n".join([*blocks, ""])


class Soak:
    """The nodes, and what is done to them."""

    def __init__(self, lab: Lab, directory: Path, record: Record) -> None:
        self._record: Final = record
        self._lan: Final = lab.bridge("lan")
        self._hosts: Final[dict[str, Host]] = {}
        self._daemons: Final[dict[str, Daemon]] = {}
        self._directories: Final[dict[str, Path]] = {}
        self._grown = False
        for name, number in NODES.items():
            host = self._hosts[name] = lab.host(name)
            host.connect(self._lan, "eth0", f"198.18.0.{number}/16", f"2001:db8::{number:x}/64")
            self._directories[name] = directory / name
            self._directories[name].mkdir()
            (self._directories[name] / "healthy").touch()
            notify = self._directories[name] / "notify"
            notify.write_text('#!/bin/sh\necho "$@" >"$0.last"\n', encoding="ascii")
            notify.chmod(0o755)
        self._node_of: Final = {host.mac(): name for name, host in self._hosts.items()}
        self._capture: Final = self._lan.capture()

    def run(self, progress: Progress) -> None:
        """Do all of it: start, wait, disturb, measure. Raises LabError where a daemon ends or does not recover."""
        record = self._record
        program = vrrpd()
        for name, directory in self._directories.items():
            self._write(name)
            self._daemons[name] = Daemon(program, self._hosts[name], directory / "keepalived.conf")
        self._wait_for_order("the start")
        record.started_ns = time.time_ns()
        began = time.monotonic()
        seconds = record.minutes * 60
        period = seconds / 12
        every = max(0.5, seconds / 600)
        self._capture.clear()
        deeds = self._deeds()
        next_deed = began + 1.5 * period
        while (now := time.monotonic()) < began + seconds:
            self._look(now - began)
            if now >= next_deed and now + period < began + seconds:
                what, deed = next(deeds)
                self._disturb(what, deed)
                progress.line(what)
                next_deed = time.monotonic() + period
            time.sleep(every)
        self._look(time.monotonic() - began)
        for name, daemon in self._daemons.items():
            daemon.stop()
            code = daemon.process.wait(5)
            if code != 0 or "Traceback" in daemon.process.log_text():
                record.problems.append(f"{name} ended with exit code {code}:\n{daemon.process.log_tail()}")

    def _look(self, at: float) -> None:
        for name, daemon in self._daemons.items():
            if not daemon.process.running:
                raise LabError(f"the daemon on {name} has ended:\n{daemon.process.log_tail()}")
            if (seen := sample(at, name, daemon, self._namespace(name))) is not None:
                self._record.samples.append(seen)
        frames = self._capture.frames
        self._capture.clear()
        self._record.pauses.take(frames, self._node_of, self._record.disturbances)

    def _namespace(self, name: str) -> int:
        return self._hosts[name].namespace.identity[1]

    def _write(self, name: str) -> None:
        directory = self._directories[name]
        text = configuration(name, directory, self._grown)
        (directory / "keepalived.conf").write_text(text, encoding="ascii")

    # What is done

    def _deeds(self) -> Iterator[tuple[str, Callable[[], None]]]:
        nodes = itertools.cycle(NODES)
        while True:
            yield "reload: an address more for each router", self._reload
            yield "a cable is pulled and put back", lambda: self._pull(next(nodes))
            yield "reload: those addresses go", self._reload
            yield "a check fails and recovers", lambda: self._fail(next(nodes))

    def _disturb(self, what: str, deed: Callable[[], None]) -> None:
        # What came before it was not disturbed.
        start_ns = time.time_ns()
        deed()
        self._wait_for_order(what)
        time.sleep(AFTERMATH)
        self._record.disturbances.append(Disturbance(what, start_ns, time.time_ns()))

    def _reload(self) -> None:
        self._grown = not self._grown
        for name, daemon in self._daemons.items():
            before = ask(daemon.process.pid, self._namespace(name))["reloads"]
            self._write(name)
            daemon.process.signal(signal.SIGHUP)

            def done(name: str = name, daemon: Daemon = daemon, count: int = before["count"]) -> bool:
                return bool(ask(daemon.process.pid, self._namespace(name))["reloads"]["count"] > count)

            wait_until(done, PATIENCE, f"the end of the reload on {name}")
            if ask(daemon.process.pid, self._namespace(name))["reloads"]["failed"]:
                raise LabError(f"a reload on {name} was refused:\n{daemon.process.log_tail()}")

    def _pull(self, name: str) -> None:
        self._lan.unplug(self._hosts[name])
        self._wait_for_states(name, {"FAULT"})
        self._lan.plug(self._hosts[name])

    def _fail(self, name: str) -> None:
        healthy = self._directories[name] / "healthy"
        healthy.unlink()
        self._wait_for_states(name, {"FAULT"})
        healthy.touch()

    def _wait_for_states(self, name: str, wanted: set[str]) -> None:
        def look() -> bool:
            routers = ask(self._daemons[name].process.pid, self._namespace(name))["routers"]
            return {router["state"] for router in routers} == wanted

        _wait(look, f"every router on {name} to be in state {' or '.join(wanted)}")

    def _wait_for_order(self, after: str) -> None:
        """Wait until each router is MASTER where it should be and BACKUP where it should be."""

        def look() -> bool:
            for name, daemon in self._daemons.items():
                for router in ask(daemon.process.pid, self._namespace(name))["routers"]:
                    wanted = "MASTER" if master_of(router["vrid"]) == name else "BACKUP"
                    if router["state"] != wanted:
                        return False
            return True

        _wait(look, f"order after {after}")


def _wait(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if look():
                return
        except (OSError, ValueError):
            pass  # not listening yet
        if time.monotonic() > deadline:
            raise LabError(f"waited {PATIENCE:g} s for {what}, in vain")
        time.sleep(LOOK_INTERVAL)
