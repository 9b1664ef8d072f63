"""One virtual router on this host: configuration, runner and dataplane kept in step with interfaces and checks.

``evaluate`` looks at everything that can keep a router from serving and tells the runner what has changed. It holds no
opinion of its own about what is wrong: that is ``faults``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from vrrpd.checks import CheckState
from vrrpd.config.model import Family, VirtualAddress, VirtualRouterConfig
from vrrpd.faults import CheckStatusOf, current_faults, current_weight, find_source
from vrrpd.handover import Inheritance
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import (
    AddressesTaken,
    Fault,
    FaultKind,
    FaultsChanged,
    HandOver,
    Shutdown,
    SourceChanged,
    Startup,
    WeightChanged,
)
from vrrpd.runner import Observer, Runner
from vrrpd.settings import runner_settings

_log = logging.getLogger("vrrpd.router")

RouterKey: TypeAlias = tuple[str, Family, int]
"""(interface, family, vrid): what makes a virtual router the same one across a reload."""

REFUSAL_RETRY_DELAY: Final = 30.0
"""Seconds after which an address that the kernel refused is tried again."""


def router_key(config: VirtualRouterConfig) -> RouterKey:
    """The identity of a virtual router."""
    return config.interface, config.family, config.vrid


def devices(config: VirtualRouterConfig) -> frozenset[str]:
    """Every interface whose state matters to a router."""
    return frozenset(
        (
            config.interface,
            *(virtual.device for virtual in config.all_addresses),
            *(tracked.interface for tracked in config.tracked_interfaces),
        )
    )


def needs_restart(old: VirtualRouterConfig, new: VirtualRouterConfig) -> bool:
    """True when a change cannot be made in place: owner or not, version, multicast or unicast."""
    return (
        (old.priority == 255) != (new.priority == 255)
        or old.version is not new.version
        or old.multicast_group != new.multicast_group
        or old.unicast_ttl != new.unicast_ttl
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all routers of a daemon share."""

    table: InterfaceTable
    dataplane: LinuxDataplane
    observer: Observer
    clock: Callable[[], float]
    check_status: CheckStatusOf
    is_virtual: Callable[[IPAddress], bool]
    """True for an address that some router here serves without owning it: never a source of advertisements."""
    deaf: Callable[[str, Family], str | None]
    """Why nothing can be heard on an interface that is there; None when all is well."""
    on_refused: Callable[[RouterUnit], None]
    """Hears of a router whose address the kernel has just refused."""


