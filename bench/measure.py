"""A whole run: every job, every daemon in turn, in alternating order; void rounds again, within the time there is."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from bench.daemons import Program
from bench.progress import Progress
from bench.results import BusySample, EventSample, Results, SteadySample
from bench.scenarios import BUSY, FAILURES, SINGLE, STEADY, Event, Job
from bench.stage import Round, RoundFailed, RoundVoid, Stage

ATTEMPTS: Final = 3
"""How often a void round is tried."""
WARM_UP: Final = Job(SINGLE, 1, measures_start=False)
"""As long as this takes what comes before everything else: each daemon is started once, on one router."""


class Run:
    """Measures into ``results``; whoever interrupts it finds there what was measured so far."""

    def __init__(self, stage: Stage, results: Results, progress: Progress, deadline: float | None) -> None:
        self._stage: Final = stage
        self._results: Final = results
        self._progress: Final = progress
        self._deadline: Final = deadline
        """CLOCK_MONOTONIC, seconds; None for as long as it takes."""

    def run(self, jobs: Sequence[Job]) -> None:
        """Measure all jobs."""
        self._warm_up()
        for job in jobs:
            for number in range(job.rounds):
                if not self._has_time_for(job, len(self._results.daemons)):
                    rest = job.rounds - number
                    self._problem(f"{job.scenario.key}: {rest} of {job.rounds} rounds left out for lack of time")
                    break
                for program in self._in_turn(number):
                    self._measure(program, job, number)

    def _in_turn(self, number: int) -> Iterable[Program]:
        """The daemons, each as often first as last."""
        daemons = self._results.daemons
        return daemons if number % 2 == 0 else reversed(daemons)

    def _has_time_for(self, job: Job, daemons: int) -> bool:
        needed = job.estimate * daemons
        return self._deadline is None or time.monotonic() + needed <= self._deadline

    def _warm_up(self) -> None:
        """Start every daemon once, so that its files are in memory and its byte code is compiled."""
        for program in self._results.daemons:
            self._progress.begin(f"{program.name}: started once to warm up")
            with self._stage.round(program, WARM_UP, 0) as current:
                current.start_alone()

    def _measure(self, program: Program, job: Job, number: int) -> None:
        what = f"{job.scenario.key:6} {number + 1}/{job.rounds} {program.name:10}"
        self._progress.begin(f"{what} {job.scenario.title}")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._stage.round(program, job, number) as current:
                    samples = self._play(current, job)
                self._keep(current, samples)
                self._progress.line(f"{what} {_summary(samples)}")
                for problem in current.problems:
                    self._problem(f"{what.strip()}: {problem}")
                return
            except RoundVoid as reason:
                self._problem(f"{what.strip()}: void, attempt {attempt} of {ATTEMPTS}: {reason}")
                if not self._has_time_for(job, daemons=1):
                    return
            except RoundFailed as failure:
                self._problem(f"{what.strip()}: failed: {failure}")
                return

    def _play(self, current: Round, job: Job) -> list[EventSample] | SteadySample | BusySample:
        current.begin()
        if job.scenario is STEADY:
            return current.hold_still()
        if job.scenario is BUSY:
            return current.hold_still_while_busy()
        return current.fail_over()

    def _keep(self, current: Round, samples: list[EventSample] | SteadySample | BusySample) -> None:
        if current.start_sample is not None:
            self._results.starts.append(current.start_sample)
        match samples:
            case SteadySample():
                self._results.steady.append(samples)
            case BusySample():
                self._results.busy.append(samples)
            case _:
                self._results.events += samples

    def _problem(self, text: str) -> None:
        self._results.problems.append(text)
        self._progress.line(text)


def _summary(samples: list[EventSample] | SteadySample | BusySample) -> str:
    match samples:
        case SteadySample():
            return f"cpu {samples.master_cpu_percent:.2f} % and {samples.backup_cpu_percent:.2f} %"
        case BusySample():
            return f"{samples.false_failovers} false failovers in {samples.seconds:.0f} s"
        case _:
            told = (
                f"{sample.event.value} {statistics.median(sample.overheads_ms):.2f}"
                if sample.takeovers
                else f"{sample.event.value} lost"
                for sample in samples
            )
            return f"ms: {', '.join(told)}"


def chosen(
    jobs: Iterable[Job], scenarios: Collection[str] | None, events: Collection[Event] | None, rounds: int | None
) -> list[Job]:
    """The jobs that somebody wants to see, with as many rounds as they want; None takes what there is."""
    found = []
    for job in jobs:
        if scenarios is not None and job.scenario.key not in scenarios:
            continue
        kept = job.events if events is None else tuple(event for event in FAILURES if event in events)
        if job.events and not kept:
            continue
        found.append(dataclasses.replace(job, rounds=rounds or job.rounds, events=kept if job.events else job.events))
    return found


def estimate(jobs: Iterable[Job], daemons: int) -> float:
    """About how many seconds a run takes, with its warm-up."""
    return daemons * sum(job.estimate * job.rounds for job in (WARM_UP, *jobs))
