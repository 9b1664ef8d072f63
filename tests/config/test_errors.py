"""Every error of a keepalived.conf, word for word, and all of them at once."""

# ruff: noqa: E501  (the messages stand as they are printed)

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.reading import instance, problems
from vrrpd.config.keepalived import load
from vrrpd.config.model import ConfigurationError

NO_VMAC = "virtual routers use the interface's own MAC address"
HEALTH = "a health input left out would keep a failed node in service; use track_script"
STATIC = "the daemon handles only addresses of virtual routers; use the network configuration of the system"
PROGRAM = 'a program with its arguments, such as "/usr/bin/curl -fs http://localhost/"'
ADDRESS = "an IPv4 or IPv6 address such as 192.0.2.10/24 or 2001:db8::10"


@pytest.mark.requirement("V2-6")
@pytest.mark.counter_case("FMT-2", "FMT-3", "OWN-1", "ACC-1", "K-AUTH")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("priority 300", "5: priority is 300, expected 1 to 255"),
        ("priority 0", "5: priority is 0, expected 1 to 255"),
        ("priority high", "5: priority is high, expected 1 to 255"),
        ("priority ١", "5: priority is ١, expected 1 to 255"),
        ("priority", "5: priority has no value, expected 1 to 255"),
        ("priority { 5 }", "5: priority has a block, expected 1 to 255"),
        ("state Master", "5: state is Master, expected MASTER or BACKUP"),
        ("interface eth0:1", "5: interface is eth0:1, expected an interface name of 1 to 15 characters"),
        ("interface abcdefghijklmnop", "5: interface is abcdefghijklmnop, expected an interface name of 1 to 15 characters"),
        ("virtual_router_id 256", "5: virtual_router_id is 256, expected 1 to 255"),
        ("version 4", "5: version is 4, expected 2 to 3"),
        ("advert_int 0", "5: advert_int is 0, expected seconds such as 1 or 0.25"),
        ("advert_int -1", "5: advert_int is -1, expected seconds such as 1 or 0.25"),
        ("advert_int 1e3", "5: advert_int is 1e3, expected seconds such as 1 or 0.25"),
        ("version 3\nadvert_int 0.004", "6: (VI_1) advert_int is 0, expected 0.01 to 40.95 seconds"),
        ("preempt_delay 1001", "5: preempt_delay is 1001, expected 0 to 1000 seconds"),
        ("down_timer_adverts 101", "5: down_timer_adverts is 101, expected 1 to 100"),
        ("lower_prio_no_advert { }", "5: lower_prio_no_advert has a block, expected on or off (or nothing, for on)"),
        ("state", "5: state has no value, expected MASTER or BACKUP"),
        ("mcast_src_ip", "5: mcast_src_ip has no value, expected an IPv4 or IPv6 address"),
        ("interface", "5: interface has no value, expected an interface name of 1 to 15 characters"),
        ("preempt_delay", "5: preempt_delay has no value, expected 0 to 1000 seconds"),
        ("advert_int", "5: advert_int has no value, expected seconds such as 1 or 0.25"),
        ("track_interface {\neth1 { } }", "6: eth1 has a block, expected a name and perhaps a weight"),
        ("virtual_ipaddress {\n192.0.2.1 { } }", "6: 192.0.2.1 has a block, expected an IPv4 or IPv6 address such as 192.0.2.10/24 or 2001:db8::10"),
        ("virtual_ipaddress { 2001:db8::1 preferred_lft never }", "5: preferred_lft is never, expected 0 to 4294967294 seconds or forever"),
        ("lower_prio_no_advert maybe", "5: lower_prio_no_advert is maybe, expected on or off (or nothing, for on)"),
        ("garp_master_repeat -1", "5: garp_master_repeat is -1, expected 0 to 1000"),
        ("unicast_ttl 0", "5: unicast_ttl is 0, expected 1 to 255"),
        ("mcast_src_ip eth0", "5: mcast_src_ip is eth0, expected an IPv4 or IPv6 address"),
        ("mcast_src_ip 2001:db8::1", "5: (VI_1) source address is 2001:db8::1, expected an IPv4 address"),
        ("mcast_src_ip 224.0.0.1", "5: (VI_1) source address is 224.0.0.1, expected a unicast address"),
        (
            "unicast_peer { 192.0.2.9 }\nmcast_src_ip 192.0.2.1\nunicast_src_ip 192.0.2.2",
            "7: unicast_src_ip is 192.0.2.2 but mcast_src_ip is 192.0.2.1, expected one source address",
        ),
        ("mcast_dst_ip 192.0.2.1", "5: (VI_1) multicast group is 192.0.2.1, expected an IPv4 multicast address"),
        ("unicast_peer { }", "5: (VI_1) unicast_peer is empty, expected at least one address"),
        ("unicast_fault_no_peer", "5: (VI_1) unicast_peer is empty, expected at least one address"),
        ("accept_sources { }", "5: (VI_1) accept_sources is empty, expected at least one address"),
        (
            "accept_sources { host }",
            "5: accepted source is host, expected an address or a prefix such as 192.0.2.7, 192.0.2.0/24 or fe80::/10",
        ),
        (
            "accept_sources { 192.0.2.7/24 }",
            "5: accepted source is 192.0.2.7/24, which has bits set behind its length: expected 192.0.2.0/24",
        ),
        (
            "accept_sources { 192.0.2.7 ttl }",
            "5: 192.0.2.7 has more behind it, expected an address or a prefix such as 192.0.2.7, 192.0.2.0/24 or "
            "fe80::/10",
        ),
        ("accept_sources { fe80::/10 }", "5: (VI_1) accepted source is fe80::/10, expected an IPv4 address"),
        (
            "accept_sources { 224.0.0.0/4 }",
            "5: (VI_1) accepted source is 224.0.0.0/4, but no router can have such an address",
        ),
        (
            "accept_sources { 192.0.2.8/29 }\nunicast_peer {\n192.0.2.9\n192.0.2.7\n}",
            "8: (VI_1) peer is 192.0.2.7, which is not in accept_sources: it is never heard",
        ),
        ("unicast_peer 192.0.2.9", "5: unicast_peer has no block, expected { ... } with one address on each line"),
        ("unicast_peer { host }", "5: unicast peer is host, expected an IPv4 or IPv6 address"),
        ("unicast_peer { 2001:db8::1 }", "5: (VI_1) peer is 2001:db8::1, expected an IPv4 address"),
        ("unicast_peer { 224.0.0.1 }", "5: (VI_1) peer is 224.0.0.1, expected a unicast address"),
        ("unicast_peer { 192.0.2.9 ttl 3 }", "5: ttl behind 192.0.2.9 is not known, expected min_ttl or max_ttl"),
        ("unicast_peer { 192.0.2.9 min_ttl 300 }", "5: min_ttl is 300, expected 0 to 255"),
        ("unicast_peer { 192.0.2.9 min_ttl 9 max_ttl 8 }", "5: min_ttl is 9, expected at most max_ttl, 8"),
        ("authentication PASS", "5: authentication has no block, expected { auth_type PASS auth_pass PASSWORD }"),
        ("authentication { auth_type MD5 }", "5: auth_type is MD5, expected PASS or AH"),
        ("authentication { auth_type PASS }", "5: authentication has no auth_pass, expected both"),
        ("authentication { auth_pass x }", "5: authentication has no auth_type, expected both"),
        ('authentication {\nauth_type PASS\nauth_pass "" }', "7: auth_pass is '', expected a password of 1 to 8 characters"),
        ("authentication {\nauth_type AH\nauth_pass x }", "6: auth_type AH is not supported: expected PASS"),
        ("use_vmac vrrp.51", f"5: use_vmac is not supported: {NO_VMAC}"),
        ("use_vmac_addr", f"5: use_vmac_addr is not supported: {NO_VMAC}"),
        ("vmac_xmit_base", f"5: vmac_xmit_base is not supported: {NO_VMAC}"),
        ("use_ipvlan", f"5: use_ipvlan is not supported: {NO_VMAC}"),
        ("vrf red", "5: vrf is not supported: a router runs on an interface, in the namespace of the daemon"),
        ("no_accept", "5: no_accept is not supported: packets to virtual addresses are always accepted"),
        ("virtual_routes { default via 192.0.2.1 }", "5: virtual_routes is not supported: routes do not follow the virtual router"),
        ("virtual_rules { from 192.0.2.1 }", "5: virtual_rules is not supported: rules do not follow the virtual router"),
        ("auth_hmac { key 1 x }", "5: auth_hmac is not supported: only keepalived 2.4 and later knows this authentication"),
        ("track_file { f }", f"5: track_file is not supported: {HEALTH}"),
        ("track_process { f }", f"5: track_process is not supported: {HEALTH}"),
        ("track_bfd { f }", f"5: track_bfd is not supported: {HEALTH}"),
        (
            "old_unicast_checksum",
            "5: old_unicast_checksum is not supported: the checksum of keepalived before 1.3.7 is accepted but never sent",
        ),
        ("track_script { web }", "5: (VI_1) web is tracked but not defined, expected a vrrp_script of that name"),
        ("track_script { web wait 3 }", "5: wait behind web is not known, expected weight"),
        ("track_interface { eth1 weight 254 }", "5: weight is 254, expected -253 to 253, and perhaps reverse (for eth1)"),
        ("track_interface { eth1 weight }", "5: weight has no value, expected -253 to 253, and perhaps reverse (for eth1)"),
        ("track_interface { eth1 weight 5 down }", "5: down behind weight 5 is not known, expected reverse or noreverse (for eth1)"),
        ("track_interface {\neth1\neth1\n}", "7: (VI_1) eth1 is tracked twice, expected once"),
        ("track_interface { eth0/1 }", "5: tracked interface is eth0/1, expected an interface name of 1 to 15 characters"),
        ("notify_master", f"5: notify_master has no value, expected {PROGRAM}"),
        ('notify_master ""', f"5: notify_master names no program, expected {PROGRAM}"),
        (
            "notify_master \"/bin/x 'a\"",
            f"5: \"/bin/x 'a\" cannot be split into words (no closing quotation), expected {PROGRAM}",
        ),
        ('notify_master "</dev/null"', f"5: notify_master is </dev/null: no shell runs it, expected {PROGRAM}, or bash -c '...'"),
        ('notify_master /bin/x "a b"', "5: notify_master is 'a b', expected the name of a user or group"),
        ("virtual_ipaddress { 192.0.2.256 }", f"5: virtual address is 192.0.2.256, expected {ADDRESS}"),
        ("virtual_ipaddress { fe80::1%eth0 }", f"5: virtual address is fe80::1%eth0, expected {ADDRESS}"),
        ("virtual_ipaddress { 192.0.2.1/33 }", "5: prefix length of 192.0.2.1/33 is 33, expected 1 to 32"),
        (
            "virtual_ipaddress { 192.0.2.1/255.255.255.0 }",
            "5: prefix length of 192.0.2.1/255.255.255.0 is 255.255.255.0, expected 1 to 32",
        ),
        ("virtual_ipaddress { 192.0.2.1 dev eth0/1 }", "5: dev is eth0/1, expected an interface name of 1 to 15 characters"),
        ("virtual_ipaddress { 192.0.2.1 dev }", "5: dev has no value, expected an interface"),
        ("virtual_ipaddress { 192.0.2.1 label eth0:1234567890x }", "5: label is eth0:1234567890x, expected 1 to 15 characters"),
        (
            "virtual_ipaddress { 192.0.2.1 scope moon }",
            "5: scope is moon, expected global, site, link, host, nowhere or 0 to 255",
        ),
        ("virtual_ipaddress { 192.0.2.1 brd x }", "5: brd is x, expected an IPv4 address, + or -"),
        ("virtual_ipaddress { 192.0.2.1 use_vmac }", "5: use_vmac is not supported in a virtual address"),
        ("virtual_ipaddress { 192.0.2.1 peer 192.0.2.2 }", "5: peer is not supported in a virtual address"),
        (
            "virtual_ipaddress { 192.0.2.1 192.0.2.2 }",
            "5: 192.0.2.2 behind 192.0.2.1 is not known, expected dev, brd, scope, label, preferred_lft, -nodad, "
            "noprefixroute or no_track",
        ),
        ("virtual_ipaddress { 224.0.0.5 }", "5: (VI_1) virtual address is 224.0.0.5, expected a unicast address"),
        (
            "virtual_ipaddress { 192.0.2.100 }",
            "5: (VI_1) 192.0.2.100 is given twice, first in virtual_ipaddress",
        ),
        (
            "virtual_ipaddress_excluded { 192.0.2.100/24 }",
            "5: (VI_1) 192.0.2.100 is given twice, first in virtual_ipaddress",
        ),
        (
            "virtual_ipaddress { 2001:db8::1 }",
            "5: (VI_1) 2001:db8::1 is IPv6 but the first address is IPv4, expected one family: "
            "the other one goes to virtual_ipaddress_excluded",
        ),
        ("no_virtual_ipaddress", "5: no_virtual_ipaddress is not supported: a virtual router has at least one address"),
        (
            "vrrp_instance VI_2 { interface eth1 }",
            "5: vrrp_instance within vrrp_instance VI_1 of keepalived.conf:1, expected a } that closes it before",
        ),
    ],
)  # fmt: skip
def test_a_wrong_instance_is_named_with_its_line(body: str, expected: str) -> None:
    errors = [line for line in problems(instance(body)) if "warning:" not in line]
    assert errors == [f"keepalived.conf:{expected}"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("authentication {\nauth_type PASS\nauth_pass x\n}", "6: (VI_1) authentication is given, vrrp_strict allows none"),
        ("unicast_peer { 192.0.2.9 }", "6: (VI_1) unicast_peer is given, vrrp_strict allows multicast only"),
        ("preempt_delay 5", "6: (VI_1) preempt_delay is given, vrrp_strict allows none"),
        ("down_timer_adverts 5", "6: (VI_1) down_timer_adverts is 5, vrrp_strict allows only 3"),
        ("higher_prio_send_advert", "6: (VI_1) higher_prio_send_advert is given, vrrp_strict forbids it"),
        ("lower_prio_no_advert off", "6: lower_prio_no_advert is off, vrrp_strict expects it on"),
        ("garp_lower_prio_repeat 2", "6: garp_lower_prio_repeat is given, vrrp_strict allows only 0"),
        ("accept", "6: accept is given, vrrp_strict does not allow it with version 2"),
        ("state MASTER\npriority 254", "6: (VI_1) state is MASTER with priority 254, vrrp_strict allows it with 255 only"),
        ("state BACKUP\npriority 255", "6: (VI_1) state is BACKUP with priority 255, vrrp_strict expects MASTER"),
    ],
)  # fmt: skip
@pytest.mark.requirement("K-STRICT")
def test_what_strict_mode_forbids_is_an_error(body: str, expected: str) -> None:
    errors = [line for line in problems(instance("strict_mode\n" + body)) if "warning:" not in line]
    assert errors == [f"keepalived.conf:{expected}"]


