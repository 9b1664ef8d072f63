"""Advertisements as bytes: RFC 9568 sections 5.2 and 7.1 (version 3), RFC 3768 section 5.3 (version 2).

``encode`` and ``decode`` answer one question, "is it an advertisement?". Whether it is for us is asked in
``admission``, what it means in ``router``.

The IPv4 checksum of version 3 exists in two forms. RFC 5798 was read by keepalived and FRR as "with an IPv4
pseudo-header", RFC 9568 settles for the message alone. Both are accepted, each verified in full; which one was seen is
part of the answer, because a peer of the other form most likely drops what we send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrpd.protocol.datagram import VRRP_PROTOCOL, Datagram, IPAddress
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.protocol.timing import CENTISECONDS_PER_SECOND, Version

ADVERTISEMENT_TYPE: Final = 1
HEADER_LENGTH: Final = 8
AUTHENTICATION_LENGTH: Final = 8
NO_AUTHENTICATION: Final = 0
SIMPLE_PASSWORD: Final = 1

_HEADER: Final = struct.Struct("!BBBBHH")
_MAXIMUM_INTERVAL_FIELD: Final = 0x0FFF
_IPV4_GROUP: Final = IPv4Address("224.0.0.18").packed
_AUTH_HMAC_TRAILER_LENGTH: Final = 28


class ChecksumForm(Enum):
    """What a checksum covers besides the message. The values are public: ``status`` and metrics use them."""

    PSEUDO_HEADER = "pseudo_header"
    """Message and pseudo-header: IPv6 always, IPv4 version 3 as keepalived and FRR send it."""
    MESSAGE_ONLY = "message_only"
    """The message alone: version 2 always, IPv4 version 3 as RFC 9568 section 5.2.8 says."""
    EITHER = "either"
    """IPv4 version 3, where both forms happen to give the same value."""
    MULTICAST_PSEUDO_HEADER = "multicast_pseudo_header"
    """IPv4 unicast with the multicast group in the pseudo-header: keepalived up to 1.3.6."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The fields of one advertisement. ``addresses`` are of the family of the packet that carries it."""

    version: Version
    vrid: int
    """1 to 255."""
    priority: int
    """0 gives up the master role, 255 is the address owner."""
    max_advertise_interval: int
    """Centiseconds: 1 to 4095 in version 3, whole seconds (100 to 25500) in version 2."""
    addresses: tuple[IPAddress, ...]
    authentication_type: int = NO_AUTHENTICATION
    """Version 2 only (RFC 3768 section 5.3.6)."""
    authentication_data: bytes = bytes(AUTHENTICATION_LENGTH)
    """Version 2 only: always 8 bytes."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A well-formed advertisement and the form of checksum that it came with."""

    advertisement: Advertisement
    checksum_form: ChecksumForm


def encode(
    advertisement: Advertisement,
    source: IPAddress,
    destination: IPAddress,
    *,
    checksum_form: ChecksumForm = ChecksumForm.PSEUDO_HEADER,
) -> bytes:
    """Builds the message, from the version byte to the last address (version 2: to the authentication data).

    ``checksum_form`` matters for version 3 over IPv4 only; the other two have just one form.
    Raises ``ValueError`` for a field that does not fit the format: configuration is checked long before.
    """
    is_v2 = advertisement.version is Version.V2
    interval = advertisement.max_advertise_interval
    if not 1 <= advertisement.vrid <= 255:
        raise ValueError(f"virtual router id is {advertisement.vrid}, expected 1 to 255")
    if not 0 <= advertisement.priority <= 255:
        raise ValueError(f"priority is {advertisement.priority}, expected 0 to 255")
    if is_v2:
        if interval % CENTISECONDS_PER_SECOND or not 1 <= interval // CENTISECONDS_PER_SECOND <= 255:
            raise ValueError(f"interval is {interval} cs, version 2 expects whole seconds from 1 to 255")
        word = advertisement.authentication_type << 8 | interval // CENTISECONDS_PER_SECOND
    else:
        if not 1 <= interval <= _MAXIMUM_INTERVAL_FIELD:
            raise ValueError(f"interval is {interval} cs, expected 1 to 4095")
        word = interval
    if not 1 <= len(advertisement.addresses) <= 255:
        raise ValueError(f"{len(advertisement.addresses)} addresses, expected 1 to 255")
    if any(address.version != source.version for address in advertisement.addresses):
        raise ValueError(f"addresses of another family than the source address {source}")
    if is_v2 and (source.version != 4 or len(advertisement.authentication_data) != AUTHENTICATION_LENGTH):
        raise ValueError("version 2 is IPv4 only and carries 8 bytes of authentication data")
    if is_v2 and not 0 <= advertisement.authentication_type <= 255:
        raise ValueError(f"authentication type is {advertisement.authentication_type}, expected 0 to 255")
    message = b"".join(
        (
            _HEADER.pack(
                advertisement.version << 4 | ADVERTISEMENT_TYPE,
                advertisement.vrid,
                advertisement.priority,
                len(advertisement.addresses),
                word,
                0,
            ),
            *(address.packed for address in advertisement.addresses),
            advertisement.authentication_data if is_v2 else b"",
        )
    )
    if is_v2 or (source.version == 4 and checksum_form is ChecksumForm.MESSAGE_ONLY):
        covered = message
    else:
        covered = _pseudo_header(source.packed, destination.packed, len(message)) + message
    return message[:6] + internet_checksum(covered).to_bytes(2, "big") + message[8:]


