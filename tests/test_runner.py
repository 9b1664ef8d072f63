"""One virtual router driven: what the runner does with the router's actions, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.protocol.builders import (
    GLOBAL_VIP,
    GROUP,
    GROUP6,
    HIGHER,
    LINK_DOWN,
    LINK_LOCAL_VIP,
    LOWER,
    OTHER_VIP,
    OURS,
    VIP,
    advertisement,
    parameters,
)
from vrrpd.protocol.actions import Notice, NoticeKind, StateChanged, StateName
from vrrpd.protocol.admission import AdmissionPolicy, Peer
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.events import (
    AddressesTaken,
    FaultsChanged,
    HandOver,
    Shutdown,
    SourceChanged,
    Startup,
    WeightChanged,
)
from vrrpd.protocol.packet import Advertisement, ChecksumForm, Decoded, decode
from vrrpd.protocol.timing import Version
from vrrpd.runner import Runner, RunnerSettings


@dataclass
class Recorder:
    """A dataplane, an observer and a clock that write down what they are asked for."""

    now: float = 0.0
    lines: list[str] = field(default_factory=list)
    sent: list[tuple[bytes, IPAddress]] = field(default_factory=list)
    discards: list[tuple[IPAddress, DiscardReason]] = field(default_factory=list)
    notices: list[NoticeKind] = field(default_factory=list)

    def clock(self) -> float:
        """The time, as the test sets it."""
        return self.now

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        pass

    def send(self, message: bytes, destination: IPAddress) -> None:
        self.sent.append((message, destination))
        self.lines.append(f"send {message[2]} to {destination}")

    def install(self, only: frozenset[IPAddress] | None) -> None:
        self.lines.append(f"install {_listed(only)}")

    def withdraw(self) -> None:
        self.lines.append(f"withdraw {_listed(None)}")

    def leave(self, lifetime: int) -> None:
        self.lines.append(f"leave {_listed(None)} for {lifetime} s")

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        self.lines.append(f"announce {_listed(only)} x {repeat}")

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        assert runner.state is change.state
        self.lines.append(f"{change.previous.value} -> {change.state.value}")

    def noticed(self, runner: Runner, notice: Notice) -> None:
        self.notices.append(notice.kind)

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        self.discards.append((source, discard.reason))

    def advertisements(self) -> list[Advertisement]:
        """What was sent, decoded as another router would."""
        return [decode(Datagram(OURS, to, 255, message)).advertisement for message, to in self.sent]


def _listed(addresses: frozenset[IPAddress] | None) -> str:
    return "all" if addresses is None else ",".join(sorted(str(address) for address in addresses))


SETTINGS = RunnerSettings("VI_1", parameters(), AdmissionPolicy(Version.V3, 100, GROUP), (GROUP,))


def running(settings: RunnerSettings = SETTINGS, source: IPAddress = OURS) -> tuple[Runner, Recorder]:
    """A started runner and its recorder."""
    recorder = Recorder()
    runner = Runner(settings, recorder, recorder, recorder.clock)
    runner.deliver(SourceChanged(source))
    runner.deliver(Startup())
    return runner, recorder


def serving(settings: RunnerSettings = SETTINGS) -> tuple[Runner, Recorder]:
    """A runner that became MASTER at 10 s; what led there is not on record."""
    runner, recorder = running(settings)
    recorder.now = 10.0
    runner.expire()
    assert runner.state is StateName.MASTER
    recorder.lines.clear()
    recorder.sent.clear()
    return runner, recorder


def receive(
    runner: Runner,
    priority: int,
    *,
    source: IPAddress = HIGHER,
    hop_limit: int = 255,
    form: ChecksumForm = ChecksumForm.PSEUDO_HEADER,
    advertised: Advertisement | None = None,
) -> None:
    """Hands a decoded advertisement to a runner."""
    decoded = Decoded(advertised or advertisement(priority), form)
    runner.receive(Datagram(source, GROUP, hop_limit, b""), decoded, {OURS})


def test_becoming_master_is_applied_in_order() -> None:
    runner, recorder = running()
    assert recorder.lines == ["INIT -> BACKUP"]
    assert runner.deadline == 3.609375
    recorder.now = 3.609375
    runner.expire()
    assert recorder.lines[1:] == ["send 100 to 224.0.0.18", "install all", "announce all x 5", "BACKUP -> MASTER"]
    assert runner.deadline == 4.609375
    assert runner.since == 3.609375
    assert runner.last_change is not None
    assert runner.last_change.state is StateName.MASTER


def test_what_is_decided_ahead_is_asked_of_the_dataplane_and_so_for_nobody_else_until_it_is_confirmed() -> None:
    at_once, expected = running()
    expected.now = 3.609375
    at_once.expire()
    runner, recorder = running()
    recorder.now = 3.609
    runner.decide(3.609375)
    assert recorder.lines[1:] == ["send 100 to 224.0.0.18", "install all", "announce all x 5"]
    assert (runner.state, runner.deadline, runner.statistics) == (StateName.BACKUP, 3.609375, running()[0].statistics)
    recorder.now = 3.6095
    runner.confirm()
    assert recorder.lines == expected.lines
    assert recorder.sent == expected.sent
    assert runner.since == 3.6095
    assert runner.router.state == at_once.router.state
    assert runner.statistics == at_once.statistics
    assert runner.last_change == at_once.last_change


def test_what_was_decided_can_be_taken_back_and_decided_again() -> None:
    runner, recorder = running()
    receive(runner, 200)
    recorder.now = 3.609
    before = runner.statistics, runner.router.state, runner.since, runner.last_change
    runner.decide(3.609375)
    runner.take_back()
    assert recorder.lines[-1] == "withdraw all"
    assert (runner.statistics, runner.router.state, runner.since, runner.last_change) == before
    receive(runner, 200)
    assert runner.deadline == 3.609 + 3.609375
    runner.decide(3.609 + 3.609375)
    runner.confirm()
    assert runner.state is StateName.MASTER
    assert runner.statistics.advertisements_sent == runner.statistics.became_master == 1


@pytest.mark.requirement("SM-A-16")
def test_a_master_that_was_stopped_does_not_make_up_for_the_answers_of_that_time() -> None:
    runner, recorder = serving()
    recorder.now = 20.0
    decoded = Decoded(advertisement(50), ChecksumForm.PSEUDO_HEADER)
    for hundredths in range(900):
        waited = 11.0 + hundredths / 100
        runner.receive(Datagram(LOWER, GROUP, 255, b""), decoded, {OURS}, arrival=waited)
    assert len(recorder.sent) == 100


def test_handing_over_is_applied_in_order_and_going_on_for_a_predecessor_too() -> None:
    runner, recorder = serving()
    runner.deliver(HandOver("SIGTERM"))
    assert recorder.lines == ["send 100 to 224.0.0.18", "leave all for 2 s", "MASTER -> INIT"]
    assert runner.statistics.priority_zero_sent == 0
    recorder.lines.clear()
    runner.deliver(Startup(resume_until=11.0))
    assert recorder.lines == ["send 100 to 224.0.0.18", "install all", "announce all x 5", "INIT -> MASTER"]


@pytest.mark.requirement("SHUT-1", "SHUT-2", "SM-A-15", "K-STOP")
def test_leaving_by_shutdown_is_applied_in_order() -> None:
    runner, recorder = serving()
    runner.deliver(Shutdown("SIGTERM"))
    assert recorder.lines == ["send 0 to 224.0.0.18", "withdraw all", "MASTER -> INIT"]
    assert recorder.advertisements() == [advertisement(0)]
    assert runner.deadline is None


def test_expiring_early_does_nothing() -> None:
    runner, recorder = running()
    recorder.now = 3.0
    runner.expire()
    assert recorder.lines == ["INIT -> BACKUP"]


@pytest.mark.requirement("RX-20")
@pytest.mark.counter_case("SM-I-1")
def test_in_init_packets_are_not_even_counted() -> None:
    recorder = Recorder()
    runner = Runner(SETTINGS, recorder, recorder, recorder.clock)
    receive(runner, 200)
    receive(runner, 200, hop_limit=1)
    assert runner.state is StateName.INIT
    assert runner.statistics.advertisements_received == 0
    assert not runner.statistics.discarded
    assert runner.peers.peers == ()


@pytest.mark.requirement("RX-19", "RX-18")
@pytest.mark.counter_case("RX-3")
def test_a_discarded_packet_is_counted_and_changes_nothing() -> None:
    for runner, recorder in (running(), serving()):
        before, deadline = runner.router.state, runner.deadline
        recorder.now += 0.5
        for priority in (0, 50, 100, 200, 255):
            receive(runner, priority, hop_limit=254)
        assert runner.router.state is before
        assert runner.deadline == deadline
        assert runner.statistics.advertisements_received == 0
        assert runner.statistics.discarded == {DiscardReason.HOP_LIMIT: 5}
        assert recorder.discards == [(HIGHER, DiscardReason.HOP_LIMIT)] * 5
        assert not recorder.sent
        (peer,) = runner.peers.peers
        assert peer.last is None


@pytest.mark.requirement("RX-18", "RX-19")
def test_a_packet_that_was_no_advertisement_is_booked_and_changes_nothing() -> None:
    runner, recorder = serving()
    before = runner.router.state
    recorder.now = 10.5
    runner.reject(HIGHER, Discard(DiscardReason.CHECKSUM, "checksum is 0x1234"))
    assert runner.statistics.discarded == {DiscardReason.CHECKSUM: 1}
    assert recorder.discards == [(HIGHER, DiscardReason.CHECKSUM)]
    assert runner.router.state is before
    (peer,) = runner.peers.peers
    assert (peer.last, peer.last_heard, peer.discarded) == (None, 10.5, {DiscardReason.CHECKSUM: 1})


@pytest.mark.counter_case("RX-18", "RX-19")
def test_an_admitted_advertisement_is_counted_and_handled() -> None:
    runner, recorder = running()
    recorder.now = 2.0
    receive(runner, 200)
    receive(runner, 0)
    assert runner.deadline == 2.609375
    assert runner.statistics.advertisements_received == 2
    assert runner.statistics.priority_zero_received == 1
    assert runner.statistics.checksum_forms == {ChecksumForm.PSEUDO_HEADER: 2}


@pytest.mark.requirement("FMT-9", "RX-16")
def test_remarks_about_a_peer_reach_the_observer_once() -> None:
    runner, recorder = running()
    for _ in range(3):
        receive(runner, 200, form=ChecksumForm.MESSAGE_ONLY)
    assert recorder.notices == [NoticeKind.CHECKSUM_FORM]
    assert runner.statistics.notices == {"checksum_form": 1}


def test_remarks_are_repeated_after_a_change_of_state() -> None:
    runner, recorder = running()
    receive(runner, 200, form=ChecksumForm.MESSAGE_ONLY)
    runner.deliver(FaultsChanged((LINK_DOWN,)))
    runner.deliver(FaultsChanged(()))
    receive(runner, 200, form=ChecksumForm.MESSAGE_ONLY)
    assert recorder.notices == [NoticeKind.CHECKSUM_FORM] * 2


def test_masterships_and_priority_0_are_counted() -> None:
    runner, recorder = serving()
    receive(runner, 50)
    receive(runner, 200)
    recorder.now = 20.0
    runner.expire()
    runner.deliver(Shutdown("SIGTERM"))
    statistics = runner.statistics
    assert (statistics.became_master, statistics.released_master) == (2, 2)
    assert (statistics.advertisements_sent, statistics.priority_zero_sent) == (4, 1)


@pytest.mark.requirement("TX-2", "TM-5")
def test_the_interval_field_is_our_own_whatever_was_learned() -> None:
    runner, recorder = running()
    receive(runner, 200, advertised=advertisement(200, interval=300))
    recorder.now = 20.0
    runner.expire()
    (sent,) = recorder.advertisements()
    assert sent.max_advertise_interval == 100


@pytest.mark.requirement("TX-1", "TX-3")
def test_the_next_advertisement_carries_the_changed_priority() -> None:
    runner, recorder = serving()
    runner.deliver(WeightChanged(-40, "check web failed"))
    assert recorder.sent == []
    recorder.now = 11.0
    runner.expire()
    assert recorder.advertisements() == [advertisement(60)]


@pytest.mark.requirement("TX-1")
def test_a_new_source_address_is_in_the_next_checksum() -> None:
    runner, recorder = serving()
    runner.deliver(SourceChanged(LOWER))
    recorder.now = 11.0
    runner.expire()
    ((message, destination),) = recorder.sent
    assert decode(Datagram(LOWER, destination, 255, message)).checksum_form is ChecksumForm.PSEUDO_HEADER


@pytest.mark.requirement("HDR-3")
def test_without_a_source_address_nothing_is_sent() -> None:
    recorder = Recorder()
    runner = Runner(replace(SETTINGS, parameters=parameters(255)), recorder, recorder, recorder.clock)
    runner.deliver(Startup())
    assert recorder.sent == []


@pytest.mark.requirement("K-UNICAST")
def test_every_unicast_peer_gets_a_message_of_its_own() -> None:
    settings = replace(
        SETTINGS,
        admission=AdmissionPolicy(Version.V3, 100, None, peers={LOWER: Peer(), HIGHER: Peer()}),
        destinations=(LOWER, HIGHER),
    )
    _, recorder = running(replace(settings, parameters=parameters(255)))
    assert [destination for _, destination in recorder.sent] == [LOWER, HIGHER]
    assert len({message for message, _ in recorder.sent}) == 2
    assert recorder.advertisements() == [advertisement(255)] * 2


@pytest.mark.requirement("FMT-9")
def test_v3_checksum_as_v2_sends_the_other_form() -> None:
    settings = replace(SETTINGS, parameters=parameters(255), checksum_form=ChecksumForm.MESSAGE_ONLY)
    _, recorder = running(settings)
    ((message, destination),) = recorder.sent
    assert decode(Datagram(OURS, destination, 255, message)).checksum_form is ChecksumForm.MESSAGE_ONLY


@pytest.mark.counter_case("FMT-8", "FMT-9")
def test_v3_checksum_as_v2_means_nothing_for_ipv6() -> None:
    settings = RunnerSettings(
        "VI_6",
        parameters(255, addresses=(LINK_LOCAL_VIP, GLOBAL_VIP)),
        AdmissionPolicy(Version.V3, 100, GROUP6),
        (GROUP6,),
        ChecksumForm.MESSAGE_ONLY,
    )
    ours, theirs = IPv6Address("fe80::2"), IPv6Address("fe80::3")
    runner, recorder = running(settings, ours)
    ((message, destination),) = recorder.sent
    decoded = decode(Datagram(ours, destination, 255, message))
    assert decoded.checksum_form is ChecksumForm.PSEUDO_HEADER
    runner.receive(Datagram(theirs, GROUP6, 255, message), decoded, {ours})
    assert NoticeKind.CHECKSUM_FORM not in recorder.notices


@pytest.mark.requirement("V2-1", "V2-2", "V2-4")
@pytest.mark.parametrize(("password", "authentication_type"), [(None, 0), (b"s3cret\0\0", 1)])
def test_version_2_sends_its_authentication(password: bytes | None, authentication_type: int) -> None:
    settings = RunnerSettings(
        "VI_1",
        parameters(255, version=Version.V2),
        AdmissionPolicy(Version.V2, 100, GROUP, password=password),
        (GROUP,),
    )
    runner, recorder = running(settings)
    (sent,) = recorder.advertisements()
    assert sent.authentication_type == authentication_type
    assert sent.authentication_data == (password or bytes(8))
    receive(runner, 50, advertised=replace(sent, priority=50), form=ChecksumForm.MESSAGE_ONLY, source=LOWER)
    assert NoticeKind.CHECKSUM_FORM not in recorder.notices
    assert NoticeKind.LOSING_ADVERTISEMENT in recorder.notices


@pytest.mark.requirement("K-VIPDEL")
def test_addresses_that_somebody_removed_are_put_back() -> None:
    runner, recorder = serving()
    runner.deliver(AddressesTaken(frozenset({VIP})))
    assert recorder.lines == ["install 192.0.2.100", "announce 192.0.2.100 x 5"]
    assert recorder.notices[-1] is NoticeKind.ADDRESSES_TAKEN


@pytest.mark.requirement("SHUT-5", "TX-1")
def test_new_settings_take_effect_in_place() -> None:
    runner, recorder = serving()
    new = replace(
        SETTINGS,
        parameters=parameters(120, addresses=(OTHER_VIP,)),
        admission=AdmissionPolicy(Version.V3, 100, GROUP, strict=True),
    )
    runner.reconfigure(new, frozenset({OTHER_VIP}))
    assert recorder.lines == [
        "send 120 to 224.0.0.18",
        "install 192.0.2.101",
        "announce 192.0.2.101 x 5",
    ]
    assert recorder.advertisements() == [advertisement(120, addresses=(OTHER_VIP,))]
    assert runner.settings is new
    receive(runner, 50, advertised=advertisement(50, addresses=(OTHER_VIP,)), source=IPv4Address("192.0.2.9"))
    assert NoticeKind.ADDRESSES_DIFFER not in recorder.notices


def test_the_takeover_and_the_farewell_are_encoded_before_they_are_needed() -> None:
    runner, _ = running()
    assert set(runner._messages) == {100, 0}
    runner.deliver(WeightChanged(20, "check web"))
    assert {120, 0} <= set(runner._messages)
