"""The variables of an ipfailover pod, by the rows of the table in docs/openshift.md: who speaks, and who goes first."""

from __future__ import annotations

import pytest

from tests.config.environments import NODE, QUIET, VIPS, host, read, warned, wrong
from vrrpd.config.environment import spreads
from vrrpd.config.host import HostFacts
from vrrpd.config.model import (
    InitialState,
)
from vrrpd.config.render import to_keepalived_conf
from vrrpd.protocol.timing import Version

# -- OPENSHIFT_HA_REPLICA_COUNT ---------------------------------------------------------------------------------------


def test_replica_count_is_compared_with_the_list_of_nodes_and_decides_nothing() -> None:
    nodes = "192.0.2.11,192.0.2.12,192.0.2.13"
    assert warned(OPENSHIFT_HA_REPLICA_COUNT="3", VRRPD_NODES=nodes) == []
    assert warned(VRRPD_NODES=nodes) == []
    assert warned(OPENSHIFT_HA_REPLICA_COUNT="2", VRRPD_NODES=nodes) == [
        "OPENSHIFT_HA_REPLICA_COUNT is 2 but 3 nodes are listed, expected the same"
    ]
    assert warned(OPENSHIFT_HA_REPLICA_COUNT="2", OPENSHIFT_HA_UNICAST_PEERS=nodes) == [
        "OPENSHIFT_HA_REPLICA_COUNT is 2 but 3 nodes are listed, expected the same"
    ]
    assert warned(OPENSHIFT_HA_REPLICA_COUNT="7") == []
    assert len(warned(OPENSHIFT_HA_REPLICA_COUNT="two")) == 1
    assert read(OPENSHIFT_HA_REPLICA_COUNT="7").routers == read().routers


# -- OPENSHIFT_HA_USE_UNICAST, OPENSHIFT_HA_UNICAST_PEERS, source addresses -------------------------------------------


def test_use_unicast_is_ignored_as_in_the_image_and_contradictions_are_named() -> None:
    peers = {"OPENSHIFT_HA_UNICAST_PEERS": "192.0.2.11,192.0.2.12"}
    assert warned({**QUIET, **peers, "OPENSHIFT_HA_USE_UNICAST": "false"}) == [
        "OPENSHIFT_HA_USE_UNICAST is false but OPENSHIFT_HA_UNICAST_PEERS is given: peers mean unicast"
    ]
    assert read({**QUIET, **peers, "OPENSHIFT_HA_USE_UNICAST": "false"}).routers[0].unicast
    assert warned({**QUIET, **peers, "OPENSHIFT_HA_USE_UNICAST": "true"}) == []
    assert warned(OPENSHIFT_HA_USE_UNICAST="true") == [
        "OPENSHIFT_HA_USE_UNICAST is true but OPENSHIFT_HA_UNICAST_PEERS is not given: multicast is used"
    ]
    assert not read(OPENSHIFT_HA_USE_UNICAST="true").routers[0].unicast
    assert len(warned(OPENSHIFT_HA_USE_UNICAST="maybe")) == 1
    assert warned(OPENSHIFT_HA_USE_UNICAST="false") == []


def test_unicast_peers_are_the_list_without_this_node() -> None:
    router = read(OPENSHIFT_HA_UNICAST_PEERS="192.0.2.10,192.0.2.11,192.0.2.12").routers[0]
    assert [str(peer.address) for peer in router.unicast_peers] == ["192.0.2.10", "192.0.2.12"]
    assert router.multicast_group is None
    assert str(router.source_address) == "192.0.2.11"


def test_a_node_that_is_missing_from_the_unicast_peers_is_added_to_the_nodes_and_named() -> None:
    environment = {**QUIET, "OPENSHIFT_HA_UNICAST_PEERS": "192.0.2.10,192.0.2.12"}
    assert warned(environment) == [
        "OPENSHIFT_HA_UNICAST_PEERS does not list this node (192.0.2.11): it is added to the nodes"
    ]
    (spread,) = spreads(environment, NODE)
    assert [str(node) for node in spread.nodes] == ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
    assert [router.priority for router in read(environment).routers] == [
        spread.priority(spread.nodes[1], group) for group in range(3)
    ]


