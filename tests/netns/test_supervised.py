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
from vrrpd.cli import CANNOT_RUN
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


def broken(what: str) -> list[str]:
    """A vrrpd in which something is wrong: lines of Python that see to it, before it starts."""
    return [sys.executable, "-c", f"import sys\nfrom vrrpd import cli, daemon, sources\n{what}\nsys.exit(cli.main())"]


SECOND_LOAD_FAILS = """
read, loads = sources.FileSource.load, []

def load(source):
    loads.append(source)
    if len(loads) == 2:
        raise ValueError("nobody has thought of this")
    return read(source)

sources.FileSource.load = load
"""
END_IN_AN_ERROR = """
def fail(self):
    raise ValueError("nor of this")

daemon.Daemon._tell_ready = fail
"""


def test_a_reload_that_ends_in_an_error_of_our_own_is_told_and_over(
    r1: Host, environment: dict[str, str], tmp_path: Path, manager: socket.socket
) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    command = [*broken(SECOND_LOAD_FAILS), "run", "-f", str(file)]
    told = {**environment, "NOTIFY_SOCKET": manager.getsockname()}
    process = r1.start(command, name="vrrpd", env=told, cwd=SOURCE, private_run=True)
    daemon = Daemon(r1, file, [], "default", process)
    assert heard(manager)[0] == "READY=1"
    process.signal(signal.SIGHUP)
    assert heard(manager)[0] == "RELOADING=1"
    assert heard(manager)[0] == "READY=1"
    process.wait_for_log("ERROR what was begun for a signal ended in an error of vrrpd's own")
    assert "ValueError: nobody has thought of this" in daemon.log
    assert daemon.reload()["result"] == "done"
    assert process.stop() == 0


def test_a_daemon_that_ends_by_an_error_of_its_own_is_one_that_is_started_again(r1: Host, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    process = r1.start([*broken(END_IN_AN_ERROR), "run", "-f", str(file)], name="vrrpd", cwd=SOURCE, private_run=True)
    code = process.wait(20)
    assert str(code) not in settings()["Service"]["RestartPreventExitStatus"].split()
    assert code == CANNOT_RUN
    log = process.log_text()
    assert "the daemon ends by an error of its own" in log
    assert "ValueError: nor of this" in log
    assert not r1.has_address("192.0.2.100")
