"""The variables of an ipfailover pod, by the rows of the table in docs/openshift.md: checks and scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.environments import NODE, QUIET, host, read, the_check, warned, wrong
from vrrpd.config.environment import load
from vrrpd.config.model import (
    Check,
    Command,
    TcpTarget,
)

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
