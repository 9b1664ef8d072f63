"""Advertisements as bytes: golden frames of other software, receive vectors, and each rule of the format alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.protocol.builders import GLOBAL_VIP, GROUP, GROUP6, HIGHER, LINK_LOCAL_VIP, LOWER, OTHER_VIP, VIP
from tests.protocol.builders import advertisement as an_advertisement
from tests.protocol.vectors import GOLDEN, VECTORS, Golden, Vector, datagram_of
from vrrpd.protocol.admission import admit
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.packet import Advertisement, ChecksumForm, decode, encode, internet_checksum
from vrrpd.protocol.timing import Version

PEER = IPv4Address("192.0.2.9")
ROUTER6 = IPv6Address("fe80::1")


def over_ipv4(message: bytes, source: IPv4Address = LOWER, destination: IPv4Address = GROUP) -> Datagram:
    """A message as it arrives over IPv4."""
    return Datagram(source, destination, 255, message)


def over_ipv6(message: bytes) -> Datagram:
    """A message as it arrives over IPv6."""
    return Datagram(ROUTER6, GROUP6, 255, message)


def with_sum(message: bytes) -> bytes:
    """The message with a right checksum over the message alone."""
    zeroed = message[:6] + b"\0\0" + message[8:]
    return message[:6] + reference_checksum(zeroed).to_bytes(2, "big") + message[8:]


def reference_checksum(data: bytes) -> int:
    """RFC 1071 word by word, with end-around carry: slow and plain."""
    total = 0
    for offset in range(0, len(data), 2):
        total += int.from_bytes(data[offset : offset + 2], "big")
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def discarded(datagram: Datagram) -> Discard:
    """The reason why a message is no advertisement."""
    with pytest.raises(Discard) as caught:
        decode(datagram)
    return caught.value


# -- other software's frames ------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "FMT-1", "FMT-3", "FMT-4", "FMT-5", "FMT-7", "FMT-8", "FMT-9", "FMT-10", "FMT-13", "FMT-15", "V2-1", "V2-2",
    "V2-4", "FMT-11", "TM-1", "RX-5", "RX-6", "RX-8", "RX-13",
)  # fmt: skip
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_golden_frames_are_read_as_they_were_meant(golden: Golden) -> None:
    datagram = datagram_of(golden.packet)
    assert (datagram.source, datagram.destination) == (golden.source, golden.destination)
    assert datagram.hop_limit == golden.hop_limit == 255
    decoded = decode(datagram)
    assert decoded.advertisement == golden.advertisement
    assert decoded.checksum_form is golden.form


@pytest.mark.requirement(
    "FMT-1", "FMT-7", "FMT-8", "FMT-9", "FMT-13", "FMT-14", "FMT-15", "TX-1", "V2-1", "V2-2", "V2-4"
)
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_golden_frames_are_built_to_the_byte(golden: Golden) -> None:
    built = encode(golden.advertisement, golden.source, golden.destination, checksum_form=golden.form)
    assert built == datagram_of(golden.packet).message


@pytest.mark.requirement("TX-4", "SHUT-2")
def test_a_priority_0_message_differs_in_priority_and_checksum_only() -> None:
    usual, farewell = (
        encode(an_advertisement(priority, addresses=(VIP, OTHER_VIP)), LOWER, GROUP) for priority in (150, 0)
    )
    different = [offset for offset in range(len(usual)) if usual[offset] != farewell[offset]]
    assert 2 in different
    assert set(different) <= {2, 6, 7}
    assert decode(over_ipv4(farewell)).advertisement.priority == 0


# -- receive vectors --------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "RX-1", "RX-2", "RX-3", "RX-4", "RX-5", "RX-6", "RX-7", "RX-8", "RX-9", "RX-10", "RX-12", "RX-13", "RX-14",
    "RX-16", "RX-17", "RX-21", "FMT-8", "FMT-10", "FMT-14", "FMT-16", "V2-2", "V2-3", "V2-5", "V2-7", "V2-9", "V2-10",
)  # fmt: skip
@pytest.mark.counter_case(
    "RX-2", "RX-3", "RX-4", "RX-5", "RX-6", "RX-7", "RX-8", "RX-9", "RX-10", "RX-13", "RX-14", "FMT-6", "FMT-8",
    "FMT-10", "FMT-11", "FMT-14", "FMT-16", "V2-1", "V2-2", "V2-5", "V2-7", "V2-10",
)  # fmt: skip
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_receive_vectors_are_accepted_or_discarded_with_their_reason(vector: Vector) -> None:
    datagram = datagram_of(vector.packet)
    verdict: DiscardReason | None = None
    try:
        decoded = decode(datagram)
        admit(decoded.advertisement, datagram, vector.policy, own_addresses=())
        assert decoded.advertisement.vrid == vector.vrid
    except Discard as discard:
        verdict = discard.reason
    assert verdict is vector.reason


def test_the_set_of_receive_vectors_is_complete() -> None:
    assert len(VECTORS) == 61
    assert sum(vector.reason is None for vector in VECTORS) == 18
    assert len(GOLDEN) == 21


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("FMT-1", "FMT-2", "FMT-3", "FMT-4", "FMT-5", "FMT-15")
def test_the_fields_of_version_3_are_where_the_rfc_has_them() -> None:
    message = encode(
        Advertisement(Version.V3, 0x33, 0x96, 0x0123, (VIP, OTHER_VIP)),
        LOWER,
        GROUP,
        checksum_form=ChecksumForm.MESSAGE_ONLY,
    )
    assert message[:6].hex() == "313396020123"
    assert message[8:].hex() == "c0000264" + "c0000265"


@pytest.mark.requirement("V2-1")
def test_the_fields_of_version_2_are_where_the_rfc_has_them() -> None:
    message = encode(Advertisement(Version.V2, 0x33, 0x96, 25500, (VIP,), 1, b"s3cret\0\0"), LOWER, GROUP)
    assert message[:6].hex() == "2133960101ff"
    assert message[8:] == VIP.packed + b"s3cret\0\0"


@pytest.mark.counter_case("FMT-6")
def test_the_reserved_nibble_is_ignored() -> None:
    message = with_sum(bytes.fromhex("313364010000") + b"\0\0" + VIP.packed)
    for nibble in range(16):
        reserved = with_sum(message[:4] + bytes((nibble << 4 | 0x1, 0x2C)) + message[6:])
        assert decode(over_ipv4(reserved)).advertisement.max_advertise_interval == 300


@pytest.mark.requirement("FMT-6", "TM-1")
@pytest.mark.parametrize("interval", [1, 100, 4095])
def test_the_reserved_nibble_is_sent_as_0(interval: int) -> None:
    assert encode(an_advertisement(interval=interval), LOWER, GROUP)[4] >> 4 == 0


@pytest.mark.requirement("FMT-13")
def test_the_order_of_the_addresses_is_kept() -> None:
    addresses = tuple(IPv4Address(f"192.0.2.{last}") for last in (9, 3, 200, 1))
    assert decode(over_ipv4(encode(an_advertisement(addresses=addresses), LOWER, GROUP))).advertisement.addresses == (
        addresses
    )


@pytest.mark.requirement("FMT-4")
def test_255_addresses_are_the_most() -> None:
    addresses = tuple(IPv4Address(f"192.0.2.{last}") for last in range(255))
    message = encode(an_advertisement(addresses=addresses), LOWER, GROUP)
    assert len(message) == 1028
    assert decode(over_ipv4(message)).advertisement.addresses == addresses


@pytest.mark.requirement("FMT-10", "FMT-11")
def test_ipv6_addresses_have_16_bytes() -> None:
    message = encode(an_advertisement(addresses=(LINK_LOCAL_VIP, GLOBAL_VIP)), ROUTER6, GROUP6)
    assert len(message) == 40
    decoded = decode(over_ipv6(message))
    assert decoded.advertisement.addresses == (LINK_LOCAL_VIP, GLOBAL_VIP)
    assert decoded.checksum_form is ChecksumForm.PSEUDO_HEADER


@pytest.mark.requirement("FMT-8")
@pytest.mark.counter_case("FMT-9")
def test_ipv6_has_one_checksum_form_whatever_is_asked_for() -> None:
    advertised = an_advertisement(addresses=(LINK_LOCAL_VIP,))
    forms = (ChecksumForm.PSEUDO_HEADER, ChecksumForm.MESSAGE_ONLY)
    assert len({encode(advertised, ROUTER6, GROUP6, checksum_form=form) for form in forms}) == 1


def encoder_refuses(
    advertisement: Advertisement, source: IPAddress = LOWER, destination: IPAddress = GROUP, *, saying: str
) -> None:
    """The encoder raises ValueError with these words in it."""
    with pytest.raises(ValueError, match=saying):
        encode(advertisement, source, destination)


@pytest.mark.counter_case("FMT-2", "FMT-3", "FMT-4", "FMT-5", "FMT-11", "TM-1")
def test_the_encoder_refuses_fields_that_do_not_fit() -> None:
    good = an_advertisement()
    for vrid in (0, 256):
        encoder_refuses(replace(good, vrid=vrid), saying=f"virtual router id is {vrid}, expected 1 to 255")
    for priority in (-1, 256):
        encoder_refuses(replace(good, priority=priority), saying=f"priority is {priority}, expected 0 to 255")
    for interval in (0, 4096):
        encoder_refuses(replace(good, max_advertise_interval=interval), saying="expected 1 to 4095")
    encoder_refuses(replace(good, addresses=()), saying="0 addresses, expected 1 to 255")
    encoder_refuses(replace(good, addresses=(VIP,) * 256), saying="256 addresses, expected 1 to 255")
    encoder_refuses(replace(good, addresses=(VIP, GLOBAL_VIP)), saying="another family")
    encoder_refuses(good, ROUTER6, GROUP6, saying="another family")


@pytest.mark.counter_case("V2-1", "MIX-8")
def test_the_encoder_refuses_fields_that_do_not_fit_version_2() -> None:
    good = an_advertisement(version=Version.V2)
    for interval in (0, 50, 150, 25600):
        encoder_refuses(replace(good, max_advertise_interval=interval), saying="whole seconds from 1 to 255")
    encoder_refuses(replace(good, authentication_data=b"short"), saying="8 bytes of authentication data")
    encoder_refuses(replace(good, authentication_type=256), saying="authentication type is 256, expected 0 to 255")
    encoder_refuses(replace(good, addresses=(GLOBAL_VIP,)), ROUTER6, GROUP6, saying="version 2 is IPv4 only")


# -- checksums --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("FMT-7")
@pytest.mark.parametrize(
    ("data", "expected"),
    [("0001f203f4f5f6f7", 0x220D), ("ffff", 0x0000), ("00010001", 0xFFFD), ("ffff0001", 0xFFFE), ("fffe0001", 0x0000)],
)
def test_the_internet_checksum_is_that_of_rfc_1071(data: str, expected: int) -> None:
    assert internet_checksum(bytes.fromhex(data)) == expected == reference_checksum(bytes.fromhex(data))


@pytest.mark.requirement("FMT-9", "RX-9")
def test_both_forms_of_the_ipv4_checksum_are_accepted_and_told_apart() -> None:
    forms = {}
    for form in (ChecksumForm.PSEUDO_HEADER, ChecksumForm.MESSAGE_ONLY):
        message = encode(an_advertisement(150), LOWER, GROUP, checksum_form=form)
        forms[message[6:8].hex()] = decode(over_ipv4(message)).checksum_form
    assert forms == {"d371": ChecksumForm.PSEUDO_HEADER, "7602": ChecksumForm.MESSAGE_ONLY}


@pytest.mark.requirement("FMT-16", "RX-9")
def test_a_checksum_that_fits_both_forms_is_named_either() -> None:
    vector = next(vector for vector in VECTORS if vector.name == "OK4-BOTH")
    assert decode(datagram_of(vector.packet)).checksum_form is ChecksumForm.EITHER


@pytest.mark.requirement("FMT-16")
def test_a_correct_checksum_may_be_0() -> None:
    vector = next(vector for vector in VECTORS if vector.name == "OK4-ZERO")
    datagram = datagram_of(vector.packet)
    assert datagram.message[6:8] == b"\0\0"
    assert decode(datagram).checksum_form is ChecksumForm.MESSAGE_ONLY


@pytest.mark.counter_case("FMT-9", "RX-9")
def test_a_wrong_checksum_is_named_with_both_right_ones() -> None:
    message = encode(an_advertisement(150), LOWER, GROUP)
    discard = discarded(over_ipv4(message[:6] + b"\x12\x34" + message[8:]))
    assert discard.reason is DiscardReason.CHECKSUM
    assert discard.detail == ("checksum is 0x1234, expected 0xd371 (with pseudo-header) or 0x7602 (message only)")


def test_a_wrong_version_2_checksum_is_named_with_the_one_right_one() -> None:
    message = encode(an_advertisement(150, version=Version.V2), LOWER, GROUP)
    discard = discarded(over_ipv4(message[:6] + b"\x12\x34" + message[8:]))
    assert discard.detail == "checksum is 0x1234, expected 0x8665 (message only)"


@pytest.mark.counter_case("RX-9", "FMT-8")
def test_a_wrong_ipv6_checksum_is_named_with_the_one_right_one() -> None:
    message = encode(an_advertisement(150, addresses=(LINK_LOCAL_VIP, GLOBAL_VIP), vrid=61), ROUTER6, GROUP6)
    discard = discarded(over_ipv6(message[:6] + b"\x12\x34" + message[8:]))
    assert discard.reason is DiscardReason.CHECKSUM
    assert discard.detail == "checksum is 0x1234, expected 0x0deb (with pseudo-header)"


@pytest.mark.requirement("K-UNICAST")
@pytest.mark.counter_case("K-UNICAST")
def test_a_unicast_checksum_covers_the_address_that_was_used() -> None:
    message = encode(an_advertisement(), LOWER, HIGHER)
    assert decode(over_ipv4(message, destination=HIGHER)).checksum_form is ChecksumForm.PSEUDO_HEADER
    assert discarded(over_ipv4(message, destination=PEER)).reason is DiscardReason.CHECKSUM


@pytest.mark.requirement("K-UNICAST")
def test_the_multicast_pseudo_header_of_old_keepalived_is_recognised_in_unicast_only() -> None:
    message = encode(an_advertisement(), LOWER, GROUP)
    assert decode(over_ipv4(message, destination=HIGHER)).checksum_form is ChecksumForm.MULTICAST_PSEUDO_HEADER
    version_2 = encode(an_advertisement(version=Version.V2), LOWER, GROUP)
    assert decode(over_ipv4(version_2, destination=HIGHER)).checksum_form is ChecksumForm.MESSAGE_ONLY


# -- what is no advertisement -----------------------------------------------------------------------------------------


@pytest.mark.counter_case("RX-6")
@pytest.mark.parametrize("length", range(8))
def test_a_message_shorter_than_its_header_is_discarded(length: int) -> None:
    message = encode(an_advertisement(), LOWER, GROUP)[:length]
    assert discarded(over_ipv4(message)).detail == f"message has {length} bytes, expected at least 8"


@pytest.mark.counter_case("FMT-1", "RX-4")
@pytest.mark.parametrize("version", [version for version in range(16) if version not in (2, 3)])
def test_only_versions_2_and_3_exist(version: int) -> None:
    message = bytes((version << 4 | 1,)) + encode(an_advertisement(), LOWER, GROUP)[1:]
    discard = discarded(over_ipv4(message))
    assert discard.reason is DiscardReason.VERSION
    assert discard.detail == f"version is {version}, expected 2 or 3"


@pytest.mark.counter_case("RX-4", "MIX-8")
def test_version_2_over_ipv6_is_discarded() -> None:
    message = b"\x21" + encode(an_advertisement(addresses=(LINK_LOCAL_VIP,)), ROUTER6, GROUP6)[1:]
    discard = discarded(over_ipv6(message))
    assert discard.reason is DiscardReason.VERSION
    assert discard.detail == "version is 2, expected 3 (IPv6)"


@pytest.mark.counter_case("FMT-1", "RX-5")
@pytest.mark.parametrize("message_type", [0, *range(2, 16)])
def test_type_1_is_the_only_type(message_type: int) -> None:
    message = bytes((0x30 | message_type,)) + encode(an_advertisement(), LOWER, GROUP)[1:]
    discard = discarded(over_ipv4(message))
    assert discard.reason is DiscardReason.TYPE
    assert discard.detail == f"type is {message_type}, expected 1 (advertisement)"


@pytest.mark.counter_case("FMT-14", "RX-6", "RX-7")
@pytest.mark.parametrize("difference", [-4, -1, 1, 4, 16, 27, 29])
def test_another_length_than_the_address_count_asks_for_is_discarded(difference: int) -> None:
    message = encode(an_advertisement(), LOWER, GROUP)
    changed = message[:difference] if difference < 0 else message + bytes(difference)
    discard = discarded(over_ipv4(changed))
    assert discard.reason is DiscardReason.LENGTH
    assert discard.detail == f"message has {12 + difference} bytes, expected 12 for 1 addresses"


@pytest.mark.counter_case("RX-7")
def test_28_bytes_too_many_are_explained_as_auth_hmac() -> None:
    discard = discarded(over_ipv4(encode(an_advertisement(), LOWER, GROUP) + bytes(28)))
    assert discard.reason is DiscardReason.LENGTH
    assert "keepalived's auth_hmac" in discard.detail


@pytest.mark.requirement("K-CHECKS")
@pytest.mark.counter_case("RX-8", "V2-10")
def test_an_address_count_of_0_is_discarded_in_both_versions() -> None:
    for message in ("3133640000640000", "2133640000010000" + "0000000000000000"):
        discard = discarded(over_ipv4(with_sum(bytes.fromhex(message))))
        assert discard.reason is DiscardReason.ADDRESS_COUNT
        assert discard.detail == "address count is 0, expected at least 1"


@pytest.mark.requirement("K-CHECKS")
@pytest.mark.counter_case("RX-13", "V2-7", "FMT-5", "TM-1")
def test_an_interval_of_0_is_discarded_in_both_versions() -> None:
    version_3 = with_sum(bytes.fromhex("3133640100000000") + VIP.packed)
    version_2 = with_sum(bytes.fromhex("2133640100000000") + VIP.packed + bytes(8))
    for message in (version_3, version_2):
        discard = discarded(over_ipv4(message))
        assert discard.reason is DiscardReason.INTERVAL
        assert discard.detail == "advertisement interval is 0, expected at least 1"


@pytest.mark.counter_case("FMT-2")
def test_a_virtual_router_id_of_0_is_discarded() -> None:
    discard = discarded(over_ipv4(with_sum(bytes.fromhex("3100640100640000") + VIP.packed)))
    assert discard.reason is DiscardReason.VRID
