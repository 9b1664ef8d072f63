"""What is left of root's powers once a daemon runs, read from /proc: in the daemon, in its helpers and in scripts."""

from __future__ import annotations

import os
import pwd
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.netns.daemons import SOURCE, VRRPD, Daemon, Daemons, check, instance
from tests.netns.test_environment import OWN_ETC, variables
from vrrpd.lab import Bridge, Host, wait_until

pytestmark = pytest.mark.netns

NET_ADMIN_AND_RAW = 0x3000
FOR_SCRIPTS = 0x30E0
"""NET_ADMIN and NET_RAW for the tools of a firewall; SETUID, SETGID and KILL."""
DAC_READ_SEARCH = 0x4
NOTHING_MORE = {
    "CapInh": 0,
    "CapPrm": NET_ADMIN_AND_RAW,
    "CapEff": NET_ADMIN_AND_RAW,
    "CapBnd": NET_ADMIN_AND_RAW,
    "CapAmb": 0,
    "NoNewPrivs": 1,
}
VIP = "192.0.2.100"


def users_in_this_namespace() -> int:
    return sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())


needs_users = pytest.mark.skipif(
    os.geteuid() != 0 or users_in_this_namespace() <= 65534,
    reason="becoming nobody needs root, and user 65534 in its user namespace",
)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory where everybody may read and write; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="vrrpd-test-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        yield directory


def rights(text: str) -> dict[str, int]:
    """The capability sets and no_new_privs of a process, from the text of its /proc/PID/status."""
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return {name: int(fields[name], 16) for name in NOTHING_MORE}


def rights_of(pid: int) -> dict[str, int]:
    return rights(Path(f"/proc/{pid}/status").read_text())


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def keeper_and_helper(daemon: Daemon) -> tuple[int, int]:
    """The process ids of the daemon's only child and of that one's only child."""

    def look() -> tuple[int, int] | None:
        match children(daemon.process.pid):
            case [keeper]:
                match children(keeper):
                    case [helper]:
                        return keeper, helper
        return None

    return wait_until(look, 10.0, "keeper and helper")


def writes_its_status(shared: Path, name: str) -> str:
    """A command that leaves its /proc/PID/status in a file, as a word of a configuration."""
    return f"sh -c 'cat /proc/self/status > {shared}/{name}.new; mv {shared}/{name}.new {shared}/{name}'"


def told(path: Path) -> str:
    wait_until(path.exists, 10.0, f"{path.name} to be written")
    return path.read_text()


def serves_comes_back_and_reloads(daemon: Daemon, lan: Bridge, name: str = "VI_1") -> None:
    """Takes a daemon through what needs rights: failover, another interface, a reload."""
    host = daemon.host
    lan.unplug(host)
    daemon.wait_for_state("FAULT", name)
    lan.plug(host)
    daemon.wait_for_state("MASTER", name)
    host.delete_link("eth0")
    daemon.wait_for_state("FAULT", name)
    host.connect(lan, "eth0", "192.0.2.1/24", "2001:db8::1/64")
    daemon.wait_for_state("MASTER", name)
    wait_until(lambda: host.has_address(VIP), what="the address on the new interface")
    assert daemon.reload()["result"] == "done"
    assert daemon.router(name)["state"] == "MASTER"


@needs_users
def test_a_daemon_keeps_two_capabilities_and_its_helpers_what_other_users_scripts_need(
    lan: Bridge, r1: Host, daemons: Daemons, shared: Path
) -> None:
    everything = rights(Path("/proc/self/status").read_text())["CapBnd"]
    configuration = (
        "global_defs {\n script_user nobody\n}\n"
        + check(writes_its_status(shared, "check"), interval=0.2).replace("user root", "user daemon")
        + instance("track_script {", "service", "}", f'notify "{writes_its_status(shared, "notify")}"')
    )
    daemon = daemons.start(r1, configuration, "--log-level", "debug")
    daemon.wait_for_state("MASTER")
    assert rights_of(daemon.process.pid) == NOTHING_MORE
    for pid in keeper_and_helper(daemon):
        assert rights_of(pid) == {
            "CapInh": 0,
            "CapPrm": FOR_SCRIPTS,
            "CapEff": FOR_SCRIPTS,
            "CapBnd": everything,
            "CapAmb": 0,
            "NoNewPrivs": 0,
        }
    for name, user in (("check", "daemon"), ("notify", "nobody")):
        status = told(shared / name)
        number = str(pwd.getpwnam(user).pw_uid)
        assert status.split("Uid:")[1].split()[:4] == [number] * 4
        group = str(pwd.getpwnam(user).pw_gid)
        assert status.split("Gid:")[1].split()[:4] == [group] * 4
        assert "0" not in status.split("Groups:")[1].splitlines()[0].split()
        # What the administrator lets it gain by sudo is not taken away.
        assert rights(status) == {
            "CapInh": 0,
            "CapPrm": 0,
            "CapEff": 0,
            "CapBnd": everything,
            "CapAmb": 0,
            "NoNewPrivs": 0,
        }
    assert "keeping the capabilities CAP_NET_ADMIN, CAP_NET_RAW; given up: " in daemon.log
    serves_comes_back_and_reloads(daemon, lan)
    assert daemon.process.stop() == 0
    assert not r1.has_address(VIP)
    assert "WARNING" not in daemon.log.replace("WARNING (VI_1) an advertisement was not sent", "")


