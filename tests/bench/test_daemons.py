"""The daemons that are named on the command line, and the configurations that all of them read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import QUICK_SECONDS
from bench.daemons import given
from bench.measure import chosen, estimate
from bench.scenarios import FULL, MANY_ADDRESSES, QUICK, SCENARIOS, SINGLE, Event, Scenario, keepalived_conf
from vrrpd.config import keepalived


def test_a_third_daemon_is_a_command_line_with_a_place_for_its_configuration() -> None:
    program = given("other=/opt/other run --config '{config}' --flag='a b'")
    assert program.name == "other"
    assert program.argv(Path("/tmp/r 1.conf")) == ["/opt/other", "run", "--config", "/tmp/r 1.conf", "--flag=a b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/opt/other {config}", "'/opt/other {config}' is no daemon, expected NAME=COMMAND"),
        ("a b=/opt/other {config}", "expected NAME=COMMAND with a name of letters, digits"),
        ("other=/opt/other", "'/opt/other' does not say where the configuration goes, expected {config} in it"),
        ("other='{config}", "No closing quotation"),
    ],
)
def test_a_daemon_that_cannot_be_started_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the text is what counts)
        given(text)
    assert problem in str(refusal.value)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.key)
def test_the_configuration_of_each_scenario_means_what_it_says(scenario: Scenario) -> None:
    configuration, warnings = keepalived.parse(keepalived_conf(scenario, "r2", "test -e /healthy"))
    assert not warnings
    assert [router.vrid for router in configuration.routers] == [router.vrid for router in scenario.routers]
    assert {router.priority for router in configuration.routers} == {100}
    assert {router.advertisement_interval for router in configuration.routers} == {scenario.interval_ms // 10}
    addresses = [str(virtual.address) for router in configuration.routers for virtual in router.all_addresses]
    assert addresses == list(scenario.addresses)
    assert {router.announcements.times.master_delay for router in configuration.routers} == {0}


def test_a_selection_keeps_the_order_and_leaves_out_jobs_without_an_event() -> None:
    jobs = chosen(FULL, ["a", "c", "steady"], [Event.CHECK, Event.CRASH], 2)
    assert [(job.scenario.key, job.rounds, job.events) for job in jobs] == [
        ("a", 2, (Event.CRASH, Event.CHECK)),
        ("c", 2, (Event.CRASH, Event.CHECK)),
        ("steady", 2, ()),
    ]


def test_without_a_selection_everything_is_measured() -> None:
    assert chosen(QUICK, None, None, None) == list(QUICK)


def test_a_quick_run_of_two_daemons_has_every_scenario_and_fits_into_its_time() -> None:
    assert {job.scenario for job in QUICK} == set(SCENARIOS)
    assert estimate(QUICK, 2) <= QUICK_SECONDS


def test_the_client_asks_for_an_address_from_the_middle() -> None:
    assert SINGLE.probed == "198.18.1.1"
    assert MANY_ADDRESSES.probed == "198.18.1.128"
