"""The variables of an ipfailover pod, by the rows of the table in docs/openshift.md: names, addresses, groups, ids."""

from __future__ import annotations

import pytest

from tests.config.environments import QUIET, VIPS, host, read, the_router, vips, warned, wrong
from vrrpd.config.environment import asked_for, instance_name
from vrrpd.config.host import HostFacts

# -- OPENSHIFT_HA_CONFIG_NAME -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "instance"),
    [
        ("", "OpenShift_IPFailover_VIP_1"),
        ("ipf-1", "ipf_1_VIP_1"),
        ("my name!/ä", "myname_VIP_1"),
        ("a_b-c", "a_b_c_VIP_1"),
        ("$(id)", "id_VIP_1"),
    ],
)
def test_config_name_makes_the_names_that_notify_scripts_see(name: str, instance: str) -> None:
    configuration = read(OPENSHIFT_HA_CONFIG_NAME=name)
    assert configuration.routers[0].name == instance
    assert [router.name[-6:] for router in configuration.routers] == ["_VIP_1", "_VIP_2", "_VIP_3"]


def test_config_name_is_the_daemons_instance_so_that_two_configurations_run_side_by_side() -> None:
    assert read(OPENSHIFT_HA_CONFIG_NAME="ipf-1").settings.instance == "ipf-1"
    assert read().settings.instance == "OpenShift-IPFailover"
    assert instance_name({"OPENSHIFT_HA_CONFIG_NAME": "a/b c"}) == "a_b_c"
    assert instance_name({"OPENSHIFT_HA_CONFIG_NAME": "ipf", "VRRPD_INSTANCE": "second"}) == "second"
    long = [instance_name({"OPENSHIFT_HA_CONFIG_NAME": "x" * 100 + last}) for last in "ab"]
    assert [len(name) for name in long] == [64, 64]
    assert long[0] != long[1]


# -- OPENSHIFT_HA_VIRTUAL_IPS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.4-6,192.0.2.9", ["192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.9"]),
        ("192.0.2.4 192.0.2.5\n192.0.2.6", ["192.0.2.4", "192.0.2.5", "192.0.2.6"]),
        (" 192.0.2.4 , ,192.0.2.5,", ["192.0.2.4", "192.0.2.5"]),
        ("192.0.2.4 - 6", ["192.0.2.4", "192.0.2.5", "192.0.2.6"]),
        ("192.0.2.4-192.0.2.6", ["192.0.2.4", "192.0.2.5", "192.0.2.6"]),
        ("192.0.2.254-198.51.100.1", None),
        ("192.0.1.254-192.0.2.1", ["192.0.1.254", "192.0.1.255", "192.0.2.0", "192.0.2.1"]),
        ("192.0.2.7-7", ["192.0.2.7"]),
        ("2001:db8::1f39-1f3b", ["2001:db8::1f39", "2001:db8::1f3a", "2001:db8::1f3b"]),
        ("2001:db8::9-b", ["2001:db8::9", "2001:db8::a", "2001:db8::b"]),
        ("2001:db8::9-10", [f"2001:db8::{last:x}" for last in range(9, 17)]),
        ("2001:db8::fffe-2001:db8::1:1", ["2001:db8::fffe", "2001:db8::ffff", "2001:db8::1:0", "2001:db8::1:1"]),
        ("192.0.2.9,2001:db8::1", ["192.0.2.9", "2001:db8::1"]),
    ],
)
def test_virtual_ips_are_addresses_and_ranges_with_commas_or_blanks_between(
    text: str, expected: list[str] | None
) -> None:
    environment = {"OPENSHIFT_HA_VIRTUAL_IPS": text}
    if expected is None:
        assert "expected at most 4096" in wrong(environment)[0]
    else:
        assert [address for group in vips(read(environment)) for address in group] == expected


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("192.0.2.4", [32]),
        ("2001:db8::4", [128]),
        ("192.0.2.4/24", [24]),
        ("192.0.2.4-5/24", [24, 24]),
        ("192.0.2.4/24-5", [24, 24]),
        ("192.0.2.4-192.0.2.5/24", [24, 24]),
        ("192.0.2.4/24-192.0.2.5/24", [24, 24]),
        ("2001:db8::4-5/64,192.0.2.4", [64, 64, 32]),
    ],
)
def test_virtual_ips_are_32_and_128_without_a_prefix_length(text: str, lengths: list[int]) -> None:
    configuration = read({"OPENSHIFT_HA_VIRTUAL_IPS": text})
    assert [one.prefix_length for router in configuration.routers for one in router.addresses] == lengths


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("192.0.2.300", "virtual address 192.0.2.300 is not known, expected an address such as 192.0.2.4"),
        ("192.0.2.4-2", "range 192.0.2.4-2 ends before it begins, expected the lower address first"),
        ("192.0.2.4-256", "range 192.0.2.4-256 ends in 256, expected 0 to 255 or an IPv4 address"),
        ("192.0.2.4-x", "range 192.0.2.4-x ends in x, expected 0 to 255 or an IPv4 address"),
        ("192.0.2.4-", "range 192.0.2.4- ends in '', expected 0 to 255 or an IPv4 address"),
        ("2001:db8::1-fffff", "range 2001:db8::1-fffff ends in fffff, expected 0 to ffff or an IPv6 address"),
        ("192.0.2.4-2001:db8::1", "range 192.0.2.4-2001:db8::1 has ends of two families, expected one"),
        ("192.0.2.4/33", "prefix length of 192.0.2.4/33 is 33, expected 1 to 32"),
        ("192.0.2.4/24-5/25", "192.0.2.4/24-5/25 has two prefix lengths, expected one"),
        ("224.0.0.18", "virtual address 224.0.0.18 is not known, expected an address such as 192.0.2.4"),
        ("fe80::1%eth0", "virtual address fe80::1%eth0 is not known, expected an address such as 192.0.2.4"),
        ("10.0.0.0-10.255.255.255", "range 10.0.0.0-10.255.255.255 has 16777216 addresses, expected at most 4096"),
        ("$(reboot)", "virtual address $(reboot) is not known, expected an address such as 192.0.2.4"),
    ],
)
def test_virtual_ips_that_are_wrong_are_named(text: str, problem: str) -> None:
    found = wrong({"OPENSHIFT_HA_VIRTUAL_IPS": f"192.0.2.1,{text}"})
    assert len(found) == 1
    assert found[0].startswith(f"OPENSHIFT_HA_VIRTUAL_IPS: {problem}")


