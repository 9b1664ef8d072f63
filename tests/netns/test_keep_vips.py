"""A restart with --keep-vips: the successor goes on as MASTER before anybody has missed its predecessor, or not at all.

The kernel counts lifetimes in whole seconds, and a busy machine takes some of them to start a daemon: so the intervals
are seconds here. A router is MASTER soon all the same, as it gets its long interval by a reload, which is no election.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.netns.daemons import Daemon, Daemons, check, gaps, instance, script
from tests.netns.machines import Machine, machine_on
from tests.netns.test_addresses import entry, own
from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.lab.probe import Probe, start_responder
from vrrpd.net.interfaces import AddressAdded, AddressRemoved, Overrun
from vrrpd.net.netlink import InterfaceMonitor

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"


def better(interval: float = 4, *more: str, **given: Any) -> str:
    """The router that is restarted: with 4 s between its advertisements it leaves its addresses for 11 s."""
    return instance("nopreempt", *more, interval=interval, **{"priority": 150, **given})


def worse(interval: float = 4) -> str:
    """The other one."""
    return instance("nopreempt", interval=interval, priority=100)


@pytest.fixture
def machine(r1: Host, daemons: Daemons, tmp_path: Path) -> Machine:
    """The host on which daemons are restarted: 192.0.2.1."""
    return machine_on(r1, daemons, tmp_path)


class Watch:
    """When an address came to a host and when it went, by the kernel's own word."""

    def __init__(self, host: Host, address: str) -> None:
        self._monitor = host.call(InterfaceMonitor)
        host.call(self._monitor.snapshot)
        self._address = ip_address(address)
        self._end = threading.Event()
        self.events: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.002):
            for event in self._monitor.receive():
                match event:
                    case AddressAdded(address) if address.address == self._address:
                        self.events.append((time.monotonic(), "added"))
                    case AddressRemoved(address) if address.address == self._address:
                        self.events.append((time.monotonic(), "removed"))
                    case Overrun():
                        self.events.append((time.monotonic(), "overrun"))

    def first(self, what: str) -> float:
        """When that happened first; waits for it."""
        wait_until(lambda: any(name == what for _, name in self.events), 15.0, f"{self._address} to be {what}")
        return next(when for when, name in self.events if name == what)

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._monitor.close()


@contextmanager
def watching(host: Host, address: str = VIP) -> Iterator[Watch]:
    watch = Watch(host, address)
    try:
        yield watch
    finally:
        watch.close()


def routes(host: Host) -> list[str]:
    """The IPv6 routes to its own network that a host has."""
    listed = host.run(["ip", "-6", "route", "show", "dev", "eth0"]).stdout.splitlines()
    return sorted(line.strip() for line in listed if line.startswith("2001:db8"))


def following(daemon: Daemon) -> Daemon:
    """Waits until the other daemon is a BACKUP that has heard the MASTER."""
    daemon.wait_for(lambda router: router["state"] == "BACKUP" and router["master"]["address"] is not None, "following")
    return daemon


@pytest.mark.alone
def test_a_restart_in_time_is_seen_by_nobody(
    lab: Lab, lan: Bridge, machine: Machine, r2: Host, daemons: Daemons, record_property: Callable[[str, object], None]
) -> None:
    client = lab.host("client")
    client.connect(lan, "eth0", "192.0.2.9/24")
    for host in (machine.host, r2):
        start_responder(host)
    first = machine.serve(better, 4, "--keep-vips")
    other = following(daemons.start(r2, worse()))
    probe = Probe(client, VIP)
    probe.wait_for_answer(by=machine.host)
    capture = lan.capture()
    with watching(machine.host) as watch:
        for count in range(2):
            stopping = time.time_ns()
            assert first.process.stop() == 0
            assert "(was MASTER): stopped, and its addresses left to a successor for 11 s" in first.log
            assert 0 < (entry(machine.host, VIP).valid_lifetime or 0) <= 11
            assert len(machine.left()) == 1
            first = machine.start(better(), "--keep-vips")
            router = first.wait_for_state("MASTER")
            farewell, return_, *_ = capture.advertisements(51, since_ns=stopping)
            record_property(f"restart {count} took seconds", round(return_[0].time - farewell[0].time, 3))
            wait_until(lambda: entry(machine.host, VIP).permanent, what="the address to be for good again")
            assert router["last_transition"]["from"] == "INIT", count
            assert router["last_transition"]["reason"] == "started in time to go on for its predecessor"
            assert machine.left() == []
        # Longer than what was left of the address's life, and than anybody's master-down interval.
        seen = len(capture.advertisements(51))
        wait_until(lambda: len(capture.advertisements(51)) >= seen + 4, 30.0, "four more advertisements")
        assert [what for _, what in watch.events if what != "added"] == []
    assert other.router()["counters"]["became_master"] == 0
    assert {seen.priority for _, seen in capture.advertisements(51)} == {150}
    silence = max(gaps([frame.time for frame, _ in capture.advertisements(51)]))
    assert silence < 12.0
    summary = probe.stop()
    assert {(gap.before, gap.after) for gap in summary.gaps} <= {("r1", "r1")}
    record_property("longest silence on the wire in seconds", round(silence, 3))
    record_property("silences of 20 ms and more", len(summary.gaps))
    record_property("longest of them in milliseconds", max((gap.milliseconds for gap in summary.gaps), default=0))
    record_property("requests and answers", (summary.sent, summary.received))


