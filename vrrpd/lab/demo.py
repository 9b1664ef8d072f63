"""``make demo``: two routers and a client on a bridge, and how long the client misses its address when one fails.

Everything is real: two daemons started from a keepalived.conf in network namespaces, interfaces, packets. The client
asks the virtual address by UDP each millisecond. Each outage is shown next to what the protocol allows (RFC 9568
section 6.1). Exit code 0; 1 when an address did not come back or far too late; 77 where no namespaces can be made.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from vrrpd.lab import EXIT_UNAVAILABLE, Bridge, Capture, Host, Lab, LabError, LabUnavailable, Process, wait_until
from vrrpd.lab.probe import Gap, Probe, start_responder

VIP: Final = "192.0.2.100"
VRID: Final = 51
INTERVAL_MS: Final = 500
PRIORITIES: Final = {"r1": 200, "r2": 100}
ADDRESSES: Final = {"r1": "192.0.2.1", "r2": "192.0.2.2", "client": "192.0.2.10"}
TIMEOUT: Final = 20.0
"""Seconds for a router to take over before the demonstration calls it lost."""

CONFIGURATION: Final = """\
global_defs {{
    router_id {name}
    script_user root
}}

vrrp_script service {{
    script "test -e {directory}/service-is-healthy"
    interval 1
}}

vrrp_instance VI_1 {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    version 3
    priority {priority}
    advert_int 0.5
    virtual_ipaddress {{
        192.0.2.100/24
    }}
    track_script {{
        service
    }}
}}
"""

STATE_CHANGE: Final = re.compile(r"(?P<time>\S+) \w+ (?P<text>\(VI_1\) .*\bSTATE\b.*)")
"""A line of a daemon's log that tells a change of state, and when."""


def skew_ms(priority: int) -> float:
    """Skew_Time in milliseconds, written out a second time so that the demonstration does not believe the daemon."""
    return (256 - priority) * INTERVAL_MS / 256


MASTER_DOWN_MS: Final = 3 * INTERVAL_MS + skew_ms(PRIORITIES["r2"])
"""How long r2 waits after the last advertisement of r1."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One act of the story: what happened, what the client missed, what was on the wire, what is allowed."""

    event: str
    client_ms: float
    allowed_ms: float
    rule: str
    wire_ms: float | None
    """From the old master's last advertisement to the new one's first; None where the protocol sets no time for it."""

    @property
    def is_far_too_long(self) -> bool:
        """Whether the client missed its address for much longer than the protocol allows, even on a busy machine."""
        return self.client_ms > self.allowed_ms * 1.25 + 250


