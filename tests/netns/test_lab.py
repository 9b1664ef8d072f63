"""The lab itself: wires carry, cables can be pulled, captures tell the truth, and nothing is ever left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pyroute2
import pytest

import vrrpd
from vrrpd.lab import Advertisement, Arp, Bridge, Host, Lab, LabError, NeighbourAdvertisement, wait_until
from vrrpd.lab.guardian import processes_in

pytestmark = pytest.mark.netns

SOURCE = Path(vrrpd.__file__).parent.parent
PACKAGES = Path(pyroute2.__file__).parent.parent
NOBODY = 65534

# Version 3, vrid 51, priority 100, interval 100 cs, 192.0.2.100, from 192.0.2.1; the IPv4 header's checksum is wrong.
ADVERTISEMENT = bytes.fromhex("45c00020000000 00ff700000 c0000201e0000012 3133640100640000 c0000264".replace(" ", ""))


@pytest.fixture
def lan(lab: Lab) -> Bridge:
    return lab.bridge("lan")


@pytest.fixture
def r1(lab: Lab, lan: Bridge) -> Host:
    host = lab.host("r1")
    host.connect(lan, "eth0", "192.0.2.1/24", "2001:db8::1/64")
    return host


@pytest.fixture
def r2(lab: Lab, lan: Bridge) -> Host:
    host = lab.host("r2")
    host.connect(lan, "eth0", "192.0.2.2/24", "2001:db8::2/64")
    return host


class Wire:
    """A UDP socket on r2 and one on r1 that sends to it."""

    def __init__(self, r1: Host, r2: Host) -> None:
        with r2.inside():
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.receiver.bind(("192.0.2.2", 0))
            self.receiver.setblocking(False)
        with r1.inside():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sender.setblocking(False)

    def carries(self, within: float = 10.0) -> bool:
        """Send until one arrives; false after ``within`` seconds (ARP tries again only after a second)."""
        try:
            return wait_until(self._one_arrives, within)
        except TimeoutError:
            return False

    def is_dead(self) -> bool:
        """Send for a while without one that arrives."""
        return not self.carries(within=0.25)

    def _one_arrives(self) -> bool:
        try:
            self.sender.sendto(b"probe", self.receiver.getsockname())
            self.receiver.recv(64)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


@pytest.fixture
def wire(r1: Host, r2: Host) -> Iterator[Wire]:
    pair = Wire(r1, r2)
    yield pair
    pair.close()


def test_two_hosts_on_a_bridge_exchange_packets(wire: Wire) -> None:
    assert wire.carries()


def test_ipv6_addresses_and_the_link_local_one_are_usable_at_once(r1: Host, r2: Host) -> None:
    with r2.inside():
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with r1.inside():
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        scope = socket.if_nametoindex("eth0")
    with receiver, sender:
        receiver.settimeout(5)
        receiver.bind(("::", 0))
        port = receiver.getsockname()[1]
        sender.sendto(b"global", ("2001:db8::2", port))
        assert receiver.recv(64) == b"global"
        sender.sendto(b"link-local", (str(r2.link_local()), port, 0, scope))
        assert receiver.recv(64) == b"link-local"


def test_hosts_on_different_bridges_do_not_hear_each_other(lab: Lab, r1: Host) -> None:
    other = lab.host("other")
    other.connect(lab.bridge("elsewhere"), "eth0", "192.0.2.2/24")
    pair = Wire(r1, other)
    assert pair.is_dead()
    pair.close()


def test_an_unplugged_host_loses_its_carrier_and_gets_it_back(lan: Bridge, r1: Host, wire: Wire) -> None:
    assert r1.has_carrier()
    lan.unplug(r1)
    assert not r1.has_carrier()
    assert wire.is_dead()
    lan.plug(r1)
    assert r1.has_carrier()
    assert wire.carries()


def test_a_host_that_is_cut_off_keeps_its_carrier_but_no_frame_passes(lan: Bridge, r1: Host, wire: Wire) -> None:
    lan.cut(r1)
    assert r1.has_carrier()
    assert wire.is_dead()
    lan.mend(r1)
    assert wire.carries()


def test_the_capture_has_no_frame_of_a_host_that_is_cut_off(lan: Bridge, r1: Host, r2: Host) -> None:
    with lan.capture() as capture:
        lan.cut(r1)
        r1.send_packet(ADVERTISEMENT)
        r2.send_packet(ADVERTISEMENT)
        frame, _ = capture.wait_for_advertisement()
        assert frame.source_mac == r2.mac()
        assert len(capture.advertisements()) == 1


def test_an_interface_can_be_taken_down_renamed_deleted_and_made_anew(lan: Bridge, r1: Host) -> None:
    r1.set_link("eth0", up=False)
    assert not r1.has_carrier()
    r1.set_link("eth0", up=True)
    r1.rename("eth0", "uplink")
    assert r1.interfaces() == ["lo", "uplink"]
    assert r1.has_carrier("uplink")
    lan.unplug(r1)
    assert not r1.has_carrier("uplink")
    r1.delete_link("uplink")
    assert r1.interfaces() == ["lo"]
    r1.connect(lan, "eth0", "192.0.2.1/24", mac="02:00:00:00:00:01")
    assert r1.mac() == "02:00:00:00:00:01"
    assert ("192.0.2.1", 24) in r1.addresses()


def test_addresses_are_added_listed_and_removed(r1: Host) -> None:
    r1.add_address("eth0", "192.0.2.100/32")
    r1.add_address("eth0", "2001:db8::100/128")
    assert ("192.0.2.100", 32) in r1.addresses()
    assert ("2001:db8::100", 128) in r1.addresses()
    assert r1.has_address("192.0.2.100")
    r1.remove_address("eth0", "192.0.2.100/32")
    assert not r1.has_address("192.0.2.100")
    assert r1.has_address("2001:db8:0:0::100")


def test_a_request_that_cannot_be_met_says_which_host_and_why(lab: Lab, r1: Host) -> None:
    with pytest.raises(LabError, match=re.escape("r1: cannot add 192.0.2.1/24 on eth0: ")):
        r1.add_address("eth0", "192.0.2.1/24")
    with pytest.raises(LabError, match=re.escape("r1: there is no link 'eth7' (there are: lo, eth0)")):
        r1.mac("eth7")
    with pytest.raises(LabError, match="there is a host 'r1' already"):
        lab.host("r1")


def test_a_captured_frame_bears_the_kernels_time_of_arrival(lan: Bridge, r1: Host) -> None:
    with lan.capture() as capture:
        before = time.time_ns()
        r1.send_packet(ADVERTISEMENT)
        after = time.time_ns()
        frame, _ = capture.wait_for_advertisement()
        # The bridge forwards in the sender's system call, so the stamp lies within it.
        assert before <= frame.time_ns <= after


def test_the_capture_takes_an_advertisement_apart(lan: Bridge, r1: Host) -> None:
    with lan.capture() as capture:
        r1.send_packet(ADVERTISEMENT)
        frame, seen = capture.wait_for_advertisement(vrid=51, source="192.0.2.1", priority=100)
    assert capture.advertisements(since_ns=frame.time_ns) == [(frame, seen)]
    assert capture.advertisements(since_ns=frame.time_ns + 1) == []
    assert capture.advertisements(vrid=52) == []
    assert frame.destination_mac == "01:00:5e:00:00:12"
    assert frame.source_mac == r1.mac()
    assert (seen.version, seen.type, seen.vrid, seen.priority, seen.interval) == (3, 1, 51, 100, 100)
    assert (seen.destination, seen.hop_limit) == (IPv4Address("224.0.0.18"), 255)
    assert seen.addresses == (IPv4Address("192.0.2.100"),)
    assert seen.payload == ADVERTISEMENT[20:]


def test_the_capture_knows_gratuitous_arp_and_unsolicited_neighbour_advertisements(lan: Bridge, r1: Host) -> None:
    mac = r1.mac()
    own = mac.replace(":", "")
    with lan.capture() as capture:
        r1.send_frame(
            bytes.fromhex(f"ffffffffffff{own}0806000108000604000 1{own}c0000264000000000000c0000264".replace(" ", ""))
        )
        r1.send_packet(
            bytes.fromhex(
                "6000000000203aff 20010db8000000000000000000000001 ff020000000000000000000000000001"
                f"88000000 a0000000 20010db8000000000000000000000100 0201{own}".replace(" ", "")
            )
        )
        wait_until(lambda: len(capture.announcements()) == 2, what="both announcements")
    (_, arp), (_, advertisement) = capture.announcements()
    assert arp == Arp(1, mac, IPv4Address("192.0.2.100"), "00:00:00:00:00:00", IPv4Address("192.0.2.100"))
    assert advertisement == NeighbourAdvertisement(
        source=IPv6Address("2001:db8::1"),
        destination=IPv6Address("ff02::1"),
        target=IPv6Address("2001:db8::100"),
        mac=mac,
        router=True,
        solicited=False,
        override=True,
    )
    assert len(capture.announcements("192.0.2.100")) == 1
    assert len(capture.announcements("192.0.2.101")) == 0


def test_an_injected_frame_reaches_every_host_and_the_capture(lan: Bridge, r1: Host, r2: Host) -> None:
    listeners = []
    for host in (r1, r2):
        with host.inside():
            listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
            group = socket.inet_aton("224.0.0.18") + struct.pack("@II", 0, socket.if_nametoindex("eth0"))
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            listeners.append(listener)
    capture = lan.capture()
    header = bytes.fromhex("45c0002000000000ff701898c0000203e0000012")  # from 192.0.2.3, with its checksum
    lan.inject(bytes.fromhex("01005e0000120200000000010800") + header + ADVERTISEMENT[20:])
    frame, seen = capture.wait_for_advertisement()
    assert isinstance(seen, Advertisement)
    assert frame.source_mac == "02:00:00:00:00:01"
    for listener in listeners:
        with listener:
            listener.settimeout(5)
            assert listener.recv(2048)[20:] == ADVERTISEMENT[20:]


def test_a_capture_leaves_other_traffic_out_unless_asked(lan: Bridge, r1: Host, wire: Wire) -> None:
    narrow, wide = lan.capture(), lan.capture(everything=True)
    assert wire.carries()
    r1.send_packet(ADVERTISEMENT)
    narrow.wait_for_advertisement()
    wide.wait_for_advertisement()
    assert any(b"probe" in frame.data for frame in wide.frames)
    assert not any(b"probe" in frame.data for frame in narrow.frames)


def test_a_program_runs_in_its_hosts_namespace_and_its_log_can_be_read(r1: Host, tmp_path: Path) -> None:
    process = r1.start(["sh", "-c", "readlink /proc/self/ns/net; exec sleep 60"], log=tmp_path / "log")
    match = process.wait_for_log(r"net:\[(\d+)\]")
    assert int(match[1]) == r1.namespace.identity[1]
    assert process.running
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == process.log_text()
    done = r1.run(["sh", "-c", "echo out; exit 3"], check=False)
    assert (done.returncode, done.stdout) == (3, "out\n")
    with pytest.raises(LabError, match=r"r1: sh -c exit 3: exit code 3, expected 0"):
        r1.run(["sh", "-c", "exit 3"])


def test_waiting_for_the_log_of_a_program_that_ends_fails_at_once_with_the_log(r1: Host) -> None:
    process = r1.start(["sh", "-c", "echo cannot start; exit 1"], name="daemon")
    with pytest.raises(TimeoutError, match=r"(?s)r1:daemon ended \(1\) without 'ready'.*cannot start"):
        process.wait_for_log("ready", timeout=60)


def test_a_program_with_a_private_run_directory_sees_it_empty_and_nobody_sees_its_files(r1: Host) -> None:
    process = r1.start(["sh", "-c", "ls -A /run; touch /run/lab-test-file; echo done; exec sleep 60"], private_run=True)
    process.wait_for_log("^done$")
    assert process.log_text() == "done\n"
    assert not Path("/run/lab-test-file").exists()


def test_reset_kills_everything_on_the_host_also_what_left_its_process_group(r1: Host, r2: Host) -> None:
    process = r1.start(["sh", "-c", "setsid sleep 60 & setsid sleep 60 & exec sleep 60"])
    bystander = r2.start(["sleep", "60"])
    wait_until(lambda: len(processes_in({r1.namespace.identity})) == 3, what="three programs on r1")
    r1.reset()
    assert processes_in({r1.namespace.identity}) == []
    assert process.wait() == -signal.SIGKILL
    assert bystander.running


def test_the_calling_thread_is_back_in_its_own_namespace_after_inside(r1: Host) -> None:
    before = os.stat("/proc/thread-self/ns/net").st_ino
    with r1.inside():
        assert os.stat("/proc/thread-self/ns/net").st_ino == r1.namespace.identity[1]
    assert os.stat("/proc/thread-self/ns/net").st_ino == before
    with pytest.raises(FileNotFoundError), r1.inside():
        os.stat("/proc/no-such-thing")
    assert os.stat("/proc/thread-self/ns/net").st_ino == before


def build_and_leave(identities: set[tuple[int, int]], error: type[Exception] | None = None) -> None:
    """Build a lab with a program that left its session, note its namespaces and leave, by an exception if given."""
    with Lab() as lab:
        lan = lab.bridge("lan")
        host = lab.host("r1", public_name="vrrpd-lab-test")
        host.connect(lan, "eth0", "192.0.2.1/24")
        lan.capture()
        host.start(["sh", "-c", "setsid sleep 60 & exec sleep 60"])
        identities |= {host.namespace.identity, lan.namespace.identity}
        wait_until(lambda: len(processes_in(identities)) == 2, what="both programs")
        assert Path("/run/netns/vrrpd-lab-test").stat().st_ino == host.namespace.identity[1]
        if error is not None:
            raise error("half-way")


def what_is_held() -> tuple[int, int]:
    """How many descriptors and threads this process has."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


