"""Hypothesis strategies for the protocol's vocabulary."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from tests.protocol.builders import GROUP, GROUP6, HIGHER, LOWER, OURS, VIP
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.packet import Advertisement, ChecksumForm, internet_checksum
from vrrpd.protocol.parameters import AnnouncementTimes, RouterParameters
from vrrpd.protocol.timing import Version

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)
sent_forms = st.sampled_from([ChecksumForm.PSEUDO_HEADER, ChecksumForm.MESSAGE_ONLY])
priorities = st.integers(0, 255)
rivals = st.sampled_from([LOWER, OURS, HIGHER])


@st.composite
def advertisements(draw: st.DrawFn, family: int = 4, version: Version | None = None) -> Advertisement:
    """Anything that can be advertised; version 2 over IPv4 only."""
    chosen = version or (draw(st.sampled_from(Version)) if family == 4 else Version.V3)
    is_v2 = chosen is Version.V2
    count = draw(st.integers(1, 4) | st.integers(1, 255))
    make, width = (IPv4Address, 4) if family == 4 else (IPv6Address, 16)
    raw = draw(st.binary(min_size=count * width, max_size=count * width))
    return Advertisement(
        version=chosen,
        vrid=draw(st.integers(1, 255)),
        priority=draw(priorities),
        max_advertise_interval=draw(st.integers(1, 255)) * 100 if is_v2 else draw(st.integers(1, 4095)),
        addresses=tuple(make(raw[offset : offset + width]) for offset in range(0, len(raw), width)),
        authentication_type=draw(st.integers(0, 255)) if is_v2 else 0,
        authentication_data=draw(st.binary(min_size=8, max_size=8)) if is_v2 else bytes(8),
    )


@st.composite
def sent(draw: st.DrawFn) -> tuple[Advertisement, IPAddress, IPAddress, ChecksumForm]:
    """An advertisement with the way it is sent: source, destination, form of the checksum."""
    family = draw(st.sampled_from([4, 6]))
    source: IPAddress
    destination: IPAddress
    if family == 4:
        source, destination = draw(ipv4), draw(st.one_of(st.just(GROUP), ipv4))
    else:
        source, destination = draw(ipv6), draw(st.one_of(st.just(GROUP6), ipv6))
    return draw(advertisements(family)), source, destination, draw(sent_forms)


@st.composite
def datagrams_of_anything(draw: st.DrawFn) -> Datagram:
    """Arbitrary bytes over IPv4 or IPv6, now and then with a plausible beginning and length and a right checksum."""
    ways: list[tuple[IPAddress, IPAddress]] = [(HIGHER, GROUP), (IPv6Address("fe80::9"), GROUP6), (HIGHER, OURS)]
    source, destination = draw(st.sampled_from(ways))
    if draw(st.booleans()):
        message = draw(st.binary(max_size=2000))
    else:
        count, width = draw(st.integers(0, 5)), 4 if source.version == 4 else 16
        start = bytes((draw(st.sampled_from([0x21, 0x31])), draw(st.integers(0, 255)), draw(priorities), count))
        length = 4 + count * width + draw(st.sampled_from([0, 0, 0, 8, -1, 28]))
        message = start + draw(st.binary(min_size=max(0, length), max_size=max(0, length)))
        if len(message) % 2 == 0 and draw(st.booleans()):
            zeroed = message[:6] + b"\0\0" + message[8:]
            message = message[:6] + internet_checksum(zeroed).to_bytes(2, "big") + message[8:]
    return Datagram(source, destination, draw(st.none() | st.integers(0, 255)), message)


announcement_times = st.builds(
    AnnouncementTimes,
    master_repeat=st.integers(1, 5),
    master_delay=st.sampled_from([0.0, 0.5, 5.0]),
    refresh=st.sampled_from([0.0, 0.25, 10.0]),
    lower_priority_repeat=st.sampled_from([0, 5]),
    lower_priority_delay=st.sampled_from([0.0, 0.5, 5.0]),
)


@st.composite
def router_parameters(draw: st.DrawFn) -> RouterParameters:
    """Everything that can be configured for a router with one IPv4 address."""
    version = draw(st.sampled_from(Version))
    return RouterParameters(
        vrid=51,
        version=version,
        priority=draw(st.sampled_from([1, 50, 100, 150, 254, 255])),
        max_advertise_interval=draw(st.sampled_from([100, 300] if version is Version.V2 else [1, 10, 100, 300, 4095])),
        addresses=(VIP,),
        preempt=draw(st.booleans()),
        preempt_delay=draw(st.sampled_from([0.0, 0.0, 3.0])),
        owner_starts_as_master=draw(st.booleans()),
        down_advertisements=draw(st.sampled_from([1, 3])),
        answer_lower_priority=draw(st.booleans()),
        advertise_before_yielding=draw(st.booleans()),
        announcements=draw(announcement_times),
    )