class Story:
    """The lab of the demonstration and what is done to it."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._directory: Final = directory
        self._started: Final = time.time()
        self._shown: Final[dict[Process, int]] = {}
        self._lan: Final[Bridge] = lab.bridge("lan")
        self._hosts: Final[dict[str, Host]] = {}
        for name, address in ADDRESSES.items():
            self._hosts[name] = lab.host(name)
            self._hosts[name].connect(self._lan, "eth0", f"{address}/24")
        self._daemons: Final[dict[str, Process]] = {}
        self._capture: Final[Capture] = self._lan.capture()
        self.outages: Final[list[Outage]] = []

    def say(self, text: str) -> None:
        """Print one line of the timeline."""
        self._print(time.time(), text)

    def _print(self, moment: float, text: str) -> None:
        print(f"{moment - self._started:7.2f} s  {text}", flush=True)

    def tell(self) -> None:
        """Play the whole story."""
        for name in PRIORITIES:
            start_responder(self._hosts[name])
            self._boot(name)
        probe = Probe(self._hosts["client"], VIP)
        probe.wait_for_answer(self._hosts["r1"], TIMEOUT)
        self._show_log_lines()
        self.say(f"r1 is MASTER and the client reaches {VIP} there; from now on it asks each millisecond")
        self._pause()

        down = f"3 x {INTERVAL_MS} + skew {skew_ms(PRIORITIES['r2']):.0f}"
        self._act(probe, "r1 loses its power", "r2", self._power_off, MASTER_DOWN_MS, down, MASTER_DOWN_MS)
        self._act(probe, "r1 is back and preempts", "r1", self._power_on, 0, "a handover", None)
        skew = f"skew {skew_ms(PRIORITIES['r2']):.0f}"
        allowed = skew_ms(PRIORITIES["r2"])
        self._act(probe, "vrrpd on r1 is stopped (SIGTERM)", "r2", self._stop, allowed, skew, allowed)
        self._act(probe, "vrrpd on r1 is started again", "r1", lambda: self._boot("r1"), 0, "a handover", None)
        healthy = self._health_file("r1")
        self._act(probe, "the check of r1's service fails", "r2", healthy.unlink, allowed, skew, allowed)
        self._act(probe, "the check of r1's service passes again", "r1", healthy.touch, 0, "a handover", None)

        summary = probe.stop()
        self.say(f"the client asked {summary.sent} times and had {summary.received} replies")
        for name in PRIORITIES:
            code = self._daemons[name].stop()
            if code != 0:
                raise LabError(f"vrrpd on {name} ended with exit code {code}, expected 0")
        self._show_log_lines()

    def _act(
        self,
        probe: Probe,
        event: str,
        successor: str,
        action: Callable[[], object],
        allowed_ms: float,
        rule: str,
        wire_allowed_ms: float | None,
    ) -> None:
        seen, since_ns = len(probe.gaps), time.time_ns()
        self.say(event)
        action()
        gap = wait_until(
            lambda: next((gap for gap in probe.gaps[seen:] if gap.after == successor), None),
            TIMEOUT,
            f"the client to reach {VIP} on {successor}",
        )
        wire_ms = self._on_the_wire(since_ns, successor) if wire_allowed_ms is not None else None
        outage = Outage(event, self._missed_ms(probe.gaps[seen:], gap), allowed_ms, rule, wire_ms)
        self.outages.append(outage)
        self._show_log_lines()
        self.say(f"the client reaches {VIP} on {successor}; it missed it for {outage.client_ms:.0f} ms")
        self._pause()

    def _missed_ms(self, gaps: list[Gap], last: Gap) -> float:
        """All silence up to and with the gap that ended on the successor."""
        return sum(gap.milliseconds for gap in gaps[: gaps.index(last) + 1])

    def _on_the_wire(self, since_ns: int, successor: str) -> float:
        """Milliseconds from the old master's last advertisement to its successor's first after ``since_ns``."""

        def look() -> float | None:
            last_ns = None
            for frame, seen in self._capture.advertisements(VRID):
                if str(seen.source) != ADDRESSES[successor]:
                    last_ns = frame.time_ns
                elif frame.time_ns >= since_ns and last_ns is not None:
                    return (frame.time_ns - last_ns) / 1e6
            return None

        return wait_until(look, what=f"an advertisement of {successor} on the wire")

    def _health_file(self, name: str) -> Path:
        return self._directory / name / "service-is-healthy"

    def _boot(self, name: str) -> None:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        self._health_file(name).touch()
        file = directory / "keepalived.conf"
        file.write_text(
            CONFIGURATION.format(name=name, directory=directory, priority=PRIORITIES[name]), encoding="utf-8"
        )
        self._daemons[name] = self._hosts[name].start(
            [sys.executable, "-m", "vrrpd", "run", "-f", str(file)], name="vrrpd", private_run=True
        )

    def _power_off(self) -> None:
        # Cut off first: a machine without power says nothing, and its kernel would go on to answer for the address.
        self._lan.cut(self._hosts["r1"])
        self._hosts["r1"].reset()

    def _power_on(self) -> None:
        host = self._hosts["r1"]
        if host.has_address(VIP):
            host.remove_address("eth0", f"{VIP}/24")  # no address survives a boot
        self._lan.mend(host)
        start_responder(host)
        self._boot("r1")

    def _stop(self) -> None:
        self._daemons["r1"].terminate()

    def _pause(self) -> None:
        """Let some quiet time pass, so that the acts do not run into each other."""
        time.sleep(1.0)

    def _show_log_lines(self) -> None:
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
        print(f"\n{'':<40}{'client missed':>15}{'protocol allows':>18}{'on the wire':>14}")
        for outage in self.outages:
            wire = "" if outage.wire_ms is None else f"{outage.wire_ms:.1f} ms"
            allowed = f"{outage.allowed_ms:.0f} ms" if outage.allowed_ms else "-"
            remark = "  FAR TOO LONG" if outage.is_far_too_long else ""
            print(
                f"{outage.event:<40}{outage.client_ms:>12.1f} ms{allowed:>18}{wire:>14}   {outage.rule}{remark}",
                flush=True,
            )
        print(
            "\nclient missed: from the last reply of the one router to the first of the other, seen by the client"
            "\non the wire: from the last advertisement of the one router to the first of the other"
        )


def play() -> int:
    """Build the lab, tell the story, clean up; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="vrrpd-demo-") as directory, Lab() as lab:
        story = Story(lab, Path(directory))
        story.say(
            f"two routers (r1 priority {PRIORITIES['r1']}, r2 priority {PRIORITIES['r2']}) and a client on a bridge; "
            f"VIP {VIP}, an advertisement each {INTERVAL_MS} ms"
        )
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


def main() -> int:
    """Play the demonstration; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        return play()
    except LabUnavailable as problem:
        print(problem, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        print("\ninterrupted: everything is cleaned up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
