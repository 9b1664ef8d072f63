"""The moment of a takeover on a real kernel: what leaves, in which order, and what must not leave."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from tests.config.reading import read
from tests.netns.daemons import Daemons, check, instance, script
from tests.netns.test_command_line import setpriv
from vrrpd.config.model import VirtualAddress
from vrrpd.lab import Bridge, Host, wait_until
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.net.netlink import AddressWriter, InterfaceMonitor, encode_invalid
from vrrpd.net.practice import PracticeDataplane
from vrrpd.protocol.datagram import IPAddress
from vrrpd.rehearsal import Rehearsal

pytestmark = pytest.mark.netns

PRACTISED = {4: "192.0.2.100", 6: "2001:db8::100"}


@pytest.mark.parametrize("family", [4, 6])
def test_practice_changes_nothing_and_nothing_of_it_leaves_the_host(lan: Bridge, r1: Host, family: int) -> None:
    vip = PRACTISED[family]
    config = read(instance(addresses=[vip])).routers[0]
    before = r1.addresses("eth0"), r1.addresses("lo")
    capture = lan.capture(everything=True)
    with r1.inside():
        monitor = InterfaceMonitor()
        table = InterfaceTable()
        monitor.watch(None)
        table.replace(*monitor.snapshot())
        stage = PracticeDataplane(table, time.monotonic)
        port = stage.port(config, lambda address, error: None)
        port.bind()
        assert port.use_source(_address("192.0.2.1" if family == 4 else "2001:db8::1")) is None
        for _ in range(3):
            port.send(b"\x31 an advertisement", _address("224.0.0.18" if family == 4 else "ff02::12"))
            port.install(None)
            port.announce(2, None)
            stage.flush()
        port.close()
        stage.close()
        rehearsal = Rehearsal(config, table, time.monotonic)
        for _ in range(3):
            rehearsal.play()
        rehearsal.close()
        monitor.close()
    assert port.refusals == 3, "the requests were made"
    assert not port.installed
    # What was sent before it has been captured before it.
    last = bytes.fromhex("ffffffffffff020000000001") + b"\x88\xb6" + bytes(46)
    r1.send_frame(last)
    wait_until(lambda: any(frame.data[12:14] == b"\x88\xb6" for frame in capture.frames), what="the last frame")
    assert not any(frame.data[12:14] == b"\x88\xb5" for frame in capture.frames)
    assert not capture.advertisements()
    assert not capture.announcements(vip)
    assert (r1.addresses("eth0"), r1.addresses("lo")) == before


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.100", "2001:db8::1", "2001:db8::100"])
def test_the_request_for_practice_is_refused_whether_or_not_the_address_is_there(r1: Host, address: str) -> None:
    with r1.inside():
        writer = AddressWriter()
        virtual = VirtualAddress(_address(address), 24 if "." in address else 64, "eth0")
        errors = writer.submit([encode_invalid(virtual, socket.if_nametoindex("eth0"))])
        writer.close()
    assert [str(error) for error in errors] == ["Invalid argument"]


def _address(text: str) -> IPAddress:
    return IPv6Address(text) if ":" in text else IPv4Address(text)


@pytest.mark.requirement("ARP-4")
def test_every_address_is_announced_once_before_any_is_announced_again(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    vips = [f"192.0.2.{number}" for number in range(100, 200)]
    capture = lan.capture()
    daemon = daemons.start(r1, instance("garp_master_delay 0", addresses=[f"{vip}/24" for vip in vips]))
    wait_until(
        lambda: sum(len(capture.announcements(vip)) for vip in vips) >= 5 * len(vips),
        what="five announcements of each address",
    )
    frames = sorted((frame.time_ns, vip) for vip in vips for frame, _ in capture.announcements(vip))
    order = [vip for _, vip in frames]
    assert Counter(order) == dict.fromkeys(vips, 5)
    assert order[: len(vips)] == vips, "in the order of the configuration"
    assert daemon.process.stop() == 0


def test_real_time_scheduling_is_for_the_daemon_and_not_for_its_scripts(
    r1: Host, daemons: Daemons, tmp_path: Path
) -> None:
    seen = tmp_path / "policy"
    command = script(tmp_path / "check", f"chrt -p $$ > {seen}.new", f"mv {seen}.new {seen}")
    text = check(str(command)) + instance("track_script {", "service", "}")
    daemon = daemons.start(r1, text, "--realtime")
    daemon.wait_for_state("MASTER")
    assert os.sched_getscheduler(daemon.process.pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    locked = Path(f"/proc/{daemon.process.pid}/status").read_text().split("VmLck:")[1].split()[0]
    assert int(locked) > 1000, "kB"
    wait_until(seen.exists, what="the check's own policy")
    assert "SCHED_OTHER" in seen.read_text()


def test_without_the_capabilities_real_time_is_a_warning_and_the_daemon_runs(r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance(), "--realtime", prefix=setpriv("--bounding-set=-sys_nice,-ipc_lock"))
    daemon.wait_for_state("MASTER")
    assert "--realtime goes on without real-time scheduling (SCHED_RR): Operation not permitted" in daemon.log
    assert "it needs CAP_SYS_NICE" in daemon.log
