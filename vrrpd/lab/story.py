"""What the demonstrations share: two routers that fail in several ways, and how long traffic is missed each time.

A demonstration is a ``Story``: it builds a lab around the routers r1 and r2, says how traffic gets through and plays
acts. Each outage is shown next to what the protocol allows (RFC 9568 section 6.1). Exit code 0; 1 when traffic did not
come back or far too late; 77 where no namespaces can be made.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from vrrpd.lab.capture import Capture
from vrrpd.lab.errors import EXIT_UNAVAILABLE, LabError, LabUnavailable
from vrrpd.lab.probe import Gap, Probe
from vrrpd.lab.process import Process
from vrrpd.lab.topology import Bridge, Host, Lab
from vrrpd.lab.waiting import wait_until

VIP: Final = "192.0.2.100"
VRID: Final = 51
INTERVAL_MS: Final = 500
PRIORITIES: Final = {"r1": 200, "r2": 100}
ROUTER_ADDRESSES: Final = {"r1": "192.0.2.1", "r2": "192.0.2.2"}
TIMEOUT: Final = 20.0
"""Seconds for a router to take over before a demonstration calls it lost."""

STATE_CHANGE: Final = re.compile(r"(?P<time>\S+) \w+ (?P<text>\(VI_1\) .*\bSTATE\b.*)")
"""A line of a daemon's log that tells a change of state, and when."""


def skew_ms(priority: int) -> float:
    """Skew_Time in milliseconds, written out a second time so that the demonstration does not believe the daemon."""
    return (256 - priority) * INTERVAL_MS / 256


@dataclass(frozen=True, slots=True)
class Limit:
    """How long the protocol lets an outage be, and by which rule; None where it sets no time for it."""

    ms: float | None
    rule: str


_SKEW: Final = skew_ms(PRIORITIES["r2"])
MASTER_DOWN: Final = Limit(3 * INTERVAL_MS + _SKEW, f"3 x {INTERVAL_MS} + skew {_SKEW:.0f}")
"""r2 has heard nothing of r1 since its last advertisement."""
SKEW: Final = Limit(_SKEW, f"skew {_SKEW:.0f}")
"""r1 has said farewell with priority 0."""
HANDOVER: Final = Limit(None, "a handover")
"""r1 takes its place back; r2 goes on until it hears of it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One act of the story: what happened, what the client missed, what was on the wire, what is allowed."""

    event: str
    client_ms: float
    limit: Limit
    wire_ms: float | None
    """From the old master's last advertisement to the new one's first; None where the protocol sets no time for it."""

    @property
    def is_far_too_long(self) -> bool:
        """Whether the traffic was missed for much longer than the protocol allows, even on a busy machine."""
        return self.client_ms > (self.limit.ms or 0) * 1.25 + 500