def test_a_node_that_is_its_only_unicast_peer_runs_alone_and_is_told_so() -> None:
    router = read(OPENSHIFT_HA_UNICAST_PEERS="192.0.2.11").routers[0]
    assert router.unicast
    assert router.unicast_peers == ()
    assert router.priority == 254
    assert warned(OPENSHIFT_HA_UNICAST_PEERS="192.0.2.11") == [
        "OPENSHIFT_HA_UNICAST_PEERS lists only this node (192.0.2.11): it runs alone, and no other node hears it"
    ]


def test_wrong_unicast_peers_are_an_error_and_a_double_one_a_warning() -> None:
    expected = "expected IPv4 or IPv6 unicast addresses with commas between"
    assert wrong(OPENSHIFT_HA_UNICAST_PEERS="192.0.2.10,node2") == [
        f"OPENSHIFT_HA_UNICAST_PEERS holds node2, {expected}"
    ]
    assert wrong(OPENSHIFT_HA_UNICAST_PEERS=",")[0].startswith("OPENSHIFT_HA_UNICAST_PEERS is ,")
    assert warned(OPENSHIFT_HA_UNICAST_PEERS="192.0.2.11,192.0.2.12,192.0.2.12") == [
        "OPENSHIFT_HA_UNICAST_PEERS holds 192.0.2.12 twice: it counts once"
    ]


def test_unicast_peers_of_each_family_serve_the_groups_of_that_family() -> None:
    environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101,2001:db8::101"}
    both = "192.0.2.11,192.0.2.12,2001:db8::11,2001:db8::12"
    four, six = read(environment, OPENSHIFT_HA_UNICAST_PEERS=both).routers
    assert [str(peer.address) for peer in four.unicast_peers] == ["192.0.2.12"]
    assert [str(peer.address) for peer in six.unicast_peers] == ["2001:db8::12"]
    # The link-local address would be the usual source, and no peer would know it.
    assert str(six.source_address) == "2001:db8::11"
    (problem,) = wrong(environment, OPENSHIFT_HA_UNICAST_PEERS="192.0.2.11,192.0.2.12")
    assert problem.startswith("OPENSHIFT_HA_UNICAST_PEERS lists no IPv6 address but there are IPv6 groups")


def test_source_addresses_are_used_in_their_mode() -> None:
    multicast = {"MULTICAST_SOURCE_IPADDRESS": "192.0.2.11"}
    assert str(read({**QUIET, **multicast}).routers[0].source_address) == "192.0.2.11"
    assert read().routers[0].source_address is None
    facts = host(eth0="192.0.2.11/24 192.0.2.12/24")
    peers = {"OPENSHIFT_HA_UNICAST_PEERS": "192.0.2.10,192.0.2.12"}
    router = read({**QUIET, **peers}, facts, UNICAST_SOURCE_IPADDRESS="192.0.2.12").routers[0]
    assert str(router.source_address) == "192.0.2.12"
    assert [str(peer.address) for peer in router.unicast_peers] == ["192.0.2.10"]
    for name, more in (("UNICAST_SOURCE_IPADDRESS", VIPS), ("MULTICAST_SOURCE_IPADDRESS", peers)):
        assert any("it has no effect" in line for line in warned({**QUIET, **more, name: "192.0.2.11"}))
    assert "no group is IPv6" in warned(MULTICAST_SOURCE_IPADDRESS="2001:db8::11")[0]
    assert "no address of this node" in warned(MULTICAST_SOURCE_IPADDRESS="192.0.2.77")[0]
    assert wrong(UNICAST_SOURCE_IPADDRESS="x") == [
        "UNICAST_SOURCE_IPADDRESS is x, expected an IPv4 or IPv6 unicast address"
    ]


# -- OPENSHIFT_HA_PREEMPTION ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "preempt", "delay"),
    [
        ("", True, 300.0),
        ("preempt_delay 300", True, 300.0),
        ("preempt_delay  60", True, 60.0),
        ("preempt_delay 0.5", True, 0.5),
        ("preempt_delay 0", True, 0.0),
        ("nopreempt", False, 0.0),
        ("preempt", True, 0.0),
    ],
)
def test_preemption_is_honoured_for_every_group(text: str, preempt: bool, delay: float) -> None:
    configuration = read(OPENSHIFT_HA_PREEMPTION=text)
    assert {(router.preempt, router.preempt_delay) for router in configuration.routers} == {(preempt, delay)}
    # Printed so that keepalived would honour the delay as well.
    assert {router.initial_state for router in configuration.routers} == {InitialState.BACKUP}
    assert "state BACKUP" in to_keepalived_conf(configuration)
    assert warned(OPENSHIFT_HA_PREEMPTION=text) == []