def test_without_a_successor_the_kernel_takes_the_address_off_before_the_other_node_has_it(
    machine: Machine, r2: Host, daemons: Daemons, record_property: Callable[[str, object], None]
) -> None:
    def configuration(interval: float) -> str:
        addresses = ["2001:db8::100/64", "2001:db8::101/128"]
        return better(interval) + instance(name="VI_6", vrid=52, interval=interval, addresses=addresses)

    first = machine.serve(configuration, 2, "--keep-vips")
    wait_until(lambda: machine.host.has_address("2001:db8::101"), what="the IPv6 addresses")
    following(daemons.start(r2, worse(2)))
    with watching(machine.host) as here, watching(r2) as there:
        stopped = time.monotonic()
        assert first.process.stop() == 0
        preferred = entry(machine.host, "2001:db8::101")
        assert (preferred.deprecated, preferred.tentative, preferred.permanent) == (True, False, False)
        gone, taken = here.first("removed"), there.first("added")
    assert gone < taken, "two hosts had the address at once"
    record_property("address gone after seconds", round(gone - stopped, 3))
    record_property("taken over after seconds", round(taken - stopped, 3))
    wait_until(
        lambda: own(machine.host) == [("192.0.2.1", 24), ("2001:db8::1", 64)], what="only the node's own addresses"
    )
    # The route that the node's own address shares with the virtual one has not gone with that.
    assert routes(machine.host) == ["2001:db8::/64 proto kernel metric 256 pref medium"]


def test_ipv6_addresses_stay_usable_through_a_restart_and_are_as_before_afterwards(machine: Machine) -> None:
    addresses = ["2001:db8::100/64", "fe80::5:1/64", "2001:db8::101/128"]

    def configuration(interval: float) -> str:
        return instance(name="VI_6", vrid=52, interval=interval, addresses=addresses)

    def looks() -> list[tuple[bool, bool, bool, bool, bool]]:
        found = [entry(machine.host, address.partition("/")[0]) for address in addresses]
        return [(one.permanent, one.deprecated, one.tentative, one.no_prefix_route, one.ours) for one in found]

    first = machine.serve(configuration, 4, "--keep-vips")
    wait_until(lambda: machine.host.has_address("2001:db8::101"), what="the addresses")
    before, routed = looks(), routes(machine.host)
    with watching(machine.host, "2001:db8::100") as watch:
        assert first.process.stop() == 0
        assert [one[0] for one in looks()] == [False, False, False]
        assert not any(one[2] for one in looks())
        assert [line for line in routes(machine.host) if "/64" in line] == [line for line in routed if "/64" in line]
        second = machine.start(configuration(4))
        second.wait_for_state("MASTER", "VI_6")
        wait_until(lambda: looks() == before, what="the addresses to be as before")
        assert routes(machine.host) == routed
        assert [what for _, what in watch.events if what != "added"] == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (better(addresses=["192.0.2.100/24", "192.0.2.101"]), "addresses changed in between"),
        (better(priority=140), "its priority is 140, that of its predecessor was 150"),
        (better(5), "interval changed in between"),
    ],
)
def test_a_successor_that_is_not_the_same_starts_as_usual(machine: Machine, changed: str, reason: str) -> None:
    first = machine.serve(better, 4, "--keep-vips")
    assert first.process.stop() == 0
    second = machine.start(changed, "--keep-vips")
    second.wait_for_state("BACKUP")
    assert f"(VI_1) does not go on for its predecessor: {reason}" in second.log
    assert f"withdrawing {VIP} from eth0: left behind by a predecessor" in second.log
    wait_until(lambda: not machine.host.has_address(VIP), what="the leftover to be withdrawn")
    assert machine.left() == []


