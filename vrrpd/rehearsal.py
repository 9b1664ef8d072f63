"""A takeover for practice, in the moment before a real one.

A BACKUP runs the code that makes it MASTER once in months. Its instructions and its data are then in no cache of the
processor, and the first time takes five times as long as the second. So while the daemon waits for a deadline that is
a millisecond or two away, it plays the takeover with a router of its own that nobody hears of: the same code, the same
configuration, the same calls, which come to nothing (``net.practice``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vrrpd.config.model import VirtualRouterConfig
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.net.port import RouterPort
from vrrpd.net.practice import PracticeDataplane
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
    """Plays the takeover of one virtual router with its first address; raises ``OSError`` when a socket is refused."""

    def __init__(self, config: VirtualRouterConfig, table: InterfaceTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._stage = PracticeDataplane(table, clock)
        self._config = config
        self._where: tuple[int | None, IPAddress | None] | None = None
        self._port: RouterPort | None = None
        self.follow(config)

    def follow(self, config: VirtualRouterConfig) -> None:
        """Goes on with this router, its interface and its address as they are now; cheap when nothing has changed."""
        config = replace(config, addresses=config.addresses[:1], excluded_addresses=())
        interface = self._table.interface(config.interface)
        source = self._table.source_address(config.interface, config.family)
        where = (None if interface is None else interface.index, source)
        if self._port is not None and (where, config) == (self._where, self._config):
            return
        self._where, self._config = where, config
        if self._port is not None:
            self._stage.discard()
            self._port.close()
        self._port = self._stage.port(config, lambda address, error: None)
        self._port.bind()
        self._port.use_source(source)
        self._runner = Runner(runner_settings(config), self._port, _Audience(), self._clock)
        # Without an address of its own any other will do: nothing is sent.
        self._runner.deliver(SourceChanged(config.addresses[0].address if source is None else source))

    def play(self) -> None:
        """Takes over and gives up again, for nobody."""
        self._runner.deliver(Startup())
        deadline = self._runner.deadline
        assert deadline is not None, "a BACKUP has one"
        self._runner.decide(deadline)
        self._stage.flush()
        self._runner.confirm()
        self._runner.deliver(Shutdown("rehearsed"))
        self._stage.discard()

    def close(self) -> None:
        """Closes its sockets; nothing is sent."""
        self._stage.discard()
        if self._port is not None:
            self._port.close()
        self._stage.close()
