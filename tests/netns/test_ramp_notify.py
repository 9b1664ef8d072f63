"""The notify script of the examples, called as vrrpd calls it: it makes a ramp node's tunnel and takes it away."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.netns.test_demo_ramp import NOTIFY
from vrrpd.lab import Bridge, Host, Lab, NotSupported

pytestmark = pytest.mark.netns

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
SETTINGS = {
    "PATH": PATH,
    "RAMP_IP": "192.0.2.100",
    "EDGE_IP": "192.0.2.10",
    "TUNNEL_IP1": "203.0.113.1",
    "TUNNEL_IP2": "203.0.113.2",
    "KIND": "vxlan",
}


@pytest.fixture
def node(lab: Lab, lan: Bridge) -> Host:
    """A ramp node that does not hold RAMP_IP, with the ip command."""
    if shutil.which("ip", path=PATH) is None:
        pytest.skip("the notify script needs the ip command (package iproute2)")
    host = lab.host("node")
    host.connect(lan, "eth0", "192.0.2.1/24")
    return host


def notify(node: Host, state: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the script for a new state."""
    command = [str(NOTIFY), "INSTANCE", "ipf_VIP_1", state, "100"]
    return node.run(command, env={**SETTINGS, **changes}, check=False)


def ip(node: Host, *arguments: str) -> str:
    """Run the ip command; its output."""
    return node.run(["ip", *arguments], env={"PATH": PATH}).stdout


@pytest.mark.parametrize("kind", ["vxlan", "ipip"])
def test_a_backup_has_the_tunnel_from_ramp_ip_before_it_needs_it(lab: Lab, node: Host, kind: str) -> None:
    if kind == "ipip":
        try:
            lab.host("trial").add_tunnel("tun1", "ipip", "192.0.2.100", "192.0.2.10")
        except NotSupported as reason:
            pytest.skip(str(reason))
    done = notify(node, "BACKUP", KIND=kind)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    tunnel = ip(node, "-details", "link", "show", "dev", "tun1")
    assert f"{kind} " in tunnel
    assert "local 192.0.2.100 " in tunnel
    assert "remote 192.0.2.10 " in tunnel
    assert "UP" in tunnel
    assert "inet 203.0.113.2 peer 203.0.113.1/32 " in ip(node, "-4", "address", "show", "dev", "tun1")


def test_a_tunnel_that_is_there_is_left_as_it_is(node: Host) -> None:
    notify(node, "BACKUP")
    before = ip(node, "address", "show", "dev", "tun1").split(":")[0]
    for state in ("MASTER", "FAULT", "BACKUP", "MASTER"):
        done = notify(node, state)
        assert (done.returncode, done.stderr) == (0, ""), state
    assert ip(node, "address", "show", "dev", "tun1").split(":")[0] == before


def test_stop_takes_the_tunnel_away_and_may_come_twice(node: Host) -> None:
    notify(node, "MASTER")
    assert "tun1" in node.interfaces()
    for _ in range(2):
        done = notify(node, "STOP")
        assert (done.returncode, done.stderr) == (0, "")
        assert "tun1" not in node.interfaces()


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        ("MASTER", {"EDGE_IP": ""}, "ramp-node notify: EDGE_IP is not set: fill in the settings at the top of "),
        ("MASTER", {"KIND": "gre"}, "ramp-node notify: KIND is gre, expected ipip or vxlan\n"),
        ("master", {}, "ramp-node notify: the state is 'master', expected MASTER, BACKUP, FAULT or STOP\n"),
    ],
)
def test_what_is_wrong_is_said(node: Host, state: str, changes: dict[str, str], expected: str) -> None:
    done = notify(node, state, **changes)
    assert done.returncode == 1
    assert done.stderr.startswith(expected)
    assert "tun1" not in node.interfaces()
