"""A second opinion on the codec: scapy's VRRP layers.

scapy computes the IPv4 checksum of version 3 in the pseudo-header form only; the other form is held by the golden
frames. Nothing of the daemon imports scapy.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.protocol.builders import GROUP, GROUP6
from tests.protocol.strategies import advertisements, ipv4, ipv6
from vrrpd.protocol.datagram import Datagram, IPAddress, datagram_from_ipv4
from vrrpd.protocol.packet import Advertisement, ChecksumForm, decode, encode
from vrrpd.protocol.timing import Version

inet: Any = pytest.importorskip("scapy.layers.inet", reason="scapy is not installed")
inet6: Any = pytest.importorskip("scapy.layers.inet6", reason="scapy is not installed")
vrrp: Any = pytest.importorskip("scapy.layers.vrrp", reason="scapy is not installed")


def scapy_v3(advertised: Advertisement) -> Any:
    """scapy's layer of a version 3 advertisement."""
    return vrrp.VRRPv3(
        vrid=advertised.vrid,
        priority=advertised.priority,
        ipcount=len(advertised.addresses),
        adv=advertised.max_advertise_interval,
        addrlist=[str(address) for address in advertised.addresses],
    )


@pytest.mark.requirement("FMT-1", "FMT-7", "FMT-9", "FMT-15")
@given(advertisements(family=4, version=Version.V3), ipv4)
def test_scapy_builds_the_same_version_3_message_over_ipv4(advertised: Advertisement, source: IPAddress) -> None:
    packet = bytes(inet.IP(src=str(source), dst="224.0.0.18", ttl=255, proto=112) / scapy_v3(advertised))
    assert datagram_from_ipv4(packet).message == encode(advertised, source, GROUP)


@pytest.mark.requirement("FMT-8", "FMT-10")
@given(advertisements(family=6), ipv6)
def test_scapy_builds_the_same_version_3_message_over_ipv6(advertised: Advertisement, source: IPAddress) -> None:
    packet = bytes(inet6.IPv6(src=str(source), dst="ff02::12", hlim=255, nh=112) / scapy_v3(advertised))
    assert packet[40:] == encode(advertised, source, GROUP6)
    decoded = decode(Datagram(source, GROUP6, packet[7], packet[40:]))
    assert decoded.advertisement == advertised
    assert decoded.checksum_form is ChecksumForm.PSEUDO_HEADER


@pytest.mark.requirement("V2-1", "V2-2")
@given(advertisements(family=4, version=Version.V2), ipv4)
def test_scapy_builds_the_same_version_2_message(advertised: Advertisement, source: IPAddress) -> None:
    layer = vrrp.VRRP(
        vrid=advertised.vrid,
        priority=advertised.priority,
        ipcount=len(advertised.addresses),
        authtype=advertised.authentication_type,
        adv=advertised.max_advertise_interval // 100,
        addrlist=[str(address) for address in advertised.addresses],
        auth1=int.from_bytes(advertised.authentication_data[:4], "big"),
        auth2=int.from_bytes(advertised.authentication_data[4:], "big"),
    )
    packet = bytes(inet.IP(src=str(source), dst="224.0.0.18", ttl=255, proto=112) / layer)
    assert datagram_from_ipv4(packet).message == encode(advertised, source, GROUP)


@given(advertisements(family=4, version=Version.V3), ipv4)
def test_scapy_reads_what_we_build(advertised: Advertisement, source: IPAddress) -> None:
    layer = vrrp.VRRPv3(encode(advertised, source, GROUP))
    assert (layer.version, layer.type, layer.vrid, layer.priority) == (3, 1, advertised.vrid, advertised.priority)
    assert (layer.ipcount, layer.adv) == (len(advertised.addresses), advertised.max_advertise_interval)
