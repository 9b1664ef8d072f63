"""``OPENSHIFT_HA_VIRTUAL_IPS``: addresses and ranges of them, with commas and blanks between.

``192.0.2.4``, ``192.0.2.4-6`` (the last number counts), ``2001:db8::1f39-1f3b`` (the last group counts, in
hexadecimal), ``192.0.2.4-192.0.2.6``; each perhaps with a prefix length at its end. Knows nothing of
groups and routers.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrpd.config.addresses import is_unicast
from vrrpd.config.keywords import ip, whole
from vrrpd.config.model import IPAddress
from vrrpd.config.report import seen

MOST_ADDRESSES: Final = 4096
"""In one range; far more than any cluster serves, so a larger one is a slip."""

EXPECTED: Final = "an address such as 192.0.2.4 or 2001:db8::4, or a range such as 192.0.2.4-6 or 2001:db8::1f39-1f3b"


@dataclass(frozen=True, slots=True)
class Listed:
    """One virtual address as the list has it."""

    address: IPAddress
    prefix_length: int


class RangeError(ValueError):
    """What is wrong with a word of the list; ``str()`` says what was seen and what was expected."""


def addresses_of(word: str) -> tuple[Listed, ...]:
    """The addresses that one word of the list stands for; raises ``RangeError``."""
    first_text, dash, last_text = word.partition("-")
    first, length = _with_length(word, first_text)
    if not dash:
        return (Listed(first, _full(first) if length is None else length),)
    bare, slash, _ = last_text.partition("/")
    last, last_length = _last(word, first, last_text, bare)
    if slash and length is not None and length != last_length:
        raise RangeError(f"{seen(word)} has two prefix lengths, expected one")
    chosen = last_length if length is None else length
    count = int(last) - int(first) + 1
    if count < 1:
        raise RangeError(f"range {seen(word)} ends before it begins, expected the lower address first")
    if count > MOST_ADDRESSES:
        raise RangeError(f"range {seen(word)} has {count} addresses, expected at most {MOST_ADDRESSES}")
    result = tuple(Listed(first + step, _full(first) if chosen is None else chosen) for step in range(count))
    if not all(is_unicast(one.address) for one in result):
        raise RangeError(f"range {seen(word)} holds addresses that are not unicast, expected unicast addresses")
    return result


def _full(address: IPAddress) -> int:
    return 32 if address.version == 4 else 128


def _with_length(word: str, text: str) -> tuple[IPAddress, int | None]:
    host, slash, length_text = text.partition("/")
    address = ip(host)
    if address is None or not is_unicast(address):
        raise RangeError(f"virtual address {seen(word)} is not known, expected {EXPECTED}")
    if not slash:
        return address, None
    length = whole(length_text)
    if length is None or not 1 <= length <= _full(address):
        raise RangeError(f"prefix length of {seen(word)} is {seen(length_text)}, expected 1 to {_full(address)}")
    return address, length


def _last(word: str, first: IPAddress, text: str, bare: str) -> tuple[IPAddress, int | None]:
    """The end of a range: an address in full, or what takes the place of the last number or group of the first."""
    if ip(bare) is None:
        match first:
            case IPv4Address():
                number = whole(bare) if bare.isdecimal() else None
                if number is None or number > 255:
                    raise RangeError(f"range {seen(word)} ends in {seen(bare)}, expected 0 to 255 or an IPv4 address")
                full: IPAddress = IPv4Address(int(first) & ~0xFF | number)
            case IPv6Address():
                group = _hexadecimal(bare)
                if group is None:
                    raise RangeError(f"range {seen(word)} ends in {seen(bare)}, expected 0 to ffff or an IPv6 address")
                full = IPv6Address(int(first) & ~0xFFFF | group)
        text = str(full) + text[len(bare) :]
    last, length = _with_length(word, text)
    if last.version != first.version:
        raise RangeError(f"range {seen(word)} has ends of two families, expected one")
    return last, length


def _hexadecimal(text: str) -> int | None:
    digits = "0123456789abcdefABCDEF"
    return int(text, 16) if 1 <= len(text) <= 4 and all(character in digits for character in text) else None
