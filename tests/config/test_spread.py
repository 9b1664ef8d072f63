"""Who should hold which group: exactly balanced where the nodes are known, scattered where they are not."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.config.spread import (
    Group,
    Spread,
    balanced_ranking,
    priority_of_rank,
    rendezvous_priority,
    shares,
)

GROUP_COUNTS = (*range(1, 61), 254)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6, 7])
def test_every_node_is_first_for_its_share_and_the_survivors_of_any_single_loss_are_balanced_too(nodes: int) -> None:
    for groups in GROUP_COUNTS:
        ranking = balanced_ranking(nodes, groups)
        assert len(ranking) == groups
        assert all(sorted(order) == list(range(nodes)) for order in ranking)
        held = shares(ranking, nodes)
        assert sum(held) == groups
        assert set(held) <= {groups // nodes, -(-groups // nodes)}
        for lost in range(nodes) if nodes > 1 else ():
            left = shares(ranking, nodes, [lost])
            assert left[lost] == 0
            assert sum(left) == groups
            survivors = [count for node, count in enumerate(left) if node != lost]
            # Before, shares differ by at most one; after a loss they may by one more, and in fact never do.
            assert max(survivors) - min(survivors) <= 1
            assert all(left[node] >= held[node] for node in range(nodes) if node != lost)


@pytest.mark.parametrize(
    ("nodes", "held", "without_the_first"),
    [
        (1, (10,), None),
        (2, (5, 5), (0, 10)),
        (3, (4, 3, 3), (0, 5, 5)),
        (5, (2, 2, 2, 2, 2), (0, 3, 3, 2, 2)),
    ],
)
def test_ten_groups_on_one_two_three_and_five_nodes(
    nodes: int, held: tuple[int, ...], without_the_first: tuple[int, ...] | None
) -> None:
    ranking = balanced_ranking(nodes, 10)
    assert shares(ranking, nodes) == held
    if without_the_first is not None:
        assert shares(ranking, nodes, [0]) == without_the_first


def test_after_two_losses_nobody_holds_three_groups_more_than_another() -> None:
    for nodes in (3, 4, 5):
        for groups in (10, 12, 20, 60, 254):
            ranking = balanced_ranking(nodes, groups)
            for first in range(nodes):
                for second in range(first):
                    left = shares(ranking, nodes, [first, second])
                    survivors = [left[node] for node in range(nodes) if node not in (first, second)]
                    assert max(survivors) - min(survivors) <= 2


def test_the_ranking_of_many_nodes_is_whole() -> None:
    assert all(sorted(order) == list(range(254)) for order in balanced_ranking(254, 255))


def test_the_priorities_of_a_group_are_distinct_and_never_those_of_an_owner() -> None:
    assert [priority_of_rank(rank, 3) for rank in range(3)] == [254, 244, 234]
    for nodes in range(1, 255):
        priorities = [priority_of_rank(rank, nodes) for rank in range(nodes)]
        assert len(set(priorities)) == nodes
        assert max(priorities) == 254
        assert min(priorities) >= 1


def test_all_nodes_come_to_the_same_spread_whatever_the_order_of_their_lists() -> None:
    groups = [Group(f"ipf_VIP_{number}", number, 1) for number in range(1, 8)]
    first, second, third = (IPv4Address(f"192.0.2.{last}") for last in (9, 10, 11))
    one = Spread.of([third, first, second], groups)
    assert one == Spread.of([first, second, third], groups)
    assert one.nodes == (first, second, third)
    for group in range(7):
        assert sorted(one.priority(node, group) for node in one.nodes) == [234, 244, 254]


def test_a_hash_of_address_and_id_gives_the_priority_where_nobody_knows_the_nodes() -> None:
    # 1 + (first 8 bytes of SHA-256("192.0.2.1 1")) mod 254: checked with sha256sum; all nodes rely on it.
    assert [rendezvous_priority(IPv4Address("192.0.2.1"), vrid) for vrid in (1, 2, 3)] == [194, 231, 96]
    assert rendezvous_priority(IPv6Address("2001:db8::1"), 1) == 221


def test_hashed_priorities_stay_in_range_and_spread_the_groups() -> None:
    nodes = [IPv4Address(f"192.0.2.{last}") for last in (1, 2, 3)]
    priorities = {(node, vrid): rendezvous_priority(node, vrid) for node in nodes for vrid in range(1, 255)}
    assert set(priorities.values()) <= set(range(1, 255))
    winners = Counter(max(nodes, key=lambda node: (priorities[node, vrid], node)) for vrid in range(1, 255))
    assert all(60 <= winners[node] <= 110 for node in nodes)
    # What a lost node held goes to both of the others.
    lost = [vrid for vrid in range(1, 255) if max(nodes, key=lambda n: (priorities[n, vrid], n)) == nodes[0]]
    heirs = Counter(max(nodes[1:], key=lambda node: (priorities[node, vrid], node)) for vrid in lost)
    assert min(heirs.values()) >= 25


def test_the_explanation_says_who_holds_what_and_what_each_loss_does() -> None:
    nodes = [IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")]
    groups = [Group("ipf_VIP_1", 1, 2), Group("ipf_VIP_2", 2, 1), Group("ipf_VIP_3", 3, 1)]
    assert Spread.of(nodes, groups).explain() == (
        "GROUP      VRID  ADDRESSES  HELD BY (PRIORITY), THEN\n"
        "ipf_VIP_1  1     2          192.0.2.1 (254), 192.0.2.2 (244)\n"
        "ipf_VIP_2  2     1          192.0.2.2 (254), 192.0.2.1 (244)\n"
        "ipf_VIP_3  3     1          192.0.2.1 (254), 192.0.2.2 (244)\n"
        "\n"
        "GROUPS HELD        192.0.2.1  192.0.2.2\n"
        "all up             2          1\n"
        "without 192.0.2.1  -          3\n"
        "without 192.0.2.2  3          -\n"
    )


def test_the_json_explanation_holds_the_same() -> None:
    nodes = [IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")]
    assert Spread.of(nodes, [Group("ipf_VIP_1", 1, 2)]).to_json() == {
        "nodes": ["192.0.2.1", "192.0.2.2"],
        "groups": [
            {
                "name": "ipf_VIP_1",
                "virtual_router_id": 1,
                "virtual_addresses": 2,
                "priorities": {"192.0.2.1": 254, "192.0.2.2": 244},
            }
        ],
        "groups_held": [
            {"lost": None, "by": {"192.0.2.1": 1, "192.0.2.2": 0}},
            {"lost": "192.0.2.1", "by": {"192.0.2.1": 0, "192.0.2.2": 1}},
            {"lost": "192.0.2.2", "by": {"192.0.2.1": 1, "192.0.2.2": 0}},
        ],
    }
