"""``python -m tests.simulation.hunt``: plays random scenarios on all cores until something is found or it is stopped.

A finding is printed as a short scenario that ``python -m tests.simulation.replay FILE`` plays again; the exit status
is then 1. Ctrl-C ends with the summary. ``hunt`` is also what the fixed budget of the tests calls.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from typing import Final

from tests.simulation.episodes import generate
from tests.simulation.invariants import Violation
from tests.simulation.play import play
from tests.simulation.scenario import Scenario
from tests.simulation.shrink import Shrinker

SEEDS_PER_TASK: Final = 20
LOOK_UP: Final = 0.5
"""Seconds after which the hunt looks whether it shall end, at the latest."""


@dataclass(slots=True)
class Tally:
    """How much was played."""

    seeds: int = 0
    episodes: int = 0
    simulated: float = 0.0
    """Seconds of the virtual clock."""
    events: int = 0
    invariants: Counter[str] = field(default_factory=Counter)
    """How many seeds have broken which one."""
    findings: list[tuple[int, str]] = field(default_factory=list)
    """Seed and what was wrong."""

    def add(self, other: Tally) -> None:
        """Adds another one up."""
        self.seeds += other.seeds
        self.episodes += other.episodes
        self.simulated += other.simulated
        self.events += other.events
        self.invariants += other.invariants
        self.findings += other.findings

    def sentence(self, elapsed: float) -> str:
        """The figures for a person; ``elapsed`` in seconds."""
        return (
            f"{self.episodes} fault episodes on {self.seeds} seeds, {self.simulated / 3600:.1f} simulated hours, "
            f"{self.events} events, {self.episodes / max(elapsed, 0.001):.0f} episodes/s: "
            f"{len(self.findings) or 'no'} finding{'' if len(self.findings) == 1 else 's'}"
        )


def play_seeds(seeds: range) -> Tally:
    """Plays the scenarios of some seeds."""
    tally = Tally()
    for seed in seeds:
        tally.seeds += 1
        try:
            outcome = play(generate(seed), keep_trace=False)
        except AssertionError as error:
            tally.findings.append((seed, str(error)))
            tally.invariants[kind(error)] += 1
            continue
        tally.episodes += outcome.episodes
        tally.simulated += outcome.simulated
        tally.events += outcome.events
    return tally


def hunt(
    first_seed: int, enough: Callable[[Tally], bool], jobs: int, progress: Callable[[Tally], None] = lambda _: None
) -> Tally:
    """Plays seed after seed on ``jobs`` processes until it is enough or something is found."""
    total = Tally()
    tasks = _tasks(first_seed)
    # Not forked: whoever hunts may have threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupts) as pool:
        running: set[Future[Tally]] = {pool.submit(play_seeds, next(tasks)) for _ in range(jobs + 1)}
        while not (total.findings or enough(total)):
            done, running = wait(running, timeout=LOOK_UP, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            progress(total)
            running |= {pool.submit(play_seeds, next(tasks)) for _ in done}
        for future in running:
            future.cancel()
    return total


def shrunk(seed: int) -> tuple[Scenario, str]:
    """The short form of a finding, and what is wrong there."""
    scenario = generate(seed)
    wanted = failure(scenario)
    assert wanted is not None, f"seed {seed} does not fail any more"
    small = Shrinker(lambda candidate: kind(failure(candidate)) == kind(wanted)).shrink(scenario)
    return small, str(failure(small))


def findings(tally: Tally) -> str:
    """What was found, and the first of it as a scenario that can be replayed; empty where nothing was."""
    if not tally.findings:
        return ""
    listed = "".join(f"# seed {seed}: {text}\n" for seed, text in sorted(tally.findings)[:5])
    scenario, text = shrunk(min(tally.findings)[0])
    how = "the first of them, shrunk; `python -m tests.simulation.replay FILE` plays it"
    return f"{listed}# {how}\n# {text}\n{scenario}"


def failure(scenario: Scenario) -> AssertionError | None:
    """What is wrong with a run; None when all is well."""
    try:
        play(scenario, keep_trace=False)
    except AssertionError as error:
        return error
    return None


def kind(error: AssertionError | None) -> str:
    """What makes two failures the same one: the name of the invariant."""
    if error is None:
        return ""
    return error.invariant if isinstance(error, Violation) else type(error).__name__


def _tasks(first_seed: int) -> Iterator[range]:
    for number in count():
        start = first_seed + number * SEEDS_PER_TASK
        yield range(start, start + SEEDS_PER_TASK)


def _ignore_interrupts() -> None:
    # Ctrl-C goes to all processes of a terminal: the one that hands out the work ends the hunt.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="hunt", description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, help="stop after as many fault episodes")
    parser.add_argument("--minutes", type=float, help="stop after as many minutes")
    parser.add_argument("--seed", type=int, help="the first seed (default: by the clock, so that every hunt is new)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    options = parser.parse_args(arguments)
    seed = int(time.time()) * 1000 if options.seed is None else options.seed
    begin, interrupted = time.monotonic(), threading.Event()
    shown = 0.0

    def enough(tally: Tally) -> bool:
        minutes = (time.monotonic() - begin) / 60
        late = options.minutes is not None and minutes >= options.minutes
        return interrupted.is_set() or late or (options.episodes is not None and tally.episodes >= options.episodes)

    def progress(tally: Tally) -> None:
        nonlocal shown
        elapsed = time.monotonic() - begin
        if elapsed - shown >= (1.0 if sys.stderr.isatty() else 60.0):
            shown = elapsed
            end = "" if sys.stderr.isatty() else "\n"
            print(f"{chr(13) if not end else ''}{tally.sentence(elapsed)}", end=end, file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        print(f"hunting from seed {seed} on {options.jobs} processes; Ctrl-C ends it", file=sys.stderr, flush=True)
        total = hunt(seed, enough, options.jobs, progress)
    finally:
        signal.signal(signal.SIGINT, before)
    elapsed = time.monotonic() - begin
    print(f"\n{total.sentence(elapsed)} in {elapsed / 60:.1f} minutes, from seed {seed}", flush=True)
    print(findings(total), end="")
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main())