class Story(ABC):
    """A lab with the routers r1 and r2 on the bridge ``lan``, and what is done to them."""

    client: str
    """The host that misses its traffic."""
    target: str
    """What that host wants to reach, for the timeline."""
    scene: str
    """The lab in one line."""

    def __init__(self, lab: Lab, directory: Path, see_everything: bool = False) -> None:
        self.directory: Final = directory
        self._started: Final = time.time()
        self._shown: Final[dict[Process, int]] = {}
        self._daemons: Final[dict[str, Process]] = {}
        self.lan: Final[Bridge] = lab.bridge("lan")
        self.routers: Final[dict[str, Host]] = {}
        for name, address in ROUTER_ADDRESSES.items():
            self.routers[name] = lab.host(name)
            self.routers[name].connect(self.lan, "eth0", f"{address}/24")
        self.capture: Final[Capture] = self.lan.capture(see_everything)
        self.outages: Final[list[Outage]] = []

    # What differs

    @abstractmethod
    def tell(self) -> None:
        """Play the whole story."""

    @abstractmethod
    def configuration(self, name: str) -> str:
        """The keepalived.conf of a router."""

    @abstractmethod
    def start_machine(self, name: str) -> None:
        """Do what a router's machine does at boot before vrrpd; what does not survive a power cut is removed."""

    @abstractmethod
    def wait_for_traffic(self, probe: Probe, seen: int, successor: str, since_ns: int) -> float:
        """Wait for the traffic to go by ``successor`` and return for how many milliseconds it was missed.

        ``seen`` gaps of the probe are older than the event, which happened after ``since_ns``.
        """

    # What happens

    def say(self, text: str) -> None:
        """Print one line of the timeline."""
        self._print(time.time(), text)

    def _print(self, moment: float, text: str) -> None:
        print(f"{moment - self._started:7.2f} s  {text}", flush=True)

    def begin(self) -> None:
        """Switch both routers on."""
        for name in PRIORITIES:
            self.start_machine(name)
            self.start_daemon(name)

    def act(self, probe: Probe, event: str, successor: str, action: Callable[[], object], limit: Limit) -> None:
        """Do something to a router and measure until the traffic goes by ``successor``."""
        # A silence that lasts may become a part of the outage.
        seen, since_ns = sum(gap.end_ns is not None for gap in probe.gaps), time.time_ns()
        self.say(event)
        action()
        missed_ms = self.wait_for_traffic(probe, seen, successor, since_ns)
        wire_ms = self._on_the_wire(since_ns, successor) if limit.ms is not None else None
        self.outages.append(Outage(event, missed_ms, limit, wire_ms))
        self.show_log_lines()
        self.say(f"the {self.client} reaches {self.target} on {successor}; it missed it for {missed_ms:.0f} ms")
        self.pause()

    def end(self, probe: Probe) -> None:
        """Stop the probe and both routers."""
        summary = probe.stop()
        self.say(f"the {self.client} asked {summary.sent} times and had {summary.received} replies")
        for name in PRIORITIES:
            code = self._daemons[name].stop()
            if code != 0:
                raise LabError(f"vrrpd on {name} ended with exit code {code}, expected 0")
        self.show_log_lines()

    def _on_the_wire(self, since_ns: int, successor: str) -> float:
        """Milliseconds from the old master's last advertisement to its successor's first after ``since_ns``."""

        def look() -> float | None:
            last_ns = None
            for frame, seen in self.capture.advertisements(VRID):
                if str(seen.source) != ROUTER_ADDRESSES[successor]:
                    last_ns = frame.time_ns
                elif frame.time_ns >= since_ns and last_ns is not None:
                    return (frame.time_ns - last_ns) / 1e6
            return None

        return wait_until(look, what=f"an advertisement of {successor} on the wire")

    def start_daemon(self, name: str) -> None:
        """Start vrrpd on a router."""
        file = self.directory / name / "keepalived.conf"
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.configuration(name), encoding="utf-8")
        self._daemons[name] = self.routers[name].start(
            [sys.executable, "-m", "vrrpd", "run", "-f", str(file)], name="vrrpd", private_run=True
        )

    def stop_daemon(self, name: str) -> None:
        """Stop vrrpd on a router, in good order."""
        self._daemons[name].terminate()

    def power_off(self, name: str) -> None:
        """Pull a router's power."""
        host = self.routers[name]
        # Cut off first: a machine without power says nothing, and its kernel would go on to answer for the address.
        for bridge in {wire.bridge for wire in host.wires}:
            bridge.cut(host)
        host.reset()

    def power_on(self, name: str) -> None:
        """Boot a router."""
        host = self.routers[name]
        self.start_machine(name)
        for bridge in {wire.bridge for wire in host.wires}:
            bridge.mend(host)
        self.start_daemon(name)

    def pause(self) -> None:
        """Let some quiet time pass, so that the acts do not run into each other."""
        time.sleep(1.0)

    # What is shown

    def show_log_lines(self) -> None:
        """Show the state changes that the daemons have logged since the last time, in the order of their times."""
        news: list[tuple[float, str]] = []
        for name, process in self._daemons.items():
            lines = process.log_text().splitlines(keepends=True)
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
            for line in lines[self._shown.get(process, 0) :]:
                if (match := STATE_CHANGE.match(line)) is not None:
                    news.append((datetime.fromisoformat(match["time"]).timestamp(), f"    {name}: {match['text']}"))
            self._shown[process] = len(lines)
        for moment, text in sorted(news):
            self._print(moment, text)

    def show_logs(self) -> None:
        """Show the ends of the daemons' logs, for somebody who has to find out what went wrong."""
        for name, process in self._daemons.items():
            print(f"\nthe end of {name}'s log:\n{process.log_tail()}", file=sys.stderr)

    def show_table(self) -> None:
        """Show every outage next to what the protocol allows."""
        print(f"\n{'':<40}{f'{self.client} missed':>15}{'protocol allows':>18}{'on the wire':>14}")
        for outage in self.outages:
            wire = "" if outage.wire_ms is None else f"{outage.wire_ms:.1f} ms"
            allowed = "-" if outage.limit.ms is None else f"{outage.limit.ms:.0f} ms"
            remark = "  FAR TOO LONG" if outage.is_far_too_long else ""
            print(
                f"{outage.event:<40}{outage.client_ms:>12.1f} ms{allowed:>18}{wire:>14}   {outage.limit.rule}{remark}",
                flush=True,
            )


def missed_ms(gaps: list[Gap]) -> float:
    """All the silence of some gaps that have ended."""
    return sum(gap.milliseconds for gap in gaps if gap.end_ns is not None)


def play(make: Callable[[Lab, Path], Story]) -> int:
    """Build the lab, tell the story, clean up; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="vrrpd-demo-") as directory, Lab() as lab:
        story = make(lab, Path(directory))
        story.say(story.scene)
        try:
            story.tell()
        except (LabError, TimeoutError) as problem:
            story.say(f"FAILED: {problem}")
            story.show_logs()
            return 1
        story.show_table()
        return 1 if any(outage.is_far_too_long for outage in story.outages) else 0


def _leave(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that everything is cleaned up on the way out."""
    raise KeyboardInterrupt


def run(make: Callable[[Lab, Path], Story]) -> int:
    """Play a demonstration as a program; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        return play(make)
    except LabUnavailable as problem:
        print(problem, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        print("\ninterrupted: everything is cleaned up", file=sys.stderr)
        return 130
