"""Scenarios: who is on the LAN, how bad it is, and what is done to whom and when; each made from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from tests.simulation import invariants
from tests.simulation.lan import Lan, Quality
from tests.simulation.node import Node, RouterPlan
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.timing import Version


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is done to a node: what, with which value, and when."""

    when: float
    node: int
    verb: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run from beginning to end, as data."""

    seed: int
    plans: tuple[tuple[RouterPlan, ...], ...]
    """For each node its virtual routers."""
    quality: Quality
    operations: tuple[Operation, ...]
    whole_at: float
    """When everything is mended; seconds."""
    lost: frozenset[int] = frozenset()
    """Nodes that are off for good when everything else is mended."""
    family: int = 4

    @property
    def vrids(self) -> list[int]:
        """The groups."""
        return [plan.vrid for plan in self.plans[0]]

    def plans_of(self, vrid: int) -> list[RouterPlan]:
        """The routers of one group."""
        return [plan for plans in self.plans for plan in plans if plan.vrid == vrid]


@dataclass(slots=True)
class Network:
    """A scenario in motion."""

    lan: Lan
    nodes: list[Node] = field(default_factory=list)

    def check(self) -> None:
        """What must hold at every moment."""
        invariants.addresses_are_installed_exactly_while_master(self.nodes)
        invariants.a_node_in_fault_serves_nobody(self.nodes)


VERBS: dict[str, Callable[[Node, int], None]] = {
    "crash": lambda node, _: node.crash(),
    "stop": lambda node, _: node.stop(),
    "start": lambda node, _: node.start(),
    "pause": lambda node, _: node.pause(),
    "resume": lambda node, _: node.resume(),
    "link": lambda node, value: node.set_link(bool(value)),
    "check": lambda node, value: node.set_check(bool(value)),
    "weight": lambda node, value: node.set_weight(value),
}
UNDO = {"crash": ("start", 0), "stop": ("start", 0), "pause": ("resume", 0), "link": ("link", 1), "check": ("check", 1)}


def address_of(index: int, family: int = 4) -> IPAddress:
    """The address of a node."""
    return IPv4Address("192.0.2.1") + index if family == 4 else IPv6Address("fe80::1") + index


def generate(seed: int, *, nodes: tuple[int, int] = (2, 5), routers: tuple[int, int] = (1, 3)) -> Scenario:
    """Makes a scenario from a seed; the bounds are the least and the greatest number of nodes and of groups."""
    chance = random.Random(seed)
    count = chance.randint(*nodes)
    family = chance.choice([4, 4, 6])
    vrids = chance.sample(range(1, 255), chance.randint(*routers))
    plans: list[list[RouterPlan]] = [[] for _ in range(count)]
    for vrid in vrids:
        version = Version.V2 if family == 4 and chance.random() < 0.3 else Version.V3
        interval = chance.choice([100, 200] if version is Version.V2 else [10, 50, 100])
        mixed = version is Version.V3 and chance.random() < 0.2
        owner = chance.randrange(count) if chance.random() < 0.2 else None
        delayed = chance.random() < 0.2
        for node, mine in enumerate(plans):
            mine.append(
                RouterPlan(
                    vrid=vrid,
                    priority=255 if node == owner else chance.choice([1, 50, 100, 100, 150, 200, 254]),
                    interval=chance.choice([10, 50, 100]) if mixed else interval,
                    preempt=chance.random() < 0.7,
                    preempt_delay=chance.choice([0.0, 3.0]) if delayed else 0.0,
                    version=version,
                    family=family,
                    checksum_form=chance.choice([ChecksumForm.PSEUDO_HEADER, ChecksumForm.MESSAGE_ONLY]),
                )
            )
    quality = Quality(
        minimum_delay=0.0001,
        maximum_delay=chance.choice([0.0002, 0.002, 0.02]),
        loss=chance.choice([0.0, 0.05, 0.5]),
        duplication=chance.choice([0.0, 0.2]),
        corruption=chance.choice([0.0, 0.1]),
        timer_lateness=chance.choice([0.0, 0.001]),
    )
    whole_at = 20.0
    return Scenario(
        seed=seed,
        plans=tuple(tuple(mine) for mine in plans),
        quality=quality,
        operations=_operations(chance, count, whole_at),
        whole_at=whole_at,
        lost=frozenset(node for node in range(1, count) if chance.random() < 0.15),
        family=family,
    )


def _operations(chance: random.Random, count: int, end: float) -> tuple[Operation, ...]:
    operations = [Operation(chance.uniform(0.0, 2.0), node, "start") for node in range(count)]
    for _ in range(chance.randint(2, 10)):
        when, node = chance.uniform(2.0, end), chance.randrange(count)
        match chance.choice(["crash", "stop", "pause", "link", "check", "weight", "partition"]):
            case "weight":
                operations.append(Operation(when, node, "weight", chance.choice([-200, -50, 0, 50, 200])))
            case "partition":
                operations += [Operation(when, other, "segment", chance.randint(0, 1)) for other in range(count)]
                back = chance.uniform(when, end)
                operations += [Operation(back, other, "segment", 0) for other in range(count)]
            case verb:
                operations.append(Operation(when, node, verb))
                undo, value = UNDO[verb]
                operations.append(Operation(chance.uniform(when, end), node, undo, value))
    return tuple(sorted(operations, key=lambda operation: operation.when))


def build(scenario: Scenario) -> Network:
    """Sets a scenario up at time 0: the nodes are there, their daemons are not started yet."""
    network = Network(Lan(scenario.seed, scenario.quality))
    network.lan.after_each = network.check
    segments: dict[str, int] = {}

    def operate(operation: Operation) -> None:
        node = network.nodes[operation.node]
        if operation.verb == "segment":
            segments[node.name] = operation.value
            network.lan.partition(segments)
        else:
            VERBS[operation.verb](node, operation.value)

    for index, plans in enumerate(scenario.plans):
        network.nodes.append(Node(network.lan, f"n{index}", address_of(index, scenario.family), plans))
    for operation in scenario.operations:
        network.lan.at(operation.when, partial(operate, operation))
    return network


def mend(network: Network, scenario: Scenario) -> None:
    """Makes everything whole; the nodes that are lost for good go now."""
    network.lan.log("whole")
    network.lan.heal()
    for index, node in enumerate(network.nodes):
        if index in scenario.lost:
            node.crash()
            continue
        node.start()
        node.resume()
        if not node.link:
            node.set_link(True)
        if not node.check:
            node.set_check(True)


def run(scenario: Scenario) -> Network:
    """Runs a scenario to its end and holds it to the invariants after each event."""
    network = build(scenario)
    lan = network.lan
    lan.run_until(scenario.whole_at)
    mend(network, scenario)
    settled = {
        vrid: scenario.whole_at + invariants.time_to_settle(scenario.plans_of(vrid), scenario.quality.maximum_delay)
        for vrid in scenario.vrids
    }
    for vrid in sorted(scenario.vrids, key=lambda vrid: settled[vrid]):
        lan.run_until(settled[vrid])
        invariants.the_master_is_the_rightful_one(network.nodes, vrid)
    before = [len(router.changes) for node in network.nodes for router in node.history]
    lan.run_until(lan.now + 5.0)
    for vrid in scenario.vrids:
        invariants.the_master_is_the_rightful_one(network.nodes, vrid)
    assert before == [len(router.changes) for node in network.nodes for router in node.history], "it flaps"
    invariants.advertisements_are_bounded(network.nodes)
    return network
