"""Rules that hold for every source, seen without any file."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import HealthCheck, given, settings

from tests.config.strategies import configurations
from vrrpd.config.model import (
    Check,
    Command,
    Configuration,
    GlobalSettings,
    InitialState,
    TrackedCheck,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.report import Report
from vrrpd.config.validate import advertisement_interval, settle
from vrrpd.protocol.timing import Version

ROUTER = VirtualRouterConfig(
    name="ipf_VIP_1",
    interface="eth0",
    family=4,
    vrid=1,
    version=Version.V3,
    addresses=(VirtualAddress(IPv4Address("192.0.2.1"), 32, "eth0"),),
    multicast_group=IPv4Address("224.0.0.18"),
)


def configuration(*routers: VirtualRouterConfig, checks: tuple[Check, ...] = ()) -> Configuration:
    return Configuration(GlobalSettings(), checks, routers, "environment")


def settled(*routers: VirtualRouterConfig, checks: tuple[Check, ...] = ()) -> tuple[Configuration, list[str]]:
    report = Report()
    result = settle(configuration(*routers, checks=checks), report)
    return result, [str(diagnostic) for diagnostic in report.diagnostics]


def test_a_valid_configuration_is_returned_unchanged() -> None:
    assert settled(ROUTER) == (configuration(ROUTER), [])


def test_a_configuration_without_routers_names_its_source() -> None:
    assert settled()[1] == ["environment: no virtual router is configured, expected at least one vrrp_instance"]


@pytest.mark.parametrize(
    ("router", "expected"),
    [
        (replace(ROUTER, vrid=264), "virtual_router_id is 264, expected 1 to 255"),
        (replace(ROUTER, vrid=0), "virtual_router_id is missing, expected 1 to 255"),
        (replace(ROUTER, priority=0), "priority is 0, expected 1 to 255"),
        (replace(ROUTER, priority=256), "priority is 256, expected 1 to 255"),
        (replace(ROUTER, interface="a" * 16), "interface is aaaaaaaaaaaaaaaa, expected a name of 1 to 15 characters"),
        (replace(ROUTER, advertisement_interval=0), "advert_int is 0, expected 0.01 to 40.95 seconds"),
        (replace(ROUTER, advertisement_interval=4096), "advert_int is 40.96, expected 0.01 to 40.95 seconds"),
        (
            replace(ROUTER, version=Version.V2, advertisement_interval=150),
            "advert_int is 1.5, expected whole seconds for version 2",
        ),
        (replace(ROUTER, preempt_delay=1000.5), "preempt_delay is 1000.5, expected 0 to 1000 seconds"),
        (replace(ROUTER, down_advertisements=0), "down_timer_adverts is 0, expected 1 to 100"),
        (replace(ROUTER, addresses=()), "no virtual address, expected at least one in virtual_ipaddress"),
        (
            replace(ROUTER, addresses=(VirtualAddress(IPv4Address("0.0.0.0"), 32, "eth0"),)),
            "virtual address is 0.0.0.0, expected a unicast address",
        ),
        (
            replace(ROUTER, tracked_checks=(TrackedCheck("port"),)),
            "port is tracked but not defined, expected a vrrp_script of that name",
        ),
    ],
)
def test_a_broken_rule_is_an_error(router: VirtualRouterConfig, expected: str) -> None:
    assert settled(router)[1] == [f"({router.name}) {expected}"]


def test_two_routers_must_differ_in_name_id_and_addresses() -> None:
    assert settled(ROUTER, ROUTER)[1] == [
        "vrrp_instance ipf_VIP_1 is defined twice, expected distinct names",
        "(ipf_VIP_1) virtual_router_id 1 for IPv4 on eth0 is already used by vrrp_instance ipf_VIP_1",
        "(ipf_VIP_1) 192.0.2.1 on eth0 is already used by vrrp_instance ipf_VIP_1",
    ]


def test_two_checks_must_differ_in_name() -> None:
    check = Check("port", Command(("true",)))
    assert settled(ROUTER, checks=(check, check))[1] == ["vrrp_script port is defined twice, expected distinct names"]


def test_what_contradicts_is_dropped_with_a_warning() -> None:
    result, told = settled(replace(ROUTER, priority=255, preempt=False, preempt_delay=3.0))
    assert (result.routers[0].preempt, result.routers[0].preempt_delay) == (True, 0.0)
    why = "priority is 255 and an address owner always preempts"
    assert told == [
        f"warning: (ipf_VIP_1) nopreempt is dropped: {why}",
        f"warning: (ipf_VIP_1) preempt_delay is dropped: {why}",
    ]


def test_a_delay_is_kept_with_state_backup() -> None:
    router = replace(ROUTER, initial_state=InitialState.BACKUP, preempt_delay=300.0)
    assert settled(router) == (configuration(router), [])


def test_addresses_move_to_the_excluded_ones_in_order() -> None:
    vips = tuple(
        VirtualAddress(ip_address(int(IPv6Address("fe80::1")) + one), 128, "eth0", preferred_lifetime=0)
        for one in range(91)
    )
    router = replace(ROUTER, family=6, addresses=vips, multicast_group=IPv6Address("ff02::12"))
    result, told = settled(router)
    assert result.routers[0].addresses == vips[:90]
    assert result.routers[0].excluded_addresses == vips[90:]
    assert told == ["warning: (ipf_VIP_1) 91 virtual addresses, at most 90 fit an advertisement: 1 are not advertised"]


@pytest.mark.parametrize(
    ("seconds", "version", "centiseconds"),
    [("0.005", Version.V3, 1), ("0.004", Version.V3, 0), ("0.5", Version.V2, 100), ("2.5", Version.V2, 300)],
)
def test_intervals_are_rounded_half_up(seconds: str, version: Version, centiseconds: int) -> None:
    assert advertisement_interval(Decimal(seconds), version)[0] == centiseconds


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=configurations())
def test_a_settled_configuration_settles_to_itself(random: Configuration) -> None:
    report = Report()
    assert settle(random, report) == random
    assert not report.fatal
