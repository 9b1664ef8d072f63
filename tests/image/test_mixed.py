"""A cluster in the middle of changing its image: one pod of ours (VRRPD_VERSION=2) and a keepalived set up as the old
image sets it up: version 2, PASS with the configuration's name, its instance names and ids.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.availability import unavailable
from tests.image.cluster import MANUAL, SERVICE_PORT, Cluster
from tests.image.conftest import ROOT
from tests.image.container import Container
from tests.image.watch import Watch
from vrrpd.lab import wait_until
from vrrpd.lab.process import Process

pytestmark = [pytest.mark.image, pytest.mark.timeout(240)]

FIRST, SECOND = VIPS = ("192.0.2.101", "192.0.2.102")
HANDOVER: Final = 0.5
"""Seconds for which two nodes may have an address while one takes over: until the other hears of it, generously."""

NEW: Final = {
    **MANUAL,
    "OPENSHIFT_HA_CONFIG_NAME": "",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-102",
    "OPENSHIFT_HA_VIP_GROUPS": "",
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "10",
    "OPENSHIFT_HA_REPLICA_COUNT": "2",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "",
    "VRRPD_VERSION": "2",
    "VRRPD_PRIORITY": "100",
}
OLD: Final = f"""
global_defs {{
    script_user root
    max_auto_priority 99
}}
vrrp_script chk_OpenShift_IPFailover {{
    script "/bin/bash -c '</dev/tcp/192.0.2.2/{SERVICE_PORT}'"
    interval 2
}}
vrrp_instance OpenShift_IPFailover_VIP_1 {{
    interface eth0
    state MASTER
    virtual_router_id 11
    priority 200
    preempt_delay 300
    authentication {{
        auth_type PASS
        auth_pass OpenShift-IPFailover
    }}
    track_script {{
        chk_OpenShift_IPFailover
    }}
    virtual_ipaddress {{
        192.0.2.101 dev eth0
    }}
}}
vrrp_instance OpenShift_IPFailover_VIP_2 {{
    interface eth0
    state BACKUP
    virtual_router_id 12
    priority 50
    preempt_delay 300
    authentication {{
        auth_type PASS
        auth_pass OpenShift-IPFailover
    }}
    track_script {{
        chk_OpenShift_IPFailover
    }}
    virtual_ipaddress {{
        192.0.2.102 dev eth0
    }}
}}
"""
"""Ours has priority 100 for both: of these two it loses the first and wins the second."""


@pytest.fixture(scope="module")
def keepalived() -> Path:
    """The real keepalived: $VRRPD_KEEPALIVED, else the fetched one, else the installed one."""
    candidates = [ROOT / ".cache" / "keepalived" / "run", Path("/usr/sbin/keepalived")]
    if named := os.environ.get("VRRPD_KEEPALIVED"):
        candidates = [Path(named)]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    return unavailable(f"no keepalived at {' nor at '.join(map(str, candidates))}: `make keepalived` fetches one")


class Mixed:
    """The node n1 with a pod of ours and the node n2 with an old one."""

    def __init__(self, cluster: Cluster, keepalived: Path, image: str, file: Path) -> None:
        self.cluster = cluster
        node = cluster.node("n1")
        self.new = Container(node.host, node.network, image, NEW)
        self._command = [
            str(keepalived),
            "--dont-fork",
            "--log-console",
            "--log-detail",
            f"--use-file={file}",
            "--vrrp",
        ]
        file.write_text(OLD)

    def start_old(self) -> Process:
        """Starts keepalived."""
        host = self.cluster.node("n2").host
        return host.start(self._command, name="keepalived", private_run=True)


@pytest.fixture
def mixed(cluster: Cluster, keepalived: Path, image: str, tmp_path: Path) -> Iterator[Mixed]:
    """Both sides, not started yet."""
    mixed = Mixed(cluster, keepalived, image, tmp_path / "keepalived.conf")
    yield mixed
    mixed.new.remove()
    cluster.node("n2").host.reset()
    cluster.node("n2").start_service()
    for node in cluster.nodes:
        for address, prefix in node.host.addresses():
            if address in VIPS:
                node.host.remove_address("eth0", f"{address}/{prefix}")


@pytest.fixture
def watch(cluster: Cluster, mixed: Mixed) -> Iterator[Watch]:
    """A look at the addresses for as long as the test runs."""
    with cluster.watch(VIPS) as watch:
        yield watch


def test_a_cluster_changes_its_image_node_by_node_and_back(mixed: Mixed, watch: Watch) -> None:
    old = mixed.start_old()
    assert watch.wait_for_one_holder() == {FIRST: "n2", SECOND: "n2"}
    moves = watch.moves()
    mixed.new.run()
    mixed.new.wait_for_log("Entering BACKUP STATE", times=2)
    # Longer than a master-down interval: each hears the other. The old one has the lower priority for the second
    # address, and preempt_delay lets it keep it.
    wait_until(
        lambda: all(
            router["state"] == "BACKUP" and router["time_in_state"] > 4.0
            for router in json.loads(mixed.new.execute("vrrpd", "status", "--json"))["routers"]
        ),
        timeout=20,
        what="the new pod to have been BACKUP for four seconds",
    )
    assert mixed.new.execute("vrrpd", "status").count(" 192.0.2.2 ") == 2
    assert watch.moves() == moves

    # Old to new: a stop is heard at once.
    assert old.stop() == 0
    assert watch.wait_for_one_holder() == {FIRST: "n1", SECOND: "n1"}
    assert watch.longest_overlap() < HANDOVER

    # New to old: keepalived forgets preempt_delay where it says state MASTER.
    mixed.start_old()
    watch.wait_for_holders({FIRST: "n2", SECOND: "n1"})
    assert mixed.cluster.ask(FIRST) == "n2"
    assert mixed.cluster.ask(SECOND) == "n1"
    mixed.new.stop()
    assert watch.wait_for_one_holder() == {FIRST: "n2", SECOND: "n2"}
    assert watch.longest_overlap() < HANDOVER
    assert "discarded" not in mixed.new.log()


def test_each_side_takes_over_when_the_other_falls_silent(mixed: Mixed, watch: Watch) -> None:
    mixed.new.run()
    mixed.new.wait_for_log("Entering MASTER STATE", times=2)
    mixed.start_old()
    watch.wait_for_holders({FIRST: "n2", SECOND: "n1"})
    assert watch.longest_overlap() < HANDOVER
    old = mixed.cluster.node("n2").host
    with Watch([mixed.cluster.node("n1").host], VIPS) as new:
        mixed.cluster.lan.cut(old)
        assert new.wait_for_one_holder() == {FIRST: "n1", SECOND: "n1"}
    assert mixed.cluster.ask(FIRST) == "n1"
    mixed.cluster.lan.mend(old)
    watch.wait_for_holders({FIRST: "n2", SECOND: "n1"})
    assert mixed.cluster.ask(FIRST) == "n2"
    assert mixed.cluster.ask(SECOND) == "n1"
