"""Whose claims count: names of locks that a process has taken which could be a daemon, and which could not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.netns.daemons import Daemons, instance
from tests.netns.test_command_line import run_refused
from tests.netns.test_privileges import needs_users
from vrrpd.cli import CANNOT_RUN
from vrrpd.lab import Host, Process

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"
INSTANCE, ROUTER = "vrrpd/instance/default", "vrrpd/router/eth0/ipv4/51"
SQUATTER = """
import os, socket, sys, time
user, how, *names = sys.argv[1:]
if user == "nobody":
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
held = []
for name in names:
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(chr(0) + name)
    held.append(taken)
    if how == "bound":
        continue
    taken.listen(0)
    if how == "full":
        for _ in range(2):
            waiting = socket.socket(socket.AF_UNIX)
            waiting.setblocking(False)
            held.append(waiting)
            try:
                waiting.connect(chr(0) + name)
            except BlockingIOError:
                break
print("taken", flush=True)
time.sleep(600)
"""
RIGHTS = "+net_raw,+dac_read_search"  # the second one to find Python anywhere
ALLOWED = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}"),
)


def squatting(host: Host, how: str, *names: str, user: str = "nobody", prefix: Sequence[str] = ()) -> Process:
    """A process that has taken the names of locks and does nothing else."""
    process = host.start([*prefix, sys.executable, "-I", "-S", "-c", SQUATTER, user, how, *names], name="squatter")
    process.wait_for_log("taken")
    return process


@needs_users
@pytest.mark.parametrize("how", ["listening", "bound", "full"])
def test_a_name_that_another_user_holds_keeps_no_daemon_from_starting(r1: Host, daemons: Daemons, how: str) -> None:
    squatter = squatting(r1, how, INSTANCE, ROUTER)
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    assert r1.has_address(VIP)
    who = f"process {squatter.pid} (user id 65534, which is not ours: 0)"
    for what in ("instance 'default' (use --instance for a second one)", "virtual router 51 on eth0 (IPv4)"):
        line = f"WARNING {what} is claimed by {who}, which can run no virtual router: going on without this lock"
        assert daemon.log.count(line) == 1
    assert daemon.reload()["result"] == "done"
    assert daemon.process.stop() == 0


@needs_users
@pytest.mark.parametrize("how", ["listening", "bound", "full"])
@pytest.mark.parametrize("prefix", [(), ALLOWED], ids=["root", "a user with CAP_NET_RAW"])
def test_a_name_that_could_be_a_daemons_keeps_a_second_one_from_starting(
    r1: Host, tmp_path: Path, how: str, prefix: Sequence[str]
) -> None:
    squatter = squatting(r1, how, ROUTER, user="as it is", prefix=prefix)
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    code, log = run_refused(r1, file)
    assert code == CANNOT_RUN
    assert f"virtual router 51 on eth0 (IPv4) is already run by process {squatter.pid}" in log
    assert not r1.has_address(VIP)


@needs_users
def test_a_name_that_another_user_gives_back_is_taken_at_the_next_reload(r1: Host, daemons: Daemons) -> None:
    squatter = squatting(r1, "listening", ROUTER)
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    squatter.kill()
    squatter.wait()
    assert daemon.reload()["result"] == "done"
    code, log = run_refused(r1, daemon.file, "--instance", "second")
    assert code == CANNOT_RUN
    assert f"virtual router 51 on eth0 (IPv4) is already run by process {daemon.process.pid}" in log
