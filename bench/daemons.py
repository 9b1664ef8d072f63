"""The programs that are compared: how each is started, how it is killed, and what it costs while it runs.

Everything in a host's namespace counts as the daemon, whatever it forks, but for what was there before it.
"""

from __future__ import annotations

import compileall
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vrrpd.lab import Host, Process, wait_until
from vrrpd.lab.guardian import processes_in

ROOT: Final = Path(__file__).resolve().parent.parent
FETCHED_KEEPALIVED: Final = ROOT / ".cache" / "keepalived" / "run"
INSTALLED_KEEPALIVED: Final = Path("/usr/sbin/keepalived")
PLACEHOLDER: Final = "{config}"


class NoSuchDaemon(Exception):
    """A daemon cannot be run; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Program:
    """A daemon as a command line in which ``{config}`` stands for the path of its keepalived.conf."""

    name: str
    command: tuple[str, ...]
    version: str = "unknown"
    environment: Mapping[str, str] = field(default_factory=dict)
    """What is added to ours."""

    def argv(self, config: Path) -> list[str]:
        """The command line for one configuration file."""
        return [word.replace(PLACEHOLDER, str(config)) for word in self.command]


def vrrpd() -> Program:
    """The daemon of this repository, run by the interpreter that runs the benchmark; compiled, as if installed."""
    compileall.compile_dir(ROOT / "vrrpd", quiet=2)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = (sys.executable, "-m", "vrrpd", "run", "-f", PLACEHOLDER)
    version = subprocess.run(
        [sys.executable, "-m", "vrrpd", "--version"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stdout.strip()
    return Program("vrrpd", command, f"{version}, Python {sys.version.split()[0]}", {"PYTHONPATH": path})


def keepalived() -> Program:
    """The distribution's keepalived: $VRRPD_KEEPALIVED, else the fetched one, else the installed one."""
    named = os.environ.get("VRRPD_KEEPALIVED")
    candidates = [Path(named)] if named else [FETCHED_KEEPALIVED, INSTALLED_KEEPALIVED]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            break
    else:
        raise NoSuchDaemon(
            f"no keepalived at {' nor at '.join(map(str, candidates))}: `make keepalived` fetches it, "
            "VRRPD_KEEPALIVED names another, --without keepalived goes on without it"
        )
    done = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"Keepalived v(\S+)", done.stdout + done.stderr)
    if found is None:
        raise NoSuchDaemon(f"{candidate} --version says {(done.stdout + done.stderr)[:200]!r}, expected a version")
    # In the foreground, for the benchmark holds its process; everything else is its default.
    options = ("--vrrp", "--dont-fork", "--no-syslog", "--log-console", "--use-file", PLACEHOLDER)
    return Program("keepalived", (str(candidate), *options), f"keepalived {found[1]}")


def given(text: str) -> Program:
    """A third daemon from the command line: ``NAME=COMMAND``; raises ValueError with what is wrong with it."""
    name, separator, command = text.partition("=")
    if not separator or not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"{text!r} is no daemon, expected NAME=COMMAND with a name of letters, digits and .+-_")
    words = tuple(shlex.split(command))
    if not any(PLACEHOLDER in word for word in words):
        raise ValueError(f"{command!r} does not say where the configuration goes, expected {PLACEHOLDER} in it")
    return Program(name, words, command)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a daemon's processes have used so far."""

    at: float
    """CLOCK_MONOTONIC, seconds."""
    cpu_seconds: float
    """On a processor, by the scheduler's count, all threads of all processes that live."""
    pss_bytes: int
    processes: int


class Daemon:
    """A program that runs on a host."""

    def __init__(self, program: Program, host: Host, config: Path) -> None:
        self._host: Final = host
        self._before: Final = frozenset(self._processes())
        self.started_ns: Final = time.time_ns()
        self.process: Final[Process] = host.start(
            program.argv(config),
            name=program.name,
            env={**os.environ, **program.environment},
            private_run=True,
        )

    def _processes(self) -> list[int]:
        return processes_in({self._host.namespace.identity})

    def pids(self) -> list[int]:
        """All its processes."""
        return [pid for pid in self._processes() if pid not in self._before]

    def stop(self) -> None:
        """Ask it to end as an init system would, and return at once."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill all its processes at once: none may notice the end of another and tidy up or start it again."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not self.pids(), what=f"the last process of {self.process.name} to be gone")

    def cost(self) -> Cost:
        """What it has used so far."""
        pids = self.pids()
        now = time.monotonic()
        cpu = sum(_cpu_nanoseconds(pid) for pid in pids)
        return Cost(now, cpu / 1e9, sum(_pss_bytes(pid) for pid in pids), len(pids))


def _cpu_nanoseconds(pid: int) -> int:
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _pss_bytes(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
