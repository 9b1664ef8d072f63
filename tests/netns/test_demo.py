"""``make demo``, as a newcomer runs it: it ends well, and it leaves nothing behind when interrupted."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.demonstrations import daemons_of, demonstration, nothing_is_left
from vrrpd.lab import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.alone]


@pytest.fixture
def demo(privileges: None, environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demonstration, just started."""
    with demonstration("vrrpd.lab.demo", environment=environment, directory=tmp_path) as process:
        yield process


def test_the_demonstration_ends_well_and_shows_every_outage(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    output, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, output
    for event in ("r1 loses its power", "vrrpd on r1 is stopped (SIGTERM)", "the check of r1's service fails"):
        assert sum(line.startswith(event) for line in output.splitlines()) == 1, output
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_cleans_up(
    demo: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    wait_until(lambda: len(daemons_of(tmp_path)) == 2, timeout=20, what="both daemons")
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert nothing_is_left(tmp_path)
