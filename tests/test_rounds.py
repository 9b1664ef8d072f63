"""Rounds held against routers that keep their own time: the same advertisements leave, at the same times, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.builders import HIGHER, LINK_DOWN, LOWER, OURS
from tests.test_familiar import Packet, seen
from tests.test_runner import SETTINGS, Recorder
from vrrpd.net.timer import DeadlineQueue
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.events import FaultsChanged, Shutdown, SourceChanged, Startup, WeightChanged
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.rounds import Round, Rounds
from vrrpd.runner import Runner, RunnerSettings

Step = tuple[str, int, object]
TIMES = (
    AnnouncementTimes(master_delay=0.0),
    AnnouncementTimes(master_delay=2.0, lower_priority_delay=1.0),
    AnnouncementTimes(master_delay=1.5, refresh=3.0),
)


class TimedRecorder(Recorder):
    """Writes down when each advertisement was sent, or lays it out for a volley while one is made."""

    volley: Volley | None = None

    def send(self, message: bytes, destination: object) -> None:
        if self.volley is not None:
            self.volley.laid_out.append((self, message))
        else:
            self.lines.append(f"{self.now}: priority {message[2]}")


class Volley:
    """Sends what it was made of, as the real one does: who has joined or left since makes no difference to it."""

    def __init__(self, recorders: list[TimedRecorder], ask: Callable[[], None]) -> None:
        self.laid_out: list[tuple[TimedRecorder, bytes]] = []
        for recorder in recorders:
            recorder.volley = self
        ask()
        for recorder in recorders:
            recorder.volley = None

    def send(self) -> None:
        for recorder, message in self.laid_out:
            recorder.send(message, None)


class Host:
    """Three routers that become MASTER on the same moments, with one queue of deadlines and, if asked for, rounds."""

    def __init__(self, in_rounds: bool) -> None:
        self.now = 0.0
        self.queue: DeadlineQueue[Runner | Round] = DeadlineQueue()
        self.recorders = [TimedRecorder() for _ in TIMES]
        self.rounds = Rounds(partial(Volley, self.recorders), self.schedule) if in_rounds else None
        self.runners = [
            Runner(settings(times), recorder, recorder, recorder.clock)
            for recorder, times in zip(self.recorders, TIMES, strict=True)
        ]
        for runner in self.runners:
            runner.deliver(SourceChanged(OURS))
            runner.deliver(Startup())
            self.schedule(runner)

    def schedule(self, key: Runner | Round) -> None:
        self.queue.schedule(key, key.deadline)

    def wait(self, seconds: float) -> None:
        """Wakes up after so long, and lets everybody act who is due by then."""
        self.now += seconds
        for recorder in self.recorders:
            recorder.now = self.now
        acted = []
        for key in self.queue.due(self.now):
            if key.deadline is not None and key.deadline <= self.now:
                key.expire(self.now)
                acted.append(key)
            self.schedule(key)
        for key in acted:
            if self.rounds is not None and isinstance(key, Runner):
                self.rounds.join(key)

    def do(self, step: Step) -> None:
        what, number, value = step
        runner = self.runners[number]
        match value:
            case float():
                self.wait(value)
            case Packet():
                value.hand_to(runner)
            case int() if what == "weight":
                runner.deliver(WeightChanged(value, "check web"))
            case bool():
                runner.deliver(FaultsChanged((LINK_DOWN,) if value else ()))
            case AnnouncementTimes():
                runner.reconfigure(settings(value), frozenset())
            case _:
                runner.deliver(Shutdown("stopped"))
        self.schedule(runner)


def settings(times: AnnouncementTimes) -> RunnerSettings:
    parameters = replace(SETTINGS.parameters, announcements=times, advertisement_phase=0.0, answer_lower_priority=True)
    return replace(SETTINGS, parameters=parameters)


PACKETS = st.sampled_from([Packet(LOWER, 50), Packet(HIGHER, 0), Packet(HIGHER, 200)])
NUMBERS = st.integers(0, len(TIMES) - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), NUMBERS, st.sampled_from([0.25, 0.5, 1.0, 1.25, 2.5, 6.0])),
        st.tuples(st.just("packet"), NUMBERS, PACKETS),
        st.tuples(st.just("weight"), NUMBERS, st.sampled_from([-60, 0, 120])),
        st.tuples(st.just("fault"), NUMBERS, st.booleans()),
        st.tuples(st.just("settings"), NUMBERS, st.sampled_from(TIMES)),
        st.tuples(st.just("stop"), NUMBERS, st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_in_a_round_a_router_does_what_it_does_alone(steps: list[Step]) -> None:
    alone, together = Host(in_rounds=False), Host(in_rounds=True)
    for step in [("wait", 0, 4.0), *steps, ("wait", 0, 1.0)]:
        alone.do(step)
        together.do(step)
        for number in range(len(TIMES)):
            expected = seen(alone.runners[number], alone.recorders[number])
            # In a round, somebody else wakes up for the advertisements.
            found = seen(together.runners[number], together.recorders[number])
            assert (found[0], *found[2:]) == (expected[0], *expected[2:])


def serving() -> Host:
    """A host whose routers are MASTER and have found together."""
    host = Host(in_rounds=True)
    host.wait(4.0)
    host.wait(1.0)
    assert {runner.state for runner in host.runners} == {StateName.MASTER}
    return host


def rounds(host: Host) -> list[Round]:
    return [key for key in host.queue.due(float("inf")) if isinstance(key, Round)]


def test_routers_that_advertise_at_the_same_moments_share_one_deadline() -> None:
    host = serving()
    (together,) = rounds(host)
    assert list(together.members) == host.runners
    assert together.deadline == 6.0
    assert together.state is StateName.MASTER
    assert host.runners[0].deadline is None, "nothing but advertisements to do"
    assert host.runners[1].deadline == 6.0, "the second announcement, two seconds after the first"


def test_what_a_round_has_sent_is_booked_when_somebody_looks() -> None:
    host = serving()
    host.runners[0].leave_round()
    before = host.runners[2].statistics.advertisements_sent
    for _ in range(3):
        host.wait(1.0)
    assert host.runners[2].statistics.advertisements_sent == before + 3
    assert host.runners[2].next_advertisement == 9.0


def test_a_round_that_is_late_by_an_interval_lets_everybody_speak_for_themselves() -> None:
    host = serving()
    host.wait(3.0)
    assert all(recorder.lines.count("8.0: priority 100") == 1 for recorder in host.recorders)
    assert all(runner.next_advertisement == 9.0 for runner in host.runners)
    host.wait(1.0)
    assert [sorted(map(host.runners.index, one.members)) for one in rounds(host)] == [[0, 1, 2]]


def test_the_last_to_leave_ends_the_round() -> None:
    host = serving()
    for runner in host.runners:
        runner.deliver(Shutdown("stopped"))
        host.schedule(runner)
    assert rounds(host) == []
    assert host.queue.next_deadline is None


def test_different_intervals_never_share_a_round() -> None:
    host = serving()
    slower = replace(settings(TIMES[0]).parameters, max_advertise_interval=200)
    host.runners[0].reconfigure(replace(SETTINGS, parameters=slower), frozenset())
    host.schedule(host.runners[0])
    host.wait(1.0)
    host.wait(1.0)
    host.wait(1.0)
    assert sorted(len(one.members) for one in rounds(host)) == [1, 2]


def test_a_backup_joins_none() -> None:
    host = Host(in_rounds=True)
    assert host.rounds is not None
    host.rounds.join(host.runners[0])
    assert rounds(host) == []
    assert host.runners[0].next_advertisement is None
