"""Netlink messages to the byte, and what needs no kernel state: errors, imports, kernel versions."""

from __future__ import annotations

import errno
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.config.model import VirtualAddress
from vrrpd.net.interfaces import InterfaceAddress
from vrrpd.net.netlink import (
    AddressError,
    AddressWriter,
    _kernel_keeps_address_protocol,
    encode_install,
    encode_remove,
    encode_restore,
    encode_withdraw,
)

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the literal messages are little-endian")


def hexadecimal(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def test_an_ipv4_install_is_an_exclusive_create_with_our_mark() -> None:
    virtual = VirtualAddress(IPv4Address("192.0.2.100"), 32, "eth0")
    assert encode_install(virtual, 7, keeps_protocol=True) == hexadecimal(
        "38000000 1400 0106 00000000 00000000",  # 56 bytes, RTM_NEWADDR, REQUEST | EXCL | CREATE
        "02 20 00 00 07000000",  # AF_INET, /32, no flags, scope global, interface 7
        "0800 0200 c0000264",  # IFA_LOCAL
        "0800 0100 c0000264",  # IFA_ADDRESS
        "0800 0800 00000000",  # IFA_FLAGS
        "0500 0b00 70000000",  # IFA_PROTO 112
    )


def test_an_ipv6_install_skips_duplicate_address_detection_and_sets_the_lifetime() -> None:
    virtual = VirtualAddress(IPv6Address("2001:db8::100"), 128, "eth0", preferred_lifetime=0, no_prefix_route=True)
    assert encode_install(virtual, 7, keeps_protocol=True) == hexadecimal(
        "64000000 1400 0106 00000000 00000000",
        "0a 80 02 00 07000000",
        "1400 0200 20010db8000000000000000000000100",
        "1400 0100 20010db8000000000000000000000100",
        "0800 0800 02020000",  # IFA_FLAGS: NODAD | NOPREFIXROUTE
        "0500 0b00 70000000",
        "1400 0600 00000000 ffffffff 00000000 00000000",  # IFA_CACHEINFO: preferred 0, valid forever
    )


def test_an_install_for_an_older_kernel_carries_the_mark_as_a_route_priority() -> None:
    virtual = VirtualAddress(IPv4Address("192.0.2.100"), 32, "eth0")
    assert encode_install(virtual, 7, keeps_protocol=False).endswith(hexadecimal("0800 0900 f0b50100"))
    assert hexadecimal("0800 0900 f0b50100") not in encode_install(virtual, 7, keeps_protocol=True)


def test_a_withdrawal_names_address_prefix_and_interface_and_nothing_else() -> None:
    virtual = VirtualAddress(IPv4Address("192.0.2.100"), 24, "eth0", label="eth0:vip", scope=253)
    expected = hexadecimal(
        "28000000 1500 0100 00000000 00000000", "02 18 00 00 07000000", "0800 0200 c0000264", "0800 0100 c0000264"
    )
    assert encode_withdraw(virtual, 7) == expected
    assert encode_remove(InterfaceAddress(7, IPv4Address("192.0.2.100"), 24, scope=253)) == expected


@pytest.mark.parametrize("label", ["a", "ab", "abc", "abcd", "eth0:vip"])
def test_every_message_ends_on_a_four_byte_boundary_so_that_a_batch_can_be_joined(label: str) -> None:
    virtual = VirtualAddress(IPv4Address("192.0.2.100"), 24, "eth0", label=label, broadcast=IPv4Address("192.0.2.255"))
    entry = InterfaceAddress(7, IPv4Address("192.0.2.1"), 24, label=label, protocol=4, valid_lifetime=60)
    for message in (encode_install(virtual, 7), encode_restore(entry)):
        assert len(message) % 4 == 0
        assert int.from_bytes(message[:4], "little") == len(message)


@pytest.mark.parametrize(
    ("release", "keeps"),
    [
        ("5.17.15", False),
        ("5.18.0", True),
        ("6.1.0-18-amd64", True),
        ("4.18.0-553.el8.x86_64", False),
        ("10.0", True),
        ("unknown", False),
    ],
)
def test_the_mark_is_chosen_by_the_kernel_release(release: str, keeps: bool) -> None:
    assert _kernel_keeps_address_protocol(release) is keeps


def test_an_empty_batch_makes_no_system_call() -> None:
    writer = AddressWriter()
    writer.close()
    assert writer.submit([]) == []


def test_a_batch_that_cannot_be_sent_is_refused_as_a_whole() -> None:
    writer = AddressWriter()
    writer.close()
    message = encode_withdraw(VirtualAddress(IPv4Address("192.0.2.100"), 32, "eth0"), 7)
    assert writer.submit([message, message]) == [AddressError(0, errno.EBADF), AddressError(1, errno.EBADF)]


def test_an_address_error_reads_as_the_system_says_it() -> None:
    assert str(AddressError(3, errno.EEXIST)) == "File exists"


def run_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_daemon_loads_only_the_message_classes_of_pyroute2() -> None:
    loaded = run_python(
        "import sys, vrrpd.net.netlink\n"
        "print(len([name for name in sys.modules if name.startswith('pyroute2')]),"
        " [name for name in sys.modules if name in ('pyroute2.ndb', 'pyroute2.iproute', 'pyroute2.netlink.core')])"
    )
    count, heavy = loaded.split(" ", 1)
    assert heavy == "[]"
    assert int(count) < 60


@pytest.mark.parametrize(
    "use",
    [
        "from pyroute2 import IPRoute; IPRoute",
        "import pyroute2; pyroute2.IPRoute; pyroute2.__version__",
        "import pyroute2.netlink.rtnl.ifaddrmsg; pyroute2.netlink.rtnl.ifaddrmsg.ifaddrmsg",
        "from pyroute2 import netns; netns.listnetns",
        "import pyroute2; import pyroute2.iproute; pyroute2.NetlinkError",
    ],
)
def test_others_in_the_process_still_get_the_whole_of_pyroute2(use: str) -> None:
    assert run_python(f"import vrrpd.net.netlink\n{use}\nprint('whole')") == "whole"


def test_a_name_that_pyroute2_does_not_have_is_an_attribute_error() -> None:
    output = run_python(
        "import vrrpd.net.netlink, pyroute2\n"
        "print(hasattr(pyroute2, 'no_such_name'), hasattr(pyroute2, 'no_such_name'), hasattr(pyroute2, 'IPRoute'))"
    )
    assert output == "False False True"
