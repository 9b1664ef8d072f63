"""SIGHUP: parse, validate, compare, commit. What did not change is not touched, and a broken file changes nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.netns.daemons import Daemon, Daemons, check, gaps, instance, script
from vrrpd.lab import Arp, Bridge, Capture, Host, wait_until

pytestmark = pytest.mark.netns

VIP, SECOND = "192.0.2.100", "192.0.2.101"
BYSTANDER = instance("garp_master_delay 0", name="bystander", vrid=99, interval=0.1, addresses=["192.0.2.199"])


@pytest.fixture
def capture(lan: Bridge) -> Capture:
    return lan.capture()


def start(daemons: Daemons, host: Host, configuration: str) -> Daemon:
    """A daemon whose routers are all MASTER, the bystander among them."""
    daemon = daemons.start(host, configuration + BYSTANDER)
    for router in daemon.status()["routers"]:
        daemon.wait_for_state("MASTER", router["name"])
    return daemon


def untouched(daemon: Daemon, capture: Capture, name: str = "bystander", vrid: int = 99) -> None:
    """The router is MASTER for the first time, and its advertisements went on."""
    seen = len(capture.advertisements(vrid))
    wait_until(lambda: len(capture.advertisements(vrid)) >= seen + 5, what="five more advertisements")
    router = daemon.router(name)
    assert router["state"] == "MASTER"
    assert router["counters"]["became_master"] == 1
    assert router["counters"]["priority_zero_sent"] == 0
    assert router["notices"] == {}
    times = [frame.time for frame, _ in capture.advertisements(vrid)]
    assert max(gaps(times)) < 0.3  # three intervals and the skew time would be a takeover
    assert {seen.priority for _, seen in capture.advertisements(vrid)} == {router["priority"]["effective"]}


@pytest.mark.counter_case("SHUT-5")
def test_an_unchanged_file_touches_nothing(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance("garp_master_delay 0"))
    # MASTER comes before the announcements that repeat the first one.
    wait_until(lambda: len(capture.announcements()) == 10, what="five gratuitous ARPs for each address")
    for count in (1, 2, 3):
        answer = daemon.reload()
        assert answer["result"] == "done"
        assert answer["detail"] == ("0 virtual routers added, 0 removed, 0 restarted, 0 changed in place, 2 untouched")
        assert daemon.status()["reloads"]["count"] == count
    untouched(daemon, capture)
    assert len(capture.announcements()) == 10
    assert daemon.log.count("STATE") == 4


def test_addresses_come_and_go_in_place(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance("garp_master_delay 0", interval=0.1))
    wider = instance("garp_master_delay 0", interval=0.1, addresses=[VIP + "/24", SECOND])
    assert daemon.reload(wider + BYSTANDER)["result"] == "done"
    wait_until(lambda: r1.has_address(SECOND), what="the new address")
    capture.wait_for(lambda frame: len(capture.announcements(SECOND)) == 5, what="five gratuitous ARPs")
    assert len(capture.announcements(VIP)) == 5  # those of the start
    capture.clear()
    capture.wait_for(lambda frame: bool(capture.advertisements(51)), what="an advertisement")
    assert [str(address) for address in capture.advertisements(51)[0][1].addresses] == [VIP, SECOND]
    assert daemon.reload(instance(interval=0.1, addresses=[SECOND]) + BYSTANDER)["result"] == "done"
    wait_until(lambda: not r1.has_address(VIP), what="the withdrawal of the old address")
    assert r1.has_address(SECOND)
    router = daemon.router()
    assert (router["state"], router["counters"]["became_master"]) == ("MASTER", 1)
    assert [entry["address"] for entry in router["addresses"]] == [SECOND]
    untouched(daemon, capture)
    assert daemon.process.stop() == 0
    assert [address for address, _ in r1.addresses() if "." in address] == ["192.0.2.1"]


def test_an_address_moves_from_one_router_to_another_and_back(r1: Host, capture: Capture, daemons: Daemons) -> None:
    third = "192.0.2.102"

    def configuration(first: list[str], second: list[str]) -> str:
        return instance(addresses=first) + instance(name="VI_2", vrid=52, addresses=second)

    daemon = start(daemons, r1, configuration([VIP, SECOND], [third]))
    daemon.reload(configuration([VIP], [third, SECOND]) + BYSTANDER)
    wait_until(lambda: _installed(daemon, "VI_2") == {third, SECOND}, what="the address with VI_2")
    wait_until(lambda: r1.has_address(SECOND), what="the address")
    daemon.reload(configuration([VIP, SECOND], [third]) + BYSTANDER)
    wait_until(lambda: _installed(daemon, "VI_1") == {VIP, SECOND}, what="the address with VI_1")
    wait_until(lambda: r1.has_address(SECOND), what="the address")
    for name in ("VI_1", "VI_2", "bystander"):
        assert daemon.router(name)["notices"] == {}
        assert daemon.router(name)["counters"]["became_master"] == 1
    assert daemon.process.stop() == 0
    assert [address for address, _ in r1.addresses() if "." in address] == ["192.0.2.1"]


def _installed(daemon: Daemon, name: str) -> set[str]:
    return {entry["address"] for entry in daemon.router(name)["addresses"] if entry["installed"]}


@pytest.mark.requirement("TX-3", "SHUT-5")
def test_a_changed_priority_shows_in_the_next_advertisement(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance())
    assert daemon.reload(instance(priority=120) + BYSTANDER)["detail"].startswith(
        "0 virtual routers added, 0 removed, 0 restarted, 1 changed in place, 1 untouched"
    )
    capture.wait_for_advertisement(51, priority=120)
    router = daemon.router()
    assert (router["state"], router["counters"]["became_master"]) == ("MASTER", 1)
    untouched(daemon, capture)


@pytest.mark.requirement("SHUT-5")
def test_a_router_that_becomes_the_owner_is_restarted(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance())
    answer = daemon.reload(instance(priority=255) + BYSTANDER)
    assert "1 restarted" in answer["detail"]
    capture.wait_for_advertisement(51, priority=255)
    daemon.wait_for_state("MASTER")
    assert 0 in {seen.priority for _, seen in capture.advertisements(51)}
    untouched(daemon, capture)


def test_routers_are_added_and_removed(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance())
    added = instance(name="VI_2", vrid=52, addresses=[SECOND])
    assert "1 virtual routers added, 1 removed" in daemon.reload(added + BYSTANDER)["detail"]
    daemon.wait_for_state("MASTER", "VI_2")
    wait_until(lambda: r1.has_address(SECOND) and not r1.has_address(VIP), what="the addresses of the new file")
    assert [seen.priority for _, seen in capture.advertisements(51)][-1] == 0
    assert "(VI_1) Entering INIT STATE (was MASTER): removed from the configuration" in daemon.log
    untouched(daemon, capture)
    # Its id is free again, also for another daemon.
    daemons.start(r1, instance(), name="second").wait_for_state("MASTER")


@pytest.mark.requirement("SHUT-5")
def test_another_virtual_router_id_is_a_farewell_and_a_new_election(
    r1: Host, capture: Capture, daemons: Daemons
) -> None:
    daemon = start(daemons, r1, instance())
    daemon.reload(instance(vrid=61) + BYSTANDER)
    capture.wait_for_advertisement(51, priority=0)
    capture.wait_for_advertisement(61, priority=100)
    router = daemon.wait_for_state("MASTER")
    assert router["vrid"] == 61
    wait_until(lambda: r1.has_address(VIP), what="the address")
    untouched(daemon, capture)


@pytest.mark.parametrize("broken", ["vrrp_instance {", "vrrp_instance VI_1 {\n priority 300\n}\n", None])
def test_a_broken_file_changes_nothing_and_is_named(
    r1: Host, capture: Capture, daemons: Daemons, broken: str | None
) -> None:
    daemon = start(daemons, r1, instance())
    whole = daemon.file.read_text()
    if broken is None:
        daemon.file.unlink()
        answer = daemon.reload()
    else:
        answer = daemon.reload(BYSTANDER.replace("priority 100", "priority 50") + broken)
    assert answer["result"] == "refused"
    assert str(daemon.file) in daemon.log
    assert "reload refused: the configuration was not taken over, everything goes on as before" in daemon.log
    assert daemon.status()["reloads"]["failed"] == 1
    untouched(daemon, capture)
    assert daemon.router()["counters"]["became_master"] == 1
    assert daemon.reload(whole)["result"] == "done"


def test_another_check_script_takes_over_without_a_flap(
    r1: Host, capture: Capture, daemons: Daemons, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    scripts = {name: script(tmp_path / name, f"echo {name} >> {marks}") for name in ("old", "new")}
    tracked = ("track_script {", "service", "}")

    def configuration(name: str) -> str:
        return check(str(scripts[name]), interval=0.1) + instance(*tracked)

    daemon = start(daemons, r1, configuration("old"))
    daemon.reload(configuration("new") + BYSTANDER)
    wait_until(lambda: marks.read_text().count("new") >= 3, what="three runs of the new script")
    assert marks.read_text().split().index("new") > 0
    assert "old" not in marks.read_text().split()[-2:]
    assert daemon.router()["counters"]["became_master"] == 1
    scripts["new"].write_text("#!/bin/sh\nexit 1\n")
    daemon.wait_for_state("FAULT")
    untouched(daemon, capture)


def test_a_check_that_is_added_to_a_master_decides_with_its_first_result_only(
    r1: Host, capture: Capture, daemons: Daemons, tmp_path: Path
) -> None:
    daemon = start(daemons, r1, instance(interval=0.1))
    slow = script(tmp_path / "slow", "sleep 0.5")
    tracked = instance("track_script {", "service", "}", interval=0.1)
    daemon.reload(check(str(slow), "timeout 5") + tracked + BYSTANDER)
    assert daemon.check()["state"] == "unknown"
    wait_until(lambda: daemon.check()["state"] == "up", what="the first result")
    untouched(daemon, capture, "VI_1", 51)
    daemon.reload(check("false", name="other") + instance("track_script {", "other", "}", interval=0.1) + BYSTANDER)
    router = daemon.wait_for_state("FAULT")
    assert router["faults"][0]["subject"] == "other"
    assert [check["name"] for check in daemon.status()["checks"]] == ["other"]


def test_notify_scripts_are_those_of_the_new_file(r1: Host, capture: Capture, daemons: Daemons, tmp_path: Path) -> None:
    story = tmp_path / "story"
    scripts = {name: script(tmp_path / name, f'echo "{name} $*" >> {story}') for name in ("old", "new")}
    settings = "global_defs {\nscript_user root\n}\n"
    daemon = start(daemons, r1, settings + instance(f"notify {scripts['old']}"))
    wait_until(lambda: story.exists() and "old INSTANCE VI_1 MASTER 100" in story.read_text(), what="MASTER told")
    daemon.reload(settings + instance(f"notify {scripts['new']}") + BYSTANDER)
    assert daemon.process.stop() == 0
    assert story.read_text().splitlines() == [
        "old INSTANCE VI_1 BACKUP 100",
        "old INSTANCE VI_1 MASTER 100",
        "new INSTANCE VI_1 STOP 100",
    ]


def test_another_instance_name_is_taken_over_without_a_gap(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance(interval=0.1))
    daemon.reload(instance(name="renamed", interval=0.1) + BYSTANDER)
    assert {router["name"] for router in daemon.status()["routers"]} == {"renamed", "bystander"}
    untouched(daemon, capture, "renamed", 51)
    assert daemon.process.stop() == 0
    assert "(renamed) Entering INIT STATE (was MASTER): shutdown" in daemon.log


def test_other_intervals_and_sources_are_taken_over_in_place(r1: Host, capture: Capture, daemons: Daemons) -> None:
    r1.add_address("eth0", "192.0.2.7/24")
    daemon = start(daemons, r1, instance(interval=0.1))
    daemon.reload(instance("mcast_src_ip 192.0.2.7", interval=0.2) + BYSTANDER)
    frame, seen = capture.wait_for_advertisement(51, "192.0.2.7")
    assert seen.interval == 20
    assert frame.time > 0
    router: dict[str, Any] = daemon.router()
    assert (router["state"], router["counters"]["became_master"]) == ("MASTER", 1)
    assert router["source_address"] == "192.0.2.7"
    untouched(daemon, capture)


def test_a_backup_follows_its_new_priority_and_preempts(r1: Host, r2: Host, capture: Capture, daemons: Daemons) -> None:
    master = daemons.start(r2, instance(priority=150, interval=0.2))
    master.wait_for_state("MASTER")
    backup = daemons.start(r1, instance(priority=100, interval=0.2))
    backup.wait_for(lambda router: router["master"]["address"] == "192.0.2.2", "r1 following r2")
    backup.reload(instance(priority=200, interval=0.2))
    router = backup.wait_for_state("MASTER")
    assert "preempting 192.0.2.2, which has priority 150; ours is 200" in router["last_transition"]["reason"]
    master.wait_for_state("BACKUP")
    wait_until(lambda: r1.has_address(VIP) and not r2.has_address(VIP), what="the address on r1 alone")
    arps = [seen for _, seen in capture.announcements(VIP) if isinstance(seen, Arp)]
    assert arps[-1].sender_mac == r1.mac()


def replaced_by_a_pipe(daemon: Daemon) -> None:
    """Nobody writes to it: whoever opens it waits, as for a file on a server that does not answer."""
    daemon.file.unlink()
    os.mkfifo(daemon.file)


def reading(daemon: Daemon) -> bool:
    """Whether a thread besides the first one is there: that of the reload."""
    return bool(daemon.status()["process"]["threads"] > 1)


def test_a_reload_that_hangs_delays_no_advertisement_and_no_stop(r1: Host, capture: Capture, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance("garp_master_delay 0", interval=0.1))
    replaced_by_a_pipe(daemon)
    daemon.process.signal(signal.SIGHUP)
    wait_until(lambda: reading(daemon), what="the thread that reads")
    untouched(daemon, capture)
    daemon.process.terminate()
    assert daemon.process.wait(timeout=5) == 0
    capture.wait_for_advertisement(51, "192.0.2.1", priority=0)
    assert not r1.has_address(VIP)
    assert not r1.has_address("192.0.2.199")


def test_a_reload_during_another_one_is_told_and_follows_it(r1: Host, daemons: Daemons) -> None:
    daemon = start(daemons, r1, instance())
    text = daemon.file.read_text()
    replaced_by_a_pipe(daemon)
    daemon.process.signal(signal.SIGHUP)
    wait_until(lambda: reading(daemon), what="the thread that reads")
    assert "still going on" not in daemon.log
    daemon.process.signal(signal.SIGHUP)
    daemon.process.wait_for_log("WARNING a reload is still going on: the next one follows it")
    assert daemon.status()["reloads"]["count"] == 0
    pipe = os.open(daemon.file, os.O_WRONLY)
    daemon.file.unlink()
    daemon.file.write_text(text + instance(name="VI_3", vrid=53, addresses=[SECOND]))
    os.write(pipe, text.encode())
    os.close(pipe)
    wait_until(lambda: daemon.status()["reloads"]["count"] == 2, what="the end of both reloads")
    assert "1 virtual routers added" in daemon.status()["reloads"]["last"]["detail"]
