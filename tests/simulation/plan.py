"""What a virtual router of the simulation is configured with, and what the shipped code makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrpd.config.model import Family, VirtualAddress, VirtualRouterConfig
from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.parameters import OWNER_PRIORITY, RouterParameters
from vrrpd.protocol.timing import Version
from vrrpd.runner import RunnerSettings
from vrrpd.settings import runner_settings

GROUP: Final[dict[int, IPAddress]] = {4: IPv4Address("224.0.0.18"), 6: IPv6Address("ff02::12")}
MOST_VIPS: Final = 4


def address_of(index: int, family: int = 4) -> IPAddress:
    """The address of a node."""
    return IPv4Address("192.0.2.1") + index if family == 4 else IPv6Address("fe80::1") + index


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """One virtual router of one node, as it is configured."""

    vrid: int
    priority: int
    interval: int = 100
    """Centiseconds."""
    preempt: bool = True
    preempt_delay: float = 0.0
    version: Version = Version.V3
    family: Family = 4
    checksum_form: ChecksumForm = ChecksumForm.PSEUDO_HEADER
    vips: int = 2
    """How many virtual addresses there are."""
    moments: bool = False
    """True for the moments that the daemon gives its advertisements, False for one interval after the last one."""

    @property
    def preempts(self) -> bool:
        """True where a lower priority is not left alone; an owner never leaves it alone."""
        return self.preempt or self.is_owner

    @property
    def is_owner(self) -> bool:
        """True for the owner of the addresses."""
        return self.priority == OWNER_PRIORITY

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The virtual addresses."""
        if self.family == 4:
            return tuple(IPv4Address("198.51.100.0") + self.vrid + 256 * number for number in range(self.vips))
        globals_ = (IPv6Address(f"2001:db8:{self.vrid:x}::1") + number for number in range(self.vips - 1))
        return (IPv6Address(f"fe80::{self.vrid:x}:1"), *globals_)

    def restarts(self, new: RouterPlan) -> bool:
        """True where a reload cannot be made in place."""
        return self.is_owner != new.is_owner or self.version is not new.version

    def settings(self) -> RunnerSettings:
        """What the shipped runner is told; with ``moments`` exactly what the daemon would tell it."""
        group = GROUP[self.family]
        if not self.moments:
            parameters = RouterParameters(
                vrid=self.vrid,
                version=self.version,
                priority=self.priority,
                max_advertise_interval=self.interval,
                addresses=self.addresses,
                preempt=self.preempt,
                preempt_delay=self.preempt_delay,
            )
            admission = AdmissionPolicy(self.version, self.interval, group)
            return RunnerSettings(f"VI_{self.vrid}", parameters, admission, (group,), self.checksum_form)
        config = VirtualRouterConfig(
            name=f"VI_{self.vrid}",
            interface="eth0",
            family=self.family,
            vrid=self.vrid,
            version=self.version,
            addresses=tuple(VirtualAddress(address, address.max_prefixlen, "eth0") for address in self.addresses),
            priority=self.priority,
            advertisement_interval=self.interval,
            preempt=self.preempt,
            preempt_delay=self.preempt_delay,
            multicast_group=group,
            checksum_without_pseudo_header=self.checksum_form is ChecksumForm.MESSAGE_ONLY,
        )
        return runner_settings(config)
