"""More than there should be: netlink events, junk, ARP, other programs that want the processors."""

from __future__ import annotations

import os
import re
import signal
import sys
from ipaddress import IPv4Address
from pathlib import Path

from tests.faults.registry import Role, row
from tests.faults.rows.wires import back_in_service, out_of_service
from tests.faults.stage import VIP, Node, Stage, tool
from vrrpd.config.model import VirtualAddress
from vrrpd.lab import Host
from vrrpd.net.netlink import AddressWriter, encode_install, encode_withdraw

STORM_SECONDS = 3
RATE = 10_000
SLOWEST = 0.8 * RATE
"""On a machine that reaches no more the row says nothing."""
SENT = re.compile(r"sent (\d+) in ([\d.]+) s")
BUSY_SECONDS = 2.0


def change_addresses(host: Host, rounds: int) -> None:
    """Add and remove an address that many times, as fast as the kernel goes."""

    def work() -> None:
        import socket

        index = socket.if_nametoindex("eth0")
        address = VirtualAddress(IPv4Address("198.51.100.1"), 32, "eth0")
        batch = [encode_install(address, index), encode_withdraw(address, index)] * 64
        writer = AddressWriter()
        for _ in range(rounds // 64):
            writer.submit(batch)
        writer.close()

    host.call(work)


@row(
    "netlink",
    "Netlink socket overrun",
    done="32,000 changes of addresses on its interface while it is stopped for a moment: more than its netlink socket "
    "holds. On the MASTER the VIP is removed among them.",
    master="It notices that events are lost, reads everything again, puts the VIP back, and no state changes.",
    backup="It notices, reads everything again, stays BACKUP, and still sees the loss of its carrier.",
    interval=0.6,
    alone=True,
)
def netlink(stage: Stage) -> None:
    victim = stage.victim
    victim.signal(signal.SIGSTOP)
    change_addresses(victim.host, 16_000)
    if stage.role is Role.MASTER:
        victim.host.remove_address("eth0", f"{VIP}/32")
    change_addresses(victim.host, 64)
    victim.signal(signal.SIGCONT)
    if stage.is_vrrpd:
        stage.expect(lambda: "netlink events were lost" in victim.log(), "the lost events are noticed")
    stage.expect_master(stage.r1, "after the overrun")
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    if stage.role is Role.BACKUP:
        stage.lan.unplug(victim.host)
        out_of_service(stage)
        stage.lan.plug(victim.host)
        back_in_service(stage)


def storm(stage: Stage, kind: str) -> int:
    """Let a stranger send for some seconds, and see that nobody changes his state for it; how many were sent."""
    # The stranger is there before it begins: a new port on the bridge is not what is looked at.
    process = stage.stranger.start(tool("storm", kind, "eth0", str(RATE * STORM_SECONDS), str(RATE)), name="storm")
    while process.running:
        stage.hold(0.3)
        if stage.unmet:
            process.close()  # it has done its harm
            return 0
    said = SENT.search(process.log_text())
    rate = int(said[1]) / float(said[2]) if said else 0.0
    stage.must(rate >= SLOWEST, f"{RATE:,} packets a second were sent (reached: {rate:,.0f}; {process.log_tail()})")
    stage.hold(stage.down_interval)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    return int(said[1]) if said else 0


def counted(node: Node) -> int:
    """The packets that vrrpd has thrown away, whatever the reason."""
    status = node.status()
    return sum(sum(place["discarded"].values()) for place in (*status["routers"], *status["links"]))


def dropped(node: Node) -> int:
    """The packets that found no room in a raw socket, as the kernel counts them (the last column of the table)."""
    table = node.host.call(Path("/proc/thread-self/net/raw").read_text)
    return sum(int(line.split()[-1]) for line in table.splitlines()[1:])


def lost_before() -> int:
    """The packets that a processor of this machine threw away before any socket saw them (the second column)."""
    table = Path("/proc/net/softnet_stat").read_text(encoding="ascii")
    return sum(int(line.split()[1], 16) for line in table.splitlines())


@row(
    "junk",
    "10,000 junk VRRP packets a second",
    done="Packets for the router's own id that nobody may take: wrong checksum, TTL 64, cut off, version 2 and 4, of "
    "no interval, noise, from twenty senders, to both routers at once, for three seconds.",
    master="No state changes and the log stays short. Each packet is counted by the daemon on both, but for those that "
    "its socket had no room for: the kernel counts them.",
    backup="The same: it does not miss the MASTER's advertisements among them.",
    alone=True,
)
def junk(stage: Stage) -> None:
    lines = len(stage.victim.log().splitlines())
    # Nobody else tells how much he has thrown away.
    before = {node: counted(node) + dropped(node) for node in stage.nodes} if stage.is_vrrpd else {}
    lost = lost_before()
    sent = storm(stage, "junk")
    lost = lost_before() - lost
    for node, count in before.items() if sent else ():
        seen = counted(node) + dropped(node) - count
        stage.must(sent - lost <= seen <= sent, f"every packet is counted on {node.name} (seen: {seen:,} of {sent:,})")
    grown = len(stage.victim.log().splitlines()) - lines
    stage.must(grown < 500, f"the log of {stage.victim.name} stays short (seen: {grown} more lines)")


@row(
    "arp",
    "ARP storm",
    done="10,000 broadcast requests a second, a third of them for the VIP, from sixty senders, for three seconds.",
    master="No state changes.",
    backup="No state changes.",
    alone=True,
)
def arp(stage: Stage) -> None:
    storm(stage, "arp")


@row(
    "busy",
    "Both cores busy",
    done="An endless loop for each core, at the daemon's own priority; after two seconds the carrier is lost as well.",
    master="No false failover; then the takeover as always.",
    backup="No false failover; then FAULT and BACKUP as always.",
    alone=True,
)
def busy(stage: Stage) -> None:
    loops = [
        stage.client.start([sys.executable, "-I", "-S", "-c", "while True: pass"], name="busy")
        for _ in os.sched_getaffinity(0)
    ]
    try:
        stage.hold(BUSY_SECONDS)
        stage.expect_states(stage.r1)
        stage.expect_states(stage.r2)
        stage.lan.unplug(stage.victim.host)
        out_of_service(stage)
        stage.lan.plug(stage.victim.host)
        back_in_service(stage)
    finally:
        for loop in loops:
            loop.close()
