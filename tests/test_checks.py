"""Checks with real scripts and real connections: what decides, what counts, what a reload keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.scripts.support import number_in, process_state, scripts_running, shell_script, until, written
from vrrpd.checks import CheckScheduler, CheckState, CheckStatus
from vrrpd.config.model import Check, Command, TcpTarget
from vrrpd.scripts.result import Exited, ScriptResult, TimedOut
from vrrpd.scripts.runner import ScriptRunner

TRUE = Command(("true",))
FALSE = Command(("false",))


class Checking:
    """A scheduler at work, with the changes that it told."""

    def __init__(self, checks: Iterable[Check], runner: ScriptRunner) -> None:
        self.changes: list[CheckStatus] = []
        self.runner = runner
        self.scheduler = CheckScheduler(checks, runner, self.changes.append)

    def status(self, name: str = "web") -> CheckStatus:
        return self.scheduler.status(name)

    def states(self) -> list[CheckState]:
        return [status.state for status in self.changes]

    async def decided(self, name: str = "web") -> CheckStatus:
        """Waits for the first verdict."""
        await until(lambda: self.status(name).state is not CheckState.UNKNOWN, f"{name} is decided")
        return self.status(name)

    async def ran(self, runs: int, name: str = "web") -> CheckStatus:
        await until(lambda: self.status(name).runs >= runs, f"{name} ran {runs} times")
        return self.status(name)


@asynccontextmanager
async def checking(*checks: Check) -> AsyncIterator[Checking]:
    async with scripts_running() as runner:
        checking = Checking(checks, runner)
        checking.scheduler.start()
        try:
            yield checking
        finally:
            await checking.scheduler.close()


def scripted_answers(tmp_path: Path, answers: str) -> Command:
    """A script that exits with one status after the other and stays at the last one; it notes how often it ran."""
    body = f"""n=$(cat {tmp_path}/count 2>/dev/null || echo 0)
