"""A dataplane and an observer for a runner of which only the answers count."""

from __future__ import annotations

from vrrpd.protocol.actions import Notice, StateChanged
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.runner import Runner


class Silence:
    """Does nothing, at no cost: ``Dataplane`` and ``Observer`` of ``vrrpd.runner``."""

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        """Nothing."""

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Nothing."""

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Nothing."""

    def withdraw(self) -> None:
        """Nothing."""

    def leave(self, lifetime: int) -> None:
        """Nothing."""

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Nothing."""

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Nothing."""

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Nothing."""

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """Nothing."""
