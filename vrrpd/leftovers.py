"""Addresses that a killed predecessor left behind: found without a journal, and taken off before the first election.

Only what is known to be a leftover goes: what carries our mark, or (in environment mode, where a killed pod of another
program may have been here) a configured address as /32 or /128 that the node does not have from somewhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from ipaddress import IPv4Address

from vrrpd.config.model import Configuration, VirtualRouterConfig
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import AddressRemoved, InterfaceAddress, InterfaceTable, lost_with
from vrrpd.net.netlink import encode_remove, encode_restore

_log = logging.getLogger("vrrpd")


def withdraw_leftovers(
    configuration: Configuration,
    table: InterfaceTable,
    dataplane: LinuxDataplane,
    resumed: Collection[VirtualRouterConfig] = (),
) -> None:
    """Takes off what is left of this configuration, and keeps what the kernel would delete along with it.

    What a predecessor has left on purpose to the routers ``resumed`` stays.
    """
    wanted = {
        (virtual.device, virtual.address)
        for router in configuration.routers
        if router not in resumed
        for virtual in router.all_addresses
    }
    for device in sorted({device for device, _ in wanted}):
        present = table.addresses(device)
        leftovers = [
            entry
            for entry in present
            if (device, entry.address) in wanted and _is_left_behind(entry, configuration.leftovers_are_ours)
        ]
        for entry in leftovers:
            _log.warning("withdrawing %s from %s: left behind by a predecessor", entry.address, device)
            dataplane.queue_message(encode_remove(entry), None)
            table.apply(AddressRemoved(entry))
        # The kernel deletes more than it was asked for where promote_secondaries is off.
        lost = dict.fromkeys(neighbour for entry in leftovers for neighbour in lost_with(entry, present))
        for neighbour in lost:
            if neighbour not in leftovers:
                dataplane.queue_message(encode_restore(neighbour), None)
    dataplane.flush()


def _is_left_behind(entry: InterfaceAddress, without_mark: bool) -> bool:
    whole = entry.prefix_length == (32 if isinstance(entry.address, IPv4Address) else 128)
    # An address with a lifetime is the node's own, from DHCP: nobody installs a virtual one like that.
    return entry.ours or (without_mark and whole and entry.permanent)
