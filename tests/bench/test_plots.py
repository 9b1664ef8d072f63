"""Every picture is drawn: of a run, of a soak, of a profile, from samples made for it."""

from __future__ import annotations

from pathlib import Path

import bench.plots
import bench.soak.plots
from bench import profile, timeline
from bench.profile import median_of
from bench.results import EventSample, Results
from bench.scenarios import FAST, MANY_ADDRESSES, MANY_ROUTERS, SINGLE, Event
from bench.soak.measure import Disturbance, Pause, Sample
from bench.soak.run import NODES, Record
from bench.wire import Takeover
from tests.bench.test_report import KEEPALIVED, VRRPD

PNG = b"\x89PNG\r\n\x1a\n"
SECOND_NS = 1_000_000_000
EARLY = [
    [["wake", -1900, -1900], ["rehearse", -1800, -1000], ["rehearse", -900, -600], ["decide", -200, -100]],
    [["wake", -2000, -2000], ["rehearse", -1900, -1200], ["rehearse", -1100, -800], ["decide", -300, -200]],
    [
        ["wake", -2100, -2100],
        ["rehearse", -2000, -1400],
        ["announcement", -500, -499],
        ["decide", -400, -300],
        ["advertisement", 10, 60],
    ],
]
"""What the daemon notes of three takeovers: step, begin and end in microseconds from the deadline."""


def run() -> Results:
    """Two rounds of every event of every scenario that has events, by both daemons; in one of them all was lost."""
    results = Results((KEEPALIVED, VRRPD), {}, {}, 0)
    for scenario in (SINGLE, MANY_ROUTERS, MANY_ADDRESSES, FAST):
        for event in Event:
            for number in range(2):
                for daemon in results.names:
                    at_ns = (len(results.events) + 1) * SECOND_NS
                    found = tuple(
                        Takeover(router.vrid, address, at_ns, at_ns + 1000, at_ns + 2000, at_ns + 3000 * router.vrid)
                        for router in scenario.routers
                        for address in router.addresses
                    )
                    sample = EventSample(scenario.key, daemon, number, event, at_ns, len(found), found, 361.0)
                    results.events.append(sample)
    results.events.append(EventSample("b", "vrrpd", 2, Event.CRASH, SECOND_NS, 254, (), None))
    return results


def soak() -> Record:
    """Ten minutes of two nodes, with a disturbance."""
    record = Record(10, disturbances=[Disturbance("a reload", 60 * SECOND_NS, 70 * SECOND_NS)])
    for second in range(0, 600, 10):
        record.samples += [Sample(second, node, 30, 28, 25, 15, 3, 2, 4, 20, 3) for node in NODES]
        record.pauses.pauses.append(Pause(second * SECOND_NS, 0.2))
    return record


def assert_drawn(directory: Path, names: list[str]) -> None:
    """Hold a directory to these pictures, and no other file."""
    assert sorted(path.name for path in directory.iterdir()) == sorted(names)
    for name in names:
        assert (directory / name).read_bytes().startswith(PNG)


def test_the_pictures_of_a_run_are_drawn(tmp_path: Path) -> None:
    names = [name for _, name in bench.plots.draw(run(), tmp_path)]
    assert names == [*(f"overhead-{key}.png" for key in "abcd"), "outage.png", "takeover-b.png"]
    assert_drawn(tmp_path, names)


def test_of_a_run_without_a_takeover_nothing_is_drawn(tmp_path: Path) -> None:
    results = Results((KEEPALIVED, VRRPD), {}, {}, 0)
    assert bench.plots.draw(results, tmp_path) == []
    assert_drawn(tmp_path, [])


def test_the_pictures_of_a_soak_are_drawn(tmp_path: Path) -> None:
    names = bench.soak.plots.draw(soak(), tmp_path)
    assert names == ["memory.png", "counts.png", "advertisements.png"]
    assert_drawn(tmp_path, names)


def test_the_timeline_of_a_takeover_is_drawn(tmp_path: Path) -> None:
    plain = [[["wake", 105, 105], ["decide", 286, 422], ["advertisement", 432, 487]]]
    profile.draw(
        {"sleeping until the deadline": median_of(plain), "as it is": median_of(EARLY)}, tmp_path / "takeover.png"
    )
    assert_drawn(tmp_path, ["takeover.png"])


def test_a_timeline_has_the_median_of_each_step_and_every_rehearsal() -> None:
    assert median_of(EARLY) == {
        "wake": [(-2000, -2000)],
        "rehearse": [(-1900, -1200), (-1000, -700)],
        "decide": [(-300, -200)],
        "advertisement": [(10, 60)],
    }


def test_of_no_takeover_there_is_no_timeline() -> None:
    assert median_of([]) == {}


def test_the_stop_watch_finds_the_steps_of_the_daemon() -> None:
    for owner, method, _ in timeline.WATCHED:
        assert callable(getattr(owner, method))
