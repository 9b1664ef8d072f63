"""Containers of the real image on the hosts of a lab, by podman with a store of its own (tools/podman)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final

from vrrpd.lab import Host, wait_until

PODMAN: Final = Path(__file__).parents[2] / "tools" / "podman"
LABEL: Final = "vrrpd-test"
"""Marks our containers with the process id of the test run."""
CAPABILITIES: Final = ("NET_ADMIN", "NET_RAW")

_numbers = count(1)


class PodmanError(Exception):
    """Podman failed; ``str()`` is what it was asked and what it answered."""


def podman(*arguments: str | os.PathLike[str], timeout: float = 60.0, check: bool = True) -> str:
    """Runs podman and returns its output; with ``check`` off also when it fails."""
    done = subprocess.run(
        [PODMAN, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise PodmanError(f"podman {' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stdout}")
    return done.stdout


class Container:
    """A container on a host: made by ``run``, started again by ``start``, gone after ``remove``."""

    def __init__(
        self,
        host: Host,
        network: str,
        image: str,
        environment: Mapping[str, str],
        mounts: Mapping[Path, str] | None = None,
        read_only: bool = True,
        capabilities: Sequence[str] = CAPABILITIES,
        command: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.name = f"{LABEL}-{os.getpid()}-{host.name}-{next(_numbers)}"
        self._arguments: list[str] = ["--name", self.name, "--label", f"{LABEL}={os.getpid()}", "--network", network]
        self._arguments += ["--cap-drop", "ALL", *(f"--cap-add={name}" for name in capabilities)]
        if read_only:
            # As in Kubernetes: podman's own idea of read-only comes with a writable /run and /tmp.
            self._arguments += ["--read-only", "--read-only-tmpfs=false"]
        self._arguments += [f"--env={name}={value}" for name, value in environment.items()]
        self._arguments += [f"--volume={path}:{place}" for path, place in (mounts or {}).items()]
        self._arguments += [image, *command]

    def run(self) -> None:
        """Makes the container and starts it in the background."""
        podman("run", "--detach", *self._arguments)

    def start(self) -> None:
        """Starts it again after it has ended: the same container, so the same pod network."""
        podman("start", self.name)

    def execute(self, *argv: str, check: bool = True) -> str:
        """Runs a program in the container and returns its output, as ``oc exec`` does."""
        return podman("exec", self.name, *argv, check=check)

    def log(self) -> str:
        """What it has written in all its lives."""
        return podman("logs", self.name)

    def wait_for_log(self, text: str, times: int = 1, timeout: float = 20.0) -> str:
        """Waits until a text is in the log (so many times) and returns the log."""

        def look() -> str | None:
            log = self.log()
            return log if log.count(text) >= times else None

        try:
            return wait_until(look, timeout, f"{text!r} in the log of {self.name}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the log:\n{self.log()}") from None

    @property
    def pid(self) -> int:
        """The process id of its process 1 as seen from here; 0 when it does not run."""
        return int(podman("inspect", "--format", "{{.State.Pid}}", self.name))

    @property
    def exit_code(self) -> int:
        """How it ended last."""
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name))

    def end(self, *numbers: signal.Signals, timeout: float = 20.0) -> float:
        """Sends process 1 signals, one right after the other and without podman; returns seconds until it was gone."""
        descriptor = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            before = time.monotonic()
            for number in numbers:
                signal.pidfd_send_signal(descriptor, number)
            if not poll.poll(timeout * 1000):
                sent = ", ".join(number.name for number in numbers)
                raise TimeoutError(f"{self.name} still runs {timeout:g} s after {sent}; its log:\n{self.log()}")
            after = time.monotonic()
        finally:
            os.close(descriptor)
        podman("wait", self.name)
        return after - before

    def stop(self) -> None:
        """Stops it as an engine does: SIGTERM, and SIGKILL after 10 s."""
        podman("stop", self.name)

    def remove(self) -> None:
        """Kills it if it runs and forgets it. May be called twice."""
        podman("rm", "--force", "--time", "0", self.name, check=False)


def remove_leftovers() -> None:
    """Removes the containers of test runs that died without a word."""
    listed = podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "json")
    for entry in json.loads(listed or "[]"):
        owner = entry["Labels"][LABEL]
        if not Path("/proc", owner).exists() or int(owner) == os.getpid():
            podman("rm", "--force", "--time", "0", entry["Id"], check=False)
