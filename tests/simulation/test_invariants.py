"""Every invariant is seen to fail on a build that is broken for it, and to hold on the same story without that."""

from __future__ import annotations

import pytest

from tests.simulation import invariants, node
from tests.simulation.broken import DEFECTS, Defect
from tests.simulation.episodes import LEAD, generate
from tests.simulation.hunt import failure, kind
from tests.simulation.invariants import Violation
from tests.simulation.play import play
from tests.simulation.scenario import parse
from tests.simulation.shrink import Shrinker
from vrrpd import links
from vrrpd.agenda import DECISION_LEAD


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.invariant}: {defect.broken.__qualname__}")
def test_the_invariant_finds_the_defect_and_nothing_without_it(defect: Defect) -> None:
    play(defect.scenario)
    with defect.applied(), pytest.raises(Violation) as violation:
        play(defect.scenario)
    assert violation.value.invariant == defect.invariant
    play(defect.scenario)


def test_the_nodes_decide_as_far_ahead_as_the_daemon_and_believe_old_packets_as_little() -> None:
    assert LEAD == DECISION_LEAD
    assert node.LONGEST_WAIT == links.LONGEST_WAIT


def test_no_invariant_is_left_out() -> None:
    classes = [thing for thing in vars(invariants).values() if getattr(thing, "__module__", "") == invariants.__name__]
    names = {each.name for each in classes if isinstance(getattr(each, "name", None), str)}
    assert {defect.invariant for defect in DEFECTS} == names
    assert len(names) == 12


def test_a_finding_is_shrunk_to_a_short_scenario_that_fails_the_same_way() -> None:
    defect = next(each for each in DEFECTS if each.invariant == "never two MASTERs")
    with defect.applied():
        seed = next(seed for seed in range(1, 50) if kind(failure(generate(seed))) == defect.invariant)
        long = generate(seed)
        short = Shrinker(lambda candidate: kind(failure(candidate)) == defect.invariant).shrink(long)
        assert kind(failure(parse(str(short)))) == defect.invariant
    assert len(long.episodes) > 5
    assert len(short.episodes) <= 2
    assert len(short.nodes) == 2
    assert sum(len(node.routers) for node in short.nodes) == 2
    assert sum(len(episode.operations) for episode in short.episodes) <= 3
    assert failure(short) is None
