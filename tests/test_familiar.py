"""The short way of an advertisement that was heard before, held against the long way: same packets, same everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.builders import GROUP, HIGHER, LINK_DOWN, LOWER, OURS, advertisement
from tests.test_runner import SETTINGS, Recorder, running
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.datagram import Datagram
from vrrpd.protocol.events import FaultsChanged, WeightChanged
from vrrpd.protocol.packet import ChecksumForm, Decoded
from vrrpd.runner import Runner, RunnerSettings


@dataclass(frozen=True, slots=True)
class Packet:
    """One of the packets that a LAN may bring; equal packets have equal signatures, like real ones."""

    source: IPv4Address
    priority: int
    interval: int = 100
    hop_limit: int = 255
    form: ChecksumForm = ChecksumForm.PSEUDO_HEADER

    def hand_to(self, runner: Runner) -> None:
        """Takes the long way."""
        decoded = Decoded(advertisement(self.priority, interval=self.interval), self.form)
        runner.receive(Datagram(self.source, GROUP, self.hop_limit, b""), decoded, {OURS}, self)


PACKETS = st.sampled_from(
    [
        Packet(HIGHER, 200),
        Packet(HIGHER, 200, interval=300),
        Packet(HIGHER, 100),
        Packet(HIGHER, 0),
        Packet(HIGHER, 200, hop_limit=64),
        Packet(HIGHER, 200, form=ChecksumForm.MESSAGE_ONLY),
        Packet(LOWER, 200),
        Packet(LOWER, 50),
        Packet(LOWER, 100),
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("packet"), PACKETS, st.integers(1, 4)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 1.0, 4.0]), st.just(1)),
        st.tuples(st.just("weight"), st.sampled_from([-60, 0, 120]), st.just(1)),
        st.tuples(st.just("fault"), st.booleans(), st.just(1)),
    ),
    max_size=30,
)
RULES = st.sampled_from(
    [{}, {"preempt": False}, {"preempt_delay": 2.0}, {"priority": 255, "owner_starts_as_master": False}]
)


def settings_with(rules: dict[str, object]) -> RunnerSettings:
    return replace(SETTINGS, parameters=replace(SETTINGS.parameters, **rules))  # type: ignore[arg-type]


def seen(runner: Runner, recorder: Recorder) -> tuple[object, ...]:
    """All that anybody can see of a runner."""
    peers = [
        (peer.source, peer.last_heard, peer.accepted, dict(peer.discarded), peer.last, peer.checksum_form, peer.remarks)
        for peer in runner.peers.peers
    ]
    return (
        runner.router.state,
        runner.deadline,
        runner.statistics,
        peers,
        recorder.lines,
        recorder.notices,
        recorder.sent,
    )


@given(RULES, STEPS)
def test_the_short_way_does_what_the_long_way_does(
    rules: dict[str, object], steps: list[tuple[str, object, int]]
) -> None:
    short, short_recorder = running(settings_with(rules))
    long, long_recorder = running(settings_with(rules))
    for what, value, times in steps:
        for _ in range(times):
            for recorder in (short_recorder, long_recorder):
                recorder.now += value if what == "wait" and isinstance(value, float) else 0.01
            if isinstance(value, Packet):
                if not short.hear_again(value, short_recorder.now):
                    value.hand_to(short)
                value.hand_to(long)
            for runner in (short, long):
                if what == "weight" and isinstance(value, int):
                    runner.deliver(WeightChanged(value, "check web"))
                elif what == "fault":
                    runner.deliver(FaultsChanged((LINK_DOWN,) if value else ()))
                elif what == "wait":
                    runner.expire()
            assert seen(short, short_recorder) == seen(long, long_recorder)


def test_the_second_equal_advertisement_takes_the_short_way() -> None:
    runner, recorder = running()
    packet = Packet(HIGHER, 200)
    assert not runner.hear_again(packet, recorder.now)
    packet.hand_to(runner)
    recorder.now = 1.0
    assert runner.hear_again(packet, recorder.now)
    assert runner.deadline == 4.609375
    assert not runner.hear_again(Packet(HIGHER, 201), recorder.now)


def test_a_changed_surrounding_sends_the_next_one_the_long_way() -> None:
    runner, recorder = running()
    packet = Packet(HIGHER, 200)
    packet.hand_to(runner)
    runner.forget_familiar()
    assert not runner.hear_again(packet, recorder.now)


def test_a_discarded_lower_priority_is_never_taken_for_a_master() -> None:
    runner, recorder = running()
    for _ in range(3):
        recorder.now += 1.0
        assert not runner.hear_again(Packet(LOWER, 50), recorder.now)
        Packet(LOWER, 50).hand_to(runner)
    assert runner.deadline == 3.609375
    recorder.now = 3.609375
    runner.expire()
    assert runner.state is StateName.MASTER


def test_what_was_heard_the_short_way_counts_from_its_arrival_and_is_booked_when_somebody_looks() -> None:
    runner, recorder = running()
    packet = Packet(HIGHER, 200)
    packet.hand_to(runner)
    recorder.now = 5.0
    assert runner.hear_again(packet, 1.0)
    assert runner.hear_again(packet, 2.0)
    assert runner.deadline == 5.609375
    assert runner.statistics.advertisements_received == 3
    assert runner.peers.peers[0].accepted == 3
    assert runner.peers.peers[0].last_heard == 2.0
    assert runner.router.deadline == 5.609375


def test_what_is_heard_may_wait_until_something_would_be_too_late_for_it() -> None:
    runner, recorder = running()
    assert runner.patience == 0.609375, "the skew time after a farewell"
    Packet(HIGHER, 200, interval=10).hand_to(runner)
    assert runner.patience == 0.060937, "by the interval of the master that is followed, in whole microseconds"
    recorder.now = 1.0
    runner.expire()
    assert runner.patience == 0.0, "a MASTER answers at once"
    runner.deliver(FaultsChanged((LINK_DOWN,)))
    assert runner.patience == float("inf")
