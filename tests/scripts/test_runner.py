"""The script runner with real processes: how scripts start, end, are stopped, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.support import (
    children,
    number_in,
    open_descriptors,
    parent,
    process_state,
    scripts_running,
    shell_script,
    until,
    written,
)
from vrrpd.config.model import Command
from vrrpd.scripts.result import Exited, Killed, Lost, NotStarted, ScriptResult, TimedOut
from vrrpd.scripts.runner import ScriptHelperError, ScriptRunner, _HelperProcess


def can_switch_users() -> bool:
    """True for root, unless in a user namespace that has no other users."""
    users = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return os.geteuid() == 0 and users > 65534


needs_root = pytest.mark.skipif(
    not can_switch_users(), reason="switching users needs root, and user 65534 in its user namespace"
)


async def run(command: Command, timeout: float = 10.0) -> ScriptResult:
    """Runs one command with a runner of its own."""
    async with scripts_running() as runner:
        return await runner.run(command, timeout=timeout)


def shell(text: str) -> Command:
    return Command(("sh", "-c", text))


async def pid_in(path: Path) -> int:
    """Waits until a script has written a process id."""
    await until(lambda: written(path), f"{path.name} is written")
    return number_in(path)


async def gone(pid: int) -> None:
    """Waits until a process is gone, its zombie too."""
    await until(lambda: process_state(pid) == "", f"process {pid} is gone")


# How scripts end.


async def test_the_status_and_both_outputs_are_reported() -> None:
    result = await run(shell("echo out; echo err >&2; exit 3"))
    assert result.outcome == Exited(3)
    assert result.output == "out\nerr\n"


async def test_status_zero_is_a_success() -> None:
    assert (await run(Command(("true",)))).succeeded


async def test_a_script_ended_by_a_signal_of_its_own_says_so() -> None:
    assert (await run(shell("kill -SEGV $$"))).outcome == Killed(11)


async def test_arguments_are_appended_as_they_are() -> None:
    async with scripts_running() as runner:
        result = await runner.run(Command(("printf", "%s|")), timeout=10.0, arguments=("a b", "", "$HOME", "*"))
    assert result.output == "a b||$HOME|*|"


async def test_scripts_run_at_the_same_time(tmp_path: Path) -> None:
    async with scripts_running() as runner:
        # Each waits for the other: one after the other they would time out.
        script = "mkdir $1; while [ ! -d $2 ]; do sleep 0.01; done"
        one, other = f"{tmp_path}/one", f"{tmp_path}/other"
        results = await asyncio.gather(
            runner.run(Command(("sh", "-c", script, "sh", one, other)), timeout=10.0),
            runner.run(Command(("sh", "-c", script, "sh", other, one)), timeout=10.0),
        )
    assert [result.outcome for result in results] == [Exited(0), Exited(0)]


# What scripts find when they start.


async def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the daemon")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "C")
    async with scripts_running() as runner:
        command = Command(("/usr/bin/env",), environment=(("FROM", "command"), ("BOTH", "command")))
        result = await runner.run(command, timeout=10.0, environment={"BOTH": "caller"})
    found = dict(line.split("=", 1) for line in result.output.splitlines())
    assert "SECRET" not in found
    assert {name: found.get(name) for name in ("PATH", "LC_ALL", "FROM", "BOTH")} == {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "FROM": "command",
        "BOTH": "caller",
    }


async def test_a_given_environment_replaces_the_inherited_one() -> None:
    runner = ScriptRunner({"PATH": "/usr/bin:/bin", "OPENSHIFT_HA_CONFIG_NAME": "ipf"})
    await runner.start()
    try:
        result = await runner.run(Command(("env",)), timeout=10.0)
    finally:
        await runner.close(0.0)
    assert set(result.output.split()) == {"PATH=/usr/bin:/bin", "OPENSHIFT_HA_CONFIG_NAME=ipf"}


async def test_a_script_starts_in_the_root_directory_with_an_empty_stdin() -> None:
    assert (await run(shell("pwd; cat"))).output == "/\n"


async def test_a_script_leads_a_session_of_its_own() -> None:
    result = await run(shell("echo $$; cut -d' ' -f5,6 /proc/$$/stat"))
    pid, group, session = result.output.split()
    assert pid == group == session


async def test_a_script_has_no_signals_ignored_or_blocked() -> None:
    result = await run(Command(("grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")))
    values = {line.split()[0]: int(line.split()[1], 16) for line in result.output.splitlines()}
    # 32 and 33 belong to the C library: nobody can set them back, whoever ignored them before us.
    of_the_c_library = 1 << 31 | 1 << 32
    assert values["SigBlk:"] & ~of_the_c_library == 0
    assert values["SigIgn:"] & ~of_the_c_library == 0


async def test_a_script_is_scheduled_as_usual_though_the_helper_is_not() -> None:
    async with scripts_running() as runner:
        assert runner.helper_pid is not None
        assert os.sched_getscheduler(runner.helper_pid) == os.SCHED_BATCH
        # The 41st field is the scheduling policy (proc(5)); this program's name has no blank in it.
        result = await runner.run(Command(("cut", "-d", " ", "-f", "41", "/proc/self/stat")), timeout=10.0)
    assert result.output == "0\n"


def oom_adjustment(pid: int | None) -> int:
    return number_in(Path(f"/proc/{pid}/oom_score_adj"))


@pytest.fixture
def spared() -> Iterator[None]:
    """This process is one that the kernel spares when memory runs out, as the daemon is under systemd."""
    adjustment = Path("/proc/self/oom_score_adj")
    before = adjustment.read_text()
    try:
        adjustment.write_text("-900")
    except OSError as error:
        pytest.skip(f"asking to be spared needs CAP_SYS_RESOURCE: {error}")
    yield
    adjustment.write_text(before)


@pytest.mark.usefixtures("spared")
async def test_neither_scripts_nor_helpers_are_spared_when_memory_runs_out() -> None:
    async with scripts_running() as runner:
        result = await runner.run(shell("cat /proc/self/oom_score_adj"), timeout=10.0)
        adjustments = [oom_adjustment(pid) for pid in (runner.keeper_pid, runner.helper_pid)]
    assert (result.output, adjustments) == ("0\n", [0, 0])


async def test_a_script_inherits_no_descriptors() -> None:
    result = await run(Command(("ls", "/proc/self/fd")))
    # 3 is the directory that ls reads.
    assert result.output.split() == ["0", "1", "2", "3"]


# Scripts that cannot be started.


async def refusal(command: Command) -> str:
    result = await run(command)
    assert not result.succeeded
    assert isinstance(result.outcome, NotStarted), result
    return result.outcome.reason


async def test_a_missing_script_is_named(tmp_path: Path) -> None:
    path = f"{tmp_path}/check.sh"
    assert await refusal(Command((path,))) == f"{path}: No such file or directory"


async def test_a_word_without_a_slash_is_sought_in_path() -> None:
    reason = await refusal(Command(("no-such-program",), environment=(("PATH", "/usr/bin:/bin"),)))
    assert reason == "no-such-program: not found in PATH (/usr/bin:/bin)"


async def test_a_script_that_is_not_executable_is_named_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "check.sh"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    reason = await refusal(Command((str(path),)))
    assert reason == f"{path}: Permission denied (mode 0644, run as uid {os.geteuid()})"


async def test_a_directory_is_no_script(tmp_path: Path) -> None:
    assert await refusal(Command((str(tmp_path),))) == f"{tmp_path}: Is a directory"


async def test_a_script_whose_interpreter_is_missing_says_that(tmp_path: Path) -> None:
    path = tmp_path / "check.sh"
    path.write_text("#!/usr/bin/no-such-shell -e\n")
    path.chmod(0o755)
    assert await refusal(Command((str(path),))) == (
        f"{path}: No such file or directory (the file is there; its interpreter is not: #!/usr/bin/no-such-shell -e)"
    )


async def test_a_script_without_a_first_line_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "check.sh"
    path.write_text("exit 0\n")
    path.chmod(0o755)
    reason = await refusal(Command((str(path),)))
    assert reason == f"{path}: Exec format error (a script needs a first line such as #!/bin/sh)"


async def test_a_dangling_symbolic_link_says_where_it_leads(tmp_path: Path) -> None:
    path = tmp_path / "check.sh"
    path.symlink_to("..data/check.sh")
    assert await refusal(Command((str(path),))) == (
        f"{path}: No such file or directory (a symbolic link to ..data/check.sh)"
    )


async def test_a_symbolic_link_is_followed_at_each_run(tmp_path: Path) -> None:
    shell_script(tmp_path, "old", "exit 1")
    shell_script(tmp_path, "new", "exit 0")
    link = tmp_path / "check.sh"
    link.symlink_to("old")
    async with scripts_running() as runner:
        before = await runner.run(Command((str(link),)), timeout=10.0)
        link.unlink()
        link.symlink_to("new")
        after = await runner.run(Command((str(link),)), timeout=10.0)
    assert (before.outcome, after.outcome) == (Exited(1), Exited(0))


@pytest.mark.parametrize("argv", [(), ("",), ("/bin/echo", "nul\0byte")])
async def test_an_impossible_command_line_is_a_result_and_no_exception(argv: tuple[str, ...]) -> None:
    assert await refusal(Command(argv))


async def test_arguments_that_do_not_fit_are_refused_with_their_size() -> None:
    reason = await refusal(Command(("true", "x" * 100_000)))
    assert reason.endswith("at most 98304 are possible")


# Users.


@needs_root
async def test_a_script_runs_as_the_user_with_its_groups_and_home() -> None:
    nobody = pwd.getpwnam("nobody")
    command = Command(("sh", "-c", "id -u; id -g; id -G; echo $HOME; echo $USER"), user="nobody")
    groups = " ".join(str(group) for group in os.getgrouplist("nobody", nobody.pw_gid))
    expected = [str(nobody.pw_uid), str(nobody.pw_gid), groups, nobody.pw_dir, "nobody"]
    assert (await run(command)).output.splitlines() == expected


@needs_root
async def test_a_group_replaces_the_primary_one() -> None:
    command = Command(("sh", "-c", "id -un; id -gn"), user="nobody", group="daemon")
    assert (await run(command)).output.split() == ["nobody", "daemon"]


@needs_root
async def test_a_user_without_an_entry_needs_a_group() -> None:
    assert (await run(Command(("id", "-u"), user="64999", group="64998"))).output == "64999\n"
    reason = await refusal(Command(("id", "-u"), user="64999"))
    assert reason == "user 64999: has no entry in the user database, so a group has to be given too"


@needs_root
async def test_a_script_of_another_user_that_hangs_is_killed() -> None:
    result = await run(Command(("sh", "-c", "trap '' TERM; while :; do sleep 1; done"), user="nobody"), timeout=0.2)
    assert result.outcome == TimedOut(0.2)


@needs_root
async def test_a_script_that_the_user_may_not_execute_is_refused(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "check.sh", "exit 0", mode=0o700)
    reason = await refusal(Command(command.argv, user="nobody"))
    assert reason.startswith(f"{command.argv[0]}: Permission denied")


async def test_a_user_that_does_not_exist_is_named() -> None:
    assert await refusal(Command(("true",), user="no-such-user")) == "user no-such-user: no such user"


async def test_a_group_that_does_not_exist_is_named() -> None:
    reason = await refusal(Command(("true",), user=str(os.geteuid()), group="no-such-group"))
    assert reason == "group no-such-group: no such group"


async def test_the_daemons_own_user_needs_no_capability() -> None:
    assert (await run(Command(("true",), user=str(os.geteuid()), group=str(os.getegid())))).succeeded


RUN_WITHOUT_CAPABILITIES = """
import asyncio, ctypes, sys
for number in sys.argv[1].split(","):
    assert ctypes.CDLL(None).prctl(24, int(number), 0, 0, 0) == 0  # PR_CAPBSET_DROP
