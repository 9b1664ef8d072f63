"""A takeover for practice, in the moment before a real one.

A BACKUP runs the code that makes it MASTER once in months. Its instructions and its data are then in no cache of the
processor, and the first time takes five times as long as the second. So while the daemon waits for a deadline that is
a millisecond or two away, it plays the takeover with a router of its own that nobody hears of: the same code, the same
configuration, a batch that is thrown away. The kernel is in on it (``net.practice``).
"""

from __future__ import annotations

from collections.abc import Callable

from vrrpd.config.model import VirtualRouterConfig
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.net.practice import PracticeCalls
from vrrpd.protocol.actions import Notice, StateChanged
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import Shutdown, SourceChanged, Startup
from vrrpd.runner import Runner
from vrrpd.settings import runner_settings


class _Audience:
    """An observer that looks away."""

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Nothing has happened."""

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Nothing is to be noticed."""

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """Nothing was heard."""


class Rehearsal:
    """Plays the takeover of one virtual router; raises ``OSError`` when the kernel has no socket left."""

    def __init__(self, config: VirtualRouterConfig, table: InterfaceTable, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stage = LinuxDataplane(table, clock)
        port = self._stage.port(config, lambda address, error: None)
        port.bind()
        self._runner = Runner(runner_settings(config), port, _Audience(), clock)
        # Any address will do: nothing is sent.
        source = config.addresses[0].address
        self._runner.deliver(SourceChanged(source))
        self._calls: PracticeCalls | None = None
        interface = table.interface(config.interface)
        own = [entry.address for entry in table.addresses(config.interface) if not entry.ours]
        own = [address for address in own if address.version == config.family]
        if interface is not None and own and config.multicast_group is not None:
            virtual = config.all_addresses[0]
            self._calls = PracticeCalls(virtual, interface.name, interface.index, own[0], config.multicast_group)

    def play(self) -> None:
        """Takes over and gives up again, for nobody."""
        self._runner.deliver(Startup())
        deadline = self._runner.deadline
        if deadline is not None:
            self._runner.expire(deadline)
        self._runner.deliver(Shutdown("rehearsed"))
        self._stage.discard()
        if self._calls is not None:
            self._calls.make()

    def close(self) -> None:
        """Closes its socket; nothing is sent."""
        self._stage.discard()
        self._stage.close()
        if self._calls is not None:
            self._calls.close()
