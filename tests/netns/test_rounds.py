"""Routers that advertise together, on a real wire: what the kernel refuses one of them is its own affair."""

from __future__ import annotations

import pytest

from tests.netns.daemons import Daemons, gaps, instance
from vrrpd.lab import Bridge, Host, wait_until
from vrrpd.settings import PHASES_PER_SECOND

pytestmark = pytest.mark.netns

INTERVAL = 0.2
SHARED = int(PHASES_PER_SECOND * INTERVAL)
"""Router ids so far apart advertise at the same moments."""
ONE, TWO, THREE = 51, 51 + SHARED, 51 + 2 * SHARED
NAMES = {ONE: "one", TWO: "two", THREE: "three"}
REFUSED = f"ip protocol 112 @th,8,8 {TWO} drop"
WORDS = "(two) an advertisement was not sent to 224.0.0.18: Operation not permitted"


def test_a_router_whose_advertisements_are_refused_says_so_once_and_the_others_go_on(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    routers = [
        instance(name=name, vrid=vrid, interval=INTERVAL, addresses=[f"192.0.2.{vrid}"]) for vrid, name in NAMES.items()
    ]
    daemon = daemons.start(r1, "\n".join(routers))
    for name in NAMES.values():
        daemon.wait_for_state("MASTER", name)
    capture = lan.capture()

    def heard(vrid: int, since_ns: int = 0) -> list[int]:
        return [frame.time_ns for frame, _ in capture.advertisements(vrid, since_ns=since_ns)]

    def ten_more() -> int:
        """Waits for ten intervals of the others, and returns when they were over."""
        before = len(heard(ONE))
        wait_until(lambda: len(heard(ONE)) >= before + 10, what="ten advertisements")
        return heard(ONE)[-1]

    ten_more()
    assert heard(TWO)
    r1.run(["nft", "add table ip refusal; add chain ip refusal out { type filter hook output priority 0; }"])
    r1.run(["nft", f"add rule ip refusal out {REFUSED}"])
    wait_until(lambda: WORDS in daemon.log, what="the word about it")
    begun = ten_more()
    ended = ten_more()
    assert all(time > ended for time in heard(TWO, since_ns=begun)), "nothing of it leaves"
    r1.run(["nft", "delete table ip refusal"])
    wait_until(lambda: heard(TWO, since_ns=ended), what="its advertisements")
    ten_more()
    assert daemon.log.count("an advertisement was not sent") == 1
    for vrid in (ONE, THREE):
        assert max(gaps(heard(vrid))) < 0.6e9, "three missing advertisements make another master"
    sent = {name: daemon.router(name)["counters"]["advertisements_sent"] for name in NAMES.values()}
    assert max(sent.values()) - min(sent.values()) <= 2, "what was refused was sent as far as the router knows"
