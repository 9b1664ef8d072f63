"""A program that runs on a lab's host, and its log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from vrrpd.lab.waiting import wait_until

LOG_TAIL: Final = 2000
"""Characters of the log that go into an error's text."""


def _open_log(path: str | os.PathLike[str] | None) -> IO[bytes]:
    # Append, so that a log that two processes share one after the other keeps both.
    return TemporaryFile("a+b") if path is None else Path(path).open("a+b")


class Process:
    """A running (or ended) program; standard output and error go to one log.

    Without a path for it the log is a file without a name, which needs no removal.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[IO[bytes]], subprocess.Popen[bytes]],
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        self.name: Final = name
        self._final_log: str | None = None
        self._log: Final[IO[bytes]] = _open_log(log)
        self._log_start: Final = self._log.seek(0, os.SEEK_END)
        try:
            self._popen: Final = launch(self._log)
        except BaseException:
            self._log.close()
            raise

    def __repr__(self) -> str:
        return f"<Process {self.name} pid={self.pid} {'running' if self.running else f'exit={self.returncode}'}>"

    @property
    def pid(self) -> int:
        """The process id, in the caller's pid namespace."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._popen.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to this process (not to its children) and return at once."""
        self.signal(signal.SIGKILL)

    def wait(self, timeout: float = 5.0) -> int:
        """Wait for the end and return the exit code; TimeoutError, with the log's end, after ``timeout`` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"{self.name} still runs after {timeout:g} s; its log ends:\n{self.log_tail()}"
            ) from None

    def stop(self, timeout: float = 5.0) -> int:
        """Send SIGTERM, wait for the end and return the exit code."""
        self.terminate()
        return self.wait(timeout)

    def log_text(self) -> str:
        """Everything the program has written so far."""
        if self._final_log is not None:
            return self._final_log
        size = os.fstat(self._log.fileno()).st_size - self._log_start
        return os.pread(self._log.fileno(), max(size, 0), self._log_start).decode(errors="replace")

    def log_tail(self) -> str:
        """The end of the log, for an error's text."""
        return self.log_text()[-LOG_TAIL:]

    def wait_for_log(self, pattern: str, timeout: float = 5.0) -> re.Match[str]:
        """Wait for a regular expression to match in the log and return the match.

        Raises TimeoutError with the log's end, also at once when the program ends without writing it.
        """

        def look() -> tuple[re.Match[str] | None] | None:
            ended = not self.running
            match = re.search(pattern, self.log_text(), re.MULTILINE)
            return (match,) if match or ended else None

        try:
            (found,) = wait_until(look, timeout, f"{pattern!r} in the log of {self.name}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the log ends:\n{self.log_tail()}") from None
        if found is None:
            raise TimeoutError(
                f"{self.name} ended ({self.returncode}) without {pattern!r}; its log:\n{self.log_tail()}"
            )
        return found

    def close(self) -> None:
        """Kill the process if it still runs, collect it and close the log (its text stays). May be called twice."""
        if self.running:
            self._popen.kill()
        self._popen.wait(5)
        self._final_log = self.log_text()
        self._log.close()
