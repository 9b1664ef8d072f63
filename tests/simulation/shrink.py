"""From a scenario that fails to a short one that fails the same way: delta debugging over episodes and operations.

Knows nothing of routers: whether a scenario still fails is somebody else's answer, and how often it may be asked is
bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from tests.simulation.lan import PERFECT
from tests.simulation.plan import RouterPlan
from tests.simulation.scenario import Episode, Operation, Scenario

MOST_RUNS: Final = 2000
SIMPLER: Final[tuple[Callable[[RouterPlan], RouterPlan], ...]] = (
    lambda plan: replace(plan, moments=False),
    lambda plan: replace(plan, vips=1),
    lambda plan: replace(plan, preempt_delay=0.0),
    lambda plan: replace(plan, preempt=True),
)
"""What a router may have less of."""

Thing = TypeVar("Thing")


class _Enough(Exception):
    """The question was asked often enough."""


class Shrinker:
    """One failing scenario, made smaller for as long as it fails."""

    def __init__(self, fails: Callable[[Scenario], bool], most_runs: int = MOST_RUNS) -> None:
        self._fails = fails
        self._left = most_runs

    def shrink(self, scenario: Scenario) -> Scenario:
        """The smallest scenario found, at worst the same one."""
        self._best = scenario
        try:
            size = -1
            while size != _size(self._best):
                size = _size(self._best)
                self._drop_episodes()
                self._drop_operations()
                self._drop_nodes_and_groups()
                self._simplify()
        except _Enough:
            pass
        return self._best

    def _try(self, scenario: Scenario) -> bool:
        """Keeps a scenario if it fails too."""
        if not scenario.episodes or not any(node.routers for node in scenario.nodes):
            return False
        if self._left <= 0:
            raise _Enough
        self._left -= 1
        if not self._fails(scenario):
            return False
        self._best = scenario
        return True

    def _drop_episodes(self) -> None:
        _reduce(self._best.episodes, lambda kept: self._try(replace(self._best, episodes=tuple(kept))))

    def _drop_operations(self) -> None:
        for position in range(len(self._best.episodes)):
            self._with(position, replace(self._best.episodes[position], lost=()))
            _reduce(self._best.episodes[position].operations, partial(self._with_operations, position))

    def _with_operations(self, position: int, kept: list[Operation]) -> bool:
        return self._with(position, replace(self._best.episodes[position], operations=tuple(kept)))

    def _with(self, position: int, episode: Episode) -> bool:
        episodes = list(self._best.episodes)
        if episodes[position] == episode:
            return False
        episodes[position] = episode
        return self._try(replace(self._best, episodes=tuple(episodes)))

    def _drop_nodes_and_groups(self) -> None:
        _reduce(self._best.nodes, lambda kept: self._try(replace(self._best, nodes=tuple(kept))))
        vrids = sorted({plan.vrid for node in self._best.nodes for plan in node.routers})
        _reduce(vrids, lambda kept: self._try(self._only(frozenset(kept))))

    def _only(self, vrids: frozenset[int]) -> Scenario:
        nodes = tuple(
            replace(node, routers=tuple(plan for plan in node.routers if plan.vrid in vrids))
            for node in self._best.nodes
        )
        return replace(self._best, nodes=nodes)

    def _simplify(self) -> None:
        """Right clocks, a perfect network, plain routers."""
        self._try(replace(self._best, quality=PERFECT))
        for position in range(len(self._best.nodes)):
            node = self._best.nodes[position]
            plain = [replace(node, rate=1.0, uptime=0.0), replace(node, lead=0.0), replace(node, socket=1000)]
            for simpler in SIMPLER:
                plain.append(replace(node, routers=tuple(simpler(plan) for plan in node.routers)))
            for candidate in plain:
                nodes = list(self._best.nodes)
                if candidate != nodes[position]:
                    nodes[position] = candidate
                    self._try(replace(self._best, nodes=tuple(nodes)))


def _reduce(things: Sequence[Thing], keeps_failing: Callable[[list[Thing]], bool]) -> None:
    """Drops as many things as it can, first in large pieces, then one by one."""
    kept = list(things)
    piece = max(1, len(kept) // 2)
    while True:
        start = 0
        while start < len(kept):
            without = kept[:start] + kept[start + piece :]
            if keeps_failing(without):
                kept = without
            else:
                start += piece
        if piece == 1:
            return
        piece = max(1, piece // 2)


def _size(scenario: Scenario) -> int:
    return len(str(scenario))