class RouterUnit:
    """A configured virtual router and everything that runs it."""

    def __init__(self, config: VirtualRouterConfig, around: Surroundings) -> None:
        self.config = config
        self.faults: tuple[Fault, ...] = ()
        self.weight_cause = ""
        self.source: IPAddress | None = None
        self.last_change_wall_clock: float = time.time()
        self.notified: StateName | None = None
        """The state that the notify scripts were told last."""
        self.handed_over = False
        """A successor goes on, if there is one: nobody is told that this router stopped."""
        self._around = around
        self._table = around.table
        self._refused: dict[IPAddress, str] = {}
        self._source_index: int | None = None
        self._weight = 0
        self._inherited: Inheritance | None = None
        """While it counts: what a predecessor knew of checks that have had no result here yet."""
        self.port = around.dataplane.port(config, self._address_refused)
        self.runner = Runner(runner_settings(config), self.port, around.observer, around.clock)

    @property
    def key(self) -> RouterKey:
        """The identity of this virtual router."""
        return router_key(self.config)

    def start(self, inheritance: Inheritance | None = None) -> None:
        """Enters the election, or FAULT with everything that is in the way; or goes on for a predecessor."""
        self._inherited = inheritance
        self.evaluate()
        if inheritance is None:
            self.runner.deliver(Startup())
            return
        self.port.adopt()
        self.runner.deliver(Startup(inheritance.resume_until))

    @property
    def handover_lifetime(self) -> int:
        """Whole seconds for which the addresses could be left to a successor; 0 where they cannot."""
        lifetime = self.runner.router.handover_lifetime
        return lifetime if lifetime and self.port.can_leave() else 0

    @property
    def weight(self) -> int:
        """The sum of the tracked weights as it counts now."""
        return self._weight

    def hand_over(self, lifetime: int) -> None:
        """Gives up without a word to the others, for a successor here. The dataplane still has to be flushed."""
        self.handed_over = True
        self.runner.deliver(HandOver(f"stopped, and its addresses left to a successor for {lifetime} s"))

    def stop(self, reason: str) -> None:
        """Gives up: priority 0 where MASTER, addresses withdrawn. The dataplane still has to be flushed."""
        self.runner.deliver(Shutdown(reason))

    def close(self) -> None:
        """Closes the sockets of a stopped router."""
        self.port.close()

    def evaluate(self) -> None:
        """Looks at interfaces, source address and checks again, and delivers what has changed."""
        self._announce_again(self.port.bind())
        self._follow_source()
        weight, cause = current_weight(self.config, self._table, self._around.check_status)
        if self._inherited is not None:
            if self._has_weight_to_come():
                weight, cause = self._inherited.weight, "as before the restart"
            elif self.runner.state is not StateName.INIT:
                self._inherited = None
        self.weight_cause = cause
        if weight != self._weight:
            self._weight = weight
            self.runner.deliver(WeightChanged(weight, cause))
        faults = current_faults(
            self.config,
            self._table,
            self.source,
            self._around.check_status,
            self._refused,
            self._around.deaf(self.config.interface, self.config.family),
        )
        if self.runner.state in (StateName.BACKUP, StateName.MASTER) or self._inherited is not None:
            # A check that a reload or a restart has added: nothing is wrong until its first result says so.
            faults = tuple(fault for fault in faults if fault.kind is not FaultKind.AWAITING_CHECK)
        if faults != self.faults:
            self.faults = faults
            self.runner.deliver(FaultsChanged(faults))
        if self.source is None:
            # Only now: leaving MASTER says goodbye from the address that is gone.
            self.port.use_source(None)

    def _has_weight_to_come(self) -> bool:
        status = self._around.check_status
        return any(one.weight and status(one.check).state is CheckState.UNKNOWN for one in self.config.tracked_checks)

    def restore_lost_addresses(self) -> None:
        """Puts back what somebody else has removed. Ask only when all that the kernel had to tell has been read."""
        if self.runner.state is StateName.MASTER and (lost := self.port.lost()):
            self.runner.deliver(AddressesTaken(lost))

    def forget_refusals(self) -> None:
        """Tries refused addresses again at the next election."""
        self._refused.clear()

    def release(self, config: VirtualRouterConfig) -> None:
        """Withdraws what the new configuration no longer has here: another router may be about to take it over."""
        old, new = _by_address(self.config), _by_address(config)
        withdrawn = frozenset(address for address, virtual in old.items() if new.get(address) != virtual)
        if withdrawn and self.runner.state is StateName.MASTER:
            self.port.withdraw(withdrawn)

    def reconfigure(self, config: VirtualRouterConfig) -> None:
        """Takes a changed configuration in place, after ``release``: no election, no gap."""
        old, new = _by_address(self.config), _by_address(config)
        added = frozenset(address for address, virtual in new.items() if old.get(address) != virtual)
        if config.source_address != self.config.source_address:
            self._source_index = None
        self.config = config
        self.port.bind(config)
        self.runner.reconfigure(runner_settings(config), added)
        self.forget_refusals()
        self.evaluate()

    def _announce_again(self, moved: frozenset[IPAddress]) -> None:
        """Tells the neighbours of addresses that have another hardware address now (RFC 9568 section 8.1.2)."""
        if moved and self.runner.state is StateName.MASTER:
            self.port.announce(self.config.announcements.times.master_repeat, moved)
            _log.info("(%s) the hardware address has changed: announcing the virtual addresses again", self.config.name)

    def _follow_source(self) -> None:
        source = find_source(self.config, self._table, self._around.is_virtual)
        interface = self._table.interface(self.config.interface)
        index = None if interface is None else interface.index
        if source == self.source and index == self._source_index:
            return
        problem = self.port.use_source(source) if source is not None else None
        if problem is not None:
            _log.warning("(%s) cannot send from %s: %s", self.config.name, source, problem)
            source = None
        if source is not None:
            # Also where only the socket is another one: whoever keeps a prepared batch for the old one has to let go.
            self.runner.deliver(SourceChanged(source))
        self.source, self._source_index = source, index

    def _address_refused(self, address: IPAddress, error: str) -> None:
        self._refused[address] = error
        self._around.on_refused(self)


def _by_address(config: VirtualRouterConfig) -> dict[IPAddress, VirtualAddress]:
    return {virtual.address: virtual for virtual in config.all_addresses}
