"""What the parts of one advertisement's way cost, and the whole of it: ``make bench-micro`` (pytest-benchmark).

The white part of the benchmark: it imports the daemon. No figure is judged here; the correctness is the tests' affair.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Hashable, Iterator
from ipaddress import IPv4Address
from typing import Any, Final

import pytest

from tests.silence import Silence
from vrrpd.lab import Lab, LabUnavailable, ensure_privileges
from vrrpd.links import Link
from vrrpd.net.interfaces import Interface
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import Datagram
from vrrpd.protocol.events import AdvertisementReceived, SourceChanged, Startup
from vrrpd.protocol.packet import Advertisement, decode, encode
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.timing import Version
from vrrpd.runner import Runner, RunnerSettings

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is missing: pip install 'vrrpd[bench]'")

VRID: Final = 51
GROUP: Final = IPv4Address("224.0.0.18")
MASTER: Final = IPv4Address("198.18.0.1")
OURS: Final = IPv4Address("198.18.0.2")
VIP: Final = IPv4Address("198.18.1.1")
PARAMETERS: Final = RouterParameters(VRID, Version.V3, 100, 100, (VIP,))
ADVERTISEMENT: Final = Advertisement(Version.V3, VRID, 200, 100, (VIP,))
MESSAGE: Final = encode(ADVERTISEMENT, MASTER, GROUP)
TOGETHER: Final = 51
"""As many of 254 routers are due at the same moment (50 moments a second, 100 ms)."""
LONG: Final = Advertisement(Version.V3, VRID, 200, 100, tuple(IPv4Address(f"198.18.1.{n}") for n in range(1, 255)))

# pytest-benchmark has no type information.
Benchmark = Any


def backup() -> Runner:
    """A router in state BACKUP."""
    settings = RunnerSettings("VI_1", PARAMETERS, AdmissionPolicy(Version.V3, 100, GROUP), (GROUP,))
    runner = Runner(settings, Silence(), Silence(), time.monotonic)
    runner.deliver(SourceChanged(OURS))
    runner.deliver(Startup())
    assert runner.state is StateName.BACKUP
    return runner


@pytest.mark.parametrize("advertisement", [ADVERTISEMENT, LONG], ids=["1 address", "254 addresses"])
def test_encode(benchmark: Benchmark, advertisement: Advertisement) -> None:
    assert benchmark(encode, advertisement, MASTER, GROUP)


@pytest.mark.parametrize("advertisement", [ADVERTISEMENT, LONG], ids=["1 address", "254 addresses"])
def test_decode(benchmark: Benchmark, advertisement: Advertisement) -> None:
    datagram = Datagram(MASTER, GROUP, 255, encode(advertisement, MASTER, GROUP))
    assert benchmark(decode, datagram).advertisement == advertisement


@pytest.fixture
def loopback() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender that is connected to a receiver on this host, which needs no rights; what is too much is lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(receiver.getsockname())
            yield sender, receiver


@pytest.mark.parametrize("advertisement", [ADVERTISEMENT, LONG], ids=["1 address", "254 addresses"])
def test_lay_out_for_the_kernel(benchmark: Benchmark, advertisement: Advertisement) -> None:
    message = encode(advertisement, MASTER, GROUP)
    assert benchmark(OutgoingMessage, message, GROUP).destination == GROUP


@pytest.mark.parametrize("count", [1, TOGETHER])
def test_send_what_is_due_together(
    benchmark: Benchmark, loopback: tuple[socket.socket, socket.socket], count: int
) -> None:
    """As a takeover does: messages that are ready, brought together when it is time."""
    sender, receiver = loopback
    messages = [OutgoingMessage(MESSAGE)] * count
    assert benchmark(lambda: OutgoingBatch(messages).send(sender.fileno())) == []
    assert receiver.recv(len(MESSAGE) + 1) == MESSAGE


@pytest.mark.parametrize("count", [1, TOGETHER])
def test_send_a_volley(benchmark: Benchmark, loopback: tuple[socket.socket, socket.socket], count: int) -> None:
    """As a MASTER does to which nothing else happens: one array that was laid out once."""
    sender, receiver = loopback
    volley = OutgoingBatch([OutgoingMessage(MESSAGE)] * count)
    assert benchmark(volley.send, sender.fileno()) == []
    assert receiver.recv(len(MESSAGE) + 1) == MESSAGE


def test_handle(benchmark: Benchmark) -> None:
    router = VirtualRouter(PARAMETERS)
    router.handle(SourceChanged(OURS), 0.0)
    router.handle(Startup(), 0.0)
    event = AdvertisementReceived(MASTER, ADVERTISEMENT)
    assert benchmark(router.handle, event, 1.0) == []


def test_receive_the_long_way(benchmark: Benchmark) -> None:
    runner = backup()
    datagram = Datagram(MASTER, GROUP, 255, MESSAGE)
    benchmark(lambda: runner.receive(datagram, decode(datagram), frozenset()))
    assert runner.statistics.advertisements_received > 0


def test_receive_the_short_way(benchmark: Benchmark) -> None:
    runner = backup()
    datagram = Datagram(MASTER, GROUP, 255, MESSAGE)
    signature: Hashable = MESSAGE
    runner.receive(datagram, decode(datagram), frozenset(), signature)
    assert benchmark(runner.hear_again, signature, time.monotonic())


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, Link]]:
    """A master's socket on one host and the link of a backup on another."""
    try:
        ensure_privileges()
    except LabUnavailable as reason:
        pytest.skip(str(reason))
    with Lab() as lab:
        lan = lab.bridge("lan")
        r1, r2 = lab.host("r1"), lab.host("r2")
        r1.connect(lan, "eth0", f"{MASTER}/16")
        r2.connect(lan, "eth0", f"{OURS}/16")
        with r1.inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, MASTER.packed)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        link = Link("eth0", 4, log_unknown_vrids=False, log_discard=lambda *_: None)
        link.routers[VRID] = backup()
        link.groups[VRID] = GROUP
        mac = bytes.fromhex(r2.mac().replace(":", ""))
        with r2.inside():
            index = socket.if_nametoindex("eth0")
            link.follow(Interface(index, "eth0", mac, 1500, True, True, "UP", True, True, True, False))
        yield sender, link
        link.close()
        sender.close()


@pytest.mark.parametrize("way", ["long", "short"])
def test_one_advertisement_from_socket_to_timer(
    benchmark: Benchmark, wire: tuple[socket.socket, Link], way: str
) -> None:
    """From the master's send through two veths and a bridge to the backup's new deadline."""
    sender, link = wire
    runner = link.routers[VRID]

    def advertise() -> None:
        if way == "long":
            link.forget_familiar()
        sender.sendto(MESSAGE, (str(GROUP), 0))
        heard = runner.statistics.advertisements_received
        for _ in range(10_000):
            link.drain(frozenset(), lambda _: None)
            if runner.statistics.advertisements_received > heard:
                return
        raise AssertionError(f"the advertisement did not arrive: {link.discarded}, {runner.statistics.discarded}")

    benchmark(advertise)
