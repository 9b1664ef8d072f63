"""What holds for all bytes and all advertisements."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.protocol.builders import GROUP, GROUP6, HIGHER, OURS
from tests.protocol.strategies import datagrams_of_anything, sent
from tests.protocol.vectors import GOLDEN, VECTORS, Golden
from vrrpd.protocol.admission import AdmissionPolicy, Peer, admit
from vrrpd.protocol.datagram import Datagram, IPAddress, datagram_from_ipv4
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.packet import Advertisement, ChecksumForm, decode, encode
from vrrpd.protocol.peers import PeerLedger
from vrrpd.protocol.timing import Version, master_down_interval_microseconds, skew_time_microseconds

P = ParamSpec("P")
T = TypeVar("T")

POLICIES = [
    AdmissionPolicy(Version.V3, 100, GROUP),
    AdmissionPolicy(Version.V2, 100, GROUP),
    AdmissionPolicy(Version.V2, 100, GROUP, password=b"s3cret\0\0"),
    AdmissionPolicy(Version.V3, 100, GROUP6, strict=True),
    AdmissionPolicy(Version.V3, 100, None, peers={OURS: Peer(min_ttl=250), HIGHER: Peer()}),
]


def unless_discarded(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
    """What the function returns, None for a discarded packet; anything else that it raises fails the test."""
    try:
        return function(*arguments, **named)
    except Discard:
        return None


@pytest.mark.requirement("FMT-10", "FMT-13", "FMT-14", "FMT-15", "SHUT-2", "TX-1")
@given(sent())
def test_what_is_encoded_is_decoded_to_the_same(
    way: tuple[Advertisement, IPAddress, IPAddress, ChecksumForm],
) -> None:
    advertised, source, destination, form = way
    message = encode(advertised, source, destination, checksum_form=form)
    decoded = decode(Datagram(source, destination, 255, message))
    assert decoded.advertisement == advertised
    if advertised.version is Version.V2:
        form = ChecksumForm.MESSAGE_ONLY
    elif source.version == 6:
        form = ChecksumForm.PSEUDO_HEADER
    assert decoded.checksum_form in (form, ChecksumForm.EITHER)


@pytest.mark.requirement("RX-21", "RX-6")
@given(datagrams_of_anything(), st.sampled_from(POLICIES))
def test_any_bytes_are_an_advertisement_or_a_discard(datagram: Datagram, policy: AdmissionPolicy) -> None:
    decoded = unless_discarded(decode, datagram)
    if decoded is None:
        return
    unless_discarded(admit, decoded.advertisement, datagram, policy, {OURS})
    ledger = PeerLedger(Version.V3, 100, (OURS,), ChecksumForm.PSEUDO_HEADER)
    ledger.accepted(datagram.source, decoded, 0.0)


@pytest.mark.requirement("RX-1", "RX-21")
@given(st.binary(max_size=2000))
@example(b"")
@example(b"\x45" + bytes(19))
def test_any_ipv4_packet_is_taken_apart_or_discarded(packet: bytes) -> None:
    datagram = unless_discarded(datagram_from_ipv4, packet)
    if datagram is not None:
        assert len(datagram.message) <= len(packet) - 20
        unless_discarded(decode, datagram)


@pytest.mark.requirement("RX-1", "RX-21")
@given(st.sampled_from([v.packet for v in VECTORS if v.packet[0] >> 4 == 4]), st.data())
def test_any_damage_to_an_ipv4_packet_is_survived(packet: bytes, data: st.DataObject) -> None:
    damaged = bytearray(packet)
    for offset in data.draw(st.lists(st.integers(0, len(packet) - 1), max_size=4)):
        damaged[offset] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    datagram = unless_discarded(datagram_from_ipv4, bytes(damaged[:cut]))
    if datagram is not None:
        unless_discarded(decode, datagram)


@pytest.mark.counter_case("FMT-7", "RX-9")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_no_flipped_bit_goes_unnoticed_unless_it_makes_the_other_checksum_form(golden: Golden) -> None:
    """A flip cannot keep the form it hurts; only with IPv4 version 3 may it happen to fit the other one."""
    message = encode(golden.advertisement, golden.source, golden.destination, checksum_form=golden.form)
    for bit in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        decoded = unless_discarded(decode, Datagram(golden.source, golden.destination, 255, bytes(flipped)))
        if decoded is not None:
            assert (golden.advertisement.version, golden.source.version) == (Version.V3, 4)
            assert decoded.checksum_form not in (golden.form, ChecksumForm.EITHER)


@pytest.mark.counter_case("FMT-7", "RX-9")
@given(sent(), st.data())
def test_no_flipped_bit_goes_unnoticed_in_any_advertisement(
    way: tuple[Advertisement, IPAddress, IPAddress, ChecksumForm], data: st.DataObject
) -> None:
    advertised, source, destination, form = way
    message = bytearray(encode(advertised, source, destination, checksum_form=form))
    before = decode(Datagram(source, destination, 255, bytes(message))).checksum_form
    assume(before is not ChecksumForm.EITHER)
    bit = data.draw(st.integers(0, len(message) * 8 - 1))
    message[bit // 8] ^= 1 << bit % 8
    decoded = unless_discarded(decode, Datagram(source, destination, 255, bytes(message)))
    if decoded is not None:
        assert (advertised.version, source.version) == (Version.V3, 4)
        assert decoded.checksum_form is not before


@pytest.mark.requirement("TM-2", "TM-3", "TM-6")
@given(st.integers(1, 255), st.integers(1, 4095))
def test_the_skew_is_shorter_than_one_interval_and_falls_with_the_priority(priority: int, interval: int) -> None:
    skew = skew_time_microseconds(Version.V3, priority, interval)
    assert 0 < skew < interval * 10_000
    assert master_down_interval_microseconds(Version.V3, priority, interval) - skew == interval * 30_000
    if priority < 255:
        assert skew_time_microseconds(Version.V3, priority + 1, interval) < skew
