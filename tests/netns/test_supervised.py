"""A daemon as systemd runs it: with the rights of the unit, and heard by its supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.daemons import SOURCE, VRRPD, Daemon, Daemons, check, instance
from tests.netns.test_privileges import NOTHING_MORE, needs_users, rights_of
from tests.test_systemd import heard, settings
from vrrpd.lab import Host

pytestmark = pytest.mark.netns


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def supervised(daemons: Daemons, host: Host, tmp_path: Path, configuration: str, manager: socket.socket) -> Daemon:
    """A daemon with the capabilities that the unit grants, and without new privileges."""
    granted = settings()["Service"]["CapabilityBoundingSet"].lower().replace("cap_", "+").split()
    file = tmp_path / "keepalived.conf"
    file.write_text(configuration)
    command = ["setpriv", "--no-new-privs", f"--bounding-set={','.join(['-all', *granted])}"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path]),
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "400000",
    }
    process = host.start(
        [*command, *VRRPD, "run", "-f", str(file)], name="vrrpd", env=environment, cwd=SOURCE, private_run=True
    )
    daemon = Daemon(host, file, [], "default", process)
    daemons.adopt(daemon)
    return daemon


def next_but_watchdog(manager: socket.socket) -> list[str]:
    while (message := heard(manager)) == ["WATCHDOG=1"]:
        pass
    return message


@needs_users
def test_the_supervisor_hears_of_every_step_of_a_daemon_with_the_units_rights(
    r1: Host, daemons: Daemons, tmp_path: Path, manager: socket.socket
) -> None:
    configuration = check("id -un", interval=0.2).replace("user root", "user nobody")
    configuration += instance("track_script {", "service", "}")
    daemon = supervised(daemons, r1, tmp_path, configuration, manager)
    assert heard(manager) == ["READY=1", "STATUS=runs 1 virtual routers"]
    for _ in range(3):
        assert heard(manager) == ["WATCHDOG=1"]
    daemon.wait_for_state("MASTER")
    assert daemon.check()["state"] == "up"
    assert rights_of(daemon.process.pid) == NOTHING_MORE
    daemon.process.signal(signal.SIGHUP)
    message = next_but_watchdog(manager)
    assert message[0] == "RELOADING=1"
    assert message[1].startswith("MONOTONIC_USEC=")
    assert next_but_watchdog(manager)[0] == "READY=1"
    daemon.file.write_text("vrrp_instance {")
    daemon.process.signal(signal.SIGHUP)
    assert next_but_watchdog(manager)[0] == "RELOADING=1"
    assert next_but_watchdog(manager)[0] == "READY=1"
    daemon.process.terminate()
    assert next_but_watchdog(manager) == ["STOPPING=1"]
    assert daemon.process.wait() == 0