def test_scripts_of_root_keep_what_the_daemon_was_started_with(r1: Host, daemons: Daemons, shared: Path) -> None:
    before = rights(Path("/proc/self/status").read_text())
    daemon = daemons.start(
        r1, "global_defs {\n script_user root\n}\n" + instance(f'notify "{writes_its_status(shared, "notify")}"')
    )
    daemon.wait_for_state("MASTER")
    assert rights_of(daemon.process.pid) == NOTHING_MORE
    assert [rights_of(pid) for pid in keeper_and_helper(daemon)] == [before, before]
    assert rights(told(shared / "notify")) == before


@needs_users
def test_a_pod_gives_up_the_same_and_its_scripts_run_as_the_user_of_the_variable(
    lan: Bridge, r1: Host, daemons: Daemons, shared: Path
) -> None:
    notify = shared / "notify.sh"
    notify.write_text(f"#!/bin/sh\ncat /proc/self/status > {shared}/new; mv {shared}/new {shared}/notify\n")
    notify.chmod(0o755)
    environment = variables(
        OPENSHIFT_HA_VIRTUAL_IPS=VIP,
        OPENSHIFT_HA_CONFIG_NAME="ipf",
        OPENSHIFT_HA_NOTIFY_SCRIPT=str(notify),
        VRRPD_SCRIPT_USER="64999 64998",
        NOTIFY_SOCKET="",
    )
    process = r1.start([*OWN_ETC, *VRRPD, "run"], name="vrrpd", env=environment, cwd=SOURCE, private_run=True)
    daemon = Daemon(r1, Path("environment"), [], "ipf", process)
    daemons.adopt(daemon)
    daemon.wait_for_state("MASTER", "ipf_VIP_1")
    assert rights_of(process.pid) == NOTHING_MORE
    assert [rights_of(pid)["CapEff"] for pid in keeper_and_helper(daemon)] == [FOR_SCRIPTS, FOR_SCRIPTS]
    status = told(shared / "notify")
    assert (status.split("Uid:")[1].split()[0], status.split("Gid:")[1].split()[0]) == ("64999", "64998")
    assert status.split("Groups:")[1].splitlines()[0].split() == ["64998"]
    assert rights(status)["CapPrm"] == 0
    serves_comes_back_and_reloads(daemon, lan, "ipf_VIP_1")
    assert process.stop() == 0
    assert not r1.has_address(VIP)


@needs_users
def test_a_helper_that_is_killed_comes_back_with_the_rights_to_run_scripts_as_others(
    r1: Host, daemons: Daemons, shared: Path
) -> None:
    configuration = check(f"sh -c 'id -un >> {shared}/users'", interval=0.1).replace("user root", "user nobody")
    daemon = daemons.start(r1, configuration + instance("track_script {", "service", "}"))
    daemon.wait_for_state("MASTER")
    keeper, helper = keeper_and_helper(daemon)
    os.kill(helper, signal.SIGKILL)
    wait_until(lambda: children(keeper) not in ([], [helper]), what="a new helper")
    runs = (shared / "users").read_text().count("nobody")
    wait_until(lambda: (shared / "users").read_text().count("nobody") >= runs + 3, what="three runs of the check")
    assert keeper_and_helper(daemon)[0] == keeper
    daemon.wait_for_state("MASTER")
    assert "the script helper (process" in daemon.log


def test_a_reload_of_a_file_that_root_may_not_read_any_more_is_refused_by_name(r1: Host, daemons: Daemons) -> None:
    if os.geteuid() != 0 or users_in_this_namespace() <= 65534:
        pytest.skip("giving a file away needs root, and user 65534 in its user namespace")
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    os.chown(daemon.file, 65534, 65534)
    daemon.file.chmod(0o600)
    assert daemon.reload()["result"] == "refused"
    refusal = "cannot be read: Permission denied, expected a file that user id 0 may read by its owner and mode"
    assert f"{daemon.file}: {refusal}" in daemon.log
    assert daemon.router()["state"] == "MASTER"
    daemon.file.chmod(0o644)
    assert daemon.reload()["result"] == "done"


