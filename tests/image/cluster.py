"""A small cluster: three nodes with a service, a client, and pods of the image with the manual's environment."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.image import listener
from tests.image.container import Container
from tests.image.watch import Watch
from vrrpd.lab import Host, Lab
from vrrpd.lab.process import Process

SERVICE_PORT: Final = 8080
VIPS: Final = tuple(f"192.0.2.{last}" for last in range(101, 107))
MANUAL: Final = {
    "OPENSHIFT_HA_CONFIG_NAME": "ipfailover",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-106",
    "OPENSHIFT_HA_VIP_GROUPS": "3",
    "OPENSHIFT_HA_NETWORK_INTERFACE": "eth0",
    "OPENSHIFT_HA_MONITOR_PORT": str(SERVICE_PORT),
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "0",
    "OPENSHIFT_HA_REPLICA_COUNT": "3",
    "OPENSHIFT_HA_USE_UNICAST": "false",
    "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "/etc/keepalive/mynotifyscript.sh",
    "OPENSHIFT_HA_CHECK_SCRIPT": "",
    "OPENSHIFT_HA_PREEMPTION": "preempt_delay 300",
    "OPENSHIFT_HA_CHECK_INTERVAL": "2",
}
"""The Deployment of the manual, with addresses that are for documentation."""

NOTIFY_SCRIPT: Final = '#!/bin/bash\necho "$*" >>/var/notify/states\n'


class ConfigMap:
    """A directory as the kubelet makes it: files are links into ``..data``, which is a link that is replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self._version = 0
        directory.mkdir()

    def publish(self, scripts: Mapping[str, str]) -> None:
        """Puts these scripts in place of the earlier ones, all at once."""
        self._version += 1
        version = f"..2026_{self._version}"
        (self.directory / version).mkdir()
        for name, text in scripts.items():
            script = self.directory / version / name
            script.write_text(text)
            script.chmod(0o755)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        (self.directory / "..data_tmp").symlink_to(version)
        (self.directory / "..data_tmp").rename(self.directory / "..data")


class Node:
    """A host with a service on SERVICE_PORT and directories for its pods."""

    def __init__(self, host: Host, public_name: str, directory: Path) -> None:
        self.host: Final = host
        self.network: Final = f"ns:/run/netns/{public_name}"
        self.directory: Final = directory
        directory.mkdir()
        self.service: Process = self.start_service()

    @property
    def name(self) -> str:
        return self.host.name

    def start_service(self) -> Process:
        """Starts the service, which has to be ended before, and waits until it listens."""
        self.service = self.host.start(
            [sys.executable, "-I", "-S", listener.__file__, str(SERVICE_PORT), self.name], name="service"
        )
        self.service.wait_for_log("ready", timeout=20)
        return self.service

    def rules(self, tool: str = "iptables") -> list[str]:
        """The marks of the rules in INPUT."""
        listed = self.host.run([tool, "-S", "INPUT"]).stdout
        return [line.split('"')[1] for line in listed.splitlines() if '"' in line]


class Pods:
    """The pods of one configuration, one on each node, as its Deployment makes them."""

    def __init__(self, nodes: Iterable[Node], image: str, environment: Mapping[str, str]) -> None:
        self.environment: Final = dict(environment)
        self.name: Final = self.environment["OPENSHIFT_HA_CONFIG_NAME"]
        self.image: Final = image
        self.scripts: Final[dict[str, ConfigMap]] = {}
        self.on: Final[dict[str, Container]] = {}
        self._nodes: Final = {node.name: node for node in nodes}
        for node in self._nodes.values():
            place = node.directory / self.name
            place.mkdir()
            for name in ("notify", "host", "sysconfig"):
                (place / name).mkdir()
            scripts = ConfigMap(place / "scripts")
            scripts.publish({"mynotifyscript.sh": NOTIFY_SCRIPT})
            self.scripts[node.name] = scripts
            self.on[node.name] = self.pod(node)

    def pod(self, node: Node) -> Container:
        """A new pod for a node, with the manual's mounts; it is not started yet."""
        place = node.directory / self.name
        mounts = {
            place / "scripts": "/etc/keepalive:ro",
            place / "host": "/host:ro",
            place / "sysconfig": "/etc/sysconfig:ro",
            place / "notify": "/var/notify",
        }
        return Container(node.host, node.network, self.image, self.environment, mounts)

    def states(self, node: Node) -> list[str]:
        """What the notify script of a node has been told, line by line."""
        file = node.directory / self.name / "notify" / "states"
        return file.read_text().splitlines() if file.exists() else []

    def create(self) -> None:
        """Makes and starts all pods at the same time."""
        at_once(container.run for container in self.on.values())

    def recreate(self) -> None:
        """What strategy Recreate does: all pods are stopped, and when all are gone new ones are made."""
        at_once(container.stop for container in self.on.values())
        self.remove()
        for node in self._nodes.values():
            self.on[node.name] = self.pod(node)
        self.create()

    def remove(self) -> None:
        """Kills and forgets all pods."""
        at_once(container.remove for container in self.on.values())


class Cluster:
    """Three nodes and a client on one LAN."""

    def __init__(self, directory: Path) -> None:
        self._ends: Final = ExitStack()
        self.lab: Final = self._ends.enter_context(Lab())
        self.lan: Final = self.lab.bridge("lan")
        self.nodes: Final[list[Node]] = []
        try:
            for number in (1, 2, 3):
                public_name = f"vrrpd-{os.getpid()}-{directory.name[:16]}-n{number}"
                host = self.lab.host(f"n{number}", public_name=public_name)
                host.connect(self.lan, "eth0", f"192.0.2.{number}/24")
                self.nodes.append(Node(host, public_name, directory / host.name))
            self.client: Final = self.lab.host("client")
            self.client.connect(self.lan, "eth0", "192.0.2.9/24")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Removes everything."""
        self._ends.close()

    def pods(self, image: str, environment: Mapping[str, str]) -> Pods:
        """Pods on all nodes, not started yet, gone at the latest with the cluster."""
        pods = Pods(self.nodes, image, environment)
        self._ends.callback(pods.remove)
        return pods

    def watch(self, addresses: Iterable[str] = VIPS) -> Watch:
        """Begins to look who has which address."""
        return Watch([node.host for node in self.nodes], tuple(addresses))

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def ask(self, address: str) -> str:
        """Connects from the client to the service at an address; returns the name of the node that answers."""

        def connect() -> str:
            with socket.create_connection((address, SERVICE_PORT), timeout=5) as connection:
                return connection.recv(64).decode()

        return self.client.call(connect)


def at_once(works: Iterable[Callable[[], object]]) -> None:
    """Does all of these at the same time and raises what went wrong first."""
    with ThreadPoolExecutor(8, "pods") as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
