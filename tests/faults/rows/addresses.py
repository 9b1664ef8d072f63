"""Addresses that go, come, change or are used by somebody who must not."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from tests.faults.registry import Role, row
from tests.faults.rows.wires import FAULT_BACKUP, FAULT_MASTER, out_and_back
from tests.faults.stage import VIP, Stage
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


@row(
    "vip-stolen",
    "VIP stolen",
    done="MASTER: another host has the VIP, announces it and answers ARP for it. BACKUP: an administrator puts the VIP "
    "on the BACKUP by hand, and it is announced from there. `garp_master_refresh` is 1 s.",
    master="It stays MASTER and wins the client back with its next announcement, while the thief is still there.",
    backup="The MASTER wins the client back. The BACKUP stays BACKUP; when it has to stand in it takes the address as "
    "it finds it, and leaves it alone afterwards: it is not its own.",
    settings=("garp_master_delay 1", "garp_master_refresh 1"),
)
def vip_stolen(stage: Stage) -> None:
    thief = stage.stranger if stage.role is Role.MASTER else stage.r2.host
    thief.add_address("eth0", f"{VIP}/32")
    announce(thief)
    neighbours = [stage.r2] if stage.role is Role.BACKUP else []
    stage.expect_master(stage.r1, "with a thief on the LAN", besides=neighbours)
    stage.hold(stage.down_interval, besides=neighbours)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)
    if stage.role is Role.BACKUP:
        stage.r1.stop()
        stage.expect_master(stage.r2, "standing in")
        stage.r1.start()
        stage.expect_master(stage.r1, "started again", besides=neighbours)
        stage.expect_states(stage.r2, "MASTER", "BACKUP")
        stage.must(stage.r2.holds_vip(), "r2 leaves alone what an administrator has put there")
    stage.must(thief.has_address(VIP), "nobody has touched the thief's address")
    if thief.has_address(VIP):
        thief.remove_address("eth0", f"{VIP}/32")
