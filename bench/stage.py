"""The namespaces of a run, and one round in them: two routers with one daemon, a client, one capture on the bridge.

r1 is preferred, r2 the backup whose takeovers are measured. Between rounds, and wherever a router comes back, its
kernel is made as new: what a killed daemon leaves behind is not the next one's affair.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, TypeVar

from bench.daemons import Daemon, Program
from bench.results import BusySample, EventSample, StartSample, SteadySample
from bench.scenarios import INTERFACE, Event, Job, keepalived_conf, settle_time
from bench.wire import (
    Side,
    Takeover,
    false_failovers,
    first_advertisements,
    interval_errors_ms,
    masters,
    preemptions,
    takeovers,
)
from vrrpd.lab import Bridge, Capture, Host, Lab, LabError
from vrrpd.lab.frames import Frame
from vrrpd.lab.probe import Gap, Probe, start_responder

T = TypeVar("T")

ADDRESSES: Final = {"r1": "198.18.0.1", "r2": "198.18.0.2", "client": "198.18.0.10"}
"""In the range that is set aside for benchmarks (RFC 2544)."""
PREFIX_LENGTH: Final = 16
VIRTUAL: Final = ip_network("198.18.1.0/24")

PATIENCE: Final = 20.0
"""Seconds beyond what the protocol takes, after which an address is lost."""
LOOK_INTERVAL: Final = 0.05
"""Seconds between two looks at the capture: each costs the processor that a daemon may need."""
AFTERMATH: Final = 0.2
"""Seconds for the repeated announcements of one takeover to be over before the next."""
LARGEST_CLOCK_STEP_NS: Final = 5_000_000
BUSY_LOOP: Final = "while True: pass"


class RoundVoid(Exception):
    """The measurement is at fault, not the daemon: the round does not count and is repeated."""


class RoundFailed(Exception):
    """The daemon is at fault: it did not do what has to be measured."""


class Stage:
    """The namespaces, which all rounds share."""

    def __init__(self, lab: Lab, directory: Path, seed: int) -> None:
        self.directory: Final = directory
        self.random: Final = random.Random(seed)
        self.lan: Final[Bridge] = lab.bridge("lan")
        self.hosts: Final[dict[str, Host]] = {}
        for name, address in ADDRESSES.items():
            self.hosts[name] = lab.host(name)
            self.hosts[name].connect(self.lan, INTERFACE, f"{address}/{PREFIX_LENGTH}")
        self.sides: Final = {name: Side(ADDRESSES[name], self.hosts[name].mac()) for name in ("r1", "r2")}
        for name in self.sides:
            start_responder(self.hosts[name])

    @contextmanager
    def round(self, program: Program, job: Job, number: int) -> Iterator[Round]:
        """Everything ready for one round; afterwards nothing of it is left on the hosts."""
        with Capture(self.lan.namespace, self.lan.name) as capture:
            current = Round(self, capture, program, job, number)
            before = _clock_offset()
            try:
                yield current
            except (LabError, TimeoutError) as problem:
                raise RoundFailed(str(problem)) from problem
            finally:
                current.clean_up()
            if abs(_clock_offset() - before) > LARGEST_CLOCK_STEP_NS:
                raise RoundVoid("the wall clock was set, and with it the kernel's time stamps")

    def purge(self, name: str) -> int:
        """Take every virtual address off a host and return how many there were."""
        host = self.hosts[name]
        leftover = [(text, length) for text, length in host.addresses(INTERFACE) if ip_address(text) in VIRTUAL]
        for text, length in leftover:
            host.remove_address(INTERFACE, f"{text}/{length}")
        return len(leftover)


class Round:
    """One daemon on both routers, from its start to its end."""

    def __init__(self, stage: Stage, capture: Capture, program: Program, job: Job, number: int) -> None:
        self._stage: Final = stage
        self._capture: Final = capture
        self._program: Final = program
        self._job: Final = job
        self._scenario: Final = job.scenario
        self._number: Final = number
        self._daemons: Final[dict[str, Daemon]] = {}
        self._probe: Probe | None = None
        self._happened: Final[list[tuple[Event, int, tuple[Takeover, ...]]]] = []
        self._files: Final = {name: stage.directory / name / "keepalived.conf" for name in stage.sides}
        self._healthy: Final = stage.directory / "r1" / "service-is-healthy"
        self.problems: Final[list[str]] = []
        """What did not void the round but has to be told."""
        self.start_sample: StartSample | None = None
        for name, file in self._files.items():
            file.parent.mkdir(exist_ok=True)
            check = f"test -e {self._healthy}" if name == "r1" and Event.CHECK in job.events else None
            file.write_text(keepalived_conf(self._scenario, name, check), encoding="ascii")
        self._healthy.touch()

    # What a round is made of

    def begin(self) -> None:
        """Start both routers and wait until r1 is the master of everything and the client has been answered."""
        if self._job.measures_start:
            self._start("r2")
            self.start_sample = self._await_start()
            self._settle("r2")
            self._preempt()
        else:
            self._start("r2")
            self._start("r1")
        self._settle("r1")

    def main_pid(self, name: str) -> int:
        """The process that was started on a host."""
        return self._daemons[name].process.pid

    def start_alone(self) -> None:
        """Start one router and wait for it to be the master of everything."""
        self._start("r2")
        self._await_start()

    def fail_over(self) -> list[EventSample]:
        """Let happen to r1 what the job says, with r1 back in between."""
        self._probe = Probe(self._stage.hosts["client"], self._scenario.probed)
        self._probe.wait_for_answer(self._stage.hosts["r1"])
        try:
            for index, event in enumerate(self._job.events):
                if index > 0:
                    time.sleep(AFTERMATH)
                    self._preempt(after=self._job.events[index - 1])
                    self._settle("r1")
                self._fail(event)
        except RoundFailed as failure:
            # What was measured before it counts, and what it lost too.
            self.problems.append(str(failure))
        return self._samples()

    def hold_still(self) -> SteadySample:
        """Let time pass and look at what it costs."""
        begun_ns = time.time_ns()
        before = {name: daemon.cost() for name, daemon in self._daemons.items()}
        time.sleep(self._job.seconds)
        after = {name: daemon.cost() for name, daemon in self._daemons.items()}
        frames = [frame for frame in self._frames() if frame.time_ns >= begun_ns]
        cpu = {
            name: 100 * (after[name].cpu_seconds - before[name].cpu_seconds) / (after[name].at - before[name].at)
            for name in after
        }
        return SteadySample(
            self._scenario.key,
            self._program.name,
            self._number,
            after["r1"].at - before["r1"].at,
            cpu["r1"],
            cpu["r2"],
            after["r1"].pss_bytes / 1e6,
            after["r2"].pss_bytes / 1e6,
            after["r1"].processes,
            after["r2"].processes,
            tuple(interval_errors_ms(frames, ADDRESSES["r1"], self._scenario.interval_ms)),
            false_failovers(frames, ADDRESSES["r1"]),
        )

    def hold_still_while_busy(self) -> BusySample:
        """Let time pass while other programs want every core."""
        with ExitStack() as burners:
            for _ in os.sched_getaffinity(0):
                burner = self._stage.hosts["client"].start([sys.executable, "-I", "-S", "-c", BUSY_LOOP], name="busy")
                burners.callback(burner.close)
            begun, begun_ns = time.monotonic(), time.time_ns()
            time.sleep(self._job.seconds)
            lasted = time.monotonic() - begun
        frames = [frame for frame in self._frames() if frame.time_ns >= begun_ns]
        return BusySample(
            self._scenario.key,
            self._program.name,
            self._number,
            lasted,
            false_failovers(frames, ADDRESSES["r1"]),
            tuple(interval_errors_ms(frames, ADDRESSES["r1"], self._scenario.interval_ms)),
        )

    def clean_up(self) -> None:
        """Kill what runs, and make the hosts as they were."""
        if self._probe is not None:
            self._probe.close()
        for daemon in self._daemons.values():
            daemon.kill()
        self._stage.lan.mend(self._stage.hosts["r1"])
        for name in self._stage.sides:
            self._stage.purge(name)

    # What happens

    def _start(self, name: str) -> None:
        self._daemons[name] = Daemon(self._program, self._stage.hosts[name], self._files[name])

    def _await_start(self) -> StartSample:
        started_ns, down_ns = self._daemons["r2"].started_ns, self._scenario.timing.master_down_ns
        vrids = {router.vrid for router in self._scenario.routers}

        def look() -> list[int] | None:
            heard = first_advertisements(self._frames(), ADDRESSES["r2"])
            return sorted(heard.values()) if heard.keys() >= vrids else None

        times = self._wait(look, down_ns / 1e9, "the lone router to advertise everything")
        since = [(time_ns - down_ns - started_ns) / 1e6 for time_ns in times]
        return StartSample(self._scenario.key, self._program.name, self._number, since[0], since[-1])

    def _fail(self, event: Event) -> None:
        timing, sides = self._scenario.timing, self._stage.sides
        # At any moment between two advertisements.
        time.sleep(self._stage.random.random() * self._scenario.interval_ms / 1000)
        at_ns = time.time_ns()
        self._make_happen(event)
        wait_ns = timing.master_down_ns if event in (Event.CRASH, Event.DEATH) else timing.skew_ns

        def look() -> list[Takeover]:
            frames = self._frames()
            return takeovers(frames, self._scenario.routers, sides["r1"], sides["r2"], at_ns, timing)

        self._observe(event, at_ns, look, wait_ns / 1e9 + 0.2)
        self._bury(event)

    def _make_happen(self, event: Event) -> None:
        match event:
            case Event.CRASH:
                self._daemons["r1"].kill()
            case Event.STOP:
                self._daemons["r1"].stop()
            case Event.CHECK:
                self._healthy.unlink()
            case Event.DEATH:
                self._stage.lan.cut(self._stage.hosts["r1"])
            case Event.PREEMPTION:
                raise AssertionError("a preemption is what comes after the others")

    def _bury(self, event: Event) -> None:
        """Make r1 as new after what happened to it."""
        if event is Event.CHECK:
            return  # it lives, and will be back when its check passes
        daemon = self._daemons.pop("r1")
        if event is Event.STOP:
            code = daemon.process.wait(10)
            if code != 0:
                self.problems.append(f"clean stop: exit code is {code}, expected 0")
        daemon.kill()
        left = self._stage.purge("r1")
        if event is Event.STOP and left:
            self.problems.append(f"clean stop: {left} addresses were left on the interface")
        if event is Event.DEATH:
            self._stage.lan.mend(self._stage.hosts["r1"])

    def _preempt(self, after: Event | None = None) -> None:
        """Bring r1 back, which is preferred."""
        sides = self._stage.sides
        at_ns = time.time_ns()
        if after is Event.CHECK:
            self._healthy.touch()
        else:
            self._start("r1")

        def look() -> list[Takeover]:
            return preemptions(self._frames(), self._scenario.routers, sides["r2"], sides["r1"], at_ns)

        self._observe(Event.PREEMPTION, at_ns, look, self._scenario.timing.master_down_ns / 1e9 + 0.2)

    def _observe(self, event: Event, at_ns: int, look: Callable[[], list[Takeover]], quiet: float) -> None:
        """Keep still while it happens, then look until every address is there; the round ends where one is lost."""
        expected = len(self._scenario.addresses)
        time.sleep(quiet)
        deadline = time.monotonic() + PATIENCE
        while len(found := look()) < expected and time.monotonic() < deadline:
            self._check_running()
            time.sleep(LOOK_INTERVAL)
        self._happened.append((event, at_ns, tuple(found)))
        if len(found) < expected:
            raise RoundFailed(f"{event.value}: {expected - len(found)} of {expected} addresses were lost")

    def _settle(self, master: str) -> None:
        """Wait until a router, and nobody else, has been heard for some intervals; the capture then begins there.

        Twice in a row: it may have taken over in the course of the first time, and still be in its first interval.
        """
        window = settle_time(self._scenario) / 2
        settled = False
        wanted = {router.vrid: {ADDRESSES[master]} for router in self._scenario.routers}
        deadline = time.monotonic() + PATIENCE + self._scenario.timing.master_down_ns / 1e9
        while True:
            self._capture.clear()
            time.sleep(window)
            heard = masters(self._frames())
            if settled and heard == wanted:
                return
            settled = heard == wanted
            if time.monotonic() > deadline:
                wrong = sum(heard.get(vrid) != sources for vrid, sources in wanted.items())
                raise RoundFailed(f"{master} is not the only master: so for {wrong} of {len(wanted)} routers")
            self._check_running()

    # What is seen

    def _frames(self) -> list[Frame]:
        if dropped := self._capture.dropped:
            raise RoundVoid(f"the capture lost {dropped} frames")
        return self._capture.frames

    def _wait(self, look: Callable[[], T | None], quiet: float, what: str) -> T:
        deadline = time.monotonic() + quiet + PATIENCE
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise RoundFailed(f"waited {quiet + PATIENCE:.0f} s for {what}, in vain")
            self._check_running()
            time.sleep(LOOK_INTERVAL)
        return found

    def _check_running(self) -> None:
        for name, daemon in self._daemons.items():
            if not daemon.process.running and daemon.process.returncode != 0:
                raise RoundFailed(f"it ended on {name} ({daemon.process.returncode}):\n{daemon.process.log_tail()}")

    def _samples(self) -> list[EventSample]:
        assert self._probe is not None
        probe, self._probe = self._probe, None
        gaps = [gap for gap in probe.stop().gaps if gap.end_ns is not None]
        starts = [at_ns for _, at_ns, _ in self._happened]
        samples = []
        for (event, at_ns, found), until_ns in zip(self._happened, [*starts[1:], time.time_ns()], strict=True):
            successor = "r1" if event is Event.PREEMPTION else "r2"
            within = [gap for gap in gaps if at_ns <= (gap.end_ns or 0) < until_ns]
            samples.append(
                EventSample(
                    self._scenario.key,
                    self._program.name,
                    self._number,
                    event,
                    at_ns,
                    len(self._scenario.addresses),
                    found,
                    longest_pause_ms(within, successor),
                )
            )
        return samples


def longest_pause_ms(gaps: Sequence[Gap], successor: str) -> float | None:
    """The longest of the pauses up to the successor's first answer; None where it is not among them.

    What pauses later is this machine's scheduler, not the failover.
    """
    for index, gap in enumerate(gaps):
        if gap.after == successor != gap.before:
            return max(earlier.milliseconds for earlier in gaps[: index + 1])
    return None


def _clock_offset() -> int:
    """CLOCK_REALTIME less CLOCK_MONOTONIC: moves only when somebody sets the clock."""
    return min(time.time_ns() - time.monotonic_ns() for _ in range(5))
