"""What is in the image and what is not, and that it does its work for whoever is allowed to run it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.cluster import MANUAL, Cluster
from tests.image.container import Container, podman
from vrrpd.lab import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(240)]

ALONE = {
    **MANUAL,
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101,2001:db8::101",
    "OPENSHIFT_HA_VIP_GROUPS": "",
    "OPENSHIFT_HA_MONITOR_PORT": "0",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "",
}


def inside(image: str, script: str, *options: str) -> str:
    """Runs a shell script in a container of the image without network and returns its output."""
    return podman("run", "--rm", "--network", "none", "--entrypoint", "bash", *options, image, "-c", script)


@pytest.fixture
def container(request: pytest.FixtureRequest, cluster: Cluster, image: str) -> Iterator[Container]:
    """A pod on n1 as the test's parameters want it, not started yet."""
    node = cluster.node("n1")
    container = Container(node.host, node.network, image, **{"environment": ALONE, **request.param})
    yield container
    container.remove()


def test_there_is_neither_a_compiler_nor_pip_and_every_tool_that_scripts_use(image: str) -> None:
    absent = "gcc cc make pip pip3 git"
    present = (
        "bash ls grep sed awk gawk ip ss ncat ps pgrep pkill killall nft ipset iptables ip6tables curl netstat "
        "ifconfig route modprobe lsmod python3 vrrpd keepalived"
    )
    script = (
        f"for tool in {absent}; do command -v $tool; done; "
        f"for tool in {present}; do command -v $tool >/dev/null || echo no $tool; done"
    )
    assert inside(image, script) == ""


def test_everything_is_compiled_because_a_read_only_root_keeps_python_from_doing_it(image: str) -> None:
    found = inside(
        image,
        "cd /usr/local/lib/python3.13/dist-packages && python3 -c 'import asyncio, ctypes, json, logging, pyroute2' && "
        "find . -name '*.py' | while read file; do "
        "compiled=$(dirname $file)/__pycache__/$(basename $file .py).cpython-313.pyc; "
        "[ -e $compiled ] || echo $file is not compiled; done",
    )
    assert found == ""


def test_both_names_of_the_mounted_node_lead_to_it(image: str) -> None:
    assert inside(image, "readlink -f /hosts; cd /host && cd /etc/keepalive && cd /etc/sysconfig") == "/host\n"


def test_an_arbitrary_user_of_openshift_may_write_the_configurations_copy(image: str) -> None:
    assert inside(image, "touch /etc/keepalived/keepalived.conf && id -u", "--user", "1000650000:0") == "1000650000\n"


def test_the_labels_tell_openshift_what_it_is(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    (facts,) = json.loads(podman("image", "inspect", image))
    labels = facts["Labels"]
    expected = {"name", "version", "summary", "description", "io.k8s.display-name", "io.k8s.description"}
    assert expected | {"io.openshift.tags"} <= labels.keys()
    assert all(labels.values())
    assert labels["version"] == "0.1.0"
    # In exec form: a shell in between would be process 1 and would have the wrong name.
    assert facts["Config"]["Entrypoint"] == ["/usr/local/bin/keepalived"]
    assert facts["Config"]["Cmd"] == ["run"]
    with capsys.disabled():
        print(f"\n  the image has {facts['Size'] / 1e6:.0f} MB")
    assert facts["Size"] < 200e6


def test_the_configuration_can_be_looked_at_without_any_capability(image: str) -> None:
    options = [f"--env={name}={value}" for name, value in ALONE.items()]
    text = inside(image, "vrrpd config --from-env", "--cap-drop", "ALL", "--read-only", *options)
    assert "vrrp_instance ipfailover_VIP_2 {" in text
    assert "firewall iptables INPUT ipfailover" in text


@pytest.mark.parametrize("container", [{"read_only": False}], indirect=True)
def test_the_copy_of_the_configuration_lies_where_the_manual_says(container: Container) -> None:
    container.run()
    container.wait_for_log("runs 2 virtual routers")
    copy = container.execute("cat", "/etc/keepalived/keepalived.conf")
    assert "vrrp_instance ipfailover_VIP_1 {" in copy
    container.execute("vrrpd", "config", "-f", "/etc/keepalived/keepalived.conf")


@pytest.mark.parametrize("container", [{"capabilities": ("NET_ADMIN",)}], indirect=True)
def test_a_capability_that_is_missing_is_named(container: Container) -> None:
    container.run()
    log = container.wait_for_log("this process lacks CAP_NET_RAW")
    wait_until(lambda: container.pid == 0, timeout=20, what="the container to have ended")
    assert container.exit_code == 3
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "container", [{"environment": {**ALONE, "OPENSHIFT_HA_NFTABLES_RULE": "INPUT"}}], indirect=True
)
def test_with_the_nftables_variable_the_rule_goes_into_a_table_of_its_own(
    cluster: Cluster, container: Container
) -> None:
    host = cluster.node("n1").host
    container.run()
    container.wait_for_log("nftables table inet vrrpd_ipfailover accepts VRRP from now on")
    assert (
        "meta l4proto 112 accept" in host.run(["nft", "--numeric", "list", "table", "inet", "vrrpd_ipfailover"]).stdout
    )
    assert cluster.node("n1").rules() == []
    container.stop()
    assert "vrrpd" not in host.run(["nft", "list", "tables"]).stdout


