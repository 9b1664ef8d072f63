"""Good inputs to begin from, and the words that the inputs of a target are made of."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tests.config.test_examples import HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD
from tests.netns.forging import arp
from tests.protocol.vectors import VECTORS
from vrrpd.config.global_defs import GLOBAL_DEFS
from vrrpd.config.instances import AUTHENTICATION, VRRP_INSTANCE
from vrrpd.config.scripts import VRRP_SCRIPT
from vrrpd.config.variables import NAMES
from vrrpd.net.announce import unsolicited_na
from vrrpd.net.watch import question

_MAC: Final = bytes.fromhex("020000000001")


def _attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


LINK: Final = _message(
    16,
    struct.pack("=BxHiII", 0, 1, 2, 0x11043, 0)
    + _attribute(3, b"eth0\0")
    + _attribute(1, _MAC)
    + _attribute(4, (1500).to_bytes(4, "little"))
    + _attribute(16, b"\6"),
)
ADDRESS: Final = _message(
    20,
    struct.pack("=BBBBi", 2, 24, 0x80, 0, 2)
    + _attribute(1, bytes([192, 0, 2, 1]))
    + _attribute(2, bytes([192, 0, 2, 1]))
    + _attribute(3, b"eth0\0")
    + _attribute(8, (0x80).to_bytes(4, "little"))
    + _attribute(6, b"\xff" * 16),
)
ADDRESS6: Final = _message(
    20,
    struct.pack("=BBBBi", 10, 64, 0x80, 0, 2) + _attribute(1, IPv6Address("2001:db8::1").packed) + _attribute(11, b"p"),
)
ERROR: Final = _message(2, struct.pack("=i", -17) + ADDRESS[:16])

_ENVIRONMENT: Final = [
    b"OPENSHIFT_HA_VIRTUAL_IPS=192.0.2.101-110,2001:db8::1f39-1f3b\0OPENSHIFT_HA_VIP_GROUPS=3",
    b"OPENSHIFT_HA_VIRTUAL_IPS=192.0.2.101\0OPENSHIFT_HA_UNICAST_PEERS=192.0.2.11,192.0.2.12\0VRRPD_ADVERT_INTERVAL=0.1",
    b"OPENSHIFT_HA_VIRTUAL_IPS=192.0.2.101\0VRRPD_VERSION=2\0OPENSHIFT_HA_VRRP_ID_OFFSET=10\0OPENSHIFT_HA_CONFIG_NAME=a",
    b"OPENSHIFT_HA_VIRTUAL_IPS=192.0.2.101\0VRRPD_ACCEPT_SOURCES=192.0.2.0/24\0OPENSHIFT_HA_PREEMPTION=nopreempt"
    b"\0OPENSHIFT_HA_CHECK_SCRIPT=/etc/check\0OPENSHIFT_HA_IPTABLES_CHAIN=INPUT\0HA_EXCLUDED_VRRP_IDS=1-3,9",
]
_FILES: Final = [
    b"include b.conf\n" + UNICAST_PAIR_IN_A_CLOUD.encode() + b"\0$A=1\n@a include c.conf\n\0! nothing\n\0",
    HAPROXY_PAIR.encode() + b"\ninclude *.conf\n\0include a.conf\n\0include d.conf\n\0$B=${A} ${B}\n",
]
_ACCEPTING: Final = b"""vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    accept_sources { 192.0.2.0/28
 198.51.100.7 }
    virtual_ipaddress { 192.0.2.100/24 dev eth1 label a brd + scope link noprefixroute no_track }
}
"""

SEEDS: Final[dict[str, list[bytes]]] = {
    "packet4": [vector.packet for vector in VECTORS if vector.packet[0] >> 4 == 4],
    "packet6": [
        vector.packet[8:40] + vector.packet[7:8] + vector.packet[40:]
        for vector in VECTORS
        if vector.packet[0] >> 4 == 6
    ],
    "netlink": [LINK + ADDRESS + ADDRESS6, ADDRESS6 + LINK, ERROR, ADDRESS],
    "frame": [
        arp("02:00:00:00:00:01", "192.0.2.100", "192.0.2.1", operation=2),
        arp("02:00:00:00:00:01", "0.0.0.0", "192.0.2.100"),
        unsolicited_na(_MAC, IPv6Address("2001:db8::100")),
        question(_MAC, IPv6Address("2001:db8::100")),
        question(_MAC, IPv4Address("192.0.2.100")),
    ],
    "conf": [
        *(text.encode() for text in (HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD)),
        _ACCEPTING,
    ],
    "files": _FILES,
    "environment": _ENVIRONMENT,
    "control": [b'{"command": "status"}\n', b'{"command": "other", "more": [1, null]}\n'],
}

_OF_FILES: Final = [
    *sorted({*GLOBAL_DEFS, *VRRP_INSTANCE, *VRRP_SCRIPT, *AUTHENTICATION}),
    *("vrrp_instance", "vrrp_script", "global_defs", "include", "{", "}", "\n", '"', "'", "\\", "$A=", "${A}", "$A"),
    *(
        "${_ENV A}",
        "@a ",
        "@^a ",
        "~SEQ(A,1,9)",
        "192.0.2.1/24",
        "fe80::1",
        "0-4294967295",
        "-1",
        "255",
        "256",
        "#",
        "!",
    ),
    *("\\x00", "\\377", "9" * 30, "1e9", "on", "off", "</dev/tcp/a/1", "weight", "reverse", "*/*/*/*", "../"),
]

WORDS: Final[dict[str, list[bytes]]] = {
    "packet4": [b"\x45\x00", b"\x31", b"\x21", b"\xff", b"\0\0", b"\xff\xff", bytes([224, 0, 0, 18])],
    "packet6": [b"\x31", b"\xff", b"\0\0", b"\xfe\x80", IPv6Address("ff02::12").packed],
    "netlink": [b"\x10\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x04\0", b"\x05\0\x0b\0p\0\0\0"],
    "frame": [b"\x08\x06", b"\x86\xdd", b"\0\1\x08\0\6\4", bytes([58, 255]), b"\x88\0", b"\2\1", b"\2\0"],
    "conf": [word.encode() for word in _OF_FILES],
    "files": [b"\0", b"include a.conf\n", b"include b.conf\n", b"include *\n", *(word.encode() for word in _OF_FILES)],
    "environment": [
        b"\0",
        b"=",
        *(f"\0{name}=".encode() for name in sorted(NAMES)),
        *(
            b"0.0.0.0-255.255.255.255",
            b"0-4294967295",
            b"::-ffff",
            b"/0",
            b"/33",
            b"-",
            b",",
            b"nan",
            b"1e999",
            b"9" * 40,
        ),
    ],
    "control": [
        b'{"command":',
        b'"status"',
        b"}",
        b"[",
        b"]",
        b"null",
        b"\n",
        b"\\u0000",
        b"9" * 100,
        b'"' + b"x" * 5000,
    ],
}
"""What a mutation puts in."""
