"""Random scenarios from seeds: what can happen to a LAN, and how often.

Most LANs are small, since a small one has more episodes in the same time and most of what can go wrong needs two nodes
and one group; a few are large. Times are in multiples of the group's master-down interval, so that faults fall into
the middle of elections whatever the interval is. Everything is drawn from one generator made from the seed.
"""

from __future__ import annotations

import random
from typing import Final

from tests.simulation.lan import Quality
from tests.simulation.plan import MOST_VIPS, RouterPlan
from tests.simulation.scenario import Episode, NodePlan, Operation, Scenario
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.timing import Version

PRIORITIES: Final = [1, 50, 100, 100, 150, 200, 254]
WEIGHTS: Final = [-200, -50, -2, 0, 2, 50, 200]
RATES: Final = [1.0, 1.0, 1.0, 1.0, 0.9999, 1.0001, 0.98, 1.05, 0.8]
"""How many seconds a clock counts in one second: most are right, some drift, a few are hopelessly slow."""
LEAD: Final = 0.0015
"""Seconds before a takeover at which the daemon decides it."""
EPISODES: Final = (8, 14)


def generate(seed: int) -> Scenario:
    """Makes a scenario."""
    chance = random.Random(seed)
    nodes, groups, episodes = size_of(chance)
    base = chance.choice([10, 20, 50, 100, 100, 100, 300])
    plans = [_group(chance, vrid, base, nodes) for vrid in chance.sample(range(1, 256), groups)]
    machines = tuple(
        NodePlan(
            index,
            rate=chance.choice(RATES),
            uptime=round(chance.uniform(0.0, 1e6), 3) if chance.random() < 0.5 else 0.0,
            lead=chance.choice([0.0, LEAD, LEAD]),
            socket=chance.choice([2, 10, 1000]),
            routers=tuple(group[index] for group in plans),
        )
        for index in range(nodes)
    )
    jitter = chance.choice([0.0001, 0.002, 0.02]) if base >= 50 else chance.choice([0.0001, 0.002])
    quality = Quality(
        minimum_delay=0.0001,
        maximum_delay=round(0.0001 + jitter, 6),
        timer_lateness=chance.choice([0.0, 0.0, 0.001, 0.005]),
        news_delay=chance.choice([0.0, 0.0, 0.002]),
    )
    return Scenario(seed, quality, machines, tuple(_episode(chance, plans, base, number) for number in range(episodes)))


def size_of(chance: random.Random) -> tuple[int, int, int]:
    """How many nodes, groups and episodes there are: the first thing that is drawn."""
    size = chance.random()
    if size < 0.005:
        return chance.randint(10, 50), 1, 2
    if size < 0.01:
        return chance.randint(2, 3), chance.randint(20, 254), 2
    if size < 0.03:
        return chance.randint(6, 9), chance.randint(1, 4), 5
    nodes = chance.choice([2, 2, 2, 3, 3, 4, 5])
    groups = chance.choice([1, 1, 1, 2, 2, 3]) if nodes < 5 else 1
    return nodes, groups, chance.randint(*EPISODES)


def _group(chance: random.Random, vrid: int, base: int, nodes: int) -> list[RouterPlan]:
    """The routers of one group, one for each node."""
    family = chance.choice([4, 4, 6])
    v2 = family == 4 and base >= 100 and chance.random() < 0.4
    mixed = not v2 and chance.random() < 0.2
    owner = chance.randrange(nodes) if chance.random() < 0.15 else None
    second = chance.randrange(nodes) if owner is not None and chance.random() < 0.1 else None
    delay = round(chance.choice([0.0, 0.0, 0.0, 0.01, 0.03]) * base, 3)
    preempting = chance.choice([1.0, 1.0, 0.5, 0.0])
    moments = chance.random() < 0.7
    halves = chance.choice([(1, 2), (2, 4), (1, 2, 4)]) if mixed else (2,)
    return [
        RouterPlan(
            vrid=vrid,
            priority=255 if node in (owner, second) else chance.choice(PRIORITIES),
            interval=base * chance.choice(halves) // 2,
            preempt=chance.random() < preempting,
            preempt_delay=delay if chance.random() < 0.7 else 0.0,
            version=Version.V2 if v2 else Version.V3,
            family=family,  # type: ignore[arg-type]
            checksum_form=chance.choice([ChecksumForm.PSEUDO_HEADER] * 4 + [ChecksumForm.MESSAGE_ONLY]),
            vips=chance.choice([1, 2, 3]),
            moments=moments,
        )
        for node in range(nodes)
    ]


def _episode(chance: random.Random, plans: list[list[RouterPlan]], base: int, number: int) -> Episode:
    nodes = len(plans[0])
    down = 4 * base / 100
    end = chance.uniform(0.5, 2.5) * down
    operations = []
    if number == 0:
        # Some are there from the beginning, some come later, and some not before all is made whole.
        operations = [
            Operation(chance.choice([0.0, chance.uniform(0.0, end)]), "start", (node,))
            for node in range(nodes)
            if chance.random() < 0.9
        ]
    for _ in range(chance.choice([1, 1, 2, 3, 4, 6])):
        operations += _fault(chance, plans, chance.uniform(0.0, end), end)
    rounded = (
        Operation(round(operation.when, 4), operation.verb, operation.numbers, operation.options)
        for operation in operations
    )
    end = round(end, 4) + 0.0001
    lost = [node for node in range(nodes) if chance.random() < 0.1]
    if len(lost) == nodes:
        lost = lost[1:]
    return Episode(tuple(sorted(rounded, key=lambda operation: operation.when)), round(end, 4), tuple(lost))


