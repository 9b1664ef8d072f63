"""What the keywords of a keepalived.conf mean: values, defaults, and what inherits from what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.config.reading import instance, problems, read, router, warnings
from vrrpd.config.model import (
    AnnouncementPolicy,
    Authentication,
    Check,
    Command,
    GlobalSettings,
    InitialState,
    NotifyScripts,
    TcpTarget,
    TrackedCheck,
    TrackedInterface,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.timing import Version

SCRIPT = 'vrrp_script web { script "/bin/true" }\n'


def test_a_minimal_instance_has_keepalived_s_defaults() -> None:
    assert router() == VirtualRouterConfig(
        name="VI_1",
        interface="eth0",
        family=4,
        vrid=51,
        version=Version.V2,
        addresses=(VirtualAddress(IPv4Address("192.0.2.100"), 32, "eth0"),),
        multicast_group=IPv4Address("224.0.0.18"),
    )
    assert router().priority == 100
    assert router().advertisement_interval == 100
    times = AnnouncementTimes(
        master_delay=5.0,
        master_repeat=5,
        refresh=0.0,
        refresh_repeat=1,
        lower_priority_delay=5.0,
        lower_priority_repeat=5,
    )
    assert router().announcements == AnnouncementPolicy(times, garp_interval=0.0, gna_interval=0.0)


@pytest.mark.requirement("V2-17", "K-VERSION", "MIX-8")
def test_an_ipv6_instance_is_version_3_whatever_the_global_version_says() -> None:
    assert router(vips="fe80::1").version is Version.V3
    assert router(vips="fe80::1", before="global_defs { vrrp_version 2 }").version is Version.V3
    assert router(vips="fe80::1").multicast_group == IPv6Address("ff02::12")


def test_the_global_version_counts_for_ipv4() -> None:
    assert router(before="global_defs { vrrp_version 3 }").version is Version.V3
    assert router("version 2", before="global_defs { vrrp_version 3 }").version is Version.V2


@pytest.mark.parametrize(
    ("version", "given", "centiseconds", "warned"),
    [
        (3, "1", 100, False),
        (3, "0.01", 1, False),
        (3, "0.015", 2, True),
        (3, "0.25", 25, False),
        (3, ".5", 50, False),
        (3, "40.95", 4095, False),
        (3, "41", 4095, True),
        (3, "100000", 4095, True),
        (2, "1", 100, False),
        (2, "1.4", 100, True),
        (2, "1.5", 200, True),
        (2, "0.2", 100, True),
        (2, "255", 25500, False),
        (2, "255.4", 25500, True),
        (2, "256", 25500, True),
    ],
)
@pytest.mark.requirement("V2-15", "TM-1", "K-ADVINT")
@pytest.mark.counter_case("TM-1", "V2-15")
def test_the_interval_is_rounded_to_what_the_version_can_carry(
    version: int, given: str, centiseconds: int, warned: bool
) -> None:
    text = instance(f"version {version}\nadvert_int {given}")
    assert read(text).routers[0].advertisement_interval == centiseconds
    assert bool([one for one in warnings(text) if "advert_int" in one]) is warned


@pytest.mark.requirement("K-STATE")
def test_state_master_without_a_priority_is_an_owner() -> None:
    assert router("state MASTER").priority == 255
    assert router("state MASTER\npriority 90").priority == 90
    assert router("state BACKUP").priority == 100
    assert router("state BACKUP").initial_state is InitialState.BACKUP
    assert router("priority 255").initial_state is None


@pytest.mark.requirement("K-STATE")
def test_state_master_drops_nopreempt_and_preempt_delay() -> None:
    text = instance("state MASTER\npriority 150\nnopreempt")
    assert read(text).routers[0].preempt is True
    assert warnings(text) == [
        "keepalived.conf:7: warning: (VI_1) nopreempt is dropped: state is MASTER; it works with state BACKUP"
    ]
    text = instance("state MASTER\npriority 150\npreempt_delay 300")
    assert read(text).routers[0].preempt_delay == 0.0
    assert warnings(text) == [
        "keepalived.conf:7: warning: (VI_1) preempt_delay is dropped: state is MASTER; it works with state BACKUP"
    ]


def test_an_owner_always_preempts() -> None:
    text = instance("priority 255\nnopreempt")
    assert read(text).routers[0].preempt is True
    assert warnings(text) == [
        "keepalived.conf:6: warning: (VI_1) nopreempt is dropped: priority is 255 and an address owner always preempts"
    ]


def test_nopreempt_wins_over_a_delay() -> None:
    text = instance("nopreempt\npreempt_delay 3")
    assert (read(text).routers[0].preempt, read(text).routers[0].preempt_delay) == (False, 0.0)
    assert warnings(text) == ["keepalived.conf:6: warning: (VI_1) preempt_delay is dropped: nopreempt is set"]


def test_a_preempt_delay_has_fractions() -> None:
    assert router("preempt_delay 4.12").preempt_delay == 4.12


def test_a_virtual_address_has_words() -> None:
    vips = "192.0.2.10/24 brd + dev eth1 scope link label eth1:vip noprefixroute no_track"
    assert router(vips=vips).addresses == (
        VirtualAddress(
            IPv4Address("192.0.2.10"),
            24,
            "eth1",
            scope=253,
            label="eth1:vip",
            broadcast=IPv4Address("192.0.2.255"),
            no_prefix_route=True,
            tracked=False,
        ),
    )
    assert router(vips="192.0.2.10/24 brd -").addresses[0].broadcast == IPv4Address("192.0.2.0")
    assert router(vips="192.0.2.10/24 broadcast 192.0.2.254").addresses[0].broadcast == IPv4Address("192.0.2.254")


def test_an_ipv6_host_address_is_deprecated_unless_told_otherwise() -> None:
    assert router(vips="fe80::1").addresses[0].preferred_lifetime == 0
    assert router(vips="fe80::1/64").addresses[0].preferred_lifetime is None
    assert router(vips="fe80::1 preferred_lft forever").addresses[0].preferred_lifetime is None
    assert router(vips="fe80::1/64 preferred_lft 60").addresses[0].preferred_lifetime == 60
    assert router(vips="fe80::1 -nodad").addresses[0].duplicate_address_detection is True
    assert router(vips="fe80::1").addresses[0].duplicate_address_detection is False


def test_words_for_the_other_family_have_no_effect() -> None:
    text = instance("", vips="192.0.2.10 -nodad home")
    assert read(text).routers[0].addresses[0] == VirtualAddress(IPv4Address("192.0.2.10"), 32, "eth0")
    assert warnings(text) == [
        "keepalived.conf:4: warning: -nodad has no effect on an IPv4 address: 192.0.2.10",
        "keepalived.conf:4: warning: home has no effect: this address flag is not set",
    ]


def test_excluded_addresses_may_be_of_the_other_family() -> None:
    found = router("virtual_ipaddress_excluded {\n192.0.2.101\n2001:db8::1/64\n}")
    assert [str(vip.address) for vip in found.excluded_addresses] == ["192.0.2.101", "2001:db8::1"]
    assert [vip.device for vip in found.all_addresses] == ["eth0", "eth0", "eth0"]


@pytest.mark.counter_case("FMT-4")
def test_addresses_that_do_not_fit_an_advertisement_are_excluded() -> None:
    vips = "\n".join(f"fe80::{number:x}" for number in range(1, 93))
    text = instance("virtual_ipaddress_excluded { 192.0.2.1 }", vips=vips)
    found = read(text).routers[0]
    assert len(found.addresses) == 90
    assert [str(vip.address) for vip in found.excluded_addresses] == ["fe80::5b", "fe80::5c", "192.0.2.1"]
    assert warnings(text) == [
        "keepalived.conf:94: warning: (VI_1) 92 virtual addresses, at most 90 fit an advertisement: "
        "2 are not advertised"
    ]
    vips = "\n".join(f"10.0.{number >> 8}.{number & 255}" for number in range(1, 257))
    assert len(router(vips=vips).addresses) == 255


def test_the_default_interface_serves_instances_and_addresses() -> None:
    text = """
        global_defs { default_interface eth7 }
        vrrp_instance VI_1 {
            virtual_router_id 1
            virtual_ipaddress {
                192.0.2.1
                192.0.2.2 dev eth8
            }
        }
    """
    found = read(text).routers[0]
    assert found.interface == "eth7"
    assert [vip.device for vip in found.addresses] == ["eth7", "eth8"]


def test_unicast_peers_replace_the_group() -> None:
    found = router(
        "unicast_src_ip 192.0.2.2\nunicast_peer {\n192.0.2.3\n192.0.2.4 min_ttl 250 max_ttl 255\n}\nunicast_ttl 64"
    )
    assert found.unicast
    assert found.source_address == IPv4Address("192.0.2.2")
    assert found.unicast_peers == (
        UnicastPeer(IPv4Address("192.0.2.3")),
        UnicastPeer(IPv4Address("192.0.2.4"), 250, 255),
    )
    assert found.unicast_ttl == 64


def test_a_unicast_source_without_peers_stays_multicast_with_a_warning() -> None:
    text = instance("unicast_src_ip 192.0.2.2")
    assert read(text).routers[0].multicast_group == IPv4Address("224.0.0.18")
    assert warnings(text) == [
        "keepalived.conf:5: warning: unicast_src_ip without unicast_peer: advertisements go by multicast"
    ]


def test_a_group_has_no_effect_in_unicast_mode() -> None:
    text = instance("unicast_peer { 192.0.2.3 }\nmcast_dst_ip 224.0.0.9")
    assert read(text).routers[0].multicast_group is None
    assert warnings(text) == ["keepalived.conf:6: warning: mcast_dst_ip has no effect: unicast_peer is given"]


def test_a_peer_that_is_the_router_itself_is_warned_of() -> None:
    text = instance("unicast_src_ip 192.0.2.3\nunicast_peer { 192.0.2.3 }")
    assert warnings(text) == ["keepalived.conf:6: warning: (VI_1) peer 192.0.2.3 is this router's own source address"]


def test_more_than_one_value_is_warned_of() -> None:
    assert warnings(instance("priority 100 200")) == [
        "keepalived.conf:5: warning: priority has more than one value: 200 is ignored"
    ]
    assert warnings(instance("notify /bin/x root root more")) == [
        "keepalived.conf:5: warning: notify: more behind user and group is ignored"
    ]


def test_old_checksums_that_are_never_sent_may_be_asked_for_by_name() -> None:
    assert warnings(instance("old_unicast_checksum never")) == []


def test_a_peer_given_twice_counts_once() -> None:
    text = instance("unicast_peer {\n192.0.2.3\n192.0.2.3\n}")
    assert read(text).routers[0].unicast_peers == (UnicastPeer(IPv4Address("192.0.2.3")),)
    assert warnings(text) == ["keepalived.conf:7: warning: (VI_1) peer 192.0.2.3 is given twice: the first one counts"]


def test_multicast_groups_are_global_or_the_instance_s() -> None:
    before = "global_defs {\nvrrp_mcast_group4 224.0.0.99\nvrrp_mcast_group6 ff02::99\n}"
    assert str(router(before=before).multicast_group) == "224.0.0.99"
    assert str(router(before=before, vips="fe80::1").multicast_group) == "ff02::99"
    assert str(router("mcast_dst_ip 224.0.0.100", before=before).multicast_group) == "224.0.0.100"


def test_a_password_has_eight_bytes_on_the_wire() -> None:
    found = router("authentication {\nauth_type PASS\nauth_pass secret\n}")
    assert found.authentication == Authentication(b"secret\0\0")


@pytest.mark.counter_case("V2-4")
def test_a_long_password_is_cut_as_in_keepalived() -> None:
    text = instance("authentication {\nauth_type PASS\nauth_pass OpenShift-IPFailover\n}")
    assert read(text).routers[0].authentication == Authentication(b"OpenShif")
    assert warnings(text) == ["keepalived.conf:7: warning: auth_pass is 20 bytes long: only the first 8 count"]


def test_a_password_may_be_bytes_that_are_no_text() -> None:
    assert router(r"authentication { auth_type PASS" "\n" r'auth_pass "\xff\xfe" }').authentication == Authentication(
        b"\xff\xfe\0\0\0\0\0\0"
    )


def test_version_3_has_no_authentication() -> None:
    text = instance("version 3\nauthentication {\nauth_type AH\nauth_pass secret\n}")
    assert read(text).routers[0].authentication is None
    assert warnings(text) == ["keepalived.conf:6: warning: (VI_1) authentication is dropped: version 3 has none"]


def test_announcement_settings_come_from_the_instance_then_from_global_defs() -> None:
    before = "global_defs {\nvrrp_garp_master_delay 7\nvrrp_garp_master_repeat 2\nvrrp_gna_interval 0.25\n}"
    times = AnnouncementTimes(
        master_delay=7.0,
        master_repeat=3,
        refresh=60.0,
        refresh_repeat=1,
        lower_priority_delay=7.0,
        lower_priority_repeat=2,
    )
    found = router("garp_master_repeat 3\ngarp_master_refresh 60", before=before).announcements
    assert found == AnnouncementPolicy(times, garp_interval=0.0, gna_interval=0.25)


def test_few_announcements_are_one_without_a_second_round() -> None:
    found = router("garp_master_repeat 4", before="global_defs { vrrp_min_garp }").announcements
    times = AnnouncementTimes(
        master_delay=0.0,
        master_repeat=4,
        refresh=0.0,
        refresh_repeat=1,
        lower_priority_delay=0.0,
        lower_priority_repeat=1,
    )
    assert found == AnnouncementPolicy(times, garp_interval=0.0, gna_interval=0.0)


def test_flags_of_the_instance_win_over_global_ones() -> None:
    before = "global_defs {\nvrrp_lower_prio_no_advert\nvrrp_higher_prio_send_advert true\nv3_checksum_as_v2 yes\n}"
    found = router(before=before)
    assert found.answer_lower_priority is False
    assert found.advertise_before_yielding is True
    assert found.checksum_without_pseudo_header is True
    found = router("lower_prio_no_advert off\nhigher_prio_send_advert no\nv3_checksum_as_v2 false", before=before)
    assert found.answer_lower_priority is True
    assert found.advertise_before_yielding is False
    assert found.checksum_without_pseudo_header is False
    assert router("down_timer_adverts 1", before="global_defs { vrrp_down_timer_adverts 5 }").down_advertisements == 1
    assert router(before="global_defs { vrrp_down_timer_adverts 5 }").down_advertisements == 5
    assert router("owner_ignore_adverts").owner_ignores_advertisements is True
    assert router("dont_track_primary").track_own_interface is False


def test_global_settings() -> None:
    text = """
        net_namespace blue
        instance two
        global_defs {
            router_id lb1
            script_user nobody nogroup
            enable_script_security
            log_unknown_vrids
            leftovers_are_ours
            keep_vips
        }
        global_defs { default_interface eth9 }
    """
    found = read(text + instance(""))
    assert found.settings == GlobalSettings(
        "lb1", "nobody", "nogroup", True, "eth9", True, "blue", "two", keep_vips=True
    )
    assert found.leftovers_are_ours is True


def test_a_check_has_defaults() -> None:
    [check] = read(SCRIPT + instance("")).checks
    assert check == Check("web", Command(("/bin/true",)), 1.0, 1.0, 0, False, 1, 1)


def test_a_check_has_all_of_its_settings() -> None:
    text = """
        vrrp_script "my web" {
            script "/usr/bin/curl -fs 'http://192.0.2.1/a b'"
            interval 2
            weight -20 reverse
            rise 2
            fall 3
            user nobody :nogroup
            init_fail
        }
    """
    [check] = read(text + instance("")).checks
    assert check == Check(
        "my web",
        Command(("/usr/bin/curl", "-fs", "http://192.0.2.1/a b"), "nobody", "nogroup"),
        interval=2.0,
        timeout=2.0,
        weight=-20,
        weight_reverse=True,
        rise=2,
        fall=3,
    )


@pytest.mark.parametrize(
    "script",
    [
        'script "</dev/tcp/192.0.2.1/8080"',
        'script "< /dev/tcp/192.0.2.1/8080"',
        "script </dev/tcp/192.0.2.1/8080",
        "script \"/bin/bash -c '</dev/tcp/192.0.2.1/8080'\"",
        "script \"bash -c '</dev/tcp/192.0.2.1/8080'\"",
        'script "/usr/bin/bash -c \\"< /dev/tcp/192.0.2.1/8080\\""',
        "tcp_check 192.0.2.1 8080",
    ],
)
def test_the_idiom_for_a_tcp_connection_needs_no_process(script: str) -> None:
    [check] = read(f"vrrp_script a {{ {script} }}\n" + instance("")).checks
    assert check.probe == TcpTarget("192.0.2.1", 8080)


@pytest.mark.parametrize(
    ("script", "argv"),
    [
        ('"killall -0 haproxy"', ("killall", "-0", "haproxy")),
        ("/usr/local/bin/check.sh", ("/usr/local/bin/check.sh",)),
        ("\"sh -c '</dev/tcp/192.0.2.1/80'\"", ("sh", "-c", "</dev/tcp/192.0.2.1/80")),
        ("\"bash -c '</dev/tcp/192.0.2.1/80 && true'\"", ("bash", "-c", "</dev/tcp/192.0.2.1/80 && true")),
        ("\"bash -c '</dev/tcp/192.0.2.1/99999'\"", ("bash", "-c", "</dev/tcp/192.0.2.1/99999")),
    ],
)
def test_other_scripts_are_programs_with_arguments(script: str, argv: tuple[str, ...]) -> None:
    [check] = read(f"vrrp_script a {{ script {script} }}\n" + instance("")).checks
    assert check.probe == Command(argv)


def test_a_script_without_quotes_is_one_command() -> None:
    text = "vrrp_script a { script killall -0 haproxy }\n" + instance("")
    assert read(text).checks[0].probe == Command(("killall", "-0", "haproxy"))
    assert warnings(text) == ["keepalived.conf:1: warning: script has 3 words without quotes: taken as one command"]


def test_words_of_a_shell_are_warned_of() -> None:
    text = 'vrrp_script a { script "pidof haproxy || exit 1" }\n' + instance("")
    assert warnings(text) == [
        "keepalived.conf:1: warning: script holds ||: no shell runs it, the program gets it as an argument"
    ]


def test_a_command_may_bring_its_environment() -> None:
    [check] = read("vrrp_script a { script \"A=1 B='x y' /bin/x C=3\" }\n" + instance("")).checks
    assert check.probe == Command(("/bin/x", "C=3"), environment=(("A", "1"), ("B", "x y")))


def test_scripts_run_as_the_script_user_unless_they_name_one() -> None:
    text = """
        global_defs { script_user nobody nogroup }
        vrrp_script a { script /bin/a }
        vrrp_script b { script /bin/b
            user daemon }
    """
    body = 'notify_master /bin/c\nnotify_backup "/bin/d x" root root\nnotify "/bin/e"'
    found = read(text + instance(body))
    assert [check.probe for check in found.checks] == [
        Command(("/bin/a",), "nobody", "nogroup"),
        Command(("/bin/b",), "daemon"),
    ]
    assert found.routers[0].notify == NotifyScripts(
        any_change=Command(("/bin/e",), "nobody", "nogroup"),
        master=Command(("/bin/c",), "nobody", "nogroup"),
        backup=Command(("/bin/d", "x"), "root", "root"),
    )


def test_tracked_checks_take_the_weight_of_the_check_unless_they_have_one() -> None:
    before = """
        vrrp_script a { script /bin/a
            weight 10 reverse }
        vrrp_script b { script /bin/b }
    """
    assert router("track_script {\na\nb\n}", before=before).tracked_checks == (
        TrackedCheck("a", 10, True),
        TrackedCheck("b", 0, False),
    )
    assert router("track_script {\na weight -5\nb weight 7 reverse\n}", before=before).tracked_checks == (
        TrackedCheck("a", -5, False),
        TrackedCheck("b", 7, True),
    )


def test_tracked_interfaces_have_weights() -> None:
    assert router(
        "track_interface {\neth1\neth2 weight -20 reverse\neth3 weight 5 noreverse\n}"
    ).tracked_interfaces == (
        TrackedInterface("eth1"),
        TrackedInterface("eth2", -20, True),
        TrackedInterface("eth3", 5, False),
    )


def test_all_notify_scripts() -> None:
    kinds = ("", "_master", "_backup", "_fault", "_stop", "_master_rx_lower_pri")
    found = router("\n".join(f"notify{kind} /n{kind}" for kind in kinds)).notify
    assert found == NotifyScripts(*(Command((f"/n{kind}",)) for kind in kinds))


def test_strict_mode_sets_what_it_implies() -> None:
    found = router(before="global_defs { vrrp_strict }")
    assert found.strict is True
    assert found.answer_lower_priority is False
    times = found.announcements.times
    assert (times.lower_priority_delay, times.lower_priority_repeat) == (0.0, 0)
    assert found.owner_ignores_advertisements is False
    assert router("strict_mode\npriority 255").owner_ignores_advertisements is True
    assert router("strict_mode off", before="global_defs { vrrp_strict }").strict is False


def test_strict_mode_says_that_it_does_not_imply_no_accept() -> None:
    expected = "vrrp_strict implies no_accept, which is not supported: packets to virtual addresses are accepted"
    assert warnings(instance("strict_mode")) == [f"keepalived.conf:5: warning: {expected}"]
    assert warnings(instance("strict_mode\naccept\nversion 3")) == []
    assert warnings(instance("strict_mode\npriority 255")) == []


def test_strict_mode_overrides_global_announcements_with_a_warning() -> None:
    text = instance("priority 255") + "global_defs {\nvrrp_strict\nvrrp_garp_lower_prio_repeat 3\n}\n"
    assert read(text).routers[0].announcements.times.lower_priority_repeat == 0
    assert warnings(text) == [
        "keepalived.conf:9: warning: vrrp_garp_lower_prio_repeat has no effect: vrrp_strict is set"
    ]


def test_the_load_balancer_s_half_is_skipped_with_one_warning() -> None:
    text = (
        instance("") + "virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.2 80 {\n}\n}\nvirtual_server_group g {\n}\n"
    )
    assert warnings(text) == [
        "keepalived.conf:7: warning: virtual_server and 1 more statement belong to keepalived's load balancer: "
        "skipped, vrrpd is VRRP only"
    ]


def test_unknown_keywords_are_warned_of_with_a_guess() -> None:
    text = instance("priorty 50\nfoo { bar { baz } }")
    assert warnings(text) == [
        "keepalived.conf:5: warning: unknown keyword priorty in vrrp_instance VI_1 is ignored, "
        "expected priority perhaps",
        "keepalived.conf:6: warning: unknown block foo in vrrp_instance VI_1 is ignored",
    ]


def test_a_keyword_given_twice_is_warned_of_and_the_last_counts() -> None:
    text = instance("priority 50\npriority 60")
    assert read(text).routers[0].priority == 60
    assert warnings(text) == [
        "keepalived.conf:6: warning: priority was already given at keepalived.conf:5: the last one counts"
    ]


def test_blocks_of_addresses_add_up() -> None:
    assert len(router("virtual_ipaddress { 192.0.2.101 }").addresses) == 2


def test_a_block_may_open_on_the_next_line_and_the_name_may_be_quoted() -> None:
    text = 'vrrp_instance "VI 1"\n{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress\n{\n192.0.2.1\n}\n}\n'
    assert read(text).routers[0].name == "VI 1"


def test_what_always_holds_is_accepted_without_a_word() -> None:
    text = "global_defs {\nvrrp_check_unicast_src\ndynamic_interfaces\nvrrp_skip_check_adv_addr\n}\n"
    assert warnings(instance("check_unicast_src\nskip_check_adv_addr\naccept\ntrack_src_ip") + text) == []


def test_weights_of_an_owner_are_warned_of() -> None:
    text = SCRIPT + instance("priority 255\ntrack_script { web weight 5 }")
    assert warnings(text) == [
        "keepalived.conf:7: warning: (VI_1) weight of web has no effect: the priority of an owner is always 255"
    ]


@pytest.mark.requirement("FMT-12")
@pytest.mark.counter_case("FMT-12")
def test_a_first_ipv6_address_that_is_not_link_local_is_warned_of() -> None:
    assert warnings(instance("", vips="2001:db8::1")) == [
        "keepalived.conf:4: warning: (VI_1) first virtual address is 2001:db8::1, "
        "expected a link-local one (fe80::/10), RFC 9568 section 5.2.9"
    ]
    assert warnings(instance("", vips="fe80::1\n2001:db8::1")) == []


def test_one_file_serves_two_nodes() -> None:
    text = instance("@lb1 priority 150\n@lb2 priority 100\nunicast_peer {\n@^lb1 192.0.2.1\n@^lb2 192.0.2.2\n}")
    first, second = (read(text, config_id=name).routers[0] for name in ("lb1", "lb2"))
    assert (first.priority, str(first.unicast_peers[0].address)) == (150, "192.0.2.2")
    assert second == replace(first, priority=100, unicast_peers=(UnicastPeer(IPv4Address("192.0.2.1")),))


def test_accepted_sources_are_addresses_and_prefixes() -> None:
    found = router("accept_sources {\n192.0.2.0/28\n198.51.100.7\n}").accept_sources
    assert [str(one) for one in found] == ["192.0.2.0/28", "198.51.100.7/32"]
    assert router().accept_sources == ()


def test_over_ipv6_a_source_that_is_not_link_local_can_be_no_router_except_by_unicast() -> None:
    vip = "fe80::5:1"
    (problem, *_) = problems(instance("accept_sources { 2001:db8::/64 }", vips=vip))
    assert problem.endswith(
        "accepted source is 2001:db8::/64, but over IPv6 advertisements come from link-local addresses (fe80::/10)"
    )
    found = router("accept_sources { 2001:db8::/64 }\nunicast_peer { 2001:db8::2 }", vips=vip).accept_sources
    assert [str(one) for one in found] == ["2001:db8::/64"]


def test_more_sources_than_one_packet_may_be_compared_with_are_an_error() -> None:
    lines = "\n".join(f"192.0.2.{last}" for last in range(1, 66))
    (problem,) = problems(instance(f"accept_sources {{\n{lines}\n}}"))
    assert problem == "keepalived.conf:5: (VI_1) accept_sources has 65 entries, expected at most 64"
