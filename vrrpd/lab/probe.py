"""Is an address reachable, from when to when, and who answers: a UDP probe between hosts of a lab.

Both ends run as programs of their own (``prober`` on the client, ``responder`` on the routers): the caller's threads
and waits then cost the measurement nothing.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vrrpd.lab import responder
from vrrpd.lab.errors import LabError
from vrrpd.lab.process import Process
from vrrpd.lab.topology import Host
from vrrpd.lab.waiting import wait_until

PORT: Final = 7
"""UDP echo, more or less."""

_PACKAGES: Final = str(Path(__file__).parent.parent.parent)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without replies, or the moment when another router began to answer. CLOCK_REALTIME, nanoseconds."""

    start_ns: int
    """When the last reply before it was read."""
    end_ns: int | None
    """When the first reply after it was read; None while it lasts."""
    lost: int
    """Requests without a reply."""
    before: str
    """Who answered last before it."""
    after: str | None
    """Who answered first after it."""

    @property
    def milliseconds(self) -> float:
        """How long it was; LabError while it lasts."""
        if self.end_ns is None:
            raise LabError(f"the silence after {self.before} has not ended")
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Summary:
    """What a probe did from start to stop."""

    sent: int
    received: int
    gaps: tuple[Gap, ...]


def start_responder(host: Host, port: int = PORT) -> Process:
    """Make a host answer probes, whatever the address; on return it does."""
    process = host.start([sys.executable, "-I", "-S", responder.__file__, str(port), host.name], name="responder")
    process.wait_for_log("^ready$")
    return process


class Probe:
    """A client that asks an address each millisecond, from now until ``stop``.

    Silences of 20 ms and more count as gaps, and so does each change of who answers, however short.
    """

    def __init__(self, host: Host, address: str, port: int = PORT, interval: float = 0.001) -> None:
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_PACKAGES, environment.get("PYTHONPATH")]))
        self._process: Final = host.start(
            [sys.executable, "-m", "vrrpd.lab.prober", address, str(port), "--interval", str(interval)],
            name=f"probe of {address}",
            env=environment,
        )

    def _events(self) -> list[dict[str, Any]]:
        text = self._process.log_text()
        try:
            # The last line may be half written.
            return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        except ValueError:
            raise LabError(f"{self._process.name} failed:\n{self._process.log_tail()}") from None

    @property
    def gaps(self) -> list[Gap]:
        """All gaps so far, the one that lasts too."""
        found: list[Gap] = []
        events = self._events()
        for event in events:
            if event["event"] == "gap":
                found.append(Gap(event["start"], event["end"], event["lost"], event["before"], event["after"]))
        told = [event for event in events if event["event"] in ("gap", "silence")]
        if told and told[-1]["event"] == "silence":
            found.append(Gap(told[-1]["since"], None, 0, told[-1]["before"], None))
        return found

    @property
    def answering(self) -> str | None:
        """The host that answers, None while nobody does."""
        for event in reversed(self._events()):
            match event["event"]:
                case "answer":
                    return str(event["by"])
                case "gap":
                    return str(event["after"])
                case "silence":
                    return None
        return None

    def wait_for_answer(self, by: Host | None = None, timeout: float = 10.0) -> None:
        """Wait until somebody, or one host, answers."""
        wanted = "somebody" if by is None else by.name

        def look() -> bool:
            if not self._process.running:
                raise LabError(f"{self._process.name} ended:\n{self._process.log_tail()}")
            return self.answering is not None if by is None else self.answering == by.name

        wait_until(look, timeout, f"{wanted} to answer the {self._process.name}")

    def close(self) -> None:
        """Stop asking, whatever has come of it. May be called twice."""
        self._process.close()

    def stop(self) -> Summary:
        """Stop asking and return the sums; a silence that lasts is among the gaps, without an end."""
        if self._process.stop() != 0:
            raise LabError(f"{self._process.name} failed:\n{self._process.log_tail()}")
        for event in self._events():
            if event["event"] == "summary":
                return Summary(event["sent"], event["received"], tuple(self.gaps))
        raise LabError(f"{self._process.name} ended without a summary:\n{self._process.log_tail()}")
