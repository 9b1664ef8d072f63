"""The manual's Deployment on three nodes, one pod of the real image on each: what users rely on, one failure at a time.

Every test begins when each address has one holder and ends with all pods running. The pods run as narrowly as
Kubernetes can make them: read-only root without a writable /run, all capabilities dropped but NET_ADMIN and NET_RAW.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.image.cluster import MANUAL, NOTIFY_SCRIPT, VIPS, Cluster, Pods
from tests.image.watch import Watch
from vrrpd.lab import wait_until
from vrrpd.lab.probe import Probe, start_responder

pytestmark = [pytest.mark.image, pytest.mark.timeout(240)]

HANDOVER = 0.5
"""Seconds for which two nodes may have an address while one takes over: until the other hears of it, generously."""


@pytest.fixture(scope="module")
def pods(cluster: Cluster, image: str) -> Pods:
    """The pods of the manual's Deployment."""
    pods = cluster.pods(image, MANUAL)
    pods.create()
    return pods


@pytest.fixture
def watch(cluster: Cluster, pods: Pods) -> Iterator[Watch]:
    """A look at the addresses for as long as the test runs, beginning with one holder for each."""
    with cluster.watch() as watch:
        watch.wait_for_one_holder()
        yield watch


def test_every_address_is_on_one_node_and_its_service_answers_there(cluster: Cluster, watch: Watch) -> None:
    holders = watch.wait_for_one_holder()
    assert {vip: cluster.ask(vip) for vip in VIPS} == holders


def test_the_liveness_probe_finds_the_daemon_as_process_1(pods: Pods, watch: Watch) -> None:
    assert pods.on["n1"].execute("pgrep", "keepalived") == "1\n"


def test_the_pod_runs_with_a_read_only_root_and_two_capabilities(pods: Pods, watch: Watch) -> None:
    container = pods.on["n1"]
    found = container.execute(
        "sh", "-c", "touch /etc/keepalived/x /run/x; grep CapEff /proc/1/status; id -u", check=False
    )
    assert found.count("Read-only file system") == 2
    # CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13.
    assert "CapEff:\t0000000000003000" in found
    assert container.log().count("keepalived.conf") == 1


def test_the_pod_is_ready_and_says_what_it_does(pods: Pods, watch: Watch) -> None:
    container = pods.on["n2"]
    assert container.execute("vrrpd", "status", "--ready") == ""
    table = container.execute("vrrpd", "status")
    for instance in ("ipfailover_VIP_1", "ipfailover_VIP_2", "ipfailover_VIP_3"):
        assert instance in table


def test_an_orphan_of_an_exec_is_reaped(pods: Pods, watch: Watch) -> None:
    container = pods.on["n1"]
    # The shell ends first, which leaves its job to process 1.
    container.execute("sh", "-c", "(sleep 0.05 &)")
    wait_until(
        lambda: container.execute("sh", "-c", "cat /proc/[0-9]*/stat").count(" (sleep) ") == 0,
        timeout=20,
        what="no process called sleep, dead or alive",
    )


