"""What users tell of their LANs, on a virtual one: who serves when, to the millisecond.

Packets take 0.1 ms. Node n0 is 192.0.2.1, n1 is 192.0.2.2 and so on; the group is virtual router 51.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address

import pytest

from tests.simulation.invariants import Referee
from tests.simulation.lan import Lan, packet_of
from tests.simulation.node import Node, SimulatedRouter
from tests.simulation.plan import GROUP, RouterPlan
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import Datagram
from vrrpd.protocol.discard import DiscardReason
from vrrpd.protocol.packet import Advertisement, ChecksumForm, encode
from vrrpd.protocol.timing import Version

BACKUP, MASTER, FAULT, INIT = StateName.BACKUP, StateName.MASTER, StateName.FAULT, StateName.INIT
STRANGER = IPv4Address("192.0.2.9")
GROUP4 = GROUP[4]


def lan_of(*plans: RouterPlan, started: bool = True) -> tuple[Lan, list[Node]]:
    """A perfect LAN with one node for each plan, all started at 0 s, and held to the invariants."""
    lan = Lan(seed=1)
    referee = Referee(lan)
    nodes = [Node(lan, index, [plan], witness=referee) for index, plan in enumerate(plans)]
    for node in nodes if started else []:
        lan.at(0.0, node.start)
    return lan, nodes


def plan(priority: int, *, preempt: bool = True, preempt_delay: float = 0.0, interval: int = 100) -> RouterPlan:
    """A router of group 51."""
    return RouterPlan(51, priority, interval=interval, preempt=preempt, preempt_delay=preempt_delay)


def group(node: Node) -> SimulatedRouter:
    """The node's router of group 51."""
    return node.routers[51]


def states(nodes: list[Node]) -> list[StateName]:
    """What each node's router is."""
    return [group(node).runner.state for node in nodes]


def became(node: Node, state: StateName) -> float:
    """When the node's router last entered a state; seconds."""
    return max(when for when, entered in group(node).changes if entered is state)


def a_stranger_sends(
    lan: Lan,
    nodes: list[Node],
    priority: int,
    *,
    start: float,
    period: float,
    count: int,
    interval: int = 100,
    hop_limit: int = 255,
    damage: Callable[[bytes], bytes] = bytes,
    version: Version = Version.V3,
) -> None:
    """Plans ``count`` packets of another router, at ``start`` and each ``period`` seconds, to be heard at that time."""
    advertised = Advertisement(version, 51, priority, interval, plan(1).settings().parameters.addresses)
    message = damage(encode(advertised, STRANGER, GROUP4))
    packet = packet_of(Datagram(STRANGER, GROUP4, hop_limit, message))
    for number in range(count):
        for node in nodes:
            lan.at(start + number * period, partial(node.receive, packet))


# -- who serves -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SM-B-7", "SM-I-3", "TM-3")
def test_the_best_of_three_serves_after_its_master_down_interval() -> None:
    lan, nodes = lan_of(plan(100), plan(200), plan(150))
    lan.run_until(10.0)
    assert states(nodes) == [BACKUP, MASTER, BACKUP]
    assert became(nodes[1], MASTER) == pytest.approx(3.21875)
    assert [len(group(node).sent) for node in nodes] == [0, 7, 0]


@pytest.mark.requirement("SM-B-9", "LOG-2")
def test_of_two_equal_routers_the_one_that_was_there_first_keeps_serving() -> None:
    lan, nodes = lan_of(plan(100), plan(100), started=False)
    lan.at(0.0, nodes[0].start)
    lan.at(1.0, nodes[1].start)
    lan.run_until(20.0)
    assert states(nodes) == [MASTER, BACKUP]


@pytest.mark.requirement("SM-A-10", "SM-A-11")
def test_two_equal_masters_settle_on_the_higher_address_at_once() -> None:
    lan, nodes = lan_of(plan(100), plan(100))
    lan.partition({"n1": 1})
    lan.run_until(10.05)
    assert states(nodes) == [MASTER, MASTER]
    lan.heal()
    lan.run_until(11.1)
    assert states(nodes) == [BACKUP, MASTER]