@pytest.mark.counter_case("FMT-12")
def test_strict_mode_wants_a_link_local_address_first() -> None:
    [message] = [
        line for line in problems(instance("strict_mode\naccept", vips="2001:db8::1")) if "warning" not in line
    ]
    assert message == (
        "keepalived.conf:4: (VI_1) first virtual address is 2001:db8::1, expected a link-local one (fe80::/10), "
        "RFC 9568 section 5.2.9"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("interval 1", "1: vrrp_script web has no script, expected script or tcp_check"),
        ("script", f"2: script has no value, expected {PROGRAM}"),
        ('script "A=1"', f"2: script names no program, expected {PROGRAM}"),
        ('script ">/dev/null x"', f"2: script is '>/dev/null x': no shell runs it, expected {PROGRAM}, or bash -c '...'"),
        ("tcp_check 192.0.2.1", "2: tcp_check is 192.0.2.1, expected a host and a port from 1 to 65535"),
        ("tcp_check 192.0.2.1 0", "2: tcp_check is '192.0.2.1 0', expected a host and a port from 1 to 65535"),
        ("tcp_check a 1\nscript /bin/x", "2: tcp_check and script are both given, expected one of them"),
        ("script /bin/x\ninterval 0", "3: interval is 0, expected 0.001 to 1000000 seconds"),
        ("script /bin/x\ntimeout x", "3: timeout is x, expected 0.001 to 1000000 seconds"),
        ("script /bin/x\nrise 0", "3: rise is 0, expected 1 to 1000000"),
        ("script /bin/x\nweight 254", "3: weight is 254, expected -253 to 253, and perhaps reverse"),
        ("script /bin/x\nuser", "3: user has no value, expected a user and perhaps a group"),
    ],
)  # fmt: skip
def test_a_wrong_check_is_named_with_its_line(body: str, expected: str) -> None:
    assert problems(f"vrrp_script web {{\n{body}\n}}\n" + instance("")) == [f"keepalived.conf:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vrrp_sync_group g {\ngroup {\nVI_1\n}\n}", "7: vrrp_sync_group is not supported: virtual routers do not change state together"),
        ("static_ipaddress {\n192.0.2.1\n}", f"7: static_ipaddress is not supported: {STATIC}"),
        ("static_routes {\n}", f"7: static_routes is not supported: {STATIC}"),
        ("static_rules {\n}", f"7: static_rules is not supported: {STATIC}"),
        ("global_defs\nvrrp_script", None),
        ("}", "7: } closes no block, expected a { before it"),
        ("{ a }", "7: { opens a block without a name, expected a keyword before it"),
        ("global_defs {", "7: the block of global_defs is not closed, expected a } after it"),
        ('global_defs {\nrouter_id "a\n}', '8: the quoted string is not closed, expected a second " on the same line'),
        ("global_defs { router_id \\xff }", "7: '\\udcff' is not UTF-8, expected UTF-8 text"),
        ("global_defs { vrrp_version 1 }", "7: vrrp_version is 1, expected 2 to 3"),
        ("global_defs { net_namespace a/b }", "7: net_namespace is a/b, expected the name of a network namespace"),
        ("global_defs { vrrp_mcast_group4 192.0.2.1 }", "7: (VI_1) multicast group is 192.0.2.1, expected an IPv4 multicast address"),
        ("vrrp_script {\n}", "7: name of vrrp_script is missing, expected one name, in quotes if it has blanks"),
        ("vrrp_script a b {\n}", "7: name of vrrp_script is 'a b', expected one name, in quotes if it has blanks"),
        ("a {\n" * 17, "23: blocks are nested more than 16 deep: reading stopped here"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_line(text: str, expected: str | None) -> None:
    errors = [line for line in problems(instance("") + text) if "warning:" not in line]
    if expected is None:
        assert errors == [
            "keepalived.conf:7: global_defs has no block, expected { ... }",
            "keepalived.conf:8: name of vrrp_script is missing, expected one name, in quotes if it has blanks",
        ]
    else:
        assert errors == [f"keepalived.conf:{expected}"]


def test_a_file_without_routers_is_an_error() -> None:
    assert problems("") == ["keepalived.conf: no virtual router is configured, expected at least one vrrp_instance"]


@pytest.mark.counter_case("FMT-2")
def test_what_is_missing_is_named_at_the_instance() -> None:
    assert problems("\nvrrp_instance VI_1 {\n}") == [
        "keepalived.conf:2: (VI_1) interface is missing, expected an interface (or default_interface in global_defs)",
        "keepalived.conf:2: (VI_1) virtual_router_id is missing, expected 1 to 255",
        "keepalived.conf:2: (VI_1) no virtual address, expected at least one in virtual_ipaddress",
    ]


@pytest.mark.requirement("V2-16")
@pytest.mark.counter_case("MIX-8")
def test_ipv6_with_an_explicit_version_2_is_an_error() -> None:
    [message] = problems(instance("version 2", vips="fe80::1"))
    assert message == "keepalived.conf:5: (VI_1) version is 2 but the addresses are IPv6, expected version 3"


def test_an_ipv6_group_must_be_of_the_link() -> None:
    assert problems(instance("mcast_dst_ip ff05::12", vips="fe80::1")) == [
        "keepalived.conf:5: (VI_1) multicast group is ff05::12, expected an IPv6 multicast address of the link (ffx2::)"
    ]


def test_an_id_used_twice_on_an_interface_names_both_lines() -> None:
    text = instance("", name="VI_1") + instance("", name="VI_2", vips="192.0.2.101")
    assert problems(text) == [
        "keepalived.conf:9: (VI_2) virtual_router_id 51 for IPv4 on eth0 is already used by vrrp_instance VI_1 "
        "at keepalived.conf:3"
    ]


def test_an_id_may_be_used_for_both_families_and_on_several_interfaces() -> None:
    text = instance("", name="VI_1") + instance("", name="VI_2", vips="fe80::1")
    text += instance("interface eth1", name="VI_3", vips="192.0.2.3")
    with pytest.raises(AssertionError, match="the text was accepted"):
        problems(text)


def test_a_name_used_twice_names_both_lines() -> None:
    text = instance("", vrid=51) + instance("", vrid=52, vips="192.0.2.101")
    assert problems(text) == [
        "keepalived.conf:7: vrrp_instance VI_1 is defined twice, first at keepalived.conf:1, expected distinct names"
    ]


def test_a_check_defined_twice_names_both_lines() -> None:
    assert problems("vrrp_script a { script x }\nvrrp_script a { script x }\n" + instance("")) == [
        "keepalived.conf:2: vrrp_script a is defined twice, first at keepalived.conf:1, expected distinct names"
    ]


def test_an_address_of_two_routers_on_one_interface_is_an_error() -> None:
    text = instance("") + instance("virtual_ipaddress_excluded { 192.0.2.100/24 }", "VI_2", "192.0.2.101", 52)
    assert problems(text) == [
        "keepalived.conf:11: (VI_2) 192.0.2.100 on eth0 is already used by vrrp_instance VI_1 at keepalived.conf:4"
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
        global_defs {
            vrrp_version 9
            smtp_alert
        }
        vrrp_script web {
            script "/bin/true
        }
        vrrp_instance VI_1 {
            state main
            interface eth0
            virtual_router_id 300
            priority 300
            use_vmac
            virtual_ipaddress {
                192.0.2.300
                2001:db8::1
                192.0.2.1
            }
            track_script {
                nothing
            }
        }
    """
    assert problems(text) == [
        "keepalived.conf:2: vrrp_version is 9, expected 2 to 3",
        "keepalived.conf:3: warning: smtp_alert has no effect: no mail is sent; use a notify script",
        "keepalived.conf:5: vrrp_script web has no script, expected script or tcp_check",
        'keepalived.conf:6: the quoted string is not closed, expected a second " on the same line',
        "keepalived.conf:9: state is main, expected MASTER or BACKUP",
        "keepalived.conf:11: virtual_router_id is 300, expected 1 to 255",
        "keepalived.conf:12: priority is 300, expected 1 to 255",
        "keepalived.conf:13: use_vmac is not supported: virtual routers use the interface's own MAC address",
        f"keepalived.conf:15: virtual address is 192.0.2.300, expected {ADDRESS}",
        "keepalived.conf:20: (VI_1) nothing is tracked but not defined, expected a vrrp_script of that name",
    ]


def test_a_thousand_warnings_do_not_hide_the_error() -> None:
    found = problems(instance("priority 300") + "unknown_thing\n" * 5 + "".join(f"unknown{n}\n" for n in range(2000)))
    assert found[0] == "keepalived.conf:5: priority is 300, expected 1 to 255"
    assert found[-1] == "warning: 1005 more warnings are not shown"
    assert len(found) == 1002


def test_a_problem_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "keepalived.conf").write_text("include vi.conf\n" + "oops\n")
    (tmp_path / "vi.conf").write_text(instance("priority 300"))
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path / "keepalived.conf"))
    assert str(caught.value).replace(str(tmp_path), "") == (
        "/keepalived.conf:2: warning: unknown keyword oops in the configuration is ignored\n"
        "/vi.conf:5: priority is 300, expected 1 to 255"
    )


def test_a_missing_file_is_one_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("/nonexistent/keepalived.conf")
    assert str(caught.value) == "/nonexistent/keepalived.conf: cannot be read: No such file or directory"
