"""The systemd unit, and what the daemon tells its supervisor: over a real datagram socket."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vrrpd import privileges
from vrrpd.cli import CANNOT_RUN, WRONG_CONFIGURATION, _parser
from vrrpd.scripts import capabilities
from vrrpd.supervisor import Supervisor

UNIT = Path(__file__).resolve().parent.parent / "deploy" / "systemd" / "vrrpd.service"

KNOWN = {
    "Unit": {"Description", "After", "Wants", "Conflicts", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "ExecStart", "ExecReload", "WatchdogSec", "Restart", "RestartSec"),
        *("RestartPreventExitStatus", "TimeoutStopSec", "KillMode"),
        *("RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "LimitNOFILE", "OOMScoreAdjust"),
        *("CapabilityBoundingSet", "AmbientCapabilities", "NoNewPrivileges", "ProtectSystem", "ProtectHome"),
        *("PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs"),
        *("ProtectControlGroups", "ProtectClock", "ProtectHostname", "RestrictNamespaces", "RestrictAddressFamilies"),
        *("RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "SystemCallArchitectures", "UMask"),
    },
    "Install": {"WantedBy"},
}
"""Sections and keys as systemd.unit(5), systemd.service(5) and systemd.exec(5) spell them."""


def settings() -> dict[str, dict[str, str]]:
    """The unit's sections; fails on a line that is neither section, setting nor comment, and on a second value."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in UNIT.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if section := re.fullmatch(r"\[(\w+)\]", line):
            current = sections.setdefault(section[1], {})
            continue
        name, equals, value = line.partition("=")
        assert equals, line
        assert name not in current, line
        current[name] = value
    return sections


def test_the_unit_has_sections_and_keys_that_systemd_knows() -> None:
    assert {section: set(values) for section, values in settings().items()} == KNOWN


def test_the_unit_starts_a_command_line_that_there_is_and_keeps_the_run_directory_for_a_successor() -> None:
    service = settings()["Service"]
    program, *arguments = service["ExecStart"].split()
    assert os.path.basename(program) == "vrrpd"
    assert _parser().parse_args(arguments).command == "run"
    assert (service["Type"], service["RuntimeDirectory"], service["RuntimeDirectoryPreserve"]) == (
        "notify",
        "vrrpd",
        "restart",
    )


def test_the_unit_starts_again_for_ever_what_may_work_later_and_never_what_will_not() -> None:
    unit, service = settings()["Unit"], settings()["Service"]
    assert (service["Restart"], unit["StartLimitIntervalSec"]) == ("on-failure", "0")
    # Without a limit of starts the pause is all that keeps a daemon that cannot run from taking a processor.
    assert service["RestartSec"] == "500ms"
    never = {int(code) for code in service["RestartPreventExitStatus"].split()}
    command_line_is_wrong = 2
    assert never == {WRONG_CONFIGURATION, command_line_is_wrong}
    assert CANNOT_RUN not in never


def test_the_unit_bounds_the_capabilities_to_what_daemon_and_scripts_need() -> None:
    needed = privileges.NEEDED_FOR_SCRIPTS | capabilities.SETPCAP
    assert set(settings()["Service"]["CapabilityBoundingSet"].split()) == set(capabilities.names(needed))


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """Where systemd-analyze is not installed the tests above are what there is."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    unit = tmp_path / UNIT.name
    # The program is not installed where the tests run.
    unit.write_text(UNIT.read_text().replace("ExecStart=/usr/local/bin/vrrpd run", "ExecStart=/bin/true run"))
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=50", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        yield manager


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_each_step_is_one_datagram(listening: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listening.getsockname(), "PATH": "/bin"}
    supervisor = Supervisor(environment)
    assert environment == {"PATH": "/bin"}
    assert supervisor.watchdog_interval is None
    supervisor.ready("runs 2 virtual routers")
    assert heard(listening) == ["READY=1", "STATUS=runs 2 virtual routers"]
    before = time.monotonic_ns() // 1000
    supervisor.reloading()
    first, second = heard(listening)
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    supervisor.alive()
    assert heard(listening) == ["WATCHDOG=1"]
    supervisor.stopping()
    assert heard(listening) == ["STOPPING=1"]
    supervisor.close()
    supervisor.stopping()
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(4096)


def test_an_abstract_name_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0vrrpd-test-{os.getpid()}")
        manager.settimeout(10)
        Supervisor({"NOTIFY_SOCKET": f"@vrrpd-test-{os.getpid()}"}).stopping()
        assert heard(manager) == ["STOPPING=1"]


@pytest.mark.parametrize(
    ("process", "interval"), [("", 1.5), (str(os.getpid()), 1.5), ("1", None)], ids=["anybody", "us", "another"]
)
def test_half_of_what_the_watchdog_allows(listening: socket.socket, process: str, interval: float | None) -> None:
    asked = {"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": process}
    assert Supervisor(asked).watchdog_interval == interval
    assert asked == {}


@pytest.mark.parametrize("name", ["", "/nonexistent/notify", "vsock:2:1234", "notify"])
def test_without_a_supervisor_nothing_happens(name: str) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
    assert supervisor.watchdog_interval is None
    supervisor.ready("runs 1 virtual routers")
    supervisor.close()


def test_a_supervisor_that_does_not_read_is_not_waited_for(listening: socket.socket) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": listening.getsockname()})
    for _ in range(10_000):
        supervisor.alive()
    assert heard(listening) == ["WATCHDOG=1"]
