"""A process that is stopped for long: what waited in its socket tells it how things were, not how they are."""

from __future__ import annotations

import signal

import pytest

from tests.netns.daemons import Daemons, instance
from vrrpd.lab import Host, wait_until

pytestmark = pytest.mark.netns

ROUTERS = 80
MORE_THAN_A_SOCKET_HOLDS = 120
"""Advertisements of each router: the kernel keeps the first few thousand packets and drops the others."""


def configuration(priority: int) -> str:
    """Many routers that advertise ten times a second."""
    return "".join(
        instance(name=f"VI_{vrid}", vrid=vrid, priority=priority, interval=0.1, addresses=[f"192.0.2.{100 + vrid}"])
        for vrid in range(1, ROUTERS + 1)
    )


@pytest.mark.requirement("SM-B-9")
@pytest.mark.counter_case("SM-B-7")
def test_a_backup_whose_socket_overflowed_does_not_depose_masters_that_are_there(
    r1: Host, r2: Host, daemons: Daemons
) -> None:
    master = daemons.start(r1, configuration(200))
    for vrid in range(1, ROUTERS + 1):
        master.wait_for_state("MASTER", f"VI_{vrid}")
    backup = daemons.start(r2, configuration(100))
    heard = backup.wait_for(lambda router: router["counters"]["advertisements_received"] > 3, "advertisements")
    assert heard["state"] == "BACKUP"
    sent = master.router()["counters"]["advertisements_sent"]
    backup.process.signal(signal.SIGSTOP)
    try:
        wait_until(
            lambda: master.router()["counters"]["advertisements_sent"] >= sent + MORE_THAN_A_SOCKET_HOLDS,
            timeout=40.0,
            what="more advertisements than a socket holds",
        )
    finally:
        backup.process.signal(signal.SIGCONT)
    received = backup.router()["counters"]["advertisements_received"]
    wait_until(
        lambda: backup.router()["counters"]["advertisements_received"] > received + 10, what="ten more advertisements"
    )
    took_over = [each["name"] for each in backup.status()["routers"] if each["counters"]["became_master"]]
    assert took_over == []
    lost = [each["name"] for each in master.status()["routers"] if each["state"] != "MASTER"]
    assert lost == []