def test_preemption_that_the_old_image_skips_preempts_at_once_with_a_warning() -> None:
    router = read(OPENSHIFT_HA_PREEMPTION="preempt_nodelay 300").routers[0]
    assert (router.preempt, router.preempt_delay) == (True, 0.0)
    assert warned(OPENSHIFT_HA_PREEMPTION="preempt_nodelay 300") == [
        "OPENSHIFT_HA_PREEMPTION is 'preempt_nodelay 300', expected preempt_delay SECONDS or nopreempt: the old image "
        "skips it, so this node preempts at once"
    ]


@pytest.mark.parametrize("text", ["preempt_delay", "preempt_delay x", "preempt_delay 1001", "nopreempt 3"])
def test_a_wrong_preemption_is_an_error(text: str) -> None:
    (problem,) = wrong(OPENSHIFT_HA_PREEMPTION=text)
    assert problem.startswith("OPENSHIFT_HA_PREEMPTION is ")
    assert "expected preempt_delay" in problem


# -- VRRPD_VERSION ----------------------------------------------------------------------------------------------------


def test_version_2_joins_old_pods_with_the_first_8_bytes_of_the_raw_name_as_password() -> None:
    environment = {**QUIET, "VRRPD_VERSION": "2", "OPENSHIFT_HA_VRRP_ID_OFFSET": "10"}
    router = read(environment).routers[0]
    assert router.version is Version.V2
    assert router.vrid == 11
    assert router.authentication is not None
    assert router.authentication.password == b"OpenShif"
    other = read(environment, OPENSHIFT_HA_CONFIG_NAME="ipf-1").routers[0]
    assert other.authentication is not None
    assert other.authentication.password == b"ipf-1\0\0\0"
    assert router.advertisement_interval == 100


def test_version_2_leaves_ipv6_groups_at_3_without_authentication() -> None:
    environment = {**QUIET, "VRRPD_VERSION": "2", "OPENSHIFT_HA_VRRP_ID_OFFSET": "0"}
    four, six = read(environment, OPENSHIFT_HA_VIRTUAL_IPS="192.0.2.101,2001:db8::101").routers
    assert (four.version, six.version) == (Version.V2, Version.V3)
    assert six.authentication is None


def test_version_2_needs_the_offset_and_says_why() -> None:
    (problem,) = wrong(VRRPD_VERSION="2")
    assert problem.startswith(
        "OPENSHIFT_HA_VRRP_ID_OFFSET is not set, expected with VRRPD_VERSION=2 the one that the old"
    )
    assert problem.endswith("old and new pods do not hear each other and both hold the addresses")


def test_version_3_is_the_default_without_authentication() -> None:
    router = read().routers[0]
    assert (router.version, router.authentication) == (Version.V3, None)
    assert wrong(VRRPD_VERSION="4") == ["VRRPD_VERSION is 4, expected a whole number from 2 to 3"]


# -- VRRPD_ADVERT_INTERVAL, VRRPD_PRIORITY, VRRPD_NODES, VRRPD_NODE_ADDRESS -------------------------------------------


def test_advert_interval_is_in_seconds() -> None:
    assert read(VRRPD_ADVERT_INTERVAL="0.25").routers[0].advertisement_interval == 25
    assert read(VRRPD_ADVERT_INTERVAL="60").routers[0].advertisement_interval == 4095
    assert "version 3 allows at most 40.95" in warned(VRRPD_ADVERT_INTERVAL="60")[0]
    old = {"VRRPD_VERSION": "2", "OPENSHIFT_HA_VRRP_ID_OFFSET": "0"}
    assert read({**QUIET, **old}, VRRPD_ADVERT_INTERVAL="0.25").routers[0].advertisement_interval == 100
    for text in ("0", "x", "0.001", "-1"):
        assert wrong(VRRPD_ADVERT_INTERVAL=text)[0].startswith(f"VRRPD_ADVERT_INTERVAL is {text}, expected")


