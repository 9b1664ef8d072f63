"""Which node prefers which group: priorities that spread the virtual addresses over the nodes without any talk.

Two ways. Where nobody knows the nodes, each node hashes its own address with the group's virtual router id (rendezvous
hashing): the groups rank the nodes differently, and a lost node's groups scatter over the others. Where the nodes are
known, each of them computes the same balanced ranking. Knows nothing of configuration sources; priority 255, which is
the address owner's, is never given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vrrpd.config.model import IPAddress

HIGHEST_PRIORITY: Final = 254
WIDEST_STEP: Final = 10
"""Between the priorities of two ranks: 10 of 256 of the advertisement interval keep the next node's timer well ahead of
the one behind it, and a small step keeps a takeover quick (RFC 9568 section 6.1: skew grows as the priority falls)."""
MOST_NODES: Final = HIGHEST_PRIORITY
"""More could not all have a priority of their own."""
BALANCED_LOSSES: Final = 3
"""Nodes that may be lost before the order of those left is no longer chosen for balance."""

Ranking: TypeAlias = tuple[tuple[int, ...], ...]
"""For each group the nodes, by index, in the order in which they should hold it."""


def rendezvous_priority(node: IPAddress, vrid: int) -> int:
    """The priority, 1 to 254, of a node in a group when nobody knows the other nodes.

    It is 1 + h mod 254, where h is the first 8 bytes, big-endian, of the SHA-256 of the text ``ADDRESS VRID``. Two
    nodes get the same priority in one group of 254; the higher address then wins (RFC 9568 section 6.4.3).
    """
    digest = hashlib.sha256(f"{node} {vrid}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % HIGHEST_PRIORITY


def priority_of_rank(rank: int, nodes: int) -> int:
    """The priority of the node that should hold a group after ``rank`` others; ``nodes`` is how many there are."""
    step = min(WIDEST_STEP, (HIGHEST_PRIORITY - 1) // max(1, nodes - 1))
    return HIGHEST_PRIORITY - rank * step


def balanced_ranking(nodes: int, groups: int) -> Ranking:
    """A ranking in which every node holds its share of the groups, and still does when a node is lost.

    With all nodes up each is first for floor(groups / nodes) or ceil(groups / nodes) groups, and so is each survivor of
    the loss of any one node, counted among the survivors. Plain rotations do not do that: they hand all groups of a
    lost node to its neighbour. So the ranks are filled one after the other. Who comes next in a group matters only when
    exactly those who come before it are lost; the groups with the same set of nodes before are therefore dealt out
    together, each to the survivor that holds least in that very situation. For one lost node all others hold equally
    many groups or one more, and dealing to the one with least keeps it so. For two and three lost nodes the same rule
    does what the choices before it leave open; behind that the order is a rotation.
    """
    ranking: list[list[int]] = [[group % nodes] for group in range(groups)]
    met: dict[frozenset[int], int] = {}
    for rank in range(1, min(nodes, BALANCED_LOSSES + 1)):
        situations: dict[frozenset[int], list[int]] = {}
        for group, order in enumerate(ranking):
            situations.setdefault(frozenset(order), []).append(group)
        for lost, orphans in situations.items():
            load = dict.fromkeys((node for node in range(nodes) if node not in lost), 0)
            for order in ranking:
                holder = _first_left(order[:rank], lost)
                if holder is not None:
                    load[holder] += 1
            for group in orphans:
                last = ranking[group][-1]
                # Of those with least, the one whose loss besides would orphan the fewest groups.
                heir = min(load, key=lambda node: (load[node], met.get(lost | {node}, 0), (node - last) % nodes))
                load[heir] += 1
                met[lost | {heir}] = met.get(lost | {heir}, 0) + 1
                ranking[group].append(heir)
    for order in ranking:
        first = order[-1]
        order += [node for node in ((first + step) % nodes for step in range(nodes)) if node not in order]
    return tuple(tuple(order) for order in ranking)


def _first_left(order: Iterable[int], lost: frozenset[int]) -> int | None:
    return next((node for node in order if node not in lost), None)


def shares(ranking: Ranking, nodes: int, lost: Iterable[int] = ()) -> tuple[int, ...]:
    """How many groups each node holds when some are lost (which then hold none)."""
    gone = frozenset(lost)
    counts = [0] * nodes
    for order in ranking:
        holder = _first_left(order, gone)
        if holder is not None:
            counts[holder] += 1
    return tuple(counts)


@dataclass(frozen=True, slots=True)
class Group:
    """What a person knows a group by."""

    name: str
    vrid: int
    addresses: int
    """How many virtual addresses it has."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The groups of a list of known nodes, and which of the nodes should hold which."""

    nodes: tuple[IPAddress, ...]
    """Sorted, so that every node has the same indexes."""
    groups: tuple[Group, ...]
    ranking: Ranking

    @classmethod
    def of(cls, nodes: Iterable[IPAddress], groups: Sequence[Group]) -> Spread:
        """The balanced spread over some nodes, which may come in any order."""
        ordered = tuple(sorted(set(nodes), key=lambda node: (node.version, int(node))))
        return cls(ordered, tuple(groups), balanced_ranking(len(ordered), len(groups)))

    def priority(self, node: IPAddress, group: int) -> int:
        """The priority of a node in the group of that index."""
        return priority_of_rank(self.ranking[group].index(self.nodes.index(node)), len(self.nodes))

    def explain(self) -> str:
        """Tables for a person: who holds what, in which order, and how many after each single loss."""
        rows = [("GROUP", "VRID", "ADDRESSES", "HELD BY (PRIORITY), THEN")]
        for group, order in zip(self.groups, self.ranking, strict=True):
            line = ", ".join(
                f"{self.nodes[node]} ({priority_of_rank(rank, len(order))})" for rank, node in enumerate(order)
            )
            rows.append((group.name, str(group.vrid), str(group.addresses), line))
        names = [str(node) for node in self.nodes]
        counts: list[tuple[str, ...]] = [("GROUPS HELD", *names), ("all up", *self._counts())]
        counts += [(f"without {name}", *self._counts(index)) for index, name in enumerate(names) if len(names) > 1]
        return "\n".join([*_columns(rows), "", *_columns(counts)]) + "\n"

    def to_json(self) -> dict[str, object]:
        """The same as the values of a JSON document."""
        names = [str(node) for node in self.nodes]
        losses: list[int | None] = [None, *(range(len(names)) if len(names) > 1 else ())]
        return {
            "nodes": names,
            "groups": [
                {
                    "name": group.name,
                    "virtual_router_id": group.vrid,
                    "virtual_addresses": group.addresses,
                    "priorities": {names[node]: priority_of_rank(rank, len(order)) for rank, node in enumerate(order)},
                }
                for group, order in zip(self.groups, self.ranking, strict=True)
            ],
            "groups_held": [
                {
                    "lost": None if lost is None else names[lost],
                    "by": dict(zip(names, self._shares(lost), strict=True)),
                }
                for lost in losses
            ],
        }

    def _shares(self, lost: int | None = None) -> tuple[int, ...]:
        return shares(self.ranking, len(self.nodes), () if lost is None else (lost,))

    def _counts(self, lost: int | None = None) -> list[str]:
        return ["-" if node == lost else str(count) for node, count in enumerate(self._shares(lost))]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
