"""As large as it gets: fifty nodes in one group, 254 groups on three nodes. A MASTER's power is cut, and comes back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tests.simulation.lan import Quality
from tests.simulation.plan import RouterPlan
from tests.simulation.play import play
from tests.simulation.scenario import Episode, NodePlan, Operation, Scenario

CHANGE = re.compile(r"(n\d+)/(\d+) \w+ -> MASTER")
CRASH, WHOLE = 6.5, 12.0


def lan_of(nodes: Iterable[list[RouterPlan]]) -> Scenario:
    """Everybody starts, the first one's power is cut, and everything is mended."""
    plans = [NodePlan(index, lead=0.0005, routers=tuple(routers)) for index, routers in enumerate(nodes)]
    starts = [Operation(0.0, "start", (plan.index,)) for plan in plans]
    story = Episode((*starts, Operation(CRASH, "crash", (0,))), WHOLE)
    return Scenario(1, Quality(minimum_delay=0.0001, maximum_delay=0.002, timer_lateness=0.001), tuple(plans), (story,))


def masters(scenario: Scenario) -> dict[int, list[str]]:
    """Who became MASTER of each group, in order; raises ``Violation`` where an invariant does not hold."""
    found: dict[int, list[str]] = {}
    for line in play(scenario).transcript:
        change = CHANGE.search(line)
        if change:
            found.setdefault(int(change[2]), []).append(change[1])
    return found


def test_of_fifty_nodes_the_second_best_takes_over_and_nobody_else_stirs() -> None:
    lan = lan_of([RouterPlan(51, 250 - 4 * index)] for index in range(50))
    assert masters(lan) == {51: ["n0", "n1", "n0"]}


def test_of_254_groups_on_three_nodes_those_of_the_node_that_dies_move_and_come_back() -> None:
    def priority(node: int, vrid: int) -> int:
        return 200 - 50 * ((node - vrid) % 3)

    lan = lan_of([RouterPlan(vrid, priority(node, vrid), moments=True) for vrid in range(1, 255)] for node in range(3))
    found = masters(lan)
    assert found.keys() == set(range(1, 255))
    stories = Counter(tuple(found[vrid]) for vrid in found)
    assert stories == {("n0", "n1", "n0"): 84, ("n1",): 85, ("n2",): 85}
