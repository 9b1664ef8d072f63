"""One virtual router on this host: configuration, runner and dataplane kept in step with interfaces and checks.

``evaluate`` looks at everything that can keep a router from serving and tells the runner what has changed. It holds no
opinion of its own about what is wrong: that is ``faults``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from vrrpd.config.model import Family, IPAddress, VirtualAddress, VirtualRouterConfig
from vrrpd.faults import CheckResult, current_faults, current_weight, find_source
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.events import (
    AddressesTaken,
    Fault,
    FaultsChanged,
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

CheckResults: TypeAlias = Mapping[str, tuple[CheckResult, str]]

REFUSAL_RETRY_DELAY: Final = 30.0
"""Seconds after which an address that the kernel refused is tried again."""


def router_key(config: VirtualRouterConfig) -> RouterKey:
    """The identity of a virtual router."""
    return config.interface, config.family, config.vrid


def needs_restart(old: VirtualRouterConfig, new: VirtualRouterConfig) -> bool:
    """True when a change cannot be made in place: owner or not, version, multicast or unicast."""
    return (
        (old.priority == 255) != (new.priority == 255)
        or old.version is not new.version
        or old.multicast_group != new.multicast_group
        or old.unicast_ttl != new.unicast_ttl
    )


class RouterUnit:
    """A configured virtual router and everything that runs it."""

    def __init__(
        self,
        config: VirtualRouterConfig,
        table: InterfaceTable,
        dataplane: LinuxDataplane,
        observer: Observer,
        clock: Callable[[], float],
        is_virtual: Callable[[IPAddress], bool],
        on_refused: Callable[[RouterUnit], None],
    ) -> None:
        self.config = config
        self.faults: tuple[Fault, ...] = ()
        self.weight_cause = ""
        self.source: IPAddress | None = None
        self.last_change_wall_clock: float = time.time()
        self._table = table
        self._is_virtual = is_virtual
        self._refused: dict[IPAddress, str] = {}
        self._on_refused = on_refused
        self._source_index: int | None = None
        self._weight = 0
        self._dataplane = dataplane
        self.port = dataplane.port(config, self._address_refused)
        self.runner = Runner(runner_settings(config), self.port, observer, clock)

    @property
    def key(self) -> RouterKey:
        """The identity of this virtual router."""
        return router_key(self.config)

    def devices(self) -> frozenset[str]:
        """Every interface whose state matters to this router."""
        return frozenset(
            (
                self.config.interface,
                *(virtual.device for virtual in self.config.all_addresses),
                *(tracked.interface for tracked in self.config.tracked_interfaces),
            )
        )

    def start(self, checks: CheckResults) -> None:
        """Enters the election, or FAULT with everything that is in the way."""
        self.evaluate(checks)
        self.runner.deliver(Startup())

    def stop(self, reason: str) -> None:
        """Gives up: priority 0 where MASTER, addresses withdrawn. The dataplane still has to be flushed."""
        self.runner.deliver(Shutdown(reason))

    def close(self) -> None:
        """Closes the sockets of a stopped router."""
        self.port.close()

    def evaluate(self, checks: CheckResults) -> None:
        """Looks at interfaces, source address and checks again, and delivers what has changed."""
        self.port.bind()
        self._follow_source()
        weight, cause = current_weight(self.config, self._table, checks)
        self.weight_cause = cause
        if weight != self._weight:
            self._weight = weight
            self.runner.deliver(WeightChanged(weight, cause))
        faults = current_faults(self.config, self._table, self.source, checks, self._refused)
        if faults != self.faults:
            self.faults = faults
            self.runner.deliver(FaultsChanged(faults))

    def restore_lost_addresses(self) -> None:
        """Puts back what somebody else has removed. Ask only when all that the kernel had to tell has been read."""
        if self.runner.state is StateName.MASTER and (lost := self.port.lost()):
            self.runner.deliver(AddressesTaken(lost))

    def forget_refusals(self) -> None:
        """Tries refused addresses again at the next election."""
        self._refused.clear()

    def reconfigure(self, config: VirtualRouterConfig, checks: CheckResults) -> None:
        """Takes a changed configuration in place: no election, no gap."""
        old, new = _by_address(self.config), _by_address(config)
        withdrawn = frozenset(address for address, virtual in old.items() if new.get(address) != virtual)
        added = frozenset(address for address, virtual in new.items() if old.get(address) != virtual)
        if self.runner.state is StateName.MASTER and withdrawn:
            self.port.withdraw(withdrawn)
        source_changed = config.source_address != self.config.source_address
        self.config = config
        self.port.bind(config)
        if source_changed:
            self._source_index = None
        self.runner.reconfigure(runner_settings(config), frozenset(), added)
        self.forget_refusals()
        self.evaluate(checks)

    def _follow_source(self) -> None:
        source = find_source(self.config, self._table, self._is_virtual)
        interface = self._table.interface(self.config.interface)
        index = None if interface is None else interface.index
        if source == self.source and index == self._source_index:
            return
        problem = self.port.use_source(source)
        if problem is not None:
            _log.warning("(%s) cannot send from %s: %s", self.config.name, source, problem)
            source = None
        if source is not None and source != self.source:
            self.runner.deliver(SourceChanged(source))
        self.source, self._source_index = source, index

    def _address_refused(self, address: IPAddress, error: str) -> None:
        self._refused[address] = error
        self._on_refused(self)


def _by_address(config: VirtualRouterConfig) -> dict[IPAddress, VirtualAddress]:
    return {virtual.address: virtual for virtual in config.all_addresses}