@pytest.mark.parametrize("container", [{}], indirect=True)
def test_ipv6_addresses_have_the_rule_put_into_both_chains(cluster: Cluster, container: Container) -> None:
    node = cluster.node("n1")
    container.run()
    container.wait_for_log("accepts VRRP from now on", times=2)
    assert (node.rules(), node.rules("ip6tables")) == (["vrrpd:ipfailover"], ["vrrpd:ipfailover"])
    container.wait_for_log("Entering MASTER STATE", times=2)
    assert node.host.has_address("192.0.2.101")
    assert node.host.has_address("2001:db8::101")
    container.stop()
    assert (node.rules(), node.rules("ip6tables")) == ([], [])
    assert not node.host.has_address("2001:db8::101")


@pytest.mark.parametrize("container", [{}], indirect=True)
def test_a_pod_that_is_stopped_while_it_starts_ends_in_good_order(cluster: Cluster, container: Container) -> None:
    # It follows one that was killed: what that one left behind is not this one's first worry, but it goes.
    node = cluster.node("n1")
    before = node.host.addresses()
    container.run()
    wait_until(lambda: node.host.has_address("192.0.2.101") and len(node.rules()) == 1, timeout=20, what="it to serve")
    container.end(signal.SIGKILL)
    container.start()
    process = container.pid

    def holds_it_back() -> bool:
        (held,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if "SigBlk" in line)
        return bool(int(held.split()[1], 16) & 1 << (signal.SIGTERM - 1))

    # Process 1 loses a signal that it has not asked for; this one says so first, and reads its modules then.
    wait_until(holds_it_back, timeout=20, what="process 1 to hold SIGTERM back")
    container.end(signal.SIGTERM)
    assert container.exit_code == 0
    assert node.host.addresses() == before
    assert (node.rules(), node.rules("ip6tables")) == ([], [])


@pytest.mark.parametrize("container", [{"environment": {**ALONE, "VRRPD_ADVERT_INTERVAL": "0.1"}}], indirect=True)
def test_a_kill_at_any_moment_leaves_after_a_restart_what_belongs_there(cluster: Cluster, container: Container) -> None:
    node = cluster.node("n1")
    before = sorted(node.host.addresses())
    vips = [("192.0.2.101", 32), ("2001:db8::101", 128)]
    container.run()
    container.end(signal.SIGKILL)  # while it reads its modules
    container.start()
    container.wait_for_log("runs 2 virtual routers")
    container.end(signal.SIGKILL)  # while it makes its rules
    container.start()
    wait_until(lambda: node.host.has_address("192.0.2.101"), timeout=20, what="the first address")
    container.end(signal.SIGKILL)  # while it takes over
    container.start()
    wait_until(lambda: len(node.rules()) == 1 and node.host.has_address("2001:db8::101"), timeout=20, what="all of it")
    container.end(signal.SIGTERM, signal.SIGKILL)  # while it stops
    container.start()
    container.wait_for_log("ip6tables chain INPUT accepts VRRP already")
    wait_until(lambda: sorted(node.host.addresses()) == sorted(before + vips), timeout=20, what="both addresses, once")
    assert (node.rules(), node.rules("ip6tables")) == (["vrrpd:ipfailover"], ["vrrpd:ipfailover"])
    container.stop()
    assert sorted(node.host.addresses()) == before
    assert (node.rules(), node.rules("ip6tables")) == ([], [])
