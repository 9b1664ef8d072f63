"""Two configurations on the same three nodes, as for two services: what happens to one is nothing to the other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.image.cluster import MANUAL, NOTIFY_SCRIPT, VIPS, Cluster, Node, Pods
from tests.image.container import Container
from vrrpd.lab import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(240)]

SECOND_VIPS = ("192.0.2.111", "192.0.2.112")
SECOND = {
    **MANUAL,
    "OPENSHIFT_HA_CONFIG_NAME": "ipf-2",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.111-112",
    "OPENSHIFT_HA_VIP_GROUPS": "",
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "10",
    "OPENSHIFT_HA_CHECK_SCRIPT": "/etc/keepalive/mycheckscript.sh",
}
# Every tool that the old image has: one that is missing fails the check with its name in the log.
CHECK_SCRIPT = """#!/bin/bash
set -e
for tool in ip ncat pgrep killall nft ipset iptables ip6tables curl netstat ifconfig modprobe awk grep sed cut sort; do
    command -v $tool >/dev/null || { echo "no $tool"; exit 1; }
done
[[ $(ip -o -4 address show dev eth0 | awk '{ print $4 }' | grep -c /24) == 1 ]]
[[ $(ncat --recv-only 127.0.0.1 8080) == n[123] ]]
pgrep keepalived >/dev/null
"""


@pytest.fixture(scope="module")
def both(cluster: Cluster, image: str) -> tuple[Pods, Pods]:
    """The pods of both configurations."""
    first, second = cluster.pods(image, MANUAL), cluster.pods(image, SECOND)
    for scripts in second.scripts.values():
        scripts.publish({"mynotifyscript.sh": NOTIFY_SCRIPT, "mycheckscript.sh": CHECK_SCRIPT})
    first.create()
    second.create()
    return first, second


def sockets(node: Node) -> set[str]:
    """The node's raw sockets and the claims on router ids, by what identifies them for as long as they live."""

    def look() -> set[str]:
        found = set()
        for table, inode in (("raw", 9), ("unix", 6)):
            for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]:
                found.add(f"{table} {line.split()[inode]}")
        return found

    return node.host.call(look)


@contextmanager
def untouched(
    cluster: Cluster, pods: Pods, vips: tuple[str, ...], gone: frozenset[str] = frozenset()
) -> Iterator[None]:
    """Holds a configuration to it that the block changes no address, rule or state of its own."""
    mark = f"vrrpd:{pods.name}"
    with cluster.watch(vips) as watch:
        watch.wait_for_one_holder()
        told = {node.name: pods.states(node) for node in cluster.nodes}
        pids = {name: container.pid for name, container in pods.on.items()}
        yield
        assert watch.moves() == 0
        assert {node.name: pods.states(node) for node in cluster.nodes} == told
        assert {name: container.pid for name, container in pods.on.items()} == pids
        assert all(node.rules().count(mark) == 1 for node in cluster.nodes)
        for container in pods.on.values():
            assert container.execute("vrrpd", "status", "--ready") == ""


def test_both_serve_their_addresses_by_their_own_rule(cluster: Cluster, both: tuple[Pods, Pods]) -> None:
    with cluster.watch(VIPS + SECOND_VIPS) as watch:
        holders = watch.wait_for_one_holder()
    assert {vip: cluster.ask(vip) for vip in holders} == holders
    for node in cluster.nodes:
        assert sorted(node.rules()) == ["vrrpd:ipf-2", "vrrpd:ipfailover"]


def test_stopping_one_is_nothing_to_the_other(cluster: Cluster, both: tuple[Pods, Pods]) -> None:
    first, second = both
    node = cluster.node("n1")
    with untouched(cluster, first, VIPS):
        before = sockets(node)
        second.on["n1"].end(signal.SIGTERM)
        assert node.rules() == ["vrrpd:ipfailover"]
        with cluster.watch(SECOND_VIPS) as watch:
            watch.wait_for_one_holder(among=("n2", "n3"))
        remaining = sockets(node)
        # Nothing but the second one's sockets went, and what stayed are the first one's: 3 claims on ids, 1 instance.
        assert remaining < before
        assert sum(name.startswith("unix ") for name in remaining) >= 4
        second.on["n1"].start()
        wait_until(lambda: len(node.rules()) == 2, timeout=20, what="the second one's rule to be back")


