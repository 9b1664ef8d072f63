"""The command line as people and supervisors meet it: exit codes, messages, signals, locks, logs that nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.netns.daemons import SOURCE, VRRPD, Daemon, Daemons, check, entered, gaps, instance
from vrrpd.lab import Bridge, Host, wait_until

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"
DONE, WRONG_CONFIGURATION, WRONG_COMMAND_LINE, CANNOT_RUN = 0, 1, 2, 3


def vrrpd(host: Host, *arguments: str | Path, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Runs a ``vrrpd`` command on a host to its end; whatever it says, it is no traceback."""
    done = host.call(
        lambda: subprocess.run(
            [*prefix, *VRRPD, *arguments], cwd=SOURCE, capture_output=True, text=True, timeout=20, check=False
        )
    )
    assert "Traceback" not in done.stderr
    return done


def run_refused(host: Host, file: Path, *arguments: str) -> tuple[int, str]:
    """Runs a daemon that must end by itself; returns its exit code and log."""
    done = vrrpd(host, "run", "-f", file, *arguments)
    assert done.stdout == ""
    return done.returncode, done.stderr


def status(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``vrrpd status`` where the daemon runs."""
    return vrrpd(daemon.host, "status", *arguments, prefix=[str(word) for word in entered(daemon, [])])


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "--log-level", "loud"], ["status", "--file", "x"]])
def test_a_wrong_command_line_is_exit_code_2_with_the_usage(r1: Host, arguments: list[str]) -> None:
    done = vrrpd(r1, *arguments)
    assert done.returncode == WRONG_COMMAND_LINE
    assert done.stderr.startswith("usage: vrrpd")


def test_every_error_of_a_file_is_named_with_its_line_and_nothing_runs(r1: Host, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(
        "vrrp_instance VI_1 {\n"
        "    interface eth0\n"
        "    virtual_router_id 300\n"
        "    priority 0\n"
        "    virtual_ipaddress {\n"
        "        192.0.2.100\n"
        "        2001:db8::100\n"
        "    }\n"
        "}\n"
        + instance(name="VI_2", vrid=7, addresses=["192.0.2.101"])
        + instance(name="VI_3", vrid=7, addresses=["192.0.2.102"])
    )
    for command in ("run", "config"):
        done = vrrpd(r1, command, "-f", file)
        assert done.returncode == WRONG_CONFIGURATION
        for line in (3, 4, 7):
            assert re.search(rf"{re.escape(str(file))}:{line}: .+expected", done.stderr), (line, done.stderr)
        assert "VI_2" in done.stderr
        assert "VI_3" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("content", [None, "", "vrrp_instance {", 'vrrp_instance VI_1 { interface "eth0', "\0\xff\n"])
def test_a_file_without_sense_is_exit_code_1_and_named(r1: Host, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keepalived.conf"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    code, log = run_refused(r1, file)
    assert code == WRONG_CONFIGURATION
    assert str(file) in log


def test_a_namespace_that_does_not_exist_is_named(r1: Host, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    code, log = run_refused(r1, file, "--netns", "nowhere")
    assert code == CANNOT_RUN
    assert "cannot enter network namespace nowhere (/run/netns/nowhere): No such file or directory" in log
    done = vrrpd(r1, "status", "--netns", "nowhere")
    assert done.returncode == CANNOT_RUN
    assert "no network namespace nowhere" in done.stderr


def setpriv(*arguments: str) -> list[str]:
    """A prefix that gives rights up, or a skip where it cannot."""
    prefix = ["setpriv", *arguments]
    try:
        done = subprocess.run([*prefix, *VRRPD, "--version"], capture_output=True, text=True, cwd=SOURCE, check=False)
    except FileNotFoundError:
        pytest.skip("needs setpriv (util-linux)")
    if done.returncode != 0:
        pytest.skip(f"cannot run {shlex.join(prefix)} here: {done.stderr.strip()}")
    return prefix


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["--reuid", "65534", "--regid", "65534", "--clear-groups"], "CAP_NET_ADMIN and CAP_NET_RAW"),
        (["--bounding-set=-net_raw", "--inh-caps=-net_raw"], "CAP_NET_RAW"),
        (["--bounding-set=-net_admin", "--inh-caps=-net_admin"], "CAP_NET_ADMIN"),
    ],
    ids=["nobody", "without CAP_NET_RAW", "without CAP_NET_ADMIN"],
)
def test_a_process_without_the_capabilities_says_which(r1: Host, arguments: list[str], missing: str) -> None:
    prefix = setpriv(*arguments)
    with NamedTemporaryFile("w", suffix=".conf") as file:  # the test's own directory is for root only
        file.write(instance())
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        done = vrrpd(r1, "run", "-f", file.name, prefix=prefix)
    assert done.returncode == CANNOT_RUN, done.stderr
    assert f"this process lacks {missing}: run vrrpd as root, or grant it" in done.stderr


# -- several daemons --------------------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused_and_told_who_runs(r1: Host, daemons: Daemons) -> None:
    first = daemons.start(r1, instance())
    first.wait_for_state("MASTER")
    code, log = run_refused(r1, first.file)
    assert code == CANNOT_RUN
    assert f"instance 'default' (use --instance for a second one) is already run by process {first.process.pid}" in log
    code, log = run_refused(r1, first.file, "--instance", "second")
    assert code == CANNOT_RUN
    assert f"virtual router 51 on eth0 (IPv4) is already run by process {first.process.pid}" in log
    assert first.router()["state"] == "MASTER"
    assert r1.has_address(VIP)
    first.process.kill()
    first.process.wait()
    daemons.start(r1, instance()).wait_for_state("MASTER")  # the lock has died with its process


def test_two_daemons_share_a_namespace_as_long_as_they_share_no_router(r1: Host, daemons: Daemons) -> None:
    first = daemons.start(r1, instance())
    second = daemons.start(r1, instance(name="VI_2", vrid=52, addresses=["192.0.2.101"]), name="second")
    first.wait_for_state("MASTER")
    second.wait_for_state("MASTER", "VI_2")
    answer = second.reload(instance(name="VI_2", vrid=51, addresses=["192.0.2.101"]))
    assert answer["result"] == "refused"
    assert f"virtual router 51 on eth0 (IPv4) is already run by process {first.process.pid}" in second.log
    assert second.router("VI_2")["vrid"] == 52
    assert first.process.stop() == 0
    assert second.router("VI_2")["state"] == "MASTER"
    assert r1.has_address("192.0.2.101")
    assert not r1.has_address(VIP)


# -- status -----------------------------------------------------------------------------------------------------------


def test_status_of_a_daemon_that_does_not_run_says_where_it_looked(r1: Host) -> None:
    done = vrrpd(r1, "status")
    assert done.returncode == CANNOT_RUN
    assert done.stderr.startswith(
        "vrrpd: no vrrpd answers for instance 'default' in this network namespace (tried /run/"
    )
    assert done.stdout == ""


def test_status_shows_state_reason_and_readiness(r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(
        r1,
        check("false", interval=0.1)
        + instance()
        + instance("track_script {", "service", "}", name="VI_2", vrid=52, addresses=["192.0.2.101"])
        + instance(name="VI_3", vrid=53, interface="eth9", addresses=["192.0.2.102"]),
    )
    daemon.wait_for_state("MASTER")
    daemon.wait_for(lambda router: "failed" in router["faults"][0]["detail"], "a failed check", "VI_2")
    done = status(daemon)
    assert done.returncode == DONE
    heading, first, second, third, *notes = done.stdout.splitlines()
    assert heading.split() == ["ROUTER", "STATE", "FOR", "PRIORITY", "MASTER", "INTERFACE", "VRID", "ADDRESSES"]
    assert re.fullmatch(r"VI_1 +MASTER +\S+ +100 +this host +eth0 +51 +192\.0\.2\.100", first)
    assert second.split()[:2] == ["VI_2", "FAULT"]
    assert third.split()[:2] == ["VI_3", "FAULT"]
    assert any("(VI_1) BACKUP -> MASTER at " in note and "no master was heard" in note for note in notes)
    assert any("(VI_2) in FAULT: check service failed: " in note for note in notes)
    assert "(VI_3) in FAULT: interface eth9 does not exist" in notes
    assert json.loads(status(daemon, "--json").stdout)["pid"] > 0
    ready = status(daemon, "--ready")
    assert ready.returncode == WRONG_CONFIGURATION
    # A router whose check fails does its work; one without an interface does not.
    assert ready.stderr == "vrrpd: not ready: (VI_3) is in FAULT: interface eth9 does not exist\n"
    assert ready.stdout == ""


def test_status_whose_reader_has_left_says_nothing(r1: Host, daemons: Daemons) -> None:
    routers = [instance(name=f"VI_{n}", vrid=n, interval=1, addresses=[f"192.0.2.{n}"]) for n in range(100, 200)]
    daemon = daemons.start(r1, "".join(routers))
    daemon.status()
    for options in ("", " --json"):
        command = entered(daemon, ["sh", "-c", f"{shlex.join(VRRPD)} status{options} | head -n 1"])
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=20, check=True)
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == ""


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SHUT-1", "SHUT-2", "SM-A-7", "SM-A-15", "SM-B-6", "K-STOP")
@pytest.mark.counter_case("SHUT-1", "SM-A-7", "SM-B-6", "K-STOP")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_is_one_priority_0_for_each_master_and_exit_code_0(
    lan: Bridge, r1: Host, r2: Host, daemons: Daemons, number: signal.Signals
) -> None:
    link_local = str(r1.link_local())
    other = daemons.start(r2, instance(name="VI_3", vrid=53, priority=200, addresses=["192.0.2.102"]))
    other.wait_for_state("MASTER", "VI_3")
    daemon = daemons.start(
        r1,
        instance()
        + instance(name="VI_2", vrid=52, addresses=["fe80::5:1", "2001:db8::100"])
        + instance(name="VI_3", vrid=53, interval=0.3, addresses=["192.0.2.102"]),
    )
    daemon.wait_for_state("MASTER", "VI_2")
    daemon.wait_for_state("MASTER")
    daemon.wait_for_state("BACKUP", "VI_3")
    capture = lan.capture()
    daemon.process.signal(number)
    assert daemon.process.wait() == DONE
    assert [address for address, _ in r1.addresses() if not address.startswith("fe80")] == ["192.0.2.1", "2001:db8::1"]
    assert not r1.has_address("fe80::5:1")
    ours = [seen for _, seen in capture.advertisements() if str(seen.source) in ("192.0.2.1", link_local)]
    assert sorted(seen.vrid for seen in ours if seen.priority == 0) == [51, 52]
    assert [seen.priority for seen in ours if seen.vrid == 51][-1] == 0
    assert [seen.priority for seen in ours if seen.vrid == 52][-1] == 0


def wait_for_our_code(daemon: Daemon) -> None:
    """Waits until the interpreter has come up and vrrpd itself runs, which takes SIGINT away from the interpreter."""
    seen = False

    def taken_away() -> bool:
        nonlocal seen
        fields = Path(f"/proc/{daemon.process.pid}/status").read_text().split()
        caught = bool(int(fields[fields.index("SigCgt:") + 1], 16) & 1 << (signal.SIGINT - 1))
        seen = seen or caught
        return (seen and not caught) or "STATE" in daemon.log

    wait_until(taken_away, what=f"the start of {daemon.process}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_leaves_nothing_and_prints_no_traceback(
    r1: Host, daemons: Daemons, number: signal.Signals
) -> None:
    """Sent at every point of the start, from the first import to the first MASTER."""
    for step in range(12):
        daemon = daemons.start(r1, instance(interval=0.01, priority=254))
        wait_for_our_code(daemon)
        time.sleep(step * 0.03)
        daemon.process.signal(number)
        assert daemon.process.wait() in (DONE, -number)
        assert "Traceback" not in daemon.log
        assert not r1.has_address(VIP)


# -- surroundings -----------------------------------------------------------------------------------------------------


def start_by_shell(host: Host, file: Path, before: str) -> Daemon:
    """Starts a daemon behind some shell commands, in a mount namespace of its own."""
    command = f"{before} && exec {shlex.join(VRRPD)} run -f {shlex.quote(str(file))}"
    process = host.start(["sh", "-c", command], name="vrrpd", cwd=SOURCE, private_run=True)
    return Daemon(host, file, (), "default", process)


def test_without_a_writable_run_the_control_socket_is_in_dev_shm(r1: Host, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    own_shm = "mount -t tmpfs none /dev/shm && mount -o remount,ro /run"
    daemon = start_by_shell(r1, file, own_shm)
    daemon.process.wait_for_log("Entering MASTER STATE")
    done = status(daemon)
    assert done.returncode == DONE
    assert "VI_1" in done.stdout
    assert daemon.process.stop() == DONE
    assert "Traceback" not in daemon.log


def test_without_any_run_directory_the_daemon_runs_and_warns(r1: Host, tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance())
    read_only = "mount -t tmpfs -o ro none /dev/shm && mount -o remount,ro /run"
    daemon = start_by_shell(r1, file, read_only)
    daemon.process.wait_for_log("Entering MASTER STATE")
    daemon.process.wait_for_log("no control socket, so no `vrrpd status`: /run/vrrpd: Read-only file system; /dev/shm/")
    assert daemon.process.stop() == DONE
    assert "Traceback" not in daemon.log


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_CLOEXEC)
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("reader", ["gone", "asleep"])
def test_a_log_that_nobody_reads_stops_no_advertisement(
    lan: Bridge, r1: Host, tmp_path: Path, pipe: tuple[int, int], reader: str
) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(instance(interval=0.1))
    reading, writing = pipe
    if reader == "gone":
        os.dup2(os.open(os.devnull, os.O_RDONLY), reading, inheritable=False)  # closes the pipe's end
    else:
        fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        fcntl.fcntl(writing, fcntl.F_SETFL, 0)
    capture = lan.capture()
    process = r1.call(
        lambda: subprocess.Popen([*VRRPD, "run", "-f", str(file), "--log-level", "debug"], cwd=SOURCE, stderr=writing)
    )
    try:
        capture.wait_for(lambda frame: len(capture.advertisements(51)) >= 12, what="12 advertisements")
        assert max(gaps([frame.time for frame, _ in capture.advertisements(51)])) < 0.3
        process.terminate()
        assert process.wait(5) == DONE
    finally:
        process.kill()
        process.wait()
    assert not r1.has_address(VIP)


def test_json_log_lines_are_objects_with_the_reason(r1: Host, daemons: Daemons) -> None:
    daemon = daemons.start(r1, instance(), "--log-format", "json")
    daemon.wait_for_state("MASTER")
    assert daemon.process.stop() == DONE
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    changes = [(line["previous"], line["state"], line["reason"]) for line in lines if "state" in line]
    assert changes == [
        ("INIT", "BACKUP", "started"),
        ("BACKUP", "MASTER", "no master was heard within the master-down interval"),
        ("MASTER", "INIT", "shutdown"),
    ]
    assert {line["router"] for line in lines if "state" in line} == {"VI_1"}


def test_a_client_that_talks_nonsense_to_the_control_socket_disturbs_nobody(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, instance(interval=0.1))
    daemon.wait_for_state("MASTER")
    _, namespace = r1.namespace.identity
    path = f"/proc/{daemon.process.pid}/root/run/vrrpd/{namespace}.default.sock"

    def answer(request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            try:
                client.sendall(request)
                return client.recv(4096)
            except (ConnectionResetError, BrokenPipeError):
                return b"refused"

    assert b"not a request" in answer(b"\n")
    assert b"not a request" in answer(b"[]\n")
    assert b"unknown command, expected one of: status" in answer(b'{"command": []}\n')
    assert b"unknown command, expected one of: status" in answer(b'{"command": "stop"}\n')
    assert b"not a request" in answer(b"\xff\xfe\n")
    assert b"not a request" in answer(b"[" * 4000 + b"\n")
    too_long = b'{"error": "the request is longer than 4096 bytes"}\n'
    assert answer(b"x" * 10000) in (b"", b"refused", too_long)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(16)]
    for client in silent:
        client.connect(path)
    assert answer(b'{"command": "status"}\n') == b'{"error": "16 others are being answered: try again"}\n'
    for client in silent:
        client.close()
    assert daemon.router()["state"] == "MASTER"
    assert daemon.process.stop() == DONE
