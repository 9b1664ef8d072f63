"""The log: one line for a person or one JSON object for a machine, and never a reason to wait.

Lines are collected and written after the event that caused them has been dealt with. A reader that has stopped (a full
pipe, a frozen terminal) costs lines, which are counted, not advertisements.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Literal, TypeAlias

LogFormat: TypeAlias = Literal["text", "json"]

MAXIMUM_WAITING_LINES: Final = 4096
_CHUNK: Final = 4096
"""PIPE_BUF: what a writable pipe takes without blocking."""
_RETRY_DELAY: Final = 0.05
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123456Z WARNING message``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks within the message are shown as ``\\n``."""
        message = record.getMessage().replace("\n", "\\n")
        line = f"{_timestamp(record.created)} {record.levelname} {message}"
        # Only errors of our own come with one: the whole of it is wanted then.
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, and the fields that the caller gave (router, state, reason ...)."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
        line = {"time": _timestamp(record.created), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | fields, default=str)


class DeferredHandler(logging.Handler):
    """Collects lines and writes them to a file descriptor when the event loop comes round; never blocks on a pipe."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        self.logger = logging.getLogger("vrrpd")

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on lines are written by this loop, at the end of its current turn."""
        self._loop = loop

    def detach(self) -> None:
        """Writes what is left and goes back to writing at once."""
        self._loop = None
        self.drain()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record."""
        try:
            line = self.format(record)
        except Exception:
            line = f"a log line could not be formatted: {record.msg!r}"
        if len(self._waiting) >= MAXIMUM_WAITING_LINES:
            self._dropped += 1
            return
        self._waiting.append(line.encode("utf-8", "backslashreplace") + b"\n")
        if self._loop is None:
            self.drain()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Writes while the reader takes it; tries again later when it does not."""
        self._scheduled = False
        while self._waiting:
            if not self._writable():
                self._retry()
                return
            chunk = self._take_chunk()
            try:
                written = os.write(self._descriptor, chunk)
            except BlockingIOError:
                written = 0
            except OSError:
                return  # nobody reads any more: there is nowhere to say so
            if written < len(chunk):
                self._waiting.appendleft(chunk[written:])
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logging.getLogger("vrrpd").warning("%d log lines were lost: the reader of the log was too slow", dropped)

    def _writable(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(0))

    def _take_chunk(self) -> bytes:
        chunk = self._waiting.popleft()
        while self._waiting and len(chunk) + len(self._waiting[0]) <= _CHUNK:
            chunk += self._waiting.popleft()
        if len(chunk) > _CHUNK:
            self._waiting.appendleft(chunk[_CHUNK:])
            chunk = chunk[:_CHUNK]
        return chunk

    def _retry(self) -> None:
        if self._loop is not None and not self._scheduled:
            self._scheduled = True
            self._loop.call_later(_RETRY_DELAY, self.drain)


class RepeatLimiter:
    """Lets the first of equal messages through and then one in every ``interval`` seconds, with a count of the rest.

    All messages together get ``maximum_lines`` in an interval: whoever invents sources makes every message a new one.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        interval: float = 60.0,
        maximum_keys: int = 1024,
        maximum_lines: int = 200,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._maximum_keys = maximum_keys
        self._maximum_lines = maximum_lines
        self._seen: dict[Hashable, tuple[float, int]] = {}
        self._window = float("-inf")
        self._lines = 0
        self._held_for_all = 0

    def allow(self, key: Hashable) -> int | None:
        """How many messages were held back since the last one; None when this one is to be held back too."""
        now = self._clock()
        last, held = self._seen.get(key, (float("-inf"), 0))
        if now - last < self._interval:
            self._seen[key] = (last, held + 1)
            return None
        if now - self._window >= self._interval:
            self._window, self._lines = now, 0
        if self._lines >= self._maximum_lines:
            self._held_for_all += 1
            return None
        self._lines += 1
        if len(self._seen) >= self._maximum_keys and key not in self._seen:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 0)
        held, self._held_for_all = held + self._held_for_all, 0
        return held


def set_up(log_format: LogFormat, level: str) -> DeferredHandler:
    """Sends the log of this process to standard error; ``level`` is a name that ``logging`` knows."""
    handler = DeferredHandler(sys.stderr.fileno())
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # asyncio's own debug chatter and pyroute2's are not for operators.
    for name in ("asyncio", "pyroute2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler


def _timestamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1e6):06d}Z"
