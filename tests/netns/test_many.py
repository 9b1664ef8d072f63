"""As many virtual addresses as a cluster may have, in as many groups as one likes; and a reload of busy routers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.netns.daemons import Daemons, instance
from tests.netns.test_addresses import own
from tests.netns.test_environment import start
from vrrpd.lab import Bridge, Capture, Host, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.alone]

INTERVAL = 0.1
ROUTERS = 60
ATTEMPTS = 6


@pytest.mark.parametrize("groups", [254, 20, 1])
def test_254_addresses_of_an_environment_are_all_held_and_none_stays(r1: Host, daemons: Daemons, groups: int) -> None:
    given = {"OPENSHIFT_HA_VIRTUAL_IPS": "198.51.100.1-254", "OPENSHIFT_HA_VIP_GROUPS": str(groups)}
    daemon = start(daemons, r1, VRRPD_ADVERT_INTERVAL="1", **given)
    expected = {("192.0.2.1", 24), ("2001:db8::1", 64), *((f"198.51.100.{last}", 32) for last in range(1, 255))}
    wait_until(lambda: set(own(r1)) == expected, 40.0, "254 addresses")
    status = daemon.status()
    assert len(status["routers"]) == groups
    assert {router["state"] for router in status["routers"]} == {"MASTER"}
    assert sum(entry["installed"] for router in status["routers"] for entry in router["addresses"]) == 254
    assert daemon.process.stop(20) == 0
    assert own(r1) == [("192.0.2.1", 24), ("2001:db8::1", 64)]


def configuration(*, changed: int = 0, added: int = 0, removed: int = 0) -> str:
    """Sixty routers at 100 ms: the last ones removed, the first ones with another priority, and new ones."""
    routers = [
        instance(name=f"VI_{vrid}", vrid=vrid, interval=INTERVAL, priority=100 + changed * (vrid <= 10))
        for vrid in range(1, ROUTERS + 1 - removed)
    ]
    routers += [instance(name=f"VI_{vrid}", vrid=vrid, interval=INTERVAL) for vrid in range(101, 101 + added)]
    return "".join(router.replace("192.0.2.100/24", f"198.51.100.{number}") for number, router in enumerate(routers, 1))


def longest_silence(capture: Capture, vrid: int, since_ns: int, until_ns: int) -> float:
    """Seconds between two advertisements of one router, at most."""
    times = [frame.time_ns for frame, _ in capture.advertisements(vrid, since_ns=since_ns) if frame.time_ns <= until_ns]
    return max(after - before for before, after in pairwise(times)) / 1e9


def test_a_reload_of_sixty_busy_routers_costs_the_unchanged_ones_no_advertisement(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    daemon = daemons.start(r1, configuration())
    wait_until(lambda: {router["state"] for router in daemon.status()["routers"]} == {"MASTER"}, 20.0, "sixty masters")
    unchanged = range(11, ROUTERS - 1)
    capture = lan.capture()

    def ten_more(vrid: int = 11) -> int:
        """Waits for ten intervals and returns the time of the last advertisement."""
        seen = len(capture.advertisements(vrid))
        wait_until(lambda: len(capture.advertisements(vrid)) >= seen + 10, 20.0, "ten more advertisements")
        return capture.advertisements(vrid)[-1][0].time_ns

    ten_more()
    undisturbed = 0
    for attempt in range(1, ATTEMPTS + 1):
        capture.clear()
        begin = ten_more()
        quiet = ten_more()
        answer = daemon.reload(configuration(changed=attempt, added=2 * (attempt % 2), removed=2))
        assert answer["result"] == "done"
        assert "10 changed in place" in answer["detail"]
        end = ten_more()
        # Where this machine leaves out an advertisement without any reload, the time with one says nothing.
        still = ten_more()
        if max(longest_silence(capture, 11, begin, quiet), longest_silence(capture, 11, end, still)) >= 2 * INTERVAL:
            continue
        undisturbed += 1
        silences = {vrid: longest_silence(capture, vrid, begin, end) for vrid in unchanged}
        assert max(silences.values()) < 2 * INTERVAL, silences
        if undisturbed == 2:
            break
    assert undisturbed, f"this machine is too busy: in {ATTEMPTS} attempts advertisements were left out at any time"
    for router in daemon.status()["routers"]:
        assert router["counters"]["became_master"] == 1
        assert router["counters"]["priority_zero_sent"] == 0
