"""The daemon with a stop watch: ``vrrpd`` as it is, and a line of JSON for every takeover, with when each step was.

Run by ``bench.profile`` in place of ``vrrpd``. The variable VRRPD_TIMELINE names the file that gets the lines; with
VRRPD_TIMELINE_PLAIN set, the daemon neither wakes before a takeover nor rehearses it, which shows what both are worth.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from vrrpd import agenda
from vrrpd.cli import main
from vrrpd.net.announce import FrameSender
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.netlink import AddressWriter
from vrrpd.net.sockets import Transmitter
from vrrpd.rehearsal import Rehearsal
from vrrpd.runner import Runner

FILE: Final = "VRRPD_TIMELINE"
PLAIN: Final = "VRRPD_TIMELINE_PLAIN"
SAME_TAKEOVER: Final = 0.005
"""Seconds within which the daemon wakes again for one and the same takeover."""

_marks: list[tuple[str, float, float]] = []
_deadlines: list[float] = []
_rehearsing: list[bool] = []


def _watch(owner: type, name: str, label: str) -> None:
    """Has a method note when it began and when it was done."""
    method: Callable[..., Any] = getattr(owner, name)

    def watched(*arguments: Any, **keywords: Any) -> Any:
        begun = time.monotonic()
        try:
            return method(*arguments, **keywords)
        finally:
            if not _rehearsing or label == "rehearse":
                _marks.append((label, begun, time.monotonic()))

    setattr(owner, name, watched)


def _watch_takeovers() -> None:
    decide, on_timer, play = Runner.decide, agenda.Agenda._on_timer, Rehearsal.play

    def watched_play(self: Rehearsal) -> None:
        _rehearsing.append(True)
        play(self)
        _rehearsing.clear()

    def watched_decide(self: Runner, moment: float) -> None:
        if _rehearsing:
            decide(self, moment)
            return
        _deadlines.append(self.deadline or 0.0)
        begun = time.monotonic()
        decide(self, moment)
        _marks.append(("decide", begun, time.monotonic()))

    def watched_on_timer(self: agenda.Agenda) -> None:
        now = time.monotonic()
        if not _marks or _deadlines or now - _marks[0][1] > SAME_TAKEOVER:
            _marks.clear()
            _deadlines.clear()
        # The second wake of a takeover belongs to it, too: the first one was for the rehearsal.
        _marks.append(("wake", now, now))
        on_timer(self)
        if not _deadlines:
            return
        deadline = _deadlines[0]
        steps = [
            (label, round((begun - deadline) * 1e6, 1), round((done - deadline) * 1e6, 1))
            for label, begun, done in _marks
        ]
        with open(os.environ[FILE], "a", encoding="ascii") as file:
            file.write(json.dumps({"takeovers": len(_deadlines), "steps": steps}) + "\n")

    Rehearsal.play = watched_play  # type: ignore[method-assign]
    Runner.decide = watched_decide  # type: ignore[method-assign]
    agenda.Agenda._on_timer = watched_on_timer  # type: ignore[method-assign]


WATCHED: Final[tuple[tuple[type, str, str], ...]] = (
    (Rehearsal, "play", "rehearse"),
    (LinuxDataplane, "lay_out", "lay out"),
    (Transmitter, "send", "advertisement"),
    (AddressWriter, "carry_out", "addresses"),
    (FrameSender, "send", "announcement"),
)
"""The methods of the daemon that are a step each."""

if __name__ == "__main__":
    if os.environ.get(PLAIN):
        agenda.TAKEOVER_LEAD = 0.0  # type: ignore[misc]
        agenda.DECISION_LEAD = 0.0  # type: ignore[misc]
    _watch_takeovers()
    for watched in WATCHED:
        _watch(*watched)
    sys.exit(main())