def decode(datagram: Datagram) -> Decoded:
    """Takes an advertisement apart; raises ``Discard`` with the first thing that is wrong, and nothing else ever."""
    message = datagram.message
    family = datagram.source.version
    if len(message) < HEADER_LENGTH:
        raise Discard(DiscardReason.LENGTH, f"message has {len(message)} bytes, expected at least 8")
    version_and_type, vrid, priority, count, word, _ = _HEADER.unpack_from(message)
    version, message_type = version_and_type >> 4, version_and_type & 0x0F
    if version not in (2, 3) or (version == 2 and family == 6):
        raise Discard(
            DiscardReason.VERSION, f"version is {version}, expected {'3 (IPv6)' if family == 6 else '2 or 3'}"
        )
    if message_type != ADVERTISEMENT_TYPE:
        raise Discard(DiscardReason.TYPE, f"type is {message_type}, expected 1 (advertisement)")
    address_length = 4 if family == 4 else 16
    trailer_length = AUTHENTICATION_LENGTH if version == 2 else 0
    addresses_end = HEADER_LENGTH + count * address_length
    _check_length(message, count, addresses_end + trailer_length)
    if count == 0:
        raise Discard(DiscardReason.ADDRESS_COUNT, "address count is 0, expected at least 1")
    form = _checksum_form(datagram, version)
    interval = (word & 0xFF) * CENTISECONDS_PER_SECOND if version == 2 else word & _MAXIMUM_INTERVAL_FIELD
    if interval == 0:
        raise Discard(DiscardReason.INTERVAL, "advertisement interval is 0, expected at least 1")
    if vrid == 0:
        raise Discard(DiscardReason.VRID, "virtual router id is 0, expected 1 to 255")
    make: type[IPv4Address] | type[IPv6Address] = IPv4Address if family == 4 else IPv6Address
    return Decoded(
        Advertisement(
            version=Version(version),
            vrid=vrid,
            priority=priority,
            max_advertise_interval=interval,
            addresses=tuple(
                make(message[offset : offset + address_length])
                for offset in range(HEADER_LENGTH, addresses_end, address_length)
            ),
            authentication_type=word >> 8 if version == 2 else NO_AUTHENTICATION,
            authentication_data=message[addresses_end:] if version == 2 else bytes(AUTHENTICATION_LENGTH),
        ),
        form,
    )


def internet_checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes that are not all zero.

    2**16 is 1 modulo 0xFFFF, so the one's complement sum of the 16-bit words is the whole number modulo 0xFFFF.
    """
    return -int.from_bytes(data, "big") % 0xFFFF


def _check_length(message: bytes, count: int, expected: int) -> None:
    if len(message) == expected:
        return
    detail = f"message has {len(message)} bytes, expected {expected} for {count} addresses"
    if len(message) == expected + _AUTH_HMAC_TRAILER_LENGTH:
        detail += " (28 bytes more: the peer may use keepalived's auth_hmac, which nobody else can read)"
    raise Discard(DiscardReason.LENGTH, detail)


def _checksum_form(datagram: Datagram, version: int) -> ChecksumForm:
    message = datagram.message
    source, destination = datagram.source.packed, datagram.destination.packed
    # An odd length cannot happen here: the length was checked to be 8 + 4n, 8 + 16n or 16 + 4n.
    message_only = version == 2 or datagram.source.version == 4
    pseudo_header = version == 3
    fits_message = message_only and _sums_to_ffff(message)
    fits_pseudo = pseudo_header and _sums_to_ffff(_pseudo_header(source, destination, len(message)) + message)
    if fits_message and fits_pseudo:
        return ChecksumForm.EITHER
    if fits_pseudo:
        return ChecksumForm.PSEUDO_HEADER
    if fits_message:
        return ChecksumForm.MESSAGE_ONLY
    if (
        version == 3
        and datagram.source.version == 4
        and not datagram.destination.is_multicast
        and _sums_to_ffff(_pseudo_header(source, _IPV4_GROUP, len(message)) + message)
    ):
        return ChecksumForm.MULTICAST_PSEUDO_HEADER
    zeroed = message[:6] + b"\0\0" + message[8:]
    forms = []
    if pseudo_header:
        covered = _pseudo_header(source, destination, len(message)) + zeroed
        forms.append(f"0x{internet_checksum(covered):04x} (with pseudo-header)")
    if message_only:
        forms.append(f"0x{internet_checksum(zeroed):04x} (message only)")
    raise Discard(
        DiscardReason.CHECKSUM,
        f"checksum is 0x{int.from_bytes(message[6:8], 'big'):04x}, expected {' or '.join(forms)}",
    )


def _sums_to_ffff(data: bytes) -> bool:
    # Never compared with a sentinel: a correct checksum may well be 0x0000.
    return int.from_bytes(data, "big") % 0xFFFF == 0


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, VRRP_PROTOCOL, length)
    return source + destination + struct.pack("!II", length, VRRP_PROTOCOL)