def _fault(chance: random.Random, plans: list[list[RouterPlan]], when: float, end: float) -> list[Operation]:
    """One fault, and often its end before the whole network's."""
    nodes = len(plans[0])
    node = chance.randrange(nodes)
    back = chance.uniform(when, end)

    def during(verb: str, undo: str, *numbers: int) -> list[Operation]:
        begun = [Operation(when, verb, numbers)]
        return [*begun, Operation(back, undo, numbers[:1])] if chance.random() < 0.8 else begun

    match chance.choice(_FAULTS):
        case "crash" | "stop" as verb:
            return during(verb, "start", node)
        case "pause":
            return during("pause", "resume", node)
        case "link":
            return during("link-down", "link-up", node)
        case "check":
            return during("check-fails", "check-succeeds", node)
        case "flapping":
            times = sorted(chance.uniform(when, end) for _ in range(chance.choice([4, 6])))
            verbs = ("check-fails", "check-succeeds")
            return [Operation(time, verbs[turn % 2], (node,)) for turn, time in enumerate(times)]
        case "weight":
            return [Operation(when, "weight", (node, chance.choice(WEIGHTS)))]
        case "partition":
            side = chance.sample(range(nodes), chance.randint(1, nodes - 1))
            cut = [Operation(when, "partition", tuple(sorted(side)))]
            return [*cut, Operation(back, "join")] if chance.random() < 0.6 else cut
        case "cut":
            one, other = chance.sample(range(nodes), 2)
            return [Operation(when, "cut", (one, other))]
        case "quality":
            return _bad_quality(chance, when, back)
        case "lose-address":
            vrid = chance.choice(plans)[0].vrid
            return [Operation(when, "lose-address", (each, vrid, chance.randrange(4))) for each in range(nodes)]
        case "reload":
            return _reload(chance, chance.choice(plans), node, when)
        case _:
            return _storm(chance, chance.choice(plans)[0], when, end)


_FAULTS: Final = [
    "crash", "crash", "crash", "stop", "stop", "pause", "pause", "pause", "link", "link", "check", "flapping", "weight",
    "weight", "partition", "partition", "partition", "cut", "cut", "quality", "quality", "quality", "lose-address",
    "reload", "reload", "storm",
]  # fmt: skip


def _bad_quality(chance: random.Random, when: float, back: float) -> list[Operation]:
    bad = {
        "loss": chance.choice([0.0, 0.05, 0.3, 0.7, 0.95]),
        "duplication": chance.choice([0.0, 0.0, 0.3]),
        "corruption": chance.choice([0.0, 0.0, 0.2]),
        "reordering": chance.choice([0.0, 0.0, 0.3]),
        "reordering_delay": chance.choice([0.01, 0.3, 1.5]),
    }
    worse = tuple((name, f"{value:g}") for name, value in bad.items() if value)
    operations = [Operation(when, "quality", (), worse)]
    if chance.random() < 0.5:
        good = tuple((name, "0") for name in ("loss", "duplication", "corruption", "reordering"))
        operations.append(Operation(back, "quality", (), good))
    return operations


def _reload(chance: random.Random, group: list[RouterPlan], node: int, when: float) -> list[Operation]:
    plan = group[node]
    match chance.choice(["priority", "priority", "interval", "preempt", "preempt_delay", "vips"]):
        case "priority":
            options = ("priority", str(chance.choice([*PRIORITIES, 255])))
        case "preempt":
            options = ("preempt", str(chance.randint(0, 1)))
        case "preempt_delay":
            options = ("preempt_delay", f"{chance.choice([0.0, 0.02]) * plan.interval:g}")
        case "vips":
            return [Operation(when, "reload-all", (plan.vrid,), (("vips", str(chance.randint(1, MOST_VIPS))),))]
        case _ if plan.version is Version.V2:
            # Version 2 does not learn the interval: the whole group changes it, or there is no group any more.
            return [Operation(when, "reload-all", (plan.vrid,), (("interval", str(chance.choice([100, 200]))),))]
        case _:
            options = ("interval", str(max(1, plan.interval * chance.choice([1, 2, 4]) // 2)))
    return [Operation(when, "reload", (node, plan.vrid), (options,))]


def _storm(chance: random.Random, plan: RouterPlan, when: float, end: float) -> list[Operation]:
    kinds = ["zero", "lower", "higher", "flip", "junk", "checksum", "hop-limit", "version", "own", "interval"]
    count, every = chance.choice([(5, 0.01), (20, 0.01), (40, 0.002)])
    if chance.random() < 0.05:
        count, every = 400, 0.0015
    when = max(0.0, min(when, end - count * every))
    options = (("count", str(count)), ("every", f"{every:g}"))
    return [Operation(when, f"storm {chance.choice(kinds)}", (plan.vrid,), options)]
