"""What became of one run of a script, and the words for it. Knows nothing of processes or checks."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals
from typing import Final, TypeAlias, assert_never

LINE_LIMIT: Final = 400
"""Characters of one line of output that are shown."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The script ended by itself with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Killed:
    """The script was ended by a signal that somebody else sent, or that it caused itself."""

    signal: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The script was killed because it ran for ``limit`` seconds."""

    limit: float


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The script never ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The script ran, but its end was not seen; it was killed."""

    reason: str


Outcome: TypeAlias = Exited | Killed | TimedOut | NotStarted | Lost


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """One run of a script: how it ended, the last 4 KiB of what it printed, and how long it took in seconds."""

    outcome: Outcome
    output: str = ""
    duration: float = 0.0

    @property
    def succeeded(self) -> bool:
        """True for exit status 0 and for nothing else."""
        return self.outcome == Exited(0)

    @property
    def lines(self) -> tuple[str, ...]:
        """The output as lines fit for a log: no empty ones, no control characters, none longer than 400 characters."""
        return tuple(line for line in (_printable(line) for line in self.output.splitlines()) if line)

    def describe(self) -> str:
        """Says how the run ended, with the last line of output where there is one."""
        match self.outcome:
            case Exited(status):
                text = f"exited with status {status}"
            case Killed(signal):
                text = f"killed by {signal_name(signal)}"
            case TimedOut(limit):
                text = f"timed out after {limit:g} s"
            case NotStarted(reason):
                text = f"could not be started: {reason}"
            case Lost(reason):
                text = f"its end was not seen: {reason}"
            case _:
                assert_never(self.outcome)
        return f"{text}: {self.lines[-1]}" if self.lines else text


def signal_name(number: int) -> str:
    """Names a signal as people know it: ``signal 9 (SIGKILL)``."""
    try:
        return f"signal {number} ({Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _printable(line: str) -> str:
    """One line of output without anything that could move a terminal's cursor or fake a log line."""
    clean = "".join(character if character.isprintable() else " " for character in line).strip()
    return clean if len(clean) <= LINE_LIMIT else f"{clean[: LINE_LIMIT - 3]}..."