def test_a_successor_that_comes_too_late_is_a_backup_like_any_other(
    machine: Machine, r2: Host, daemons: Daemons
) -> None:
    first = machine.serve(better, 1, "--keep-vips")
    other = following(daemons.start(r2, worse(1)))
    assert first.process.stop() == 0
    other.wait_for_state("MASTER")
    second = following(machine.start(better(1), "--keep-vips"))
    assert "s too late" in second.log
    assert other.router()["state"] == "MASTER"
    assert not machine.host.has_address(VIP)


def test_a_killed_daemon_has_left_nothing_and_its_addresses_are_taken_off(machine: Machine) -> None:
    first = machine.serve(better, 4, "--keep-vips")
    first.process.kill()
    assert first.process.wait() == -signal.SIGKILL
    assert machine.left() == []
    assert entry(machine.host, VIP).permanent
    second = machine.start(better(), "--keep-vips")
    second.wait_for_state("BACKUP")
    assert f"withdrawing {VIP} from eth0: left behind by a predecessor" in second.log


@pytest.mark.parametrize(
    ("interval", "arguments", "number"),
    [
        (4, [], signal.SIGTERM),
        (4, ["--keep-vips"], signal.SIGINT),
        (0.66, ["--keep-vips"], signal.SIGTERM),
    ],
    ids=["not asked for", "SIGINT", "interval too short"],
)
def test_otherwise_a_stop_is_a_farewell(
    lan: Bridge, machine: Machine, interval: float, arguments: list[str], number: signal.Signals
) -> None:
    capture = lan.capture()
    daemon = machine.serve(better, interval, *arguments)
    daemon.process.signal(number)
    assert daemon.process.wait() == 0
    assert not machine.host.has_address(VIP)
    capture.wait_for_advertisement(51, priority=0)
    assert machine.left() == []


def test_the_keyword_asks_for_it_too_and_a_reload_takes_it_back(lan: Bridge, machine: Machine) -> None:
    def configuration(interval: float) -> str:
        return "global_defs {\n keep_vips\n}\n" + better(interval)

    first = machine.serve(configuration, 4)
    assert first.process.stop() == 0
    second = machine.start(configuration(4))
    assert second.wait_for_state("MASTER")["last_transition"]["from"] == "INIT"
    second.reload(better())
    capture = lan.capture()
    assert second.process.stop() == 0
    capture.wait_for_advertisement(51, priority=0)
    assert not machine.host.has_address(VIP)


def test_an_ipv6_address_that_alone_has_the_route_of_its_prefix_is_not_left_to_the_kernel(
    lan: Bridge, machine: Machine
) -> None:
    def configuration(interval: float) -> str:
        return instance(interval=interval, addresses=["2001:db8:1::100/64"])

    daemon = machine.serve(configuration, 4, "--keep-vips")
    wait_until(lambda: machine.host.has_address("2001:db8:1::100"), what="the address")
    capture = lan.capture()
    assert daemon.process.stop() == 0
    capture.wait_for_advertisement(51, priority=0)
    assert not machine.host.has_address("2001:db8:1::100")


def test_an_address_that_would_take_the_nodes_own_along_is_not_left_to_the_kernel(
    lan: Bridge, machine: Machine
) -> None:
    machine.host.sysctl("net.ipv4.conf.all.promote_secondaries", 0)
    machine.host.sysctl("net.ipv4.conf.eth0.promote_secondaries", 0)

    def configuration(interval: float) -> str:
        return instance(interval=interval, addresses=["203.0.113.100/24"])

    first = machine.serve(configuration, 4, "--keep-vips")
    wait_until(lambda: machine.host.has_address("203.0.113.100"), what="the virtual address, the first of its subnet")
    machine.host.add_address("eth0", "203.0.113.7/24")
    assert entry(machine.host, "203.0.113.7").secondary
    capture = lan.capture()
    # Its answer comes after the news of the address: the daemon has heard of it by then.
    assert first.reload()["result"] == "done"
    assert first.process.stop() == 0
    capture.wait_for_advertisement(51, priority=0)
    assert own(machine.host) == [("192.0.2.1", 24), ("203.0.113.7", 24), ("2001:db8::1", 64)]


