"""Addresses that go, come, change or are used by somebody who must not."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address

from tests.faults.registry import Role, row
from tests.faults.rows.wires import FAULT_BACKUP, FAULT_MASTER, out_and_back
from tests.faults.stage import VIP, Node, Stage
from vrrpd.lab import Host

OTHER_ADDRESSES = {"r1": "192.0.2.5", "r2": "192.0.2.6"}


@row(
    "address-removed",
    "The node's own address removed",
    done="`ip addr del` of the only address it can advertise from; later it is put back.",
    master=FAULT_MASTER,
    backup=FAULT_BACKUP,
)
def address_removed(stage: Stage) -> None:
    host, own = stage.victim.host, f"{stage.victim.address}/24"
    out_and_back(stage, lambda: host.remove_address("eth0", own), lambda: host.add_address("eth0", own))


@row(
    "address-changed",
    "The node's own address changed",
    done="It gets a second address and the first is removed; later the other way round.",
    master="It goes on as MASTER and advertises from the new address; nobody takes over.",
    backup="It goes on as BACKUP.",
)
def address_changed(stage: Stage) -> None:
    victim = stage.victim
    host, old, new = victim.host, victim.address, OTHER_ADDRESSES[victim.name]
    host.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    for before, after in ((old, new), (new, old)):
        host.add_address("eth0", f"{after}/24")
        host.remove_address("eth0", f"{before}/24")
        if stage.role is Role.MASTER:
            stage.expect(
                lambda after=after: stage.ear.heard()[-1].source == after,  # type: ignore[misc]
                f"r1 advertises from {after}",
            )
        stage.hold(stage.down_interval)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)


@row(
    "vip-removed",
    "VIP removed by somebody else",
    done="`ip addr del` of the VIP behind the daemon's back; for the BACKUP while it stands in for the MASTER.",
    master="The VIP is put back and announced at once; no state changes.",
    backup="The same.",
)
def vip_removed(stage: Stage) -> None:
    holder = stage.r1
    if stage.role is Role.BACKUP:
        stage.r1.stop()
        stage.expect_master(stage.r2, "standing in")
        stage.mark()
        holder = stage.r2
    holder.host.remove_address("eth0", f"{VIP}/32")
    stage.expect(holder.holds_vip, f"the VIP is back on {holder.name}")
    stage.expect_master(holder, "with the VIP put back")
    stage.expect_states(holder)
    if stage.role is Role.BACKUP:
        stage.r1.start()
        stage.expect_master(stage.r1, "started again")
        stage.expect_states(stage.r2, "BACKUP")


def announce(host: Host) -> None:
    """Say on the LAN that a host has the VIP: a gratuitous ARP (RFC 5227 section 3)."""
    mac = bytes.fromhex(host.mac().replace(":", ""))
    packed = IPv4Address(VIP).packed
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed + bytes(6) + packed
    host.send_frame(b"\xff" * 6 + mac + b"\x08\x06" + body + bytes(18))


def steal(stage: Stage, holder: Node, thief: Host, when: str, besides: Iterable[Node] = ()) -> None:
    """Let a host take the VIP for itself and say so: the holder stays MASTER, wins it back and names him."""
    thief.add_address("eth0", f"{VIP}/32")
    announce(thief)
    stage.expect_master(holder, when, besides)
    stage.hold(stage.down_interval, holder, besides)
    if stage.is_vrrpd:
        stage.expect(lambda: names(holder, thief.mac()), f"the status of {holder.name} names the thief {when}")


def names(node: Node, mac: str) -> bool:
    """Whether vrrpd knows that somebody else answers for the VIP, and who."""
    (router,) = node.status()["routers"]
    found = [(conflict["kind"], conflict["with"], conflict["address"]) for conflict in router["conflicts"]]
    return ("address_in_use", mac, VIP) in found


def give_up(stage: Stage, thief: Host, what: str) -> None:
    """Take the VIP from a host that nobody else was to take it from."""
    there = thief.has_address(VIP)
    stage.must(there, what)
    if there:
        thief.remove_address("eth0", f"{VIP}/32")


@row(
    "vip-stolen",
    "VIP stolen",
    done="Another host has the VIP, announces it and answers ARP for it; for the BACKUP while it stands in for the "
    "MASTER. Before that, an administrator puts the VIP on the BACKUP by hand, and it is announced from there. "
    "`garp_master_refresh` is 1 s.",
    master="It stays MASTER and wins the client back with its next announcement, while the thief is still there; "
    "`vrrpd status` names the thief.",
    backup="The same while it stands in. With the VIP put there by hand it stays BACKUP, and the MASTER wins the "
    "client back; when it has to stand in it takes the address as it finds it, and leaves it alone afterwards: it is "
    "not its own.",
    settings=("garp_master_delay 1", "garp_master_refresh 1"),
)
def vip_stolen(stage: Stage) -> None:
    holder = stage.r1
    if stage.role is Role.BACKUP:
        put_there_by_hand(stage)
        stage.r1.stop()
        stage.expect_master(stage.r2, "standing in")
        stage.mark()
        holder = stage.r2
    steal(stage, holder, stage.stranger, "with a thief on the LAN")
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    give_up(stage, stage.stranger, "nobody has touched the thief's address")
    if stage.role is Role.BACKUP:
        stage.r1.start()
        stage.expect_master(stage.r1, "started again")
        stage.expect_states(stage.r2, "BACKUP")


def put_there_by_hand(stage: Stage) -> None:
    """The VIP is on the BACKUP before it stands in, and stays there."""
    thief, neighbours = stage.r2.host, [stage.r2]
    steal(stage, stage.r1, thief, "with the VIP on the BACKUP", neighbours)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    stage.r1.stop()
    stage.expect_master(stage.r2, "standing in with the VIP put there by hand")
    stage.r1.start()
    stage.expect_master(stage.r1, "started again", besides=neighbours)
    stage.expect_states(stage.r2, "MASTER", "BACKUP")
    give_up(stage, thief, "r2 leaves alone what an administrator has put there")
    stage.expect_master(stage.r1, "with the administrator's address gone")
