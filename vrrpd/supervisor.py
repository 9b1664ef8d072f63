"""What systemd is told (sd_notify(3)): ready, reloading, stopping, and that the daemon is still alive.

One datagram each, to the socket that NOTIFY_SOCKET names; without that variable nothing is said to anybody. A message
that cannot be delivered at once is dropped: nobody waits for a supervisor. Knows nothing of what the daemon does.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

_log = logging.getLogger("vrrpd")


class Supervisor:
    """The supervisor of this process, if it has one; the variables that say so are taken out of ``environment``."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        name = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "")
        self._socket: socket.socket | None = None
        self.watchdog_interval: float | None = None
        """Seconds between two calls of ``alive``: half of what the supervisor allows; None where it does not ask."""
        if not name:
            return
        if name[0] not in "/@":
            _log.debug("NOTIFY_SOCKET is %s, expected a path or an abstract name: not telling the supervisor", name)
            return
        address = "\0" + name[1:] if name[0] == "@" else name
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            notify.connect(address)
        except OSError as error:
            notify.close()
            _log.debug("cannot reach the supervisor at %s: %s", name, error.strerror)
            return
        self._socket = notify
        if microseconds.isdecimal() and int(microseconds) > 0 and process in ("", str(os.getpid())):
            self.watchdog_interval = int(microseconds) / 2e6

    def ready(self, status: str) -> None:
        """The daemon does its work; ``status`` is a line for ``systemctl status``."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` comes next, whatever comes of it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The event loop goes round."""
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Says nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(message.encode())
        except OSError as error:
            _log.debug("the supervisor was not told %s: %s", message.partition("\n")[0], error.strerror)