@pytest.mark.alone  # it counts what there is on the whole machine
@pytest.mark.parametrize("error", [None, ValueError])
def test_nothing_is_left_behind_after_the_block(privileges: None, error: type[Exception] | None) -> None:
    build_and_leave(set())  # what libraries open once stays open, and is no part of this
    before = what_is_held()
    identities: set[tuple[int, int]] = set()
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        build_and_leave(identities, error)
    assert len(identities) == 2
    assert processes_in(identities) == []
    assert not Path("/run/netns/vrrpd-lab-test").exists()
    assert what_is_held() == before


LAB_THAT_WAITS = """
    import sys, time
    from vrrpd.lab import Lab
    with Lab() as lab:
        lan = lab.bridge("lan")
        host = lab.host("r1", public_name={name!r})
        host.connect(lan, "eth0", "192.0.2.1/24")
        process = host.start(["sh", "-c", "setsid sleep 60 & exec sleep 60"])
        print(*host.namespace.identity, lab._guardian.pid, flush=True)
        time.sleep(60)
"""


def bare_environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{SOURCE}:{PACKAGES}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def test_nothing_is_left_behind_by_a_lab_that_is_killed(privileges: None) -> None:
    script = textwrap.dedent(LAB_THAT_WAITS.format(name="vrrpd-lab-test-killed"))
    with subprocess.Popen(
        [sys.executable, "-c", script], env=bare_environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        device, inode, guardian = map(int, child.stdout.readline().split())
        identity = {(device, inode)}
        wait_until(lambda: len(processes_in(identity)) == 2, what="both programs")
        name = Path("/run/netns/vrrpd-lab-test-killed")
        assert name.exists()
        child.kill()
        wait_until(lambda: processes_in(identity) == [], what="the programs' end")
        wait_until(lambda: not name.exists(), what="the public name's end")
        wait_until(lambda: not is_running(guardian), what="the guardian's end")


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def run_as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter as an unprivileged user, or skip where that user cannot."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; without root all of these tests go the rootless way")
    for interpreter in (sys.executable, "/usr/bin/python3"):
        try:
            return subprocess.run(
                [interpreter, *arguments],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                env=bare_environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (PermissionError, FileNotFoundError):
            continue
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"cannot become user {NOBODY}: {error}")
    pytest.skip(f"cannot become user {NOBODY} (in a user namespace?), or that user can run no Python here")


