"""Daemons for tests: started from a configuration on a lab's host, asked through their control socket, waited for."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import vrrpd
from vrrpd.lab import Host, Process, wait_until

SOURCE = Path(vrrpd.__file__).parent.parent
VRRPD = (sys.executable, "-m", "vrrpd")


def instance(
    *more: str,
    name: str = "VI_1",
    vrid: int = 51,
    priority: int = 100,
    interval: float = 0.05,
    addresses: Sequence[str] = ("192.0.2.100/24",),
    interface: str = "eth0",
) -> str:
    """A ``vrrp_instance``; ``more`` are further lines. A lone router with this interval is MASTER in 0.2 s."""
    lines = [
        f"interface {interface}",
        f"virtual_router_id {vrid}",
        f"priority {priority}",
        f"advert_int {interval:g}",
        "version 3",
        *more,
        "virtual_ipaddress {",
        *(f"    {address}" for address in addresses),
        "}",
    ]
    return "\n".join([f"vrrp_instance {name} {{", *(f"    {line}" for line in lines), "}", ""])


def check(command: str, *more: str, name: str = "service", interval: float = 1) -> str:
    """A ``vrrp_script`` that runs as root."""
    lines = [f'script "{command}"', f"interval {interval:g}", "user root", *more]
    return "\n".join([f"vrrp_script {name} {{", *(f"    {line}" for line in lines), "}", ""])


def script(path: Path, *lines: str) -> Path:
    """Writes an executable shell script."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


class Daemon:
    """One ``vrrpd run`` on a host, with a /run of its own."""

    def __init__(self, host: Host, file: Path, arguments: Sequence[str], instance_name: str, process: Process) -> None:
        self.host = host
        self.file = file
        self.arguments = tuple(arguments)
        self.instance_name = instance_name
        self.process = process

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.process.log_text()

    def status(self) -> dict[str, Any]:
        """The status document; waits for the daemon's control socket."""
        return wait_until(self._ask, 20.0, f"an answer of {self.process}; its log:\n{self.process.log_tail()}")

    def _ask(self) -> dict[str, Any] | None:
        assert self.process.running, f"{self.process} has ended; its log:\n{self.process.log_tail()}"
        _, namespace = self.host.namespace.identity
        name = f"{namespace}.{self.instance_name}.sock"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(f"/proc/{self.process.pid}/root/run/vrrpd/{name}")
            except OSError:
                return None
            client.sendall(b'{"command": "status"}\n')
            document = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
        assert isinstance(document, dict)
        return document

    def router(self, name: str = "VI_1") -> dict[str, Any]:
        """One router's part of the status document."""
        (found,) = (router for router in self.status()["routers"] if router["name"] == name)
        assert isinstance(found, dict)
        return found

    def check(self, name: str = "service") -> dict[str, Any]:
        """One check's part of the status document."""
        (found,) = (check for check in self.status()["checks"] if check["name"] == name)
        assert isinstance(found, dict)
        return found

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], what: str, name: str = "VI_1") -> dict[str, Any]:
        """Waits until a router's status fits, and returns it."""
        seen: list[dict[str, Any]] = []

        def look() -> dict[str, Any] | None:
            seen[:] = [self.router(name)]
            return seen[0] if condition(seen[0]) else None

        try:
            return wait_until(look, 20.0, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{json.dumps(seen, indent=1)}\n{self.process.log_tail()}") from None

    def wait_for_state(self, state: str, name: str = "VI_1") -> dict[str, Any]:
        """Waits until a router is in that state, and returns its status."""
        return self.wait_for(lambda router: router["state"] == state, f"{name} in state {state}", name)

    def reload(self, configuration: str | None = None) -> dict[str, Any]:
        """Writes a new configuration, sends SIGHUP, waits for the end of the reload and returns what came of it."""
        if configuration is not None:
            self.file.write_text(configuration)
        before = self.status()["reloads"]["count"]
        self.process.signal(signal.SIGHUP)
        last = wait_until(
            lambda: reloads["last"] if (reloads := self.status()["reloads"])["count"] > before else None,
            20.0,
            "the end of the reload",
        )
        assert isinstance(last, dict)
        return last


class Daemons:
    """Starts daemons, and at the end holds each to never having logged a traceback."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Daemon] = []

    def start(
        self, host: Host, configuration: str, *arguments: str, name: str = "default", prefix: Sequence[str] = ()
    ) -> Daemon:
        """Writes the configuration and runs a daemon with it; ``prefix`` is a command that runs commands."""
        file = self._directory / f"{host.name}-{name}-{len(self._started)}.conf"
        file.write_text(configuration)
        more = list(arguments) if name == "default" else ["--instance", name, *arguments]
        command = [*prefix, *VRRPD, "run", "-f", str(file), *more]
        process = host.start(command, name="vrrpd", cwd=SOURCE, private_run=True)
        daemon = Daemon(host, file, more, name, process)
        self.adopt(daemon)
        return daemon

    def adopt(self, daemon: Daemon) -> None:
        """Watches over a daemon that was started in another way, too."""
        self._started.append(daemon)

    def check(self) -> None:
        """Fails where a daemon has logged a traceback."""
        for daemon in self._started:
            assert "Traceback" not in daemon.log, daemon.log


def entered(daemon: Daemon, command: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The command, to be run in the namespaces of a daemon: with the same /run and the same network."""
    return ["nsenter", "--target", str(daemon.process.pid), "--mount", "--net", "--wd", *command]


def gaps(times: Sequence[float]) -> list[float]:
    """The seconds between one and the next."""
    return [after - before for before, after in itertools.pairwise(times)]


def holds_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Looks again and again for that long; true when the condition held each time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.01)
    return True
