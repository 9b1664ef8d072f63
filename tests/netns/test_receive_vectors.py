"""Receive vectors on the wire: a running daemon accepts and rejects each packet as RFC 9568 section 7.1 asks.

One daemon has a virtual router for every vector. All packets are sent several times a second for longer than the
master-down interval (3.609375 s): where they are accepted the router stays BACKUP, where not it becomes MASTER. Then
the rejected ones go on at twice the advertisement rate, and must not disturb the MASTERs that they could not prevent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns.daemons import Daemons, gaps, instance
from tests.protocol.vectors import VECTORS, Vector
from vrrpd.lab import Host, Lab
from vrrpd.protocol.timing import Version

pytestmark = pytest.mark.netns

RATE = 0.4
"""Seconds between two packets of one vector while routers listen as BACKUP."""
LISTENING = 4.4
"""Seconds for which they do: longer than the master-down interval."""
DISTURBING = 5.0
"""Seconds for which rejected packets are sent to MASTERs, each 0.5 s: twice the advertisement rate."""


@dataclass(frozen=True)
class Evidence:
    """What was seen while the vectors were sent."""

    routers: dict[int, dict[str, Any]]
    """The status of each router at the end of the first part, by vrid."""
    advertised: dict[int, list[float]]
    """When each MASTER advertised during the second part, by vrid."""
    states_afterwards: dict[int, str]
    log: str


def receiver(vector: Vector) -> str:
    """The router that hears a vector."""
    vrid = vector.vrid
    if vector.policy.group is not None and vector.policy.group.version == 6:
        addresses = [f"fe80::{vrid:x}:1", f"2001:db8:{vrid:x}::1"]
    else:
        addresses = [f"10.0.{vrid}.1"]
    more = []
    if vector.policy.password is not None:
        more += ["authentication {", "auth_type PASS", "auth_pass s3cret", "}"]
    text = instance(*more, name=vector.name, vrid=vrid, interval=1, addresses=addresses)
    return text.replace("version 3", "version 2") if vector.policy.version is Version.V2 else text


class Sender:
    """Sends packets out of a host's eth0, all through one socket."""

    def __init__(self, host: Host, to_mac: str) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind(("eth0", 0))
        self._source = mac(host.mac())
        self._unicast = mac(to_mac)

    def frame(self, packet: bytes) -> bytes:
        """The packet in an Ethernet frame: to its group's address, or to the router."""
        if packet[0] >> 4 == 6:
            return b"\x33\x33" + packet[36:40] + self._source + b"\x86\xdd" + packet
        group = packet[16:20] == bytes([224, 0, 0, 18])
        return (bytes.fromhex("01005e000012") if group else self._unicast) + self._source + b"\x08\x00" + packet

    def send(self, vectors: list[Vector], rate: float, seconds: float) -> None:
        """Sends every packet at that rate, in step, for so long."""
        frames = [self.frame(vector.packet) for vector in vectors]
        due = time.monotonic()
        end = due + seconds
        while due < end:
            for frame in frames:
                self._socket.send(frame)
            due += rate
            time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._socket.close()


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@pytest.fixture(scope="module")
def evidence(privileges: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with Lab() as lab:
        yield gather(lab, tmp_path_factory.mktemp("vectors"))


def gather(lab: Lab, directory: Path) -> Evidence:
    lan = lab.bridge("lan")
    router, sender = lab.host("router"), lab.host("sender")
    router.connect(lan, "eth0", "192.0.2.1/24")
    sender.connect(lan, "eth0", "192.0.2.9/24")
    daemons = Daemons(directory)
    daemon = daemons.start(router, "\n".join(map(receiver, VECTORS)))
    daemon.wait_for_state("BACKUP", VECTORS[-1].name)
    own = {"192.0.2.1", str(router.link_local())}
    source = Sender(sender, router.mac())
    source.send(list(VECTORS), RATE, LISTENING)
    routers = {router["vrid"]: router for router in daemon.status()["routers"]}

    rejected = [vector for vector in VECTORS if vector.reason is not None]
    capture = lan.capture()
    source.send(rejected, 0.5, DISTURBING)
    frames = [(frame, seen) for frame, seen in capture.advertisements() if str(seen.source) in own]
    advertised = {
        vector.vrid: [frame.time for frame, seen in frames if seen.vrid == vector.vrid] for vector in rejected
    }
    source.close()
    states = {router["vrid"]: router["state"] for router in daemon.status()["routers"]}
    assert daemon.process.stop() == 0
    daemons.check()
    return Evidence(routers, advertised, states, daemon.log)


def test_there_is_a_router_for_each_vector() -> None:
    assert len(VECTORS) == 61
    assert len({vector.vrid for vector in VECTORS}) == 61
    assert sum(vector.reason is None for vector in VECTORS) == 18


@pytest.mark.requirement(
    "RX-1", "RX-4", "RX-9", "RX-12", "RX-16", "RX-17", "V2-3", "V2-9", "RX-2", "RX-3", "RX-5", "RX-6", "RX-7", "RX-8",
    "RX-10", "RX-13", "RX-14", "V2-5", "V2-7", "V2-10", "FMT-16",
)  # fmt: skip
@pytest.mark.counter_case("FMT-6", "RX-18", "RX-19")
@pytest.mark.parametrize("vector", [v for v in VECTORS if v.reason is None], ids=lambda vector: vector.name)
def test_a_valid_advertisement_of_a_better_router_keeps_the_daemon_backup(vector: Vector, evidence: Evidence) -> None:
    router = evidence.routers[vector.vrid]
    assert router["state"] == "BACKUP"
    assert router["counters"]["advertisements_received"] >= 9
    assert router["counters"]["became_master"] == 0
    assert router["discarded"] == {}


@pytest.mark.requirement("RX-18", "RX-19")
@pytest.mark.counter_case(
    "RX-2", "RX-3", "RX-4", "RX-5", "RX-6", "RX-7", "RX-8", "RX-9", "RX-10", "RX-13", "RX-14", "V2-5", "V2-7", "V2-2",
    "V2-10", "FMT-8", "FMT-10", "FMT-16",
)  # fmt: skip
@pytest.mark.parametrize("vector", [v for v in VECTORS if v.reason is not None], ids=lambda vector: vector.name)
def test_a_packet_to_reject_is_counted_by_reason_and_moves_no_timer(vector: Vector, evidence: Evidence) -> None:
    assert vector.reason is not None
    router = evidence.routers[vector.vrid]
    assert router["state"] == "MASTER"
    assert router["counters"]["advertisements_received"] == 0
    assert list(router["discarded"]) == [vector.reason.value]
    assert router["discarded"][vector.reason.value] >= 9


@pytest.mark.requirement("RX-19", "K-STARVE")
@pytest.mark.parametrize("vector", [v for v in VECTORS if v.reason is not None], ids=lambda vector: vector.name)
def test_rejected_packets_at_twice_the_rate_do_not_disturb_a_master(vector: Vector, evidence: Evidence) -> None:
    """An advertisement each second: 4 to 6 in 5 s, none of them missing."""
    times = evidence.advertised[vector.vrid]
    assert evidence.states_afterwards[vector.vrid] == "MASTER"
    assert 4 <= len(times) <= 6
    assert max(gaps(times)) < 1.9


def test_rejected_packets_are_logged_once_for_each_source_and_reason(evidence: Evidence) -> None:
    for vector in VECTORS:
        if vector.reason is not None:
            assert evidence.log.count(f"({vector.name}) discarded advertisement from ") == 1