@pytest.mark.requirement("SM-B-7", "SHUT-4")
def test_a_crashed_master_is_replaced_one_master_down_interval_after_its_last_word() -> None:
    lan, nodes = lan_of(plan(100), plan(200))
    lan.at(10.5, nodes[1].crash)
    lan.run_until(20.0)
    assert became(nodes[0], MASTER) == pytest.approx(10.21875 + 0.0001 + 3.609375)


@pytest.mark.requirement("SHUT-1", "SM-B-8", "SM-A-7", "K-STOP")
def test_a_stopped_master_is_replaced_one_skew_time_after_its_farewell() -> None:
    lan, nodes = lan_of(plan(100), plan(200))
    lan.at(10.5, nodes[1].stop)
    lan.run_until(20.0)
    assert became(nodes[0], MASTER) == pytest.approx(10.5 + 0.0001 + 0.609375)
    (stopped,) = nodes[1].history
    assert [priority for _, priority in stopped.sent[-2:]] == [200, 0]


@pytest.mark.requirement("K-FAULT")
def test_a_failing_check_hands_over_and_its_recovery_takes_back() -> None:
    lan, nodes = lan_of(plan(100), plan(200))
    lan.at(10.5, lambda: nodes[1].set_check(False))
    lan.at(15.0, lambda: nodes[1].set_check(True))
    lan.run_until(12.0)
    assert states(nodes) == [MASTER, FAULT]
    assert became(nodes[0], MASTER) == pytest.approx(11.109475)
    assert [priority for _, priority in group(nodes[1]).sent].count(0) == 1
    lan.run_until(20.0)
    assert states(nodes) == [BACKUP, MASTER]
    assert became(nodes[1], MASTER) == pytest.approx(15.0 + 3.21875)


@pytest.mark.requirement("SM-B-10", "OWN-3", "SM-I-2")
def test_a_returning_owner_takes_over_at_once() -> None:
    lan, nodes = lan_of(plan(100), plan(255), started=False)
    lan.at(0.0, nodes[0].start)
    lan.at(10.0, nodes[1].start)
    lan.run_until(10.001)
    assert states(nodes) == [BACKUP, MASTER]


@pytest.mark.requirement("PRE-1", "K-NOPRE")
def test_with_nopreempt_a_returning_router_leaves_the_role_where_it_is() -> None:
    lan, nodes = lan_of(plan(100), plan(200, preempt=False))
    lan.at(10.0, nodes[1].crash)
    lan.at(20.0, nodes[1].start)
    lan.run_until(60.0)
    assert states(nodes) == [MASTER, BACKUP]
    nodes[0].crash()
    lan.run_until(64.0)
    assert group(nodes[1]).runner.state is MASTER


@pytest.mark.requirement("TM-9", "SM-A-10")
def test_a_master_that_was_stopped_for_a_while_gives_way_or_takes_back_but_never_shares() -> None:
    lan, nodes = lan_of(plan(100), plan(200))
    lan.at(10.5, nodes[1].pause)
    lan.at(20.5, nodes[1].resume)
    lan.run_until(20.0)
    assert states(nodes) == [MASTER, MASTER]
    assert became(nodes[0], MASTER) == pytest.approx(13.828225)
    lan.run_until(20.6)
    assert states(nodes) == [BACKUP, MASTER]


@pytest.mark.requirement("TX-3", "TM-8", "K-WEIGHT")
def test_a_lost_weight_hands_over_without_a_gap() -> None:
    lan, nodes = lan_of(plan(100), plan(120))
    lan.at(10.5, lambda: nodes[1].set_weight(-50))
    lan.run_until(20.0)
    assert states(nodes) == [MASTER, BACKUP]
    gap = became(nodes[1], BACKUP) - became(nodes[0], MASTER)
    assert gap == pytest.approx(0.0001)


