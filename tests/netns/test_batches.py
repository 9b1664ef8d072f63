"""Batches on a real kernel: what was laid out ahead of its time leaves as what was not, and refusals are minded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from tests.config.reading import read
from tests.netns.daemons import instance
from vrrpd.lab import Bridge, Capture, Host, wait_until
from vrrpd.net.dataplane import ADDRESSES_PER_PART, LinuxDataplane
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.net.netlink import InterfaceMonitor
from vrrpd.net.port import RouterPort
from vrrpd.protocol.datagram import IPAddress

pytestmark = pytest.mark.netns

GROUP = IPv4Address("224.0.0.18")
ADVERTISEMENT = b"\x31" + bytes(7)
MANY = [f"198.51.100.{number}" for number in range(1, 2 * ADDRESSES_PER_PART + 2)]


@dataclass
class Bench:
    """A dataplane with one router, and what is heard of it."""

    dataplane: LinuxDataplane
    port: RouterPort
    refused: list[IPAddress]
    capture: Capture

    def take_over(self) -> None:
        """Asks for all that a takeover asks for."""
        self.port.send(ADVERTISEMENT, GROUP)
        self.port.install(None)
        self.port.announce(1, None)

    def heard(self, last: str) -> list[str]:
        """What was sent, in order, as far as the announcement of an address: advertisements and announcements."""
        wait_until(lambda: self.capture.announcements(last), what=f"the announcement of {last}")
        frames = [(frame.time_ns, "advertisement") for frame, _ in self.capture.advertisements()]
        for address in MANY:
            frames += [(frame.time_ns, address) for frame, _ in self.capture.announcements(address)]
        return [what for _, what in sorted(frames)]


@pytest.fixture
def bench(lan: Bridge, r1: Host) -> Iterator[Bench]:
    config = read(instance(addresses=MANY)).routers[0]
    refused: list[IPAddress] = []
    with r1.inside():
        monitor, table = InterfaceMonitor(), InterfaceTable()
        monitor.watch(None)
        table.replace(*monitor.snapshot())
        dataplane = LinuxDataplane(table, time.monotonic)
        port = dataplane.port(config, lambda address, _: refused.append(address))
        port.bind()
        assert port.use_source(IPv4Address("192.0.2.1")) is None
    yield Bench(dataplane, port, refused, lan.capture())
    port.close()
    dataplane.close()
    monitor.close()


def held(r1: Host) -> set[str]:
    return {address for address, _ in r1.addresses("eth0")} & set(MANY)


def test_what_was_laid_out_leaves_when_it_is_handed_over_and_not_before(bench: Bench, r1: Host) -> None:
    bench.take_over()
    batch = bench.dataplane.collect()
    bench.dataplane.lay_out(batch)
    bench.dataplane.flush()
    assert (held(r1), bench.capture.advertisements()) == (set(), [])
    bench.dataplane.hand_over(batch)
    assert held(r1) == set(MANY)
    assert bench.heard(MANY[-1]) == ["advertisement", *MANY]
    assert bench.refused == []


def test_a_batch_that_is_resumed_leaves_with_what_was_added(bench: Bench, r1: Host) -> None:
    bench.port.send(ADVERTISEMENT, GROUP)
    batch = bench.dataplane.collect()
    bench.dataplane.lay_out(batch)
    bench.dataplane.resume(batch)
    bench.take_over()
    bench.dataplane.flush()
    assert held(r1) == set(MANY)
    assert bench.heard(MANY[-1]) == ["advertisement", "advertisement", *MANY]


def test_of_a_takeover_that_is_taken_back_nothing_leaves_and_the_next_one_is_whole(bench: Bench, r1: Host) -> None:
    bench.take_over()
    bench.port.announce(2, None)
    batch = bench.dataplane.collect()
    bench.dataplane.lay_out(batch)
    bench.port.withdraw()
    bench.dataplane.collect()
    bench.dataplane.finish()
    assert (bench.port.installed, bench.dataplane.installed, bench.dataplane.repeats) == (set(), set(), 0)
    assert (held(r1), bench.capture.advertisements()) == (set(), [])
    bench.take_over()
    bench.dataplane.flush()
    assert held(r1) == set(MANY)
    assert bench.heard(MANY[-1]) == ["advertisement", *MANY]
    assert bench.refused == []


@pytest.mark.parametrize("place", [0, ADDRESSES_PER_PART - 1, ADDRESSES_PER_PART, len(MANY) - 2])
def test_an_address_that_is_refused_is_told_and_never_announced(bench: Bench, r1: Host, place: int) -> None:
    """The kernel refuses the address of an interface that there is none of."""
    prepared = bench.port.prepared(IPv4Address(MANY[place]))
    assert prepared is not None
    bench.port.install(None)
    bench.port.announce(2, None)
    batch = bench.dataplane.collect()
    message = bytearray(batch.messages[place])
    message[20:24] = (9999).to_bytes(4, "little")  # the interface's number: ifa_index, behind the header's 16 bytes
    batch.messages[place] = bytes(message)
    bench.dataplane.lay_out(batch)
    bench.dataplane.hand_over(batch)
    bench.dataplane.send_repeats(len(MANY))
    others = [address for address in MANY if address != MANY[place]]
    assert held(r1) == set(others)
    wait_until(lambda: len(bench.capture.announcements(MANY[-1])) == 2, what="the last repeated announcement")
    assert bench.heard(MANY[-1]) == others + others
    assert [str(address) for address in bench.refused] == [MANY[place]]
