"""What tests of scripts share: a runner, scripts on disk, waiting for a condition, a look at processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from vrrpd.config.model import Command
from vrrpd.scripts.runner import ScriptRunner

PATIENCE = 20.0
"""Seconds that a condition may take to come true before the test fails."""


@asynccontextmanager
async def scripts_running() -> AsyncIterator[ScriptRunner]:
    """A started runner that is closed afterwards."""
    runner = ScriptRunner()
    await runner.start()
    try:
        yield runner
    finally:
        await runner.close(0.0)


def shell_script(directory: Path, name: str, body: str, mode: int = 0o755) -> Command:
    """Writes an executable shell script and returns the command that runs it."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return Command((str(path),))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition; fails the test when it does not come true in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < deadline, f"{what}: not within {PATIENCE:g} s"
        await asyncio.sleep(0.005)


def written(path: Path) -> bool:
    """True when a file holds at least one whole line."""
    return path.exists() and path.read_text().endswith("\n")


def number_in(path: Path) -> int:
    return int(path.read_text())


def process_state(pid: int) -> str:
    """The state letter of a process (proc(5)): ``Z`` for a zombie, "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
