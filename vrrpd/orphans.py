"""What a process with id 1 owes its container: children that it never had, and that nobody else would reap.

In a container the daemon is process 1, and whatever loses its parent becomes its child: the background jobs of
``podman exec``, for one. (What scripts leave behind goes to the script helper, which is a subreaper.) Refuses to reap
a child that somebody else waits for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

REAPED_AT_ONCE: Final = 64
"""Orphans reaped before the event loop gets its turn."""
RETRY_DELAY: Final = 0.05
"""Seconds until the next look when a child is found that another part of the daemon has yet to reap."""


class OrphanReaper:
    """Reaps ended children but for those for which ``is_ours`` says that they are waited for elsewhere."""

    def __init__(self, is_ours: Callable[[int], bool]) -> None:
        self._is_ours = is_ours
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.Handle | None = None
        self.reaped = 0

    def start(self) -> None:
        """Reaps what has ended already, and from now on whatever ends. Takes SIGCHLD."""
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()

    def close(self) -> None:
        """Gives SIGCHLD back."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        if self._again is not None:
            self._again.cancel()

    def _reap(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for _ in range(REAPED_AT_ONCE):
            try:
                # WNOWAIT: it is only looked at, and stays for whoever waits for it.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if self._is_ours(ended.si_pid):
                # It hides those that ended after it until it is reaped, which is a matter of milliseconds.
                self._again = self._loop.call_later(RETRY_DELAY, self._reap)
                return
            os.waitpid(ended.si_pid, os.WNOHANG)
            self.reaped += 1
            _log.debug("reaped orphan %d", ended.si_pid)
        self._again = self._loop.call_soon(self._reap)