def test_the_notify_script_is_told_of_every_group_with_four_arguments(
    cluster: Cluster, pods: Pods, watch: Watch
) -> None:
    def stories(name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in pods.states(cluster.node(name)):
            kind, instance, state, priority = line.split()
            assert kind == "INSTANCE"
            assert 1 <= int(priority) <= 254
            found.setdefault(instance, []).append(state)
        return found

    for number, first_vip in ((1, "192.0.2.101"), (2, "192.0.2.103"), (3, "192.0.2.105")):
        instance, holder = f"ipfailover_VIP_{number}", min(watch.holders(first_vip))
        wait_until(
            lambda holder=holder, instance=instance: stories(holder)[instance][-1] == "MASTER",  # type: ignore[misc]
            timeout=10,
            what=f"the script on {holder} to have been told that {instance} is MASTER",
        )
        for node in cluster.nodes:
            told = stories(node.name)[instance]
            assert told[0] == "BACKUP"
            assert (told[-1] == "MASTER") == (node.name == holder)


def test_a_node_whose_port_no_longer_answers_gives_its_addresses_up_at_once(
    cluster: Cluster, pods: Pods, watch: Watch
) -> None:
    holder = cluster.node(min(watch.holders("192.0.2.101")))
    others = {node.name for node in cluster.nodes} - {holder.name}
    # The kubelet swaps a ConfigMap while the pod runs: the next change is told to the new script.
    pods.scripts[holder.name].publish({"mynotifyscript.sh": NOTIFY_SCRIPT.replace("$*", "swapped $*")})
    holder.service.kill()
    holder.service.wait()
    watch.wait_for_one_holder(among=others)
    assert watch.longest_overlap() < HANDOVER
    told = pods.states(holder)
    wait_until(
        lambda: any(line.startswith("swapped INSTANCE ipfailover_VIP_1 FAULT ") for line in pods.states(holder)),
        timeout=10,
        what=f"the swapped script to be told of FAULT; told so far: {told}",
    )
    holder.start_service()
    wait_until(
        lambda: pods.states(holder)[-1].split()[3] == "BACKUP",
        timeout=20,
        what="the node to be BACKUP again: its preempt_delay is five minutes",
    )
    assert watch.wait_for_one_holder(among=others)


def test_a_killed_pod_is_replaced_at_once_and_finds_its_leftovers_when_it_returns(
    cluster: Cluster, pods: Pods, watch: Watch
) -> None:
    victim = cluster.node(min(watch.holders("192.0.2.103")))
    container = pods.on[victim.name]
    left = {vip for vip in VIPS if victim.name in watch.holders(vip)}
    container.end(signal.SIGKILL)
    assert container.exit_code == 137
    # Nobody is left who could remove the addresses: they stay, and so does the rule.
    assert victim.rules() == ["vrrpd:ipfailover"]
    with cluster.watch(left) as others:
        wait_until(
            lambda: all(len(others.holders(vip)) == 2 for vip in left), timeout=20, what="another node to take over"
        )
    container.start()
    holders = watch.wait_for_one_holder()
    assert all(holders[vip] != victim.name for vip in left)
    assert container.log().count("left behind by a predecessor") == len(left)
    assert "accepts VRRP already" in container.wait_for_log("accepts VRRP already")
    assert victim.rules() == ["vrrpd:ipfailover"]
    # Nobody else's address is touched: not the node's own, which is no /32.
    assert victim.host.addresses()[0] == (f"192.0.2.{victim.name[1:]}", 24)


def test_a_node_that_is_cut_off_is_replaced_and_joins_again(cluster: Cluster, pods: Pods, watch: Watch) -> None:
    victim = cluster.node(min(watch.holders("192.0.2.105")))
    others = {node.name for node in cluster.nodes} - {victim.name}
    hosts = [node.host for node in cluster.nodes if node is not victim]
    cluster.lan.cut(victim.host)
    with Watch(hosts, VIPS) as survivors:
        survivors.wait_for_one_holder(among=others)
        assert survivors.longest_overlap() < HANDOVER
    assert {cluster.ask(vip) for vip in VIPS} <= others
    cluster.lan.mend(victim.host)
    watch.wait_for_one_holder()
    assert watch.longest_overlap(apart=[victim.name]) < HANDOVER


def test_a_pod_that_is_stopped_is_gone_within_a_second_and_leaves_nothing(
    cluster: Cluster, pods: Pods, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    leaving = cluster.node(min(watch.holders("192.0.2.101")))
    others = {node.name for node in cluster.nodes} - {leaving.name}
    container = pods.on[leaving.name]
    took = container.end(signal.SIGTERM)
    assert container.exit_code == 0
    assert [address for address, _ in leaving.host.addresses() if address in VIPS] == []
    assert leaving.rules() == []
    watch.wait_for_one_holder(among=others)
    assert watch.longest_overlap() < HANDOVER
    assert pods.states(leaving)[-1].split()[-2] == "STOP"
    container.start()
    container.wait_for_log("iptables chain INPUT accepts VRRP from now on", times=2)
    with capsys.disabled():
        print(f"\n  SIGTERM to gone: {took * 1000:.0f} ms")
    # The promise of the image, not of this machine: a stop takes 30 to 100 ms on an idle one.
    assert took < 1.0


def test_a_change_of_the_deployment_with_strategy_recreate_costs_one_start(
    cluster: Cluster, pods: Pods, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in cluster.nodes:
        start_responder(node.host)
    probe = Probe(cluster.client, "192.0.2.101", interval=0.01)
    probe.wait_for_answer()
    before = time.monotonic()
    pods.recreate()
    recreated = time.monotonic()
    probe.wait_for_answer(by=None)
    wait_until(lambda: probe.gaps and probe.gaps[-1].end_ns is not None, timeout=30, what="the address to answer again")
    watch.wait_for_one_holder()
    longest = max(gap.milliseconds for gap in probe.stop().gaps)
    with capsys.disabled():
        print(
            f"\n  Recreate: 192.0.2.101 was away for {longest / 1000:.1f} s"
            f" (stopping and making the three pods took {recreated - before:.1f} s of it)"
        )
    assert watch.longest_overlap() < HANDOVER
    assert {vip: cluster.ask(vip) for vip in VIPS} == watch.wait_for_one_holder()
