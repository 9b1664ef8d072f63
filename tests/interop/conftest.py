"""Where keepalived comes from, when these tests are skipped, and the stories they judge.

A test module that has a story says so with ``PLAY`` (what happens), ``FILE`` (the configuration of both sides),
``GROUPS`` and ``FIRST`` (which programs play the first router, one story for each). Stories take their time and hardly
any processor, so all that the selected tests need are played at once when the first test asks for one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

import pytest

from tests.availability import unavailable
from tests.interop.story import Story
from vrrpd.lab import Lab, LabUnavailable, ensure_privileges

FETCHED: Final = Path(__file__).parents[2] / ".cache" / "keepalived" / "run"
INSTALLED: Final = Path("/usr/sbin/keepalived")

Stage: TypeAlias = Callable[[ModuleType, str], Story]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known also when only these tests are collected."""
    config.addinivalue_line("markers", "requirement(*ids): the requirements that this test proves")


@pytest.fixture(scope="session")
def keepalived() -> Path:
    """The real keepalived: $VRRPD_KEEPALIVED, else the fetched one, else the installed one."""
    if named := os.environ.get("VRRPD_KEEPALIVED"):
        if not os.access(named, os.X_OK):
            unavailable(f"VRRPD_KEEPALIVED is {named}: no such program")
        return Path(named)
    for candidate in (FETCHED, INSTALLED):
        if os.access(candidate, os.X_OK):
            return candidate
    return unavailable(
        f"no keepalived at {FETCHED} (make keepalived) nor at {INSTALLED}; VRRPD_KEEPALIVED names another"
    )


@pytest.fixture(scope="session")
def keepalived_version(keepalived: Path) -> tuple[int, ...]:
    """The version of the other side, for what it has changed over time."""
    done = subprocess.run([keepalived, "--version"], capture_output=True, text=True, timeout=10, check=True)
    match = re.search(r"Keepalived v(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    assert match, f"no version in: {done.stdout}{done.stderr}"
    return tuple(map(int, match.groups()))


@pytest.fixture(scope="session")
def privileges() -> None:
    """The right to build a lab."""
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        unavailable(str(reason))


@pytest.fixture(scope="session")
def stage(privileges: None, keepalived: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Gives the story of a module with this program as the first router, played once and kept for all its tests."""
    modules = {item.module for item in request.session.items if isinstance(item, pytest.Function)}
    plays = [(module, first) for module in modules if hasattr(module, "PLAY") for first in module.FIRST]

    def play(module: ModuleType, first: str) -> Story:
        with Lab() as lab:
            story = Story(lab, keepalived, module.FILE, module.GROUPS, first)
            module.PLAY(story)
        return story

    with ThreadPoolExecutor(max(1, len(plays)), "story") as pool:
        stories: dict[tuple[str, str], Future[Story]] = {
            (module.__name__, first): pool.submit(play, module, first) for module, first in plays
        }
        yield lambda module, first: stories[module.__name__, first].result()


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest, stage: Stage) -> Story:
    """The story of the test's module with the program that the parameter names as the first router."""
    return stage(request.module, request.param)