from vrrpd.config.model import Command
from vrrpd.scripts.runner import ScriptHelperError, ScriptRunner, _HelperProcess
async def main():
    runner = ScriptRunner()
    await runner.start()
    print((await runner.run(Command(("true",), user="nobody"), timeout=10.0)).describe())
    await runner.close(0.0)
asyncio.run(main())
"""


@needs_root
@pytest.mark.parametrize(
    ("numbers", "names"),
    [("7", "CAP_SETUID"), ("5", "CAP_KILL"), ("5,6,7", "CAP_SETGID, CAP_SETUID, CAP_KILL")],
)
async def test_a_missing_capability_is_named(numbers: str, names: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_WITHOUT_CAPABILITIES, numbers, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode() == f"could not be started: user nobody: not permitted ({names} missing)\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root has the capabilities")
async def test_an_ordinary_user_cannot_switch() -> None:
    reason = await refusal(Command(("true",), user="root"))
    assert reason == "user root: not permitted (CAP_SETGID, CAP_SETUID, CAP_KILL missing)"


# Stopping scripts.


async def test_a_hanging_script_is_killed_with_its_whole_process_group(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "hang", f"sleep 1000 & echo $! > {tmp_path}/pid\nsleep 1000")
    async with scripts_running() as runner:
        result = await runner.run(command, timeout=0.5)
        assert result.outcome == TimedOut(0.5)
        await gone(await pid_in(tmp_path / "pid"))


async def test_the_time_limit_is_reported_before_the_script_is_dead(tmp_path: Path) -> None:
    command = shell_script(
        tmp_path, "hang", f"trap '' TERM\necho hanging\necho $$ > {tmp_path}/pid\nwhile :; do sleep 1; done"
    )
    alive: list[tuple[str, bool]] = []

    def overdue(result: ScriptResult) -> None:
        alive.append((result.describe(), process_state(number_in(tmp_path / "pid")) != ""))

    async with scripts_running() as runner:
        result = await runner.run(command, timeout=0.5, on_timeout=overdue)
        assert alive == [("timed out after 0.5 s: hanging", True)]
        assert process_state(await pid_in(tmp_path / "pid")) == ""
    assert result.outcome == TimedOut(0.5)


async def test_a_script_may_clean_up_on_sigterm(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "tidy", f"trap 'echo tidy > {tmp_path}/done; exit 0' TERM\nsleep 1000 & wait")
    result = await run(command, timeout=0.5)
    assert result.outcome == TimedOut(0.5)
    assert (tmp_path / "done").read_text() == "tidy\n"


HANG_IN_A_GROUP_OR_SESSION = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setsid() if sys.argv[1] == "session" else os.setpgid(0, 0)
with open(sys.argv[2], "w") as file:
    print(os.getpid(), file=file)
time.sleep(1000)
"""