def test_priority_is_set_by_hand_for_all_groups() -> None:
    configuration = read(VRRPD_PRIORITY="150", VRRPD_NODES="192.0.2.11,192.0.2.12")
    assert {router.priority for router in configuration.routers} == {150}
    assert spreads({**QUIET, "VRRPD_PRIORITY": "150", "VRRPD_NODES": "192.0.2.11"}, NODE) == ()
    assert wrong(VRRPD_PRIORITY="255") == ["VRRPD_PRIORITY is 255, expected a whole number from 1 to 254"]


def test_without_a_list_of_nodes_priorities_come_from_the_nodes_address_and_the_id() -> None:
    assert [router.priority for router in read(VRRPD_NODE_ADDRESS="192.0.2.1").routers] == [194, 231, 96]
    assert read(facts=host(eth0="192.0.2.1/24")).routers == read(facts=host(eth0="192.0.2.1/24 192.0.2.9/24")).routers


def test_listed_nodes_share_the_groups_exactly_and_all_priorities_of_a_group_differ() -> None:
    nodes = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
    environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-110", "VRRPD_NODES": " ".join(nodes)}
    priorities = [[one.priority for one in read(environment, host(eth0=f"{node}/24")).routers] for node in nodes]
    assert [priorities_of_one.count(254) for priorities_of_one in priorities] == [4, 3, 3]
    assert all(len({one[group] for one in priorities}) == 3 for group in range(10))
    given = {**environment, "VRRPD_NODE_ADDRESS": "192.0.2.12"}
    assert [one.priority for one in read(given, HostFacts()).routers] == priorities[1]


def test_a_node_that_is_missing_from_the_list_of_nodes_is_added_and_named() -> None:
    assert warned(VRRPD_NODES="192.0.2.12") == [
        "VRRPD_NODES does not list this node (192.0.2.11): it is added to the nodes"
    ]


def test_node_address_that_cannot_be_is_named() -> None:
    assert "no address of this node" in warned(VRRPD_NODE_ADDRESS="192.0.2.77")[0]
    assert wrong(VRRPD_NODE_ADDRESS="192.0.2.101")[0].startswith("VRRPD_NODE_ADDRESS is 192.0.2.101, a virtual address")


def test_more_than_254_nodes_are_an_error() -> None:
    nodes = ",".join(f"198.51.{third}.{last}" for third in (100, 101) for last in range(1, 201))
    assert wrong(VRRPD_NODES=nodes) == ["VRRPD_NODES lists 400 addresses, expected fewer than 254"]


# -- VRRPD_ACCEPT_SOURCES ---------------------------------------------------------------------------------------------


def test_accepted_sources_go_to_the_groups_of_their_family() -> None:
    both = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101,2001:db8::101"}
    four, six = read(both, VRRPD_ACCEPT_SOURCES="192.0.2.0/24, fe80::/10").routers
    assert [str(one) for one in four.accept_sources] == ["192.0.2.0/24"]
    assert [str(one) for one in six.accept_sources] == ["fe80::/10"]
    assert read().routers[0].accept_sources == ()


def test_a_family_without_an_accepted_source_is_an_error_and_no_open_door() -> None:
    both = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101,2001:db8::101"}
    assert wrong(both, VRRPD_ACCEPT_SOURCES="192.0.2.0/24") == [
        "VRRPD_ACCEPT_SOURCES lists no IPv6 source but there are IPv6 groups, expected one at least, such as fe80::/10"
    ]
    assert wrong(VRRPD_ACCEPT_SOURCES="192.0.2.300")[0] == (
        "VRRPD_ACCEPT_SOURCES: accepted source is 192.0.2.300, expected an address or a prefix such as 192.0.2.7, "
        "192.0.2.0/24 or fe80::/10"
    )


def test_a_listed_node_that_would_not_be_heard_is_named() -> None:
    nodes = "192.0.2.11,192.0.2.12,192.0.2.77"
    assert warned(VRRPD_NODES=nodes, VRRPD_ACCEPT_SOURCES="192.0.2.0/26") == [
        "VRRPD_ACCEPT_SOURCES does not hold the node 192.0.2.77: it is not heard from there"
    ]
    assert wrong(OPENSHIFT_HA_UNICAST_PEERS=nodes, VRRPD_ACCEPT_SOURCES="192.0.2.0/26")[0].endswith(
        "peer is 192.0.2.77, which is not in accept_sources: it is never heard"
    )
