"""Demonstrations as a newcomer runs them: programs of their own, whose temporary files go where the test can look."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def demonstration(
    module: str, *arguments: str, environment: Mapping[str, str], directory: Path
) -> Iterator[subprocess.Popen[str]]:
    """A demonstration, just started; killed at the end of the block if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**environment, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def daemons_of(directory: Path) -> list[int]:
    """The processes that were told of a file under ``directory``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(directory).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def nothing_is_left(directory: Path) -> bool:
    """Whether a demonstration that has ended has left neither daemons nor files."""
    return daemons_of(directory) == [] and list(directory.iterdir()) == []