# -- preempt_delay ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("PRE-3", "K-PDELAY")
def test_preempt_delay_of_8_s_from_0_600_takes_over_at_11_211() -> None:
    lan, nodes = lan_of(plan(100, preempt_delay=8.0))
    a_stranger_sends(lan, nodes, 50, start=0.600, period=1.0003, count=30)
    lan.run_until(11.5)
    assert became(nodes[0], MASTER) == pytest.approx(11.211, abs=0.002)


@pytest.mark.requirement("PRE-3", "K-PDELAY")
def test_preempt_delay_of_3_s_takes_over_5_6_s_after_the_first_advertisement() -> None:
    lan, nodes = lan_of(plan(100, preempt_delay=3.0))
    a_stranger_sends(lan, nodes, 50, start=2.0, period=1.0003, count=30)
    lan.run_until(8.0)
    assert became(nodes[0], MASTER) == pytest.approx(2.0 + 5.61, abs=0.002)


@pytest.mark.counter_case("PRE-3", "K-PDELAY")
def test_preempt_delay_does_not_delay_a_cold_start() -> None:
    lan, nodes = lan_of(plan(150, preempt_delay=4.0))
    lan.run_until(5.0)
    assert became(nodes[0], MASTER) == pytest.approx(3.414062)


# -- what must not matter ---------------------------------------------------------------------------------------------


def flipped(message: bytes) -> bytes:
    """The message with its last bit wrong."""
    return message[:-1] + bytes((message[-1] ^ 1,))


@pytest.mark.requirement("RX-19", "K-STARVE")
@pytest.mark.counter_case("RX-3", "RX-4", "RX-7", "RX-9")
@pytest.mark.parametrize("priority", [0, 50, 150, 255])
@pytest.mark.parametrize(
    ("hop_limit", "damage", "version", "reason"),
    [
        (254, bytes, Version.V3, DiscardReason.HOP_LIMIT),
        (255, flipped, Version.V3, DiscardReason.CHECKSUM),
        (255, lambda message: message + bytes(4), Version.V3, DiscardReason.LENGTH),
        (255, bytes, Version.V2, DiscardReason.VERSION),
    ],
)
def test_rejected_packets_at_twice_the_advertisement_rate_change_nothing(
    priority: int, hop_limit: int, damage: Callable[[bytes], bytes], version: Version, reason: DiscardReason
) -> None:
    stories = []
    for count in (0, 40):
        lan, nodes = lan_of(plan(150), plan(100))
        a_stranger_sends(
            lan, nodes, priority, start=0.25, period=0.5, count=count, hop_limit=hop_limit, damage=damage,
            version=version,
        )  # fmt: skip
        lan.run_until(20.0)
        stories.append([(group(node).sent, group(node).changes) for node in nodes])
        for node in nodes:
            assert group(node).runner.statistics.discarded[reason] == count
    assert stories[0] == stories[1]
    assert len(stories[0][0][0]) == 17


@pytest.mark.requirement("RX-19", "K-STARVE")
@pytest.mark.counter_case("V2-5")
def test_a_foreign_group_with_another_password_changes_nothing() -> None:
    stories = []
    for intruder in (False, True):
        lan, nodes = lan_of(replace(plan(150), version=Version.V2), replace(plan(100), version=Version.V2))
        if intruder:
            addresses = plan(1).settings().parameters.addresses
            foreign = Advertisement(Version.V2, 51, 200, 100, addresses, 1, b"OpenShif")
            packet = packet_of(Datagram(STRANGER, GROUP4, 255, encode(foreign, STRANGER, GROUP4)))
            for second in range(20):
                for node in nodes:
                    lan.at(second + 0.1, partial(node.receive, packet))
        lan.run_until(20.0)
        stories.append([(group(node).sent, group(node).changes) for node in nodes])
    assert stories[0] == stories[1]
    assert states(nodes) == [MASTER, BACKUP]


@pytest.mark.requirement("SM-A-9", "SM-A-16", "SM-B-8")
def test_a_storm_of_priority_0_is_answered_100_times_a_second_and_passes() -> None:
    lan, nodes = lan_of(plan(150), plan(100))
    lan.run_until(10.0)
    a_stranger_sends(lan, nodes, 0, start=10.05, period=0.001, count=5000)
    lan.run_until(15.05)
    assert states(nodes) == [MASTER, BACKUP]
    sent = [when for when, _ in group(nodes[0]).sent if 10.05 <= when < 15.05]
    assert 500 <= len(sent) <= 505
    lan.run_until(20.0)
    assert states(nodes) == [MASTER, BACKUP]
    assert len(group(nodes[0]).changes) == 2


