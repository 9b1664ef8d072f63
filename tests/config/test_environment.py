"""The variables of an ipfailover pod: a section for each row of the table in docs/openshift.md."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrrpd.config.environment import asked_for, instance_name, load, parse, spreads
from vrrpd.config.host import HostFacts
from vrrpd.config.keepalived import parse as parse_file
from vrrpd.config.model import (
    Check,
    Command,
    Configuration,
    ConfigurationError,
    FirewallRule,
    InitialState,
    TcpTarget,
    VirtualRouterConfig,
)
from vrrpd.config.render import to_keepalived_conf
from vrrpd.config.variables import NAMES
from vrrpd.protocol.timing import Version

VIPS = {"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-103"}
QUIET = {**VIPS, "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT"}
MANUAL = {
    "OPENSHIFT_HA_CONFIG_NAME": "ipfailover",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-102",
    "OPENSHIFT_HA_VIP_GROUPS": "10",
    "OPENSHIFT_HA_NETWORK_INTERFACE": "ens3",
    "OPENSHIFT_HA_MONITOR_PORT": "30060",
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "0",
    "OPENSHIFT_HA_REPLICA_COUNT": "2",
    "OPENSHIFT_HA_USE_UNICAST": "false",
    "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "/etc/keepalive/mynotifyscript.sh",
    "OPENSHIFT_HA_CHECK_SCRIPT": "/etc/keepalive/mycheckscript.sh",
    "OPENSHIFT_HA_PREEMPTION": "preempt_delay 300",
    "OPENSHIFT_HA_CHECK_INTERVAL": "2",
}
"""The Deployment that the manuals print."""


def host(*, default: str | None = "eth0", options: str = "", **interfaces: str) -> HostFacts:
    """A host; addresses are words with a prefix length."""
    known = {name: tuple(ip_interface(word) for word in text.split()) for name, text in interfaces.items()}
    return HostFacts("node1", known, default, options)


NODE = host(lo="127.0.0.1/8 ::1/128", eth0="192.0.2.11/24 2001:db8::11/64 fe80::11/64")


def read(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> Configuration:
    return parse({**(QUIET if environment is None else environment), **more}, facts)[0]


def warned(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> list[str]:
    found = parse({**(QUIET if environment is None else environment), **more}, facts)[1]
    return [str(one).removeprefix("environment: warning: ") for one in found]


def wrong(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> list[str]:
    """The errors, without the warnings among them."""
    with pytest.raises(ConfigurationError) as caught:
        parse({**(QUIET if environment is None else environment), **more}, facts)
    return [str(one).removeprefix("environment: ") for one in caught.value.diagnostics if one.fatal]


def vips(configuration: Configuration) -> list[list[str]]:
    return [[str(one.address) for one in router.all_addresses] for router in configuration.routers]


def the_check(configuration: Configuration) -> Check:
    (check,) = configuration.checks
    return check


def the_router(configuration: Configuration) -> VirtualRouterConfig:
    (router,) = configuration.routers
    return router


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


# -- OPENSHIFT_HA_MONITOR_PORT, VRRPD_MONITOR_ADDRESS -----------------------------------------------------------------


def test_monitor_port_is_tried_at_the_nodes_own_first_address_never_at_a_virtual_one() -> None:
    facts = host(eth0="192.0.2.101/32 192.0.2.11/24 192.0.2.12/24")
    check = the_check(read(facts=facts))
    assert check == Check("chk_OpenShift_IPFailover", TcpTarget("192.0.2.11", 80), interval=2.0, timeout=2.0)
    assert all(router.tracked_checks[0].weight == 0 for router in read().routers)


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("2001:db8::11/64 192.0.2.11/24", "192.0.2.11"),
        ("fe80::11/64 2001:db8::11/64", "2001:db8::11"),
        ("fe80::11/64", "fe80::11%eth0"),
    ],
)
def test_monitor_port_is_tried_over_ipv6_where_there_is_no_ipv4(addresses: str, target: str) -> None:
    assert the_check(read(facts=host(eth0=addresses))).probe == TcpTarget(target, 80)


def test_monitor_port_0_turns_off_the_default_check_only() -> None:
    assert read(OPENSHIFT_HA_MONITOR_PORT="0").checks == ()
    assert read(OPENSHIFT_HA_MONITOR_PORT="0").routers[0].tracked_checks == ()
    check = the_check(read(OPENSHIFT_HA_MONITOR_PORT="0", OPENSHIFT_HA_CHECK_SCRIPT="/bin/true"))
    assert check.probe == Command(("/bin/true",))


@pytest.mark.parametrize("port", ["65536", "-1", "http", "80 443"])
def test_a_wrong_monitor_port_is_an_error(port: str) -> None:
    (problem,) = wrong(OPENSHIFT_HA_MONITOR_PORT=port)
    assert problem.startswith("OPENSHIFT_HA_MONITOR_PORT is ")
    assert problem.endswith("expected a whole number from 0 to 65535")


def test_monitor_address_names_another_target_than_the_node() -> None:
    assert the_check(read(VRRPD_MONITOR_ADDRESS="198.51.100.7")).probe == TcpTarget("198.51.100.7", 80)
    assert "a virtual address" in warned(VRRPD_MONITOR_ADDRESS="192.0.2.101")[0]
    assert wrong(VRRPD_MONITOR_ADDRESS="service") == [
        "VRRPD_MONITOR_ADDRESS is service, expected an IPv4 or IPv6 unicast address"
    ]


def test_a_node_without_address_fails_its_check_and_sends_nothing() -> None:
    assert the_check(read(facts=host(eth0=""))).probe == TcpTarget("255.255.255.255", 80)
    assert "own address on eth0 is not known yet" in warned(facts=host(eth0=""))[0]


# -- OPENSHIFT_HA_CHECK_SCRIPT, OPENSHIFT_HA_CHECK_INTERVAL -----------------------------------------------------------


def test_check_script_runs_instead_of_the_default_check_without_arguments() -> None:
    check = the_check(read(OPENSHIFT_HA_CHECK_SCRIPT="/etc/keepalive/my check.sh", OPENSHIFT_HA_CHECK_INTERVAL="5"))
    assert check == Check(
        "chk_OpenShift_IPFailover", Command(("/etc/keepalive/my check.sh",)), interval=5.0, timeout=5.0
    )
    assert (check.rise, check.fall, check.weight) == (1, 1, 0)


def test_check_script_without_a_full_path_is_named_and_taken_from_the_root() -> None:
    assert the_check(read(OPENSHIFT_HA_CHECK_SCRIPT="check.sh")).probe == Command(("/check.sh",))
    assert warned(OPENSHIFT_HA_CHECK_SCRIPT="check.sh") == [
        "OPENSHIFT_HA_CHECK_SCRIPT is check.sh, expected a full path: /check.sh is run"
    ]


def test_scripts_that_cannot_run_are_named_at_the_start(tmp_path: Path) -> None:
    def named(content: str, mode: int = 0o755) -> list[str]:
        script = tmp_path / "script"
        script.write_text(content)
        script.chmod(mode)
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(script)
        environment = {**QUIET, "OPENSHIFT_HA_CHECK_SCRIPT": str(link)}
        return [str(one) for one in load(environment, NODE)[1]]

    where = f"environment: warning: OPENSHIFT_HA_CHECK_SCRIPT: {tmp_path}/link"
    until = "; until then every run is a failed check"
    assert named("#!/bin/sh\n") == []
    assert named("#!/bin/sh\n", 0o644) == [f"{where} is not executable, expected a program{until}"]
    assert named("#!/no/such/shell\n") == [
        f"{where} begins with #!/no/such/shell, expected a program that exists{until}"
    ]
    assert named("#!/bin/sh\r\n") == [
        f"{where} has lines that end in CR LF (Windows), expected LF: its interpreter is not found{until}"
    ]
    assert named("exit 0\n") == [
        f"{where} is a script without #! in its first line, expected #!/bin/bash or the like{until}"
    ]
    environment = {**QUIET, "OPENSHIFT_HA_NOTIFY_SCRIPT": str(tmp_path / "missing")}
    (problem,) = (str(one) for one in load(environment, NODE)[1])
    assert problem == (
        f"environment: warning: OPENSHIFT_HA_NOTIFY_SCRIPT: {tmp_path}/missing: no such file or directory, expected a "
        "program; until then nobody is notified"
    )


@pytest.mark.parametrize("interval", ["0", "x", "-1", "1e3"])
def test_a_wrong_check_interval_is_an_error(interval: str) -> None:
    (problem,) = wrong(OPENSHIFT_HA_CHECK_INTERVAL=interval)
    assert problem == f"OPENSHIFT_HA_CHECK_INTERVAL is {interval}, expected 0.1 to 86400 seconds"


def test_check_interval_is_2_seconds_and_may_have_fractions() -> None:
    assert the_check(read()).interval == 2.0
    check = the_check(read(OPENSHIFT_HA_CHECK_INTERVAL="0.5"))
    assert (check.interval, check.timeout) == (0.5, 0.5)


# -- OPENSHIFT_HA_NOTIFY_SCRIPT ---------------------------------------------------------------------------------------


def test_notify_script_is_told_of_every_change_of_every_group() -> None:
    configuration = read(OPENSHIFT_HA_NOTIFY_SCRIPT="/etc/keepalive/notify.sh")
    assert {router.notify.any_change for router in configuration.routers} == {Command(("/etc/keepalive/notify.sh",))}
    assert read().routers[0].notify.any_change is None


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


# -- OPENSHIFT_HA_IPTABLES_CHAIN, OPENSHIFT_HA_NFTABLES_RULE ----------------------------------------------------------


def test_iptables_chain_asks_for_a_rule_with_the_configurations_name() -> None:
    assert read(OPENSHIFT_HA_CONFIG_NAME="ipf-1").settings.firewall == FirewallRule("iptables", "ipf-1", "INPUT")
    assert wrong(OPENSHIFT_HA_IPTABLES_CHAIN="-F x") == [
        "OPENSHIFT_HA_IPTABLES_CHAIN is '-F x', expected the name of a chain of iptables such as INPUT"
    ]


def test_without_an_iptables_chain_there_is_no_rule_and_multicast_goes_on() -> None:
    assert read(VIPS).settings.firewall is None
    assert not read(VIPS).routers[0].unicast
    assert "OPENSHIFT_HA_IPTABLES_CHAIN is not set" in warned(VIPS)[0]


def test_nftables_rule_wins_over_the_chain_whatever_its_value() -> None:
    for value in ("true", "INPUT", "false"):
        assert read(OPENSHIFT_HA_NFTABLES_RULE=value).settings.firewall == FirewallRule(
            "nftables", "OpenShift-IPFailover"
        )


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


# -- OPENSHIFT_HA_SELECTOR, OPENSHIFT_HA_ADMIN_EMAILS, OPENSHIFT_HA_SMTP_SERVER, unknown variables --------------------


def test_selector_is_accepted_and_mail_is_said_to_be_not_sent() -> None:
    assert warned(OPENSHIFT_HA_SELECTOR="ipfailover=x") == []
    (line,) = warned(OPENSHIFT_HA_ADMIN_EMAILS="a@example.com", OPENSHIFT_HA_SMTP_SERVER="192.0.2.25")
    assert line.startswith("OPENSHIFT_HA_ADMIN_EMAILS and OPENSHIFT_HA_SMTP_SERVER given, but no mail is sent")


def test_unknown_variables_are_named_with_what_was_perhaps_meant() -> None:
    assert warned(OPENSHIFT_HA_VIRTUAL_IP="192.0.2.9", VRRPD_NOTHING="1", PATH="/bin") == [
        "unknown variable OPENSHIFT_HA_VIRTUAL_IP is ignored, expected OPENSHIFT_HA_VIRTUAL_IPS perhaps",
        "unknown variable VRRPD_NOTHING is ignored",
    ]


def test_variables_that_kubernetes_sets_for_a_service_called_vrrpd_are_not_ours() -> None:
    links = {
        "VRRPD_SERVICE_HOST": "198.51.100.1",
        "VRRPD_SERVICE_PORT": "80",
        "VRRPD_SERVICE_PORT_HTTP": "80",
        "VRRPD_PORT": "tcp://198.51.100.1:80",
        "VRRPD_PORT_80_TCP": "tcp://198.51.100.1:80",
        "VRRPD_PORT_80_TCP_ADDR": "198.51.100.1",
    }
    assert warned({**QUIET, **links}) == []


def test_an_empty_value_is_an_unset_one() -> None:
    assert read({**dict.fromkeys(NAMES, ""), **VIPS}) == read(VIPS)
    assert read({**dict.fromkeys(NAMES, " \n"), **VIPS}) == read(VIPS)


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


def test_log_variables_that_are_wrong_are_named() -> None:
    assert wrong(VRRPD_LOG_FORMAT="xml", VRRPD_LOG_LEVEL="loud") == [
        "VRRPD_LOG_FORMAT is xml, expected text or json",
        "VRRPD_LOG_LEVEL is loud, expected debug or info or warning or error",
    ]
    assert warned(VRRPD_LOG_FORMAT="json", VRRPD_LOG_LEVEL="debug") == []


def test_scripts_run_as_the_user_and_group_that_are_given() -> None:
    scripts = {"OPENSHIFT_HA_CHECK_SCRIPT": "/bin/true", "OPENSHIFT_HA_NOTIFY_SCRIPT": "/bin/true"}
    for text, user, group in (("", None, None), ("nobody", "nobody", None), ("1000 2000", "1000", "2000")):
        found = read(scripts, OPENSHIFT_HA_VIRTUAL_IPS="192.0.2.101", VRRPD_SCRIPT_USER=text)
        expected = Command(("/bin/true",), user=user, group=group)
        assert the_check(found).probe == expected
        assert found.routers[0].notify.any_change == expected
        assert (found.settings.script_user, found.settings.script_group) == (user, group)
    assert wrong(VRRPD_SCRIPT_USER="a b c") == [
        "VRRPD_SCRIPT_USER is 'a b c', expected a user and perhaps a group, as names or numbers"
    ]


def test_addresses_are_kept_for_a_successor_where_that_is_said() -> None:
    assert read().settings.keep_vips is False
    assert read(VRRPD_KEEP_VIPS="false").settings.keep_vips is False
    assert read(VRRPD_KEEP_VIPS="True").settings.keep_vips is True
    assert wrong(VRRPD_KEEP_VIPS="yes") == ["VRRPD_KEEP_VIPS is yes, expected true or false"]


# -- all together -----------------------------------------------------------------------------------------------------


def test_the_manuals_deployment_runs_unchanged() -> None:
    facts = host(ens3="192.0.2.11/24 fe80::11/64", default="ens3")
    first, second = read(MANUAL, facts).routers
    assert (first.name, first.vrid, str(first.addresses[0].address)) == ("ipfailover_VIP_1", 1, "192.0.2.101")
    assert (second.name, second.vrid, str(second.addresses[0].address)) == ("ipfailover_VIP_2", 2, "192.0.2.102")
    assert first.preempt_delay == 300
    assert warned(MANUAL, facts) == [
        "OPENSHIFT_HA_VIP_GROUPS is 10 but there are 2 virtual addresses: each is a group of its own"
    ]


def test_all_problems_are_told_at_once_each_with_name_value_and_what_was_expected() -> None:
    found = wrong(
        {
            "OPENSHIFT_HA_VIRTUAL_IPS": "nonsense",
            "OPENSHIFT_HA_VIP_GROUPS": "many",
            "OPENSHIFT_HA_MONITOR_PORT": "http",
            "OPENSHIFT_HA_VRRP_ID_OFFSET": "-1",
            "OPENSHIFT_HA_CHECK_INTERVAL": "0",
            "OPENSHIFT_HA_PREEMPTION": "preempt_delay soon",
            "VRRPD_VERSION": "x",
        }
    )
    assert len(found) == 7
    assert all(", expected " in problem for problem in found)


def test_leftovers_in_this_mode_are_ours() -> None:
    assert read().leftovers_are_ours
    assert read().source == "environment"


def test_options_of_the_old_daemon_are_named() -> None:
    facts = host(eth0="192.0.2.11/24", options="-D -d")
    assert warned(facts=facts) == ["KEEPALIVED_OPTIONS in /etc/sysconfig/keepalived is '-D -d': it has no effect"]


def test_a_configuration_can_be_looked_at_where_the_interface_is_not() -> None:
    configuration = read(facts=HostFacts(), OPENSHIFT_HA_NETWORK_INTERFACE="ens3", VRRPD_NODE_ADDRESS="192.0.2.11")
    assert the_check(configuration).probe == TcpTarget("192.0.2.11", 80)
    assert warned(facts=HostFacts(), OPENSHIFT_HA_NETWORK_INTERFACE="ens3", VRRPD_NODE_ADDRESS="192.0.2.11") == []


def test_ipv6_groups_without_a_link_local_address_are_one_warning_for_all() -> None:
    found = warned(OPENSHIFT_HA_VIRTUAL_IPS="2001:db8::101-1fe")
    assert len(found) == 1
    assert "OpenShift_IPFailover_VIP_1 (and 253 more groups) begins with 2001:db8::101" in found[0]


HOSTS = (
    HostFacts(),
    NODE,
    host(ens3="198.51.100.1/32 2001:db8::101/64", default="ens3"),
    host(default=None, eth1=""),
    host(eth0="fe80::1/64", options="-D"),
)
WORDS = (
    "", "0", "1", "2", "3", "255", "256", "-1", "1.5", "x", "ä", "$(id)", "\udcff", "\x01", "a b", "'\"{", "true",
    "json", "192.0.2.4", "192.0.2.4-6", "192.0.2.101-110", "192.0.2.11,192.0.2.12", "2001:db8::1f39-1f3b", "fe80::1",
    "192.0.2.4/24-7", "198.51.100.1", "224.0.0.18", "255.255.255.255", "0.0.0.0", "::", "192.0.2.0-198.51.100.0", "-",
    "preempt_delay 300", "preempt_delay", "nopreempt", "/bin/true", "bin/false", "/a b'\"{}$X\\", "INPUT", "-F", "eth0",
)  # fmt: skip
values = st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\0"), max_size=20)
plausible: dict[str, tuple[str, ...]] = {
    "OPENSHIFT_HA_CONFIG_NAME": ("", "ipf-1", "ä'\"{ }", "\udcff\udcfe", "!", "x" * 300),
    "OPENSHIFT_HA_VIRTUAL_IPS": ("192.0.2.101-110", "192.0.2.101-104,2001:db8::1-8", "2001:db8::1-78", "192.0.2.1/24"),
    "OPENSHIFT_HA_VIP_GROUPS": ("", "1", "3"),
    "OPENSHIFT_HA_NETWORK_INTERFACE": ("", "ens3", "a{b'"),
    "OPENSHIFT_HA_MONITOR_PORT": ("", "0", "443"),
    "OPENSHIFT_HA_CHECK_SCRIPT": ("", "/bin/true", "a b", "/a b'\"{}$X\\#!\n", "/\x01"),
    "OPENSHIFT_HA_CHECK_INTERVAL": ("", "0.123456789", "7"),
    "OPENSHIFT_HA_NOTIFY_SCRIPT": ("", "/etc/n", "</dev/tcp/x/1", "A=b"),
    "OPENSHIFT_HA_VRRP_ID_OFFSET": ("0", "10", "200"),
    "OPENSHIFT_HA_UNICAST_PEERS": ("", "192.0.2.11,192.0.2.12,2001:db8::11", "192.0.2.11,2001:db8::11"),
    "OPENSHIFT_HA_IPTABLES_CHAIN": ("", "INPUT", "a'\"{"),
    "OPENSHIFT_HA_NFTABLES_RULE": ("", "1"),
    "OPENSHIFT_HA_PREEMPTION": ("", "nopreempt", "preempt_delay 0.1234567", "preempt_nodelay 300"),
    "HA_EXCLUDED_VRRP_IDS": ("", "1 2 3"),
    "UNICAST_SOURCE_IPADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "MULTICAST_SOURCE_IPADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "VRRPD_VERSION": ("", "2", "3"),
    "VRRPD_ADVERT_INTERVAL": ("", "0.01", "3", "99"),
    "VRRPD_NODES": ("", "192.0.2.11 192.0.2.12", "2001:db8::11"),
    "VRRPD_NODE_ADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "VRRPD_PRIORITY": ("", "100"),
    "VRRPD_MONITOR_ADDRESS": ("", "198.51.100.9", "2001:db8::99"),
    "VRRPD_INSTANCE": ("", "a/b", "second"),
    "VRRPD_SCRIPT_USER": ("", "nobody", "1000 2000", "a b c"),
    "VRRPD_KEEP_VIPS": ("", "true", "false"),
}
likely = st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in plausible.items()})


def outcome(environment: Mapping[str, str], facts: HostFacts) -> Configuration | ConfigurationError:
    """What comes of an environment; anything but these two is a failure."""
    try:
        return load(environment, facts)[0]
    except ConfigurationError as error:
        return error


def check_any(environment: Mapping[str, str], facts: HostFacts) -> bool:
    """Whether it is a configuration, which must read back as itself; else its errors must say what was expected."""
    result = outcome(environment, facts)
    if isinstance(result, ConfigurationError):
        errors = [one.message for one in result.diagnostics if one.fatal]
        assert errors
        assert all(", expected " in message for message in errors)
        return False
    again, complaints = parse_file(to_keepalived_conf(result), file="environment")
    assert again == result
    # Those of IPv6 groups that begin with a global address, told once here and for each group there.
    assert all("RFC 9568 section 5.2.9" in one.message for one in complaints)
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    environment=st.dictionaries(st.sampled_from(sorted(NAMES)) | st.just("VRRPD_X"), values),
    vip_list=values,
    facts=st.sampled_from(HOSTS),
)
def test_any_environment_is_a_configuration_or_named_errors(
    environment: dict[str, str], vip_list: str, facts: HostFacts
) -> None:
    check_any({**environment, "OPENSHIFT_HA_VIRTUAL_IPS": vip_list}, facts)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(environment=likely, facts=st.sampled_from(HOSTS))
def test_a_likely_environment_reads_back_as_the_configuration_that_is_printed(
    environment: dict[str, str], facts: HostFacts
) -> None:
    check_any(environment, facts)


def test_version_2_without_addresses_and_offset_is_named_errors() -> None:
    assert not check_any({"VRRPD_VERSION": "2", "OPENSHIFT_HA_VIRTUAL_IPS": ""}, HostFacts())


def test_most_likely_environments_are_configurations() -> None:
    first = {name: choices[0] for name, choices in plausible.items()}
    assert all(check_any(first, facts) for facts in HOSTS)


def test_the_page_has_a_row_for_every_variable() -> None:
    page = (Path(__file__).parents[2] / "docs" / "openshift.md").read_text()
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows == NAMES


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