def test_checks_and_scripts_notice_nothing_but_another_master(machine: Machine, tmp_path: Path) -> None:
    told, slow = tmp_path / "told", tmp_path / "asked"
    notify = script(tmp_path / "notify", f'echo "$3 $4" >> {told}')
    # The successor has to wait for each result, in a second and more.
    slowly = script(tmp_path / "slowly", f"test ! -e {slow} || sleep 1.2")

    def configuration(interval: float) -> str:
        return (
            "global_defs {\n script_user root\n}\n"
            + check(str(slowly), "timeout 5", interval=1)
            + check(str(slowly), "timeout 5", "weight 20", name="weighted", interval=1)
            + better(interval, "track_script {", "service", "weighted", "}", f"notify {notify}", priority=100)
        )

    first = machine.serve(configuration, 4, "--keep-vips")
    first.wait_for(lambda router: router["priority"]["effective"] == 120, "the weight")
    slow.touch()
    assert first.process.stop() == 0
    second = machine.start(configuration(4), "--keep-vips")
    second.wait_for_state("MASTER")
    states = {checked["name"]: checked["state"] for checked in second.status()["checks"]}
    router = second.router()
    assert states == {"service": "unknown", "weighted": "unknown"}
    assert (router["priority"]["effective"], router["last_transition"]["from"]) == (120, "INIT")
    wait_until(lambda: second.check("weighted")["state"] == "up", 10.0, "the first results")
    assert second.router()["priority"]["effective"] == 120
    slow.unlink()
    wait_until(lambda: told.read_text().count("MASTER") == 2, what="the successor's word")
    assert "STOP" not in told.read_text()
    assert [line.split()[0] for line in told.read_text().splitlines()[-2:]] == ["MASTER", "MASTER"]
    assert "FAULT" not in second.log


def test_a_successor_that_is_in_fault_says_goodbye_for_its_predecessor(
    lan: Bridge, machine: Machine, r2: Host, daemons: Daemons
) -> None:
    def configuration(interval: float) -> str:
        return better(interval, "track_interface {", "eth1", "}")

    machine.host.connect(lan, "eth1", "198.51.100.1/24")
    first = machine.serve(configuration, 4, "--keep-vips")
    other = following(daemons.start(r2, worse()))
    capture = lan.capture()
    assert first.process.stop() == 0
    machine.host.set_link("eth1", up=False)
    second = machine.start(configuration(4), "--keep-vips")
    second.wait_for_state("FAULT")
    capture.wait_for_advertisement(51, "192.0.2.1", priority=0)
    wait_until(lambda: not machine.host.has_address(VIP), what="the withdrawal")
    other.wait_for_state("MASTER")


def test_sixty_routers_with_three_addresses_each_are_restarted_without_a_flap(
    lan: Bridge, machine: Machine, r2: Host, daemons: Daemons, record_property: Callable[[str, object], None]
) -> None:
    def configuration(interval: float, priority: int = 200) -> str:
        return "".join(
            instance(
                name=f"VI_{number}",
                vrid=number,
                interval=interval,
                priority=priority,
                addresses=[f"198.51.100.{3 * number + one}" for one in range(3)],
            )
            for number in range(1, 61)
        )

    def masters(daemon: Daemon) -> int:
        return sum(router["state"] == "MASTER" for router in daemon.status()["routers"])

    first = machine.start(configuration(0.2), "--keep-vips")
    wait_until(lambda: masters(first) == 60, 15.0, "sixty masters")
    assert first.reload(configuration(4))["result"] == "done"
    other = daemons.start(r2, configuration(4, priority=100))
    wait_until(
        lambda: all(router["master"]["address"] for router in other.status()["routers"]), 15.0, "the other to follow"
    )
    capture = lan.capture()
    wait_until(lambda: {seen.vrid for _, seen in capture.advertisements()} == set(range(1, 61)), 10.0, "all of them")
    with watching(machine.host, "198.51.100.182") as watch:
        assert first.process.stop() == 0
        second = machine.start(configuration(4), "--keep-vips")
        wait_until(lambda: masters(second) == 60, 15.0, "sixty masters again")
        assert {router["last_transition"]["from"] for router in second.status()["routers"]} == {"INIT"}
        seen = len(capture.advertisements(60))
        wait_until(lambda: len(capture.advertisements(60)) >= seen + 4, 30.0, "four more advertisements")
        assert [what for _, what in watch.events if what != "added"] == []
    assert [router["counters"]["became_master"] for router in other.status()["routers"]] == [0] * 60
    assert 0 not in {seen.priority for _, seen in capture.advertisements()}
    longest = max(max(gaps([frame.time for frame, _ in capture.advertisements(vrid)])) for vrid in range(1, 61))
    record_property("longest silence on the wire in seconds", round(longest, 3))
    assert json.dumps(machine.left()) == "[]"