ROOTLESS = """
    import os, socket
    assert os.geteuid() == 65534
    from vrrpd.lab import Lab
    with Lab() as lab:
        assert os.geteuid() == 0
        lan = lab.bridge("lan")
        hosts = lab.host("r1"), lab.host("r2", public_name="r2")
        for number, host in enumerate(hosts, 1):
            host.connect(lan, "eth0", f"192.0.2.{number}/24")
        assert os.listdir("/run/netns") == ["r2"]
        with hosts[1].inside():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("192.0.2.2", 7))
        receiver.settimeout(5)
        with lan.capture(everything=True) as capture, hosts[0].inside():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("192.0.2.2", 7))
            assert receiver.recv(9) == b"hello"
            capture.wait_for(lambda frame: b"hello" in frame.data)
    print("done")
"""


def test_a_lab_works_without_root_where_user_namespaces_do(privileges: None) -> None:
    allowed = run_as_nobody("-m", "vrrpd.lab")
    if allowed.returncode == 77:
        pytest.skip(allowed.stderr.strip())
    if "No module named" in allowed.stderr:
        pytest.skip(f"the unprivileged user cannot read the packages: {allowed.stderr.strip().splitlines()[-1]}")
    assert allowed.returncode == 0, allowed.stderr
    done = run_as_nobody("-c", textwrap.dedent(ROOTLESS))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


WITHOUT_USER_NAMESPACES = """
    import resource, sys, threading
    import vrrpd.lab.__main__ as program
    release = threading.Event()
    threading.Thread(target=release.wait, daemon=True).start()
    code = program.main()
    release.set()
    sys.exit(code)
"""


def test_a_machine_that_allows_no_lab_says_what_is_missing_and_exits_with_77(privileges: None) -> None:
    done = run_as_nobody("-c", textwrap.dedent(WITHOUT_USER_NAMESPACES))
    if "No module named" in done.stderr:
        pytest.skip(f"the unprivileged user cannot read the packages: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 77, done.stderr
    assert "user 65534 lacks CAP_SYS_ADMIN" in done.stderr
    assert "a user namespace is for a process with one thread, this one has 2" in done.stderr
    assert "Traceback" not in done.stderr
