"""Daemons that are told what to do by the environment alone, as in an ipfailover pod."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.netns.daemons import SOURCE, VRRPD, Daemon, Daemons, entered, script
from vrrpd.config.variables import NAMES
from vrrpd.lab import Bridge, Host, Lab, wait_until

pytestmark = pytest.mark.netns

VIP = "192.0.2.101"
QUICK = {"VRRPD_ADVERT_INTERVAL": "0.05", "OPENSHIFT_HA_MONITOR_PORT": "0", "OPENSHIFT_HA_IPTABLES_CHAIN": ""}
OWN_ETC = ["sh", "-c", 'mount -t tmpfs none /etc && exec "$@"', "sh"]


def variables(**given: str) -> dict[str, str]:
    """The environment of a pod: ours, and what Python needs."""
    inherited = {name: value for name, value in os.environ.items() if name not in NAMES}
    return {**inherited, **QUICK, "OPENSHIFT_HA_VIRTUAL_IPS": VIP, **given}


def start(daemons: Daemons, host: Host, name: str = "OpenShift-IPFailover", **given: str) -> Daemon:
    """Runs a daemon without any option, with an /etc of its own for the copy that it leaves."""
    environment = variables(OPENSHIFT_HA_CONFIG_NAME=name, **given)
    process = host.start([*OWN_ETC, *VRRPD, "run"], name="vrrpd", env=environment, cwd=SOURCE, private_run=True)
    daemon = Daemon(host, Path("environment"), [], name, process)
    daemons.adopt(daemon)
    return daemon


def test_a_daemon_runs_from_the_environment_leaves_a_copy_and_is_asked_without_options(
    r1: Host, daemons: Daemons
) -> None:
    daemon = start(daemons, r1, "ipf-1")
    router = daemon.wait_for_state("MASTER", "ipf_1_VIP_1")
    assert (router["vrid"], router["version"], router["preempt_delay"]) == (1, 3, 300)
    assert daemon.status()["configuration"] == "environment"
    wait_until(lambda: r1.has_address(VIP), what="the virtual address")
    copy = Path(f"/proc/{daemon.process.pid}/root/etc/keepalived/keepalived.conf").read_text()
    assert copy.startswith("# Written by vrrpd at its start")
    assert f"{VIP}/32 dev eth0" in copy
    asked = r1.call(
        lambda: subprocess.run(
            [*entered(daemon, [*VRRPD, "status"])],
            env=variables(OPENSHIFT_HA_CONFIG_NAME="ipf-1"),
            cwd=SOURCE,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    )
    assert asked.returncode == 0, asked.stderr
    assert "ipf_1_VIP_1  MASTER" in asked.stdout


def test_a_virtual_address_left_by_a_killed_pod_is_withdrawn_at_the_start_and_others_are_not(
    r1: Host, r2: Host, daemons: Daemons
) -> None:
    start(daemons, r2, VRRPD_PRIORITY="200").wait_for_state("MASTER", "OpenShift_IPFailover_VIP_1")
    r1.add_address("eth0", f"{VIP}/32")
    r1.add_address("eth0", "192.0.2.150/32")
    daemon = start(daemons, r1, VRRPD_PRIORITY="100")
    daemon.wait_for_state("BACKUP", "OpenShift_IPFailover_VIP_1")
    wait_until(lambda: not r1.has_address(VIP), what="the leftover to be withdrawn")
    assert f"withdrawing {VIP} from eth0: left behind by a predecessor" in daemon.log
    assert r1.has_address("192.0.2.150")


def test_a_node_whose_interface_comes_late_takes_its_address_for_check_and_priority(
    lab: Lab, lan: Bridge, daemons: Daemons
) -> None:
    late = lab.host("late")
    nodes = "192.0.2.1,192.0.2.7"
    daemon = start(daemons, late, OPENSHIFT_HA_MONITOR_PORT="81", OPENSHIFT_HA_CHECK_INTERVAL="0.2", VRRPD_NODES=nodes)
    name, check = "OpenShift_IPFailover_VIP_1", "chk_OpenShift_IPFailover"
    router = daemon.wait_for_state("FAULT", name)
    assert {"interface"} <= {fault["kind"] for fault in router["faults"]}
    assert "own address on eth0 is not known yet" in daemon.log
    late.connect(lan, "eth0", "192.0.2.7/24")
    wait_until(lambda: "192.0.2.7 port 81" in daemon.check(check)["last_result"], what="the check's new target")
    daemon.wait_for(lambda router: router["priority"]["configured"] == 244, "the second rank", name)
    assert "the addresses of this node have changed: reading the environment again" in daemon.log
    copy = Path(f"/proc/{daemon.process.pid}/root/etc/keepalived/keepalived.conf").read_text()
    assert "tcp_check 192.0.2.7 81" in copy


def test_two_configurations_run_side_by_side_on_one_node(r1: Host, daemons: Daemons) -> None:
    first = start(daemons, r1, "first")
    second = start(daemons, r1, "second", OPENSHIFT_HA_VIRTUAL_IPS="192.0.2.111", OPENSHIFT_HA_VRRP_ID_OFFSET="10")
    first.wait_for_state("MASTER", "first_VIP_1")
    assert second.wait_for_state("MASTER", "second_VIP_1")["vrid"] == 11
    second.process.terminate()
    wait_until(lambda: not r1.has_address("192.0.2.111"), what="the second configuration's address to go")
    assert r1.has_address(VIP)
    assert first.router("first_VIP_1")["state"] == "MASTER"


def test_an_id_that_another_configuration_uses_is_named_in_log_and_status_with_its_source(
    r1: Host, r2: Host, daemons: Daemons
) -> None:
    start(daemons, r1, "first").wait_for_state("MASTER", "first_VIP_1")
    second = start(daemons, r2, "second", OPENSHIFT_HA_VIRTUAL_IPS="192.0.2.111")
    second.wait_for(lambda router: router["collisions"] == ["192.0.2.1"], "the collision", "second_VIP_1")
    assert "192.0.2.1 advertises 192.0.2.101, none of which is ours (192.0.2.111)" in second.log


def test_a_node_that_is_its_only_peer_serves_alone_and_sends_nothing(r1: Host, lan: Bridge, daemons: Daemons) -> None:
    with lan.capture() as capture:
        daemon = start(daemons, r1, OPENSHIFT_HA_UNICAST_PEERS="192.0.2.1")
        daemon.wait_for_state("MASTER", "OpenShift_IPFailover_VIP_1")
        capture.wait_for(lambda frame: bool(capture.announcements(VIP)), what="the announcement")
        assert capture.advertisements() == []


def test_errors_of_the_environment_are_named_all_at_once_and_nothing_runs(r1: Host) -> None:
    environment = variables(
        OPENSHIFT_HA_MONITOR_PORT="http", OPENSHIFT_HA_VRRP_ID_OFFSET="300", VRRPD_LOG_FORMAT="json"
    )
    done = r1.call(
        lambda: subprocess.run(
            [*VRRPD, "run"], env=environment, cwd=SOURCE, capture_output=True, text=True, timeout=20, check=False
        )
    )
    assert done.returncode == 1
    messages = [line["message"] for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
    assert messages == [
        "environment: OPENSHIFT_HA_VRRP_ID_OFFSET is 300, expected a whole number from 0 to 255",
        "environment: OPENSHIFT_HA_MONITOR_PORT is http, expected a whole number from 0 to 65535",
    ]


def test_scripts_see_the_variables_of_the_pod(r1: Host, daemons: Daemons, tmp_path: Path) -> None:
    told = tmp_path / "told"
    notify = script(tmp_path / "notify.sh", f'echo "$3 on $NODE_NAME" >> {told}')
    daemon = start(daemons, r1, OPENSHIFT_HA_NOTIFY_SCRIPT=str(notify), NODE_NAME="node-1")
    daemon.wait_for_state("MASTER", "OpenShift_IPFailover_VIP_1")
    wait_until(lambda: told.exists() and "MASTER on node-1" in told.read_text(), what="the notify script")
