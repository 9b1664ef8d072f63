"""What is shown while a run lasts: a line for each round, and on a terminal what goes on right now."""

from __future__ import annotations

import sys
import time
from typing import Final, TextIO


class Progress:
    """Lines on standard error, so that the report can be piped."""

    def __init__(self, total_seconds: float, stream: TextIO = sys.stderr) -> None:
        self._stream: Final = stream
        self._started: Final = time.monotonic()
        self._total: Final = total_seconds
        self._interactive: Final = stream.isatty()

    def begin(self, what: str) -> None:
        """Show what goes on; on a terminal only, the next line takes its place."""
        if self._interactive:
            self._stream.write(f"\r\x1b[K{self._clock()}  {what} ...")
            self._stream.flush()

    def line(self, text: str) -> None:
        """Show what has happened."""
        start = "\r\x1b[K" if self._interactive else ""
        self._stream.write(f"{start}{self._clock()}  {text}\n")
        self._stream.flush()

    def _clock(self) -> str:
        return f"{_minutes(time.monotonic() - self._started)} of about {_minutes(self._total)}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