n=$((n+1)); echo $n > {tmp_path}/count
set -- {answers}
[ $n -le $# ] || n=$#
eval exit \\${{$n}}"""
    return shell_script(tmp_path, "answers", body)


# Scripts.


async def test_the_first_success_alone_makes_a_check_up() -> None:
    async with checking(Check("web", TRUE, interval=60.0, rise=5)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason, status.runs) == (CheckState.UP, "exited with status 0", 1)


async def test_the_first_failure_alone_makes_a_check_down() -> None:
    async with checking(Check("web", FALSE, interval=60.0, fall=5)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason, status.runs) == (CheckState.DOWN, "exited with status 1", 1)


async def test_a_check_without_a_result_says_so() -> None:
    async with checking(Check("web", Command(("sleep", "1000")), interval=60.0, timeout=60.0)) as checks:
        status = checks.status()
        assert (status.state, status.reason) == (CheckState.UNKNOWN, "waiting for the first result")
        assert checks.changes == []


async def test_a_check_falls_after_three_failures_in_a_row(tmp_path: Path) -> None:
    command = scripted_answers(tmp_path, "0 1 1 0 1 1 1")
    async with checking(Check("web", command, interval=0.05, timeout=5.0, fall=3)) as checks:
        await until(lambda: len(checks.changes) == 2, "it has fallen")
    assert checks.states() == [CheckState.UP, CheckState.DOWN]
    assert (checks.changes[1].runs, checks.changes[1].consecutive) == (7, 3)


async def test_a_check_rises_after_three_successes_in_a_row(tmp_path: Path) -> None:
    command = scripted_answers(tmp_path, "1 0 0 1 0 0 0")
    async with checking(Check("web", command, interval=0.05, timeout=5.0, rise=3)) as checks:
        await until(lambda: len(checks.changes) == 2, "it has risen")
    assert checks.states() == [CheckState.DOWN, CheckState.UP]
    assert (checks.changes[1].runs, checks.changes[1].consecutive) == (7, 3)


async def test_a_failure_that_does_not_decide_yet_is_in_the_status(tmp_path: Path) -> None:
    command = scripted_answers(tmp_path, "0 3")
    async with checking(Check("web", command, interval=0.05, timeout=5.0, fall=1000)) as checks:
        status = await checks.ran(2)
    assert (status.state, status.reason) == (CheckState.UP, "exited with status 0")
    assert (status.last_result, status.failures >= 1) == ("exited with status 3", True)


async def test_a_missing_script_is_a_failed_check_with_its_reason() -> None:
    async with checking(Check("web", Command(("/no/such/script",)), interval=60.0)) as checks:
        status = await checks.decided()
    assert status.state is CheckState.DOWN
    assert status.reason == "could not be started: /no/such/script: No such file or directory"


async def test_an_insecure_script_is_never_run(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "check", f"touch {tmp_path}/ran")
    check = Check("web", command, interval=0.01, security_problem=f"{command} is writable by others")
    async with checking(check, Check("other", TRUE, interval=0.01)) as checks:
        status = await checks.decided()
        await checks.ran(5, "other")
    assert status.state is CheckState.DOWN
    assert status.reason == f"not run: {command} is writable by others"
    assert not (tmp_path / "ran").exists()


async def test_a_script_that_becomes_insecure_on_reload_is_down() -> None:
    check = Check("web", TRUE, interval=60.0)
    async with checking(check) as checks:
        await checks.decided()
        checks.scheduler.apply([Check("web", TRUE, interval=60.0, security_problem="owned by a stranger")])
        await until(lambda: checks.status().state is CheckState.DOWN, "it is down")
    assert checks.states() == [CheckState.UP, CheckState.DOWN]


async def test_a_hanging_check_fails_at_its_time_limit_and_is_killed(tmp_path: Path) -> None:
    body = f"trap '' TERM\necho no answer\necho $$ > {tmp_path}/pid\nwhile :; do sleep 1; done"
    check = Check("web", shell_script(tmp_path, "hang", body), interval=60.0, timeout=0.5)
    async with checking(check) as checks:
        status = await checks.decided()
        assert (status.state, status.reason) == (CheckState.DOWN, "timed out after 0.5 s: no answer")
        assert written(tmp_path / "pid")
        pid = number_in(tmp_path / "pid")
        await until(lambda: process_state(pid) == "", "the script is dead")
        assert checks.status().runs == 1


class StuckRunner(ScriptRunner):
    """Its first script succeeds. The second is over its time and waits in the kernel, where no signal ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.dead = asyncio.Event()

    async def run(
        self,
        command: Command,
        *,
        timeout: float,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
        on_timeout: Callable[[ScriptResult], None] | None = None,
    ) -> ScriptResult:
        self.started += 1
        if self.started == 2:
            assert on_timeout is not None
            on_timeout(ScriptResult(TimedOut(timeout)))
            await self.dead.wait()
            return ScriptResult(TimedOut(timeout))
        return ScriptResult(Exited(0))


async def test_a_script_that_cannot_be_killed_fails_again_until_the_check_falls(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vrrpd.checks.LEAST_KILLING_TIME", 0.05)
    runner = StuckRunner()
    checks = Checking([Check("nfs", TRUE, interval=0.02, timeout=2.0, fall=3)], runner)
    checks.scheduler.start()
    await until(lambda: checks.states() == [CheckState.UP, CheckState.DOWN], "it has fallen")
    fallen = checks.changes[1]
    assert (fallen.consecutive, fallen.failures) == (3, 3)
    assert fallen.reason == "timed out after 2 s; it cannot be killed"
    await checks.ran(fallen.runs + 2, "nfs")
    assert runner.started == 2, "nothing is started beside it"
    runner.dead.set()
    await until(lambda: checks.states()[2:] == [CheckState.UP], "it is up again")
    # Its end was no further failure, and none is counted any more.
    failures = checks.status("nfs").failures
    await checks.ran(checks.status("nfs").runs + 5, "nfs")
    assert checks.status("nfs").failures == failures
    assert caplog.text.count("it cannot be killed") == 1
    await checks.scheduler.close()


async def test_runs_that_are_still_going_are_not_joined_by_others(tmp_path: Path) -> None:
    body = f"""mkdir {tmp_path}/lock || touch {tmp_path}/two-at-once
sleep 0.12
rmdir {tmp_path}/lock"""
    async with checking(Check("web", shell_script(tmp_path, "slow", body), interval=0.05, timeout=5.0)) as checks:
        status = await checks.ran(4)
    assert status.skipped >= 3
    assert not (tmp_path / "two-at-once").exists()
    assert status.failures == 0


async def test_due_times_do_not_drift() -> None:
    async with checking(Check("web", Command(("sleep", "0.06")), interval=0.1, timeout=5.0)) as checks:
        first = await checks.ran(1)
        later = await checks.ran(9)
    assert first.last_run is not None
    assert later.last_run is not None
    # Runs start at multiples of the interval however long they take: their durations do not add up.
    passed = later.last_run - first.last_run
    steps = later.runs - first.runs + later.skipped
    assert passed == pytest.approx(steps * 0.1, abs=0.25)


async def test_a_killed_helper_is_a_failed_check_and_the_next_run_succeeds(tmp_path: Path) -> None:
    body = f"[ -e {tmp_path}/once ] && exit 0\ntouch {tmp_path}/once\nsleep 1000"
    async with checking(Check("web", shell_script(tmp_path, "check", body), interval=0.5, timeout=30.0)) as checks:
        await until(lambda: (tmp_path / "once").exists(), "the first run is going")
        assert checks.runner.helper_pid is not None
        os.kill(checks.runner.helper_pid, signal.SIGKILL)
        await until(lambda: checks.states() == [CheckState.DOWN, CheckState.UP], "it is up again")
    assert checks.changes[0].reason == ("its end was not seen: the script helper was killed by signal 9 (SIGKILL)")


async def test_an_error_in_what_is_done_with_a_change_does_not_end_the_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(status: CheckStatus) -> None:
        raise RuntimeError(status.name)

    async with scripts_running() as runner:
        scheduler = CheckScheduler([Check("web", TRUE, interval=0.02)], runner, break_down)
        scheduler.start()
        await until(lambda: scheduler.status("web").runs >= 3, "it goes on")
        await scheduler.close()
    assert "check web: acting on its result failed" in caplog.text


async def test_changes_are_logged_with_their_reason(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO")
    command = scripted_answers(tmp_path, "0 1 2 0")
    async with checking(Check("web", command, interval=0.05, timeout=5.0)) as checks:
        await until(lambda: len(checks.changes) == 3, "down and up again")
    assert [record.getMessage() for record in caplog.records if record.name == "vrrpd.checks"] == [
        "check web succeeded: exited with status 0",
        "check web failed: exited with status 1",
        "check web still fails: exited with status 2",
        "check web succeeded: exited with status 0",
    ]


# Reload.


async def test_an_unchanged_check_keeps_its_state_and_its_run(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "slow", f"echo $$ >> {tmp_path}/pids\nsleep 0.3")
    check = Check("web", command, interval=60.0, timeout=30.0)
    async with checking(check) as checks:
        await until(lambda: written(tmp_path / "pids"), "the run is going")
        checks.scheduler.apply([check, Check("other", TRUE, interval=60.0)])
        assert (await checks.decided("other")).state is CheckState.UP
        status = await checks.decided()
        assert (status.state, status.runs) == (CheckState.UP, 1)
        # One process id: the run was neither killed nor repeated.
        assert process_state(number_in(tmp_path / "pids")) == ""


async def test_new_limits_take_effect_without_a_new_run(tmp_path: Path) -> None:
    command = scripted_answers(tmp_path, "0 1")
    check = Check("web", command, interval=0.05, timeout=5.0, fall=1_000_000)
    async with checking(check) as checks:
        before = await checks.ran(3)
        checks.scheduler.apply([Check("web", command, interval=0.05, timeout=5.0, fall=2, weight=-10)])
        await until(lambda: checks.status().state is CheckState.DOWN, "the new limit counts")
        assert checks.status().runs > before.runs


async def test_a_check_that_is_tried_differently_stays_up_until_its_new_result(tmp_path: Path) -> None:
    async with checking(Check("web", TRUE, interval=60.0)) as checks:
        await checks.decided()
        slow = shell_script(tmp_path, "slow", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 1")
        checks.scheduler.apply([Check("web", slow, interval=60.0, timeout=30.0, fall=3)])
        assert checks.status().state is CheckState.UP
        (tmp_path / "go").touch()
        await until(lambda: checks.status().state is CheckState.DOWN, "the first new result decides")


async def test_a_removed_check_is_killed_and_forgotten(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "hang", f"echo $$ > {tmp_path}/pid\nsleep 1000")
    async with checking(Check("web", command, interval=60.0, timeout=60.0)) as checks:
        await until(lambda: written(tmp_path / "pid"), "the run is going")
        pid = number_in(tmp_path / "pid")
        checks.scheduler.apply([])
        assert checks.scheduler.statuses() == ()
        await until(lambda: process_state(pid) == "", "the script is dead")
        assert checks.changes == []


# TCP.


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A TCP server on loopback; gives its port."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def unused_port() -> int:
    """A port of loopback that nobody listens on; it was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_connection_that_is_accepted_is_a_success() -> None:
    async with listening() as port, checking(Check("web", TcpTarget("127.0.0.1", port), interval=60.0)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason) == (CheckState.UP, f"connected to 127.0.0.1 port {port}")


async def test_ipv6_works_too() -> None:
    try:
        async with listening("::1") as port, checking(Check("web", TcpTarget("::1", port), interval=60.0)) as checks:
            status = await checks.decided()
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback here: {error}")
    assert (status.state, status.reason) == (CheckState.UP, f"connected to ::1 port {port}")


async def test_a_refused_connection_says_by_whom() -> None:
    port = unused_port()
    async with checking(Check("web", TcpTarget("127.0.0.1", port), interval=60.0)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason) == (CheckState.DOWN, f"connection refused by 127.0.0.1 port {port}")


async def test_a_server_that_stops_and_starts_moves_the_check() -> None:
    port = unused_port()
    async with checking(Check("web", TcpTarget("127.0.0.1", port), interval=0.05)) as checks:
        await checks.decided()
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
        await until(lambda: checks.states() == [CheckState.DOWN, CheckState.UP], "it is up")
        server.close()
        await until(lambda: checks.states()[2:] == [CheckState.DOWN], "it is down")


async def test_a_server_that_does_not_answer_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # Nobody accepts: once the backlog is full, the kernel drops further SYNs.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with checking(Check("web", TcpTarget("127.0.0.1", port), interval=60.0, timeout=0.3)) as checks:
            status = await checks.decided()
        for filler in fillers:
            filler.close()
    assert status.state is CheckState.DOWN
    assert status.reason == f"timed out after 0.3 s waiting for 127.0.0.1 port {port} to answer"


async def test_an_address_that_cannot_be_routed_to_is_a_failed_check() -> None:
    # The kernel refuses to connect to a multicast group at once; nothing leaves the machine.
    async with checking(Check("web", TcpTarget("224.0.0.18", 80), interval=60.0)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason) == (
        CheckState.DOWN,
        "connecting to 224.0.0.18 port 80: Network is unreachable",
    )


async def test_an_interface_that_does_not_exist_is_a_failed_check() -> None:
    async with checking(Check("web", TcpTarget("fe80::1%nosuch0", 80), interval=60.0)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason) == (CheckState.DOWN, "tcp fe80::1%nosuch0 port 80: no interface nosuch0")


async def test_a_name_is_looked_up() -> None:
    async with listening() as port, checking(Check("web", TcpTarget("localhost", port), interval=60.0)) as checks:
        status = await checks.decided()
    assert (status.state, status.reason) == (CheckState.UP, f"connected to 127.0.0.1 port {port}")


async def test_a_name_that_is_none_is_a_failed_check() -> None:
    async with checking(Check("web", TcpTarget("x" * 70 + ".example", 80), interval=60.0)) as checks:
        status = await checks.decided()
    assert status.state is CheckState.DOWN
    assert status.reason.startswith(f"looking up {'x' * 70}.example: ")


async def test_a_resolver_that_hangs_costs_one_thread_and_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*arguments: Any, **options: Any) -> list[Any]:
        released.wait(60.0)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        async with checking(Check("web", TcpTarget("web.example", 80), interval=0.02, timeout=0.05)) as checks:
            status = await checks.ran(4)
            assert (status.state, status.reason) == (CheckState.DOWN, "timed out after 0.05 s looking up web.example")
            assert sum(thread.name == "lookup web.example" for thread in threading.enumerate()) == 1
            released.set()
            wanted = "looking up web.example: Temporary failure in name resolution"
            await until(lambda: checks.status().reason == wanted, "the resolver's own words are there")
    finally:
        released.set()