def started(
    daemons: Daemons,
    host: Host,
    tmp_path: Path,
    prefix: Sequence[str],
    executable: str,
    *arguments: str,
    configuration: str = "",
) -> Daemon:
    """A daemon behind a command that changes its rights."""
    file = tmp_path / "keepalived.conf"
    file.write_text(configuration or instance())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path])}
    command = [*prefix, executable, "-m", "vrrpd", "run", "-f", str(file), "--log-level", "debug", *arguments]
    process = host.start(command, name="vrrpd", env=environment, cwd=SOURCE, private_run=True)
    daemon = Daemon(host, file, [], "default", process)
    daemons.adopt(daemon)
    return daemon


def test_a_container_that_has_only_the_two_starts_without_a_word_about_it(
    lan: Bridge, r1: Host, daemons: Daemons, tmp_path: Path
) -> None:
    bounded = ["setpriv", "--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all"]
    daemon = started(daemons, r1, tmp_path, bounded, sys.executable)
    daemon.wait_for_state("MASTER")
    assert rights_of(daemon.process.pid) == NOTHING_MORE
    assert "WARNING" not in daemon.log
    serves_comes_back_and_reloads(daemon, lan)
    assert daemon.process.stop() == 0


def test_locked_memory_can_grow_although_the_right_to_lock_it_is_given_up(
    r1: Host, daemons: Daemons, tmp_path: Path
) -> None:
    limited = ["prlimit", "--memlock=1048576:1048576"]
    daemon = started(daemons, r1, tmp_path, limited, sys.executable, "--realtime")
    daemon.wait_for_state("MASTER")
    if "--realtime goes on without" in daemon.log:
        pytest.skip("locking memory and real-time scheduling need root outside of a user namespace")
    assert rights_of(daemon.process.pid) == NOTHING_MORE
    status = Path(f"/proc/{daemon.process.pid}/status")
    # Enough to need more memory than there was.
    many = "".join(
        instance(name=f"VI_{vrid}", vrid=vrid, interval=1, addresses=[f"198.51.100.{vrid}"]) for vrid in range(101, 255)
    )
    assert "154 virtual routers added" in daemon.reload(instance() + many)["detail"]
    assert int(status.read_text().split("VmLck:")[1].split()[0]) > 1024  # kB: the limit that there was
    assert daemon.process.stop() == 0


@needs_users
def test_a_user_with_ambient_capabilities_runs_a_daemon_and_keeps_two_of_them(
    r1: Host, daemons: Daemons, shared: Path
) -> None:
    ambient = "+net_admin,+net_raw,+dac_read_search"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    nobody += [f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
    daemon = started(daemons, r1, shared, nobody, sys.executable)
    wait_until(lambda: r1.has_address(VIP), what="the address")
    daemon.process.wait_for_log("vrrpd .* runs 1 virtual routers", timeout=20)
    assert rights_of(daemon.process.pid) == {
        **NOTHING_MORE,
        "CapBnd": rights(Path("/proc/self/status").read_text())["CapBnd"],
    }
    assert "the bounding set stays as it was (no CAP_SETPCAP)" in daemon.log
    assert daemon.process.stop() == 0
    assert not r1.has_address(VIP)


@needs_users
def test_a_script_of_another_user_inherits_nothing_of_a_daemon_that_is_not_root(
    r1: Host, daemons: Daemons, shared: Path
) -> None:
    ambient = "+net_admin,+net_raw,+setuid,+setgid,+kill,+dac_read_search"  # the last to find Python anywhere
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    nobody += [f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
    own, other = (
        check(writes_its_status(shared, name), name=name, interval=0.2).replace("user root", f"user {user}")
        for name, user in (("own", "nobody"), ("other", "daemon"))
    )
    configuration = own + other + instance("track_script {", "own", "other", "}")
    daemon = started(daemons, r1, shared, nobody, sys.executable, configuration=configuration)
    wait_until(lambda: r1.has_address(VIP), 20, "the address")
    # A script of its own user has what the daemon was started with.
    mine = rights(told(shared / "own"))
    assert (mine["CapEff"], mine["CapAmb"]) == (FOR_SCRIPTS | DAC_READ_SEARCH, FOR_SCRIPTS | DAC_READ_SEARCH)
    status = told(shared / "other")
    assert status.split("Uid:")[1].split()[:4] == [str(pwd.getpwnam("daemon").pw_uid)] * 4
    theirs = rights(status)
    assert {name: theirs[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {
        "CapInh": 0,
        "CapPrm": 0,
        "CapEff": 0,
        "CapAmb": 0,
    }
    assert daemon.process.stop() == 0
