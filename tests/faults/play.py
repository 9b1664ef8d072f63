"""Playing rows: one play in a lab of its own, many side by side, those that need the machine one after the other.

A play that failed while the machine itself stood still (another tenant of its processors, a suspended host) is played
again: what counts is what the daemon does. A daemon that fails by itself fails every time.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.daemons import Program
from tests.faults.registry import Role, Row
from tests.faults.stage import NotReady, Result, Stage
from vrrpd.lab import Lab, LabError

ATTEMPTS: Final = 3
STALL: Final = 0.15
"""Seconds for which the machine may not have stood still for a failure to count."""
SIDE_BY_SIDE: Final = 6
"""Plays at once in the tests: each is idle for most of its time."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row, for one of the two routers, with one daemon."""

    row: Row
    role: Role
    program: Program
    probe_interval: float = 0.01
    """Seconds between two requests of the client: its thousand a second would cost what the plays beside it need."""


class StallWatch:
    """Notices when this process was not run for a while although it wanted to be: a sleep that took too long."""

    def __init__(self) -> None:
        self._stalls: Final[list[tuple[float, float]]] = []
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._watch, name="stall watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(0.02):
            now = time.monotonic()
            if now - before > 0.05:
                self._stalls.append((now, now - before - 0.02))
            before = now

    def longest_since(self, moment: float) -> float:
        """Seconds of the longest stall that ended after ``moment``."""
        return max((length for end, length in self._stalls if end >= moment), default=0.0)

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()


@contextmanager
def watching() -> Iterator[StallWatch]:
    """A watch for the time of the block."""
    watch = StallWatch()
    try:
        yield watch
    finally:
        watch.close()


def play(case: Case, watch: StallWatch) -> Result:
    """Play one case, again where the machine was at fault."""
    voided: list[str] = []
    for _ in range(ATTEMPTS):
        began = time.monotonic()
        result = _play_once(case)
        stall = watch.longest_since(began)
        if not result.unmet or stall < STALL:
            break
        voided += result.unmet
    return replace(result, stall_ms=stall * 1000, voided=tuple(voided))


def _play_once(case: Case) -> Result:
    began = time.monotonic()
    try:
        return _play_in_a_lab(case)
    except LabError as problem:
        what = f"the lab broke down: {problem}"
        return Result(case.row.key, case.role, case.program.name, None, (what,), time.monotonic() - began)


def _play_in_a_lab(case: Case) -> Result:
    with tempfile.TemporaryDirectory(prefix="vrrpd-faults-") as directory, Lab() as lab:
        stage = Stage(lab, case.program, case.row, case.role, Path(directory), case.probe_interval)
        try:
            try:
                stage.begin()
                case.row.act(stage)
                stage.end()
            except NotReady:
                pass  # what was missing is among what did not hold
            except (LabError, OSError) as problem:
                stage.unmet.append(f"the play broke off: {problem}")
            return stage.result()
        finally:
            stage.close()


def play_all(cases: Iterable[Case], watch: StallWatch, side_by_side: int) -> dict[tuple[str, Role], Future[Result]]:
    """Begin to play and return what is to come; cases that need the machine for themselves come last.

    One daemon at a time: the results are known by row and role.
    """
    futures: dict[tuple[str, Role], Future[Result]] = {(case.row.key, case.role): Future() for case in cases}
    ordered = list(cases)

    def run(case: Case) -> None:
        future = futures[case.row.key, case.role]
        try:
            future.set_result(play(case, watch))
        except BaseException as error:
            future.set_exception(error)

    def conduct() -> None:
        with ThreadPoolExecutor(side_by_side, "play") as pool:
            list(pool.map(run, [case for case in ordered if not case.row.alone]))
        for case in ordered:
            if case.row.alone:
                run(case)

    threading.Thread(target=conduct, name="plays", daemon=True).start()
    return futures
