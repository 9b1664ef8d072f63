"""A line of ``virtual_ipaddress``, ``unicast_peer`` or ``accept_sources`` to a value of the model.

The words of a virtual address are those of ``ip address add`` that keepalived knows, in any order after the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from vrrpd.config.keywords import ip, whole
from vrrpd.config.lexer import Statement
from vrrpd.config.model import IPAddress, IPNetwork, UnicastPeer, VirtualAddress
from vrrpd.config.report import Place, Report, seen

SCOPES: Final = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
"""Kernel scope numbers (rtnetlink) by their names in iproute2."""

LONGEST_LABEL: Final = 15
"""IFNAMSIZ without the terminating zero."""

LONGEST_LIFETIME: Final = 0xFFFFFFFE
"""Seconds; the number above it means forever to the kernel."""

WORDS_WITHOUT_EFFECT: Final = frozenset({"home", "mngtmpaddr", "autojoin"})
ADDRESS_EXPECTED: Final = "an IPv4 or IPv6 address such as 192.0.2.10/24 or 2001:db8::10"


@dataclass(frozen=True, slots=True)
class _Wrong(Exception):
    """What is wrong with an address line."""

    message: str


def virtual_address(statement: Statement, report: Report) -> VirtualAddress | None:
    """One virtual address; without ``dev`` its device is the empty string, for the router's interface to fill in."""
    try:
        return _virtual_address(statement, report)
    except _Wrong as wrong:
        report.error(statement.place, wrong.message)
        return None


def _virtual_address(statement: Statement, report: Report) -> VirtualAddress:
    if statement.block is not None:
        raise _Wrong(f"{seen(statement.keyword)} has a block, expected {ADDRESS_EXPECTED}")
    address, length = _address_and_length(statement.keyword)
    full = 32 if address.version == 4 else 128
    result = VirtualAddress(
        address,
        length,
        device="",
        # As keepalived: an IPv6 VIP alone in its prefix should not become the source of the node's own connections.
        preferred_lifetime=0 if address.version == 6 and length == full else None,
    )
    words = iter(statement.values)
    for word in words:
        result = _with_word(result, word, words, statement.place, report)
    return result


def _with_word(vip: VirtualAddress, word: str, words: Iterator[str], place: Place, report: Report) -> VirtualAddress:
    """The address with one more word of its line applied; ``words`` gives the word's own value."""

    def value(expected: str) -> str:
        found = next(words, None)
        if found is None:
            raise _Wrong(f"{word} has no value, expected {expected}")
        return found

    def only_for(version: int) -> bool:
        if vip.address.version != version:
            report.warning(place, f"{word} has no effect on an IPv{vip.address.version} address: {vip.address}")
        return vip.address.version == version

    match word:
        case "dev":
            return replace(vip, device=interface_name(value("an interface"), "dev"))
        case "scope":
            return replace(vip, scope=_scope(value("a scope")))
        case "label":
            label = value("a label")
            if not 1 <= len(label.encode(errors="surrogateescape")) <= LONGEST_LABEL or not label.isprintable():
                raise _Wrong(f"label is {seen(label)}, expected 1 to {LONGEST_LABEL} characters")
            return replace(vip, label=label) if only_for(4) else vip
        case "brd" | "broadcast":
            broadcast = value("an address, + or -")
            return replace(vip, broadcast=_broadcast(vip, broadcast)) if only_for(4) else vip
        case "preferred_lft":
            lifetime = _lifetime(value("seconds or forever"))
            return replace(vip, preferred_lifetime=lifetime) if only_for(6) else vip
        case "-nodad":
            return replace(vip, duplicate_address_detection=True) if only_for(6) else vip
        case "nodad":
            return vip
        case "noprefixroute":
            return replace(vip, no_prefix_route=True)
        case "no_track":
            return replace(vip, tracked=False)
        case "use_vmac" | "peer":
            raise _Wrong(f"{word} is not supported in a virtual address")
        case _ if word in WORDS_WITHOUT_EFFECT:
            report.warning(place, f"{word} has no effect: this address flag is not set")
            return vip
        case _:
            raise _Wrong(
                f"{seen(word)} behind {vip.address} is not known, expected dev, brd, scope, label, preferred_lft, "
                "-nodad, noprefixroute or no_track"
            )


def _address_and_length(text: str) -> tuple[IPAddress, int]:
    host, slash, length_text = text.partition("/")
    address = ip(host)
    if address is None:
        raise _Wrong(f"virtual address is {seen(text)}, expected {ADDRESS_EXPECTED}")
    full = 32 if address.version == 4 else 128
    length = whole(length_text) if slash else full
    if length is None or not 1 <= length <= full:
        raise _Wrong(f"prefix length of {seen(text)} is {seen(length_text)}, expected 1 to {full}")
    return address, length


def _scope(text: str) -> int:
    number = SCOPES.get(text, whole(text))
    if number is None or not 0 <= number <= 255:
        raise _Wrong(f"scope is {seen(text)}, expected {', '.join(SCOPES)} or 0 to 255")
    return number


