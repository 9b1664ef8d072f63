"""What must hold in every run: at every moment, and once the network is whole again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from tests.simulation.node import Node, RouterPlan, SimulatedRouter
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.router import ANSWERS_PER_SECOND


def routers_of(nodes: Iterable[Node], vrid: int) -> list[SimulatedRouter]:
    """The running routers of one group."""
    return [node.routers[vrid] for node in nodes if vrid in node.routers]


def addresses_are_installed_exactly_while_master(nodes: Iterable[Node]) -> None:
    """All addresses while MASTER, none in any other state; what a dead daemon had is gone."""
    for node in nodes:
        for router in node.history:
            alive = node.routers.get(router.plan.vrid) is router
            expected = set(router.runner.settings.parameters.addresses) if alive and router.is_master else set()
            assert router.installed == expected, f"{router.name} is {router.runner.state.value} with {router.installed}"


def a_node_in_fault_serves_nobody(nodes: Iterable[Node]) -> None:
    """A node without link or check holds no address, unless its process is stopped and cannot know."""
    for node in nodes:
        if node.paused:
            continue
        for router in node.routers.values():
            if not (node.link and node.check):
                assert router.runner.state is StateName.FAULT, f"{router.name} is {router.runner.state.value}"
                assert not router.installed


def advertisements_are_bounded(nodes: Iterable[Node]) -> None:
    """In no second does a router send more than its own rate and the answers it is allowed (twice, at most)."""
    for node in nodes:
        for router in node.history:
            times = [when for when, _ in router.sent]
            bound = 2 * ANSWERS_PER_SECOND + 100 // router.plan.interval + 5
            for index, when in enumerate(times):
                burst = bisect_left(times, when + 1.0, lo=index) - index
                assert burst <= bound, f"{router.name} sent {burst} advertisements within 1 s from {when}"


def exactly_one_master(nodes: Sequence[Node], vrid: int) -> SimulatedRouter:
    """One router of the group serves, and no other."""
    masters = [router for router in routers_of(nodes, vrid) if router.is_master]
    names = [router.name for router in masters]
    assert len(masters) == 1, f"group {vrid} has {len(masters)} masters: {', '.join(names)}"
    return masters[0]


def the_master_is_the_rightful_one(nodes: Sequence[Node], vrid: int) -> None:
    """Nobody who would preempt has a higher priority than the one who serves."""
    master = exactly_one_master(nodes, vrid)
    for router in routers_of(nodes, vrid):
        if router.node.healthy and router.plan.preempts:
            ours, theirs = router.runner.router.priority, master.runner.router.priority
            assert ours <= theirs, f"{router.name} ({ours}) leaves the role to {master.name} ({theirs})"


def time_to_settle(plans: Sequence[RouterPlan], maximum_delay: float) -> float:
    """Seconds from a whole network to one rightful master in a group: one master-down interval and some slack.

    The slack is one interval and the packets still on their way. With ``preempt_delay`` the rightful one may have to
    hear the other one take over first, and then wait for as long as it was told.
    """
    interval = max(plan.interval for plan in plans)
    down = max(plan.master_down_interval(interval) for plan in plans)
    down = max(down, 4 * interval / 100)  # a tracked weight may make the skew longer
    slack = interval / 100 + 10 * maximum_delay + 0.1
    delay = max(plan.preempt_delay for plan in plans)
    return slack + down if delay == 0 else slack + 2 * down + delay + interval / 100
