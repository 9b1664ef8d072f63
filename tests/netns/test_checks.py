"""Checks and notify scripts of running daemons: what fails is given up, what cannot run has failed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.netns.daemons import Daemons, check, gaps, instance, script
from vrrpd.lab import Bridge, Host, wait_until

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    """A file that is there while the service is."""
    file = tmp_path / "healthy"
    file.touch()
    return file


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.requirement("SHUT-1", "SM-B-8", "K-FAULT")
def test_a_failing_check_says_priority_0_and_the_other_router_takes_over_after_its_skew_time(
    lan: Bridge, r1: Host, r2: Host, daemons: Daemons, healthy: Path
) -> None:
    tracked = check(f"test -e {healthy}", interval=0.1)
    first = daemons.start(r1, tracked + instance("track_script {", "service", "}", priority=200, interval=0.3))
    first.wait_for_state("MASTER")
    second = daemons.start(r2, instance(priority=100, interval=0.3))
    second.wait_for(lambda router: router["master"]["address"] == "192.0.2.1", "r2 following r1")
    capture = lan.capture()
    healthy.unlink()
    farewell, _ = capture.wait_for_advertisement(51, "192.0.2.1", priority=0)
    takeover, _ = capture.wait_for_advertisement(51, "192.0.2.2", priority=100)
    # Skew: 156/256 of 0.3 s is 0.183 s; the master-down interval would be 1.083 s.
    assert 0.18 <= takeover.time - farewell.time < 0.8
    wait_until(lambda: r2.has_address(VIP), what="the address on r2")
    assert not r1.has_address(VIP)
    router = first.wait_for_state("FAULT")
    assert [fault["kind"] for fault in router["faults"]] == ["check"]
    assert "check service failed: exited with status 1" in router["faults"][0]["detail"]
    assert router["last_transition"]["reason"] == router["faults"][0]["detail"]
    assert "(VI_1) Entering FAULT STATE (was MASTER): check service failed: exited with status 1" in first.log
    heard = [seen.priority for _, seen in capture.advertisements(51, "192.0.2.1")]
    assert heard.count(0) == 1
    assert heard[-1] == 0

    healthy.touch()
    first.wait_for_state("MASTER")
    second.wait_for_state("BACKUP")
    wait_until(lambda: r1.has_address(VIP) and not r2.has_address(VIP), what="the address on r1 alone")


def test_a_check_that_cannot_run_is_a_failed_check_with_its_reason(r1: Host, daemons: Daemons, tmp_path: Path) -> None:
    missing, forbidden, directory = tmp_path / "missing", tmp_path / "forbidden", tmp_path / "directory"
    forbidden.write_text("#!/bin/sh\nexit 0\n")
    directory.mkdir()
    orphan = script(tmp_path / "orphan")
    orphan.write_text("#!/does/not/exist\n")
    reasons = {
        "missing": f"could not be started: {missing}: No such file or directory",
        "forbidden": f"could not be started: {forbidden}: Permission denied (mode 0644",
        "directory": f"could not be started: {directory}: Is a directory",
        "orphan": f"could not be started: {orphan}: ",
    }
    configuration = ""
    for vrid, name in enumerate(reasons, 1):
        configuration += check(str(tmp_path / name), name=name, interval=0.1)
        configuration += instance(
            "track_script {", name, "}", name=name, vrid=vrid, addresses=[f"192.0.2.{100 + vrid}"]
        )
    daemon = daemons.start(r1, configuration)
    for name, reason in reasons.items():
        router = daemon.wait_for(_decided, "a result", name)
        assert router["state"] == "FAULT"
        detail = router["faults"][0]["detail"]
        assert detail.startswith(f"check {name} failed: {reason}")
        assert daemon.check(name)["state"] == "down"
        assert detail in daemon.log
    assert daemon.process.stop() == 0


def _decided(router: dict[str, list[dict[str, str]]]) -> bool:
    return all(fault["kind"] != "awaiting_check" for fault in router["faults"])


def test_a_hanging_check_is_a_fault_after_its_timeout_and_delays_nobody(
    lan: Bridge, r1: Host, daemons: Daemons, tmp_path: Path
) -> None:
    hang = script(tmp_path / "hang", f"echo $$ >> {tmp_path}/pids", "trap '' TERM", "sleep 600 &", "wait", "sleep 600")
    tracked = check(str(hang), "timeout 1", interval=1)
    configuration = (
        tracked
        + instance("track_script {", "service", "}", name="checked", vrid=1, addresses=["192.0.2.101"])
        + instance(name="free", vrid=2, interval=0.1, addresses=["192.0.2.102"])
    )
    daemon = daemons.start(r1, configuration)
    daemon.wait_for_state("MASTER", "free")
    capture = lan.capture()
    waiting = daemon.router("checked")
    assert waiting["state"] == "FAULT"
    assert waiting["faults"][0]["kind"] == "awaiting_check"
    router = daemon.wait_for(lambda router: router["faults"][0]["kind"] == "check", "the timeout", "checked")
    assert "timed out after 1 s" in router["faults"][0]["detail"]
    first_run = int((tmp_path / "pids").read_text().split()[0])
    wait_until(lambda: not alive(first_run), what="the end of the hanging script")
    capture.wait_for(lambda frame: len(capture.advertisements(2)) >= 15, what="15 advertisements")
    assert max(gaps([frame.time for frame, _ in capture.advertisements(2)])) < 0.3  # three would be a takeover
    assert daemon.process.stop() == 0
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(lambda pid=pid: not alive(pid), what=f"the end of script {pid}")  # type: ignore[misc]


@pytest.mark.requirement("TX-3", "OWN-5", "K-WEIGHT")
@pytest.mark.counter_case("OWN-5")
def test_a_weighted_check_moves_the_priority_and_never_an_owners(
    lan: Bridge, r1: Host, daemons: Daemons, healthy: Path
) -> None:
    tracked = check(f"test -e {healthy}", "weight -30", interval=0.1)
    owner = instance("track_script {", "service", "}", name="owner", vrid=2, priority=255, addresses=["192.0.2.1/24"])
    daemon = daemons.start(r1, tracked + instance("track_script {", "service", "}", interval=0.1) + owner)
    daemon.wait_for_state("MASTER")
    capture = lan.capture()
    capture.wait_for_advertisement(51, priority=100)
    healthy.unlink()
    capture.wait_for_advertisement(51, priority=70)
    router = daemon.router()
    assert router["state"] == "MASTER"
    assert router["priority"] == {"configured": 100, "effective": 70, "explanation": "check service -30"}
    assert daemon.router("owner")["priority"]["effective"] == 255
    assert "(VI_1) effective priority 100 -> 70: check service -30" in daemon.log
    healthy.touch()
    capture.clear()
    capture.wait_for_advertisement(51, priority=100)
    assert {seen.priority for _, seen in capture.advertisements(2)} == {255}
    assert daemon.router()["counters"]["became_master"] == 1


def test_notify_scripts_hear_the_whole_story_in_order(
    r1: Host, daemons: Daemons, tmp_path: Path, healthy: Path
) -> None:
    story = tmp_path / "story"
    notify = script(tmp_path / "notify", f'echo "notify $*" >> {story}')
    by_state = script(tmp_path / "by-state", f'echo "$*" >> {story}')
    # The first check is slow: until it has a result there is nothing to tell.
    slow = script(
        tmp_path / "slow",
        f"test -e {tmp_path}/asked || {{ touch {tmp_path}/asked; sleep 0.4; }}",
        f"test -e {healthy}",
    )
    daemon = daemons.start(
        r1,
        check(str(slow), "timeout 5", interval=0.1)
        + "global_defs {\nscript_user root\n}\n"
        + instance(
            "track_script {",
            "service",
            "}",
            f'notify_master "{by_state} entered master"',
            f'notify_backup "{by_state} entered backup"',
            f'notify_fault "{by_state} entered fault"',
            f'notify_stop "{by_state} stopped"',
            f"notify {notify}",
            priority=150,
        ),
    )
    wait_until((tmp_path / "asked").exists, what="the first check")
    waiting = daemon.router()
    assert waiting["state"] == "FAULT"
    assert [fault["kind"] for fault in waiting["faults"]] == ["awaiting_check"]
    assert not story.exists()
    daemon.wait_for_state("MASTER")
    healthy.unlink()
    daemon.wait_for_state("FAULT")
    healthy.touch()
    daemon.wait_for_state("MASTER")
    wait_until(lambda: story.read_text().count("notify") == 5, what="five changes told")
    assert daemon.process.stop() == 0
    assert story.read_text().splitlines() == [
        "entered backup",
        "notify INSTANCE VI_1 BACKUP 150",
        "entered master",
        "notify INSTANCE VI_1 MASTER 150",
        "entered fault",
        "notify INSTANCE VI_1 FAULT 150",
        "entered backup",
        "notify INSTANCE VI_1 BACKUP 150",
        "entered master",
        "notify INSTANCE VI_1 MASTER 150",
        "stopped",
        "notify INSTANCE VI_1 STOP 150",
    ]


def test_a_router_whose_first_check_fails_is_told_fault_first(r1: Host, daemons: Daemons, tmp_path: Path) -> None:
    story = tmp_path / "story"
    notify = script(tmp_path / "notify", f'echo "$*" >> {story}')
    configuration = (
        "global_defs {\nscript_user root\n}\n"
        + check("false", interval=0.1)
        + instance("track_script {", "service", "}", f"notify {notify}")
    )
    daemon = daemons.start(r1, configuration)
    wait_until(lambda: story.exists() and story.read_text(), what="the first notify")
    wait_until(lambda: daemon.check()["runs"] >= 5, what="five runs of the check")
    assert daemon.process.stop() == 0
    assert story.read_text().splitlines() == ["INSTANCE VI_1 FAULT 100", "INSTANCE VI_1 STOP 100"]


def test_a_hanging_notify_script_holds_up_neither_the_protocol_nor_the_end(
    lan: Bridge, r1: Host, daemons: Daemons, tmp_path: Path
) -> None:
    hang = script(tmp_path / "hang", f"echo $$ >> {tmp_path}/pids", "exec sleep 600")
    daemon = daemons.start(r1, "global_defs {\nscript_user root\n}\n" + instance(f"notify {hang}", interval=0.1))
    capture = lan.capture()
    daemon.wait_for_state("MASTER")
    capture.wait_for(lambda frame: len(capture.advertisements(51)) >= 10, what="10 advertisements")
    assert max(gaps([frame.time for frame, _ in capture.advertisements(51)])) < 0.3
    assert daemon.process.stop(3.0) == 0
    assert not r1.has_address(VIP)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(lambda pid=pid: not alive(pid), what=f"the end of script {pid}")  # type: ignore[misc]


def test_scripts_die_with_a_daemon_that_is_killed(r1: Host, daemons: Daemons, tmp_path: Path) -> None:
    hang = script(
        tmp_path / "hang", f"echo $$ > {tmp_path}/pid.new", f"mv {tmp_path}/pid.new {tmp_path}/pid", "sleep 600"
    )
    daemon = daemons.start(r1, check(str(hang), "timeout 60") + instance("track_script {", "service", "}"))
    wait_until((tmp_path / "pid").exists, what="the script")
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    daemon.process.kill()
    assert daemon.process.wait() == -signal.SIGKILL
    wait_until(lambda: not alive(pid), what="the end of the script")


def test_a_tcp_check_follows_whether_somebody_listens(r1: Host, daemons: Daemons) -> None:
    tracked = check("</dev/tcp/192.0.2.1/8080", interval=0.1)
    daemon = daemons.start(r1, tracked + instance("track_script {", "service", "}"))
    router = daemon.wait_for_state("FAULT")
    router = daemon.wait_for(_decided, "a result")
    assert "connection refused by 192.0.2.1 port 8080" in router["faults"][0]["detail"]
    listener = "import socket; s = socket.create_server(('192.0.2.1', 8080))\nwhile True: s.accept()[0].close()"
    server = r1.start(["python3", "-c", listener])
    daemon.wait_for_state("MASTER")
    server.kill()
    server.wait()
    daemon.wait_for_state("FAULT")