def _broadcast(vip: VirtualAddress, text: str) -> IPv4Address:
    if text in "+-" and isinstance(vip.address, IPv4Address):
        network = IPv4Network((vip.address, vip.prefix_length), strict=False)
        return network.broadcast_address if text == "+" else network.network_address
    address = ip(text)
    if not isinstance(address, IPv4Address):
        raise _Wrong(f"brd is {seen(text)}, expected an IPv4 address, + or -")
    return address


def _lifetime(text: str) -> int | None:
    if text == "forever":
        return None
    number = whole(text)
    if number is None or not 0 <= number <= LONGEST_LIFETIME:
        raise _Wrong(f"preferred_lft is {seen(text)}, expected 0 to {LONGEST_LIFETIME} seconds or forever")
    return number


def interface_name(text: str, what: str) -> str:
    """The name, when it is one that the kernel takes."""
    if not is_interface_name(text):
        raise _Wrong(f"{what} is {seen(text)}, expected an interface name of 1 to 15 characters")
    return text


def is_interface_name(text: str) -> bool:
    """Whether the kernel would take this name for an interface."""
    return (
        text.isprintable()  # first: what cannot be encoded is not printable
        and 1 <= len(text.encode()) <= 15
        and text not in (".", "..")
        and not any(character in "/:" or character.isspace() for character in text)
    )


def unicast_peer(statement: Statement, report: Report) -> UnicastPeer | None:
    """One line of ``unicast_peer``: an address, ``min_ttl`` and ``max_ttl``."""
    address = ip(statement.keyword)
    if address is None or statement.block is not None:
        report.error(statement.place, f"unicast peer is {seen(statement.keyword)}, expected an IPv4 or IPv6 address")
        return None
    limits: dict[str, int] = {}
    words = iter(statement.values)
    for word in words:
        if word not in ("min_ttl", "max_ttl"):
            report.error(statement.place, f"{seen(word)} behind {address} is not known, expected min_ttl or max_ttl")
            return None
        given = next(words, "")
        value = whole(given)
        if value is None or not 0 <= value <= 255:
            report.error(statement.place, f"{word} is {seen(given)}, expected 0 to 255")
            return None
        limits[word] = value
    minimum, maximum = limits.get("min_ttl"), limits.get("max_ttl")
    if minimum is not None and maximum is not None and minimum > maximum:
        report.error(statement.place, f"min_ttl is {minimum}, expected at most max_ttl, {maximum}")
        return None
    return UnicastPeer(address, minimum, maximum)


NETWORK_EXPECTED: Final = "an address or a prefix such as 192.0.2.7, 192.0.2.0/24 or fe80::/10"
NEVER_A_SOURCE: Final = (IPv4Network("224.0.0.0/3"), IPv4Network("127.0.0.0/8"), IPv4Network("0.0.0.0/8"))
"""Multicast and reserved addresses, loopback, and none at all."""
LINK_LOCAL: Final = IPv6Network("fe80::/10")


class NetworkError(ValueError):
    """What is wrong with an address or prefix of accepted sources; ``str()`` says what was seen and expected."""


def accepted_network(text: str) -> IPNetwork:
    """An address or a prefix from which advertisements may come; raises ``NetworkError``."""
    host, slash, length_text = text.partition("/")
    address, length = ip(host), whole(length_text)
    if address is None or (slash and (length is None or not 0 <= length <= address.max_prefixlen)):
        raise NetworkError(f"accepted source is {seen(text)}, expected {NETWORK_EXPECTED}")
    bits = address.max_prefixlen if length is None else length
    network: IPNetwork
    if isinstance(address, IPv4Address):
        network = IPv4Network((address, bits), strict=False)
    else:
        network = IPv6Network((address, bits), strict=False)
    if network.network_address != address:
        raise NetworkError(f"accepted source is {seen(text)}, which has bits set behind its length: expected {network}")
    return network


def why_no_router(network: IPNetwork, unicast: bool) -> str | None:
    """Says why no advertisement can come from anywhere in a prefix; None when one can."""
    if isinstance(network, IPv4Network):
        if any(network.subnet_of(never) for never in NEVER_A_SOURCE):
            return "no router can have such an address"
        return None
    if not unicast and not network.overlaps(LINK_LOCAL):
        return "over IPv6 advertisements come from link-local addresses (fe80::/10)"
    if network.prefixlen == 128 and not is_unicast(network.network_address):
        return "no router can have such an address"
    if network.subnet_of(IPv6Network("ff00::/8")):
        return "no router can have such an address"
    return None


def accepted_source(statement: Statement, report: Report) -> IPNetwork | None:
    """One line of ``accept_sources``: an address or a prefix."""
    try:
        if statement.block is not None or statement.values:
            raise NetworkError(f"{seen(statement.keyword)} has more behind it, expected {NETWORK_EXPECTED}")
        return accepted_network(statement.keyword)
    except NetworkError as wrong:
        report.error(statement.place, str(wrong))
        return None


def is_unicast(address: IPAddress) -> bool:
    """Whether an interface can carry this address: not multicast, not unspecified, not the limited broadcast."""
    return not (address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"))


def is_link_local(address: IPAddress) -> bool:
    """Whether this is an IPv6 address of fe80::/10."""
    return isinstance(address, IPv6Address) and address.is_link_local
