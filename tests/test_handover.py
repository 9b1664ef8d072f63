"""What a MASTER leaves for its successor: believed only if it was meant for this process and comes in time."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from vrrpd.config.model import DEFAULT_GROUPS, NotifyScripts, UnicastPeer, VirtualAddress, VirtualRouterConfig
from vrrpd.handover import HandoverError, Inheritance, Leaving, inheritance, take, write
from vrrpd.protocol.timing import Version

NAMESPACE = 4026531840
ROUTER = VirtualRouterConfig(
    name="VI_1",
    interface="eth0",
    family=4,
    vrid=51,
    version=Version.V3,
    addresses=(VirtualAddress(IPv4Address("192.0.2.100"), 24, "eth0"),),
    priority=150,
    multicast_group=DEFAULT_GROUPS[4],
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "word.handover"


def left_by(router: VirtualRouterConfig, path: Path, *, at: float = 1000.0, weight: int = 0) -> list[Any]:
    """What a successor reads of a router that went silent."""
    write(path, NAMESPACE, [Leaving(router, weight)], at)
    return take(path, NAMESPACE)


def test_the_same_router_inherits_until_three_intervals_are_nearly_over_and_the_weight(path: Path) -> None:
    left = left_by(ROUTER, path, weight=-20)
    found = inheritance(ROUTER, left, 1000.4)
    assert isinstance(found, Inheritance)
    assert found.resume_until == pytest.approx(1002.95)
    assert found.weight == -20


def test_it_is_read_once(path: Path) -> None:
    assert len(left_by(ROUTER, path)) == 1
    assert take(path, NAMESPACE) == []
    assert list(path.parent.iterdir()) == []


def test_it_is_for_its_owner_alone(path: Path) -> None:
    write(path, NAMESPACE, [Leaving(ROUTER, 0)], 1000.0)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "router",
    [
        replace(ROUTER, name="renamed"),
        replace(ROUTER, priority=200),
        replace(ROUTER, preempt=False, notify=NotifyScripts()),
    ],
)
def test_what_the_others_do_not_see_may_change_and_a_priority_may_rise(path: Path, router: VirtualRouterConfig) -> None:
    assert isinstance(inheritance(router, left_by(ROUTER, path), 1000.4), Inheritance)


@pytest.mark.parametrize(
    ("router", "reason"),
    [
        (replace(ROUTER, priority=149), "its priority is 149, that of its predecessor was 150"),
        (replace(ROUTER, version=Version.V2), "version changed in between"),
        (replace(ROUTER, advertisement_interval=200), "interval changed in between"),
        (replace(ROUTER, addresses=()), "addresses changed in between"),
        (
            replace(ROUTER, multicast_group=None, unicast_peers=(UnicastPeer(IPv4Address("192.0.2.2")),)),
            "group, peers changed in between",
        ),
    ],
)
def test_another_router_does_not_inherit_and_the_log_can_say_why(
    path: Path, router: VirtualRouterConfig, reason: str
) -> None:
    assert inheritance(router, left_by(ROUTER, path), 1000.4) == reason


@pytest.mark.parametrize(
    "router", [replace(ROUTER, vrid=52), replace(ROUTER, interface="eth1"), replace(ROUTER, family=6)]
)
def test_a_router_that_nobody_left_anything_to_starts_as_usual(path: Path, router: VirtualRouterConfig) -> None:
    assert inheritance(router, left_by(ROUTER, path), 1000.4) is None


@pytest.mark.parametrize(
    ("now", "reason"), [(1002.96, "it came 0.01 s too late"), (1900.0, "it came 897.05 s too late")]
)
def test_too_late_is_too_late(path: Path, now: float, reason: str) -> None:
    assert inheritance(ROUTER, left_by(ROUTER, path), now) == reason


@pytest.mark.parametrize("until", [9e9, float("inf"), float("nan")])
def test_a_time_that_cannot_be_is_not_believed(path: Path, until: float) -> None:
    left = left_by(ROUTER, path)
    left[0]["resume_until"] = until
    assert isinstance(inheritance(ROUTER, left, 1000.4), str)


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"identity": 7}, {"identity": {}, "priority": "x"}])
def test_an_entry_that_means_nothing_is_said_to(entry: object) -> None:
    found = inheritance(ROUTER, [entry], 1000.4)
    assert isinstance(found, str)
    assert found.startswith("what was left cannot be understood")


def test_word_of_another_boot_or_namespace_is_not_believed(path: Path) -> None:
    write(path, NAMESPACE, [Leaving(ROUTER, 0)], 1000.0)
    with pytest.raises(HandoverError, match="is of another boot or network namespace"):
        take(path, NAMESPACE + 1)
    assert not path.exists()
    write(path, NAMESPACE, [Leaving(ROUTER, 0)], 1000.0)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    with pytest.raises(HandoverError, match="is of another boot or network namespace"):
        take(path, NAMESPACE)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"schema": 2}', "{}", '{"schema": 1}', "[" * 100_000])
def test_anything_else_is_an_error_with_the_name_of_the_file_and_is_gone(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(HandoverError, match=re_escaped(path)):
        take(path, NAMESPACE)
    assert not path.exists()


def re_escaped(path: Path) -> str:
    return str(path).replace(".", r"\.").replace("[", r"\[").replace("]", r"\]")


def test_what_others_can_write_is_not_believed(path: Path) -> None:
    write(path, NAMESPACE, [Leaving(ROUTER, 0)], 1000.0)
    path.chmod(0o666)
    with pytest.raises(HandoverError, match="can be written by others"):
        take(path, NAMESPACE)


def test_a_link_or_a_pipe_is_not_followed_and_not_waited_for(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, NAMESPACE, [Leaving(ROUTER, 0)], 1000.0)
    path.symlink_to(elsewhere)
    with pytest.raises(HandoverError):
        take(path, NAMESPACE)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(HandoverError):
        take(path, NAMESPACE)