@pytest.mark.requirement("SM-A-11", "SM-A-16")
def test_a_storm_of_losing_advertisements_leaves_the_rate_of_our_own_alone() -> None:
    lan, nodes = lan_of(plan(150), plan(100))
    lan.run_until(10.0)
    a_stranger_sends(lan, nodes, 99, start=10.05, period=0.001, count=5000)
    lan.run_until(15.05)
    assert states(nodes) == [MASTER, BACKUP]
    sent = [when for when, _ in group(nodes[0]).sent if 10.05 <= when < 15.05]
    assert 500 <= len(sent) <= 510


@pytest.mark.requirement("RX-15", "RX-22", "OWN-2", "K-OWNER2")
def test_two_owners_settle_on_the_higher_address_and_the_other_takes_over_when_it_dies() -> None:
    lan, nodes = lan_of(plan(255), plan(255))
    lan.run_until(0.03)
    assert states(nodes) == [BACKUP, MASTER]
    lan.run_until(30.0)
    assert states(nodes) == [BACKUP, MASTER]
    assert group(nodes[0]).runner.statistics.notices["second_owner"] == 1
    lan.at(30.5, nodes[1].crash)
    lan.run_until(34.0)
    assert group(nodes[0]).runner.state is MASTER


# -- peers that are not alike -----------------------------------------------------------------------------------------


@pytest.mark.requirement("FMT-9", "RX-9")
def test_peers_with_different_checksum_forms_have_one_master_and_a_warning_each() -> None:
    lan, nodes = lan_of(plan(150), replace(plan(100), checksum_form=ChecksumForm.MESSAGE_ONLY))
    lan.run_until(10.0)
    assert states(nodes) == [MASTER, BACKUP]
    assert group(nodes[1]).runner.statistics.notices["checksum_form"] == 1
    nodes[0].stop()
    lan.run_until(12.0)
    nodes[0].start()
    lan.run_until(13.0)
    assert group(nodes[0]).runner.statistics.notices["checksum_form"] == 1


@pytest.mark.counter_case("RX-4")
def test_two_versions_in_one_group_cannot_agree_and_are_counted() -> None:
    lan, nodes = lan_of(plan(150), replace(plan(100), version=Version.V2))
    lan.run_until(10.0)
    assert states(nodes) == [MASTER, MASTER]
    assert all(group(node).runner.statistics.discarded[DiscardReason.VERSION] >= 6 for node in nodes)


@pytest.mark.requirement("TM-4", "TX-2")
def test_a_backup_waits_by_the_masters_interval_and_serves_by_its_own() -> None:
    lan, nodes = lan_of(plan(150, interval=300), plan(100, interval=100), started=False)
    lan.at(0.0, nodes[0].start)
    lan.at(11.5, nodes[1].start)
    lan.at(14.0, nodes[0].crash)
    lan.run_until(40.0)
    last_heard = group_of_the_dead(nodes[0]).sent[-1][0] + 0.0001
    assert became(nodes[1], MASTER) == pytest.approx(last_heard + 10.828125)
    first, second = (when for when, _ in group(nodes[1]).sent[:2])
    assert second - first == pytest.approx(1.0)


def group_of_the_dead(node: Node) -> SimulatedRouter:
    """The router of a daemon that does not run any more."""
    return node.history[-1]


@pytest.mark.requirement("SM-X-1")
@pytest.mark.counter_case("RX-11")
def test_the_families_of_one_vrid_are_unrelated() -> None:
    lan = Lan(seed=1)
    four = Node(lan, 0, [plan(100)])
    six = Node(lan, 1, [replace(plan(200), family=6)])
    four.start()
    six.start()
    lan.run_until(10.0)
    assert states([four, six]) == [MASTER, MASTER]