def test_killing_one_is_nothing_to_the_other(cluster: Cluster, both: tuple[Pods, Pods]) -> None:
    first, second = both
    with untouched(cluster, second, SECOND_VIPS):
        first.on["n2"].end(signal.SIGKILL)
        assert sorted(cluster.node("n2").rules()) == ["vrrpd:ipf-2", "vrrpd:ipfailover"]
        first.on["n2"].start()
        with cluster.watch(VIPS) as watch:
            first.on["n2"].wait_for_log("accepts VRRP already")
            watch.wait_for_one_holder()


def test_breaking_one_is_nothing_to_the_other(cluster: Cluster, both: tuple[Pods, Pods]) -> None:
    first, second = both
    with untouched(cluster, first, VIPS):
        broken = {"mynotifyscript.sh": NOTIFY_SCRIPT, "mycheckscript.sh": "no shebang, no sense"}
        second.scripts["n3"].publish(broken)
        with cluster.watch(SECOND_VIPS) as watch:
            wait_until(
                lambda: [line.split()[2] for line in second.states(cluster.node("n3"))[-2:]] == ["FAULT", "FAULT"],
                timeout=20,
                what="both groups of the second one to be in FAULT on n3",
            )
            watch.wait_for_one_holder(among=("n1", "n2"))
        second.scripts["n3"].publish({"mynotifyscript.sh": NOTIFY_SCRIPT, "mycheckscript.sh": CHECK_SCRIPT})
        second.on["n3"].wait_for_log("Entering BACKUP STATE (was FAULT)", times=2)


def test_ids_that_overlap_on_a_node_are_named_and_change_nothing(
    cluster: Cluster, both: tuple[Pods, Pods], image: str
) -> None:
    first, _ = both
    node = cluster.node("n1")
    overlapping = {**SECOND, "OPENSHIFT_HA_CONFIG_NAME": "ipf-3", "OPENSHIFT_HA_VRRP_ID_OFFSET": "2"}
    overlapping |= {"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.121-122", "OPENSHIFT_HA_CHECK_SCRIPT": ""}
    container = Container(node.host, node.network, image, overlapping)
    try:
        with untouched(cluster, first, VIPS):
            container.run()
            log = container.wait_for_log("virtual router 3 on eth0 (IPv4) is already run by ")
            wait_until(lambda: container.pid == 0, timeout=20, what="the container to have ended")
            assert container.exit_code == 3
            assert "vrrpd:ipf-3" not in node.rules()
            assert "Traceback" not in log
    finally:
        container.remove()


def test_ids_that_overlap_between_nodes_are_named_with_the_other_ones_address(
    cluster: Cluster, both: tuple[Pods, Pods], image: str
) -> None:
    first, _ = both
    node = cluster.node("n3")
    overlapping = {**SECOND, "OPENSHIFT_HA_CONFIG_NAME": "ipf-3", "OPENSHIFT_HA_VRRP_ID_OFFSET": "2"}
    overlapping |= {"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.121", "OPENSHIFT_HA_CHECK_SCRIPT": ""}
    overlapping |= {"OPENSHIFT_HA_PREEMPTION": "preempt_nodelay", "VRRPD_PRIORITY": "254"}
    container = Container(node.host, node.network, image, overlapping)
    first.on["n3"].stop()
    try:
        container.run()
        for name in ("n1", "n2"):
            log = first.on[name].wait_for_log("virtual_router_id collision?")
            assert "192.0.2.3" in next(line for line in log.splitlines() if "collision?" in line)
        assert "192.0.2.3" in first.on["n1"].execute("vrrpd", "status", "--json")
    finally:
        container.remove()
        first.on["n3"].start()
    with cluster.watch() as watch:
        watch.wait_for_one_holder()
