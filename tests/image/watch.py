"""Who has which address, looked at all the time: witness that there is one holder, or for how long there were two.

What is waited for must be seen by a look that began after the wait did: an older one tells of what was before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from vrrpd.lab import Host, wait_until

INTERVAL: Final = 0.02
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Sight:
    """From when on these hosts had an address. The clock is ``time.monotonic``."""

    since: float
    holders: frozenset[str]


class Watch:
    """Looks at the addresses of some hosts until it is closed; a context manager."""

    def __init__(self, hosts: Collection[Host], addresses: Sequence[str], interface: str = "eth0") -> None:
        self._hosts: Final = tuple(hosts)
        self._interface: Final = interface
        self._sights: Final[dict[str, list[Sight]]] = {address: [] for address in addresses}
        self._last_look = 0.0
        self._end: float | None = None
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops looking. May be called twice."""
        self._stop.set()
        self._thread.join()
        if self._end is None:
            self._end = time.monotonic()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._stop.wait(INTERVAL):
                self._look()
        except Exception as failure:
            self._failure = failure

    def _look(self) -> None:
        begun = time.monotonic()
        found: dict[str, set[str]] = {address: set() for address in self._sights}
        for host in self._hosts:
            for address, _ in host.addresses(self._interface):
                if address in found:
                    found[address].add(host.name)
        now = time.monotonic()
        for address, holders in found.items():
            sights = self._sights[address]
            if not sights or sights[-1].holders != holders:
                sights.append(Sight(now, frozenset(holders)))
        self._last_look = begun

    def holders(self, address: str) -> frozenset[str]:
        """The hosts that had the address at the last look."""
        return self._sights[address][-1].holders

    def shares(self) -> dict[str, int]:
        """How many addresses each host has now."""
        names = [name for address in self._sights for name in self.holders(address)]
        return {host.name: names.count(host.name) for host in self._hosts}

    def wait_for_one_holder(self, among: Collection[str] | None = None, timeout: float = 20.0) -> dict[str, str]:
        """Waits until each address has one holder, which is among these; returns who."""
        allowed = frozenset(host.name for host in self._hosts) if among is None else frozenset(among)

        def is_so() -> bool:
            current = [self.holders(address) for address in self._sights]
            return all(len(each) == 1 and each <= allowed for each in current)

        self._wait_until(is_so, timeout, f"one holder for each address among {sorted(allowed)}")
        return {address: min(self.holders(address)) for address in self._sights}

    def wait_for_holders(self, wanted: Mapping[str, str], timeout: float = 20.0) -> None:
        """Waits until each of these addresses is on its host and on no other."""
        self._wait_until(
            lambda: all(self.holders(address) == {name} for address, name in wanted.items()),
            timeout,
            f"addresses to be where they should: {dict(wanted)}",
        )

    def _wait_until(self, is_so: Callable[[], bool], timeout: float, what: str) -> None:
        begun = time.monotonic()
        try:
            wait_until(lambda: self._failure or (self._last_look >= begun and is_so()), timeout, what)
        except TimeoutError as error:
            now = {address: sorted(self.holders(address)) for address in self._sights}
            raise TimeoutError(f"{error}; now: {now}") from None
        if self._failure is not None:
            raise self._failure

    def moves(self) -> int:
        """How often an address has changed hands, or was gained or lost, since the watch began."""
        return sum(len(sights) - 1 for sights in self._sights.values())

    def longest_overlap(self, apart: Collection[str] = ()) -> float:
        """The longest time in seconds for which an address had two holders, not counting hosts that are ``apart``."""
        longest = 0.0
        for sights in self._sights.values():
            begun: float | None = None
            for sight in [*sights, Sight(self._end or time.monotonic(), frozenset())]:
                if len(sight.holders - frozenset(apart)) > 1:
                    begun = sight.since if begun is None else begun
                elif begun is not None:
                    longest = max(longest, sight.since - begun)
                    begun = None
        return longest