def test_virtual_ips_are_required() -> None:
    expected = ["OPENSHIFT_HA_VIRTUAL_IPS is not set, expected virtual addresses such as 192.0.2.4-6,192.0.2.9"]
    assert wrong({}) == expected
    assert wrong({"OPENSHIFT_HA_VIRTUAL_IPS": "  "}) == expected
    assert not asked_for({"OPENSHIFT_HA_VIRTUAL_IPS": " "})
    assert asked_for(VIPS)


def test_a_virtual_ip_listed_twice_counts_once_and_is_an_error_where_old_pods_count_it_twice() -> None:
    twice = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.4-6,192.0.2.5"}
    assert vips(read(twice)) == [["192.0.2.4"], ["192.0.2.5"], ["192.0.2.6"]]
    assert warned(twice) == ["OPENSHIFT_HA_VIRTUAL_IPS holds 192.0.2.5 twice: it counts once"]
    found = wrong(twice, VRRPD_VERSION="2", OPENSHIFT_HA_VRRP_ID_OFFSET="10")
    assert found[0].startswith("OPENSHIFT_HA_VIRTUAL_IPS holds 192.0.2.5 twice, expected once")


def test_a_virtual_ip_that_the_node_has_with_another_prefix_length_is_named() -> None:
    facts = host(eth0="192.0.2.11/24 192.0.2.101/24 192.0.2.102/32")
    assert warned(facts=facts) == [
        "OPENSHIFT_HA_VIRTUAL_IPS holds 192.0.2.101, which is on eth0 as 192.0.2.101/24: it is left alone there"
    ]


# -- OPENSHIFT_HA_VIP_GROUPS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "sizes"),
    [("3", [3, 2, 2]), ("1", [7]), ("7", [1] * 7), ("", [1] * 7), ("0", [1] * 7), ("4", [2, 2, 2, 1])],
)
def test_vip_groups_divide_the_addresses_evenly_and_in_order(count: str, sizes: list[int]) -> None:
    configuration = read({"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-107", "OPENSHIFT_HA_VIP_GROUPS": count})
    assert [len(group) for group in vips(configuration)] == sizes
    assert [one for group in vips(configuration) for one in group] == [f"192.0.2.{last}" for last in range(101, 108)]


def test_more_vip_groups_than_addresses_make_one_for_each() -> None:
    assert vips(read(OPENSHIFT_HA_VIP_GROUPS="10")) == [["192.0.2.101"], ["192.0.2.102"], ["192.0.2.103"]]
    assert warned(OPENSHIFT_HA_VIP_GROUPS="10") == [
        "OPENSHIFT_HA_VIP_GROUPS is 10 but there are 3 virtual addresses: each is a group of its own"
    ]


def test_254_vips_work_in_254_groups_in_20_and_in_1() -> None:
    many = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.1-254"}
    facts = host(eth0="198.51.100.1/24")
    assert len(read(many, facts).routers) == 254
    assert warned(many, facts) == []
    assert [len(group) for group in vips(read(many, facts, OPENSHIFT_HA_VIP_GROUPS="20"))] == [13] * 14 + [12] * 6
    (router,) = read(many, facts, OPENSHIFT_HA_VIP_GROUPS="1").routers
    assert len(router.addresses) == 254
    assert router.excluded_addresses == ()


def test_more_addresses_than_fit_an_advertisement_are_installed_but_not_advertised() -> None:
    environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "2001:db8::1000-1063", "OPENSHIFT_HA_VIP_GROUPS": "1"}
    router = the_router(read(environment))
    assert (len(router.addresses), len(router.excluded_addresses)) == (90, 10)
    assert any("has 100 addresses, at most 90 fit an advertisement" in line for line in warned(environment))


