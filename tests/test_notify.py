"""Notify scripts that are really run: what they are told, in which order, and what their failures cost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.scripts.support import number_in, process_state, scripts_running, shell_script, until, written
from vrrpd.config.model import Command, NotifyScripts
from vrrpd.notify import Notifier


@asynccontextmanager
async def notifying(time_limit: float = 30.0, queue_limit: int = 16) -> AsyncIterator[Notifier]:
    """A notifier with a runner; what still runs at the end is killed."""
    async with scripts_running() as runner:
        yield Notifier(runner, time_limit=time_limit, queue_limit=queue_limit)


def noting(tmp_path: Path, name: str, before: str = ":") -> Command:
    """A script that notes its name and arguments in ``told``, one line for each run."""
    return shell_script(tmp_path, name, f'{before}\necho "{name} $*" >> {tmp_path}/told')


def told(tmp_path: Path) -> list[str]:
    path = tmp_path / "told"
    return path.read_text().splitlines() if path.exists() else []


def all_scripts(tmp_path: Path) -> NotifyScripts:
    return NotifyScripts(
        any_change=noting(tmp_path, "any"),
        master=noting(tmp_path, "master"),
        backup=noting(tmp_path, "backup"),
        fault=noting(tmp_path, "fault"),
        stop=noting(tmp_path, "stop"),
        master_rx_lower_pri=noting(tmp_path, "lower"),
    )


async def idle(notifier: Notifier) -> None:
    await until(lambda: notifier.waiting == 0, "everything is told")


async def test_the_state_script_comes_first_and_notify_gets_four_words(tmp_path: Path) -> None:
    async with notifying() as notifier:
        for state, priority in (("BACKUP", 100), ("MASTER", 100), ("FAULT", 0), ("STOP", 100)):
            notifier.state_changed("VI_1", all_scripts(tmp_path), state, priority)
        await idle(notifier)
    assert told(tmp_path) == [
        "backup ",
        "any INSTANCE VI_1 BACKUP 100",
        "master ",
        "any INSTANCE VI_1 MASTER 100",
        "fault ",
        "any INSTANCE VI_1 FAULT 0",
        "stop ",
        "any INSTANCE VI_1 STOP 100",
    ]


async def test_appended_words_come_after_the_scripts_own(tmp_path: Path) -> None:
    own = noting(tmp_path, "any")
    scripts = NotifyScripts(any_change=Command((*own.argv, "--to", "a b")))
    async with notifying() as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 254)
        await idle(notifier)
    assert told(tmp_path) == ["any --to a b INSTANCE VI_1 MASTER 254"]


async def test_a_slow_master_script_ends_before_the_backup_script_starts(tmp_path: Path) -> None:
    scripts = NotifyScripts(master=noting(tmp_path, "master", "sleep 0.5"), backup=noting(tmp_path, "backup"))
    async with notifying() as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 100)
        notifier.state_changed("VI_1", scripts, "BACKUP", 100)
        await idle(notifier)
    assert told(tmp_path) == ["master ", "backup "]


async def test_routers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    slow = NotifyScripts(master=noting(tmp_path, "slow", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"))
    quick = NotifyScripts(master=noting(tmp_path, "quick", f"touch {tmp_path}/go"))
    async with notifying() as notifier:
        notifier.state_changed("VI_1", slow, "MASTER", 100)
        notifier.state_changed("VI_2", quick, "MASTER", 100)
        await idle(notifier)
        assert notifier.failures == 0
    assert sorted(told(tmp_path)) == ["quick ", "slow "]


async def test_without_scripts_there_is_no_work_and_no_task() -> None:
    async with notifying() as notifier:
        before = asyncio.all_tasks()
        notifier.state_changed("VI_1", NotifyScripts(), "MASTER", 100)
        notifier.lower_priority_heard("VI_1", NotifyScripts())
        assert notifier.waiting == 0
        assert asyncio.all_tasks() == before


async def test_a_script_that_hangs_is_killed_and_the_next_one_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hang = shell_script(tmp_path, "hang", f"sleep 1000 & echo $! > {tmp_path}/pid\nwait")
    scripts = NotifyScripts(master=hang, backup=noting(tmp_path, "backup"))
    async with notifying(time_limit=0.5) as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 100)
        notifier.state_changed("VI_1", scripts, "BACKUP", 100)
        await idle(notifier)
        pid = number_in(tmp_path / "pid")
        await until(lambda: process_state(pid) == "", "what it started is dead")
        assert notifier.failures == 1
    assert told(tmp_path) == ["backup "]
    assert f"router VI_1: notify_master {hang} timed out after 0.5 s" in caplog.messages


async def test_a_failing_script_is_a_warning_and_its_output_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fails = shell_script(tmp_path, "fails", "echo one; echo two >&2; exit 5")
    async with notifying() as notifier:
        notifier.state_changed("VI_1", NotifyScripts(any_change=fails), "FAULT", 0)
        await idle(notifier)
    assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "vrrpd.notify"] == [
        ("INFO", f"router VI_1: notify {fails}: one"),
        ("INFO", f"router VI_1: notify {fails}: two"),
        ("WARNING", f"router VI_1: notify {fails} exited with status 5: two"),
    ]


async def test_a_missing_script_is_a_warning_and_the_other_one_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scripts = NotifyScripts(master=Command(("/no/such/script",)), any_change=noting(tmp_path, "any"))
    async with notifying() as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 100)
        await idle(notifier)
    assert told(tmp_path) == ["any INSTANCE VI_1 MASTER 100"]
    assert (
        "router VI_1: notify_master /no/such/script could not be started: /no/such/script: No such file or directory"
        in caplog.messages
    )


async def test_only_the_last_lines_of_much_output_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    talks = shell_script(tmp_path, "talks", "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done")
    async with notifying() as notifier:
        notifier.state_changed("VI_1", NotifyScripts(master=talks), "MASTER", 100)
        await idle(notifier)
    lines = [message for message in caplog.messages if message.startswith("router VI_1")]
    assert len(lines) == 20
    assert lines[-1] == f"router VI_1: notify_master {talks}: line 999"


async def test_a_long_queue_drops_what_is_between_and_tells_the_final_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"
    scripts = NotifyScripts(any_change=noting(tmp_path, "any", wait))
    async with notifying(queue_limit=16) as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 1)
        await asyncio.sleep(0)  # the first one is taken from the queue
        for number in range(2, 19):
            notifier.state_changed("VI_1", scripts, "BACKUP" if number % 2 == 0 else "MASTER", number)
        assert notifier.dropped == 16
        (tmp_path / "go").touch()
        await idle(notifier)
    assert told(tmp_path) == ["any INSTANCE VI_1 MASTER 1", "any INSTANCE VI_1 BACKUP 18"]
    assert (
        "router VI_1: more than 16 state changes are waiting; not telling the notify scripts of 16, only of BACKUP"
        in caplog.messages
    )


async def test_a_lower_priority_advertisement_is_told_once_while_it_waits(tmp_path: Path) -> None:
    scripts = all_scripts(tmp_path)
    async with notifying() as notifier:
        notifier.state_changed("VI_1", scripts, "MASTER", 100)
        for _ in range(100):
            notifier.lower_priority_heard("VI_1", scripts)
        await idle(notifier)
        assert told(tmp_path) == ["master ", "any INSTANCE VI_1 MASTER 100", "lower "]
        notifier.lower_priority_heard("VI_1", scripts)
        await idle(notifier)
        assert told(tmp_path)[3:] == ["lower "]


async def test_stopping_waits_for_the_stop_scripts(tmp_path: Path) -> None:
    scripts = NotifyScripts(stop=noting(tmp_path, "stop", "sleep 0.1"))
    async with notifying() as notifier:
        notifier.state_changed("VI_1", scripts, "STOP", 100)
        notifier.state_changed("VI_2", scripts, "STOP", 100)
        await notifier.stop(asyncio.get_running_loop().time() + 20.0)
        assert told(tmp_path) == ["stop ", "stop "]
        assert notifier.waiting == 0
        notifier.state_changed("VI_1", scripts, "STOP", 100)
        assert notifier.waiting == 0


async def test_a_stop_script_that_hangs_is_killed_at_the_deadline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hang = shell_script(tmp_path, "hang", f"echo $$ > {tmp_path}/pid\nsleep 1000")
    async with notifying() as notifier:
        notifier.state_changed("VI_1", NotifyScripts(stop=hang), "STOP", 100)
        await until(lambda: written(tmp_path / "pid"), "it runs")
        pid = number_in(tmp_path / "pid")
        await notifier.stop(asyncio.get_running_loop().time() + 0.2)
        assert notifier.waiting == 0
        await until(lambda: process_state(pid) == "", "it is dead")
    assert "router VI_1: notify_stop did not end in time for the shutdown and is killed" in caplog.messages


async def test_a_script_that_hangs_does_not_cost_the_stop_script_its_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hang = shell_script(tmp_path, "hang", f"echo $$ > {tmp_path}/pid\nsleep 1000")
    scripts = NotifyScripts(master=hang, backup=noting(tmp_path, "backup"), stop=noting(tmp_path, "stop"))
    async with notifying() as notifier:
        for state in ("MASTER", "BACKUP", "STOP"):
            notifier.state_changed("VI_1", scripts, state, 100)
        await until(lambda: written(tmp_path / "pid"), "the first script runs")
        await notifier.stop(asyncio.get_running_loop().time() + 4.0)
    assert told(tmp_path) == ["stop "]
    assert "router VI_1: shutting down; not telling the notify scripts of 1, only of STOP" in caplog.messages
    assert "router VI_1: notify_master was killed for the shutdown" in caplog.messages


async def test_a_helper_that_dies_costs_one_script_and_not_the_order(tmp_path: Path) -> None:
    async with scripts_running() as runner:
        notifier = Notifier(runner)
        hang = shell_script(tmp_path, "hang", f"echo $$ > {tmp_path}/pid\nsleep 1000")
        scripts = NotifyScripts(master=hang, backup=noting(tmp_path, "backup"))
        notifier.state_changed("VI_1", scripts, "MASTER", 100)
        notifier.state_changed("VI_1", scripts, "BACKUP", 100)
        await until(lambda: written(tmp_path / "pid"), "the first script runs")
        assert runner.helper_pid is not None
        os.kill(runner.helper_pid, signal.SIGKILL)
        await idle(notifier)
        assert notifier.failures == 1
    assert told(tmp_path) == ["backup "]