async def test_children_in_other_groups_and_sessions_die_with_a_hanging_script(tmp_path: Path) -> None:
    program = tmp_path / "hang.py"
    program.write_text(HANG_IN_A_GROUP_OR_SESSION)
    hang = f"{sys.executable} -I -S {program}"
    body = f"""trap '' TERM
{hang} session {tmp_path}/session &
{hang} group {tmp_path}/group &
({hang} group {tmp_path}/orphan &)
while :; do sleep 1; done"""
    async with scripts_running() as runner:
        result = await runner.run(shell_script(tmp_path, "spread", body), timeout=1.0)
        assert result.outcome == TimedOut(1.0)
        for name in ("session", "group", "orphan"):
            await gone(await pid_in(tmp_path / name))


async def test_a_cancelled_run_kills_the_script(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "hang", f"trap '' TERM\necho $$ > {tmp_path}/pid\nwhile :; do sleep 1; done")
    async with scripts_running() as runner:
        task = asyncio.create_task(runner.run(command, timeout=60.0))
        pid = await pid_in(tmp_path / "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(pid)
        await until(lambda: runner.running == 0, "the runner has heard of the end")


# What scripts print.


async def test_megabytes_of_output_leave_the_last_four_kibibytes() -> None:
    result = await run(shell("head -c 5000000 /dev/zero | tr '\\0' x; echo the end"))
    assert result.outcome == Exited(0)
    assert len(result.output) == 4096
    assert result.output.endswith("xxxthe end\n")


async def test_a_script_that_prints_for_ever_is_killed_at_its_limit() -> None:
    result = await run(Command(("yes",)), timeout=0.3)
    assert result.outcome == TimedOut(0.3)
    assert len(result.output) == 4096


async def test_output_that_is_no_text_does_no_harm() -> None:
    result = await run(shell("printf '\\377\\376ok\\n'"))
    assert result.lines == ("\ufffd\ufffdok",)


# What scripts leave behind.


async def test_what_a_finished_script_started_goes_on_and_may_still_print(tmp_path: Path) -> None:
    body = f"""(until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo more && echo done > {tmp_path}/done) &
exit 0"""
    async with scripts_running() as runner:
        assert (await runner.run(shell_script(tmp_path, "service", body), timeout=10.0)).succeeded
        (tmp_path / "go").touch()
        await until(lambda: written(tmp_path / "done"), "the background process has ended in its own way")


async def test_a_daemon_that_a_script_leaves_becomes_the_helpers_child_and_is_reaped(tmp_path: Path) -> None:
    body = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' >/dev/null 2>&1 &\nexit 0"
    async with scripts_running() as runner:
        assert (await runner.run(shell_script(tmp_path, "service", body), timeout=10.0)).succeeded
        pid = await pid_in(tmp_path / "pid")
        await until(lambda: parent(pid) == runner.helper_pid, "the orphan is the helper's")
        os.kill(pid, signal.SIGKILL)
        await gone(pid)


async def test_a_hundred_runs_leave_no_zombies_and_no_descriptors() -> None:
    async with scripts_running() as runner:
        helper = runner.helper_pid
        assert helper is not None
        commands = [Command(("true",)), Command(("/no/such/script",)), shell("sleep 0 & exit 1"), Command(("yes",))]
        for command in commands:
            await runner.run(command, timeout=0.05)
        await until(lambda: not children(helper), "the first runs are reaped")
        before = (open_descriptors(os.getpid()), open_descriptors(helper))
        for _ in range(5):
            await asyncio.gather(*(runner.run(command, timeout=0.05) for command in commands * 5))
        await until(lambda: not children(helper), "everything is reaped")
        await until(
            lambda: (open_descriptors(os.getpid()), open_descriptors(helper)) == before, "all descriptors are closed"
        )
        assert runner.running == 0
        assert runner.restarts == 0


# The helper and the daemon.


async def test_a_helper_that_is_killed_fails_its_runs_with_the_reason_and_is_replaced(tmp_path: Path) -> None:
    command = shell_script(tmp_path, "hang", f"sleep 1000 & echo $! > {tmp_path}/pid\nsleep 1000")
    async with scripts_running() as runner:
        task = asyncio.create_task(runner.run(command, timeout=60.0))
        pid = await pid_in(tmp_path / "pid")
        assert runner.helper_pid is not None
        os.kill(runner.helper_pid, signal.SIGKILL)
        result = await task
        assert result.outcome == Lost("the script helper was killed by signal 9 (SIGKILL)")
        await gone(pid)
        assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded
        assert runner.restarts == 1


async def test_a_helper_that_keeps_dying_is_restarted_once_a_second_at_most() -> None:
    async with scripts_running() as runner:
        for expected in (1, 2):
            assert runner.helper_pid is not None
            os.kill(runner.helper_pid, signal.SIGKILL)
            await until(lambda expected=expected: runner.restarts == expected, "the death is noticed")  # type: ignore[misc]
            # Too short to see the next helper: it comes a second after the last one.
            result = await runner.run(Command(("true",)), timeout=0.01)
            assert result.describe() == ("could not be started: no script helper: it was killed by signal 9 (SIGKILL)")
            await until(lambda: runner.helper_pid is not None, "there is a new helper")


async def test_a_helper_that_does_not_answer_is_replaced() -> None:
    async with scripts_running() as runner:
        assert runner.helper_pid is not None
        os.kill(runner.helper_pid, signal.SIGSTOP)
        result = await runner.run(Command(("true",)), timeout=0.1)
        assert result.outcome == Lost("the script helper did not answer")
        assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded


async def test_a_helper_that_does_not_report_in_time_is_replaced_for_as_long_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vrrpd.scripts.runner.START_LIMIT", 0.0)
    runner = ScriptRunner()
    runner.launch()
    with pytest.raises(ScriptHelperError, match="did not report within 0 s; trying again"):
        await runner.start()
    await until(lambda: runner.restarts == 1 and runner.helper_pid is not None, "a helper that reports")
    assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded
    await runner.close(0.0)


@pytest.mark.parametrize("launched", [True, False])
async def test_a_helper_that_cannot_be_started_at_first_is_started_later(
    monkeypatch: pytest.MonkeyPatch, launched: bool
) -> None:
    class NoMemory(ScriptRunner):
        """Two processes cannot be made, the third one can."""

        failures = 2 if launched else 1

        def _start_helper(self) -> _HelperProcess:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
            return super()._start_helper()

    runner = NoMemory()
    if launched:
        with pytest.raises(ScriptHelperError):
            runner.launch()
    with pytest.raises(ScriptHelperError, match="Resource temporarily unavailable; trying again"):
        await runner.start()
    result = await runner.run(Command(("true",)), timeout=0.0)
    assert "no script helper: it cannot be started: " in result.describe()
    assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded
    await runner.close(0.0)


async def test_a_helper_that_is_lost_before_it_reports_is_told_and_replaced() -> None:
    runner = ScriptRunner()
    runner.launch()
    keeper = runner.keeper_pid
    assert keeper is not None
    await until(lambda: bool(children(keeper)), "there is a helper")
    os.kill(children(keeper)[0], signal.SIGKILL)
    await until(lambda: not children(keeper), "it is dead")
    with contextlib.suppress(ScriptHelperError):  # unless it has reported just before
        await runner.start()
    assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded
    await runner.close(0.0)


async def test_a_helper_that_dies_is_forked_anew_by_the_same_keeper_and_takes_its_scripts_along(tmp_path: Path) -> None:
    async with scripts_running() as runner:
        keeper, helper = runner.keeper_pid, runner.helper_pid
        assert keeper is not None
        assert helper is not None
        assert children(keeper) == [helper]
        body = f"sh -c 'echo $$ > {tmp_path}/child; exec sleep 600' & wait"
        hanging = asyncio.create_task(runner.run(shell(body), timeout=60.0))
        child = await pid_in(tmp_path / "child")
        os.kill(helper, signal.SIGKILL)
        assert isinstance((await hanging).outcome, Lost)
        await gone(child)
        await until(lambda: runner.helper_pid not in (None, helper), "a new helper")
        assert runner.keeper_pid == keeper
        assert (await runner.run(shell("exit 0"), timeout=10.0)).succeeded
        assert children(keeper) == [runner.helper_pid]


async def test_a_keeper_that_is_killed_leaves_its_helper_and_is_replaced_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scripts_running() as runner:
        keeper, helper = runner.keeper_pid, runner.helper_pid
        assert keeper is not None
        assert helper is not None
        os.kill(keeper, signal.SIGKILL)
        assert (await runner.run(shell("exit 0"), timeout=10.0)).succeeded
        os.kill(helper, signal.SIGKILL)
        await until(lambda: runner.helper_pid not in (None, helper), "a new helper")
        assert runner.keeper_pid != keeper
        assert (await runner.run(shell("exit 0"), timeout=10.0)).succeeded
    assert "the new one has no rights that the daemon has given up" in caplog.text


async def test_the_helper_survives_the_signals_of_a_shutdown() -> None:
    async with scripts_running() as runner:
        assert runner.helper_pid is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(runner.helper_pid, number)
        assert (await runner.run(Command(("true",)), timeout=10.0)).succeeded
        assert runner.restarts == 0


async def test_closing_waits_for_the_grace_and_kills_what_is_left(tmp_path: Path) -> None:
    runner = ScriptRunner()
    await runner.start()
    helper = runner.helper_pid
    assert helper is not None
    hang = shell_script(tmp_path, "hang", f"trap '' TERM\necho $$ > {tmp_path}/pid\nwhile :; do sleep 1; done")
    hanging = asyncio.create_task(runner.run(hang, timeout=60.0))
    pid = await pid_in(tmp_path / "pid")
    short = asyncio.create_task(runner.run(shell("sleep 0.1; exit 7"), timeout=60.0))
    await until(lambda: runner.running == 2, "both run")
    await runner.close(0.5)
    assert (await short).outcome == Exited(7)
    assert (await hanging).outcome == Lost("the daemon is shutting down")
    await gone(pid)
    assert process_state(helper) == ""
    result = await runner.run(Command(("true",)), timeout=10.0)
    assert result.describe() == "could not be started: no script helper: the daemon is shutting down"


RUN_UNTIL_KILLED = """
import asyncio, sys
from vrrpd.config.model import Command
from vrrpd.scripts.runner import ScriptHelperError, ScriptRunner, _HelperProcess
async def main():
    runner = ScriptRunner()
    await runner.start()
    print(runner.helper_pid, flush=True)
    await runner.run(Command((sys.argv[1],)), timeout=600.0)
asyncio.run(main())
"""


async def test_when_the_daemon_is_killed_its_scripts_and_the_helper_end(tmp_path: Path) -> None:
    body = f"trap '' TERM\nsleep 1000 & echo $! > {tmp_path}/child\necho $$ > {tmp_path}/pid\nsleep 1000"
    command = shell_script(tmp_path, "hang", body)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_UNTIL_KILLED, command.argv[0], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    helper = int(await process.stdout.readline())
    pids = [await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "child")]
    process.kill()
    await process.wait()
    # Orphans of ours: whoever adopts them may take its time to reap, so a zombie counts as ended.
    for pid in (*pids, helper):
        await until(lambda pid=pid: process_state(pid) in ("", "Z"), f"process {pid} has ended")  # type: ignore[misc]


async def test_the_event_loop_goes_on_whatever_scripts_do(tmp_path: Path) -> None:
    """Each of these lasts a second or more: anything that waited for one would hold the loop up for as long."""
    commands = [
        shell("trap '' TERM; while :; do sleep 1; done"),
        shell("i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; wait"),
        shell("i=0; while [ $i -lt 20 ]; do (setsid sleep 2 &); i=$((i+1)); done; sleep 1000"),
        Command(("yes",)),
        shell("exec >&- 2>&-; sleep 1000"),
    ]
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(0.005)
            now = loop.time()
            longest = max(longest, now - before)
            before = now

    async with scripts_running() as runner:
        ticker = asyncio.create_task(tick())
        results = await asyncio.gather(*(runner.run(command, timeout=1.0) for command in commands))
        ticker.cancel()
    assert [result.outcome for result in results] == [TimedOut(1.0)] * 5
    assert longest < 0.5