def test_more_than_254_vips_are_a_warning_as_long_as_the_ids_fit() -> None:
    environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "198.51.100.0-198.51.101.9", "OPENSHIFT_HA_VIP_GROUPS": "2"}
    assert warned(environment) == [
        "OPENSHIFT_HA_VIRTUAL_IPS holds 266 addresses: OpenShift's manuals allow 254 in a cluster"
    ]


def test_a_group_that_mixes_families_advertises_the_family_of_its_first_address() -> None:
    for text, family in (("192.0.2.4,2001:db8::4,192.0.2.5", 4), ("2001:db8::4,192.0.2.4,192.0.2.5", 6)):
        environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": text, "OPENSHIFT_HA_VIP_GROUPS": "1"}
        router = the_router(read(environment))
        assert router.family == family
        assert {one.address.version for one in router.addresses} == {family}
        assert {one.address.version for one in router.excluded_addresses} == {4, 6} - {family}
        assert len(router.all_addresses) == 3
        assert any("mixes families" in line for line in warned(environment))


# -- OPENSHIFT_HA_NETWORK_INTERFACE -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "interface"),
    [
        (host(eth0="192.0.2.11/24", ens3="198.51.100.1/24", default="ens3"), "eth0"),
        (host(ens3="198.51.100.1/24", default="ens3"), "ens3"),
        (HostFacts(), "eth0"),
    ],
)
def test_network_interface_unset_is_eth0_else_that_of_the_default_route(facts: HostFacts, interface: str) -> None:
    configuration = read(facts=facts)
    assert {router.interface for router in configuration.routers} == {interface}
    assert {one.device for router in configuration.routers for one in router.addresses} == {interface}


def test_network_interface_that_is_absent_is_named_and_waited_for() -> None:
    assert read(OPENSHIFT_HA_NETWORK_INTERFACE="ens9").routers[0].interface == "ens9"
    assert warned(OPENSHIFT_HA_NETWORK_INTERFACE="ens9")[0] == (
        "OPENSHIFT_HA_NETWORK_INTERFACE is ens9, which does not exist: all groups wait in FAULT until it appears"
    )
    assert wrong(OPENSHIFT_HA_NETWORK_INTERFACE="not an interface") == [
        "OPENSHIFT_HA_NETWORK_INTERFACE is 'not an interface', expected the name of an interface, 1 to 15 characters"
    ]
    assert "neither eth0 nor a default route" in warned(facts=host(default=None, ens3="198.51.100.1/24"))[0]


# -- OPENSHIFT_HA_VRRP_ID_OFFSET, HA_EXCLUDED_VRRP_IDS ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "ids"), [("", [1, 2, 3]), ("0", [1, 2, 3]), ("10", [11, 12, 13]), ("252", [253, 254, 255])]
)
def test_vrrp_id_offset_is_added_to_the_number_of_the_group(offset: str, ids: list[int]) -> None:
    assert [router.vrid for router in read(OPENSHIFT_HA_VRRP_ID_OFFSET=offset).routers] == ids


def test_a_vrrp_id_over_255_is_an_error_that_names_group_and_offset() -> None:
    (problem,) = wrong(OPENSHIFT_HA_VRRP_ID_OFFSET="253")
    assert problem.startswith(
        "OPENSHIFT_HA_VRRP_ID_OFFSET is 253: group 3 of 3 (OpenShift_IPFailover_VIP_3) would get a virtual router id "
        "above 255, expected at most 2 groups with this offset"
    )
    assert wrong(OPENSHIFT_HA_VRRP_ID_OFFSET="256") == [
        "OPENSHIFT_HA_VRRP_ID_OFFSET is 256, expected a whole number from 0 to 255"
    ]


def test_255_groups_with_offset_1_are_an_error() -> None:
    environment = {**QUIET, "OPENSHIFT_HA_VIRTUAL_IPS": "198.51.100.0-254", "OPENSHIFT_HA_VRRP_ID_OFFSET": "1"}
    assert "is 1: group 255 of 255 (OpenShift_IPFailover_VIP_255)" in wrong(environment)[0]
    assert len(read({**environment, "OPENSHIFT_HA_VRRP_ID_OFFSET": "0"}).routers) == 255


def test_excluded_vrrp_ids_are_skipped_and_later_groups_move_up() -> None:
    assert [router.vrid for router in read(HA_EXCLUDED_VRRP_IDS="1 3").routers] == [2, 4, 5]
    assert [router.vrid for router in read(HA_EXCLUDED_VRRP_IDS="12", OPENSHIFT_HA_VRRP_ID_OFFSET="10").routers] == [
        11,
        13,
        14,
    ]
    assert wrong(HA_EXCLUDED_VRRP_IDS="7 x 256") == [
        "HA_EXCLUDED_VRRP_IDS holds x, expected ids from 1 to 255",
        "HA_EXCLUDED_VRRP_IDS holds 256, expected ids from 1 to 255",
    ]
    assert "HA_EXCLUDED_VRRP_IDS skips some" in wrong(HA_EXCLUDED_VRRP_IDS="254", OPENSHIFT_HA_VRRP_ID_OFFSET="252")[0]
