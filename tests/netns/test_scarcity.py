"""A daemon that gets no descriptor and no memory any more: what it needs for a takeover it has already."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.daemons import Daemon, Daemons, instance
from vrrpd.lab import Bridge, Host, wait_until

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"


@contextmanager
def limited(daemon: Daemon, what: int, value: int) -> Iterator[None]:
    """Sets a daemon's limit for the block."""
    before = resource.prlimit(daemon.process.pid, what)
    resource.prlimit(daemon.process.pid, what, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(daemon.process.pid, what, before)


def test_a_takeover_is_announced_without_a_free_descriptor(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance(interval=1))
    daemon.wait_for_state("BACKUP")
    capture = lan.capture()
    with limited(daemon, resource.RLIMIT_NOFILE, 4):
        capture.wait_for(lambda frame: bool(capture.announcements(VIP)), timeout=15, what="a gratuitous ARP")
    assert r1.has_address(VIP)


def test_a_client_that_finds_no_free_descriptor_waits_and_the_log_says_so_once(r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    path = f"/proc/{daemon.process.pid}/root/run/vrrpd/{r1.namespace.identity[1]}.default.sock"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        with limited(daemon, resource.RLIMIT_NOFILE, 4):
            client.connect(path)
            client.sendall(b'{"command": "status"}\n')
            wait_until(lambda: "cannot answer on the control socket" in daemon.log, what="the word about it")
        assert client.recv(100).startswith(b'{"schema"')
    assert daemon.log.count("cannot answer on the control socket, trying again: Too many open files") == 1


def test_a_reload_without_memory_is_refused_and_the_next_one_is_done(r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    count = daemon.status()["reloads"]["count"]
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[0])
    with limited(daemon, resource.RLIMIT_AS, pages * resource.getpagesize()):
        daemon.process.signal(signal.SIGHUP)
        wait_until(lambda: "reload refused" in daemon.log, 10, "the end of the reload")
    assert daemon.status()["reloads"]["count"] == count + 1
    assert daemon.reload()["result"] == "done"
    assert daemon.router()["counters"]["became_master"] == 1
